#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/crc.h"
#include "libgoodfs/limits.h"
#include "tests/unit/pool/disk_double_state.h"

static uint32_t block_count(uint32_t len)
{
    return (len + GFS_BLOCK_SIZE - 1) / GFS_BLOCK_SIZE;
}

static uint32_t block_sum(const struct kept_chunk *chunk, uint32_t block)
{
    uint32_t offset = block * GFS_BLOCK_SIZE;
    return gfs_crc32c(0, chunk->bytes + offset,
                      GFS_MIN((uint32_t)GFS_BLOCK_SIZE, chunk->len - offset));
}

static void unref(struct kept_chunk *chunk)
{
    if (--chunk->references == 0) {
        free(chunk->bytes);
        free(chunk->owner);
        free(chunk->sums);
        free(chunk);
    }
}

static char *copy_of(struct gfs_slice bytes)
{
    char *copy = gfs_alloc(GFS_MAX(bytes.len, (size_t)1));
    if (bytes.len != 0) {
        memcpy(copy, bytes.ptr, bytes.len);
    }
    return copy;
}

struct kept_chunk **disk_double_find_locked(struct disk_double *disk, struct chunk_id id)
{
    struct kept_chunk **link = &disk->parts[chunk_list_part(id)];
    while (*link != NULL && ((*link)->id.hi != id.hi || (*link)->id.lo != id.lo)) {
        link = &(*link)->next;
    }
    return link;
}

bool disk_double_remove_locked(struct disk_double *disk, struct chunk_id id)
{
    struct kept_chunk **link = disk_double_find_locked(disk, id);
    struct kept_chunk *chunk = *link;
    if (chunk == NULL) {
        return false;
    }
    *link = chunk->next;
    disk->chunk_count--;
    disk->live_bytes -= chunk->len;
    unref(chunk);
    return true;
}

void disk_double_put_locked(struct disk_double *disk, struct chunk_id id, struct gfs_slice owner,
                            struct gfs_slice bytes)
{
    (void)disk_double_remove_locked(disk, id);
    struct kept_chunk *chunk = gfs_alloc(sizeof *chunk);
    chunk->id = id;
    chunk->references = 1;
    chunk->bytes = copy_of(bytes);
    chunk->len = (uint32_t)bytes.len;
    chunk->owner = copy_of(owner);
    chunk->owner_len = (uint32_t)owner.len;
    uint32_t blocks = block_count(chunk->len);
    chunk->sums = gfs_alloc_array(GFS_MAX(blocks, 1U), sizeof *chunk->sums);
    for (uint32_t i = 0; i < blocks; i++) {
        chunk->sums[i] = block_sum(chunk, i);
    }
    struct kept_chunk **head = &disk->parts[chunk_list_part(id)];
    chunk->next = *head;
    *head = chunk;
    disk->chunk_count++;
    disk->live_bytes += chunk->len;
}

void disk_double_note_refusal_locked(struct disk_double *disk, const struct chunk_group *group,
                                     enum gfs_err err)
{
    for (const struct chunk_record *record = group->records; record != NULL;
         record = record->next) {
        if (record->kind == CHUNK_RECORD_EDIT && err != GFS_NO_SPACE) {
            disk->lsn_refused = 0;
        } else if (record->kind == CHUNK_RECORD_EDIT && disk->lsn_refused == 0) {
            disk->lsn_refused = record->lsn;
        }
    }
}

void disk_double_keep_edit_locked(struct disk_double *disk, uint64_t lsn, struct gfs_slice bytes)
{
    if (disk->edit_count == disk->edit_size) {
        disk->edit_size = disk->edit_size == 0 ? 64 : 2 * disk->edit_size;
        disk->edits = gfs_realloc(disk->edits, disk->edit_size * sizeof *disk->edits);
    }
    disk->edits[disk->edit_count++] = (struct kept_edit){lsn, copy_of(bytes), bytes.len};
    disk->lsn_last = lsn;
}

void disk_double_lose_edits_locked(struct disk_double *disk)
{
    for (size_t i = 0; i < disk->edit_count; i++) {
        free(disk->edits[i].bytes);
    }
    disk->edit_count = 0;
}

static void wait_for_locked(struct disk_double *disk, int64_t delay_ns)
{
    int64_t until_ns = gfs_monotonic_ns() + delay_ns;
    while (disk->is_hanging && !disk->is_stopping && !disk->is_crashed) {
        gfs_cond_wait(&disk->changed, &disk->lock);
    }
    bool has_time = delay_ns != 0;
    while (has_time && !disk->is_stopping) {
        has_time = gfs_cond_wait_until(&disk->changed, &disk->lock, until_ns);
    }
}

void disk_double_wait_locked(struct disk_double *disk)
{
    wait_for_locked(disk, disk->delay_ns);
}

/* ---- operations ---- */

