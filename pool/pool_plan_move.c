/* Groups of a new profile, and evening out.
 *
 * New groups: the disks' quotas of slots are fixed first; then group by group the disks that lag
 * most behind their quota are taken, and those that must be in every group that is left. While no
 * disk needs more slots than there are groups left, each step leaves that true, so every quota is
 * met exactly.
 *
 * Evening out: a slot moves from a disk with more than its quota to one with less, if a group has
 * the one and not the other; else along a chain of disks, each of which passes one slot on. */
#include <stdlib.h>

#include "libgoodfs/mem.h"
#include "pool/pool_plan.h"
#include "pool/pool_plan_load.h"

enum {
    SLOTS_PER_DISK = 32,
    PROFILE_GROUPS_MIN = 128, /* a pool of few disks has enough of them for many more */
    PROFILE_GROUPS_MAX = 4096,
    OPEN_GROUPS_MIN = 16, /* if some are not, and there are disks for different ones */
    TOLERANCE_PART = 20,  /* 1/20 = 5 % of its share a disk may be away from it */
};

static uint64_t profile_seed(struct pool_profile profile)
{
    return ((uint64_t)profile.kind << 16) | ((uint64_t)profile.k << 8) | profile.m;
}

void pool_plan_groups(const struct pool_map *map, struct pool_profile profile, uint32_t **ret,
                      uint32_t *ret_count)
{
    uint32_t *groups = gfs_alloc_array(map->group_count, sizeof *groups);
    uint32_t count = 0;
    for (uint32_t i = 1; i < map->group_count; i++) {
        if (pool_profile_is_equal(map->groups[i].profile, profile)) {
            groups[count++] = i;
        }
    }
    *ret = groups;
    *ret_count = count;
}

/* ---- groups of a new profile ---- */

struct candidate {
    uint16_t disk;
    bool must;      /* needs a slot of every group that is left */
    int64_t lag;    /* behind its quota, times the number of groups */
    uint64_t order; /* among equals */
};

static int by_need(const void *a, const void *b)
{
    const struct candidate *left = a, *right = b;
    if (left->must != right->must) {
        return left->must ? -1 : 1;
    }
    if (left->lag != right->lag) {
        return left->lag > right->lag ? -1 : 1;
    }
    return left->order < right->order ? -1 : left->order > right->order;
}

static int by_order(const void *a, const void *b)
{
    const struct candidate *left = a, *right = b;
    return left->order < right->order ? -1 : left->order > right->order;
}

/* Group `index` of `count`: its disks, in an order that puts data on all alike. */
static void fill_group(struct pool_map *map, uint32_t number, uint32_t index, uint32_t count,
                       const uint32_t *quota, uint32_t *load)
{
    struct candidate candidates[POOL_DISKS_MAX];
    uint32_t found = 0;
    for (uint32_t i = 0; i < map->disk_count; i++) {
        if (load[i] < quota[i]) {
            candidates[found++] = (struct candidate){
                .disk = (uint16_t)i,
                .must = quota[i] - load[i] >= count - index,
                .lag = (int64_t)quota[i] * (index + 1) - (int64_t)load[i] * count,
                .order = pool_plan_load_mix(number, i),
            };
        }
    }
    unsigned width = pool_profile_width(map->groups[number].profile);
    GFS_ASSERT(found >= width);
    qsort(candidates, found, sizeof candidates[0], by_need);
    qsort(candidates, width, sizeof candidates[0], by_order);
    for (unsigned i = 0; i < width; i++) {
        map->groups[number].slots[i].disk = candidates[i].disk;
        load[candidates[i].disk]++;
    }
}

/* Weights of the disks that may take slots; answers how many do. */
static uint32_t weigh_usable(const struct pool_map *map, uint64_t weights[POOL_DISKS_MAX])
{
    uint32_t usable = 0;
    for (uint32_t i = 0; i < map->disk_count; i++) {
        bool can_take = pool_plan_load_can_take(&map->disks[i]);
        weights[i] = can_take ? pool_plan_load_weight(&map->disks[i]) : 0;
        usable += can_take ? 1 : 0;
    }
    return usable;
}

bool pool_plan_is_open(const struct pool_map *map, const struct pool_group *group)
{
    for (unsigned i = 0; i < pool_profile_width(group->profile); i++) {
        uint16_t number = group->slots[i].disk;
        if (number == POOL_NO_DISK) {
            continue;
        }
        enum pool_disk_state state = map->disks[number].state;
        bool is_gone = state == POOL_DISK_FAILED || state == POOL_DISK_REMOVED;
        if (map->disks[number].is_read_only && !is_gone) {
            return false;
        }
    }
    return true;
}

static bool has_groups(const struct pool_map *map, struct pool_profile profile, uint32_t usable)
{
    uint32_t count = 0, open = 0;
    for (uint32_t i = 1; i < map->group_count; i++) {
        if (pool_profile_is_equal(map->groups[i].profile, profile)) {
            count++;
            open += pool_plan_is_open(map, &map->groups[i]) ? 1 : 0;
        }
    }
    bool is_one_enough = open == count || usable <= pool_profile_width(profile);
    return open >= (is_one_enough ? 1 : OPEN_GROUPS_MIN);
}

