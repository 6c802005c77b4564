#include "tests/unit/metad/log_double.h"

#include <pthread.h>
#include <stdlib.h>

#include "libgoodfs/codec.h"
#include "libgoodfs/mem.h"

struct kept_edit {
    uint64_t lsn;
    char *bytes;
    size_t len;
};

struct kept_chunk {
    struct chunk_id id;
    bool is_live;
    char *bytes; /* owner, then payload */
    size_t owner_len, len;
};

/* Guarded by lock. */
struct log_double {
    struct chunk_store base;
    pthread_mutex_t lock;
    pthread_cond_t wake, arrived;
    pthread_mutex_t deciding; /* decisions are made one at a time, in order */
    pthread_t thread;
    bool is_auto, is_stopping, has_failed;
    bool is_keeping; /* trimmed edits stay */
    unsigned refuse_period;
    uint64_t random;
    struct chunk_group *first, **tail;
    size_t waiting;
    struct kept_edit *edits; /* durable; trimmed ones are gone */
    size_t edit_count, edit_size;
    uint64_t lsn_submitted, lsn_gone, trimmed, floor;
    struct kept_chunk *chunks; /* hash table, open addressing */
    size_t chunk_count, chunk_size;
    size_t deleted_count;
};

static struct log_double *of(struct chunk_store *store)
{
    return GFS_CONTAINER_OF(store, struct log_double, base);
}

static struct kept_chunk *slot_of(struct kept_chunk *chunks, size_t size, struct chunk_id id)
{
    uint64_t hash = (id.hi ^ id.lo) * 0x9E3779B97F4A7C15ULL;
    size_t index = (hash ^ hash >> 32) & (size - 1);
    while ((chunks[index].id.hi | chunks[index].id.lo) != 0 &&
           (chunks[index].id.hi != id.hi || chunks[index].id.lo != id.lo)) {
        index = (index + 1) & (size - 1);
    }
    return &chunks[index];
}

static void set_live_locked(struct log_double *log, struct chunk_id id, bool is_live)
{
    if (2 * log->chunk_count >= log->chunk_size) {
        size_t size = log->chunk_size == 0 ? 64 : 2 * log->chunk_size;
        struct kept_chunk *grown = gfs_alloc_array(size, sizeof *grown);
        for (size_t i = 0; i < log->chunk_size; i++) {
            if ((log->chunks[i].id.hi | log->chunks[i].id.lo) != 0) {
                *slot_of(grown, size, log->chunks[i].id) = log->chunks[i];
            }
        }
        free(log->chunks);
        log->chunks = grown;
        log->chunk_size = size;
    }
    struct kept_chunk *chunk = slot_of(log->chunks, log->chunk_size, id);
    log->chunk_count += (chunk->id.hi | chunk->id.lo) == 0 ? 1 : 0;
    chunk->id = id;
    chunk->is_live = is_live;
}

static void set_bytes_locked(struct log_double *log, struct chunk_id id, struct gfs_slice owner,
                             struct gfs_slice payload)
{
    struct kept_chunk *chunk = slot_of(log->chunks, log->chunk_size, id);
    free(chunk->bytes);
    chunk->bytes = gfs_alloc(owner.len + payload.len + 1);
    chunk->owner_len = owner.len;
    chunk->len = payload.len;
    if (owner.len != 0) {
        memcpy(chunk->bytes, owner.ptr, owner.len);
    }
    if (payload.len != 0) {
        memcpy(chunk->bytes + owner.len, payload.ptr, payload.len);
    }
}

static void keep_edit_locked(struct log_double *log, uint64_t lsn, struct gfs_slice bytes)
{
    if (log->edit_count == log->edit_size) {
        log->edit_size = log->edit_size == 0 ? 64 : 2 * log->edit_size;
        log->edits = gfs_realloc(log->edits, log->edit_size * sizeof *log->edits);
    }
    char *copy = gfs_alloc(bytes.len);
    memcpy(copy, bytes.ptr, bytes.len);
    log->edits[log->edit_count++] = (struct kept_edit){lsn, copy, bytes.len};
}

