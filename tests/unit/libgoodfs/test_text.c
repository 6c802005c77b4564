#include "libgoodfs/text.h"

#include <criterion/criterion.h>

#include "libgoodfs/mem.h"

#define LIT GFS_SLICE_LITERAL

Test(text, hex_goes_both_ways_and_refuses_the_rest)
{
    char hex[9];
    uint8_t bytes[4];
    gfs_hex_encode("\x00\xff\x5a\x0f", 4, hex);
    cr_assert_str_eq(hex, "00ff5a0f");
    cr_assert_eq(gfs_hex_decode(LIT("00Ff5A0f"), bytes, 4), GFS_OK);
    cr_assert_eq(memcmp(bytes, "\x00\xff\x5a\x0f", 4), 0);
    cr_assert_eq(gfs_hex_decode(LIT("00ff5a0"), bytes, 4), GFS_INVALID);
    cr_assert_eq(gfs_hex_decode(LIT("00ff5a0g"), bytes, 4), GFS_INVALID);
    cr_assert_eq(gfs_hex_decode(LIT("00ff5a@f"), bytes, 4), GFS_INVALID);
}

Test(text, base64_matches_rfc_4648)
{
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < GFS_COUNT(pairs); i++) {
        char text[16], back[16];
        size_t len = strlen(pairs[i][0]), back_len = 99;
        gfs_base64_encode(pairs[i][0], len, text);
        cr_assert_str_eq(text, pairs[i][1]);
        struct gfs_slice encoded = gfs_slice_str(text);
        cr_assert_eq(gfs_base64_decode(encoded, back, sizeof back, &back_len), GFS_OK);
        cr_assert_eq(back_len, len);
        cr_assert_eq(memcmp(back, pairs[i][0], len), 0);
        cr_assert_eq(gfs_base64_decode_exact(encoded, back, len), GFS_OK);
        cr_assert_eq(gfs_base64_decode_exact(encoded, back, len + 1), GFS_INVALID);
    }
}

Test(text, base64_is_strict)
{
    static const char *const bad[] = {
        "Z",    "Zg",   "Zg=",      "Zg===", "=g==",   "Z===", "====",
        "Zh==", "Zm9=", "Zm8=Zm8=", "Zm 8",  "Zm9v\n", "Zm-_", "Zg==Zg=="};
    for (size_t i = 0; i < GFS_COUNT(bad); i++) {
        char back[16];
        size_t len;
        cr_assert_eq(gfs_base64_decode(gfs_slice_str(bad[i]), back, sizeof back, &len), GFS_INVALID,
                     "%s", bad[i]);
    }
    char small[2];
    size_t len;
    cr_assert_eq(gfs_base64_decode(LIT("Zm9v"), small, sizeof small, &len), GFS_INVALID);
}

static void check_encode(struct gfs_slice text, bool keep_slash, const char *expected)
{
    struct gfs_buf out;
    gfs_buf_init(&out, 4096);
    gfs_uri_encode(&out, text, keep_slash);
    cr_assert(gfs_slice_eq_str(gfs_buf_slice(&out), expected), "%s", out.ptr);
    gfs_buf_fini(&out);
}

Test(text, uri_encoding_keeps_only_unreserved_characters)
{
    check_encode(LIT("AZaz09-._~"), false, "AZaz09-._~");
    check_encode(LIT("a/b c+d%\xc3\xa9*\0"), false, "a%2Fb%20c%2Bd%25%C3%A9%2A%00");
    check_encode(LIT("/a/b"), true, "/a/b");
    check_encode(LIT(""), true, "");
}

static void check_decode(const char *text, bool plus, const char *expected)
{
    char out[64];
    size_t len = 0;
    enum gfs_err err = gfs_uri_decode(gfs_slice_str(text), plus, out, &len);
    if (expected == NULL) {
        cr_assert_eq(err, GFS_INVALID, "%s", text);
    } else {
        cr_assert_eq(err, GFS_OK, "%s", text);
        cr_assert(gfs_slice_eq_str(gfs_slice_of(out, len), expected), "%s", text);
    }
}

Test(text, uri_decoding_happens_once)
{
    check_decode("a%2Fb%2fc", false, "a/b/c");
    check_decode("%257E+x", false, "%7E+x");
    check_decode("a+b%2B", true, "a b+");
    check_decode("%", false, NULL);
    check_decode("%4", false, NULL);
    check_decode("a%4G", false, NULL);
    check_decode("%+1", false, NULL);
}

Test(text, numbers_take_digits_only_and_know_their_maximum)
{
    uint64_t value = 5;
    cr_assert_eq(gfs_parse_u64(LIT("0012"), 12, &value), GFS_OK);
    cr_assert_eq(value, 12u);
    cr_assert_eq(gfs_parse_u64(LIT("13"), 12, &value), GFS_RANGE);
    cr_assert_eq(gfs_parse_u64(LIT("18446744073709551615"), UINT64_MAX, &value), GFS_OK);
    cr_assert_eq(value, UINT64_MAX);
    cr_assert_eq(gfs_parse_u64(LIT("18446744073709551616"), UINT64_MAX, &value), GFS_RANGE);
    cr_assert_eq(gfs_parse_u64(LIT("99999999999999999999999"), UINT64_MAX, &value), GFS_RANGE);
    static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "0x1", "1.0", "a"};
    for (size_t i = 0; i < GFS_COUNT(bad); i++) {
        cr_assert_eq(gfs_parse_u64(gfs_slice_str(bad[i]), UINT64_MAX, &value), GFS_INVALID);
    }
    cr_assert_eq(gfs_parse_u64(LIT("99999999999999999999999x"), UINT64_MAX, &value), GFS_INVALID);
    cr_assert_eq(gfs_parse_hex_u64(LIT("fFFFffffFFFFffff"), UINT64_MAX, &value), GFS_OK);
    cr_assert_eq(value, UINT64_MAX);
    cr_assert_eq(gfs_parse_hex_u64(LIT("10000000000000000"), UINT64_MAX, &value), GFS_RANGE);
    cr_assert_eq(gfs_parse_hex_u64(LIT("g"), UINT64_MAX, &value), GFS_INVALID);
}

Test(text, utf8_is_checked_to_the_letter)
{
    static const char *const good[] = {"",
                                       "abc",
                                       "\xc3\xa9",
                                       "\xe2\x82\xac",
                                       "\xf0\x9f\x98\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xc3",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "\xe2\x82",
                                      "a\xe2\x28\xa1"};
    for (size_t i = 0; i < GFS_COUNT(good); i++) {
        cr_assert(gfs_is_utf8(gfs_slice_str(good[i])), "good %zu", i);
    }
    for (size_t i = 0; i < GFS_COUNT(bad); i++) {
        cr_assert(!gfs_is_utf8(gfs_slice_str(bad[i])), "bad %zu", i);
    }
    cr_assert(gfs_is_utf8(LIT("a\0b")));
    cr_assert_eq(gfs_utf8_len(LIT("\xe2\x82\xac.")), 3u);
    cr_assert_eq(gfs_utf8_len(LIT("")), 0u);
}

Test(text, trims_both_ends)
{
    cr_assert(gfs_slice_eq_str(gfs_trim(LIT(" \t a b\t ")), "a b"));
    cr_assert_eq(gfs_trim(LIT(" \t ")).len, 0u);
}
