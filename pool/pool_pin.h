/* A chunk held for reading: the pins of its fragments, the parts, on the disks that have them.
 *
 * Counted: by whoever pinned it and by the read jobs under way. A part is used by one read at a
 * time; while a job nobody waits for any more still uses it, it is busy and others must do. Of
 * copies only one is pinned at first.
 *
 * A pin may be held for hours, by a download that is slow. It holds no view, only the disks of its
 * parts, and these as long as the map in force uses or reads them: the parts on a disk that is left
 * are let go of while nobody reads by the pin, else the disk could not be closed, and so not come
 * back. The next read looks for them anew, wherever the map then says.
 *
 * What disks have that were dropped for their writes (pool_former.c) is looked for only when the
 * usable ones have too little: last parts. They are read on the disks' own threads, and as long as
 * none of these is stuck. */
#pragma once

#include "libgoodfs/cond.h"
#include "pool/pool_state.h"

/* Plain data. */
struct pool_part {
    struct pool_disk *disk; /* counted; NULL = not pinned */
    struct chunk_pin pin;
    atomic_bool is_busy;
    bool is_reported; /* to the suspects */
};

struct pool_pin {
    struct pool *pool;
    struct pool_pin *next, **link;  /* in pool->pins; guarded by view_lock */
    struct pool_profile profile;    /* of its group, when it was made */
    const struct pool_view *view;   /* while parts are looked for, else NULL */
    const struct pool_group *group; /* likewise */
    struct chunk_id id;
    unsigned k, width;     /* copies: k = 1 */
    uint32_t fragment_len; /* of every part */
    uint16_t avoid_disk;   /* not to be used for slot avoid_slot, or for any copy */
    uint32_t avoid_slot;
    uint32_t there;     /* mask of parts that are pinned */
    uint32_t away;      /* mask of parts that a disk may have which is away */
    uint32_t damaged;   /* mask of parts whose record is known to be unusable */
    unsigned preferred; /* the copy to be read; of a striped chunk 0: not used */
    bool is_complete;   /* every part was looked for */
    bool is_given;      /* its length was told, by its user, and stays as it is */
    bool is_alone;      /* the one copy of a pool of one disk */
    atomic_uint references;
    pthread_mutex_t lock; /* guards what follows and is_done of jobs */
    struct gfs_cond changed;
    unsigned users; /* 0: parts may be let go of, under the lock; else they are the users' */
    bool has_left;  /* a part was let go of since it was last used */
    struct pool_part parts[];
};

/* Plain data. */
struct pool_pin_options {
    struct chunk_id id;
    uint16_t avoid_disk; /* POOL_NO_DISK = none */
    uint32_t avoid_slot;
    bool is_for_slot; /* fewer than k parts will do if that of avoid_slot is there */
};
/* The pin is in use. NOT_FOUND: no disk has any of it and all that may are there; CORRUPT: fewer
 * than k parts, and all disks are there; UNREACHABLE: fewer than k, disks are away. Never blocks.
 */
enum gfs_err pool_pin_new(struct pool *pool, struct pool_view *view,
                          const struct pool_pin_options *options, struct pool_pin **ret);
/* Around all that follows: it is in use, by one thread at a time; by more only for
 * pool_pin_readable. What was let go of is looked for unless is_look_free. */
void pool_pin_enter(struct pool_pin *pin, bool is_look_free);
void pool_pin_exit(struct pool_pin *pin);
/* Lets go of the parts on that disk, of all pins that are not in use. May hang in it. */
void pool_pin_leave_disk(struct pool *pool, const struct pool_disk *disk);
void pool_pin_ref(struct pool_pin *pin);
void pool_pin_unref(struct pool_pin *pin);
/* Looks for the copies that were not needed so far. */
void pool_pin_complete(struct pool_pin *pin);
/* Parts that can be read now: pinned, disk usable, not busy. */
uint32_t pool_pin_readable(const struct pool_pin *pin);
/* Looks for what the usable disks did not have on those that are only read, and on those that came
 * back since. Each time anew: who still lacks something asks for it. */
void pool_pin_find_last(struct pool_pin *pin);
/* Last parts that can be read now. */
uint32_t pool_pin_last(const struct pool_pin *pin);
/* The part's disk is not used any more. */
bool pool_pin_is_last(const struct pool_pin *pin, unsigned part);
/* A read of the part that is under way is worth waiting for. */
bool pool_pin_is_awaited(const struct pool_pin *pin, unsigned part);
/* A part's disk was slow lately. */
bool pool_pin_is_slow(const struct pool_pin *pin, unsigned part);
/* A read of the part failed: told to the suspects, and, if the disk could not read, counted; once
 * for a pin. What is read but damaged says nothing about the disk's health. Of a last part: if the
 * disk fails too many, it is not read any more. */
void pool_pin_report(struct pool_pin *pin, unsigned part, enum gfs_err err);
/* Why too little of the chunk can be read. */
enum gfs_err pool_pin_lost(const struct pool_pin *pin);
/* Waits for a job of the pin to be done or until the time (monotonic). With pin->lock. */
void pool_pin_wait_locked(struct pool_pin *pin, int64_t until_ns);

/* ---- pool_pin_owner.c ---- */
/* The owner of any part, as it is on its disk; ret has room for CHUNK_OWNER_LEN_MAX. Waits for one
 * disk some time only before it asks the next. CORRUPT, UNREACHABLE: no part's can be read;
 * TIMEOUT: some disk has not answered; BUSY: too much is asked of one. */
enum gfs_err pool_pin_owner(struct pool_pin *pin, char *ret, size_t *ret_len);
