#include "libgoodfs/digest.h"

#include <criterion/criterion.h>

#include "libgoodfs/text.h"

static void assert_hex(const uint8_t *got, size_t len, const char *expected)
{
    char hex[2 * GFS_DIGEST_LEN_MAX + 1];
    gfs_hex_encode(got, len, hex);
    cr_assert_str_eq(hex, expected);
}

static void check(enum gfs_digest_algo algo, const char *text, const char *expected)
{
    struct gfs_digest digest;
    uint8_t out[GFS_DIGEST_LEN_MAX];
    gfs_digest_init(&digest, algo);
    for (const char *at = text; *at != '\0'; at++) {
        gfs_digest_add(&digest, at, 1);
    }
    gfs_digest_fini(&digest, out);
    assert_hex(out, gfs_digest_len(algo), expected);
}

Test(digest, matches_the_standards_vectors)
{
    check(GFS_MD5, "", "d41d8cd98f00b204e9800998ecf8427e");
    check(GFS_MD5, "message digest", "f96b697d7cb7938d525a2f31aaf161d0");
    check(GFS_SHA1, "abc", "a9993e364706816aba3e25717850c26c9cd0d89d");
    check(GFS_SHA256, "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check(GFS_SHA256, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

Test(digest, whole_and_streamed_agree)
{
    uint8_t out[GFS_SHA256_LEN];
    gfs_md5(GFS_SLICE_LITERAL("message digest"), out);
    assert_hex(out, GFS_MD5_LEN, "f96b697d7cb7938d525a2f31aaf161d0");
    gfs_sha256(GFS_SLICE_LITERAL("abc"), out);
    assert_hex(out, GFS_SHA256_LEN,
               "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

Test(digest, a_copy_goes_on_by_itself)
{
    struct gfs_digest digest, copy;
    uint8_t out[GFS_SHA256_LEN];
    gfs_digest_init(&digest, GFS_SHA256);
    gfs_digest_add(&digest, "ab", 2);
    copy = digest;
    gfs_digest_add(&digest, "x", 1);
    gfs_digest_fini(&digest, out);
    gfs_digest_add(&copy, "c", 1);
    gfs_digest_fini(&copy, out);
    assert_hex(out, GFS_SHA256_LEN,
               "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

/* RFC 4231 */
Test(digest, hmac_matches_rfc_4231)
{
    uint8_t out[GFS_SHA256_LEN], key[131];
    gfs_hmac_sha256(GFS_SLICE_LITERAL("Jefe"), GFS_SLICE_LITERAL("what do ya want for nothing?"),
                    out);
    assert_hex(out, sizeof out, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0x0b, 20);
    gfs_hmac_sha256(gfs_slice_of(key, 20), GFS_SLICE_LITERAL("Hi There"), out);
    assert_hex(out, sizeof out, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    memset(key, 0xaa, sizeof key);
    gfs_hmac_sha256(gfs_slice_of(key, sizeof key),
                    GFS_SLICE_LITERAL("Test Using Larger Than Block-Size Key - Hash Key First"),
                    out);
    assert_hex(out, sizeof out, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

Test(digest, compares_and_draws)
{
    cr_assert(gfs_const_time_eq("abc", "abc", 3));
    cr_assert(!gfs_const_time_eq("abc", "abd", 3));
    cr_assert(gfs_const_time_eq("abc", "abd", 2));
    uint8_t a[32] = {0}, b[32] = {0};
    gfs_random(a, sizeof a);
    gfs_random(b, sizeof b);
    cr_assert(!gfs_const_time_eq(a, b, sizeof a));
}
