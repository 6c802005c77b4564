#include "gateway/aws_chunked.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/auth_key.h"
#include "libgoodfs/buf.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

struct piece {
    const char *text;
    size_t payload_len;
};

/* Signed with hmac and hashlib alone. */
static const struct vector {
    const char *name;
    enum auth_payload form;
    uint64_t decoded_len;
    const char *trailer;
    struct piece pieces[6];
} vectors[] = {
#include "chunk_vectors.inc"
};

#define BODY_MAX 70000

/* What came out, and how it ended. */
struct outcome {
    struct gfs_buf bytes;
    enum s3_err err;
    const char *message;
    char trailer[128];
    size_t sink_max; /* the sink takes at most this many at a time; 0: all */
};

static size_t sink(void *arg, const char *ptr, size_t len)
{
    struct outcome *outcome = arg;
    size_t taken = outcome->sink_max == 0 ? len : GFS_MIN(len, outcome->sink_max);
    gfs_buf_add(&outcome->bytes, ptr, taken);
    return taken;
}

static struct auth_result auth_of(enum auth_payload form)
{
    struct auth_result auth = {.payload = form,
                               .amz_date = "20261121T065810Z",
                               .scope = "20261121/us-east-1/s3/aws4_request"};
    gfs_sha256(GFS_SLICE_LITERAL("a signing key"), auth.signing_key);
    uint8_t seed[GFS_SHA256_LEN];
    gfs_sha256(GFS_SLICE_LITERAL("a seed signature"), seed);
    gfs_hex_encode(seed, sizeof seed, auth.seed_signature);
    return auth;
}

/* Feeds body in steps whose sizes `step` gives (0: whole). */
static void run(const struct auth_result *auth, uint64_t decoded_len, const char *declared,
                struct gfs_slice body, size_t (*step)(void), struct outcome *ret)
{
    struct aws_chunked *chunked = aws_chunked_new(auth, decoded_len, gfs_slice_str(declared));
    size_t done = 0;
    gfs_buf_init(&ret->bytes, BODY_MAX);
    ret->err = S3_OK;
    ret->message = NULL;
    while (done < body.len && ret->err == S3_OK) {
        size_t wanted = step == NULL ? body.len : step();
        size_t len = GFS_MIN(wanted, body.len - done);
        size_t taken = 0;
        ret->err =
            aws_chunked_feed(chunked, body.ptr + done, len, sink, ret, &taken, &ret->message);
        done += taken;
    }
    enum s3_err end = aws_chunked_end(chunked, &ret->message);
    if (ret->err != S3_OK) {
        cr_assert_eq(end, ret->err); /* a refusal is final */
    }
    ret->err = end;
    struct gfs_slice trailer = aws_chunked_trailer(chunked);
    memcpy(ret->trailer, trailer.ptr, trailer.len);
    ret->trailer[trailer.len] = '\0';
    aws_chunked_free(chunked);
}

static uint8_t payload_byte(size_t i)
{
    return (uint8_t)(i * 7 + i / 251);
}

static void build(const struct vector *vector, struct gfs_buf *out)
{
    size_t at = 0;
    gfs_buf_init(out, BODY_MAX);
    for (size_t i = 0; i < GFS_COUNT(vector->pieces) && vector->pieces[i].text != NULL; i++) {
        gfs_buf_add_str(out, vector->pieces[i].text);
        size_t len = vector->pieces[i].payload_len;
        for (size_t j = 0; j < len; j++) {
            gfs_buf_add_char(out, (char)payload_byte(at++));
        }
        gfs_buf_add(out, "\r\n", len == 0 ? 0 : 2);
    }
}

static const char *declared_of(const struct vector *vector)
{
    return vector->form == AUTH_PAYLOAD_CHUNKS ? "" : "x-amz-checksum-crc32";
}

static void check(const struct vector *vector, size_t (*step)(void), size_t sink_max)
{
    struct gfs_buf body;
    struct auth_result auth = auth_of(vector->form);
    struct outcome outcome = {.sink_max = sink_max};
    build(vector, &body);
    run(&auth, vector->decoded_len, declared_of(vector), gfs_buf_slice(&body), step, &outcome);
    cr_assert_eq(outcome.err, S3_OK, "%s: %s", vector->name, outcome.message);
    cr_assert_eq(outcome.bytes.len, vector->decoded_len, "%s", vector->name);
    for (size_t i = 0; i < outcome.bytes.len; i++) {
        cr_assert_eq((uint8_t)outcome.bytes.ptr[i], payload_byte(i));
    }
    cr_assert_str_eq(outcome.trailer, vector->trailer);
    gfs_buf_fini(&outcome.bytes);
    gfs_buf_fini(&body);
}

