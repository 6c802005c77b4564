#include "metad/overlay.h"

#include <stdlib.h>

#include "libgoodfs/mem.h"

enum { HEIGHT_MAX = 20, SLOT_COUNT_MIN = 256, MALLOC_OVERHEAD = 16 };

struct overlay_entry {
    struct overlay_entry *hash_next;
    uint64_t hash;
    struct overlay_version *newest, *oldest;
    uint32_t key_len;
    uint32_t height;
    struct overlay_entry *next[]; /* height links, then the key */
};

struct overlay {
    struct overlay_entry **slots;
    size_t slot_count; /* a power of two */
    size_t entry_count;
    size_t version_count;
    size_t size; /* bytes */
    uint64_t random;
    uint32_t height;
    struct overlay_entry *head[HEIGHT_MAX];
};

static const char *key_of(const struct overlay_entry *entry)
{
    return (const char *)&entry->next[entry->height];
}

static size_t entry_size(const struct overlay_entry *entry)
{
    return sizeof *entry + entry->height * sizeof entry->next[0] + entry->key_len + MALLOC_OVERHEAD;
}

struct overlay *overlay_new(uint64_t seed)
{
    struct overlay *overlay = gfs_alloc(sizeof *overlay);
    overlay->slot_count = SLOT_COUNT_MIN;
    overlay->slots = gfs_alloc_array(overlay->slot_count, sizeof *overlay->slots);
    overlay->random = seed | 1;
    overlay->height = 1;
    return overlay;
}

void overlay_free(struct overlay *overlay)
{
    if (overlay == NULL) {
        return;
    }
    struct overlay_entry *entry = overlay->head[0];
    while (entry != NULL) {
        struct overlay_entry *next = entry->next[0];
        while (entry->newest != NULL) {
            struct overlay_version *older = entry->newest->older;
            meta_row_unref(entry->newest->row);
            free(entry->newest);
            entry->newest = older;
        }
        free(entry);
        entry = next;
    }
    free(overlay->slots);
    free(overlay);
}

struct overlay_entry *overlay_find(const struct overlay *overlay, struct gfs_slice full,
                                   uint64_t hash)
{
    struct overlay_entry *entry = overlay->slots[hash & (overlay->slot_count - 1)];
    while (entry != NULL && (entry->hash != hash || !gfs_slice_eq(overlay_key(entry), full))) {
        entry = entry->hash_next;
    }
    return entry;
}

/* Fills links[] with the place in front of the first entry >= full, on every level. */
static void find_links(struct overlay *overlay, struct gfs_slice full,
                       struct overlay_entry **links[HEIGHT_MAX])
{
    struct overlay_entry **row = overlay->head;
    for (uint32_t level = overlay->height; level-- > 0;) {
        while (row[level] != NULL && gfs_slice_cmp(overlay_key(row[level]), full) < 0) {
            row = row[level]->next;
        }
        links[level] = &row[level];
    }
}

struct overlay_entry *overlay_seek(const struct overlay *overlay, struct gfs_slice full)
{
    struct overlay_entry *const *row = overlay->head;
    for (uint32_t level = overlay->height; level-- > 0;) {
        while (row[level] != NULL && gfs_slice_cmp(overlay_key(row[level]), full) < 0) {
            row = row[level]->next;
        }
    }
    return row[0];
}

static uint32_t random_height(struct overlay *overlay)
{
    overlay->random ^= overlay->random << 13;
    overlay->random ^= overlay->random >> 7;
    overlay->random ^= overlay->random << 17;
    uint32_t height = 1;
    uint64_t bits = overlay->random;
    while (height < HEIGHT_MAX && (bits & 3) == 0) {
        height++;
        bits >>= 2;
    }
    return height;
}

static void grow_slots(struct overlay *overlay)
{
    size_t count = overlay->slot_count * 2;
    struct overlay_entry **slots = gfs_alloc_array(count, sizeof *slots);
    for (struct overlay_entry *entry = overlay->head[0]; entry != NULL; entry = entry->next[0]) {
        struct overlay_entry **slot = &slots[entry->hash & (count - 1)];
        entry->hash_next = *slot;
        *slot = entry;
    }
    free(overlay->slots);
    overlay->slots = slots;
    overlay->slot_count = count;
}

