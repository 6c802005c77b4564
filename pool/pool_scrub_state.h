/* The state of the scrub, shared by pool_scrub.c and pool_scrub_json.c. */
#pragma once

#include "pool/pool_pace.h"
#include "pool/pool_scrub_file.h"
#include "pool/pool_state.h"

/* A disk's scrub. cursor, rate and is_requested are guarded by the scrub's lock, the rest is owned
 * by its thread. */
struct pool_scrub_disk {
    bool is_known; /* cursor is loaded */
    uint8_t id[16];
    struct pool_scrub_cursor cursor;
    uint64_t healed_before; /* cursor.healed without this run's */
    bool is_requested;      /* the pass under way, or the next one, is an operator's */
    struct chunk_listed *items; /* of the part under way */
    size_t item_count, item_index;
    uint32_t offset;  /* in the fragment under way */
    int64_t free_ns;  /* monotonic; when what was read is paid for */
    int64_t saved_ns; /* when the cursor was stored last */
};

struct pool_scrub {
    struct pool *pool;
    pthread_t thread;
    struct pool_pace pace; /* sleeps and stops; the rates are the disks' own */
    char *bytes;           /* owned by the thread */
    pthread_mutex_t lock;
    uint64_t requested_rate; /* of requested passes, 0 = no limit */
    struct pool_scrub_disk disks[POOL_DISKS_MAX];
};

/* Bytes a second, 0 = no limit. Under lock. */
uint64_t pool_scrub_rate_locked(const struct pool_scrub *scrub, const struct pool_scrub_disk *disk);
