#include "ctl/show.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "libgoodfs/mem.h"

static struct gfs_buf out;

static void make_out(void)
{
    gfs_buf_init(&out, 1 << 20);
}

static void free_out(void)
{
    gfs_buf_fini(&out);
}

TestSuite(show, .init = make_out, .fini = free_out);

static struct gfs_json *json(const char *text)
{
    struct gfs_json *value = NULL;
    struct gfs_error error = {0};
    cr_assert_eq(gfs_json_parse(gfs_slice_str(text), &value, &error), GFS_OK, "%s", error.text);
    return value;
}

Test(show, values_are_written_as_their_names_say)
{
    static const struct {
        const char *name, *value, *text;
    } cases[] = {
        {"capacity", "1610612736", "1.5 GiB"},
        {"free", "17", "17 B"},
        {"done_bytes", "1024", "1.0 KiB"},
        {"rate", "1048576", "1.0 MiB/s"},
        {"eta_s", "45", "45s"},
        {"eta_s", "725", "12m05s"},
        {"eta_s", "12000", "3h20m"},
        {"eta_s", "187200", "2d04h"},
        {"eta_s", "null", "-"},
        {"last_pass_s", "1795244290", "2026-11-21T06:58:10Z"},
        {"position", "0.123", "12.3 %"},
        {"chunks", "12345", "12345"},
        {"is_behind", "true", "yes"},
        {"is_away", "false", "no"},
        {"state", "\"active\"", "active"},
        {"reason", "\"\"", "-"},
        {"ratio", "1.5", "1.50"},
        {"slots", "[{\"disk\":3,\"from\":null},{\"disk\":2,\"from\":1}]", "3 2<1"},
        {"key", "\"a\\u001b[31m\\u009bb\\u007f\"", "a\\x1b[31m\\xc2\\x9bb\\x7f"},
    };
    for (size_t i = 0; i < GFS_COUNT(cases); i++) {
        char text[256];
        (void)snprintf(text, sizeof text, "[%s]", cases[i].value);
        struct gfs_json *array = json(text);
        gfs_buf_clear(&out);
        show_cell(&out, gfs_slice_str(cases[i].name), gfs_json_at(array, 0));
        if (strcmp(cases[i].name, "key") == 0) { /* the second byte of U+009B is escaped as text */
            cr_assert(strchr(out.ptr, 0x1b) == NULL);
            cr_assert(strstr(out.ptr, "\\x1b[31m") != NULL);
            cr_assert(strstr(out.ptr, "\xc2\x9b") == NULL);
        } else {
            cr_assert_str_eq(out.ptr, cases[i].text, "%s %s", cases[i].name, cases[i].value);
        }
        gfs_json_free(array);
    }
    gfs_buf_clear(&out);
    show_cell(&out, gfs_slice_str("x"), NULL);
    cr_assert_str_eq(out.ptr, "-");
}

Test(show, tables_are_aligned_and_leave_out_what_no_row_has)
{
    struct gfs_json *array = json("[{\"number\":0,\"path\":\"/d\\u00e4\",\"free\":1},"
                                  "{\"number\":10,\"path\":\"/disk\",\"free\":20,\"x\":1}]");
    show_table(&out, array, "number,absent,path,free", 1);
    cr_assert_str_eq(out.ptr, " NUMBER  PATH   FREE\n"
                              "      0  /d\xc3\xa4     1 B\n"
                              "     10  /disk  20 B\n");
    gfs_buf_clear(&out);
    show_table(&out, array, NULL, 0);
    cr_assert_str_eq(out.ptr, "NUMBER  PATH   FREE\n"
                              "     0  /d\xc3\xa4     1 B\n"
                              "    10  /disk  20 B\n");
    gfs_json_free(array);
    array = json("[]");
    gfs_buf_clear(&out);
    show_table(&out, array, "a", 0);
    cr_assert_str_eq(out.ptr, "(none)\n");
    gfs_json_free(array);
}

Test(show, no_two_lines_have_the_same_name)
{
    struct gfs_json *object = json("{\"done\":3,\"done_bytes\":2048,\"left_bytes\":1}");
    show_object(&out, object, 0);
    cr_assert_str_eq(out.ptr, "done        3\n"
                              "done bytes  2.0 KiB\n"
                              "left        1 B\n");
    gfs_json_free(object);
}

Test(show, objects_are_lines_and_go_deeper)
{
    struct gfs_json *object = json("{\"health\":\"ok\",\"is_up\":true,\"lost\":[],\"on\":[1,2],"
                                   "\"pool\":{\"eta_s\":5,\"mirrors\":[{\"disk\":1}]}}");
    show_object(&out, object, 0);
    cr_assert_str_eq(out.ptr, "health  ok\n"
                              "up      yes\n"
                              "lost    -\n"
                              "on      1 2\n"
                              "pool\n"
                              "  eta    5s\n"
                              "  mirrors\n"
                              "    DISK\n"
                              "       1\n");
    gfs_json_free(object);
}
