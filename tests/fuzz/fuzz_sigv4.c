/* Input: "METHOD TARGET\n" and "name:value\n" lines. It must be answered without harm, nothing but
 * the known key may verify, and what is signed here must verify, whatever the target and headers
 * are. */
#include "fuzz.h"
#include "gateway/auth.h"
#include "libgoodfs/limits.h"
#include "libgoodfs/text.h"

#define ACCESS_KEY "GFSEXAMPLEACCESSKEY1"
#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define NOW_S 1795244290 /* 2026-11-21T06:58:10Z */

enum { OWN_COUNT = 4 };

static bool find(void *arg, struct gfs_slice access_key, char *ret_secret)
{
    (void)arg;
    memcpy(ret_secret, SECRET, sizeof SECRET);
    return gfs_slice_eq_str(access_key, ACCESS_KEY);
}

static bool is_own(struct gfs_slice name)
{
    return gfs_slice_eq_str(name, "authorization") || gfs_slice_eq_str(name, "host") ||
           gfs_slice_eq_str(name, "date") || gfs_slice_eq_str(name, "x-amz-date") ||
           gfs_slice_eq_str(name, "x-amz-content-sha256") ||
           gfs_slice_eq_str(name, "x-amz-security-token");
}

/* What the server's framing lets through as a name that can be signed. */
static bool is_name(struct gfs_slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        unsigned char byte = (unsigned char)name.ptr[i];
        if (byte <= ' ' || byte >= 0x7f || strchr("()<>@,;:\\\"/[]?={}", byte) != NULL ||
            (byte >= 'A' && byte <= 'Z')) {
            return false;
        }
    }
    return name.len != 0;
}

static bool names_auth(struct gfs_slice query)
{
    char decoded[1 << 16];
    size_t len = 0;
    if (query.len > sizeof decoded || gfs_uri_decode(query, true, decoded, &len) != GFS_OK) {
        return true;
    }
    return memmem(decoded, len, "X-Amz-", 6) != NULL ||
           memmem(decoded, len, "Signature", 9) != NULL ||
           memmem(decoded, len, "AWSAccessKeyId", 14) != NULL;
}

/* Signs the same target and headers with the known key: that must verify. */
static void sign_and_verify(const struct auth_options *options, const struct http_request *request)
{
    struct http_header headers[GFS_HEADER_COUNT_MAX];
    struct http_request own = *request;
    struct gfs_arena arena;
    struct auth_result result;
    struct auth_detail detail;
    uint32_t count = 0;
    for (uint32_t i = 0; i < request->header_count && count < GFS_HEADER_COUNT_MAX - OWN_COUNT;
         i++) {
        if (is_name(request->headers[i].name) && !is_own(request->headers[i].name)) {
            headers[count++] = request->headers[i];
        }
    }
    headers[count++] = (struct http_header){GFS_SLICE_LITERAL("host"), GFS_SLICE_LITERAL("h")};
    headers[count++] = (struct http_header){GFS_SLICE_LITERAL("x-amz-date"),
                                            GFS_SLICE_LITERAL("20261121T065810Z")};
    headers[count++] = (struct http_header){GFS_SLICE_LITERAL("x-amz-content-sha256"),
                                            GFS_SLICE_LITERAL("UNSIGNED-PAYLOAD")};
    own.headers = headers;
    own.header_count = count;
    gfs_arena_init(&arena, 1 << 20);
    struct auth_signer signer = {.access_key = GFS_SLICE_LITERAL(ACCESS_KEY),
                                 .secret = GFS_SLICE_LITERAL(SECRET),
                                 .region = GFS_SLICE_LITERAL("us-east-1")};
    char *value = auth_sign(&signer, &own, &arena);
    if (value != NULL && !names_auth(request->raw_query)) {
        headers[count] =
            (struct http_header){GFS_SLICE_LITERAL("authorization"), gfs_slice_str(value)};
        own.header_count = count + 1;
        FUZZ_CHECK(auth_verify(options, &own, &arena, &result, &detail) == S3_OK);
        FUZZ_CHECK(!result.is_anonymous);
    }
    gfs_arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gfs_slice rest = gfs_slice_of(data, size);
    struct gfs_slice target = fuzz_line(&rest);
    struct http_header headers[GFS_HEADER_COUNT_MAX + 2];
    struct http_request request = {.headers = headers};
    request.method_text = fuzz_cut(&target, ' ');
    request.raw_path = fuzz_cut(&target, '?');
    request.raw_query = target;
    while (rest.len != 0 && request.header_count < GFS_HEADER_COUNT_MAX + 2) {
        struct gfs_slice line = fuzz_line(&rest);
        headers[request.header_count].name = fuzz_cut(&line, ':');
        headers[request.header_count++].value = gfs_trim(line);
    }
    struct auth_options options = {.keys = {.find = find}, .now_s = NOW_S};
    struct auth_result result;
    struct auth_detail detail;
    struct gfs_arena arena;
    gfs_arena_init(&arena, 1 << 20);
    enum s3_err err = auth_verify(&options, &request, &arena, &result, &detail);
    if (err == S3_OK && !result.is_anonymous) {
        FUZZ_CHECK(gfs_slice_eq_str(result.access_key, ACCESS_KEY));
        FUZZ_CHECK(strlen(result.scope) < sizeof result.scope);
    } else {
        FUZZ_CHECK(result.access_key.len == 0);
    }
    gfs_arena_fini(&arena);
    sign_and_verify(&options, &request);
    return 0;
}
