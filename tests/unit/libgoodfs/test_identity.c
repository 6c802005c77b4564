#include "libgoodfs/identity.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libgoodfs/mem.h"

#define ID "0d5a5a5a-5a5b-4a5c-9a5d-5a5a5a5a5ae7"
#define VALUES "cluster=one\nnode=local\ndisk=" ID "\n"

static struct gfs_identity make(void)
{
    struct gfs_identity identity = {.cluster = "one", .node = "local", .disk = ID};
    return identity;
}

static void write(struct gfs_buf *ret)
{
    struct gfs_identity identity = make();
    gfs_buf_init(ret, GFS_IDENTITY_SIZE_MAX);
    gfs_identity_write(&identity, ret);
    cr_assert(!ret->is_full);
}

static void expect_itself(struct gfs_slice text, bool is_damaged, const char *what)
{
    struct gfs_identity identity;
    struct gfs_error error = {0};
    enum gfs_err err = gfs_identity_parse(text, &identity, &error);
    cr_assert_eq(err, GFS_OK, "%s: %s", what, error.text);
    cr_assert_str_eq(identity.cluster, "one", "%s", what);
    cr_assert_str_eq(identity.node, "local", "%s", what);
    cr_assert_str_eq(identity.disk, ID, "%s", what);
    cr_assert_eq(identity.id[0], 0x0d);
    cr_assert_eq(identity.id[15], 0xe7);
    cr_assert_eq(identity.is_damaged, is_damaged, "%s", what);
}

Test(identity, is_read_as_it_was_written)
{
    struct gfs_buf text;
    write(&text);
    expect_itself(gfs_buf_slice(&text), false, "whole");
    gfs_buf_fini(&text);
}

Test(identity, any_bit_may_flip)
{
    struct gfs_buf text;
    write(&text);
    struct gfs_slice bytes = gfs_buf_slice(&text);
    char *copy = gfs_alloc(bytes.len);
    for (size_t bit = 0; bit < 8 * bytes.len; bit++) {
        char what[32];
        (void)snprintf(what, sizeof what, "bit %zu", bit);
        memcpy(copy, bytes.ptr, bytes.len);
        copy[bit / 8] ^= (char)(1 << bit % 8);
        expect_itself(gfs_slice_of(copy, bytes.len), true, what);
    }
    free(copy);
    gfs_buf_fini(&text);
}

Test(identity, any_sixteen_bytes_may_be_zeros_and_the_rest_may_be_gone)
{
    struct gfs_buf text;
    write(&text);
    struct gfs_slice bytes = gfs_buf_slice(&text);
    char *copy = gfs_alloc(bytes.len);
    for (size_t at = 0; at + 16 <= bytes.len; at += 16) {
        bool is_between = at < bytes.len / 2 && at + 16 > bytes.len / 2;
        memcpy(copy, bytes.ptr, bytes.len);
        memset(copy + at, 0, 16);
        if (!is_between) {
            expect_itself(gfs_slice_of(copy, bytes.len), true, "zeros");
        }
    }
    for (size_t len = bytes.len / 2; len < bytes.len; len++) {
        expect_itself(gfs_slice_of(bytes.ptr, len), len + 1 < bytes.len, "cut");
    }
    free(copy);
    gfs_buf_fini(&text);
}

static void expect_refused(const char *text, enum gfs_err expected, const char *why)
{
    struct gfs_identity identity;
    struct gfs_error error = {0};
    cr_assert_eq(gfs_identity_parse(gfs_slice_str(text), &identity, &error), expected, "%s", text);
    cr_assert_not_null(strstr(error.text, why), "%s: %s", text, error.text);
}

Test(identity, what_is_none_is_refused)
{
    expect_refused("", GFS_CORRUPT, "no valid format line");
    expect_refused("format=x\n" VALUES, GFS_CORRUPT, "no valid format line");
    expect_refused("format=0\n" VALUES, GFS_CORRUPT, "no valid format line");
    expect_refused("format=1\n", GFS_CORRUPT, "no valid cluster or disk line");
    expect_refused("format=1\ncluster=one\ndisk=0d5a\n", GFS_CORRUPT, "no valid cluster");
    expect_refused("format=1\ndisk=" ID "\n", GFS_CORRUPT, "no valid cluster");
    expect_refused("format=1\n" VALUES "crc64nvme=0123456789abcdef\n", GFS_CORRUPT, "damaged");
    expect_refused("format=2\nwhatever\n", GFS_UNSUPPORTED, "newer version");
    expect_refused("format=2\n" VALUES "crc64nvme=0\nformat=2\n" VALUES "crc64nvme=0\n",
                   GFS_UNSUPPORTED, "newer version");
}

Test(identity, one_without_checksums_is_taken_and_to_be_written_anew)
{
    expect_itself(gfs_slice_str("format=1\n" VALUES), true, "without");
}