enum gfs_err disk_double_op_pin(struct chunk_store *store, struct chunk_id id,
                                struct chunk_pin *ret)
{
    struct disk_double *disk = disk_double_of(store);
    (void)pthread_mutex_lock(&disk->lock);
    struct kept_chunk *chunk = *disk_double_find_locked(disk, id);
    disk->counts.pins++;
    enum gfs_err err = chunk == NULL ? GFS_NOT_FOUND : chunk->is_lost ? GFS_CORRUPT : GFS_OK;
    if (err == GFS_OK) {
        chunk->references++;
        disk->counts.pins_held++;
        *ret = (struct chunk_pin){.id = id, .len = chunk->len, .state = chunk};
    }
    (void)pthread_mutex_unlock(&disk->lock);
    return err;
}

void disk_double_op_unpin(struct chunk_store *store, struct chunk_pin *pin)
{
    struct disk_double *disk = disk_double_of(store);
    (void)pthread_mutex_lock(&disk->lock);
    GFS_ASSERT(pin->state != NULL);
    unref(pin->state);
    *pin = (struct chunk_pin){0}; /* nothing of it is good any more, as with a disk's store */
    disk->counts.pins_held--;
    (void)pthread_mutex_unlock(&disk->lock);
}

static bool is_whole(const struct kept_chunk *chunk, uint32_t offset, uint32_t len)
{
    for (uint32_t block = offset / GFS_BLOCK_SIZE; block < block_count(offset + len); block++) {
        if (block_sum(chunk, block) != chunk->sums[block]) {
            return false;
        }
    }
    return true;
}

static bool is_worn(const struct kept_chunk *chunk, uint32_t offset, uint32_t len)
{
    bool is_worn = false;
    for (uint32_t block = offset / GFS_BLOCK_SIZE; block < block_count(offset + len); block++) {
        is_worn = is_worn || (block < 64 && (chunk->worn >> block & 1) != 0);
    }
    return is_worn;
}

enum gfs_err disk_double_op_read(struct chunk_store *store, struct chunk_pin *pin, uint32_t offset,
                                 uint32_t len, void *ret_bytes, unsigned flags)
{
    struct disk_double *disk = disk_double_of(store);
    const struct kept_chunk *chunk = pin->state;
    GFS_ASSERT(offset % GFS_BLOCK_SIZE == 0);
    GFS_ASSERT(offset <= chunk->len && len <= chunk->len - offset);
    GFS_ASSERT(len % GFS_BLOCK_SIZE == 0 || offset + len == chunk->len);
    bool may_wait = (flags & CHUNK_READ_NOWAIT) == 0;
    (void)pthread_mutex_lock(&disk->lock);
    disk->counts.reads++;
    bool must_wait = disk->is_hanging || disk->is_cold || disk->delay_ns != 0;
    if (must_wait && !may_wait) {
        (void)pthread_mutex_unlock(&disk->lock);
        return GFS_AGAIN;
    }
    disk_double_wait_locked(disk);
    enum gfs_err err = disk->is_failing || disk->is_crashed ? GFS_IO : GFS_OK;
    if (err == GFS_OK && is_worn(chunk, offset, len)) {
        err = GFS_IO;
    }
    if (err == GFS_OK) {
        err = is_whole(chunk, offset, len) ? GFS_OK : GFS_CORRUPT;
    }
    disk->read_errors += err != GFS_OK;
    if (err == GFS_OK && len != 0) {
        memcpy(ret_bytes, chunk->bytes + offset, len);
    }
    (void)pthread_mutex_unlock(&disk->lock);
    return err;
}

enum gfs_err disk_double_op_owner(struct chunk_store *store, struct chunk_pin *pin, void *ret_bytes,
                                  size_t *ret_len)
{
    struct disk_double *disk = disk_double_of(store);
    const struct kept_chunk *chunk = pin->state;
    (void)pthread_mutex_lock(&disk->lock);
    disk->counts.owners++;
    wait_for_locked(disk, GFS_MAX(disk->delay_ns, disk->owner_delay_ns));
    enum gfs_err err = disk->is_failing || disk->is_crashed ? GFS_IO : GFS_OK;
    disk->read_errors += err != GFS_OK;
    if (err == GFS_OK) {
        memcpy(ret_bytes, chunk->owner, chunk->owner_len);
        *ret_len = chunk->owner_len;
    }
    (void)pthread_mutex_unlock(&disk->lock);
    return err;
}

void disk_double_op_prefetch(struct chunk_store *store, struct chunk_pin *pin, uint32_t offset,
                             uint32_t len)
{
    (void)store;
    (void)pin;
    (void)offset;
    (void)len;
}