static void keep_group_locked(struct log_double *log, const struct chunk_group *group)
{
    for (const struct chunk_record *record = group->records; record != NULL;
         record = record->next) {
        if (record->kind == CHUNK_RECORD_EDIT) {
            keep_edit_locked(log, record->lsn, record->payload);
        } else if (record->kind == CHUNK_RECORD_DATA) {
            set_live_locked(log, record->id, true);
            set_bytes_locked(log, record->id, record->owner, record->payload);
        } else if (record->kind == CHUNK_RECORD_DELETE) {
            for (size_t at = 0; at < record->payload.len; at += 16) {
                const char *raw = record->payload.ptr + at;
                struct chunk_id id = {gfs_codec_load_u64(raw), gfs_codec_load_u64(raw + 8)};
                set_live_locked(log, id, false);
                log->deleted_count++;
            }
        }
    }
}

static void submit(struct chunk_store *store, struct chunk_group *group)
{
    struct log_double *log = of(store);
    (void)pthread_mutex_lock(&log->lock);
    for (struct chunk_record *record = group->records; record != NULL; record = record->next) {
        if (record->kind == CHUNK_RECORD_EDIT) {
            GFS_ASSERT(record->lsn > log->lsn_submitted);
            log->lsn_submitted = record->lsn;
        }
    }
    group->next = NULL;
    *log->tail = group;
    log->tail = &group->next;
    log->waiting++;
    (void)pthread_cond_broadcast(&log->arrived);
    (void)pthread_cond_signal(&log->wake);
    (void)pthread_mutex_unlock(&log->lock);
}

static bool decide_one(struct log_double *log, enum gfs_err err)
{
    (void)pthread_mutex_lock(&log->deciding);
    (void)pthread_mutex_lock(&log->lock);
    struct chunk_group *group = log->first;
    if (group != NULL) {
        log->first = group->next;
        log->tail = log->first == NULL ? &log->first : log->tail;
        log->waiting--;
        log->has_failed = log->has_failed || err == GFS_IO;
        err = log->has_failed ? GFS_IO : err;
        if (err == GFS_OK) {
            keep_group_locked(log, group);
        }
    }
    (void)pthread_mutex_unlock(&log->lock);
    if (group != NULL) {
        group->done(group, err);
    }
    (void)pthread_mutex_unlock(&log->deciding);
    return group != NULL;
}

static enum gfs_err next_decision_locked(struct log_double *log)
{
    if (log->refuse_period == 0) {
        return GFS_OK;
    }
    log->random = log->random * 6364136223846793005ULL + 1442695040888963407ULL;
    return (log->random >> 33) % log->refuse_period == 0 ? GFS_NO_SPACE : GFS_OK;
}

static void *decide_main(void *arg)
{
    struct log_double *log = arg;
    (void)pthread_mutex_lock(&log->lock);
    while (!log->is_stopping) {
        if (!log->is_auto || log->first == NULL) {
            (void)pthread_cond_wait(&log->wake, &log->lock);
            continue;
        }
        enum gfs_err err = next_decision_locked(log);
        (void)pthread_mutex_unlock(&log->lock);
        (void)decide_one(log, err);
        (void)pthread_mutex_lock(&log->lock);
    }
    (void)pthread_mutex_unlock(&log->lock);
    return NULL;
}

/* A copy of the first edit behind `lsn`; false: there is none. */
static bool next_edit(struct log_double *log, uint64_t lsn, struct kept_edit *ret)
{
    bool is_found = false;
    (void)pthread_mutex_lock(&log->lock);
    for (size_t i = 0; i < log->edit_count && !is_found; i++) {
        const struct kept_edit *edit = &log->edits[i];
        if (edit->lsn > lsn) {
            *ret = (struct kept_edit){edit->lsn, gfs_alloc(edit->len), edit->len};
            memcpy(ret->bytes, edit->bytes, edit->len);
            is_found = true;
        }
    }
    (void)pthread_mutex_unlock(&log->lock);
    return is_found;
}

