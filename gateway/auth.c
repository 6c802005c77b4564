/* Which mechanism a request uses, and its verification:
 *
 *   find the mechanism -> read the claim -> date and expiry -> look the secret up
 *   -> canonical request -> string to sign -> compare
 *
 * Nothing of a claim is trusted before the comparison. An unknown access key takes the same way
 * with a stand-in secret, so that it differs from a wrong signature by its answer only. */
#include "gateway/auth.h"

#include "gateway/auth_canonical.h"
#include "gateway/auth_claim.h"
#include "gateway/auth_payload.h"
#include "gateway/auth_signature.h"
#include "libgoodfs/limits.h"
#include "libgoodfs/mem.h"

enum { SKEW_MAX_S = 15 * 60 };

struct verify {
    struct auth_context context;
    const struct http_request *request;
    struct auth_query query; /* sorted */
    struct auth_claim claim;
    struct gfs_slice payload; /* last line of the canonical request */
    struct auth_result *ret;
};

static bool has_param(const struct auth_query *query, const char *name)
{
    struct auth_param param;
    return auth_query_find(query, name, &param) != 0;
}

/* Temporary credentials do not exist here; a token must not be skipped silently. */
static enum s3_err check_no_token(const struct verify *v)
{
    struct gfs_slice token;
    return auth_header(v->request, "x-amz-security-token", &token) != 0 ||
                   has_param(&v->query, "X-Amz-Security-Token")
               ? S3_InvalidToken
               : S3_OK;
}

static enum s3_err check_skew(const struct verify *v)
{
    int64_t now_s = v->context.options->now_s, date_s = v->claim.date_s;
    if (v->ret->is_presigned) {
        if (date_s > now_s + SKEW_MAX_S) {
            return auth_refuse(&v->context, S3_AccessDenied, "Request is not valid yet");
        }
        if (date_s + v->claim.expires_s < now_s) {
            return auth_refuse(&v->context, S3_AccessDenied, "Request has expired");
        }
        return S3_OK;
    }
    return date_s > now_s + SKEW_MAX_S || date_s < now_s - SKEW_MAX_S ? S3_RequestTimeTooSkewed
                                                                      : S3_OK;
}

/* Header authentication must say how the body is protected; a presigned URL may, in the header or
 * (some SDKs) in the query, and is unsigned otherwise. */
static enum s3_err find_payload(struct verify *v)
{
    struct gfs_slice value = {0};
    struct auth_param param;
    bool is_presigned = v->ret->is_presigned;
    uint32_t count = auth_header(v->request, "x-amz-content-sha256", &value);
    if (count > 1) {
        return auth_refuse(&v->context, S3_InvalidArgument,
                           "x-amz-content-sha256 must be given once.");
    }
    if (count == 0 && is_presigned &&
        auth_query_find(&v->query, "X-Amz-Content-Sha256", &param) != 0) {
        value = param.value; /* every valid value is spelled alike encoded and decoded */
    } else if (count == 0) {
        if (!is_presigned && !v->ret->is_anonymous) {
            return auth_refuse(&v->context, S3_InvalidRequest,
                               "Missing required header for this request: x-amz-content-sha256");
        }
        value = GFS_SLICE_LITERAL("UNSIGNED-PAYLOAD");
    }
    v->payload = value;
    return auth_payload_parse(&v->context, value, v->ret);
}

static enum s3_err refuse_unsigned(const struct verify *v, const struct auth_unsigned *problem)
{
    if (problem->not_covered.ptr != NULL) {
        return auth_refuse(&v->context, S3_AccessDenied,
                           "There were headers present in the request which were not signed: %.*s",
                           (int)GFS_MIN(problem->not_covered.len, (size_t)64),
                           problem->not_covered.ptr);
    }
    return auth_refuse(&v->context, S3_SignatureDoesNotMatch,
                       "The signed header \"%.*s\" is not in the request.",
                       (int)GFS_MIN(problem->missing.len, (size_t)64), problem->missing.ptr);
}

static bool signs_accept_encoding(const struct auth_claim *claim)
{
    return claim->signed_headers.len != 0 &&
           memmem(claim->signed_headers.ptr, claim->signed_headers.len, "accept-encoding", 15) !=
               NULL;
}

/* Builds and compares, with accept-encoding as received and, where it is signed, as proxies may
 * have found it. Leaves the canonical request as received in `canonical`. */
static enum s3_err compare(struct verify *v, struct gfs_buf *canonical, bool *ret_equal)
{
    static const char *const spellings[] = {NULL, "identity", "gzip", ""};
    struct gfs_buf GFS_CLEANUP(gfs_buf_fini) other;
    gfs_buf_init(&other, 0);
    size_t count = signs_accept_encoding(&v->claim) ? GFS_COUNT(spellings) : 1;
    *ret_equal = false;
    for (size_t i = 0; i < count && !*ret_equal; i++) {
        struct auth_unsigned problem;
        struct gfs_buf *out = i == 0 ? canonical : &other;
        struct auth_canonical in = {.request = v->request,
                                    .query = &v->query,
                                    .is_presigned = v->ret->is_presigned,
                                    .signed_headers = v->claim.signed_headers,
                                    .payload = v->payload,
                                    .accept_encoding = spellings[i]};
        enum s3_err err = auth_canonical_build(&in, out, &problem);
        if (err != S3_OK) {
            return err;
        }
        if (problem.not_covered.ptr != NULL || problem.missing.ptr != NULL) {
            return refuse_unsigned(v, &problem);
        }
        char signature[AUTH_SIGNATURE_LEN + 1];
        auth_signature(v->ret->signing_key, v->claim.amz_date, v->claim.scope, gfs_buf_slice(out),
                       signature);
        *ret_equal = v->claim.signature.len == AUTH_SIGNATURE_LEN &&
                     gfs_const_time_eq(signature, v->claim.signature.ptr, AUTH_SIGNATURE_LEN);
    }
    return S3_OK;
}

