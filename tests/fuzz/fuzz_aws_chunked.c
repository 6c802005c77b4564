/* Input: a byte for the form, one for the splitting, one for the length, the body. Any split of the
 * body, and any sink, must give the same bytes and the same end. */
#include "fuzz.h"
#include "gateway/aws_chunked.h"
#include "libgoodfs/buf.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

struct outcome {
    struct gfs_buf bytes;
    enum s3_err err;
    const char *message;
    char trailer[256];
    uint64_t sink_state; /* 0: the sink takes all */
};

static size_t sink(void *arg, const char *ptr, size_t len)
{
    struct outcome *outcome = arg;
    size_t taken = len;
    if (outcome->sink_state != 0) {
        size_t wanted = fuzz_step(&outcome->sink_state) - 1;
        taken = GFS_MIN(len, wanted);
    }
    gfs_buf_add(&outcome->bytes, ptr, taken);
    return taken;
}

static void run(const struct auth_result *auth, uint64_t decoded_len, struct gfs_slice body,
                uint64_t step_state, struct outcome *ret)
{
    struct aws_chunked *chunked =
        aws_chunked_new(auth, decoded_len, GFS_SLICE_LITERAL("x-amz-checksum-crc32"));
    size_t done = 0;
    gfs_buf_init(&ret->bytes, 1 << 20);
    ret->err = S3_OK;
    ret->message = NULL;
    ret->sink_state = step_state;
    while (done < body.len && ret->err == S3_OK) {
        size_t wanted = step_state == 0 ? body.len : fuzz_step(&step_state);
        size_t taken = 0, len = GFS_MIN(wanted, body.len - done);
        ret->err =
            aws_chunked_feed(chunked, body.ptr + done, len, sink, ret, &taken, &ret->message);
        FUZZ_CHECK(taken <= len);
        done += taken;
    }
    enum s3_err end = aws_chunked_end(chunked, &ret->message);
    FUZZ_CHECK(ret->err == S3_OK || ret->err == end);
    ret->err = end;
    FUZZ_CHECK(ret->bytes.len <= decoded_len);
    FUZZ_CHECK(end != S3_OK || ret->bytes.len == decoded_len);
    struct gfs_slice trailer = aws_chunked_trailer(chunked);
    FUZZ_CHECK(trailer.len < sizeof ret->trailer);
    memcpy(ret->trailer, trailer.ptr, trailer.len);
    ret->trailer[trailer.len] = '\0';
    aws_chunked_free(chunked);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum auth_payload forms[] = {AUTH_PAYLOAD_CHUNKS, AUTH_PAYLOAD_CHUNKS_TRAILER,
                                              AUTH_PAYLOAD_UNSIGNED_TRAILER};
    struct auth_result auth = {.amz_date = "20261121T065810Z",
                               .scope = "20261121/us-east-1/s3/aws4_request"};
    uint8_t seed[GFS_SHA256_LEN];
    struct outcome whole, split;
    if (size < 3) {
        return 0;
    }
    auth.payload = forms[data[0] % GFS_COUNT(forms)];
    gfs_sha256(GFS_SLICE_LITERAL("a signing key"), auth.signing_key);
    gfs_sha256(GFS_SLICE_LITERAL("a seed signature"), seed);
    gfs_hex_encode(seed, sizeof seed, auth.seed_signature);
    struct gfs_slice body = gfs_slice_of(data + 3, size - 3);
    run(&auth, data[2], body, 0, &whole);
    run(&auth, data[2], body, (uint64_t)data[1] + 1, &split);
    FUZZ_CHECK(whole.err == split.err);
    FUZZ_CHECK(whole.message == split.message);
    FUZZ_CHECK(gfs_slice_eq(gfs_buf_slice(&whole.bytes), gfs_buf_slice(&split.bytes)));
    FUZZ_CHECK(strcmp(whole.trailer, split.trailer) == 0);
    gfs_buf_fini(&whole.bytes);
    gfs_buf_fini(&split.bytes);
    return 0;
}
