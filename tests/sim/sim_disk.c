#include "tests/sim/sim_disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libgoodfs/mem.h"

uint64_t sim_disk_draw(struct sim_disk *disk, uint64_t limit)
{
    uint64_t x = disk->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    disk->random = x;
    return (x * 0x2545F4914F6CDD1DU >> 16) % limit;
}

/* --- bytes --- */

static void use_page(struct sim_disk *disk, struct sim_node *node, size_t page, bool is_used)
{
    if (node->is_used[page] != is_used) {
        node->is_used[page] = is_used;
        disk->used += is_used ? SIM_PAGE : 0;
        disk->used -= is_used ? 0 : SIM_PAGE;
    }
}

void sim_disk_release(struct sim_disk *disk, struct sim_node *node)
{
    GFS_ASSERT(node->references > 0);
    if (--node->references == 0) {
        for (size_t page = 0; page < node->room / SIM_PAGE; page++) {
            use_page(disk, node, page, false);
        }
        free(node->now);
        free(node->disk);
        free(node->is_marked);
        free(node->is_used);
        free(node);
    }
}

static void make_room(struct sim_node *node, uint64_t end)
{
    size_t room = ((size_t)end + SIM_PAGE - 1) / SIM_PAGE * SIM_PAGE;
    if (room <= node->room) {
        return;
    }
    room = GFS_MAX(room, node->room * 2);
    size_t more = room - node->room;
    node->now = gfs_realloc(node->now, room);
    node->disk = gfs_realloc(node->disk, room);
    node->is_marked = gfs_realloc(node->is_marked, room / SIM_SECTOR);
    node->is_used = gfs_realloc(node->is_used, room / SIM_PAGE);
    memset(node->now + node->room, 0, more);
    memset(node->disk + node->room, 0, more);
    memset(node->is_marked + node->room / SIM_SECTOR, 0, more / SIM_SECTOR);
    memset(node->is_used + node->room / SIM_PAGE, 0, more / SIM_PAGE);
    node->room = room;
}

bool sim_disk_take(struct sim_disk *disk, struct sim_node *node, uint64_t offset, uint64_t len)
{
    make_room(node, offset + len);
    uint64_t needed = 0;
    for (uint64_t page = offset / SIM_PAGE; page * SIM_PAGE < offset + len; page++) {
        needed += node->is_used[page] ? 0 : SIM_PAGE;
    }
    if (disk->used + needed > disk->capacity && needed != 0) {
        return false;
    }
    for (uint64_t page = offset / SIM_PAGE; page * SIM_PAGE < offset + len; page++) {
        use_page(disk, node, page, true);
    }
    return true;
}

void sim_disk_give_page(struct sim_disk *disk, struct sim_node *node, uint64_t page)
{
    use_page(disk, node, page, false);
}

void sim_disk_set(struct sim_node *node, const char *ptr, uint64_t offset, uint64_t len)
{
    GFS_ASSERT(offset + len <= node->room);
    if (len == 0) {
        return;
    }
    if (ptr != NULL) {
        memcpy(node->now + offset, ptr, len);
    } else {
        memset(node->now + offset, 0, len);
    }
    uint64_t first = offset / SIM_SECTOR;
    memset(node->is_marked + first, 1, (offset + len - 1) / SIM_SECTOR - first + 1);
}

static void flush_sector(struct sim_node *node, size_t sector)
{
    memcpy(node->disk + sector * SIM_SECTOR, node->now + sector * SIM_SECTOR, SIM_SECTOR);
    node->is_marked[sector] = 0;
}

void sim_disk_flush(struct sim_node *node, uint64_t offset, uint64_t len)
{
    for (uint64_t sector = offset / SIM_SECTOR; sector * SIM_SECTOR < offset + len; sector++) {
        if (node->is_marked[sector]) {
            flush_sector(node, sector);
        }
    }
    node->disk_size = node->size;
}

void sim_disk_flush_badly(struct sim_disk *disk, struct sim_node *node)
{
    for (size_t sector = 0; sector < node->room / SIM_SECTOR; sector++) {
        uint64_t fate = node->is_marked[sector] ? sim_disk_draw(disk, 3) : 0;
        if (fate == 1) {
            flush_sector(node, sector);
        } else if (fate == 2) {
            node->is_marked[sector] = 0;
        }
    }
}

static void lose_bytes(struct sim_disk *disk, struct sim_node *node)
{
    uint64_t odds = sim_disk_draw(disk, 5); /* none, few, half, most, all survive */
    for (size_t sector = 0; sector < node->room / SIM_SECTOR; sector++) {
        if (node->is_marked[sector] && sim_disk_draw(disk, 4) < odds) {
            flush_sector(node, sector);
        }
        node->is_marked[sector] = 0;
    }
    if (node->disk_size != node->size && sim_disk_draw(disk, 2) == 0) {
        node->disk_size = node->size;
    }
    node->size = node->disk_size;
    if (node->size < node->room) {
        memset(node->disk + node->size, 0, node->room - node->size);
    }
    if (node->room != 0) {
        memcpy(node->now, node->disk, node->room);
    }
}

