#include "gateway/s3_xml.h"

#include "s3_fixture.h"

static enum s3_err parse(const char *text, size_t nodes_max)
{
    struct gfs_arena arena;
    const struct gfs_xml_node *root = NULL;
    gfs_arena_init(&arena, 1 << 20);
    enum s3_err err = s3_xml_parse(gfs_slice_str(text), "Root", nodes_max, &arena, &root);
    gfs_arena_fini(&arena);
    return err;
}

Test(s3_xml, accepts_the_expected_root_with_or_without_namespace)
{
    cr_assert_eq(parse("<Root/>", 10), S3_OK);
    cr_assert_eq(parse("<?xml version=\"1.0\"?><Root xmlns=\"" S3_XMLNS "\"><a/></Root>", 10),
                 S3_OK);
}

Test(s3_xml, everything_else_is_malformed)
{
    static const char *const bad[] = {
        "",
        "text",
        "<Other/>",
        "<Root>",
        "<Root></root>",
        "<!DOCTYPE Root [<!ENTITY a \"b\">]><Root>&a;</Root>",
        "<Root>\xff</Root>",
        "<Root><a/><a/><a/></Root>",
        ("<Root><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a/></a></a></a></a></a></a></a></a>"
         "</a></a></a></a></a></a></a></Root>"),
    };
    for (size_t i = 0; i < GFS_COUNT(bad); i++) {
        cr_assert_eq(parse(bad[i], i == 7 ? 3 : 100), S3_MalformedXML, "%s", bad[i]);
    }
}

Test(s3_xml, tokens_bring_back_every_key)
{
    struct fixture *f = fixture_new("");
    char key[GFS_KEY_LEN_MAX];
    for (size_t i = 0; i < sizeof key; i++) {
        key[i] = (char)i;
    }
    for (size_t len = 1; len <= sizeof key; len += 11) {
        struct gfs_slice back;
        bool is_prefix = len % 2 == 0;
        struct gfs_slice text = s3_token_text(&f->r.arena, gfs_slice_of(key, len), is_prefix);
        cr_assert(s3_token_parse(&f->r.arena, text, &back, &is_prefix));
        cr_assert_eq(is_prefix, len % 2 == 0);
        cr_assert(gfs_slice_eq(back, gfs_slice_of(key, len)));
    }
    fixture_free(f);
}

Test(s3_xml, refuses_tokens_it_did_not_make)
{
    /* nothing, a version only, another version, another kind, no base64, a kind without a key */
    static const char *const bad[] = {"", "AQ==", "AmtrZXk=", "AXhrZXk=", "!!!!", "AWs=", "AWtr "};
    struct fixture *f = fixture_new("");
    for (size_t i = 0; i < GFS_COUNT(bad); i++) {
        struct gfs_slice key;
        bool is_prefix;
        cr_assert(!s3_token_parse(&f->r.arena, gfs_slice_str(bad[i]), &key, &is_prefix), "%s",
                  bad[i]);
    }
    fixture_free(f);
}

Test(s3_xml, white_space_is_blank)
{
    cr_assert(s3_xml_is_blank(GFS_SLICE_LITERAL("")));
    cr_assert(s3_xml_is_blank(GFS_SLICE_LITERAL(" \r\n\t")));
    cr_assert(!s3_xml_is_blank(GFS_SLICE_LITERAL(" <a/>")));
}
