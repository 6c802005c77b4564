#include "gateway/auth_claim.h"

#include <stdio.h>

#include "gateway/auth_key.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

#define ALGORITHM "AWS4-HMAC-SHA256"

enum { SHOWN_LEN_MAX = 64, ACCESS_KEY_LEN_MAX = 128, EXPIRES_MAX_S = 604800 };

/* For "%.*s" of text that came from outside. */
#define SHOWN(slice) (int)GFS_MIN((slice).len, (size_t)SHOWN_LEN_MAX), (slice).ptr

enum s3_err auth_refuse(const struct auth_context *context, enum s3_err err, const char *format,
                        ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    context->detail->message = gfs_arena_copy(context->arena, gfs_slice_str(text)).ptr;
    return err;
}

uint32_t auth_header(const struct http_request *request, const char *name, struct gfs_slice *ret)
{
    uint32_t count = 0;
    struct gfs_slice wanted = gfs_slice_str(name);
    for (uint32_t i = 0; i < request->header_count; i++) {
        if (gfs_slice_eq(request->headers[i].name, wanted)) {
            *ret = count == 0 ? request->headers[i].value : *ret;
            count++;
        }
    }
    return count;
}

static enum s3_err code_of(enum auth_place place)
{
    switch (place) {
    case AUTH_IN_HEADER:
        return S3_AuthorizationHeaderMalformed;
    case AUTH_IN_QUERY:
        return S3_AuthorizationQueryParametersError;
    case AUTH_IN_FORM:
        return S3_InvalidArgument;
    }
    return S3_AccessDenied;
}

static const char *words_of(enum auth_place place)
{
    switch (place) {
    case AUTH_IN_HEADER:
        return "The authorization header is malformed; ";
    case AUTH_IN_QUERY:
        return "Error parsing the X-Amz-Credential parameter; ";
    case AUTH_IN_FORM:
        return "Error parsing the x-amz-credential field; ";
    }
    return "";
}

/* Cuts the last '/'-separated piece off *text. */
static bool cut_last(struct gfs_slice *text, struct gfs_slice *ret)
{
    const char *slash = text->len == 0 ? NULL : memrchr(text->ptr, '/', text->len);
    if (slash == NULL) {
        return false;
    }
    size_t before = (size_t)(slash - text->ptr);
    *ret = gfs_slice_of(slash + 1, text->len - before - 1);
    text->len = before;
    return true;
}

static bool is_day(struct gfs_slice date)
{
    if (date.len != AUTH_DATE_LEN) {
        return false;
    }
    for (size_t i = 0; i < date.len; i++) {
        if (date.ptr[i] < '0' || date.ptr[i] > '9') {
            return false;
        }
    }
    return true;
}

enum s3_err auth_claim_credential(const struct auth_context *context, enum auth_place place,
                                  struct gfs_slice credential, struct auth_claim *claim)
{
    struct gfs_slice rest = credential, terminal, service, region, date;
    enum s3_err code = code_of(place);
    const char *words = words_of(place);
    if (!cut_last(&rest, &terminal) || !cut_last(&rest, &service) || !cut_last(&rest, &region) ||
        !cut_last(&rest, &date) || rest.len == 0 || rest.len > ACCESS_KEY_LEN_MAX ||
        region.len == 0 || region.len > AUTH_REGION_LEN_MAX) {
        return auth_refuse(context, code,
                           "%sthe Credential is mal-formed; expecting "
                           "\"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".",
                           words);
    }
    context->detail->access_key = gfs_arena_copy(context->arena, rest);
    if (!is_day(date)) {
        return auth_refuse(context, code,
                           "%sincorrect date format \"%.*s\". This date in the credential must be "
                           "in the format \"yyyyMMdd\".",
                           words, SHOWN(date));
    }
    if (context->options->is_region_strict && !gfs_slice_eq(region, context->options->region)) {
        return auth_refuse(context, code, "%sthe region '%.*s' is wrong; expecting '%.*s'", words,
                           SHOWN(region), SHOWN(context->options->region));
    }
    struct gfs_slice wanted = auth_service(context->options->service);
    if (!gfs_slice_eq(service, wanted)) {
        return auth_refuse(context, code,
                           "%sincorrect service \"%.*s\". This endpoint belongs to \"%.*s\".",
                           words, SHOWN(service), SHOWN(wanted));
    }
    if (!gfs_slice_eq_str(terminal, "aws4_request")) {
        return auth_refuse(context, code,
                           "%sincorrect terminal \"%.*s\". This endpoint uses \"aws4_request\".",
                           words, SHOWN(terminal));
    }
    claim->access_key = rest;
    claim->date = date;
    claim->region = region;
    claim->scope = gfs_slice_of(date.ptr, credential.len - rest.len - 1);
    return S3_OK;
}

