/* A request made of header lines, without a server. */
#pragma once

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/gateway_state.h"
#include "gateway/s3.h"
#include "libgoodfs/mem.h"

struct fixture {
    struct s3_request r;
    struct gateway gw;
    struct chunk_store chunks;
    struct http_request http;
    struct http_header headers[64];
};

#define ASSERT_SLICE(slice, text)                                                                  \
    do {                                                                                           \
        struct gfs_slice slice_ = (slice);                                                         \
        cr_assert(gfs_slice_eq_str(slice_, (text)), "got %.*s", (int)slice_.len, slice_.ptr);      \
    } while (0)

/* A store with one class besides the default. */
static inline bool fixture_has_class(struct chunk_store *store, struct gfs_slice storage_class)
{
    (void)store;
    return gfs_slice_eq_str(storage_class, "replica:3");
}
static const struct chunk_store_ops fixture_chunk_ops = {.has_class = fixture_has_class};

/* lines: "name:value\n..." */
static inline struct fixture *fixture_new(const char *lines)
{
    struct fixture *f = gfs_alloc(sizeof *f);
    gfs_arena_init(&f->r.arena, 4 * 1024 * 1024);
    f->r.http = &f->http;
    f->chunks.ops = &fixture_chunk_ops;
    f->gw.options.chunks = &f->chunks;
    f->r.gw = &f->gw;
    f->http.headers = f->headers;
    while (*lines != '\0') {
        size_t name_len = strcspn(lines, ":");
        size_t value_len = strcspn(lines + name_len + 1, "\n");
        cr_assert_lt(f->http.header_count, GFS_COUNT(f->headers));
        f->headers[f->http.header_count++] = (struct http_header){
            gfs_slice_of(lines, name_len), gfs_slice_of(lines + name_len + 1, value_len)};
        lines += name_len + 1 + value_len;
        lines += *lines == '\n';
    }
    return f;
}

static inline void fixture_free(struct fixture *f)
{
    gfs_arena_fini(&f->r.arena);
    free(f);
}
