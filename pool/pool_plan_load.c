#include "pool/pool_plan_load.h"

#include <stdlib.h>

#include "libgoodfs/mem.h"

#define WEIGHT_MAX (1ULL << 36) /* so that products with slots and sums over disks fit 64 bits */

struct profile_load {
    struct profile_load *next;
    bool is_group0;
    struct pool_profile profile;
    uint32_t slots[POOL_DISKS_MAX];
};

struct pool_plan_loads {
    struct pool_map *map;
    struct profile_load *first;
};

bool pool_plan_load_has_share(const struct pool_map_disk *disk)
{
    return disk->state == POOL_DISK_ACTIVE && !disk->is_read_only;
}

bool pool_plan_load_can_take(const struct pool_map_disk *disk)
{
    return pool_plan_load_has_share(disk) && !disk->is_full && pool_plan_load_weight(disk) != 0;
}

uint64_t pool_plan_load_weight(const struct pool_map_disk *disk)
{
    if (disk->capacity == 0) {
        return 1; /* not known yet: it has some */
    }
    if (disk->reserved >= disk->capacity) {
        return 0;
    }
    uint64_t mib = (disk->capacity - disk->reserved) >> 20;
    return GFS_MIN(GFS_MAX(mib, (uint64_t)1), WEIGHT_MAX);
}

uint64_t pool_plan_load_mix(uint64_t a, uint64_t b)
{
    /* splitmix64's finaliser */
    uint64_t x = a * 0x9e3779b97f4a7c15u + b + 0x632be59bd9b4e019u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

struct share {
    uint32_t index;
    uint64_t remainder, order;
};

static int by_remainder(const void *a, const void *b)
{
    const struct share *left = a, *right = b;
    if (left->remainder != right->remainder) {
        return left->remainder > right->remainder ? -1 : 1;
    }
    return left->order < right->order ? -1 : left->order > right->order;
}

/* Gives `cap` to those whose proportional share would be more, until there are none. */
static void cap_shares(const uint64_t *weights, uint32_t count, uint64_t cap, uint64_t *total,
                       uint64_t *weight_sum, uint32_t *ret)
{
    bool has_capped = true;
    while (has_capped && *weight_sum != 0) {
        has_capped = false;
        for (uint32_t i = 0; i < count; i++) {
            if (ret[i] == 0 && weights[i] != 0 && *total >= cap &&
                weights[i] * *total > cap * *weight_sum) {
                ret[i] = (uint32_t)cap;
                *total -= cap;
                *weight_sum -= weights[i];
                has_capped = true;
            }
        }
    }
}

void pool_plan_load_quota(const uint64_t *weights, uint32_t count, uint64_t total, uint64_t cap,
                          uint64_t seed, uint32_t *ret)
{
    GFS_ASSERT(count <= POOL_DISKS_MAX);
    struct share shares[POOL_DISKS_MAX];
    uint64_t weight_sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        weight_sum += weights[i];
        ret[i] = 0;
    }
    cap_shares(weights, count, cap, &total, &weight_sum, ret);
    uint64_t left = total;
    uint32_t open = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (ret[i] == 0 && weights[i] != 0) {
            GFS_ASSERT(weight_sum != 0); /* it has this one's weight */
            ret[i] = (uint32_t)(weights[i] * total / weight_sum);
            left -= ret[i];
            shares[open++] = (struct share){.index = i,
                                            .remainder = weights[i] * total % weight_sum,
                                            .order = pool_plan_load_mix(seed, i)};
        }
    }
    qsort(shares, open, sizeof shares[0], by_remainder);
    for (uint32_t i = 0; i < open && left != 0; i++) {
        if (ret[shares[i].index] < cap) {
            ret[shares[i].index]++;
            left--;
        }
    }
}

bool pool_plan_load_has_disk(const struct pool_group *group, uint16_t disk)
{
    for (unsigned i = 0; i < pool_profile_width(group->profile); i++) {
        if (group->slots[i].disk == disk) {
            return true;
        }
    }
    return false;
}