/* What AWS shows to a client whose signature is wrong: what the server signed. */
static void explain(const struct verify *v, const struct gfs_buf *canonical)
{
    struct auth_detail *detail = v->context.detail;
    char text[AUTH_STRING_TO_SIGN_MAX];
    size_t len =
        auth_string_to_sign(v->claim.amz_date, v->claim.scope, gfs_buf_slice(canonical), text);
    detail->canonical_request = gfs_arena_copy(v->context.arena, gfs_buf_slice(canonical));
    detail->string_to_sign = gfs_arena_copy(v->context.arena, gfs_slice_of(text, len));
    detail->signature = gfs_arena_copy(v->context.arena, v->claim.signature);
}

static enum s3_err verify_claim(struct verify *v)
{
    struct gfs_buf GFS_CLEANUP(gfs_buf_fini) canonical;
    gfs_buf_init(&canonical, 0);
    bool is_known = auth_signing_key(&v->context, &v->claim, v->ret->signing_key);
    bool is_equal = false;
    enum s3_err err = compare(v, &canonical, &is_equal);
    if (!is_known) {
        return S3_InvalidAccessKeyId;
    }
    if (err == S3_OK && !is_equal) {
        explain(v, &canonical);
        err = S3_SignatureDoesNotMatch;
    }
    if (err == S3_OK) {
        auth_result_fill(v->ret, &v->claim);
    }
    return err;
}

static enum s3_err verify_anonymous(struct verify *v)
{
    if (has_param(&v->query, "AWSAccessKeyId") || has_param(&v->query, "Signature")) {
        return auth_refuse(&v->context, S3_InvalidRequest,
                           "The authorization mechanism you have provided is not supported. Please "
                           "use AWS4-HMAC-SHA256.");
    }
    v->ret->is_anonymous = true;
    enum s3_err err = find_payload(v);
    if (err == S3_OK && (v->ret->payload == AUTH_PAYLOAD_CHUNKS ||
                         v->ret->payload == AUTH_PAYLOAD_CHUNKS_TRAILER)) {
        return auth_refuse(&v->context, S3_AccessDenied, "Signed chunks need a signed request.");
    }
    return err;
}

static enum s3_err verify_request(struct verify *v)
{
    struct gfs_slice authorization = {0};
    uint32_t count = auth_header(v->request, "authorization", &authorization);
    bool is_presigned = has_param(&v->query, "X-Amz-Algorithm") ||
                        has_param(&v->query, "X-Amz-Credential") ||
                        has_param(&v->query, "X-Amz-Signature");
    if (count > 1 || (count == 1 && (is_presigned || has_param(&v->query, "AWSAccessKeyId") ||
                                     has_param(&v->query, "Signature")))) {
        return auth_refuse(
            &v->context, S3_InvalidArgument,
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query "
            "parameter, Signature query string parameter or the Authorization header "
            "should be specified");
    }
    if (count == 0 && !is_presigned) {
        return verify_anonymous(v);
    }
    v->ret->is_presigned = is_presigned;
    enum s3_err err =
        is_presigned ? auth_claim_from_query(&v->context, &v->query, &v->claim)
                     : auth_claim_from_header(&v->context, v->request, authorization, &v->claim);
    if (err == S3_OK) {
        err = check_no_token(v);
    }
    if (err == S3_OK) {
        err = check_skew(v);
    }
    if (err == S3_OK) {
        err = find_payload(v);
    }
    return err != S3_OK ? err : verify_claim(v);
}

enum s3_err auth_verify(const struct auth_options *options, const struct http_request *request,
                        struct gfs_arena *arena, struct auth_result *ret,
                        struct auth_detail *ret_detail)
{
    memset(ret, 0, sizeof *ret);
    memset(ret_detail, 0, sizeof *ret_detail);
    ret_detail->server_time_s = options->now_s;
    if (request->header_count > GFS_HEADER_COUNT_MAX) {
        return S3_RequestHeaderSectionTooLarge;
    }
    struct verify v; /* not zeroed: the parameters alone are 6 KiB */
    v.context = (struct auth_context){.options = options, .arena = arena, .detail = ret_detail};
    v.request = request;
    v.claim = (struct auth_claim){0};
    v.payload = (struct gfs_slice){0};
    v.ret = ret;
    enum s3_err err = auth_query_init(&v.query, request->raw_query);
    if (err != S3_OK) {
        return err;
    }
    auth_query_sort(&v.query);
    err = verify_request(&v);
    auth_query_fini(&v.query);
    if (err != S3_OK) {
        memset(ret, 0, sizeof *ret); /* nothing of it may be used */
    }
    return err;
}
