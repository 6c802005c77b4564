#include "gateway/form_data.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "libgoodfs/buf.h"
#include "libgoodfs/mem.h"

#define TYPE "multipart/form-data; boundary=xYz"
#define FIELD(name, value)                                                                         \
    "--xYz\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n" value "\r\n"
#define FILE_PART(bytes)                                                                           \
    "--xYz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n"               \
    "Content-Type: text/plain\r\n\r\n" bytes "\r\n"
#define END "--xYz--\r\n"

struct outcome {
    struct form_data *form;
    struct gfs_buf bytes; /* of the file */
    enum s3_err err;
    const char *message;
    size_t sink_max; /* 0: all */
    bool was_told;   /* the stop at the file's first byte came before any of its bytes */
};

static size_t sink(void *arg, const char *ptr, size_t len)
{
    struct outcome *outcome = arg;
    size_t taken = outcome->sink_max == 0 ? len : GFS_MIN(len, outcome->sink_max);
    cr_assert(outcome->was_told);
    gfs_buf_add(&outcome->bytes, ptr, taken);
    return taken;
}

/* step: bytes offered at a time, 0: all. */
static void run(struct gfs_slice body, size_t step, struct outcome *ret)
{
    gfs_buf_init(&ret->bytes, 1 << 20);
    ret->message = NULL;
    ret->err = form_data_new(GFS_SLICE_LITERAL(TYPE), &ret->form, &ret->message);
    cr_assert_eq(ret->err, S3_OK);
    size_t done = 0;
    while (done < body.len && ret->err == S3_OK) {
        size_t len = step == 0 ? body.len - done : GFS_MIN(step, body.len - done);
        size_t taken = 0;
        ret->err =
            form_data_feed(ret->form, body.ptr + done, len, sink, ret, &taken, &ret->message);
        cr_assert(taken <= len);
        done += taken;
        ret->was_told = ret->was_told || form_data_has_file(ret->form);
    }
    enum s3_err end = form_data_end(ret->form, &ret->message);
    cr_assert(ret->err == S3_OK || end == ret->err);
    ret->err = end;
}

static void outcome_fini(struct outcome *outcome)
{
    gfs_buf_fini(&outcome->bytes);
    form_data_free(outcome->form);
}

static void check_value(const struct form_data *form, const char *name, const char *expected)
{
    struct gfs_slice value = form_data_value(form, name);
    cr_assert_not_null(value.ptr, "%s", name);
    cr_assert(gfs_slice_eq_str(value, expected), "%s: %.*s", name, (int)value.len, value.ptr);
}

static const size_t steps[] = {0, 1, 2, 3, 5, 7, 16, 61};

Test(form_data, gives_fields_and_file_however_the_input_is_split)
{
    static const char body[] = FIELD("key", "user/${filename}") FIELD("Content-Type", "text/plain")
        FIELD("empty", "") FIELD("tricky", "a\r\n--xY\r\r\n--\r\n-b")
            FILE_PART("one\r\n--xY two\r\n\r\n--xYx\r") END;
    static const size_t sink_maxima[] = {0, 1, 3};
    for (size_t i = 0; i < GFS_COUNT(steps); i++) {
        for (size_t j = 0; j < GFS_COUNT(sink_maxima); j++) {
            struct outcome outcome = {.sink_max = sink_maxima[j]};
            run(gfs_slice_str(body), steps[i], &outcome);
            cr_assert_eq(outcome.err, S3_OK, "%zu %s", steps[i], outcome.message);
            check_value(outcome.form, "key", "user/${filename}");
            check_value(outcome.form, "content-type", "text/plain");
            check_value(outcome.form, "empty", "");
            check_value(outcome.form, "tricky", "a\r\n--xY\r\r\n--\r\n-b");
            cr_assert_null(form_data_value(outcome.form, "file").ptr);
            cr_assert_eq(form_data_field_count(outcome.form), 4u);
            cr_assert(gfs_slice_eq_str(form_data_filename(outcome.form), "a.txt"));
            cr_assert(
                gfs_slice_eq_str(gfs_buf_slice(&outcome.bytes), "one\r\n--xY two\r\n\r\n--xYx\r"));
            outcome_fini(&outcome);
        }
    }
}