void disk_double_op_list(struct chunk_store *store, uint32_t part, struct chunk_listed **ret,
                         size_t *ret_count)
{
    struct disk_double *disk = disk_double_of(store);
    GFS_ASSERT(part < CHUNK_LIST_PARTS);
    (void)pthread_mutex_lock(&disk->lock);
    size_t count = 0;
    for (const struct kept_chunk *chunk = disk->parts[part]; chunk != NULL; chunk = chunk->next) {
        count++;
    }
    *ret = count == 0 ? NULL : gfs_alloc_array(count, sizeof **ret);
    *ret_count = count;
    for (const struct kept_chunk *chunk = disk->parts[part]; chunk != NULL; chunk = chunk->next) {
        (*ret)[--count] = (struct chunk_listed){.id = chunk->id, .len = chunk->len};
    }
    (void)pthread_mutex_unlock(&disk->lock);
}

void disk_double_op_status(struct chunk_store *store, struct chunk_store_status *ret)
{
    struct disk_double *disk = disk_double_of(store);
    (void)pthread_mutex_lock(&disk->lock);
    *ret = (struct chunk_store_status){
        .space_total = disk->space_total,
        .space_free = disk->space_free - GFS_MIN(disk->space_free, disk->live_bytes),
        .chunks = disk->chunk_count,
        .live_bytes = disk->live_bytes,
        .lsn_last = disk->lsn_last,
        .lsn_floor = GFS_MAX(disk->lsn_last, GFS_MAX(disk->trimmed, disk->lsn_gone)),
        .lsn_gone = disk->lsn_gone,
        .damaged_places = disk->damage_known,
        .read_errors = disk->read_errors,
        .has_failed = disk->is_failing || disk->is_unwritable || disk->is_crashed,
        .is_full = disk->room != DISK_DOUBLE_ROOM,
    };
    (void)pthread_mutex_unlock(&disk->lock);
}

enum gfs_err disk_double_op_verify_log(struct chunk_store *store, uint64_t *cursor, uint64_t bytes)
{
    struct disk_double *disk = disk_double_of(store);
    (void)bytes;
    (void)pthread_mutex_lock(&disk->lock);
    disk_double_wait_locked(disk);
    bool has_failed = disk->is_failing || disk->is_crashed;
    if (!has_failed) {
        disk->damage_known += disk->damage_hidden;
        disk->damage_hidden = 0;
        *cursor = 0;
    }
    (void)pthread_mutex_unlock(&disk->lock);
    return has_failed ? GFS_IO : GFS_OK;
}

void disk_double_op_repaired(struct chunk_store *store)
{
    struct disk_double *disk = disk_double_of(store);
    (void)pthread_mutex_lock(&disk->lock);
    disk->damage_known = 0;
    (void)pthread_mutex_unlock(&disk->lock);
}

static enum gfs_err copy_edits_locked(struct disk_double *disk, uint64_t after,
                                      struct kept_edit **ret, size_t *ret_count)
{
    disk_double_wait_locked(disk);
    if (disk->is_failing || disk->is_crashed) {
        return GFS_IO;
    }
    if (after < disk->lsn_gone) {
        return GFS_CORRUPT;
    }
    *ret = gfs_alloc_array(GFS_MAX(disk->edit_count, (size_t)1), sizeof **ret);
    for (size_t i = 0; i < disk->edit_count; i++) {
        const struct kept_edit *edit = &disk->edits[i];
        if (edit->lsn > after) {
            (*ret)[(*ret_count)++] = (struct kept_edit){
                edit->lsn, copy_of(gfs_slice_of(edit->bytes, edit->len)), edit->len};
        }
    }
    return GFS_OK;
}

enum gfs_err disk_double_op_replay(struct chunk_store *store, uint64_t after,
                                   enum gfs_err (*visit)(void *arg, uint64_t lsn,
                                                         struct gfs_slice edit),
                                   void *arg, struct gfs_error *error)
{
    struct disk_double *disk = disk_double_of(store);
    struct kept_edit *edits GFS_FREE = NULL;
    size_t count = 0;
    (void)pthread_mutex_lock(&disk->lock);
    disk->replays_blocked += disk->is_log_hanging ? 1 : 0;
    gfs_cond_broadcast(&disk->changed);
    while (disk->is_log_hanging && !disk->is_stopping) {
        gfs_cond_wait(&disk->changed, &disk->lock);
    }
    enum gfs_err err = copy_edits_locked(disk, after, &edits, &count);
    bool is_damaged = disk->has_damaged_edits;
    (void)pthread_mutex_unlock(&disk->lock);
    for (size_t i = 0; i < count; i++) {
        if (err == GFS_OK) {
            err = visit(arg, edits[i].lsn, gfs_slice_of(edits[i].bytes, edits[i].len));
        }
        free(edits[i].bytes);
    }
    if (err == GFS_IO) {
        return gfs_fail(error, err, "the double fails");
    }
    if (err == GFS_CORRUPT && count == 0) {
        return gfs_fail(error, err, "edits behind lsn %llu are gone", (unsigned long long)after);
    }
    return err == GFS_OK && is_damaged ? gfs_fail(error, GFS_CORRUPT, "damaged log") : err;
}