static size_t one_byte(void)
{
    return 1;
}

static uint64_t random_state;

static size_t random_step(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    size_t bits = (size_t)(random_state >> 60); /* lengths of every magnitude */
    return 1 + (size_t)(random_state >> 33) % ((size_t)1 << bits);
}

Test(aws_chunked, decodes_all_forms_however_the_input_is_split)
{
    for (size_t i = 0; i < GFS_COUNT(vectors); i++) {
        check(&vectors[i], NULL, 0);
        check(&vectors[i], one_byte, 0);
        for (random_state = 1; random_state < 20; random_state++) {
            uint64_t seed = random_state;
            check(&vectors[i], random_step, 0);
            random_state = seed;
        }
        check(&vectors[i], NULL, 1);
        check(&vectors[i], random_step, 1000);
    }
}

/* "Signature Calculations for the Authorization Header: Transferring Payload in Multiple Chunks" */
Test(aws_chunked, accepts_the_example_of_the_s3_reference)
{
    struct auth_result auth = {
        .payload = AUTH_PAYLOAD_CHUNKS,
        .amz_date = "20130524T000000Z",
        .scope = "20130524/us-east-1/s3/aws4_request",
        .seed_signature = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"};
    auth_key_get(GFS_SLICE_LITERAL("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
                 GFS_SLICE_LITERAL("20130524"), GFS_SLICE_LITERAL("us-east-1"),
                 GFS_SLICE_LITERAL("s3"), auth.signing_key);
    struct gfs_buf body;
    gfs_buf_init(&body, BODY_MAX);
    gfs_buf_add_str(&body, "10000;chunk-signature="
                           "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n");
    memset(gfs_buf_reserve(&body, 65536), 'a', 65536);
    body.len += 65536;
    gfs_buf_add_str(&body, "\r\n400;chunk-signature="
                           "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n");
    memset(gfs_buf_reserve(&body, 1024), 'a', 1024);
    body.len += 1024;
    gfs_buf_add_str(&body,
                    "\r\n0;chunk-signature="
                    "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n");
    struct outcome outcome = {0};
    run(&auth, 66560, "", gfs_buf_slice(&body), NULL, &outcome);
    cr_assert_eq(outcome.err, S3_OK, "%s", outcome.message);
    cr_assert_eq(outcome.bytes.len, 66560u);
    gfs_buf_fini(&outcome.bytes);
    gfs_buf_fini(&body);
}

/* Every single byte of a signed body changed in turn: none of them may pass. */
Test(aws_chunked, no_byte_of_a_signed_body_may_change)
{
    for (size_t i = 0; i < GFS_COUNT(vectors); i++) {
        const struct vector *vector = &vectors[i];
        struct auth_result auth = auth_of(vector->form);
        struct gfs_buf body;
        if (vector->form == AUTH_PAYLOAD_UNSIGNED_TRAILER || vector->decoded_len > 100) {
            continue;
        }
        build(vector, &body);
        for (size_t at = 0; at < body.len; at++) {
            struct outcome outcome = {0};
            body.ptr[at] ^= 0x08;
            run(&auth, vector->decoded_len, declared_of(vector), gfs_buf_slice(&body), NULL,
                &outcome);
            cr_assert_neq(outcome.err, S3_OK, "%s at %zu", vector->name, at);
            gfs_buf_fini(&outcome.bytes);
            body.ptr[at] ^= 0x08;
        }
        gfs_buf_fini(&body);
    }
}

Test(aws_chunked, no_part_of_a_body_may_be_missing)
{
    for (size_t i = 0; i < GFS_COUNT(vectors); i++) {
        const struct vector *vector = &vectors[i];
        struct auth_result auth = auth_of(vector->form);
        struct gfs_buf body;
        if (vector->decoded_len > 100) {
            continue;
        }
        build(vector, &body);
        for (size_t len = 0; len < body.len; len++) {
            struct outcome outcome = {0};
            run(&auth, vector->decoded_len, declared_of(vector), gfs_slice_of(body.ptr, len), NULL,
                &outcome);
            cr_assert_eq(outcome.err, S3_IncompleteBody, "%s at %zu", vector->name, len);
            cr_assert_str_eq(outcome.trailer, "");
            gfs_buf_fini(&outcome.bytes);
        }
        gfs_buf_fini(&body);
    }
}

struct bad {
    const char *body;
    uint64_t decoded_len;
    const char *declared;
    enum s3_err err;
};

static void check_bad(enum auth_payload form, const struct bad *bad)
{
    struct auth_result auth = auth_of(form);
    size_t (*const steps[])(void) = {NULL, one_byte};
    char messages[2][128] = {"", ""};
    size_t lens[2];
    for (size_t i = 0; i < GFS_COUNT(steps); i++) {
        struct outcome outcome = {0};
        run(&auth, bad->decoded_len, bad->declared, gfs_slice_str(bad->body), steps[i], &outcome);
        cr_assert_eq(outcome.err, bad->err, "%s: %s", bad->body, s3_err_code(outcome.err));
        cr_assert_not_null(outcome.message);
        (void)snprintf(messages[i], sizeof messages[i], "%s", outcome.message);
        lens[i] = outcome.bytes.len;
        gfs_buf_fini(&outcome.bytes);
    }
    cr_assert_str_eq(messages[0], messages[1], "%s", bad->body);
    cr_assert_eq(lens[0], lens[1]);
}

#define CRC "x-amz-checksum-crc32"
#define LONG16 "aaaaaaaaaaaaaaaa"
#define LONG256                                                                                    \
    LONG16 LONG16 LONG16 LONG16 LONG16 LONG16 LONG16 LONG16 LONG16 LONG16 LONG16 LONG16 LONG16     \
        LONG16 LONG16 LONG16

Test(aws_chunked, malformed_unsigned_bodies_are_refused)
{
    static const struct bad cases[] = {
        {"", 0, "", S3_IncompleteBody},
        {"5\r\nhello\r\n", 5, "", S3_IncompleteBody},
        {"5\r\nhello\r\n0\r\n", 5, "", S3_IncompleteBody},
        {"5\r\nhello\r\n0\r\n\r\n", 6, "", S3_IncompleteBody},
        {"5\r\nhello\r\n0\r\n\r\n", 4, "", S3_InvalidRequest},
        {"5\r\nhello\r\n0\r\n\r\nx", 5, "", S3_InvalidRequest},
        {"5\r\nhello\r\n0\r\n\r\n\r\n", 5, "", S3_InvalidRequest},
        {"5\nhello\n0\n\n", 5, "", S3_InvalidRequest},
        {"5\r\nhello\n0\r\n\r\n", 5, "", S3_InvalidRequest},
        {"5\r\nhellox\r\n0\r\n\r\n", 5, "", S3_InvalidRequest},
        {"5\r\nhello\rx0\r\n\r\n", 5, "", S3_InvalidRequest},
        {"5\r\r\nhello\r\n0\r\n\r\n", 5, "", S3_InvalidRequest},
        {"\r\n", 0, "", S3_InvalidRequest},
        {"-1\r\nx", 1, "", S3_InvalidRequest},
        {"+1\r\nx\r\n0\r\n\r\n", 1, "", S3_InvalidRequest},
        {"0x1\r\nx\r\n0\r\n\r\n", 1, "", S3_InvalidRequest},
        {" 1\r\nx\r\n0\r\n\r\n", 1, "", S3_InvalidRequest},
        {"1 \r\nx\r\n0\r\n\r\n", 1, "", S3_InvalidRequest},
        {"ffffffffffffffff\r\nx", 1, "", S3_InvalidRequest},
        {"8000000000000000\r\nx", 1, "", S3_InvalidRequest},
        {"10000000000000001\r\nx", 1, "", S3_InvalidRequest},
        {"00000000000000001\r\nx\r\n0\r\n\r\n", 1, "", S3_InvalidRequest},
        {"1;" LONG256 "\r\nx\r\n0\r\n\r\n", 1, "", S3_InvalidRequest},
        {LONG256 LONG256, 1, "", S3_InvalidRequest},
        {"1;a=\tb\r\nx\r\n0\r\n\r\n", 1, "", S3_InvalidRequest},
        {"0\r\n\r\n", 0, CRC, S3_InvalidRequest},
        {"0\r\n" CRC ":AAAAAA==\r\n\r\n", 0, "", S3_InvalidRequest},
        {"0\r\nx-amz-checksum-sha1:AAAAAA==\r\n\r\n", 0, CRC, S3_InvalidRequest},
        {"0\r\n" CRC ":AAAAAA==\r\n" CRC ":AAAAAA==\r\n\r\n", 0, CRC, S3_InvalidRequest},
        {"0\r\n" CRC "\r\n\r\n", 0, CRC, S3_InvalidRequest},
        {"0\r\n" CRC ":AAAAAA==\n\r\n", 0, CRC, S3_InvalidRequest},
        {"0\r\n" CRC ":" LONG256 "\r\n\r\n", 0, CRC, S3_InvalidRequest},
        {"0\r\n" CRC ":AAAAAA==\r\n", 0, CRC, S3_IncompleteBody},
        {"0\r\n\r\n", 0, LONG256, S3_InvalidRequest},
    };
    for (size_t i = 0; i < GFS_COUNT(cases); i++) {
        check_bad(AUTH_PAYLOAD_UNSIGNED_TRAILER, &cases[i]);
    }
}

#define SIG "0000000000000000000000000000000000000000000000000000000000000000"

Test(aws_chunked, malformed_signed_bodies_are_refused)
{
    static const struct bad cases[] = {
        {"0\r\n\r\n", 0, "", S3_InvalidRequest},
        {"0;chunk-signature=00\r\n\r\n", 0, "", S3_InvalidRequest},
        {"0;chunk-signature=" SIG SIG "\r\n\r\n", 0, "", S3_InvalidRequest},
        {"0;chunk-signature=" SIG ";chunk-signature=" SIG "\r\n\r\n", 0, "", S3_InvalidRequest},
        {"0;chunk-signature=" SIG "\r\n\r\n", 0, "", S3_SignatureDoesNotMatch},
        {"1;chunk-signature=" SIG "\r\nx", 1, "", S3_SignatureDoesNotMatch},
        {"0;chunk-signature=edadb9af12c0c439ab2e8910f6fb5f1780edda2de510a3d555033e2b2bc7e477\r\n"
         "a:b\r\n\r\n",
         0, "", S3_InvalidRequest},
    };
    for (size_t i = 0; i < GFS_COUNT(cases); i++) {
        check_bad(AUTH_PAYLOAD_CHUNKS, &cases[i]);
    }
    static const struct bad with_trailer[] = {
        {"0;chunk-signature="
         "edadb9af12c0c439ab2e8910f6fb5f1780edda2de510a3d555033e2b2bc7e477\r\n" CRC
         ":AAAAAA==\r\n\r\n",
         0, CRC, S3_InvalidRequest},
        {"0;chunk-signature="
         "edadb9af12c0c439ab2e8910f6fb5f1780edda2de510a3d555033e2b2bc7e477\r\n" CRC
         ":AAAAAA==\r\nx-amz-trailer-signature:" SIG "\r\n\r\n",
         0, CRC, S3_SignatureDoesNotMatch},
        {"0;chunk-signature="
         "edadb9af12c0c439ab2e8910f6fb5f1780edda2de510a3d555033e2b2bc7e477\r\n" CRC
         ":AAAAAA==\r\nx-amz-trailer-signature:00\r\n\r\n",
         0, CRC, S3_InvalidRequest},
    };
    for (size_t i = 0; i < GFS_COUNT(with_trailer); i++) {
        check_bad(AUTH_PAYLOAD_CHUNKS_TRAILER, &with_trailer[i]);
    }
}

Test(aws_chunked, trailer_names_compare_without_case_and_extensions_are_skipped)
{
    struct auth_result auth = auth_of(AUTH_PAYLOAD_UNSIGNED_TRAILER);
    struct outcome outcome = {0};
    run(&auth, 10, CRC,
        GFS_SLICE_LITERAL(
            "A;ext=1;x\r\n0123456789\r\n000;y\r\nX-Amz-Checksum-CRC32: AAAAAA== \r\n\r\n"),
        one_byte, &outcome);
    cr_assert_eq(outcome.err, S3_OK, "%s", outcome.message);
    cr_assert_str_eq(outcome.trailer, "AAAAAA==");
    gfs_buf_fini(&outcome.bytes);
}
