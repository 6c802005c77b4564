#include "libgoodfs/xml.h"

#include <criterion/criterion.h>

#include "libgoodfs/mem.h"

#define LIT GFS_SLICE_LITERAL

static const struct gfs_xml_limits limits = {.node_count_max = 100, .depth_max = 8};

static enum gfs_err parse_err(struct gfs_slice text, size_t arena_size)
{
    struct gfs_arena arena;
    struct gfs_xml_node *root = NULL;
    gfs_arena_init(&arena, arena_size);
    enum gfs_err err = gfs_xml_parse(text, &limits, &arena, &root);
    gfs_arena_fini(&arena);
    return err;
}

Test(xml, writes_what_s3_writes)
{
    struct gfs_buf out;
    gfs_buf_init(&out, 4096);
    gfs_xml_begin(&out, "R", "http://s3.amazonaws.com/doc/2006-03-01/");
    gfs_xml_element(&out, "Key", LIT("a&<>\"'\r\n\tz\x01\xff\xc3\xa9\xef\xbf\xbf"));
    gfs_xml_open(&out, "C");
    gfs_xml_element_u64(&out, "N", UINT64_MAX);
    gfs_xml_element_u64(&out, "N", 0);
    gfs_xml_element_bool(&out, "B", true);
    gfs_xml_element_str(&out, "E", "");
    gfs_xml_close(&out, "C");
    gfs_xml_close(&out, "R");
    cr_assert_str_eq(out.ptr,
                     "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                     "<R xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
                     "<Key>a&amp;&lt;&gt;&quot;'&#13;&#10;&#9;z\xef\xbf\xbd\xef\xbf\xbd\xc3\xa9"
                     "\xef\xbf\xbd</Key>"
                     "<C><N>18446744073709551615</N><N>0</N><B>true</B><E></E></C></R>");
    gfs_buf_fini(&out);
}

Test(xml, reads_into_a_tree)
{
    struct gfs_arena arena;
    struct gfs_xml_node *root = NULL;
    gfs_arena_init(&arena, 65536);
    cr_assert_eq(
        gfs_xml_parse(LIT("<?xml version=\"1.0\"?>\n<s:D xmlns:s=\"x\" a=\"1\"> <O><K>a&amp;b"
                          "<![CDATA[<c>]]>\n d</K></O><!-- no --><O><K>2</K><V/></O>\t</s:D>"),
                      &limits, &arena, &root),
        GFS_OK);
    cr_assert(gfs_slice_eq_str(root->name, "D"));
    cr_assert(gfs_slice_eq_str(root->text, " \t"));
    const struct gfs_xml_node *first = gfs_xml_child(root, "O");
    cr_assert(gfs_slice_eq_str(gfs_xml_child_text(first, "K"), "a&b<c>\n d"));
    cr_assert_null(gfs_xml_child_text(first, "V").ptr);
    const struct gfs_xml_node *second = first->next;
    cr_assert(gfs_slice_eq_str(gfs_xml_child_text(second, "K"), "2"));
    cr_assert_not_null(gfs_xml_child(second, "V"));
    cr_assert_eq(gfs_xml_child_text(second, "V").len, 0u);
    cr_assert_not_null(gfs_xml_child_text(second, "V").ptr);
    cr_assert_null(second->next);
    cr_assert_null(gfs_xml_child(root, "K"));
    gfs_arena_fini(&arena);
}

Test(xml, name_spaces_are_left_out_of_names)
{
    struct gfs_arena arena;
    struct gfs_xml_node *root = NULL;
    gfs_arena_init(&arena, 65536);
    cr_assert_eq(gfs_xml_parse(LIT("<D xmlns='http://x/?a:b|c'><p:O xmlns:p='urn:y' p:a='1'><K"
                                   " xmlns=''>k</K></p:O></D>"),
                               &limits, &arena, &root),
                 GFS_OK);
    cr_assert(gfs_slice_eq_str(root->name, "D"));
    const struct gfs_xml_node *object = gfs_xml_child(root, "O");
    cr_assert_not_null(object);
    cr_assert(gfs_slice_eq_str(gfs_xml_child_text(object, "K"), "k"));
    gfs_arena_fini(&arena);
}