Test(form_data, stops_before_the_first_byte_of_the_file)
{
    static const char head[] = FIELD("key", "k");
    static const char body[] = FIELD("key", "k") FILE_PART("bytes") END;
    struct form_data *form = NULL;
    const char *message = NULL;
    size_t taken = 0;
    struct outcome outcome = {0};
    cr_assert_eq(form_data_new(GFS_SLICE_LITERAL(TYPE), &form, &message), S3_OK);
    cr_assert_eq(form_data_feed(form, body, sizeof body - 1, sink, &outcome, &taken, &message),
                 S3_OK);
    cr_assert(form_data_has_file(form));
    cr_assert(taken > sizeof head);
    cr_assert_eq(memcmp(body + taken, "bytes", 5), 0);
    form_data_free(form);
}

Test(form_data, an_empty_file_is_a_file)
{
    struct outcome outcome = {0};
    run(GFS_SLICE_LITERAL(FIELD("key", "k") FILE_PART("") END), 1, &outcome);
    cr_assert_eq(outcome.err, S3_OK);
    cr_assert(form_data_has_file(outcome.form));
    cr_assert_eq(outcome.bytes.len, 0u);
    outcome_fini(&outcome);
}

Test(form_data, parts_after_the_file_are_skipped)
{
    struct outcome outcome = {0};
    run(GFS_SLICE_LITERAL("\r\n" FIELD("key", "k") FILE_PART("x") FIELD("submit", "Upload")
                              FIELD("key", "other") "--xYz--"),
        0, &outcome);
    cr_assert_eq(outcome.err, S3_OK, "%s", outcome.message);
    check_value(outcome.form, "key", "k");
    cr_assert_null(form_data_value(outcome.form, "submit").ptr);
    cr_assert(gfs_slice_eq_str(gfs_buf_slice(&outcome.bytes), "x"));
    outcome_fini(&outcome);
}

Test(form_data, reads_names_as_browsers_and_libraries_write_them)
{
    struct outcome outcome = {0};
    run(GFS_SLICE_LITERAL(
            "--xYz\r\ncontent-disposition:form-data;name=KEY\r\n\r\nk\r\n"
            "--xYz\r\nX-Other: 1\r\nContent-Disposition: Form-Data; x=y; "
            "name=\"a\\\"b\"\r\nContent-Transfer-Encoding: binary\r\n\r\nv\r\n"
            "--xYz\r\nContent-Disposition: form-data; "
            "filename=\"C:\\dir\\my \\\"file\\\".txt\"; name=\"file\"\r\n\r\n\r\n" END),
        0, &outcome);
    cr_assert_eq(outcome.err, S3_OK, "%s", outcome.message);
    check_value(outcome.form, "key", "k");
    check_value(outcome.form, "a\"b", "v");
    cr_assert(gfs_slice_eq_str(form_data_filename(outcome.form), "my \"file\".txt"));
    outcome_fini(&outcome);
}

static void expect(const char *body, enum s3_err expected)
{
    for (size_t i = 0; i < GFS_COUNT(steps); i++) {
        struct outcome outcome = {0};
        run(gfs_slice_str(body), steps[i], &outcome);
        cr_assert_eq(outcome.err, expected, "step %zu %s: %s", steps[i], s3_err_code(outcome.err),
                     body);
        outcome_fini(&outcome);
    }
}

#define PART(headers) "--xYz\r\n" headers "\r\n\r\nv\r\n" FILE_PART("x") END

Test(form_data, malformed_bodies_are_refused)
{
    static const char *const bad[] = {
        "",
        "\r\n",
        "preamble\r\n" FILE_PART("x") END,
        "--xYz",
        "--xYZ\r\n",
        "--xYz\r\n\r\nno disposition\r\n" END,
        "--xYz \r\n",
        "--xYz\n",
        "--xYz-x",
        FILE_PART("x"),
        FILE_PART("x") "--xYz-",
        FILE_PART("x") END "x",
        FILE_PART("x") END "\r\n",
        FILE_PART("x") "--xYz--\r",
        FILE_PART("x") "--xYz\r\n",
        PART("Content-Disposition: form-data"),
        PART("Content-Disposition: form-data; name"),
        PART("Content-Disposition: form-data; name="),
        PART("Content-Disposition: form-data; name=\"\""),
        PART("Content-Disposition: form-data; name=\"a"),
        PART("Content-Disposition: form-data; name=\"a\"x"),
        PART("Content-Disposition: form-data; name=a; name=b"),
        PART("Content-Disposition: form-data; name=\"a\tb\""),
        PART("Content-Disposition: form-data; name=a; filename=b; filename=c"),
        PART("Content-Disposition: attachment; name=a"),
        PART("Content-Disposition: form-data name=a"),
        PART("Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b"),
        PART("Content-Disposition: form-data;\r\n name=a"),
        PART("Content-Disposition : form-data; name=a"),
        PART("Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64"),
        PART("Content-Disposition: form-data; name=a\r\nno colon"),
        PART("Content-Disposition: form-data; name=a\r\n: empty"),
        "--xYz\r\nContent-Disposition: form-data; name=a\n\r\nv\r\n" FILE_PART("x") END,
    };
    for (size_t i = 0; i < GFS_COUNT(bad); i++) {
        expect(bad[i], S3_MalformedPOSTRequest);
    }
}

