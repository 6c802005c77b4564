#include "gateway/s3_delete_body.h"

#include "s3_fixture.h"

#define KEY(key) "<Object><Key>" key "</Key></Object>"

static enum s3_err parse_in(struct gfs_arena *arena, const char *body, struct s3_delete_list *ret)
{
    gfs_arena_init(arena, 8 << 20);
    return s3_delete_parse(gfs_slice_str(body), arena, ret);
}

static enum s3_err parse(const char *body)
{
    struct gfs_arena arena;
    struct s3_delete_list list;
    enum s3_err err = parse_in(&arena, body, &list);
    gfs_arena_fini(&arena);
    return err;
}

Test(s3_delete_body, reads_keys_versions_and_conditions)
{
    struct gfs_arena arena;
    struct s3_delete_list list;
    cr_assert_eq(parse_in(&arena,
                          "<Delete><Object><Key>a&amp;/../b</Key><VersionId>null</VersionId>"
                          "<ETag>\"d41d8cd98f00b204e9800998ecf8427e-2\"</ETag><Size>7</Size>"
                          "<LastModifiedTime>Sat, 21 Nov 2026 06:58:10 GMT</LastModifiedTime>"
                          "</Object>" KEY("c") "<Quiet>true</Quiet></Delete>",
                          &list),
                 S3_OK);
    cr_assert(list.is_quiet);
    cr_assert_eq(list.entry_count, 2u);
    cr_assert_eq(list.delete_count, 2u);
    ASSERT_SLICE(list.deletes[0].key, "a&/../b");
    const struct meta_condition *cond = &list.deletes[0].condition;
    cr_assert(cond->has_if_match && cond->has_if_match_size && cond->has_if_match_mtime);
    cr_assert_eq(cond->etag_count, 1u);
    cr_assert_eq(cond->etags[0].parts, 2u);
    cr_assert_eq(cond->if_match_size, 7u);
    cr_assert_eq(cond->if_match_mtime_s, 1795244290);
    cr_assert(!list.deletes[1].condition.has_if_match);
    gfs_arena_fini(&arena);
}

Test(s3_delete_body, a_star_means_that_the_key_must_exist)
{
    struct gfs_arena arena;
    struct s3_delete_list list;
    cr_assert_eq(parse_in(&arena,
                          "<Delete><Object><Key>a</Key><ETag>*</ETag></Object><Object><Key>b</Key>"
                          "<ETag>none of ours</ETag></Object></Delete>",
                          &list),
                 S3_OK);
    cr_assert(list.deletes[0].condition.if_match_any);
    cr_assert(list.deletes[1].condition.has_if_match);
    cr_assert_eq(list.deletes[1].condition.etag_count, 0u);
    gfs_arena_fini(&arena);
}

Test(s3_delete_body, refuses_what_is_no_list_of_keys)
{
    static const char *const bad[] = {
        "",
        "<Delete/>",
        "<Other>" KEY("a") "</Other>",
        "<Delete><Object></Object></Delete>",
        "<Delete>" KEY("") "</Delete>",
        "<Delete>" KEY("a") "<Quiet>maybe</Quiet></Delete>",
        "<Delete><Object><Key>a</Key><Size>big</Size></Object></Delete>",
        "<Delete><Object><Key>a</Key><LastModifiedTime>now</LastModifiedTime></Object></Delete>",
        "<!DOCTYPE Delete><Delete>" KEY("a") "</Delete>",
    };
    for (size_t i = 0; i < GFS_COUNT(bad); i++) {
        cr_assert_eq(parse(bad[i]), S3_MalformedXML, "%s", bad[i]);
    }
}

static enum s3_err parse_many(int count)
{
    struct gfs_buf body;
    gfs_buf_init(&body, GFS_XML_BODY_MAX);
    gfs_buf_add_str(&body, "<Delete>");
    for (int i = 0; i < count; i++) {
        gfs_buf_printf(&body, KEY("%01024d"), i);
    }
    gfs_buf_add_str(&body, "</Delete>");
    cr_assert(!body.is_full);
    enum s3_err err = parse(body.ptr);
    gfs_buf_fini(&body);
    return err;
}

Test(s3_delete_body, takes_1000_keys_and_not_one_more)
{
    cr_assert_eq(parse_many(1000), S3_OK);
    cr_assert_eq(parse_many(1001), S3_MalformedXML);
}

Test(s3_delete_body, keys_that_cannot_be_fail_alone)
{
    struct gfs_arena arena;
    struct s3_delete_list list;
    char body[4096];
    (void)snprintf(body, sizeof body,
                   "<Delete><Object><Key>%01025d</Key></Object><Object><Key>v</Key><VersionId>3"
                   "</VersionId></Object>" KEY("fine") KEY("gone") KEY("changed") "</Delete>",
                   0);
    cr_assert_eq(parse_in(&arena, body, &list), S3_OK);
    cr_assert_eq(list.entry_count, 5u);
    cr_assert_eq(list.delete_count, 3u);
    ASSERT_SLICE(list.deletes[0].key, "fine");
    list.deletes[1].err = GFS_NOT_FOUND;
    list.deletes[2].err = GFS_PRECONDITION;
    struct gfs_buf xml;
    gfs_buf_init(&xml, 1 << 20);
    s3_delete_result(&list, &xml);
    cr_assert_not_null(strstr(xml.ptr, "<Code>KeyTooLongError</Code>"));
    cr_assert_not_null(strstr(xml.ptr, "<Error><Key>v</Key><VersionId>3</VersionId>"
                                       "<Code>NoSuchVersion</Code>"));
    cr_assert_not_null(strstr(xml.ptr, "<Deleted><Key>fine</Key></Deleted>"));
    cr_assert_not_null(strstr(xml.ptr, "<Error><Key>gone</Key><Code>NoSuchKey</Code>"));
    cr_assert_not_null(strstr(xml.ptr, "<Error><Key>changed</Key><Code>PreconditionFailed</Code>"));
    gfs_buf_clear(&xml);
    list.is_quiet = true;
    s3_delete_result(&list, &xml);
    cr_assert_null(strstr(xml.ptr, "<Deleted>"));
    cr_assert_not_null(strstr(xml.ptr, "<Key>changed</Key>"));
    gfs_buf_fini(&xml);
    gfs_arena_fini(&arena);
}
