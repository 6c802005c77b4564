/* A store on a simulated disk, a seeded load on it, and the judge of what is there afterwards.
 *
 * Every group of the load carries one EDIT record, so its LSN tells whether it is durable. The
 * judge knows all groups in the order they were submitted, and how each was answered. An id always
 * has the same bytes; it is added, written anew, deleted and added again. */
#pragma once

#include "datad/store.h"
#include "tests/sim/io_sim.h"

enum {
    WORLD_GROUPS_MAX = 1000,
    WORLD_CHUNKS_MAX = 4000,
    WORLD_SEGMENT_SIZE = 256 << 10,
    WORLD_BULK_SIZE = 4 << 20,
    WORLD_CAPACITY = 48 << 20,
    WORLD_RESERVE = 1 << 20,
    WORLD_EVENTS_MAX = 16,
};

/* What a group does to a chunk. */
struct world_event {
    uint32_t group; /* its index */
    bool is_delete; /* else it is added, or written anew */
};

struct world_chunk {
    struct chunk_id id;
    uint32_t len;
    struct world_event events[WORLD_EVENTS_MAX]; /* in the order of the log */
    uint32_t event_count;                        /* 0: given up by its writer */
};

struct world_group {
    struct chunk_group group;
    struct world *world;
    struct chunk_record records[8];
    struct chunk_id ids[4];
    char *payloads[4];
    uint32_t payload_count;
    struct chunk_bulk *bulks[2];
    char edit[32];
    uint64_t lsn;
    uint32_t index;
    bool is_answered;
    bool is_seen; /* its edit was replayed by the last audit */
    enum gfs_err err;
};

/* A chunk held against deletion. */
struct world_pin {
    struct chunk_pin pin;
    const struct world_chunk *chunk; /* NULL = none */
};

struct world {
    struct gfs_io_sim *disk;
    struct store *store;
    struct chunk_store *chunks;
    uint64_t random;
    uint64_t checkpoint_bytes; /* by seed: often, seldom, only when closed */
    uint64_t trimmed_lsn;
    uint32_t group_count, chunk_count, answered_count;
    struct store_stats seen; /* sums over all times the store was open */
    uint64_t batch_of_last;  /* count of batches when a group was last acknowledged */
    uint32_t shared_count;   /* groups acknowledged together with one before */
    uint32_t rewrite_count;  /* records of chunks that were live */
    uint32_t revive_count;   /* and of chunks that had been deleted */
    uint32_t refused_count;  /* replays from where edits had left */
    struct world_pin pins[4];
    bool has_read_faults; /* pinned chunks may be unreadable */
    bool may_revive;      /* a start with damage may have copied what a lost DELETE had ended */
    struct world_group *groups[WORLD_GROUPS_MAX];
    struct world_chunk chunk[WORLD_CHUNKS_MAX];
};

/* Ends the process with a message naming the seed when it does not hold. */
#define WORLD_CHECK(world, condition, ...)                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            world_broken((world), __FILE__, __LINE__, #condition, __VA_ARGS__);                    \
        }                                                                                          \
    } while (0)
void world_broken(const struct world *world, const char *file, int line, const char *condition,
                  const char *format, ...) GFS_PRINTF(5, 6) __attribute__((noreturn));
/* Shown when something is broken: what leads there again. */
void world_name(const char *format, ...) GFS_PRINTF(1, 2);

struct world *world_new(uint64_t seed);
void world_free(struct world *world);
/* The store is opened on the disk as it is. */
enum gfs_err world_open(struct world *world, struct gfs_error *error);
/* Failing to open is broken. */
void world_open_whole(struct world *world);
void world_close(struct world *world);
/* A number from the environment. */
uint64_t world_knob(const char *variable, uint64_t fallback);
uint64_t world_draw(struct world *world, uint64_t limit);

/* Whether that many groups more can be loaded. */
bool world_has_room(const struct world *world, uint32_t count);
/* Submits up to `count` groups of all kinds; stops early when the store has failed. */
void world_load(struct world *world, uint32_t count);
void world_unpin_all(struct world *world);
/* All edits so far are durable elsewhere. */
void world_trim_all(struct world *world);
/* What is not as it should be is written anew, or deleted. Answers how many there were. */
uint32_t world_repair(struct world *world);
/* One group that deletes every chunk there is. */
void world_delete_all(struct world *world);
/* GFS_OK: the bytes are the chunk's own; others are broken. */
enum gfs_err world_read_pinned(struct world *world, const struct world_chunk *chunk,
                               struct chunk_pin *pin);
/* Everything submitted is answered. */
void world_settle(struct world *world);
/* The store, just opened, holds every acknowledged group, of each other group all or nothing, no
 * group behind a missing one, right bytes, and nothing else; of trimmed edits it knows whether it
 * has them all. */
void world_audit(struct world *world);
/* For a store that may have found damage: chunks may be missing only when it says so, edits are
 * never skipped in silence, and what is there has right bytes.
 * Answers whether all edits are there. */
bool world_audit_damaged(struct world *world);
/* GFS_OK: the chunk is there with its own bytes; other bytes are broken. */
enum gfs_err world_read(struct world *world, const struct world_chunk *chunk);
/* Deletes everything and checks that its space comes back. */
void world_empty(struct world *world);