Test(form_data, exactly_one_file_and_each_field_once)
{
    expect(FIELD("key", "k") END, S3_IncorrectNumberOfFilesInPostRequest);
    expect("--xYz--", S3_IncorrectNumberOfFilesInPostRequest);
    expect(FILE_PART("a") FILE_PART("b") END, S3_IncorrectNumberOfFilesInPostRequest);
    expect(FIELD("key", "k") FIELD("KEY", "l") FILE_PART("x") END, S3_InvalidArgument);
}

Test(form_data, what_stands_before_the_file_is_bounded)
{
    struct gfs_buf body;
    gfs_buf_init(&body, 64 * 1024);
    gfs_buf_add_str(&body, FILE_PART(""));
    size_t file_head = body.len - 2;
    size_t fixed = sizeof FIELD("key", "") - 1 + file_head;
    for (size_t over = 0; over < 2; over++) {
        gfs_buf_clear(&body);
        gfs_buf_add_str(&body, "--xYz\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\n");
        for (size_t i = 0; i < FORM_DATA_FIELDS_LEN_MAX - fixed + over; i++) {
            gfs_buf_add_char(&body, 'x');
        }
        gfs_buf_add_str(&body, "\r\n" FILE_PART("xyz") END);
        for (size_t i = 0; i < GFS_COUNT(steps); i++) {
            struct outcome outcome = {0};
            run(gfs_buf_slice(&body), steps[i], &outcome);
            cr_assert_eq(outcome.err, over == 0 ? S3_OK : S3_MaxPostPreDataLengthExceededError,
                         "%zu", steps[i]);
            outcome_fini(&outcome);
        }
    }
    gfs_buf_clear(&body);
    for (int i = 0; i < 300; i++) {
        gfs_buf_printf(&body, "--xYz\r\nContent-Disposition: form-data; name=n%d\r\n\r\n\r\n", i);
    }
    gfs_buf_add_str(&body, FILE_PART("x") END);
    expect(body.ptr, S3_MaxPostPreDataLengthExceededError);
    gfs_buf_fini(&body);
}

Test(form_data, the_content_type_must_have_a_good_boundary)
{
    static const struct {
        const char *type;
        enum s3_err err;
    } cases[] = {
        {"multipart/form-data; boundary=x", S3_OK},
        {"Multipart/Form-Data;charset=utf-8; BOUNDARY=\"a b:c\"", S3_OK},
        {"", S3_PreconditionFailed},
        {"text/plain", S3_PreconditionFailed},
        {"multipart/mixed; boundary=x", S3_PreconditionFailed},
        {"multipart/form-data", S3_MalformedPOSTRequest},
        {"multipart/form-data; boundary=", S3_MalformedPOSTRequest},
        {"multipart/form-data; boundary=\"\"", S3_MalformedPOSTRequest},
        {"multipart/form-data; boundary=\"a \"", S3_MalformedPOSTRequest},
        {"multipart/form-data; boundary=\"a{b\"", S3_MalformedPOSTRequest},
        {"multipart/form-data; boundary=a; boundary=b", S3_MalformedPOSTRequest},
        {"multipart/form-data; "
         "boundary=0123456789012345678901234567890123456789012345678901234567890"
         "123456789",
         S3_OK},
        {"multipart/form-data; "
         "boundary=0123456789012345678901234567890123456789012345678901234567890"
         "1234567890",
         S3_MalformedPOSTRequest},
    };
    for (size_t i = 0; i < GFS_COUNT(cases); i++) {
        struct form_data *form = NULL;
        const char *message = NULL;
        cr_assert_eq(form_data_new(gfs_slice_str(cases[i].type), &form, &message), cases[i].err,
                     "%s", cases[i].type);
        cr_assert_eq(form != NULL, cases[i].err == S3_OK);
        form_data_free(form);
    }
}
