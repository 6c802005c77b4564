/* Input: any bytes, through every codec: what is written must be read back, and what is read must
 * be written alike. */
#include "fuzz.h"
#include "gateway/auth_query.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

enum { LEN_MAX = 4096 };

static void binary(struct gfs_slice bytes)
{
    char text[2 * LEN_MAX + 4], back[LEN_MAX + 4];
    size_t len = 0;
    gfs_hex_encode(bytes.ptr, bytes.len, text);
    FUZZ_CHECK(gfs_hex_decode(gfs_slice_str(text), back, bytes.len) == GFS_OK);
    FUZZ_CHECK(gfs_slice_eq(bytes, gfs_slice_of(back, bytes.len)));
    gfs_base64_encode(bytes.ptr, bytes.len, text);
    FUZZ_CHECK(strlen(text) == GFS_BASE64_LEN(bytes.len));
    FUZZ_CHECK(gfs_base64_decode(gfs_slice_str(text), back, sizeof back, &len) == GFS_OK);
    FUZZ_CHECK(gfs_slice_eq(bytes, gfs_slice_of(back, len)));
}

/* The other way: one text for each value, so what decodes must encode to itself. */
static void text_of_binary(struct gfs_slice text)
{
    char bytes[LEN_MAX], again[2 * LEN_MAX + 4];
    size_t len = 0;
    if (gfs_base64_decode(text, bytes, sizeof bytes, &len) == GFS_OK) {
        gfs_base64_encode(bytes, len, again);
        FUZZ_CHECK(gfs_slice_eq_str(text, again));
        FUZZ_CHECK(gfs_base64_decode_exact(text, bytes, len) == GFS_OK);
    }
    if (gfs_hex_decode(text, bytes, text.len / 2) == GFS_OK) {
        gfs_hex_encode(bytes, text.len / 2, again);
        FUZZ_CHECK(gfs_slice_case_eq(text, gfs_slice_str(again)));
    }
}

/* auth_recode must be decoding followed by encoding. */
static void uri(struct gfs_slice bytes)
{
    char decoded[3 * LEN_MAX + 1], recoded[3 * LEN_MAX + 1];
    size_t len = 0;
    struct gfs_buf out;
    gfs_buf_init(&out, 3 * LEN_MAX);
    gfs_uri_encode(&out, bytes, false);
    FUZZ_CHECK(gfs_uri_decode(gfs_buf_slice(&out), true, decoded, &len) == GFS_OK);
    FUZZ_CHECK(gfs_slice_eq(bytes, gfs_slice_of(decoded, len)));
    for (int plus = 0; plus < 2; plus++) {
        char *end = auth_recode(bytes, plus != 0, false, recoded);
        enum gfs_err err = gfs_uri_decode(bytes, plus != 0, decoded, &len);
        FUZZ_CHECK((end == NULL) == (err != GFS_OK));
        if (end != NULL) {
            gfs_buf_clear(&out);
            gfs_uri_encode(&out, gfs_slice_of(decoded, len), false);
            FUZZ_CHECK(
                gfs_slice_eq(gfs_buf_slice(&out), gfs_slice_of(recoded, (size_t)(end - recoded))));
        }
    }
    gfs_buf_fini(&out);
}

static void numbers_and_dates(struct gfs_slice text)
{
    uint64_t value;
    int64_t time, again;
    char written[32];
    if (gfs_parse_u64(text, UINT64_MAX, &value) == GFS_OK) {
        (void)snprintf(written, sizeof written, "%lu", (unsigned long)value);
        while (text.len > 1 && text.ptr[0] == '0') {
            text = gfs_slice_of(text.ptr + 1, text.len - 1);
        }
        FUZZ_CHECK(gfs_slice_eq_str(text, written));
    }
    if (gfs_parse_http_date(text, &time) == GFS_OK) {
        gfs_http_date(time, written);
        FUZZ_CHECK(gfs_parse_http_date(gfs_slice_str(written), &again) == GFS_OK && again == time);
    }
    if (gfs_parse_iso_date(text, &time) == GFS_OK) {
        gfs_iso_date(time, written);
        FUZZ_CHECK(gfs_parse_iso_date(gfs_slice_str(written), &again) == GFS_OK && again == time);
    }
    if (gfs_parse_amz_date(text, &time) == GFS_OK) {
        gfs_amz_date(time, written);
        FUZZ_CHECK(gfs_slice_eq_str(text, written));
    }
}

/* Each character by itself must say what the whole says. */
static void utf8(struct gfs_slice text)
{
    size_t at = 0;
    while (at < text.len) {
        size_t len = gfs_utf8_len(gfs_slice_of(text.ptr + at, text.len - at));
        if (len == 0) {
            break;
        }
        FUZZ_CHECK(gfs_is_utf8(gfs_slice_of(text.ptr + at, len)));
        at += len;
    }
    FUZZ_CHECK(gfs_is_utf8(text) == (at == text.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gfs_slice bytes = gfs_slice_of(data, GFS_MIN(size, (size_t)LEN_MAX));
    binary(bytes);
    text_of_binary(bytes);
    uri(bytes);
    numbers_and_dates(bytes);
    utf8(bytes);
    return 0;
}
