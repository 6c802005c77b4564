/* The files of large chunks: places in them, and giving places back.
 *
 * A bulk file is filled from its start to its end, once; freed pages become holes and are not used
 * again, and a file without any extent left is removed, unless it is the newest: numbers are not
 * given out again, so an old PLACE record can never lead to another chunk's pages. Space is
 * allocated for the whole extent when a writer begins, so a full disk shows there and not in the
 * middle. Pages that no live chunk covers when the store is opened were written by somebody whose
 * PLACE record never became durable, or were about to be punched: both are holes from then on.
 * Unless the log is damaged, or there is more of it than crashes leave: then records may be
 * missing, and absence proves nothing. */
#include <stdlib.h>

#include "datad/store_state.h"

struct bulk_file *bulk_file_find_locked(struct store *store, uint32_t number)
{
    struct bulk_file *file = store->bulk_files;
    while (file != NULL && file->number != number) {
        file = file->next;
    }
    return file;
}

static enum gfs_err open_file(struct store *store, uint32_t number, unsigned flags,
                              struct bulk_file **ret)
{
    char path[STORE_PATH_MAX];
    segment_path(path, "bulk", number, "seg");
    struct gfs_file *file;
    enum gfs_err err = store->io->ops->file_open(store->io, path, GFS_IO_DIRECT | flags, &file);
    if (err == GFS_OK) {
        *ret = gfs_alloc(sizeof **ret);
        (*ret)->file = file;
        (*ret)->number = number;
    }
    return err;
}

static void free_file(struct bulk_file *file)
{
    file->file->io->ops->file_close(file->file);
    free(file);
}

static void add_file_locked(struct store *store, struct bulk_file *file)
{
    store->bulk_number_last = GFS_MAX(store->bulk_number_last, file->number);
    struct bulk_file **slot = &store->bulk_files;
    while (*slot != NULL && (*slot)->number > file->number) {
        slot = &(*slot)->next;
    }
    file->next = *slot;
    *slot = file;
}

void bulk_files_close(struct store *store)
{
    while (store->bulk_files != NULL) {
        struct bulk_file *file = store->bulk_files;
        store->bulk_files = file->next;
        free_file(file);
    }
    while (store->punches != NULL) {
        struct punch_item *item = store->punches;
        store->punches = item->next;
        free(item);
    }
}

/* --- opening --- */

static enum gfs_err visit_name(void *arg, const char *name)
{
    struct store *store = arg;
    uint32_t number;
    if (!segment_name_parse(name, &number)) {
        return GFS_OK; /* not ours */
    }
    struct bulk_file *file;
    enum gfs_err err = open_file(store, number, 0, &file);
    if (err == GFS_OK) {
        add_file_locked(store, file);
    }
    return err;
}

struct place_list {
    struct chunk_entry *entries;
    size_t count, size;
};

static int compare_places(const void *a, const void *b)
{
    const struct chunk_entry *left = a;
    const struct chunk_entry *right = b;
    if (left->file != right->file) {
        return left->file > right->file ? 1 : -1;
    }
    return (left->where > right->where) - (left->where < right->where);
}

static struct place_list list_places(struct store *store)
{
    struct place_list list = {0};
    for (unsigned shard = 0; shard < CHUNK_INDEX_SHARDS; shard++) {
        size_t count;
        const struct chunk_entry *slots = chunk_index_shard(store->index, shard, &count);
        for (size_t i = 0; i < count; i++) {
            if ((slots[i].file & CHUNK_INDEX_BULK) == 0) {
                continue;
            }
            if (list.count == list.size) {
                list.size = list.size == 0 ? 256 : list.size * 2;
                list.entries = gfs_realloc(list.entries, list.size * sizeof *list.entries);
            }
            list.entries[list.count++] = slots[i];
        }
    }
    if (list.count > 0) {
        qsort(list.entries, list.count, sizeof *list.entries, compare_places);
    }
    return list;
}

