#include "bench/load_request.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/auth.h"
#include "libgoodfs/clock.h"
#include "libgoodfs/crc.h"
#include "libgoodfs/digest.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

enum { PATH_LEN_MAX = 256, HEAD_LEN_MAX = 4096, SIGN_ARENA_MAX = 16384 };
#define SHA256_BODY_MAX (1ULL << 20)

struct load_requests {
    const struct load_options *options;
    char host[64]; /* the Host header */
    char payload_hash[2 * GFS_SHA256_LEN + 1];
    char *payload; /* of options->size bytes, for PUT */
    uint32_t payload_crc;
    struct gfs_buf heads; /* signed before: one after the other */
    uint64_t *offsets;    /* key_count + 1 of them; NULL when signs_each */
};

static const char *method_of(enum load_op op)
{
    static const char *const methods[] = {"GET", "PUT", "HEAD", "DELETE", "GET"};
    return methods[op];
}

/* A stream that does not compress and depends on the seed alone, so a GET can be compared with
 * what an earlier run has PUT. */
static void fill(char *ptr, uint64_t size)
{
    uint64_t state = 0x9E3779B97F4A7C15u;
    for (uint64_t i = 0; i < size; i++) {
        if (i % 8 == 0) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
        }
        ptr[i] = (char)(state >> (i % 8 * 8));
    }
}

static void choose_payload_hash(struct load_requests *requests)
{
    const struct load_options *options = requests->options;
    bool has_body = options->op == LOAD_PUT;
    if (has_body && (options->payload == LOAD_PAYLOAD_UNSIGNED ||
                     (options->payload == LOAD_PAYLOAD_AUTO && options->size > SHA256_BODY_MAX))) {
        (void)snprintf(requests->payload_hash, sizeof requests->payload_hash, "UNSIGNED-PAYLOAD");
        return;
    }
    uint8_t hash[GFS_SHA256_LEN];
    gfs_sha256(gfs_slice_of(requests->payload, has_body ? options->size : 0), hash);
    gfs_hex_encode(hash, sizeof hash, requests->payload_hash);
}

/* Path and query, as they go on the wire. A listing starts at a key of its own each time. */
static void write_target(const struct load_options *options, uint64_t index, char *path,
                         char *query)
{
    if (options->op == LOAD_LIST) {
        (void)snprintf(path, PATH_LEN_MAX, "/%s", options->bucket);
        (void)snprintf(query, PATH_LEN_MAX,
                       "list-type=2&max-keys=%" PRIu64 "&start-after=%s%09" PRIu64,
                       options->max_keys, options->prefix, index);
    } else {
        (void)snprintf(path, PATH_LEN_MAX, "/%s/%s%09" PRIu64, options->bucket, options->prefix,
                       index);
        query[0] = '\0';
    }
}

/* "Authorization: ...\r\n" and the headers it signs. false when it cannot be signed. */
static bool add_signature(const struct load_requests *requests, const char *path, const char *query,
                          struct gfs_buf *out)
{
    const struct load_options *options = requests->options;
    char date[GFS_AMZ_DATE_LEN + 1];
    gfs_amz_date(gfs_wall_ms() / 1000, date);
    const struct http_header headers[] = {
        {GFS_SLICE_LITERAL("host"), gfs_slice_str(requests->host)},
        {GFS_SLICE_LITERAL("x-amz-content-sha256"), gfs_slice_str(requests->payload_hash)},
        {GFS_SLICE_LITERAL("x-amz-date"), gfs_slice_of(date, GFS_AMZ_DATE_LEN)},
    };
    struct http_request request = {
        .method_text = gfs_slice_str(method_of(options->op)),
        .raw_path = gfs_slice_str(path),
        .raw_query = gfs_slice_str(query),
        .header_count = GFS_COUNT(headers),
        .headers = headers,
    };
    struct gfs_arena GFS_CLEANUP(gfs_arena_fini) arena;
    gfs_arena_init(&arena, SIGN_ARENA_MAX);
    struct auth_signer signer = {.access_key = gfs_slice_str(options->access_key),
                                 .secret = gfs_slice_str(options->secret),
                                 .region = gfs_slice_str(options->region)};
    const char *value = auth_sign(&signer, &request, &arena);
    if (value != NULL) {
        gfs_buf_printf(out, "x-amz-date: %s\r\nx-amz-content-sha256: %s\r\nAuthorization: %s\r\n",
                       date, requests->payload_hash, value);
    }
    return value != NULL;
}

static void add_head(const struct load_requests *requests, uint64_t index, struct gfs_buf *out)
{
    const struct load_options *options = requests->options;
    char path[PATH_LEN_MAX], query[PATH_LEN_MAX];
    write_target(options, index, path, query);
    gfs_buf_printf(out, "%s %s%s%s HTTP/1.1\r\nHost: %s\r\n", method_of(options->op), path,
                   query[0] == '\0' ? "" : "?", query, requests->host);
    bool is_signed = options->access_key == NULL || add_signature(requests, path, query, out);
    GFS_ASSERT(is_signed);
    if (options->op == LOAD_PUT) {
        gfs_buf_printf(out, "Content-Length: %" PRIu64 "\r\n", options->size);
    }
    gfs_buf_add_str(out, "\r\n");
    GFS_ASSERT(!out->is_full);
}

struct load_requests *load_requests_new(const struct load_options *options)
{
    struct load_requests *requests = gfs_alloc(sizeof *requests);
    requests->options = options;
    (void)snprintf(requests->host, sizeof requests->host, "%s:%u", options->host, options->port);
    bool has_body = options->op == LOAD_PUT || options->checks_body;
    if (has_body) {
        requests->payload = gfs_alloc_aligned(4096, options->size + 1);
        fill(requests->payload, options->size);
        requests->payload_crc = gfs_crc32c(0, requests->payload, options->size);
    }
    choose_payload_hash(requests);
    gfs_buf_init(&requests->heads, options->key_count * HEAD_LEN_MAX);
    if (!options->signs_each) {
        requests->offsets = gfs_alloc_array(options->key_count + 1, sizeof *requests->offsets);
        for (uint64_t i = 0; i < options->key_count; i++) {
            add_head(requests, i, &requests->heads);
            requests->offsets[i + 1] = requests->heads.len;
        }
    }
    return requests;
}

void load_requests_free(struct load_requests *requests)
{
    if (requests != NULL) {
        gfs_buf_fini(&requests->heads);
        free(requests->offsets);
        free(requests->payload);
        free(requests);
    }
}

void load_requests_get(const struct load_requests *requests, uint64_t index,
                       struct gfs_buf *scratch, struct load_request *ret)
{
    GFS_ASSERT(index < requests->options->key_count);
    if (requests->offsets != NULL) {
        uint64_t from = requests->offsets[index];
        ret->head = gfs_slice_of(requests->heads.ptr + from, requests->offsets[index + 1] - from);
    } else {
        gfs_buf_clear(scratch);
        add_head(requests, index, scratch);
        ret->head = gfs_buf_slice(scratch);
    }
    bool is_put = requests->options->op == LOAD_PUT;
    ret->body = is_put ? gfs_slice_of(requests->payload, requests->options->size)
                       : (struct gfs_slice){NULL, 0};
}

uint32_t load_requests_payload_crc(const struct load_requests *requests)
{
    return requests->payload_crc;
}
