#include <criterion/criterion.h>
#include <math.h>

#include "libgoodfs/json.h"
#include "libgoodfs/json_out.h"

static struct gfs_buf buf;
static struct gfs_json_out out;

static void begin(void)
{
    gfs_buf_init(&buf, 1 << 16);
    gfs_json_out_init(&out, &buf);
}

static void end(void)
{
    gfs_buf_fini(&buf);
}

TestSuite(json_out, .init = begin, .fini = end);

Test(json_out, nested_values_are_separated_by_commas)
{
    gfs_json_out_object(&out, NULL);
    gfs_json_out_u64(&out, "n", UINT64_MAX);
    gfs_json_out_array(&out, "list");
    gfs_json_out_i64(&out, NULL, -1);
    gfs_json_out_bool(&out, NULL, true);
    gfs_json_out_null(&out, NULL);
    gfs_json_out_object(&out, NULL);
    gfs_json_out_end_object(&out);
    gfs_json_out_end_array(&out);
    gfs_json_out_real(&out, "r", 1.005);
    gfs_json_out_real(&out, "nan", (double)NAN);
    gfs_json_out_end_object(&out);
    cr_assert_str_eq(buf.ptr, "{\"n\":18446744073709551615,\"list\":[-1,true,null,{}],"
                              "\"r\":1.00,\"nan\":null}");
}

Test(json_out, every_byte_of_a_string_survives_or_is_replaced)
{
    char bytes[256 + 2];
    for (unsigned i = 0; i < 128; i++) {
        bytes[i] = (char)(i + 1 < 128 ? i + 1 : 'x'); /* the parser refuses NUL */
    }
    memcpy(bytes + 128, "\xc3\xa9", 2);
    gfs_json_out_object(&out, NULL);
    gfs_json_out_slice(&out, "a", gfs_slice_of(bytes, 130));
    gfs_json_out_slice(&out, "bad", gfs_slice_of("\xff\xc3", 2));
    gfs_json_out_end_object(&out);
    struct gfs_json *document;
    struct gfs_error error = {0};
    cr_assert_eq(gfs_json_parse(gfs_buf_slice(&buf), &document, &error), GFS_OK, "%s", error.text);
    struct gfs_slice back = gfs_json_string(gfs_json_get(document, "a"));
    cr_assert(gfs_slice_eq(back, gfs_slice_of(bytes, 130)));
    back = gfs_json_string(gfs_json_get(document, "bad"));
    cr_assert(gfs_slice_eq_str(back, "\xef\xbf\xbd\xef\xbf\xbd"));
    gfs_json_free(document);
}
