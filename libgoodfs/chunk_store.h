/* The interface of a chunk store: immutable chunks and an ordered edit log behind one flush.
 *
 * Implemented by datad/store.c (one disk), pool/pool.c (many) and by test doubles; used by metad
 * (its edit log), by the gateway (data) and by the pool (its disks). Model: records are submitted
 * in groups; a group becomes durable as a whole, in submission order, and `done` is its only
 * acknowledgement. A chunk is live from the moment a group with its DATA or PLACE record is durable
 * until a group with its DELETE record is durable; nothing else makes a chunk live, so an
 * interrupted request leaves nothing behind. Chunk ids are
 * never reused for other bytes. A DATA or PLACE record of a live id supersedes what was there (the
 * same bytes, written anew by repair); one of an id that was deleted makes it live again (moved
 * away and back). */
#pragma once

#include <stdint.h>

#include "libgoodfs/err.h"
#include "libgoodfs/slice.h"

/* Plain data. 128 bits, all zero = none. */
struct chunk_id {
    uint64_t hi, lo;
};

/* hi: random, drawn at process start. lo: placement group (24 bits, highest) | serial (34) | slot
 * (6). Names in metadata have slot 0; a disk that keeps fragment i of a striped chunk keeps it
 * under slot i. Group 0 is that of a store without a pool; in ids made by older versions its low
 * bits are part of the serial, so the slot of a group 0 id means nothing. */
enum {
    CHUNK_SLOT_BITS = 6,
    CHUNK_SERIAL_BITS = 34,
    CHUNK_GROUP_MAX = (1 << 24) - 1,
    CHUNK_SLOT_MAX = (1 << CHUNK_SLOT_BITS) - 1,
};

/* A fresh id of that group, slot 0, unique across processes and restarts. Any thread. */
struct chunk_id chunk_id_new(uint32_t group);

static inline uint32_t chunk_id_group(struct chunk_id id)
{
    return (uint32_t)(id.lo >> (CHUNK_SLOT_BITS + CHUNK_SERIAL_BITS));
}
static inline uint32_t chunk_id_slot(struct chunk_id id)
{
    return (uint32_t)(id.lo & CHUNK_SLOT_MAX);
}
/* The same chunk's id at another slot. */
static inline struct chunk_id chunk_id_at(struct chunk_id id, uint32_t slot)
{
    return (struct chunk_id){.hi = id.hi, .lo = (id.lo & ~(uint64_t)CHUNK_SLOT_MAX) | slot};
}

/* Below 0, 0 or above 0: the order of listings. */
static inline int chunk_id_compare(struct chunk_id a, struct chunk_id b)
{
    return a.hi != b.hi ? (a.hi > b.hi) - (a.hi < b.hi) : (a.lo > b.lo) - (a.lo < b.lo);
}

enum chunk_record_kind {
    CHUNK_RECORD_DATA = 1,   /* a chunk of at most GFS_SMALL_CHUNK_MAX bytes, payload = its bytes */
    CHUNK_RECORD_PLACE = 2,  /* makes the finished bulk chunk `bulk` live */
    CHUNK_RECORD_DELETE = 3, /* payload = chunk ids, 16 bytes each (hi, lo little-endian) */
    CHUNK_RECORD_EDIT = 4,   /* an entry of the edit log, payload at most 4 MiB */
    CHUNK_RECORD_GONE = 6,   /* edits up to `lsn` need not be here: raises the store's lsn_gone. Of
                                one disk, by who keeps its log beside others */
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
    uint64_t lsn;             /* EDIT: strictly increasing over all submitted EDIT records but those
                                 that were refused; GONE */
};

/* Called once, on the store's thread, in submission order; must not block; may submit more. The
 * group belongs to the caller again. err: GFS_OK = durable; GFS_NO_SPACE = refused, nothing was
 * written; GFS_IO = the disk failed: the outcome is unknown until restart, and every later group
 * fails too; GFS_STOPPED = store closed, nothing was written; GFS_TOO_BIG = larger than a log
 * segment or than 12 MiB, nothing was written. A pool also: GFS_UNREACHABLE = too few disks for the
 * write quorum, nothing is visible. */