static enum gfs_err replay_edits(struct chunk_store *store, uint64_t after,
                                 enum gfs_err (*visit)(void *arg, uint64_t lsn,
                                                       struct gfs_slice edit),
                                 void *arg, struct gfs_error *error)
{
    struct log_double *log = of(store);
    struct kept_edit edit = {.lsn = after};
    (void)pthread_mutex_lock(&log->lock);
    enum gfs_err err = after >= log->lsn_gone
                           ? GFS_OK
                           : gfs_fail(error, GFS_CORRUPT, "edits behind lsn %llu are gone",
                                      (unsigned long long)after);
    if (log->first == NULL) { /* perhaps opened again: what was refused last is forgotten */
        log->lsn_submitted = log->edit_count == 0 ? 0 : log->edits[log->edit_count - 1].lsn;
    }
    (void)pthread_mutex_unlock(&log->lock);
    while (err == GFS_OK && next_edit(log, edit.lsn, &edit)) {
        err = visit(arg, edit.lsn, gfs_slice_of(edit.bytes, edit.len));
        free(edit.bytes);
    }
    return err;
}

static void reclaim_locked(struct log_double *log, uint64_t first, uint64_t last)
{
    size_t kept = 0;
    for (size_t i = 0; i < log->edit_count; i++) {
        struct kept_edit *edit = &log->edits[i];
        if (edit->lsn >= first && edit->lsn <= last) {
            log->lsn_gone = GFS_MAX(log->lsn_gone, edit->lsn);
            free(edit->bytes);
        } else {
            log->edits[kept++] = *edit;
        }
    }
    log->edit_count = kept;
}

static void trim_edits(struct chunk_store *store, uint64_t lsn)
{
    struct log_double *log = of(store);
    (void)pthread_mutex_lock(&log->lock);
    if (!log->is_keeping) {
        reclaim_locked(log, 0, lsn);
    }
    log->trimmed = GFS_MAX(log->trimmed, lsn);
    (void)pthread_mutex_unlock(&log->lock);
}

static void status(struct chunk_store *store, struct chunk_store_status *ret)
{
    struct log_double *log = of(store);
    (void)pthread_mutex_lock(&log->lock);
    *ret = (struct chunk_store_status){
        .lsn_last = log->lsn_submitted, .lsn_floor = log->floor, .lsn_gone = log->lsn_gone};
    (void)pthread_mutex_unlock(&log->lock);
}

/* ---- chunks ---- */

static enum gfs_err new_id(struct chunk_store *store, struct gfs_slice storage_class, uint64_t size,
                           struct chunk_id *ret)
{
    (void)store;
    (void)size;
    if (gfs_slice_eq_str(storage_class, "UNKNOWN")) {
        return GFS_INVALID;
    }
    *ret = chunk_id_new(0);
    return GFS_OK;
}

static enum gfs_err pin(struct chunk_store *store, struct chunk_id id, struct chunk_pin *ret)
{
    struct log_double *log = of(store);
    (void)pthread_mutex_lock(&log->lock);
    const struct kept_chunk *chunk =
        log->chunk_size == 0 ? NULL : slot_of(log->chunks, log->chunk_size, id);
    bool is_live = chunk != NULL && chunk->is_live;
    if (is_live) {
        *ret = (struct chunk_pin){.id = id, .len = (uint32_t)chunk->len};
    }
    (void)pthread_mutex_unlock(&log->lock);
    return is_live ? GFS_OK : GFS_NOT_FOUND;
}

static void unpin(struct chunk_store *store, struct chunk_pin *held)
{
    (void)store;
    (void)held;
}

static enum gfs_err read_chunk(struct chunk_store *store, struct chunk_pin *held, uint32_t offset,
                               uint32_t len, void *ret_bytes, unsigned flags)
{
    struct log_double *log = of(store);
    (void)flags;
    (void)pthread_mutex_lock(&log->lock);
    const struct kept_chunk *chunk = slot_of(log->chunks, log->chunk_size, held->id);
    GFS_ASSERT(offset + len <= chunk->len);
    memcpy(ret_bytes, chunk->bytes + chunk->owner_len + offset, len);
    (void)pthread_mutex_unlock(&log->lock);
    return GFS_OK;
}