enum gfs_err pool_plan_profile(struct pool_map *map, struct pool_profile profile,
                               struct gfs_error *error)
{
    uint64_t weights[POOL_DISKS_MAX] = {0};
    unsigned width = pool_profile_width(profile);
    uint32_t usable = weigh_usable(map, weights);
    GFS_ASSERT(width != 0);
    if (has_groups(map, profile, usable)) {
        return GFS_OK;
    }
    char text[POOL_PROFILE_TEXT_SIZE];
    pool_profile_format(profile, text);
    if (usable < width) {
        return gfs_fail(error, GFS_INVALID, "%s needs %u disks that take new data, there are %u",
                        text, width, usable);
    }
    uint32_t count = (SLOTS_PER_DISK * usable + width - 1) / width;
    count = GFS_MIN(GFS_MAX(count, (uint32_t)PROFILE_GROUPS_MIN), (uint32_t)PROFILE_GROUPS_MAX);
    if (count > POOL_GROUPS_MAX - map->group_count) {
        return gfs_fail(error, GFS_BUSY, "%s: a pool has at most %d groups", text, POOL_GROUPS_MAX);
    }
    uint32_t quota[POOL_DISKS_MAX] = {0}, load[POOL_DISKS_MAX] = {0};
    pool_plan_load_quota(weights, map->disk_count, (uint64_t)count * width, count,
                         profile_seed(profile), quota);
    for (uint32_t i = 0; i < count; i++) {
        fill_group(map, pool_map_add_group(map, profile), i, count, quota, load);
    }
    return GFS_OK;
}

/* ---- evening out ---- */

struct balance {
    struct pool_map *map;
    struct pool_plan_loads *loads;
    uint32_t *groups; /* of the profile */
    uint32_t group_count;
    uint32_t quota[POOL_DISKS_MAX];
    bool has_share[POOL_DISKS_MAX];
    bool is_stuck[POOL_DISKS_MAX]; /* nothing can be done about it */
};

static int64_t excess(struct balance *balance, uint16_t disk)
{
    const uint32_t *load = pool_plan_load_of(balance->loads, balance->groups[0]);
    return balance->has_share[disk] ? (int64_t)load[disk] - balance->quota[disk] : 0;
}

/* The slot of the group that can move from one disk to the other, -1 = none. */
static int movable_slot(const struct pool_group *group, uint16_t from, uint16_t to)
{
    int found = -1;
    for (unsigned i = 0; i < pool_profile_width(group->profile); i++) {
        struct pool_slot slot = group->slots[i];
        if (slot.disk == to || slot.from == to || slot.from == from) {
            return -1; /* or one disk would be the `from` of two slots */
        }
        if (slot.disk == from && !slot.is_filling) {
            found = (int)i;
        }
    }
    return found;
}

/* A group from which a slot can move; which of several looks random. */
static bool find_move(const struct balance *balance, uint16_t from, uint16_t to,
                      uint32_t *ret_group, unsigned *ret_slot)
{
    uint64_t start = pool_plan_load_mix(from, to) % balance->group_count;
    for (uint32_t i = 0; i < balance->group_count; i++) {
        uint32_t number = balance->groups[(start + i) % balance->group_count];
        int slot = movable_slot(&balance->map->groups[number], from, to);
        if (slot >= 0) {
            *ret_group = number;
            *ret_slot = (unsigned)slot;
            return true;
        }
    }
    return false;
}

static bool move(struct balance *balance, uint16_t from, uint16_t to)
{
    uint32_t group;
    unsigned slot;
    if (!find_move(balance, from, to, &group, &slot)) {
        return false;
    }
    pool_plan_load_set(balance->loads, group, slot, to, from);
    return true;
}

/* A shortest chain of moves from `start` to `end`, or to any disk with less than its quota when
 * that is POOL_NO_DISK; only the last link is made, which brings the gap one link nearer: the next
 * call goes on from there. */
static bool move_by_chain(struct balance *balance, uint16_t start, uint16_t end)
{
    uint16_t queue[POOL_DISKS_MAX], before[POOL_DISKS_MAX];
    bool is_seen[POOL_DISKS_MAX] = {[0] = false};
    uint32_t head = 0, tail = 0;
    queue[tail++] = start;
    is_seen[start] = true;
    while (head < tail) {
        uint16_t disk = queue[head++];
        for (uint32_t i = 0; i < balance->map->disk_count; i++) {
            uint16_t next = (uint16_t)i;
            uint32_t group;
            unsigned slot;
            if (is_seen[next] || !pool_plan_load_can_take(&balance->map->disks[next]) ||
                !find_move(balance, disk, next, &group, &slot)) {
                continue;
            }
            is_seen[next] = true;
            before[next] = disk;
            if (end == POOL_NO_DISK ? excess(balance, next) < 0 : next == end) {
                return move(balance, before[next], next);
            }
            queue[tail++] = next;
        }
    }
    return false;
}

