/* The interface of a chunk store: immutable chunks and an ordered edit log behind one flush.
 *
 * Implemented by datad/store.c (one disk) and by test doubles; used by metad (its edit log) and by
 * the gateway (data). Model: records are submitted in groups; a group becomes durable as a whole,
 * in submission order, and `done` is its only acknowledgement. A chunk is live from the moment a
 * group with its DATA or PLACE record is durable until a group with its DELETE record is durable;
 * nothing else makes a chunk live, so an interrupted request leaves nothing behind. Chunk ids are
 * never reused. */
#pragma once

#include <stdint.h>

#include "libgoodfs/err.h"
#include "libgoodfs/slice.h"

/* Plain data. 128 bits, all zero = none. */
struct chunk_id {
    uint64_t hi, lo;
};

/* A fresh id, unique across processes and restarts (64 random bits drawn at process start, and a
 * counter). Any thread. */
struct chunk_id chunk_id_new(void);

enum chunk_record_kind {
    CHUNK_RECORD_DATA = 1,   /* a chunk of at most GFS_SMALL_CHUNK_MAX bytes, payload = its bytes */
    CHUNK_RECORD_PLACE = 2,  /* makes the finished bulk chunk `bulk` live */
    CHUNK_RECORD_DELETE = 3, /* payload = chunk ids, 16 bytes each (hi, lo little-endian) */
    CHUNK_RECORD_EDIT = 4,   /* an entry of the edit log, payload at most 4 MiB */
};

enum { CHUNK_EDIT_LEN_MAX = 4 * 1024 * 1024, CHUNK_OWNER_LEN_MAX = 1200 };

struct chunk_bulk; /* a large chunk being written */
struct chunk_group;

/* Plain data, owned by the submitter; everything it points to stays valid until done. */
struct chunk_record {
    struct chunk_record *next; /* in its group, NULL = last */
    enum chunk_record_kind kind;
    struct chunk_id id;       /* DATA */
    struct gfs_slice owner;   /* DATA: opaque, kept in the header to rebuild names from disks */
    struct gfs_slice payload; /* DATA, DELETE, EDIT */
    struct chunk_bulk *bulk;  /* PLACE; still owned by the caller, who frees it after done */
    uint64_t lsn;             /* EDIT: strictly increasing over all submitted EDIT records */
};

/* Called once, on the store's thread, in submission order; must not block; may submit more. The
 * group belongs to the caller again. err: GFS_OK = durable; GFS_NO_SPACE = refused, nothing was
 * written; GFS_IO = the disk failed: the outcome is unknown until restart, and every later group
 * fails too; GFS_STOPPED = store closed, nothing was written; GFS_TOO_BIG = larger than a log
 * segment or than 12 MiB, nothing was written. */
typedef void (*chunk_done_fn)(struct chunk_group *group, enum gfs_err err);

/* Plain data, owned by the submitter until done. */
struct chunk_group {
    struct chunk_group *next; /* used by the store */
    struct chunk_record *records;
    chunk_done_fn done;
    bool may_use_reserve; /* deletes and their edits may use the space kept back for them */
    enum gfs_err err;     /* used by the store */
};

/* A live chunk held against deletion. Embedded in its user; the fields are the store's. */
struct chunk_pin {
    struct chunk_id id;
    uint64_t offset; /* of the record in its file */
    uint32_t len;    /* bytes of payload: the one field for users */
    uint32_t segment;
    void *state;
    void *place; /* the file it lies in */
};

enum chunk_read_flags {
    CHUNK_READ_NOWAIT = 1, /* answer GFS_AGAIN instead of waiting for the disk */
};

/* Called on the store's thread when a bulk writer that answered a short append has room again. */
typedef void (*chunk_writable_fn)(void *arg);
typedef void (*chunk_finished_fn)(void *arg, enum gfs_err err);

struct chunk_bulk_options {
    struct chunk_id id;
    struct gfs_slice owner; /* copied */
    uint32_t len_max;       /* bytes that will be appended at the most; space is allocated now */
    chunk_writable_fn writable; /* may be NULL when the user only uses blocking appends */
    void *arg;                  /* of writable and of finished */
};

struct chunk_store {
    const struct chunk_store_ops *ops;
};

struct chunk_store_ops {
    /* Takes the group; never blocks, never fails: the answer comes by done. Any thread. */
    void (*submit)(struct chunk_store *store, struct chunk_group *group);

    /* Begins a large chunk. GFS_NO_SPACE, GFS_IO, GFS_BUSY (too many at once). Any thread; may do
     * a short blocking allocation call. */
    enum gfs_err (*bulk_begin)(struct chunk_store *store, const struct chunk_bulk_options *options,
                               struct chunk_bulk **ret);
    /* Copies up to len bytes, checksums and writes them; answers how many were taken, possibly 0.
     * Fewer than len: writable is called once when there is room. An I/O error shows at finish.
     * One thread at a time per bulk. */
    size_t (*bulk_append)(struct chunk_bulk *bulk, const void *ptr, size_t len);
    /* No more appends. finished is called once, on the store's thread, when everything (data,
     * checksums, header) is on stable storage, or with the first error. The chunk's length is what
     * was appended. */
    void (*bulk_finish)(struct chunk_bulk *bulk, chunk_finished_fn finished);
    /* Releases the writer, any state, NULL allowed; waits for nothing (writes under way are
     * finished in the background). Its space is given back unless a PLACE record made it live. */
    void (*bulk_free)(struct chunk_bulk *bulk);

    /* GFS_NOT_FOUND. Every success is paired with unpin. Never blocks. Any thread. */
    enum gfs_err (*pin)(struct chunk_store *store, struct chunk_id id, struct chunk_pin *ret);
    void (*unpin)(struct chunk_store *store, struct chunk_pin *pin);
    /* Reads whole blocks: offset is a multiple of GFS_BLOCK_SIZE, len a multiple of it too or up
     * to the chunk's end. Every block's checksum (and once per pin the header's id and length) is
     * verified before GFS_OK: GFS_CORRUPT, GFS_IO, GFS_AGAIN (NOWAIT only). Any thread, one call
     * at a time per pin. */
    enum gfs_err (*read)(struct chunk_store *store, struct chunk_pin *pin, uint32_t offset,
                         uint32_t len, void *ret_bytes, unsigned flags);

    /* Calls visit for every durable EDIT record with lsn > after, in order; stops at the first
     * error. Only between open and the first submit. GFS_CORRUPT: the log is damaged below its
     * high-water mark. */
    enum gfs_err (*replay_edits)(struct chunk_store *store, uint64_t after,
                                 enum gfs_err (*visit)(void *arg, uint64_t lsn,
                                                       struct gfs_slice edit),
                                 void *arg, struct gfs_error *error);
    /* Edits up to lsn are durable elsewhere and may be reclaimed. Any thread. */
    void (*trim_edits)(struct chunk_store *store, uint64_t lsn);
};
