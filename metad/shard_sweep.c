/* The sweep: deletes chunks that lost their last reference, and forgets what completed uploads
 * became. Garbage rows only ever come behind those that are there, so a cursor in memory is enough:
 * what it passed is deleted by a durable edit, which a restart applies before it begins anew. */
#include <stdlib.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/codec.h"
#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "metad/edit.h"
#include "metad/record.h"
#include "metad/shard_copy.h"

/* Garbage rows and expired uploads of one edit, and uploads looked at for it. */
enum { ROWS_MAX = 64, EXPIRED_MAX = 512, LOOKS_MAX = 16384, GARBAGE_KEY_LEN = 12 };
#define COMPLETED_KEPT_MS (7LL * 24 * 3600 * 1000)
#define COMPLETED_CHECK_MS (3600LL * 1000)
#define RETRY_MS_MIN 1000LL
#define RETRY_MS_MAX 60000LL

struct sweep {
    struct shard *shard;
    struct key cursor;           /* garbage rows below it are done */
    struct key completed_cursor; /* completed uploads below it were looked at in this round */
    int64_t retry_ms;            /* before the next try; doubled by each that fails */
    int64_t completed_at_ms;     /* when completed uploads are looked through again; monotonic */
};

static int64_t now_ms(void)
{
    return gfs_monotonic_ns() / 1000000;
}

/* The full key of the row; the table is there already. */
static void set_row_key(struct key *key, struct gfs_slice row_key)
{
    GFS_ASSERT(row_key.len < sizeof key->bytes);
    if (row_key.len != 0) {
        memcpy(key->bytes + 1, row_key.ptr, row_key.len);
    }
    key->len = row_key.len + 1;
}

/* Garbage rows that are due go into the proposal. *ret_wait_ms: until the next one is, or -1 when
 * there is none. */
static enum gfs_err collect_garbage(struct sweep *sweep, struct db *reader,
                                    struct proposal *proposal, int64_t *ret_wait_ms)
{
    struct key end = {.len = 1, .bytes = {TABLE_GARBAGE}};
    key_after_prefix(&end);
    static const char last[GARBAGE_KEY_LEN + 1] =
        "\377\377\377\377\377\377\377\377\377\377\377\377";
    enum gfs_err err = db_seek(reader, TABLE_GARBAGE, key_row(&sweep->cursor),
                               gfs_slice_of(last, GARBAGE_KEY_LEN));
    *ret_wait_ms = -1;
    for (unsigned rows = 0; (err == GFS_OK || err == GFS_CORRUPT) && rows < ROWS_MAX;) {
        struct gfs_slice key;
        struct gfs_slice row;
        int64_t time_ms = 0;
        struct chunk_id ids[RECORD_GARBAGE_IDS_MAX];
        uint32_t count = 0;
        err = db_next(reader, TABLE_GARBAGE, &key, &row);
        if (err == GFS_OK) {
            err = record_decode_garbage(row, &time_ms, ids, &count);
        }
        if (err == GFS_CORRUPT || (err == GFS_OK && key.len != GARBAGE_KEY_LEN)) {
            continue; /* passed over: its chunks are left to the search for orphans */
        }
        if (err != GFS_OK) {
            break;
        }
        int64_t wait_ms = time_ms + sweep->shard->options.gc_grace_ms - gfs_wall_ms();
        if (wait_ms > 0) {
            *ret_wait_ms = wait_ms;
            break;
        }
        *ret_wait_ms = 0;
        const uint8_t *n = (const uint8_t *)key.ptr + sizeof(uint64_t);
        edit_garbage_done(&proposal->edit, gfs_codec_load_u64_be(key.ptr),
                          (uint32_t)n[0] << 24 | (uint32_t)n[1] << 16 | (uint32_t)n[2] << 8 | n[3]);
        for (uint32_t i = 0; i < count; i++) {
            gfs_codec_put_u64(&proposal->chunk_ids, ids[i].hi);
            gfs_codec_put_u64(&proposal->chunk_ids, ids[i].lo);
        }
        set_row_key(&sweep->cursor, key);
        key_after(&sweep->cursor);
        rows++;
    }
    db_reset(reader, TABLE_GARBAGE);
    return err == GFS_END ? GFS_OK : err;
}

/* One step through the completed uploads. *ret_is_end: the next one begins at the front again. */
static enum gfs_err collect_expired(struct sweep *sweep, struct db *reader,
                                    struct proposal *proposal, bool *ret_is_end)
{
    static const char last[META_UPLOAD_ID_LEN + 2] =
        "\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377";
    enum gfs_err err = db_seek(reader, TABLE_COMPLETED, key_row(&sweep->completed_cursor),
                               gfs_slice_of(last, META_UPLOAD_ID_LEN + 1));
    int64_t limit_ms = gfs_wall_ms() - COMPLETED_KEPT_MS;
    unsigned count = 0;
    for (unsigned looks = 0; err == GFS_OK && count < EXPIRED_MAX && looks < LOOKS_MAX; looks++) {
        struct gfs_slice key;
        struct gfs_slice row;
        err = db_next(reader, TABLE_COMPLETED, &key, &row);
        if (err == GFS_OK && record_mtime_ms(row) < limit_ms) {
            edit_delete(&proposal->edit, TABLE_COMPLETED, key);
            count++;
        }
        if (err == GFS_OK && key.len <= META_UPLOAD_ID_LEN) {
            set_row_key(&sweep->completed_cursor, key);
            key_after(&sweep->completed_cursor);
        } else if (err == GFS_CORRUPT) {
            err = GFS_OK; /* passed over: nobody is answered from it */
        }
    }
    db_reset(reader, TABLE_COMPLETED);
    *ret_is_end = err != GFS_OK;
    return err == GFS_END ? GFS_OK : err;
}

