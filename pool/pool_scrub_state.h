/* The state of the scrub, shared by pool_scrub.c and pool_scrub_json.c. */
#pragma once

#include "libgoodfs/cond.h"
#include "pool/pool_scrub_file.h"
#include "pool/pool_state.h"

/* A disk's scrub. cursor and is_requested are guarded by the scrub's lock, errand is owned by the
 * scrub's thread, the rest by the disk's. */
struct pool_scrub_disk {
    struct pool_scrub *scrub;
    struct pool_errand *errand; /* the disk's thread; NULL = never begun */
    uint16_t number;
    bool is_known; /* cursor is loaded */
    uint8_t id[16];
    char path[POOL_PATH_LEN_MAX];
    struct pool_scrub_cursor cursor;
    uint64_t usual_rate;        /* bytes a second, of passes that nobody asked for */
    uint64_t healed_before;     /* cursor.healed without this run's */
    bool is_requested;          /* the pass under way, or the next one, is an operator's */
    struct chunk_listed *items; /* of the part under way */
    size_t item_count, item_index;
    uint32_t offset;  /* in the fragment under way */
    char *bytes;      /* what is read */
    int64_t free_ns;  /* monotonic; when what was read is paid for */
    int64_t saved_ns; /* when the cursor was stored last */
};

struct pool_scrub {
    struct pool *pool;
    pthread_t thread; /* begins the disks' */
    struct pool_errands *errands;
    pthread_mutex_t lock;
    struct gfs_cond changed; /* with lock */
    bool is_stopping;
    uint64_t wakes;          /* who sleeps goes on when it rises */
    uint64_t requested_rate; /* of requested passes, 0 = no limit */
    struct pool_scrub_disk disks[POOL_DISKS_MAX];
};

void pool_scrub_wake_locked(struct pool_scrub *scrub);

/* Bytes a second that are enough for a disk with so many. */
uint64_t pool_scrub_usual_rate(uint64_t live_bytes);
/* Bytes a second, 0 = no limit. Under lock. */
uint64_t pool_scrub_rate_locked(const struct pool_scrub *scrub, const struct pool_scrub_disk *disk);
