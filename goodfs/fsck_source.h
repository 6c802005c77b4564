/* What a search looks at, behind a table: tests bring their own, storage the real one. */
#pragma once

#include "libgoodfs/chunk_store.h"

/* Plain data. A row of metadata refers to a chunk. Valid during the visit. */
struct fsck_reference {
    struct chunk_id id;
    struct gfs_slice bucket, key;
};
/* Anything but GFS_OK ends the visits and is their answer. */
typedef enum gfs_err (*fsck_reference_fn)(void *arg, const struct fsck_reference *reference);

/* Plain data. A chunk of which some fragment is listed. */
struct fsck_chunk {
    struct chunk_id id;
    uint64_t bytes;    /* of all its fragments that are listed */
    unsigned have;     /* different fragments */
    unsigned need;     /* that suffice to read it */
    unsigned width;    /* that it should have */
    bool is_disk_away; /* some are on a disk that is not there, and may come back */
};
typedef void (*fsck_chunk_fn)(void *arg, const struct fsck_chunk *chunk);

enum { FSCK_DISKS_MAX = 256 };

/* Plain data. Every function may wait and is called by one thread at a time. */
struct fsck_source {
    void *arg;
    /* Every chunk of every row: objects, and parts of uploads. Each row is as of some moment during
     * the call. CORRUPT, IO. */
    enum gfs_err (*visit_references)(void *arg, fsck_reference_fn visit, void *visit_arg);
    /* ret[i]: metadata knows ids[i], be it as garbage that it will delete itself. ids ascend. Goes
     * over all rows, whatever the count. Any error: not known for certain. */
    enum gfs_err (*has_references)(void *arg, const struct chunk_id *ids, size_t count, bool *ret);
    /* The chunks of a part (below CHUNK_LIST_PARTS), each once. UNREACHABLE, IO. */
    enum gfs_err (*visit_chunks)(void *arg, uint32_t part, fsck_chunk_fn visit, void *visit_arg);
    /* Deletes them for good; durable at return. */
    enum gfs_err (*delete_chunks)(void *arg, const struct chunk_id *ids, size_t count);
    /* Whether all disks are there: without one of them absence means nothing. */
    bool (*is_whole)(void *arg);
    /* Chunks that storage itself found too little of; metadata may not know them. */
    uint64_t (*losses)(void *arg);
    /* Fragments that suffice to read a chunk, and that it should have, listed or not. Never waits;
     * any thread. */
    void (*shape)(void *arg, struct chunk_id id, unsigned *ret_need, unsigned *ret_width);
    /* By number: that disk was given up with what it held, now or ever. Never waits; any thread. */
    void (*given_up)(void *arg, bool ret[FSCK_DISKS_MAX]);
};