enum s3_err auth_claim_same_day(const struct auth_context *context, enum auth_place place,
                                const struct auth_claim *claim)
{
    if (memcmp(claim->amz_date, claim->date.ptr, AUTH_DATE_LEN) == 0) {
        return S3_OK;
    }
    return auth_refuse(context, code_of(place),
                       "%sInvalid credential date \"%.*s\". This date is not the same as "
                       "X-Amz-Date: \"%.8s\".",
                       words_of(place), SHOWN(claim->date), claim->amz_date);
}

/* Not empty, names ascending (so none twice) and lower case. */
static bool is_name_list(struct gfs_slice list)
{
    struct gfs_slice before = {0};
    const char *start = list.ptr, *end = list.ptr + list.len;
    do {
        const char *stop = start == end ? end : memchr(start, ';', (size_t)(end - start));
        stop = stop == NULL ? end : stop;
        struct gfs_slice name = gfs_slice_of(start, (size_t)(stop - start));
        if (name.len == 0 || gfs_slice_cmp(before, name) >= 0) {
            return false;
        }
        for (size_t i = 0; i < name.len; i++) {
            unsigned char byte = (unsigned char)name.ptr[i];
            if (byte <= ' ' || byte >= 0x7f || byte == ':' || (byte >= 'A' && byte <= 'Z')) {
                return false;
            }
        }
        before = name;
        start = stop + 1;
    } while (start <= end);
    return true;
}

/* x-amz-date, else Date in either of its forms. */
static enum s3_err claim_date(const struct auth_context *context,
                              const struct http_request *request, struct auth_claim *claim)
{
    struct gfs_slice date = {0};
    bool is_amz = auth_header(request, "x-amz-date", &date) != 0;
    if (!is_amz) {
        (void)auth_header(request, "date", &date);
    }
    if (date.ptr == NULL || (gfs_parse_amz_date(date, &claim->date_s) != GFS_OK &&
                             (is_amz || gfs_parse_http_date(date, &claim->date_s) != GFS_OK))) {
        return auth_refuse(context, S3_AccessDenied,
                           "AWS authentication requires a valid Date or x-amz-date header");
    }
    gfs_amz_date(claim->date_s, claim->amz_date);
    return S3_OK;
}

/* Cuts "Name=value" up to the next comma off *rest. False at the end or where there is no '='. */
static bool cut_field(struct gfs_slice *rest, struct gfs_slice *ret_name,
                      struct gfs_slice *ret_value)
{
    const char *comma = rest->len == 0 ? NULL : memchr(rest->ptr, ',', rest->len);
    size_t len = comma == NULL ? rest->len : (size_t)(comma - rest->ptr);
    struct gfs_slice field = gfs_trim(gfs_slice_of(rest->ptr, len));
    const char *equals = field.len == 0 ? NULL : memchr(field.ptr, '=', field.len);
    if (equals == NULL) {
        return false;
    }
    size_t name_len = (size_t)(equals - field.ptr);
    *ret_name = gfs_slice_of(field.ptr, name_len);
    *ret_value = gfs_slice_of(equals + 1, field.len - name_len - 1);
    size_t used = comma == NULL ? rest->len : len + 1;
    rest->ptr += used;
    rest->len -= used;
    return true;
}

