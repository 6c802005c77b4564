#include <criterion/criterion.h>

#include "libgoodfs/mem.h"
#include "metad/record.h"

static struct meta_etag etags[] = {{.md5 = {1}}, {.md5 = {2}, .parts = 3}};

static enum gfs_err check(const struct meta_condition *condition, uint8_t tag, uint32_t parts)
{
    struct meta_object object = {.size = 10, .etag = {tag}, .etag_parts = parts};
    struct gfs_buf row;
    gfs_buf_init(&row, 4096);
    record_encode_object(&row, &object);
    record_stamp(row.ptr, 1, 5999);
    enum gfs_err err = meta_condition_check(condition, gfs_buf_slice(&row));
    gfs_buf_fini(&row);
    return err;
}

static enum gfs_err check_missing(const struct meta_condition *condition)
{
    return meta_condition_check(condition, (struct gfs_slice){0});
}

Test(condition, none_is_always_true)
{
    const struct meta_condition none = {0};
    cr_expect(!meta_condition_is_any(&none));
    cr_expect_eq(check(&none, 1, 0), GFS_OK);
    cr_expect_eq(check_missing(&none), GFS_OK);
    cr_expect_eq(meta_condition_check(&none, GFS_SLICE_LITERAL("damaged")), GFS_OK);
}

Test(condition, etags_match_as_a_whole)
{
    const struct meta_condition match = {.has_if_match = true, .etags = etags, .etag_count = 2};
    cr_expect(meta_condition_is_any(&match));
    cr_expect_eq(check(&match, 1, 0), GFS_OK);
    cr_expect_eq(check(&match, 2, 3), GFS_OK);
    cr_expect_eq(check(&match, 2, 0), GFS_PRECONDITION);
    cr_expect_eq(check(&match, 1, 3), GFS_PRECONDITION);
    cr_expect_eq(check_missing(&match), GFS_NOT_FOUND);
    const struct meta_condition never = {.has_if_match = true};
    cr_expect_eq(check(&never, 1, 0), GFS_PRECONDITION);
}

Test(condition, presence_time_and_size)
{
    const struct meta_condition absent = {.if_none_match_any = true};
    const struct meta_condition present = {.if_match_any = true};
    cr_expect_eq(check(&absent, 1, 0), GFS_PRECONDITION);
    cr_expect_eq(check_missing(&absent), GFS_OK);
    cr_expect_eq(check(&present, 1, 0), GFS_OK);
    cr_expect_eq(check_missing(&present), GFS_NOT_FOUND);
    struct meta_condition condition = {.has_if_match_mtime = true, .if_match_mtime_s = 5};
    cr_expect_eq(check(&condition, 1, 0), GFS_OK, "whole seconds");
    condition.if_match_mtime_s = 6;
    cr_expect_eq(check(&condition, 1, 0), GFS_PRECONDITION);
    cr_expect_eq(check_missing(&condition), GFS_NOT_FOUND);
    condition = (struct meta_condition){.has_if_match_size = true, .if_match_size = 10};
    cr_expect_eq(check(&condition, 1, 0), GFS_OK);
    condition.if_match_size = 11;
    cr_expect_eq(check(&condition, 1, 0), GFS_PRECONDITION);
    cr_expect_eq(check_missing(&condition), GFS_NOT_FOUND);
}

Test(condition, all_conditions_must_hold)
{
    struct meta_condition both = {.has_if_match = true,
                                  .etags = etags,
                                  .etag_count = 1,
                                  .has_if_match_size = true,
                                  .if_match_size = 10};
    cr_expect_eq(check(&both, 1, 0), GFS_OK);
    both.if_match_size = 9;
    cr_expect_eq(check(&both, 1, 0), GFS_PRECONDITION);
}

Test(condition, damaged_row_is_corrupt_not_an_answer)
{
    const struct meta_condition match = {.has_if_match = true, .etags = etags, .etag_count = 1};
    cr_expect_eq(meta_condition_check(&match, GFS_SLICE_LITERAL("damaged")), GFS_CORRUPT);
}