/* Punches what lies between the live extents entries[0..count) of a file and behind the last. */
static void sweep_file(struct store *store, struct bulk_file *file,
                       const struct chunk_entry *entries, size_t count, uint64_t size)
{
    uint32_t page = 0;
    for (size_t i = 0; i < count; i++) {
        if (entries[i].where > page) {
            bulk_punch_locked(store, file, page, entries[i].where - page, false);
        }
        page = entries[i].where + bulk_page_count(&entries[i]);
    }
    uint32_t end = (uint32_t)(segment_align_page(size) / SEGMENT_PAGE);
    if (end > page) {
        bulk_punch_locked(store, file, page, end - page, false);
    }
}

static void adopt_file(struct store *store, struct bulk_file *file,
                       const struct chunk_entry *entries, size_t count, uint64_t size)
{
    for (size_t i = 0; i < count; i++) {
        file->live_bytes += (uint64_t)bulk_page_count(&entries[i]) * SEGMENT_PAGE;
    }
    file->extents = (uint32_t)count;
    file->is_closed = file->number != store->bulk_number_last;
    /* Of a file that was cut short: what is given back with a lost chunk must be nobody else's. */
    const struct chunk_entry *last = count == 0 ? NULL : &entries[count - 1];
    uint32_t live_end = last == NULL ? 0 : last->where + bulk_page_count(last);
    file->end_page = GFS_MAX((uint32_t)(segment_align_page(size) / SEGMENT_PAGE), live_end);
}

/* An item for the whole file ends its last extent, which removes it. */
static void remove_empty_locked(struct store *store, struct bulk_file *file)
{
    GFS_ASSERT(file->is_closed);
    GFS_ASSERT(file->extents == 0);
    file->extents = 1;
    bulk_punch_locked(store, file, 0, file->end_page, true);
}

static void sweep_adopted(struct store *store, struct bulk_file *file,
                          const struct chunk_entry *entries, const struct gfs_file_info *info)
{
    if (file->extents == 0 && file->is_closed) {
        remove_empty_locked(store, file);
    } else if (info->allocated > file->live_bytes + SEGMENT_PAGE) {
        sweep_file(store, file, entries, file->extents, info->size);
    }
}

/* The run of a file's entries in the sorted list. */
static const struct chunk_entry *run_of(const struct place_list *list, uint32_t number,
                                        size_t *ret_count)
{
    size_t first = 0;
    size_t high = list->count;
    while (first < high) {
        size_t middle = first + (high - first) / 2;
        if (list->entries[middle].file < (CHUNK_INDEX_BULK | number)) {
            first = middle + 1;
        } else {
            high = middle;
        }
    }
    size_t end = first;
    while (end < list->count && list->entries[end].file == (CHUNK_INDEX_BULK | number)) {
        end++;
    }
    *ret_count = end - first;
    return list->count == 0 ? NULL : list->entries + first;
}

static bool may_sweep(const struct store *store, uint64_t allocated, uint64_t unclaimed)
{
    return store->damage_count == 0 &&
           (unclaimed <= STORE_UNCLAIMED_MAX || unclaimed <= allocated / 4);
}

/* Looks at every file; *ret_allocated and *ret_unclaimed are bytes of all of them. */
static enum gfs_err adopt_files(struct store *store, const struct place_list *list,
                                uint64_t *ret_allocated, uint64_t *ret_unclaimed)
{
    for (struct bulk_file *file = store->bulk_files; file != NULL; file = file->next) {
        struct gfs_file_info info;
        enum gfs_err err = file->file->io->ops->file_info(file->file, &info);
        if (err != GFS_OK) {
            return err;
        }
        size_t count;
        const struct chunk_entry *entries = run_of(list, file->number, &count);
        adopt_file(store, file, entries, count, info.size);
        *ret_allocated += info.allocated;
        *ret_unclaimed += info.allocated - GFS_MIN(info.allocated, file->live_bytes);
    }
    return GFS_OK;
}