void disk_double_op_trim(struct chunk_store *store, uint64_t lsn)
{
    struct disk_double *disk = disk_double_of(store);
    (void)pthread_mutex_lock(&disk->lock);
    size_t count = 0;
    while (count < disk->edit_count && disk->edits[count].lsn <= lsn) {
        disk->lsn_gone = disk->edits[count].lsn;
        free(disk->edits[count++].bytes);
    }
    if (count != 0) {
        disk->edit_count -= count;
        memmove(disk->edits, disk->edits + count, disk->edit_count * sizeof *disk->edits);
    }
    disk->trimmed = GFS_MAX(disk->trimmed, lsn);
    (void)pthread_mutex_unlock(&disk->lock);
}

/* ---- faults and looks ---- */

bool disk_double_flip(struct disk_double *disk, struct chunk_id id, uint32_t offset)
{
    (void)pthread_mutex_lock(&disk->lock);
    struct kept_chunk *chunk = *disk_double_find_locked(disk, id);
    bool is_there = chunk != NULL && offset < chunk->len;
    if (is_there) {
        chunk->bytes[offset] ^= 1;
    }
    (void)pthread_mutex_unlock(&disk->lock);
    return is_there;
}

bool disk_double_wear(struct disk_double *disk, struct chunk_id id, unsigned block)
{
    GFS_ASSERT(block < 64);
    (void)pthread_mutex_lock(&disk->lock);
    struct kept_chunk *chunk = *disk_double_find_locked(disk, id);
    if (chunk != NULL) {
        chunk->worn |= 1ULL << block;
    }
    (void)pthread_mutex_unlock(&disk->lock);
    return chunk != NULL;
}

bool disk_double_lose(struct disk_double *disk, struct chunk_id id)
{
    (void)pthread_mutex_lock(&disk->lock);
    struct kept_chunk *chunk = *disk_double_find_locked(disk, id);
    if (chunk != NULL) {
        chunk->is_lost = true;
    }
    (void)pthread_mutex_unlock(&disk->lock);
    return chunk != NULL;
}

bool disk_double_drop(struct disk_double *disk, struct chunk_id id)
{
    (void)pthread_mutex_lock(&disk->lock);
    bool is_there = disk_double_remove_locked(disk, id);
    (void)pthread_mutex_unlock(&disk->lock);
    return is_there;
}

void disk_double_lose_edits(struct disk_double *disk)
{
    (void)pthread_mutex_lock(&disk->lock);
    disk_double_lose_edits_locked(disk);
    (void)pthread_mutex_unlock(&disk->lock);
}

void disk_double_damage_log(struct disk_double *disk, bool is_known)
{
    (void)pthread_mutex_lock(&disk->lock);
    *(is_known ? &disk->damage_known : &disk->damage_hidden) += 1;
    disk->has_damaged_edits = true;
    (void)pthread_mutex_unlock(&disk->lock);
}

bool disk_double_has(struct disk_double *disk, struct chunk_id id)
{
    (void)pthread_mutex_lock(&disk->lock);
    bool is_there = *disk_double_find_locked(disk, id) != NULL;
    (void)pthread_mutex_unlock(&disk->lock);
    return is_there;
}

size_t disk_double_bytes(struct disk_double *disk, struct chunk_id id, char *ret, size_t size)
{
    (void)pthread_mutex_lock(&disk->lock);
    const struct kept_chunk *chunk = *disk_double_find_locked(disk, id);
    size_t len = chunk == NULL ? 0 : chunk->len;
    if (GFS_MIN(len, size) != 0) {
        memcpy(ret, chunk->bytes, GFS_MIN(len, size));
    }
    (void)pthread_mutex_unlock(&disk->lock);
    return len;
}

size_t disk_double_owner(struct disk_double *disk, struct chunk_id id, char *ret, size_t size)
{
    (void)pthread_mutex_lock(&disk->lock);
    const struct kept_chunk *chunk = *disk_double_find_locked(disk, id);
    size_t len = chunk == NULL ? 0 : chunk->owner_len;
    if (GFS_MIN(len, size) != 0) {
        memcpy(ret, chunk->owner, GFS_MIN(len, size));
    }
    (void)pthread_mutex_unlock(&disk->lock);
    return len;
}

bool disk_double_has_edit(struct disk_double *disk, uint64_t lsn)
{
    (void)pthread_mutex_lock(&disk->lock);
    bool found = false;
    for (size_t i = 0; i < disk->edit_count && !found; i++) {
        found = disk->edits[i].lsn == lsn;
    }
    (void)pthread_mutex_unlock(&disk->lock);
    return found;
}
