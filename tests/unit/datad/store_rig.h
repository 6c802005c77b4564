/* A store on a fresh directory, driven by hand, and the calls tests make on it. */
#pragma once

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "datad/store.h"
#include "libgoodfs/limits.h"
#include "libgoodfs/mem.h"

struct rig {
    char dir[64];
    struct store *store;
    struct chunk_store *chunks;
};

struct rig_answer {
    struct chunk_group group;
    int count;
    enum gfs_err err;
};

static inline void rig_done(struct chunk_group *group, enum gfs_err err)
{
    struct rig_answer *answer = GFS_CONTAINER_OF(group, struct rig_answer, group);
    answer->count++;
    answer->err = err;
}

static inline struct store_options rig_options(const struct rig *rig)
{
    return (struct store_options){
        .dir = rig->dir, .segment_size = 1 << 20, .is_manual = true, .reserve_bytes = 1 << 20};
}

static inline void rig_open_with(struct rig *rig, const struct store_options *options)
{
    struct gfs_error error = {0};
    enum gfs_err err = store_open(options, &rig->store, &error);
    cr_assert_eq(err, GFS_OK, "%s", error.text);
    rig->chunks = store_chunks(rig->store);
}

static inline void rig_open(struct rig *rig)
{
    struct store_options options = rig_options(rig);
    rig_open_with(rig, &options);
}

static inline void rig_init(struct rig *rig)
{
    *rig = (struct rig){0};
    (void)snprintf(rig->dir, sizeof rig->dir, "/tmp/goodfs-store-XXXXXX");
    cr_assert_not_null(mkdtemp(rig->dir));
    rig_open(rig);
}

static inline void rig_close(struct rig *rig)
{
    store_close(GFS_TAKE(rig->store));
}

static inline void rig_reopen(struct rig *rig)
{
    rig_close(rig);
    rig_open(rig);
}

static inline int rig_remove_one(const char *path, const struct stat *info, int kind,
                                 struct FTW *walk)
{
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

static inline void rig_fini(struct rig *rig)
{
    rig_close(rig);
    (void)nftw(rig->dir, rig_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline enum gfs_err rig_submit(struct rig *rig, struct chunk_record *records,
                                      bool may_use_reserve)
{
    struct rig_answer answer = {
        .group = {.records = records, .done = rig_done, .may_use_reserve = may_use_reserve}};
    rig->chunks->ops->submit(rig->chunks, &answer.group);
    store_settle(rig->store);
    cr_assert_eq(answer.count, 1);
    return answer.err;
}

static inline void rig_fill(char *bytes, size_t len, uint64_t seed)
{
    uint64_t x = seed * 0x9E3779B97F4A7C15U + 1;
    for (size_t i = 0; i < len; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        bytes[i] = (char)x;
    }
}

static inline enum gfs_err rig_put(struct rig *rig, struct chunk_id id, size_t len)
{
    GFS_FREE char *bytes = gfs_alloc(len);
    rig_fill(bytes, len, id.lo);
    struct chunk_record record = {.kind = CHUNK_RECORD_DATA,
                                  .id = id,
                                  .owner = gfs_slice_str("bucket/key"),
                                  .payload = gfs_slice_of(bytes, len)};
    return rig_submit(rig, &record, false);
}

static inline enum gfs_err rig_delete(struct rig *rig, const struct chunk_id *ids, size_t count)
{
    struct chunk_record record = {.kind = CHUNK_RECORD_DELETE,
                                  .payload = gfs_slice_of(ids, count * sizeof *ids)};
    return rig_submit(rig, &record, true);
}

static inline enum gfs_err rig_edit(struct rig *rig, uint64_t lsn, const char *text)
{
    struct chunk_record record = {
        .kind = CHUNK_RECORD_EDIT, .lsn = lsn, .payload = gfs_slice_str(text)};
    return rig_submit(rig, &record, true);
}

static inline void rig_finished(void *arg, enum gfs_err err)
{
    *(int *)arg = (int)err;
}

/* A finished bulk of `len` bytes, not live yet. */
static inline struct chunk_bulk *rig_bulk(struct rig *rig, struct chunk_id id, uint32_t len,
                                          uint32_t len_max)
{
    int result = -1;
    struct chunk_bulk_options options = {
        .id = id, .owner = gfs_slice_str("bucket/big"), .len_max = len_max, .arg = &result};
    struct chunk_bulk *bulk = NULL;
    cr_assert_eq(rig->chunks->ops->bulk_begin(rig->chunks, &options, &bulk), GFS_OK);
    GFS_FREE char *bytes = gfs_alloc(len);
    rig_fill(bytes, len, id.lo);
    size_t at = 0;
    while (at < len) {
        size_t taken = rig->chunks->ops->bulk_append(bulk, bytes + at, len - at);
        at += taken;
        if (at < len) {
            store_settle(rig->store);
        }
    }
    rig->chunks->ops->bulk_finish(bulk, rig_finished);
    store_settle(rig->store);
    cr_assert_eq(result, (int)GFS_OK);
    return bulk;
}

static inline enum gfs_err rig_put_bulk(struct rig *rig, struct chunk_id id, uint32_t len)
{
    struct chunk_bulk *bulk = rig_bulk(rig, id, len, len + 70000);
    struct chunk_record record = {.kind = CHUNK_RECORD_PLACE, .bulk = bulk};
    enum gfs_err err = rig_submit(rig, &record, false);
    rig->chunks->ops->bulk_free(bulk);
    return err;
}

/* GFS_OK: the chunk is there and its bytes are those rig_put and rig_put_bulk wrote. */
static inline enum gfs_err rig_check(struct rig *rig, struct chunk_id id, size_t len)
{
    struct chunk_pin pin;
    enum gfs_err err = rig->chunks->ops->pin(rig->chunks, id, &pin);
    if (err != GFS_OK) {
        return err;
    }
    GFS_FREE char *expected = gfs_alloc(len);
    GFS_FREE char *bytes = gfs_alloc(len);
    rig_fill(expected, len, id.lo);
    if (pin.len != len) {
        err = GFS_INVALID;
    } else {
        err = rig->chunks->ops->read(rig->chunks, &pin, 0, (uint32_t)len, bytes, 0);
    }
    if (err == GFS_OK && memcmp(bytes, expected, len) != 0) {
        err = GFS_DIGEST;
    }
    rig->chunks->ops->unpin(rig->chunks, &pin);
    return err;
}
