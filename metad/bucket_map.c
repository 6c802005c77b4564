#include "metad/bucket_map.h"

#include <stdlib.h>

#include "libgoodfs/mem.h"

/* Pointers to buckets, so that both orders share them. */
struct bucket_map {
    struct bucket **by_name;
    struct bucket **by_id;
    size_t count;
    size_t size; /* pointers there is room for, in each */
};

struct bucket_map *bucket_map_new(void)
{
    return gfs_alloc(sizeof(struct bucket_map));
}

void bucket_map_free(struct bucket_map *map)
{
    if (map == NULL) {
        return;
    }
    for (size_t i = 0; i < map->count; i++) {
        free(map->by_name[i]);
    }
    free(map->by_name);
    free(map->by_id);
    free(map);
}

/* The index of the first name >= name. */
static size_t name_index(const struct bucket_map *map, struct gfs_slice name)
{
    size_t low = 0;
    size_t high = map->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (gfs_slice_cmp(gfs_slice_str(map->by_name[middle]->info.name), name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static size_t id_index(const struct bucket_map *map, uint64_t id)
{
    size_t low = 0;
    size_t high = map->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (map->by_id[middle]->info.id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void insert(struct bucket **array, size_t count, size_t index, struct bucket *bucket)
{
    memmove(&array[index + 1], &array[index], (count - index) * sizeof *array);
    array[index] = bucket;
}

static void erase(struct bucket **array, size_t count, size_t index)
{
    memmove(&array[index], &array[index + 1], (count - index - 1) * sizeof *array);
}

struct bucket *bucket_map_add(struct bucket_map *map, const struct meta_bucket *info,
                              enum bucket_state state)
{
    struct gfs_slice name = gfs_slice_str(info->name);
    GFS_ASSERT(bucket_map_by_name(map, name) == NULL);
    GFS_ASSERT(bucket_map_by_id(map, info->id) == NULL);
    if (map->count == map->size) {
        map->size = map->size == 0 ? 16 : map->size * 2;
        map->by_name = gfs_realloc(map->by_name, map->size * sizeof(struct bucket *));
        map->by_id = gfs_realloc(map->by_id, map->size * sizeof(struct bucket *));
    }
    struct bucket *bucket = gfs_alloc(sizeof *bucket);
    *bucket = (struct bucket){.info = *info, .state = state};
    insert(map->by_name, map->count, name_index(map, name), bucket);
    insert(map->by_id, map->count, id_index(map, info->id), bucket);
    map->count++;
    return bucket;
}

void bucket_map_remove(struct bucket_map *map, uint64_t id)
{
    struct bucket *bucket = bucket_map_by_id(map, id);
    GFS_ASSERT(bucket != NULL);
    erase(map->by_name, map->count, name_index(map, gfs_slice_str(bucket->info.name)));
    erase(map->by_id, map->count, id_index(map, id));
    map->count--;
    free(bucket);
}

struct bucket *bucket_map_by_name(const struct bucket_map *map, struct gfs_slice name)
{
    size_t index = name_index(map, name);
    bool is_there = index < map->count && gfs_slice_eq_str(name, map->by_name[index]->info.name);
    return is_there ? map->by_name[index] : NULL;
}

struct bucket *bucket_map_by_id(const struct bucket_map *map, uint64_t id)
{
    size_t index = id_index(map, id);
    return index < map->count && map->by_id[index]->info.id == id ? map->by_id[index] : NULL;
}

size_t bucket_map_index_after(const struct bucket_map *map, struct gfs_slice after)
{
    size_t index = name_index(map, after);
    bool is_equal = index < map->count && gfs_slice_eq_str(after, map->by_name[index]->info.name);
    return is_equal ? index + 1 : index;
}

const struct bucket *bucket_map_at(const struct bucket_map *map, size_t index)
{
    return index < map->count ? map->by_name[index] : NULL;
}

bool bucket_is_visible(const struct bucket *bucket)
{
    return bucket->state != BUCKET_CREATING;
}

static bool is_arrow(enum bucket_state from, enum bucket_state to)
{
    switch (from) {
    case BUCKET_CREATING:
        return to == BUCKET_ACTIVE;
    case BUCKET_ACTIVE:
        return to == BUCKET_SEALED;
    case BUCKET_SEALED:
        return to == BUCKET_ACTIVE || to == BUCKET_DROPPING;
    case BUCKET_DROPPING:
        return to == BUCKET_ACTIVE;
    default:
        return false;
    }
}

void bucket_set_state(struct bucket *bucket, enum bucket_state state)
{
    GFS_ASSERT(is_arrow(bucket->state, state));
    bucket->state = state;
}