static enum gfs_err owner(struct chunk_store *store, struct chunk_pin *held, void *ret_bytes,
                          size_t *ret_len)
{
    struct log_double *log = of(store);
    (void)pthread_mutex_lock(&log->lock);
    const struct kept_chunk *chunk = slot_of(log->chunks, log->chunk_size, held->id);
    memcpy(ret_bytes, chunk->bytes, chunk->owner_len);
    *ret_len = chunk->owner_len;
    (void)pthread_mutex_unlock(&log->lock);
    return GFS_OK;
}

static void list(struct chunk_store *store, uint32_t part, struct chunk_listed **ret,
                 size_t *ret_count)
{
    struct log_double *log = of(store);
    (void)pthread_mutex_lock(&log->lock);
    struct chunk_listed *listed = gfs_alloc_array(log->chunk_count + 1, sizeof *listed);
    size_t count = 0;
    for (size_t i = 0; i < log->chunk_size; i++) {
        const struct kept_chunk *chunk = &log->chunks[i];
        if (chunk->is_live && chunk_list_part(chunk->id) == part) {
            listed[count++] = (struct chunk_listed){chunk->id, (uint32_t)chunk->len};
        }
    }
    (void)pthread_mutex_unlock(&log->lock);
    *ret = listed;
    *ret_count = count;
}

static const struct chunk_store_ops ops = {.new_id = new_id,
                                           .submit = submit,
                                           .pin = pin,
                                           .unpin = unpin,
                                           .read = read_chunk,
                                           .owner = owner,
                                           .list = list,
                                           .replay_edits = replay_edits,
                                           .trim_edits = trim_edits,
                                           .status = status};

struct log_double *log_double_new(void)
{
    struct log_double *log = gfs_alloc(sizeof *log);
    log->base.ops = &ops;
    log->tail = &log->first;
    log->is_auto = true;
    (void)pthread_mutex_init(&log->lock, NULL);
    (void)pthread_mutex_init(&log->deciding, NULL);
    (void)pthread_cond_init(&log->wake, NULL);
    (void)pthread_cond_init(&log->arrived, NULL);
    int rc = pthread_create(&log->thread, NULL, decide_main, log);
    GFS_ASSERT(rc == 0);
    return log;
}

struct log_double *log_double_clone(struct log_double *log)
{
    struct log_double *copy = log_double_new();
    (void)pthread_mutex_lock(&log->lock);
    for (size_t i = 0; i < log->edit_count; i++) {
        const struct kept_edit *edit = &log->edits[i];
        keep_edit_locked(copy, edit->lsn, gfs_slice_of(edit->bytes, edit->len));
        copy->lsn_submitted = edit->lsn;
    }
    for (size_t i = 0; i < log->chunk_size; i++) {
        if ((log->chunks[i].id.hi | log->chunks[i].id.lo) != 0) {
            const struct kept_chunk *chunk = &log->chunks[i];
            set_live_locked(copy, chunk->id, chunk->is_live);
            if (chunk->bytes != NULL) {
                set_bytes_locked(copy, chunk->id, gfs_slice_of(chunk->bytes, chunk->owner_len),
                                 gfs_slice_of(chunk->bytes + chunk->owner_len, chunk->len));
            }
        }
    }
    copy->trimmed = log->trimmed;
    copy->lsn_gone = log->lsn_gone;
    copy->is_keeping = log->is_keeping;
    copy->deleted_count = log->deleted_count;
    copy->refuse_period = log->refuse_period;
    copy->random = log->random;
    (void)pthread_mutex_unlock(&log->lock);
    return copy;
}

void log_double_free(struct log_double *log)
{
    if (log == NULL) {
        return;
    }
    GFS_ASSERT(log->first == NULL);
    (void)pthread_mutex_lock(&log->lock);
    log->is_stopping = true;
    (void)pthread_cond_signal(&log->wake);
    (void)pthread_mutex_unlock(&log->lock);
    (void)pthread_join(log->thread, NULL);
    log_double_lose_edits(log);
    free(log->edits);
    for (size_t i = 0; i < log->chunk_size; i++) {
        free(log->chunks[i].bytes);
    }
    free(log->chunks);
    (void)pthread_mutex_destroy(&log->lock);
    (void)pthread_mutex_destroy(&log->deciding);
    (void)pthread_cond_destroy(&log->wake);
    (void)pthread_cond_destroy(&log->arrived);
    free(log);
}