static enum gfs_err sweep_files(struct store *store, const struct place_list *list)
{
    for (struct bulk_file *file = store->bulk_files; file != NULL; file = file->next) {
        struct gfs_file_info info;
        enum gfs_err err = file->file->io->ops->file_info(file->file, &info);
        if (err != GFS_OK) {
            return err;
        }
        size_t count;
        sweep_adopted(store, file, run_of(list, file->number, &count), &info);
    }
    return GFS_OK;
}

enum gfs_err bulk_files_open(struct store *store, struct gfs_error *error)
{
    enum gfs_err err = store->io->ops->list(store->io, "bulk", visit_name, store);
    if (err != GFS_OK) {
        return gfs_fail(error, err, "bulk: %s", gfs_err_text(err));
    }
    struct place_list list = list_places(store);
    uint64_t allocated = 0;
    uint64_t unclaimed = 0;
    err = adopt_files(store, &list, &allocated, &unclaimed);
    if (err == GFS_OK && may_sweep(store, allocated, unclaimed)) {
        err = sweep_files(store, &list);
    } else if (err == GFS_OK) {
        store->stats.bulk_kept_bytes = unclaimed;
        for (struct bulk_file *file = store->bulk_files; file != NULL; file = file->next) {
            file->extents++; /* never ends: what nobody claims may be wanted by a lost record */
        }
    }
    /* Numbers of lost files are not given out again: their chunks would find other bytes. */
    if (list.count > 0) {
        uint32_t last = list.entries[list.count - 1].file & ~CHUNK_INDEX_BULK;
        store->bulk_number_last = GFS_MAX(store->bulk_number_last, last);
    }
    free(list.entries);
    return err == GFS_OK ? GFS_OK : gfs_fail(error, err, "bulk: %s", gfs_err_text(err));
}

/* --- places --- */

static struct bulk_file *take_place_locked(struct store *store, uint32_t page_count,
                                           uint32_t *ret_page)
{
    struct bulk_file *file = store->bulk_files;
    if (file == NULL || file->is_closed) {
        return NULL;
    }
    uint64_t end = ((uint64_t)file->end_page + page_count) * SEGMENT_PAGE;
    if (end > store->options.bulk_size && file->end_page != 0) {
        file->is_closed = true;
        return NULL;
    }
    *ret_page = file->end_page;
    file->end_page += page_count;
    file->extents++;
    return file;
}

/* A new newest file, durable in its directory before anything refers to it. */
static enum gfs_err create_file(struct store *store)
{
    (void)pthread_mutex_lock(&store->lock);
    uint32_t number = ++store->bulk_number_last;
    (void)pthread_mutex_unlock(&store->lock);
    GFS_ASSERT(number < CHUNK_INDEX_BULK);
    struct bulk_file *file;
    enum gfs_err err = open_file(store, number, GFS_IO_CREATE, &file);
    if (err != GFS_OK) {
        return err;
    }
    if (store->io->ops->sync_dir(store->io, "bulk") != GFS_OK) {
        free_file(file);
        store_fail(store); /* a second sync could say that all is well */
        return GFS_IO;
    }
    (void)pthread_mutex_lock(&store->lock);
    add_file_locked(store, file);
    struct bulk_file *before = file->next; /* stayed while it was the newest */
    if (before != NULL && before->is_closed && before->extents == 0) {
        remove_empty_locked(store, before);
    }
    (void)pthread_mutex_unlock(&store->lock);
    return GFS_OK;
}