/* Proposes and waits for the decision. *ret_is_done: it is committed, or there was nothing. */
static void commit(struct shard *shard, struct proposal *proposal, bool *ret_is_done)
{
    enum gfs_err err = edit_finish(&proposal->edit);
    GFS_ASSERT(err == GFS_OK); /* bounded by ROWS_MAX and EXPIRED_MAX */
    *ret_is_done = true;
    if (proposal->edit.len == EDIT_HEAD_LEN) {
        proposal_free(proposal);
        return;
    }
    uint64_t chunk_count = proposal->chunk_ids.len / sizeof(struct chunk_id);
    if (chunk_count != 0) {
        proposal->delete_record = (struct chunk_record){
            .kind = CHUNK_RECORD_DELETE, .payload = gfs_buf_slice(&proposal->chunk_ids)};
    }
    proposal->group.may_use_reserve = true;
    (void)pthread_mutex_lock(&shard->lock);
    if (shard_refusal_locked(shard, true) != GFS_OK) {
        (void)pthread_mutex_unlock(&shard->lock);
        proposal_free(proposal);
        *ret_is_done = false;
        return;
    }
    shard->is_sweep_refused = false;
    proposal_submit_locked(proposal);
    uint64_t lsn = shard->next_lsn - 1;
    shard_await_decision_locked(shard, lsn);
    *ret_is_done = !shard->is_sweep_refused;
    shard->counters.chunks_deleted += *ret_is_done ? chunk_count : 0;
    (void)pthread_mutex_unlock(&shard->lock);
}

/* A disk that must confirm deletions may be away for long: how long to wait for the next try. */
static int64_t back_off(struct sweep *sweep)
{
    int64_t wait_ms = sweep->retry_ms;
    sweep->retry_ms = GFS_MIN(2 * wait_ms, RETRY_MS_MAX);
    return wait_ms;
}

/* One batch. Answers how long to wait for the next, in ms; -1: until something is freed. */
static int64_t sweep_garbage(struct sweep *sweep)
{
    struct shard *shard = sweep->shard;
    struct key before = sweep->cursor;
    struct reading reading;
    if (shard_reader_get(shard, &reading) != GFS_OK) {
        return back_off(sweep);
    }
    struct proposal *proposal = proposal_new(shard, NULL);
    edit_begin(&proposal->edit);
    int64_t wait_ms = -1;
    enum gfs_err err = collect_garbage(sweep, reading.db, proposal, &wait_ms);
    shard_reader_put(shard, &reading);
    bool is_done = false;
    if (err == GFS_OK) {
        commit(shard, proposal, &is_done);
    } else {
        gfs_log(GFS_LOG_ERROR, "msg=\"garbage list cannot be read\" err=%s", gfs_err_name(err));
        proposal_free(proposal);
        (void)shard_read_again(shard, &reading, err);
    }
    if (!is_done) {
        sweep->cursor = before; /* all of it stays on the list */
        return back_off(sweep);
    }
    sweep->retry_ms = RETRY_MS_MIN;
    return wait_ms;
}

/* One step; the next is due at once unless the end was reached. */
static void sweep_completed(struct sweep *sweep)
{
    struct shard *shard = sweep->shard;
    struct reading reading;
    sweep->completed_at_ms = now_ms() + COMPLETED_CHECK_MS;
    if (shard_reader_get(shard, &reading) != GFS_OK) {
        return;
    }
    struct proposal *proposal = proposal_new(shard, NULL);
    edit_begin(&proposal->edit);
    bool is_end = true;
    enum gfs_err err = collect_expired(sweep, reading.db, proposal, &is_end);
    shard_reader_put(shard, &reading);
    bool is_done = false;
    if (err == GFS_OK) {
        commit(shard, proposal, &is_done); /* if not, the next round finds them again */
    } else {
        proposal_free(proposal);
    }
    if (is_end || !is_done) {
        set_row_key(&sweep->completed_cursor, (struct gfs_slice){0});
    } else {
        sweep->completed_at_ms = now_ms();
    }
}

void *shard_sweep_main(void *arg)
{
    struct sweep sweep = {.shard = arg,
                          .retry_ms = RETRY_MS_MIN,
                          .cursor = {.len = 1, .bytes = {TABLE_GARBAGE}},
                          .completed_cursor = {.len = 1, .bytes = {TABLE_COMPLETED}}};
    struct shard *shard = sweep.shard;
    (void)pthread_mutex_lock(&shard->lock);
    while (!shard->is_sweep_stopping) {
        uint64_t freed = shard->counters.chunks_freed;
        (void)pthread_mutex_unlock(&shard->lock);
        int64_t wait_ms = sweep_garbage(&sweep);
        if (now_ms() >= sweep.completed_at_ms) {
            sweep_completed(&sweep);
            wait_ms = sweep.completed_at_ms <= now_ms() ? 0 : wait_ms;
        }
        (void)pthread_mutex_lock(&shard->lock);
        bool is_news = wait_ms < 0 && shard->counters.chunks_freed != freed;
        if (wait_ms != 0 && !is_news && !shard->is_sweep_stopping) {
            int64_t ms = wait_ms < 0 ? COMPLETED_CHECK_MS : wait_ms;
            (void)gfs_cond_wait_until(&shard->sweep_wake, &shard->lock,
                                      gfs_monotonic_ns() + ms * 1000000);
        }
    }
    shard->is_sweep_over = true;
    gfs_cond_broadcast(&shard->moved);
    (void)pthread_mutex_unlock(&shard->lock);
    return NULL;
}
