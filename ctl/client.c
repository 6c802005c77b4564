#include "ctl/client.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/auth.h"
#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

enum {
    CONNECT_LIMIT_S = 10,
    NONCE_LEN = 8,
    ARENA_LEN_MAX = 1 << 20,
    URL_LEN_MAX = 16 * 1024,
};

struct client {
    struct client_options options;
    CURL *curl;
};

struct client *client_new(const struct client_options *options)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return NULL;
    }
    CURL *curl = curl_easy_init();
    if (curl == NULL) {
        curl_global_cleanup();
        return NULL;
    }
    struct client *client = gfs_alloc(sizeof *client);
    client->options = *options;
    client->curl = curl;
    return client;
}

void client_free(struct client *client)
{
    if (client != NULL) {
        curl_easy_cleanup(client->curl);
        curl_global_cleanup();
        free(client);
    }
}

static size_t take_bytes(char *ptr, size_t size, size_t count, void *arg)
{
    struct gfs_buf *body = arg;
    gfs_buf_add(body, ptr, size * count);
    return body->is_full ? 0 : size * count;
}

static bool add_header(struct curl_slist **list, const char *name, const char *value)
{
    char GFS_FREE *line = NULL;
    if (asprintf(&line, "%s:%s%s", name, value[0] == '\0' ? "" : " ", value) < 0) {
        return false;
    }
    struct curl_slist *longer = curl_slist_append(*list, line);
    *list = longer == NULL ? *list : longer;
    return longer != NULL;
}

/* Host, the date, the body's hash, and the signature over them. */
static enum gfs_err sign(const struct client *client, const struct client_request *request,
                         const char *path, struct curl_slist **list, struct gfs_error *error)
{
    char date[GFS_AMZ_DATE_LEN + 1];
    char hash[2 * GFS_SHA256_LEN + 1];
    char nonce[2 * NONCE_LEN + 1]; /* two changes of the same second are two */
    uint8_t random[NONCE_LEN];
    uint8_t digest[GFS_SHA256_LEN];
    gfs_amz_date(gfs_wall_ms() / 1000, date);
    gfs_sha256(gfs_slice_str(request->body), digest);
    gfs_hex_encode(digest, sizeof digest, hash);
    gfs_random(random, sizeof random);
    gfs_hex_encode(random, sizeof random, nonce);
    const struct http_header headers[] = {
        {GFS_SLICE_LITERAL("host"), gfs_slice_str(client->options.address)},
        {GFS_SLICE_LITERAL("x-amz-content-sha256"), gfs_slice_str(hash)},
        {GFS_SLICE_LITERAL("x-amz-date"), gfs_slice_str(date)},
        {GFS_SLICE_LITERAL("x-goodfs-nonce"), gfs_slice_str(nonce)},
    };
    struct http_request http = {.method_text = gfs_slice_str(request->method),
                                .raw_path = gfs_slice_str(path),
                                .raw_query = gfs_slice_str(request->query),
                                .header_count = GFS_COUNT(headers),
                                .headers = headers};
    struct auth_signer signer = {.access_key = gfs_slice_str(client->options.access_key),
                                 .secret = gfs_slice_str(client->options.secret_key),
                                 .region = GFS_SLICE_LITERAL("us-east-1"),
                                 .service = GFS_SLICE_LITERAL("goodfs")};
    struct gfs_arena GFS_CLEANUP(gfs_arena_fini) arena;
    gfs_arena_init(&arena, ARENA_LEN_MAX);
    const char *value = auth_sign(&signer, &http, &arena);
    if (value == NULL || !add_header(list, "Host", client->options.address) ||
        !add_header(list, "x-amz-date", date) || !add_header(list, "x-goodfs-nonce", nonce) ||
        !add_header(list, "x-amz-content-sha256", hash) ||
        !add_header(list, "Authorization", value) ||
        !add_header(list, "Content-Type", "application/json") || !add_header(list, "Expect", "")) {
        return gfs_fail(error, GFS_INVALID, "the request cannot be signed");
    }
    return GFS_OK;
}

static void set_options(CURL *curl, unsigned limit_s, const struct client_request *request,
                        const char *url, struct gfs_buf *body, char *message)
{
    curl_easy_reset(curl);
    (void)curl_easy_setopt(curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
    (void)curl_easy_setopt(curl, CURLOPT_NOPROXY, "*"); /* a proxy would be handed the answer */
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_LIMIT_S);
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)limit_s);
    (void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
    (void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, message);
    if (request->body != NULL) {
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body);
    }
}

enum gfs_err client_send(struct client *client, const struct client_request *request,
                         int *ret_status, struct gfs_buf *body, struct gfs_error *error)
{
    struct gfs_buf GFS_CLEANUP(gfs_buf_fini) path;
    struct gfs_buf GFS_CLEANUP(gfs_buf_fini) url;
    char message[CURL_ERROR_SIZE] = "";
    gfs_buf_init(&path, URL_LEN_MAX);
    gfs_buf_init(&url, 2 * URL_LEN_MAX);
    gfs_buf_printf(&path, "/_/admin/v1/%s", request->path);
    gfs_buf_printf(&url, "http://%s%s%s%s", client->options.address, path.ptr,
                   request->query == NULL ? "" : "?", request->query == NULL ? "" : request->query);
    if (path.is_full || url.is_full) {
        return gfs_fail(error, GFS_INVALID, "the path is too long");
    }
    struct curl_slist *list = NULL;
    enum gfs_err err = sign(client, request, path.ptr, &list, error);
    if (err == GFS_OK) {
        gfs_buf_clear(body);
        set_options(client->curl, client->options.limit_s, request, url.ptr, body, message);
        (void)curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, list);
        CURLcode code = curl_easy_perform(client->curl);
        long status = 0;
        (void)curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
        *ret_status = (int)status;
        if (body->is_full) {
            err = gfs_fail(error, GFS_TOO_BIG, "the answer is too big");
        } else if (code != CURLE_OK) {
            err = gfs_fail(error, GFS_UNREACHABLE, "%s: %s", client->options.address,
                           message[0] == '\0' ? curl_easy_strerror(code) : message);
        }
    }
    curl_slist_free_all(list);
    return err;
}