bool pool_plan_load_has_from(const struct pool_group *group, uint16_t disk)
{
    for (unsigned i = 0; i < pool_profile_width(group->profile); i++) {
        if (group->slots[i].from == disk) {
            return true;
        }
    }
    return false;
}

struct pool_plan_loads *pool_plan_load_new(struct pool_map *map)
{
    struct pool_plan_loads *loads = gfs_alloc(sizeof *loads);
    loads->map = map;
    return loads;
}

void pool_plan_load_free(struct pool_plan_loads *loads)
{
    if (loads == NULL) {
        return;
    }
    while (loads->first != NULL) {
        struct profile_load *next = loads->first->next;
        free(loads->first);
        loads->first = next;
    }
    free(loads);
}

static void count_group(const struct pool_group *group, uint32_t *slots)
{
    for (unsigned i = 0; i < pool_profile_width(group->profile); i++) {
        if (group->slots[i].disk != POOL_NO_DISK) {
            slots[group->slots[i].disk]++;
        }
    }
}

static struct profile_load *load_of(struct pool_plan_loads *loads, uint32_t number)
{
    const struct pool_map *map = loads->map;
    struct pool_profile profile = map->groups[number].profile;
    for (struct profile_load *load = loads->first; load != NULL; load = load->next) {
        bool is_same = load->is_group0 == (number == 0) &&
                       (number == 0 || pool_profile_is_equal(load->profile, profile));
        if (is_same) {
            return load;
        }
    }
    struct profile_load *load = gfs_alloc(sizeof *load);
    load->is_group0 = number == 0;
    load->profile = profile;
    load->next = loads->first;
    loads->first = load;
    for (uint32_t i = number == 0 ? 0 : 1; i < (number == 0 ? 1 : map->group_count); i++) {
        if (pool_profile_is_equal(map->groups[i].profile, profile)) {
            count_group(&map->groups[i], load->slots);
        }
    }
    return load;
}

const uint32_t *pool_plan_load_of(struct pool_plan_loads *loads, uint32_t group)
{
    return load_of(loads, group)->slots;
}

uint16_t pool_plan_load_choose(struct pool_plan_loads *loads, uint32_t number)
{
    const struct pool_map *map = loads->map;
    const struct pool_group *group = &map->groups[number];
    const uint32_t *slots = load_of(loads, number)->slots;
    uint16_t best = POOL_NO_DISK;
    bool best_is_from = false;
    for (uint16_t i = 0; i < map->disk_count; i++) {
        if (!pool_plan_load_can_take(&map->disks[i]) || pool_plan_load_has_disk(group, i)) {
            continue;
        }
        bool is_from = pool_plan_load_has_from(group, i);
        bool is_better = best == POOL_NO_DISK || (best_is_from && !is_from);
        if (!is_better && best_is_from == is_from) {
            /* (slots + 1) / weight, compared crosswise */
            uint64_t this_one = (slots[i] + 1ULL) * pool_plan_load_weight(&map->disks[best]);
            uint64_t that_one = (slots[best] + 1ULL) * pool_plan_load_weight(&map->disks[i]);
            is_better = this_one < that_one ||
                        (this_one == that_one &&
                         pool_plan_load_mix(number, i) < pool_plan_load_mix(number, best));
        }
        if (is_better) {
            best = i;
            best_is_from = is_from;
        }
    }
    return best;
}

void pool_plan_load_set(struct pool_plan_loads *loads, uint32_t number, unsigned slot,
                        uint16_t disk, uint16_t from)
{
    uint32_t *slots = load_of(loads, number)->slots;
    struct pool_slot *changed = &loads->map->groups[number].slots[slot];
    if (changed->disk != POOL_NO_DISK) {
        GFS_ASSERT(slots[changed->disk] != 0);
        slots[changed->disk]--;
    }
    slots[disk]++;
    *changed = (struct pool_slot){.disk = disk, .from = from, .is_filling = true};
}