/* The three fields after the algorithm, in any order, each exactly once. */
static bool split_fields(struct gfs_slice rest, struct gfs_slice *ret_credential,
                         struct auth_claim *claim)
{
    struct gfs_slice *const places[] = {ret_credential, &claim->signed_headers, &claim->signature};
    static const char *const names[] = {"Credential", "SignedHeaders", "Signature"};
    struct gfs_slice name, value;
    for (size_t i = 0; i < GFS_COUNT(places); i++) {
        *places[i] = (struct gfs_slice){0};
    }
    while (rest.len != 0) {
        size_t which = 0;
        if (!cut_field(&rest, &name, &value)) {
            return false;
        }
        while (which < GFS_COUNT(names) && !gfs_slice_eq_str(name, names[which])) {
            which++;
        }
        if (which == GFS_COUNT(names) || places[which]->ptr != NULL) {
            return false;
        }
        *places[which] = value;
    }
    return ret_credential->ptr != NULL && claim->signed_headers.ptr != NULL &&
           claim->signature.ptr != NULL;
}

static enum s3_err other_algorithm(const struct auth_context *context, struct gfs_slice algorithm)
{
    if (gfs_slice_eq_str(algorithm, "AWS")) {
        return auth_refuse(context, S3_InvalidRequest,
                           "The authorization mechanism you have provided is not supported. Please "
                           "use AWS4-HMAC-SHA256.");
    }
    if (gfs_slice_starts(algorithm, GFS_SLICE_LITERAL("AWS4-ECDSA"))) {
        return auth_refuse(context, S3_NotImplemented,
                           "Signature Version 4A is not supported. Please use AWS4-HMAC-SHA256.");
    }
    return auth_refuse(context, S3_InvalidArgument, "Unsupported Authorization Type");
}

enum s3_err auth_claim_from_header(const struct auth_context *context,
                                   const struct http_request *request, struct gfs_slice value,
                                   struct auth_claim *claim)
{
    struct gfs_slice credential;
    const char *space = value.len == 0 ? NULL : memchr(value.ptr, ' ', value.len);
    size_t algorithm_len = space == NULL ? value.len : (size_t)(space - value.ptr);
    struct gfs_slice algorithm = gfs_slice_of(value.ptr, algorithm_len);
    if (!gfs_slice_eq_str(algorithm, ALGORITHM)) {
        return other_algorithm(context, algorithm);
    }
    struct gfs_slice rest = gfs_slice_of(value.ptr + algorithm_len, value.len - algorithm_len);
    if (!split_fields(rest, &credential, claim)) {
        return auth_refuse(context, S3_AuthorizationHeaderMalformed,
                           "The authorization header is malformed; expecting Credential, "
                           "SignedHeaders and Signature, each exactly once.");
    }
    enum s3_err err = auth_claim_credential(context, AUTH_IN_HEADER, credential, claim);
    if (err != S3_OK) {
        return err;
    }
    if (!is_name_list(claim->signed_headers)) {
        return auth_refuse(
            context, S3_AuthorizationHeaderMalformed,
            "The authorization header is malformed; SignedHeaders must be lower-case "
            "names in ascending order, separated by ';'.");
    }
    err = claim_date(context, request, claim);
    return err != S3_OK ? err : auth_claim_same_day(context, AUTH_IN_HEADER, claim);
}

/* Decodes a parameter's value into the arena; NULL ptr when that is full. */
static struct gfs_slice decoded(const struct auth_context *context, const struct auth_param *param)
{
    size_t len = 0;
    char *bytes = gfs_arena_alloc(context->arena, param->raw_value.len + 1);
    if (bytes == NULL || gfs_uri_decode(param->raw_value, true, bytes, &len) != GFS_OK) {
        return (struct gfs_slice){0};
    }
    return gfs_slice_of(bytes, len);
}