/* Of the disks with too much (sign 1) or too little (-1) the one farthest from its quota, in
 * proportion to it. A disk with too little counts only if it can take more. */
static uint16_t farthest(struct balance *balance, int sign, const bool *is_excluded)
{
    uint16_t best = POOL_NO_DISK;
    int64_t best_distance = 0, best_quota = 1;
    for (uint32_t i = 0; i < balance->map->disk_count; i++) {
        int64_t distance = sign * excess(balance, (uint16_t)i);
        int64_t quota = GFS_MAX((int64_t)balance->quota[i], (int64_t)1);
        bool can = sign > 0 || pool_plan_load_can_take(&balance->map->disks[i]);
        if (can && !is_excluded[i] && distance * best_quota > best_distance * quota) {
            best = (uint16_t)i;
            best_distance = distance;
            best_quota = quota;
        }
    }
    return best;
}

static bool is_outside(struct balance *balance, uint16_t disk)
{
    if (disk == POOL_NO_DISK) {
        return false;
    }
    int64_t distance = llabs(excess(balance, disk));
    return distance * TOLERANCE_PART > balance->quota[disk];
}

/* One slot nearer to balance for a disk that has too much. */
static bool relieve(struct balance *balance, uint16_t disk)
{
    bool is_tried[POOL_DISKS_MAX] = {0};
    uint16_t to = farthest(balance, -1, is_tried);
    while (to != POOL_NO_DISK) {
        if (move(balance, disk, to)) {
            return true;
        }
        is_tried[to] = true;
        to = farthest(balance, -1, is_tried);
    }
    return move_by_chain(balance, disk, POOL_NO_DISK);
}

/* One slot nearer to balance for a disk that has too little. */
static bool feed(struct balance *balance, uint16_t disk)
{
    bool is_tried[POOL_DISKS_MAX] = {0};
    uint16_t from = farthest(balance, 1, is_tried);
    uint16_t first = from;
    while (from != POOL_NO_DISK) {
        if (move(balance, from, disk)) {
            return true;
        }
        is_tried[from] = true;
        from = farthest(balance, 1, is_tried);
    }
    return first != POOL_NO_DISK && move_by_chain(balance, first, disk);
}

static uint32_t even_out(struct balance *balance, uint32_t max_moves)
{
    uint32_t moves = 0;
    while (moves < max_moves) {
        uint16_t over = farthest(balance, 1, balance->is_stuck);
        uint16_t under = farthest(balance, -1, balance->is_stuck);
        bool is_over = is_outside(balance, over), is_under = is_outside(balance, under);
        if (!is_over && !is_under) {
            break;
        }
        bool takes_over =
            is_over && (!is_under || excess(balance, over) >= -excess(balance, under));
        uint16_t disk = takes_over ? over : under;
        if (takes_over ? relieve(balance, disk) : feed(balance, disk)) {
            moves++;
        } else {
            balance->is_stuck[disk] = true;
        }
    }
    return moves;
}

static uint32_t even_out_profile(struct pool_map *map, struct pool_profile profile,
                                 uint32_t max_moves)
{
    struct balance *balance = gfs_alloc(sizeof *balance);
    uint64_t weights[POOL_DISKS_MAX] = {0}, total = 0;
    balance->map = map;
    balance->loads = pool_plan_load_new(map);
    pool_plan_groups(map, profile, &balance->groups, &balance->group_count);
    const uint32_t *load = pool_plan_load_of(balance->loads, balance->groups[0]);
    for (uint32_t i = 0; i < map->disk_count; i++) {
        balance->has_share[i] = pool_plan_load_has_share(&map->disks[i]);
        if (balance->has_share[i]) {
            weights[i] = pool_plan_load_weight(&map->disks[i]);
            total += load[i];
        }
    }
    pool_plan_load_quota(weights, map->disk_count, total, balance->group_count,
                         profile_seed(profile), balance->quota);
    uint32_t moves = even_out(balance, max_moves);
    pool_plan_load_free(balance->loads);
    free(balance->groups);
    free(balance);
    return moves;
}

uint32_t pool_plan_rebalance(struct pool_map *map, uint32_t max_moves)
{
    uint32_t moves = 0;
    bool is_done[POOL_EC + 1][POOL_WIDTH_MAX][POOL_WIDTH_MAX] = {0}; /* by kind, k, m */
    for (uint32_t i = 1; i < map->group_count && moves < max_moves; i++) {
        struct pool_profile profile = map->groups[i].profile;
        bool *is_this_done = &is_done[profile.kind][profile.k][profile.m];
        if (!*is_this_done) {
            moves += even_out_profile(map, profile, max_moves - moves);
        }
        *is_this_done = true;
    }
    return moves;
}
