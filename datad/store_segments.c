/* The files of the log: opening, preparing, recycling.
 *
 * A segment is written with zeros once, before its first use, and then reused: overwriting written
 * blocks needs no journal commit of the file system. It is prepared under a temporary name and gets
 * its real one, its sequence number, when all of it is durable; so a real name always has a whole
 * header, and whatever has a temporary name holds nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "datad/store_state.h"

enum { ZERO_LEN = 1 << 20 };

void segment_path(char path[STORE_PATH_MAX], const char *dir, uint32_t number, const char *suffix)
{
    (void)snprintf(path, STORE_PATH_MAX, "%s/%012u.%s", dir, number, suffix);
}

/* Only the name that segment_path makes: another spelling of a number is another file. */
bool segment_name_parse(const char *name, uint32_t *ret)
{
    char canonical[STORE_PATH_MAX];
    unsigned number;
    if (sscanf(name, "%12u", &number) != 1 || number == 0 || number > INT32_MAX) {
        return false;
    }
    segment_path(canonical, ".", number, "seg");
    *ret = number;
    return strcmp(canonical + 2, name) == 0;
}

struct log_segment *log_segment_find_locked(struct store *store, uint32_t seq)
{
    size_t low = 0;
    size_t high = store->segment_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (store->segments[middle]->seq < seq) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool found = low < store->segment_count && store->segments[low]->seq == seq;
    return found ? store->segments[low] : NULL;
}

void log_segment_append_locked(struct store *store, struct log_segment *segment)
{
    size_t count = store->segment_count;
    GFS_ASSERT(count == 0 || store->segments[count - 1]->seq < segment->seq);
    if (count == store->segment_size) {
        store->segment_size = count == 0 ? 16 : count * 2;
        store->segments =
            gfs_realloc(store->segments, store->segment_size * sizeof *store->segments);
    }
    store->segments[store->segment_count++] = segment;
}

void log_segment_remove_locked(struct store *store, struct log_segment *segment)
{
    size_t i = 0;
    while (store->segments[i] != segment) {
        i++;
        GFS_ASSERT(i < store->segment_count);
    }
    store->segment_count--;
    memmove(&store->segments[i], &store->segments[i + 1],
            (store->segment_count - i) * sizeof *store->segments);
}

void log_segment_free(struct log_segment *segment)
{
    if (segment != NULL) {
        if (segment->file != NULL) {
            segment->file->io->ops->file_close(segment->file);
        }
        free(segment->targets);
        free(segment);
    }
}

struct log_segment *log_segment_hold(struct store *store, uint32_t seq)
{
    struct log_segment *held = NULL;
    (void)pthread_mutex_lock(&store->lock);
    for (size_t i = 0; i < store->segment_count && held == NULL; i++) {
        struct log_segment *segment = store->segments[i];
        if (segment->seq >= seq && !segment->is_leaving) {
            segment->pins++;
            held = segment;
        }
    }
    (void)pthread_mutex_unlock(&store->lock);
    return held;
}

void log_segment_release_locked(struct store *store, struct log_segment *segment)
{
    GFS_ASSERT(segment->pins > 0);
    if (--segment->pins == 0 && segment->is_drained) {
        store_wake_background_locked(store);
    }
}

void log_segment_release(struct store *store, struct log_segment *segment)
{
    (void)pthread_mutex_lock(&store->lock);
    log_segment_release_locked(store, segment);
    (void)pthread_mutex_unlock(&store->lock);
}

void log_segment_damaged_locked(struct store *store, struct log_segment *segment)
{
    if (!segment->is_damaged) {
        segment->is_damaged = true;
        store->stats.damaged_places++;
        store->has_new_damage = true;
        store_wake_background_locked(store);
    }
}

static unsigned log_open_flags(const struct store *store)
{
    return GFS_IO_RANDOM | (store->options.is_buffered ? 0U : (unsigned)GFS_IO_DIRECT);
}

/* --- opening --- */

struct name_list {
    struct store *store;
    uint32_t *numbers;
    size_t count, size;
};

static enum gfs_err visit_name(void *arg, const char *name)
{
    struct name_list *list = arg;
    uint32_t number;
    if (!segment_name_parse(name, &number)) {
        char path[STORE_PATH_MAX];
        size_t len = strlen(name);
        if (len > 4 && len < 24 && strcmp(name + len - 4, ".tmp") == 0) {
            (void)snprintf(path, sizeof path, "log/%s", name);
            return list->store->io->ops->remove(list->store->io, path);
        }
        return GFS_OK; /* not ours */
    }
    if (list->count == list->size) {
        list->size = list->size == 0 ? 64 : list->size * 2;
        list->numbers = gfs_realloc(list->numbers, list->size * sizeof *list->numbers);
    }
    list->numbers[list->count++] = number;
    return GFS_OK;
}