typedef void (*chunk_done_fn)(struct chunk_group *group, enum gfs_err err);

/* Plain data, owned by the submitter until done. */
struct chunk_group {
    struct chunk_group *next; /* used by the store */
    struct chunk_record *records;
    chunk_done_fn done;
    bool may_use_reserve; /* deletes and their edits may use the space kept back for them */
    uint64_t after_lsn;   /* when that edit, or one before it that no taken one came behind, was
                             refused for want of space, so is this group: what is one log with
                             others must have no gap; 0 = it goes on from none */
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
    CHUNK_READ_MEDIUM = 2, /* from the medium, not from memory: what a scrub must see. Of a large
                              chunk the checksums are, too, with offset 0 */
};

/* Called on the store's thread when a bulk writer that answered a short append has room again. */
typedef void (*chunk_writable_fn)(void *arg);
typedef void (*chunk_finished_fn)(void *arg, enum gfs_err err);

struct chunk_bulk_options {
    struct chunk_id id;
    struct gfs_slice owner; /* copied */
    uint32_t len_max;       /* bytes that will be appended at the most; space for them is allocated
                               before the first of them is written */
    chunk_writable_fn writable; /* may be NULL when the user only uses blocking appends */
    void *arg;                  /* of writable and of finished */
};

/* Plain data. A live chunk (on a disk: a fragment) in a listing. */
struct chunk_listed {
    struct chunk_id id;
    uint32_t len; /* bytes of payload */
};

enum { CHUNK_LIST_PARTS = 1024 };
/* The part of the listing an id is in: the same in every store and for every slot of a chunk. */
uint32_t chunk_list_part(struct chunk_id id);

/* Plain data. Levels and counters of a store. */
struct chunk_store_status {
    uint64_t space_total, space_free; /* bytes of the file system(s) */
    uint64_t chunks, live_bytes;      /* live chunks, and bytes they take */
    uint64_t lsn_last;                /* of durable EDIT records, 0 = none */
    uint64_t lsn_floor;               /* the next EDIT must have a higher LSN than this */
    uint64_t lsn_gone;                /* edits up to it need not be here any more, not even those
                                         behind one that is; 0 = none was ever reclaimed */
    uint64_t damaged_places;          /* found in the log, not yet answered by repaired() */
    uint64_t read_errors;             /* reads answered GFS_IO or GFS_CORRUPT since open */
    bool has_failed;                  /* for writing, for good */
    bool is_full;                     /* ordinary groups are refused */
};

struct chunk_store {
    const struct chunk_store_ops *ops;
};

struct chunk_store_ops {
    /* A fresh id for a chunk of an object of `size` bytes in a storage class (empty = the default).
     * GFS_INVALID: no such class; GFS_NO_SPACE; GFS_UNREACHABLE: too few disks. Never blocks. Any
     * thread. */
    enum gfs_err (*new_id)(struct chunk_store *store, struct gfs_slice storage_class, uint64_t size,
                           struct chunk_id *ret);
    /* Whether objects can be stored in that class. Never blocks. Any thread. */
    bool (*has_class)(struct chunk_store *store, struct gfs_slice storage_class);

    /* Why new objects are refused now, in a few words and without paths; "" when they are not, or
     * nobody knows. Never blocks. Any thread. Not in every store (NULL). */
    void (*refusal)(struct chunk_store *store, char *ret_reason, size_t size);

    /* Takes the group; never blocks, never fails: the answer comes by done. Any thread. */
    void (*submit)(struct chunk_store *store, struct chunk_group *group);

