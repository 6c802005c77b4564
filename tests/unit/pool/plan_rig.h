/* What tests of placement look at: who has how many slots, and whether that is even. */
#pragma once

#include <math.h>
#include <stdlib.h>

#include "map_rig.h"
#include "pool/pool_plan.h"

static inline void plan_rig_add_profile(struct pool_map *map, const char *profile)
{
    struct gfs_error error = {0};
    cr_assert_eq(pool_plan_profile(map, map_rig_profile(profile), &error), GFS_OK, "%s",
                 error.text);
}

static inline uint32_t plan_rig_slots_on(const struct pool_map *map, struct pool_profile profile,
                                         uint16_t disk)
{
    uint32_t count = 0;
    for (uint32_t g = 1; g < map->group_count; g++) {
        for (unsigned i = 0; i < pool_profile_width(profile); i++) {
            count += pool_profile_is_equal(map->groups[g].profile, profile) &&
                     map->groups[g].slots[i].disk == disk;
        }
    }
    return count;
}

static inline uint32_t plan_rig_named(const struct pool_map *map, uint16_t disk)
{
    uint32_t count = 0;
    for (uint32_t g = 0; g < map->group_count; g++) {
        for (unsigned i = 0; i < pool_profile_width(map->groups[g].profile); i++) {
            struct pool_slot slot = map->groups[g].slots[i];
            count += slot.disk == disk || slot.from == disk;
        }
    }
    return count;
}

static inline uint32_t plan_rig_moving(const struct pool_map *map)
{
    uint32_t count = 0;
    for (uint32_t g = 0; g < map->group_count; g++) {
        for (unsigned i = 0; i < pool_profile_width(map->groups[g].profile); i++) {
            count += map->groups[g].slots[i].is_filling;
        }
    }
    return count;
}

/* What a whole pass does, and what follows it. */
static inline void plan_rig_pass(struct pool_map *map)
{
    for (uint32_t g = 0; g < map->group_count; g++) {
        for (unsigned i = 0; i < pool_profile_width(map->groups[g].profile); i++) {
            struct pool_slot *slot = &map->groups[g].slots[i];
            if (map->disks[slot->disk].state != POOL_DISK_FAILED) {
                slot->is_filling = false;
                slot->from = POOL_NO_DISK;
            }
        }
    }
    for (uint32_t i = 0; i < map->log_disk_count; i++) {
        map->log_disks[i].is_in_sync = true;
    }
    for (uint32_t i = 0; i < map->disk_count; i++) {
        map->disks[i].is_behind = false;
    }
}

static inline bool plan_rig_has_share(const struct pool_map_disk *disk)
{
    return disk->state == POOL_DISK_ACTIVE && !disk->is_read_only;
}

/* Each disk's share of the slots that are on disks with shares, at most one a group, by halving: a
 * way of its own. */
static inline void plan_rig_shares_of(const struct pool_map *map, struct pool_profile profile,
                                      double *ret)
{
    uint32_t *groups, group_count;
    pool_plan_groups(map, profile, &groups, &group_count);
    free(groups);
    double total = 0, low = 0, high = 1e12;
    for (uint16_t i = 0; i < map->disk_count; i++) {
        total += plan_rig_has_share(&map->disks[i]) ? plan_rig_slots_on(map, profile, i) : 0;
    }
    for (int round = 0; round < 200; round++) {
        double factor = (low + high) / 2, sum = 0;
        for (uint16_t i = 0; i < map->disk_count; i++) {
            const struct pool_map_disk *disk = &map->disks[i];
            double weight = (double)(disk->capacity - disk->reserved) / (1 << 30);
            ret[i] = plan_rig_has_share(disk) ? GFS_MIN(weight * factor, (double)group_count) : 0;
            sum += ret[i];
        }
        *(sum < total ? &low : &high) = factor;
    }
}

static inline void plan_rig_check_balance(const struct pool_map *map, struct pool_profile profile,
                                          const char *when)
{
    double shares[POOL_DISKS_MAX];
    plan_rig_shares_of(map, profile, shares);
    for (uint16_t i = 0; i < map->disk_count; i++) {
        double distance = fabs(plan_rig_slots_on(map, profile, i) - shares[i]);
        bool is_even =
            !plan_rig_has_share(&map->disks[i]) || distance <= GFS_MAX(1.0, shares[i] / 10);
        cr_assert(is_even, "%s: disk %u has %u slots, its share is %.2f", when, i,
                  plan_rig_slots_on(map, profile, i), shares[i]);
    }
}
