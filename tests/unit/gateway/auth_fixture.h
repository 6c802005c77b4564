/* What the tests of authentication share: a request built from text, one known key, a fixed time.
 */
#pragma once

#include <criterion/criterion.h>
#include <stdio.h>

#include "gateway/auth.h"
#include "libgoodfs/mem.h"

#define FIXTURE_ACCESS_KEY "GFSEXAMPLEACCESSKEY1"
#define FIXTURE_SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define FIXTURE_NOW_S 1795244290 /* 2026-11-21T06:58:10Z */
#define FIXTURE_DATE "20261121T065810Z"
#define FIXTURE_EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct fixture {
    struct http_header headers[300];
    struct http_request request;
    struct gfs_arena arena;
    struct auth_options options;
    struct auth_result result;
    struct auth_detail detail;
};

static inline bool fixture_find(void *arg, struct gfs_slice access_key, char *ret_secret)
{
    (void)arg;
    if (!gfs_slice_eq_str(access_key, FIXTURE_ACCESS_KEY)) {
        return false;
    }
    memcpy(ret_secret, FIXTURE_SECRET, sizeof FIXTURE_SECRET);
    return true;
}

/* headers: "name:value\n..." of static lifetime. */
static inline void fixture_add_headers(struct fixture *f, const char *headers)
{
    while (*headers != '\0') {
        const char *colon = strchr(headers, ':'), *stop = strchr(headers, '\n');
        struct http_header *header = &f->headers[f->request.header_count++];
        header->name = gfs_slice_of(headers, (size_t)(colon - headers));
        header->value = gfs_slice_of(colon + 1, (size_t)(stop - colon - 1));
        headers = stop + 1;
    }
}

static inline struct fixture *fixture_new(const char *method, const char *path, const char *query,
                                          const char *headers)
{
    struct fixture *f = gfs_alloc(sizeof *f);
    gfs_arena_init(&f->arena, 256 * 1024);
    f->options = (struct auth_options){.keys = {.find = fixture_find},
                                       .now_s = FIXTURE_NOW_S,
                                       .region = GFS_SLICE_LITERAL("us-east-1")};
    f->request = (struct http_request){.method_text = gfs_slice_str(method),
                                       .raw_path = gfs_slice_str(path),
                                       .raw_query = gfs_slice_str(query),
                                       .headers = f->headers};
    fixture_add_headers(f, headers);
    return f;
}

static inline void fixture_free(struct fixture *f)
{
    gfs_arena_fini(&f->arena);
    free(f);
}

/* Adds an Authorization header that is right for the request as it is. */
static inline void fixture_sign(struct fixture *f)
{
    struct auth_signer signer = {.access_key = gfs_slice_str(FIXTURE_ACCESS_KEY),
                                 .secret = gfs_slice_str(FIXTURE_SECRET),
                                 .region = GFS_SLICE_LITERAL("us-east-1"),
                                 .service = f->options.service};
    char *value = auth_sign(&signer, &f->request, &f->arena);
    cr_assert_not_null(value);
    f->headers[f->request.header_count++] =
        (struct http_header){GFS_SLICE_LITERAL("authorization"), gfs_slice_str(value)};
}

static inline enum s3_err fixture_verify(struct fixture *f)
{
    return auth_verify(&f->options, &f->request, &f->arena, &f->result, &f->detail);
}

/* The answer and, unless NULL, a part of the message. */
static inline void fixture_expect(struct fixture *f, enum s3_err expected, const char *words)
{
    enum s3_err err = fixture_verify(f);
    cr_assert_eq(err, expected, "%s: %s", s3_err_code(err),
                 f->detail.message == NULL ? "" : f->detail.message);
    if (words != NULL) {
        cr_assert_not_null(f->detail.message);
        cr_assert_not_null(strstr(f->detail.message, words), "%s", f->detail.message);
    }
}