static enum s3_err claim_expires(const struct auth_context *context, struct gfs_slice text,
                                 struct auth_claim *claim)
{
    const enum s3_err code = S3_AuthorizationQueryParametersError;
    uint64_t seconds = 0;
    if (text.len > 1 && text.ptr[0] == '-') {
        return auth_refuse(context, code, "X-Amz-Expires must be non-negative");
    }
    enum gfs_err err = gfs_parse_u64(text, EXPIRES_MAX_S, &seconds);
    if (err == GFS_RANGE) {
        return auth_refuse(
            context, code,
            "X-Amz-Expires must be less than a week (in seconds); that is, the given "
            "X-Amz-Expires must be less than 604800 seconds");
    }
    if (err != GFS_OK) {
        return auth_refuse(context, code, "X-Amz-Expires should be a number");
    }
    if (seconds == 0) {
        return auth_refuse(context, code, "X-Amz-Expires must be greater than 0");
    }
    claim->expires_s = (int64_t)seconds;
    return S3_OK;
}

/* In the order of the array in auth_claim_from_query. */
enum query_index { ALGO, CREDENTIAL, SIGNATURE, DATE, SIGNED_HEADERS, EXPIRES, QUERY_COUNT };

static enum s3_err claim_values(const struct auth_context *context,
                                const struct gfs_slice values[QUERY_COUNT],
                                struct auth_claim *claim)
{
    const enum s3_err code = S3_AuthorizationQueryParametersError;
    if (!gfs_slice_eq_str(values[ALGO], ALGORITHM)) {
        return auth_refuse(context, code, "X-Amz-Algorithm only supports \"" ALGORITHM "\"");
    }
    enum s3_err err = auth_claim_credential(context, AUTH_IN_QUERY, values[CREDENTIAL], claim);
    if (err != S3_OK) {
        return err;
    }
    if (gfs_parse_amz_date(values[DATE], &claim->date_s) != GFS_OK) {
        return auth_refuse(context, code,
                           "X-Amz-Date must be in the ISO8601 Long Format "
                           "\"yyyyMMdd'T'HHmmss'Z'\"");
    }
    gfs_amz_date(claim->date_s, claim->amz_date);
    err = auth_claim_same_day(context, AUTH_IN_QUERY, claim);
    if (err == S3_OK) {
        err = claim_expires(context, values[EXPIRES], claim);
    }
    if (err == S3_OK && !is_name_list(values[SIGNED_HEADERS])) {
        err = auth_refuse(context, code,
                          "X-Amz-SignedHeaders must be lower-case names in ascending order, "
                          "separated by ';'.");
    }
    claim->signed_headers = values[SIGNED_HEADERS];
    claim->signature = values[SIGNATURE];
    return err;
}

enum s3_err auth_claim_from_query(const struct auth_context *context,
                                  const struct auth_query *query, struct auth_claim *claim)
{
    static const char *const names[QUERY_COUNT] = {"X-Amz-Algorithm",     "X-Amz-Credential",
                                                   "X-Amz-Signature",     "X-Amz-Date",
                                                   "X-Amz-SignedHeaders", "X-Amz-Expires"};
    struct gfs_slice values[QUERY_COUNT];
    for (size_t i = 0; i < QUERY_COUNT; i++) {
        struct auth_param param;
        if (auth_query_find(query, names[i], &param) != 1) {
            return auth_refuse(context, S3_AuthorizationQueryParametersError,
                               "Query-string authentication version 4 requires the "
                               "X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, "
                               "X-Amz-SignedHeaders, and X-Amz-Expires parameters, each once.");
        }
        values[i] = decoded(context, &param);
        if (values[i].ptr == NULL) {
            return S3_SlowDown;
        }
    }
    return claim_values(context, values, claim);
}
