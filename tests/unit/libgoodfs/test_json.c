#include "libgoodfs/json.h"

#include <criterion/criterion.h>

#include "libgoodfs/mem.h"

Test(json, reads_a_document)
{
    struct gfs_json *document = NULL;
    struct gfs_slice text = GFS_SLICE_LITERAL("{\"s\":\"a\\u00e9\",\"n\":[1,-2,9223372036854775807,"
                                              "1.5,true,false,null],\"o\":{\"k\":\"v\"}}");
    cr_assert_eq(gfs_json_parse(text, &document, NULL), GFS_OK);
    cr_assert_eq(gfs_json_type(document), GFS_JSON_OBJECT);
    cr_assert_eq(gfs_json_count(document), 3u);
    cr_assert(gfs_slice_eq_str(gfs_json_string(gfs_json_get(document, "s")), "a\xc3\xa9"));
    const struct gfs_json *numbers = gfs_json_get(document, "n");
    static const enum gfs_json_type types[] = {GFS_JSON_INTEGER, GFS_JSON_INTEGER, GFS_JSON_INTEGER,
                                               GFS_JSON_REAL,    GFS_JSON_TRUE,    GFS_JSON_FALSE,
                                               GFS_JSON_NULL};
    cr_assert_eq(gfs_json_count(numbers), GFS_COUNT(types));
    for (size_t i = 0; i < GFS_COUNT(types); i++) {
        cr_assert_eq(gfs_json_type(gfs_json_at(numbers, i)), types[i]);
    }
    int64_t value = 0;
    cr_assert(gfs_json_integer(gfs_json_at(numbers, 2), &value));
    cr_assert_eq(value, INT64_MAX);
    cr_assert(!gfs_json_integer(gfs_json_at(numbers, 3), &value));
    struct gfs_slice name;
    const struct gfs_json *member;
    cr_assert(gfs_json_only_member(gfs_json_get(document, "o"), &name, &member));
    cr_assert(gfs_slice_eq_str(name, "k"));
    cr_assert(gfs_slice_eq_str(gfs_json_string(member), "v"));
    cr_assert(!gfs_json_only_member(document, &name, &member));
    gfs_json_free(document);
}

Test(json, absent_things_are_null_and_not_a_crash)
{
    struct gfs_json *document = NULL;
    int64_t value;
    cr_assert_eq(gfs_json_parse(GFS_SLICE_LITERAL("[]"), &document, NULL), GFS_OK);
    cr_assert_null(gfs_json_at(document, 0));
    cr_assert_null(gfs_json_get(document, "x"));
    cr_assert_null(gfs_json_string(NULL).ptr);
    cr_assert(!gfs_json_integer(NULL, &value));
    cr_assert_eq(gfs_json_count(NULL), 0u);
    gfs_json_free(document);
    gfs_json_free(NULL);
}

Test(json, malformed_text_is_invalid_and_says_where)
{
    static const char *const bad[] = {"",           "{",     "[1,]",          "{\"a\":1,\"a\":2}",
                                      "[\"\xff\"]", "nul",   "[\"\\u0000\"]", "[] x",
                                      "1",          "['a']", "[\"\\$\"]"};
    for (size_t i = 0; i < GFS_COUNT(bad); i++) {
        struct gfs_json *document = NULL;
        struct gfs_error error = {0};
        cr_assert_eq(gfs_json_parse(gfs_slice_str(bad[i]), &document, &error), GFS_INVALID, "%s",
                     bad[i]);
        cr_assert_null(document);
        cr_assert_not_null(strstr(error.text, "line 1"));
    }
    char deep[10001];
    memset(deep, '[', 10000);
    struct gfs_json *document = NULL;
    cr_assert_eq(gfs_json_parse(gfs_slice_of(deep, 10000), &document, NULL), GFS_INVALID);
}

Test(json, is_shown_cut_to_size)
{
    struct gfs_json *document = NULL;
    char text[32], small[8];
    cr_assert_eq(gfs_json_parse(GFS_SLICE_LITERAL("[ \"eq\", \"$key\" ]"), &document, NULL),
                 GFS_OK);
    gfs_json_show(document, text, sizeof text);
    cr_assert_str_eq(text, "[\"eq\",\"$key\"]");
    gfs_json_show(document, small, sizeof small);
    cr_assert_eq(small[7], '\0');
    gfs_json_free(document);
}

Test(json, members_come_in_the_order_of_the_text)
{
    struct gfs_json *document = NULL;
    struct gfs_slice name;
    const struct gfs_json *value = NULL;
    double number = 0;
    const char *text = "{\"z\":1,\"a\":2.5,\"m\":\"x\"}";
    cr_assert_eq(gfs_json_parse(gfs_slice_str(text), &document, NULL), GFS_OK);
    cr_assert(gfs_json_member(document, 0, &name, &value));
    cr_assert(gfs_slice_eq_str(name, "z"));
    cr_assert(gfs_json_number(value, &number));
    cr_assert_eq(number, 1.0);
    cr_assert(gfs_json_member(document, 1, &name, &value));
    cr_assert(gfs_slice_eq_str(name, "a"));
    cr_assert(gfs_json_number(value, &number));
    cr_assert_eq(number, 2.5);
    cr_assert(gfs_json_member(document, 2, &name, &value));
    cr_assert(!gfs_json_number(value, &number), "a string is no number");
    cr_assert(!gfs_json_member(document, 3, &name, &value));
    cr_assert(!gfs_json_member(value, 0, &name, &value), "a string has no members");
    gfs_json_free(document);
}