enum gfs_err bulk_extent_allocate(struct store *store, uint32_t page_count,
                                  struct bulk_file **ret_file, uint32_t *ret_page)
{
    struct bulk_file *file;
    uint32_t page = 0;
    for (;;) {
        store_space_look(store);
        (void)pthread_mutex_lock(&store->lock);
        bool is_low = store_is_low_locked(store, (uint64_t)page_count * SEGMENT_PAGE);
        file = is_low ? NULL : take_place_locked(store, page_count, &page);
        (void)pthread_mutex_unlock(&store->lock);
        if (is_low) {
            return GFS_NO_SPACE;
        }
        if (file != NULL) {
            break;
        }
        enum gfs_err err = create_file(store);
        if (err != GFS_OK) {
            return err;
        }
    }
    enum gfs_err err = file->file->io->ops->allocate(file->file, (uint64_t)page * SEGMENT_PAGE,
                                                     (uint64_t)page_count * SEGMENT_PAGE);
    if (err != GFS_OK) {
        (void)pthread_mutex_lock(&store->lock);
        bulk_punch_locked(store, file, page, page_count, true);
        store_space_changed_locked(store);
        (void)pthread_mutex_unlock(&store->lock);
        return err;
    }
    *ret_file = file;
    *ret_page = page;
    return GFS_OK;
}

/* --- giving back --- */

void bulk_punch_locked(struct store *store, struct bulk_file *file, uint32_t page,
                       uint32_t page_count, bool is_extent)
{
    struct punch_item *item = gfs_alloc(sizeof *item);
    *item = (struct punch_item){.next = store->punches,
                                .file = file,
                                .page = page,
                                .page_count = page_count,
                                .is_extent = is_extent};
    store->punches = item;
    store_wake_background_locked(store);
}

/* The last extent of a file that gets no more: the file itself goes, when it is not the newest. */
static bool take_if_empty_locked(struct store *store, struct bulk_file *file)
{
    if (file->extents != 0 || !file->is_closed || file == store->bulk_files) {
        return false;
    }
    struct bulk_file **slot = &store->bulk_files;
    while (*slot != file) {
        slot = &(*slot)->next;
    }
    *slot = file->next;
    return true;
}

/* No item of the queue refers to a file that is freed: each one with is_extent is counted in
 * extents, and the others are queued before their extent's own end and the queue is a stack, so
 * they are looked for here. */
static void drop_items_locked(struct store *store, const struct bulk_file *file)
{
    struct punch_item **slot = &store->punches;
    while (*slot != NULL) {
        struct punch_item *item = *slot;
        if (item->file == file) {
            GFS_ASSERT(!item->is_extent);
            *slot = item->next;
            free(item);
        } else {
            slot = &item->next;
        }
    }
}

bool bulk_punch_step(struct store *store)
{
    if (atomic_load(&store->has_failed)) {
        return false; /* what the failed batch made live is unknown until restart */
    }
    (void)pthread_mutex_lock(&store->lock);
    GFS_FREE struct punch_item *item = store->punches;
    bool is_file_empty = false;
    if (item != NULL) {
        store->punches = item->next;
        if (item->is_extent) {
            item->file->extents--;
            is_file_empty = take_if_empty_locked(store, item->file);
        }
    }
    if (is_file_empty) {
        drop_items_locked(store, item->file);
    }
    (void)pthread_mutex_unlock(&store->lock);
    if (item == NULL) {
        return false;
    }
    uint64_t len = (uint64_t)item->page_count * SEGMENT_PAGE;
    const struct gfs_io_ops *ops = store->io->ops;
    enum gfs_err err;
    if (is_file_empty) {
        char path[STORE_PATH_MAX];
        segment_path(path, "bulk", item->file->number, "seg");
        free_file(item->file);
        err = ops->remove(store->io, path);
    } else {
        err = ops->punch(item->file->file, (uint64_t)item->page * SEGMENT_PAGE, len);
    }
    if (err == GFS_IO) {
        store_fail(store);
    }
    (void)pthread_mutex_lock(&store->lock);
    store->stats.bytes_punched += len;
    store_space_changed_locked(store);
    (void)pthread_mutex_unlock(&store->lock);
    return true;
}