struct chunk_store *log_double_store(struct log_double *log)
{
    return &log->base;
}

void log_double_set_auto(struct log_double *log, bool is_auto)
{
    (void)pthread_mutex_lock(&log->lock);
    log->is_auto = is_auto;
    (void)pthread_cond_signal(&log->wake);
    (void)pthread_mutex_unlock(&log->lock);
}

size_t log_double_decide(struct log_double *log, size_t count, enum gfs_err err)
{
    size_t done = 0;
    while (done < count && decide_one(log, err)) {
        done++;
    }
    return done;
}

void log_double_refuse(struct log_double *log, unsigned period, uint64_t seed)
{
    (void)pthread_mutex_lock(&log->lock);
    log->refuse_period = period;
    log->random = seed;
    (void)pthread_mutex_unlock(&log->lock);
}

#define GET(log, type, expression)                                                                 \
    (void)pthread_mutex_lock(&(log)->lock);                                                        \
    type value = (expression);                                                                     \
    (void)pthread_mutex_unlock(&(log)->lock);                                                      \
    return value

size_t log_double_waiting(struct log_double *log)
{
    GET(log, size_t, log->waiting);
}

uint64_t log_double_next_lsn(struct log_double *log)
{
    GET(log, uint64_t, log->first == NULL ? 0 : log->first->records->lsn);
}

void log_double_await(struct log_double *log, size_t count)
{
    (void)pthread_mutex_lock(&log->lock);
    while (log->waiting < count) {
        (void)pthread_cond_wait(&log->arrived, &log->lock);
    }
    (void)pthread_mutex_unlock(&log->lock);
}

bool log_double_is_live(struct log_double *log, struct chunk_id id)
{
    GET(log, bool, log->chunk_size != 0 && slot_of(log->chunks, log->chunk_size, id)->is_live);
}

size_t log_double_deleted(struct log_double *log)
{
    GET(log, size_t, log->deleted_count);
}

size_t log_double_edits(struct log_double *log)
{
    GET(log, size_t, log->edit_count);
}

uint64_t log_double_trimmed(struct log_double *log)
{
    GET(log, uint64_t, log->trimmed);
}

void log_double_keep(struct log_double *log)
{
    (void)pthread_mutex_lock(&log->lock);
    log->is_keeping = true;
    (void)pthread_mutex_unlock(&log->lock);
}

void log_double_reclaim(struct log_double *log, uint64_t first, uint64_t last)
{
    (void)pthread_mutex_lock(&log->lock);
    GFS_ASSERT(last <= log->trimmed);
    reclaim_locked(log, first, last);
    (void)pthread_mutex_unlock(&log->lock);
}

void log_double_set_floor(struct log_double *log, uint64_t lsn)
{
    (void)pthread_mutex_lock(&log->lock);
    log->floor = lsn;
    (void)pthread_mutex_unlock(&log->lock);
}

void log_double_damage(struct log_double *log)
{
    GFS_ASSERT(log->edit_count != 0);
    log->edits[log->edit_count - 1].bytes[log->edits[log->edit_count - 1].len / 2] ^= 1;
}

void log_double_lose_edits(struct log_double *log)
{
    for (size_t i = 0; i < log->edit_count; i++) {
        free(log->edits[i].bytes);
    }
    log->edit_count = 0;
}

void log_double_set_chunk(struct log_double *log, struct chunk_id id, struct gfs_slice owner_bytes,
                          struct gfs_slice payload)
{
    (void)pthread_mutex_lock(&log->lock);
    set_live_locked(log, id, true);
    set_bytes_locked(log, id, owner_bytes, payload);
    (void)pthread_mutex_unlock(&log->lock);
}

void log_double_lose_chunk(struct log_double *log, struct chunk_id id)
{
    (void)pthread_mutex_lock(&log->lock);
    set_live_locked(log, id, false);
    (void)pthread_mutex_unlock(&log->lock);
}
