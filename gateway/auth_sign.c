/* The client's side, for the bench, tests and the operator's command. */
#include <stdlib.h>

#include "gateway/auth_canonical.h"
#include "gateway/auth_key.h"
#include "gateway/auth_signature.h"
#include "libgoodfs/limits.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

static int by_name(const void *a, const void *b)
{
    return gfs_slice_cmp(*(const struct gfs_slice *)a, *(const struct gfs_slice *)b);
}

/* Names of all headers but Authorization, sorted, each once, joined by ';'. */
static void add_names(const struct http_request *request, struct gfs_buf *out)
{
    struct gfs_slice names[GFS_HEADER_COUNT_MAX];
    size_t count = 0;
    for (uint32_t i = 0; i < request->header_count; i++) {
        if (!gfs_slice_eq_str(request->headers[i].name, "authorization")) {
            names[count++] = request->headers[i].name;
        }
    }
    qsort(names, count, sizeof names[0], by_name);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || !gfs_slice_eq(names[i], names[i - 1])) {
            gfs_buf_add(out, ";", i == 0 ? 0 : 1);
            gfs_buf_add_slice(out, names[i]);
        }
    }
}

/* The request's signature; false when its target is malformed. */
static bool sign(const struct auth_signer *signer, const struct http_request *request,
                 struct gfs_slice signed_headers, struct gfs_slice scope,
                 char ret[AUTH_SIGNATURE_LEN + 1])
{
    struct auth_query query;
    struct auth_unsigned problem;
    struct gfs_slice date = {0}, payload = {0};
    (void)auth_header(request, "x-amz-date", &date);
    (void)auth_header(request, "x-amz-content-sha256", &payload);
    if (auth_query_init(&query, request->raw_query) != S3_OK) {
        return false;
    }
    auth_query_sort(&query);
    struct auth_canonical in = {
        .request = request, .query = &query, .signed_headers = signed_headers, .payload = payload};
    struct gfs_buf GFS_CLEANUP(gfs_buf_fini) canonical;
    gfs_buf_init(&canonical, 0);
    enum s3_err err = auth_canonical_build(&in, &canonical, &problem);
    auth_query_fini(&query);
    uint8_t key[GFS_SHA256_LEN];
    auth_key_get(signer->secret, gfs_slice_of(date.ptr, AUTH_DATE_LEN), signer->region,
                 auth_service(signer->service), key);
    auth_signature(key, date.ptr, scope, gfs_buf_slice(&canonical), ret);
    return err == S3_OK;
}

char *auth_sign(const struct auth_signer *signer, const struct http_request *request,
                struct gfs_arena *arena)
{
    struct gfs_slice service = auth_service(signer->service);
    struct gfs_slice date = {0}, payload;
    int64_t unix_s;
    if (auth_header(request, "x-amz-date", &date) != 1 ||
        gfs_parse_amz_date(date, &unix_s) != GFS_OK ||
        auth_header(request, "x-amz-content-sha256", &payload) != 1 ||
        request->header_count > GFS_HEADER_COUNT_MAX || signer->secret.len > AUTH_SECRET_LEN_MAX ||
        signer->region.len > AUTH_REGION_LEN_MAX || service.len > AUTH_SERVICE_LEN_MAX) {
        return NULL;
    }
    struct gfs_buf GFS_CLEANUP(gfs_buf_fini) names, scope;
    gfs_buf_init(&names, GFS_HEADER_BYTES_MAX);
    gfs_buf_init(&scope, AUTH_DATE_LEN + AUTH_REGION_LEN_MAX + AUTH_SERVICE_LEN_MAX + 16);
    add_names(request, &names);
    gfs_buf_add(&scope, date.ptr, AUTH_DATE_LEN);
    gfs_buf_add_char(&scope, '/');
    gfs_buf_add_slice(&scope, signer->region);
    gfs_buf_add_char(&scope, '/');
    gfs_buf_add_slice(&scope, service);
    gfs_buf_add_str(&scope, "/aws4_request");
    char signature[AUTH_SIGNATURE_LEN + 1];
    if (names.is_full || scope.is_full ||
        !sign(signer, request, gfs_buf_slice(&names), gfs_buf_slice(&scope), signature)) {
        return NULL;
    }
    return gfs_arena_printf(
        arena, "AWS4-HMAC-SHA256 Credential=%.*s/%s, SignedHeaders=%s, Signature=%s",
        (int)signer->access_key.len, signer->access_key.ptr, scope.ptr, names.ptr, signature);
}