    /* Begins a large chunk. GFS_NO_SPACE, GFS_IO, as far as it is known without waiting for the
     * disk: else they show at finish; GFS_BUSY (too many at once). Never waits for a disk. Any
     * thread. */
    enum gfs_err (*bulk_begin)(struct chunk_store *store, const struct chunk_bulk_options *options,
                               struct chunk_bulk **ret);
    /* Copies up to len bytes, checksums and writes them; answers how many were taken, possibly 0.
     * Fewer than len: writable is called once when there is room. An error shows at finish.
     * One thread at a time per bulk. */
    size_t (*bulk_append)(struct chunk_bulk *bulk, const void *ptr, size_t len);
    /* The writer's own memory for its next GFS_BLOCK_SIZE bytes: what the caller puts there and
     * then appends from there is not copied. NULL: there is none now (nothing is told later), or
     * what was appended is not whole blocks. Aligned to 64 bytes; valid until the next append,
     * finish or free; asking again answers the same. Same thread as append. Not in every store
     * (NULL). */
    void *(*bulk_room)(struct chunk_bulk *bulk);
    /* Replaces the owner given at begin (copied), before finish: for who learns only at the end
     * what it must say. Same thread as append. */
    void (*bulk_owner)(struct chunk_bulk *bulk, struct gfs_slice owner);
    /* No more appends. finished is called once, on the store's thread, when everything (data,
     * checksums, header) is on stable storage, or with the first error. The chunk's length is what
     * was appended. */
    void (*bulk_finish)(struct chunk_bulk *bulk, chunk_finished_fn finished);
    /* Releases the writer, any state, NULL allowed; waits for nothing (writes under way are
     * finished in the background) but a callback that runs on another thread: none is called any
     * more. Its space is given back unless a PLACE record made it live. */
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

    /* Bytes of the record's owner into ret (room for CHUNK_OWNER_LEN_MAX), verified. GFS_CORRUPT,
     * GFS_IO. May wait for the disk. Any thread, one call at a time per pin. */
    enum gfs_err (*owner)(struct chunk_store *store, struct chunk_pin *pin, void *ret_bytes,
                          size_t *ret_len);
    /* A hint that these bytes will be read soon. Never blocks for long. */
    void (*prefetch)(struct chunk_store *store, struct chunk_pin *pin, uint32_t offset,
                     uint32_t len);

    /* The live chunks of one part (below CHUNK_LIST_PARTS), in no order, in an array the caller
     * frees; count 0: ret NULL. As of one moment. Memory only, never waits for a disk. Any
     * thread. */
    void (*list)(struct chunk_store *store, uint32_t part, struct chunk_listed **ret,
                 size_t *ret_count);
    /* Never blocks for long. Any thread. */
    void (*status)(struct chunk_store *store, struct chunk_store_status *ret);
    /* Everything that damage in the log may have cost was written again (or is not wanted): damaged
     * segments count as ordinary ones from now on, and their space can come back. Any thread. */
    void (*repaired)(struct chunk_store *store);
    /* Verifies the log itself (batches, records of every kind; the bytes of small chunks are seen
     * by reading these) of about the next `bytes` from *cursor on, from the medium; *cursor 0 =
     * begin, 0 at return = the end was reached; one disk's is below 2^48. Damage found is counted
     * in damaged_places, once a segment. GFS_IO: a page cannot be read (counted as well, and
     * skipped). One thread at a time. */
    enum gfs_err (*verify_log)(struct chunk_store *store, uint64_t *cursor, uint64_t bytes);

    /* Calls visit for every durable EDIT record with lsn > after, in order; stops at the first
     * error. At any time; edits that become durable meanwhile may be left out. May wait for the
     * disk. GFS_CORRUPT: the log is damaged below its high-water mark, or `after` is below lsn_gone
     * (also when that rises over what was visited so far): some of them were reclaimed. */
    enum gfs_err (*replay_edits)(struct chunk_store *store, uint64_t after,
                                 enum gfs_err (*visit)(void *arg, uint64_t lsn,
                                                       struct gfs_slice edit),
                                 void *arg, struct gfs_error *error);
    /* Edits up to lsn are durable elsewhere and may be reclaimed. Any thread. */
    void (*trim_edits)(struct chunk_store *store, uint64_t lsn);
};
