/* A pool on doubles of disks in directories of their own, opened and closed as often as needed. */
#pragma once

#include <criterion/criterion.h>

#include "pool/pool_state.h"
#include "tests/unit/pool/disk_doubles.h"

enum { OPEN_RIG_DISKS_MAX = 16, OPEN_RIG_PATH_SIZE = 128 };

struct open_rig {
    char home[64];
    char paths[OPEN_RIG_DISKS_MAX][OPEN_RIG_PATH_SIZE];
    const char *given[OPEN_RIG_DISKS_MAX + 1]; /* what the next opening is given; NULL-terminated */
    struct disk_doubles *doubles;
    struct pool_options options;
    struct pool *pool;
    struct gfs_error error; /* of the last opening */
};

/* Directories d0, d1..., empty, all given. */
void open_rig_init(struct open_rig *rig, unsigned disks);
void open_rig_fini(struct open_rig *rig);
enum gfs_err open_rig_try(struct open_rig *rig);
void open_rig_open(struct open_rig *rig); /* must succeed */
void open_rig_close(struct open_rig *rig);
void open_rig_reopen(struct open_rig *rig);
/* The watch looks often. Hooks of nobody unless set; returns when everything was started. */
void open_rig_start(struct open_rig *rig, const struct pool_meta_hooks *hooks);
void open_rig_empty(struct open_rig *rig, unsigned disk);
void open_rig_take_away(struct open_rig *rig, unsigned disk);
void open_rig_bring_back(struct open_rig *rig, unsigned disk);
void open_rig_swap(struct open_rig *rig, unsigned a, unsigned b);
struct disk_double *open_rig_double(struct open_rig *rig, unsigned disk);

/* One group, waited for. data "" = no chunk; lsn 0 = no edit. */
enum gfs_err open_rig_put(struct open_rig *rig, const char *data, uint64_t lsn,
                          struct chunk_id *ret);
/* An edit to one disk's store, past the pool. */
void open_rig_append(struct chunk_store *store, uint64_t lsn);
/* The chunk's bytes are `data`. */
bool open_rig_has(struct open_rig *rig, struct chunk_id id, const char *data);

/* The map in force; counted, as pool_view_get. */
struct pool_view *open_rig_view(struct open_rig *rig);
bool open_rig_is_healthy(struct open_rig *rig, const struct pool_view *view);
/* Waits until is_true, at most 10 s. */
void open_rig_await(struct open_rig *rig,
                    bool (*is_true)(struct open_rig *rig, const struct pool_view *view));