/* --- names --- */

static struct sim_name *find_name(const struct sim_names *names, const char *path)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->items[i].path, path) == 0) {
            return &names->items[i];
        }
    }
    return NULL;
}

struct sim_node *sim_disk_find(const struct sim_disk *disk, const char *path)
{
    const struct sim_name *name = find_name(&disk->now, path);
    return name == NULL ? NULL : name->node;
}

static void set_name(struct sim_disk *disk, struct sim_names *names, const char *path,
                     struct sim_node *node)
{
    node->references++;
    struct sim_name *name = find_name(names, path);
    if (name != NULL) {
        sim_disk_release(disk, name->node);
        name->node = node;
        return;
    }
    if (names->count == names->size) {
        names->size = names->size == 0 ? 16 : names->size * 2;
        names->items = gfs_realloc(names->items, names->size * sizeof *names->items);
    }
    (void)snprintf(names->items[names->count].path, SIM_PATH_SIZE, "%s", path);
    names->items[names->count++].node = node;
}

static void drop_name(struct sim_disk *disk, struct sim_names *names, const char *path)
{
    struct sim_name *name = find_name(names, path);
    if (name != NULL) {
        sim_disk_release(disk, name->node);
        *name = names->items[--names->count];
    }
}

static void apply_change(struct sim_disk *disk, struct sim_names *names,
                         const struct sim_change *change)
{
    if (change->to[0] != '\0') {
        set_name(disk, names, change->to, change->node);
    }
    if (change->from[0] != '\0') {
        drop_name(disk, names, change->from);
    }
}

void sim_disk_change(struct sim_disk *disk, const char *from, const char *to, struct sim_node *node)
{
    if (disk->change_count == disk->change_size) {
        disk->change_size = disk->change_size == 0 ? 16 : disk->change_size * 2;
        disk->changes = gfs_realloc(disk->changes, disk->change_size * sizeof *disk->changes);
    }
    struct sim_change *change = &disk->changes[disk->change_count++];
    (void)snprintf(change->from, SIM_PATH_SIZE, "%s", from);
    (void)snprintf(change->to, SIM_PATH_SIZE, "%s", to);
    change->node = node;
    node->references++;
    apply_change(disk, &disk->now, change);
}

static size_t dir_len(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? 0 : (size_t)(slash - path);
}

bool sim_disk_is_in(const char *path, const char *dir)
{
    size_t len = dir_len(path);
    return strcmp(dir, ".") == 0 ? len == 0 : len == strlen(dir) && memcmp(path, dir, len) == 0;
}

static const char *changed_path(const struct sim_change *change)
{
    return change->to[0] != '\0' ? change->to : change->from;
}

/* How the changes of a directory end: durable while `limit` lasts and with odds of 1 in `one_in`,
 * else never. */
static void end_changes(struct sim_disk *disk, const char *dir, uint64_t limit, uint64_t one_in)
{
    size_t kept = 0;
    for (size_t i = 0; i < disk->change_count; i++) {
        struct sim_change change = disk->changes[i];
        if (!sim_disk_is_in(changed_path(&change), dir)) {
            disk->changes[kept++] = change;
            continue;
        }
        if (limit > 0 && sim_disk_draw(disk, one_in) == 0) {
            limit--;
            apply_change(disk, &disk->durable, &change);
        }
        sim_disk_release(disk, change.node);
    }
    disk->change_count = kept;
}

void sim_disk_sync(struct sim_disk *disk, const char *dir)
{
    end_changes(disk, dir, UINT64_MAX, 1);
}

void sim_disk_sync_badly(struct sim_disk *disk, const char *dir)
{
    end_changes(disk, dir, sim_disk_draw(disk, 3), 1);
}

static void clear_names(struct sim_disk *disk, struct sim_names *names)
{
    while (names->count > 0) {
        drop_name(disk, names, names->items[0].path);
    }
}

void sim_disk_lose_power(struct sim_disk *disk)
{
    while (disk->change_count > 0) {
        char dir[SIM_PATH_SIZE] = ".";
        const char *path = changed_path(&disk->changes[0]);
        size_t len = dir_len(path);
        if (len != 0) {
            memcpy(dir, path, len);
            dir[len] = '\0';
        }
        if (sim_disk_draw(disk, 2) == 0) { /* a journal keeps a prefix; nobody has to */
            end_changes(disk, dir, sim_disk_draw(disk, 8), 1);
        } else {
            end_changes(disk, dir, UINT64_MAX, 2);
        }
    }
    clear_names(disk, &disk->now);
    for (size_t i = 0; i < disk->durable.count; i++) {
        struct sim_name *name = &disk->durable.items[i];
        lose_bytes(disk, name->node);
        set_name(disk, &disk->now, name->path, name->node);
    }
}

void sim_disk_fini(struct sim_disk *disk)
{
    for (size_t i = 0; i < disk->change_count; i++) {
        sim_disk_release(disk, disk->changes[i].node);
    }
    clear_names(disk, &disk->now);
    clear_names(disk, &disk->durable);
    free(disk->now.items);
    free(disk->durable.items);
    free(disk->changes);
}