Test(xml, what_is_written_is_read_back)
{
    struct gfs_buf out;
    struct gfs_arena arena;
    struct gfs_xml_node *root = NULL;
    struct gfs_slice text = LIT("  line\r\nline\ttab &amp; <x> \xf0\x9f\x98\x80 ");
    gfs_buf_init(&out, 4096);
    gfs_arena_init(&arena, 65536);
    gfs_xml_begin(&out, "R", NULL);
    gfs_xml_text(&out, text);
    gfs_xml_close(&out, "R");
    cr_assert_eq(gfs_xml_parse(gfs_buf_slice(&out), &limits, &arena, &root), GFS_OK);
    cr_assert(gfs_slice_eq(root->text, text));
    gfs_arena_fini(&arena);
    gfs_buf_fini(&out);
}

Test(xml, malformed_documents_are_invalid)
{
    static const char *const bad[] = {
        "",
        " ",
        "x",
        "<a>",
        "<a></b>",
        "<a/><b/>",
        "<a/>x",
        "<a b=c/>",
        "<a>&unknown;</a>",
        "<a>\x01</a>",
        "<a>\xff</a>",
        "<a>\xc0\x80</a>",
        "<a",
        "<a><b></a></b>",
        "\xfe\xff<a/>",
        "<!DOCTYPE a><a/>",
        "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>",
        "<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>",
        "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>",
        "<a a='1' a='2'/>",
        "<k:/>",
        "<:k/>",
        "<k:1 xmlns:k='x'/>",
        "<k:-a xmlns:k='x'/>",
        "<k:a:b xmlns:k='x'/>",
        "<k:a/>",
        "<a k:b='1'/>",
        "<k:a xmlns:k=''/>",
        "<k:a xmlns:k='x&#10;b'/>"};
    for (size_t i = 0; i < GFS_COUNT(bad); i++) {
        cr_assert_eq(parse_err(gfs_slice_str(bad[i]), 65536), GFS_INVALID, "%s", bad[i]);
    }
    cr_assert_eq(parse_err(LIT("<a>\0</a>"), 65536), GFS_INVALID);
}

Test(xml, depth_and_node_count_are_limited)
{
    cr_assert_eq(parse_err(LIT("<a><a><a><a><a><a><a><a/></a></a></a></a></a></a></a>"), 65536),
                 GFS_OK);
    cr_assert_eq(
        parse_err(LIT("<a><a><a><a><a><a><a><a><a/></a></a></a></a></a></a></a></a>"), 65536),
        GFS_INVALID);
    struct gfs_buf many;
    gfs_buf_init(&many, 65536);
    gfs_buf_add_str(&many, "<a>");
    for (int i = 0; i < 99; i++) {
        gfs_buf_add_str(&many, "<b/>");
    }
    struct gfs_slice unfinished = gfs_buf_slice(&many);
    gfs_buf_add_str(&many, "</a>");
    cr_assert_eq(parse_err(gfs_buf_slice(&many), 65536), GFS_OK);
    many.len = unfinished.len;
    gfs_buf_add_str(&many, "<b/></a>");
    cr_assert_eq(parse_err(gfs_buf_slice(&many), 65536), GFS_TOO_BIG);
    gfs_buf_fini(&many);
}

Test(xml, a_full_arena_is_an_answer)
{
    cr_assert_eq(parse_err(LIT("<a><b>text</b></a>"), 100), GFS_TOO_BIG);
    struct gfs_buf lines;
    gfs_buf_init(&lines, 65536);
    gfs_buf_add_str(&lines, "<a>");
    for (int i = 0; i < 10000; i++) {
        gfs_buf_add_char(&lines, '\n');
    }
    gfs_buf_add_str(&lines, "</a>");
    cr_assert_eq(parse_err(gfs_buf_slice(&lines), 4096), GFS_TOO_BIG);
    cr_assert_eq(parse_err(gfs_buf_slice(&lines), 65536), GFS_OK);
    gfs_buf_fini(&lines);
}