static int compare_numbers(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a;
    uint32_t right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

static enum gfs_err read_header(const struct log_segment *segment, struct segment_header *ret)
{
    char page[sizeof *ret];
    enum gfs_err err = gfs_io_read_exact(segment->file, page, sizeof page, 0);
    if (err == GFS_OK) {
        err = segment_header_parse(page, ret);
    }
    if (err == GFS_OK || err == GFS_UNSUPPORTED) {
        return err;
    }
    struct gfs_file_info info; /* the copy in the last page */
    err = segment->file->io->ops->file_info(segment->file, &info);
    if (err != GFS_OK || info.size < 4 * SEGMENT_PAGE) {
        return GFS_CORRUPT;
    }
    err = gfs_io_read_exact(segment->file, page, sizeof page, info.size - SEGMENT_PAGE);
    return err == GFS_OK ? segment_header_parse(page, ret) : err;
}

/* A segment has all of its bytes, durably, before it has its name. */
static enum gfs_err look_for_cut(struct log_segment *segment)
{
    struct gfs_file_info info;
    enum gfs_err err = segment->file->io->ops->file_info(segment->file, &info);
    segment->is_cut = err == GFS_OK && info.size < segment->header.size;
    return err;
}

static enum gfs_err open_segment(struct store *store, uint32_t number, struct gfs_error *error)
{
    char path[STORE_PATH_MAX];
    segment_path(path, "log", number, "seg");
    struct log_segment *segment = gfs_alloc(sizeof *segment);
    segment->seq = number;
    enum gfs_err err =
        store->io->ops->file_open(store->io, path, log_open_flags(store), &segment->file);
    if (err == GFS_OK) {
        err = read_header(segment, &segment->header);
    }
    if (err == GFS_OK &&
        memcmp(segment->header.disk, store->identity.id, sizeof store->identity.id) != 0) {
        log_segment_free(segment);
        return gfs_fail(error, GFS_CONFLICT, "%s: belongs to another disk", path);
    }
    if (err == GFS_OK && segment->header.seq != number) {
        err = GFS_CORRUPT;
    }
    if (err == GFS_OK) {
        err = look_for_cut(segment);
    }
    if (err == GFS_CORRUPT) {
        /* Nothing in it can be trusted; kept for repair. */
        log_damage_add(store, number, 0, true);
        log_segment_free(segment);
        return GFS_OK;
    }
    if (err != GFS_OK) {
        log_segment_free(segment);
        return gfs_fail(error, err, "%s: %s", path,
                        err == GFS_UNSUPPORTED ? "written by a newer version" : gfs_err_text(err));
    }
    segment->end = SEGMENT_PAGE;
    log_segment_append_locked(store, segment);
    return GFS_OK;
}

enum gfs_err log_segments_open(struct store *store, struct gfs_error *error)
{
    struct name_list list = {.store = store};
    enum gfs_err err = store->io->ops->list(store->io, "log", visit_name, &list);
    if (err != GFS_OK) {
        free(list.numbers);
        return gfs_fail(error, err, "log: %s", gfs_err_text(err));
    }
    if (list.count > 0) {
        qsort(list.numbers, list.count, sizeof *list.numbers, compare_numbers);
        store->seq_last = list.numbers[list.count - 1];
    }
    for (size_t i = 0; i < list.count && err == GFS_OK; i++) {
        err = open_segment(store, list.numbers[i], error);
    }
    free(list.numbers);
    return err;
}

/* --- preparing --- */

static enum gfs_err write_zeros(struct gfs_file *file, uint64_t size)
{
    char *zeros = gfs_alloc_aligned(SEGMENT_PAGE, ZERO_LEN);
    memset(zeros, 0, ZERO_LEN);
    enum gfs_err err = file->io->ops->allocate(file, 0, size);
    for (uint64_t offset = 0; offset < size && err == GFS_OK; offset += ZERO_LEN) {
        size_t len = (size_t)GFS_MIN(size - offset, (uint64_t)ZERO_LEN);
        err = file->io->ops->write(file, zeros, len, offset);
    }
    free(zeros);
    return err;
}

static enum gfs_err write_headers(struct store *store, struct log_segment *segment, uint64_t size)
{
    segment->header = (struct segment_header){.seq = segment->seq, .size = size};
    memcpy(segment->header.disk, store->identity.id, sizeof store->identity.id);
    ssize_t len = getrandom(&segment->header.salt, sizeof segment->header.salt, 0);
    GFS_ASSERT(len == (ssize_t)sizeof segment->header.salt);
    segment_header_seal(&segment->header);
    char *page = gfs_alloc_aligned(SEGMENT_PAGE, SEGMENT_PAGE);
    memset(page, 0, SEGMENT_PAGE);
    memcpy(page, &segment->header, sizeof segment->header);
    const struct gfs_io_ops *ops = store->io->ops;
    enum gfs_err err = ops->write(segment->file, page, SEGMENT_PAGE, 0);
    if (err == GFS_OK) {
        err = ops->write(segment->file, page, SEGMENT_PAGE, size - SEGMENT_PAGE);
    }
    if (err == GFS_OK) {
        err = ops->flush(segment->file);
    }
    free(page);
    return err;
}

static void add_spare(struct store *store, struct log_segment *segment)
{
    (void)pthread_mutex_lock(&store->lock);
    GFS_ASSERT(store->spare_count < GFS_COUNT(store->spares));
    store->spares[store->spare_count++] = segment;
    store->is_out_of_spares = false;
    store_space_changed_locked(store);
    (void)pthread_mutex_unlock(&store->lock);
}

/* After a failed flush nobody knows which names the disk holds: that is no lack of space. */
static enum gfs_err sync_names(struct store *store)
{
    return store->io->ops->sync_dir(store->io, "log") == GFS_OK ? GFS_OK : GFS_IO;
}

/* The file has its temporary name and all its blocks. */
static enum gfs_err make_spare(struct store *store, struct log_segment *segment,
                               const char *temporary)
{
    char path[STORE_PATH_MAX];
    (void)pthread_mutex_lock(&store->lock);
    segment->seq = ++store->seq_last;
    (void)pthread_mutex_unlock(&store->lock);
    GFS_ASSERT(segment->seq <= INT32_MAX);
    segment_path(path, "log", segment->seq, "seg");
    enum gfs_err err = write_headers(store, segment, store->options.segment_size);
    if (err == GFS_OK) {
        err = store->io->ops->rename(store->io, temporary, path);
    }
    if (err == GFS_OK) {
        err = sync_names(store);
    }
    if (err == GFS_OK) {
        segment->end = SEGMENT_PAGE;
        add_spare(store, segment);
    }
    return err;
}

enum gfs_err log_segment_prepare(struct store *store)
{
    const char *path = "log/prepare.tmp";
    struct log_segment *segment = gfs_alloc(sizeof *segment);
    enum gfs_err err = store->io->ops->file_open(
        store->io, path, GFS_IO_CREATE | log_open_flags(store), &segment->file);
    if (err == GFS_OK) {
        err = write_zeros(segment->file, store->options.segment_size);
    }
    if (err == GFS_OK) {
        err = make_spare(store, segment, path);
    }
    if (err != GFS_OK) {
        log_segment_free(segment);
        (void)store->io->ops->remove(store->io, path);
    }
    return err;
}

/* --- recycling --- */

enum gfs_err log_segment_recycle(struct store *store, struct log_segment *segment)
{
    char path[STORE_PATH_MAX];
    const char *temporary = "log/recycle.tmp";
    segment_path(path, "log", segment->seq, "seg");
    const struct gfs_io_ops *ops = store->io->ops;
    (void)pthread_mutex_lock(&store->lock);
    GFS_ASSERT(segment->is_drained);
    GFS_ASSERT(segment->is_leaving);
    GFS_ASSERT(segment->pins == 0);
    bool is_reused = store->spare_count < STORE_SPARES && !segment->is_cut &&
                     segment->header.size == store->options.segment_size;
    (void)pthread_mutex_unlock(&store->lock);
    enum gfs_err err =
        is_reused ? ops->rename(store->io, path, temporary) : ops->remove(store->io, path);
    if (err == GFS_OK) {
        err = sync_names(store);
    }
    if (err != GFS_OK) { /* the segment stays in the table */
        (void)pthread_mutex_lock(&store->lock);
        segment->is_leaving = false;
        (void)pthread_mutex_unlock(&store->lock);
        return err;
    }
    /* Only now that the file cannot come back are its tombstones elsewhere no longer needed. */
    (void)pthread_mutex_lock(&store->lock);
    log_segment_remove_locked(store, segment);
    log_segment_forget_locked(store, segment->seq);
    store->stats.segments_recycled++;
    store_space_changed_locked(store);
    (void)pthread_mutex_unlock(&store->lock);
    if (!is_reused) {
        log_segment_free(segment);
        return GFS_OK;
    }
    struct log_segment *fresh = gfs_alloc(sizeof *fresh);
    fresh->file = GFS_TAKE(segment->file);
    log_segment_free(segment);
    err = make_spare(store, fresh, temporary);
    if (err != GFS_OK) {
        log_segment_free(fresh);
    }
    return err;
}

enum gfs_err log_segment_remove_lost(struct store *store, uint32_t seq)
{
    char path[STORE_PATH_MAX];
    segment_path(path, "log", seq, "seg");
    enum gfs_err err = store->io->ops->remove(store->io, path);
    if (err == GFS_OK || err == GFS_NOT_FOUND) {
        err = sync_names(store);
    }
    return err == GFS_OK ? GFS_OK : GFS_IO;
}
