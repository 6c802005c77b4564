/* Maps for tests: built by hand, random, and the numbers they are drawn from. */
#pragma once

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "libgoodfs/mem.h"
#include "pool/pool_map.h"

#define MAP_RIG_CLUSTER "6f1c0c0e-3c35-4a0e-9d3c-2f6f5a0b7a11"

static inline uint64_t map_rig_draw(uint64_t *state, uint64_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (*state >> 33) % below;
}

static inline struct pool_profile map_rig_profile(const char *text)
{
    struct pool_profile profile = {0};
    cr_assert_eq(pool_profile_parse(gfs_slice_str(text), &profile, NULL), GFS_OK);
    return profile;
}

/* An active disk with an id and a path of its number, of that many GiB. */
static inline struct pool_map_disk map_rig_disk(unsigned number, uint64_t gib)
{
    struct pool_map_disk disk = {
        .state = POOL_DISK_ACTIVE, .capacity = gib << 30, .had_vote = true};
    memset(disk.id, 0x5a, sizeof disk.id);
    disk.id[0] = (uint8_t)number;
    disk.id[1] = (uint8_t)(number >> 8);
    (void)snprintf(disk.path, sizeof disk.path, "/data/%u", number);
    return disk;
}

/* Disks of 100 GiB, STANDARD of that profile, no groups but group 0 on disk 0, log on disk 0. */
static inline struct pool_map *map_rig_new(unsigned disks, const char *profile)
{
    struct pool_map *map = pool_map_new(MAP_RIG_CLUSTER);
    for (unsigned i = 0; i < disks; i++) {
        struct pool_map_disk disk = map_rig_disk(i, 100);
        (void)pool_map_add_disk(map, &disk);
    }
    map->groups[0].slots[0].disk = 0;
    map->class_count = 1;
    (void)snprintf(map->classes[0].name, sizeof map->classes[0].name, "STANDARD");
    map->classes[0].profile = map_rig_profile(profile);
    map->log_disk_count = 1;
    map->log_disks[0] = (struct pool_log_disk){.disk = 0, .is_in_sync = true};
    return map;
}

static inline void map_rig_check(const struct pool_map *map)
{
    struct gfs_error error = {0};
    cr_assert_eq(pool_map_check(map, &error), GFS_OK, "%s", error.text);
}
