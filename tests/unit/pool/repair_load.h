/* Chunks for a repair_rig: of all kinds of lengths, in several groups of a profile. */
#pragma once

#include "libgoodfs/mem.h"
#include "tests/unit/pool/repair_rig.h"

enum { LOAD_CHUNKS = 12 };

struct repair_load {
    const char *profile;
    struct chunk_id ids[LOAD_CHUNKS];
    uint32_t lens[LOAD_CHUNKS];
};

static inline struct repair_load repair_load_put(struct repair_rig *rig, const char *profile)
{
    static const uint32_t lens[] = {1, 4096, 65536, 65537, 262144, 262145, 1000000, 3 << 20};
    struct repair_load load = {.profile = profile};
    for (unsigned i = 0; i < LOAD_CHUNKS; i++) {
        load.lens[i] = lens[i % GFS_COUNT(lens)];
        load.ids[i] = repair_rig_put(rig, profile, i, i, load.lens[i]);
    }
    return load;
}

static inline void repair_load_expect(struct repair_rig *rig, const struct repair_load *load)
{
    for (unsigned i = 0; i < LOAD_CHUNKS; i++) {
        cr_assert(repair_rig_is_whole(rig, load->ids[i], i, load->lens[i]),
                  "chunk %u (%u bytes) of %s", i, load->lens[i], load->profile);
    }
}

static inline unsigned repair_load_extras(struct repair_rig *rig, const struct repair_load *load)
{
    unsigned count = 0;
    for (unsigned i = 0; i < LOAD_CHUNKS; i++) {
        count += repair_rig_extras(rig, load->ids[i]);
    }
    return count;
}

/* For repair_rig_change; arg: the number. */
static inline void repair_load_drain(struct pool_map *map, void *arg)
{
    struct gfs_error error = {0};
    enum gfs_err err = pool_plan_drain(map, *(uint16_t *)arg, &error);
    cr_assert_eq(err, GFS_OK, "%s", error.text);
}