static struct overlay_entry *entry_new(struct overlay *overlay, struct gfs_slice full,
                                       uint64_t hash)
{
    uint32_t height = random_height(overlay);
    size_t size = sizeof(struct overlay_entry) + height * sizeof(struct overlay_entry *) + full.len;
    struct overlay_entry *entry = gfs_alloc(size);
    entry->hash = hash;
    entry->key_len = (uint32_t)full.len;
    entry->height = height;
    memcpy(&entry->next[height], full.ptr, full.len);
    while (overlay->height < height) {
        overlay->head[overlay->height++] = NULL;
    }
    struct overlay_entry **links[HEIGHT_MAX];
    find_links(overlay, full, links);
    for (uint32_t level = 0; level < height; level++) {
        entry->next[level] = *links[level];
        *links[level] = entry;
    }
    struct overlay_entry **slot = &overlay->slots[hash & (overlay->slot_count - 1)];
    entry->hash_next = *slot;
    *slot = entry;
    overlay->entry_count++;
    overlay->size += entry_size(entry);
    if (overlay->entry_count > overlay->slot_count) {
        grow_slots(overlay);
    }
    return entry;
}

struct overlay_entry *overlay_insert(struct overlay *overlay, struct gfs_slice full, uint64_t hash,
                                     uint64_t lsn, struct meta_row *row)
{
    struct overlay_entry *entry = overlay_find(overlay, full, hash);
    if (entry == NULL) {
        entry = entry_new(overlay, full, hash);
    }
    struct overlay_version *newest = entry->newest;
    GFS_ASSERT(newest == NULL || newest->lsn <= lsn);
    overlay->size += row_size(row);
    if (newest != NULL && newest->lsn == lsn) {
        overlay->size -= row_size(newest->row);
        meta_row_unref(newest->row);
        newest->row = row;
        return NULL;
    }
    struct overlay_version *version = gfs_alloc(sizeof *version);
    *version = (struct overlay_version){.older = newest, .lsn = lsn, .row = row};
    *(newest != NULL ? &newest->newer : &entry->oldest) = version;
    entry->newest = version;
    overlay->version_count++;
    overlay->size += sizeof *version + MALLOC_OVERHEAD;
    return entry;
}

static void entry_free(struct overlay *overlay, struct overlay_entry *entry)
{
    struct overlay_entry **links[HEIGHT_MAX];
    find_links(overlay, overlay_key(entry), links);
    for (uint32_t level = 0; level < entry->height; level++) {
        GFS_ASSERT(*links[level] == entry);
        *links[level] = entry->next[level];
    }
    struct overlay_entry **slot = &overlay->slots[entry->hash & (overlay->slot_count - 1)];
    while (*slot != entry) {
        slot = &(*slot)->hash_next;
    }
    *slot = entry->hash_next;
    overlay->entry_count--;
    overlay->size -= entry_size(entry);
    free(entry);
    if (overlay->entry_count == 0 && overlay->slot_count > SLOT_COUNT_MIN) {
        free(overlay->slots); /* idle again: give the table back */
        overlay->slot_count = SLOT_COUNT_MIN;
        overlay->slots = gfs_alloc_array(overlay->slot_count, sizeof *overlay->slots);
    }
}

void overlay_remove(struct overlay *overlay, struct overlay_entry *entry, uint64_t lsn,
                    struct meta_row **ret_row)
{
    struct overlay_version *version = entry->oldest->lsn == lsn ? entry->oldest : entry->newest;
    while (version != NULL && version->lsn != lsn) {
        version = version->older;
    }
    GFS_ASSERT(version != NULL);
    *(version->newer != NULL ? &version->newer->older : &entry->newest) = version->older;
    *(version->older != NULL ? &version->older->newer : &entry->oldest) = version->newer;
    overlay->version_count--;
    overlay->size -= sizeof *version + MALLOC_OVERHEAD + row_size(version->row);
    *ret_row = version->row;
    free(version);
    if (entry->newest == NULL) {
        entry_free(overlay, entry);
    }
}

struct overlay_entry *overlay_next(const struct overlay_entry *entry)
{
    return entry->next[0];
}

struct gfs_slice overlay_key(const struct overlay_entry *entry)
{
    return gfs_slice_of(key_of(entry), entry->key_len);
}

uint64_t overlay_hash(const struct overlay_entry *entry)
{
    return entry->hash;
}

const struct overlay_version *overlay_newest(const struct overlay_entry *entry)
{
    return entry->newest;
}

const struct overlay_version *overlay_oldest(const struct overlay_entry *entry)
{
    return entry->oldest;
}

const struct overlay_version *overlay_at(const struct overlay_entry *entry, uint64_t limit)
{
    const struct overlay_version *version = entry->newest;
    while (version != NULL && version->lsn > limit) {
        version = version->older;
    }
    return version;
}

size_t overlay_size(const struct overlay *overlay)
{
    return overlay->size;
}

size_t overlay_count(const struct overlay *overlay)
{
    return overlay->version_count;
}
