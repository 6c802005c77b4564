/* Opening: what the log holds behind the database is applied. When there is no space for that, the
 * edits stay in memory, where running takes them up: a full disk can still be read and emptied. */
#include <stdlib.h>

#include "libgoodfs/digest.h"
#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"
#include "metad/shard_copy.h"

/* Edits and bytes applied in one transaction. */
enum { REPLAY_EDITS_MAX = 65536, REPLAY_BYTES_MAX = 32 << 20 };

struct replay {
    struct shard *shard;
    struct proposal *edits[REPLAY_EDITS_MAX];
    size_t count;
    size_t bytes;
    bool is_fresh;      /* the database was just made */
    bool is_kept;       /* there was no space: edits are kept, not applied */
    bool is_first;      /* nothing was visited yet */
    uint64_t known_lsn; /* applied already: the log has it, too, and gives it first; 0 = none */
    struct proposal **kept_tail;
    struct gfs_error *error;
};

static void keep(struct replay *replay)
{
    for (size_t i = 0; i < replay->count; i++) {
        *replay->kept_tail = replay->edits[i];
        replay->kept_tail = &replay->edits[i]->next;
    }
    replay->count = 0;
}

static enum gfs_err apply_collected(struct replay *replay)
{
    struct gfs_slice *edits GFS_FREE = gfs_alloc_array(replay->count, sizeof *edits);
    for (size_t i = 0; i < replay->count; i++) {
        edits[i] = gfs_buf_slice(&replay->edits[i]->edit);
    }
    struct apply_result result = {0};
    enum gfs_err err =
        apply_edits(replay->shard->live->apply, edits, replay->count, &result, replay->error);
    replay->shard->counters.damaged_rows += result.damaged_count;
    return err;
}

static enum gfs_err flush_replay(struct replay *replay)
{
    enum gfs_err err = GFS_OK;
    if (replay->count != 0 && !replay->is_kept) {
        err = apply_collected(replay);
    }
    if (err == GFS_NO_SPACE) {
        gfs_log(GFS_LOG_WARN, "msg=\"no space to apply the edit log: edits stay in memory\"");
        replay->is_kept = true;
        err = GFS_OK;
    }
    if (replay->is_kept) {
        keep(replay);
    }
    for (size_t i = 0; i < replay->count; i++) {
        proposal_free(replay->edits[i]);
    }
    replay->count = 0;
    replay->bytes = 0;
    if (err == GFS_OK && !replay->is_kept) {
        (void)copy_checkpoint(replay->shard->live, false);
    }
    return err;
}

/* The database may need edits that are not in the log any more, though older ones are: those that
 * are trimmed leave in no order. */
static enum gfs_err check_gone(const struct replay *replay, uint64_t after)
{
    struct chunk_store *log = replay->shard->log;
    struct chunk_store_status status = {0};
    log->ops->status(log, &status);
    if (after >= status.lsn_gone) {
        return GFS_OK;
    }
    if (replay->is_fresh) {
        return gfs_fail(replay->error, GFS_CORRUPT,
                        "%s: the metadata database is gone, and the log has not all edits up to "
                        "edit %llu any more",
                        replay->shard->options.dir, (unsigned long long)status.lsn_gone);
    }
    return gfs_fail(replay->error, GFS_CORRUPT,
                    "%s: the metadata database ends at edit %llu, and the log has not all edits up "
                    "to edit %llu any more: an old copy of the database?",
                    replay->shard->options.dir, (unsigned long long)replay->known_lsn,
                    (unsigned long long)status.lsn_gone);
}

/* The newest applied edit is never trimmed. So a database made in the place of one that was lost,
 * an old copy of it, and one that belongs to another log are told from the right one. */
static enum gfs_err check_first(const struct replay *replay, uint64_t lsn)
{
    if (replay->is_fresh && lsn != 1) {
        return gfs_fail(replay->error, GFS_CORRUPT,
                        "%s: the metadata database is gone, and the log begins only at edit %llu",
                        replay->shard->options.dir, (unsigned long long)lsn);
    }
    if (replay->known_lsn != 0 && lsn != replay->known_lsn) {
        return gfs_fail(replay->error, GFS_CORRUPT,
                        "%s: the metadata database ends at edit %llu, and the log begins only at "
                        "edit %llu: an old copy of the database?",
                        replay->shard->options.dir, (unsigned long long)replay->known_lsn,
                        (unsigned long long)lsn);
    }
    return GFS_OK;
}

static enum gfs_err replay_edit(void *arg, uint64_t lsn, struct gfs_slice edit)
{
    struct replay *replay = arg;
    if (replay->is_first) {
        replay->is_first = false;
        enum gfs_err err = check_first(replay, lsn);
        if (err != GFS_OK || replay->known_lsn != 0) {
            return err;
        }
    }
    struct proposal *proposal = proposal_new(replay->shard, NULL);
    gfs_buf_add_slice(&proposal->edit, edit);
    replay->edits[replay->count++] = proposal;
    replay->bytes += edit.len;
    bool is_full = replay->count == REPLAY_EDITS_MAX || replay->bytes >= REPLAY_BYTES_MAX;
    return is_full ? flush_replay(replay) : GFS_OK;
}

/* A row of its own tells a database that was opened before, perhaps without any edit, from one just
 * made. It is written before the first edit can be. */
static const struct gfs_slice born_name = {"born", 4};

enum gfs_err shard_read_birth(struct db *db, char ret[SHARD_BIRTH_SIZE])
{
    struct gfs_buf value;
    gfs_buf_init(&value, 64);
    enum gfs_err err = db_get(db, TABLE_META, born_name, &value);
    if (err == GFS_OK && value.len >= SHARD_BIRTH_SIZE) {
        err = GFS_CORRUPT;
    }
    if (err == GFS_OK) {
        memcpy(ret, value.ptr, value.len);
        ret[value.len] = '\0';
    }
    gfs_buf_fini(&value);
    return err;
}

static enum gfs_err note_birth(struct shard *shard)
{
    uint8_t random[(SHARD_BIRTH_SIZE - 1) / 2];
    bool is_complete = false;
    gfs_random(random, sizeof random);
    gfs_hex_encode(random, sizeof random, shard->birth);
    shard->birth[SHARD_BIRTH_SIZE - 1] = '\0';
    enum gfs_err err = db_put(shard->live->db, TABLE_META, born_name, gfs_slice_str(shard->birth));
    return err == GFS_OK ? db_checkpoint(shard->live->db, true, &is_complete) : err;
}

static enum gfs_err replay_log(struct replay *replay)
{
    struct chunk_store *log = replay->shard->log;
    uint64_t known_lsn = replay->known_lsn;
    uint64_t after = known_lsn == 0 ? 0 : known_lsn - 1;
    replay->is_first = true;
    enum gfs_err err = check_gone(replay, after);
    if (err != GFS_OK) {
        return err;
    }
    err = log->ops->replay_edits(log, after, replay_edit, replay, replay->error);
    if (err == GFS_CORRUPT && replay->is_first && known_lsn != 0) {
        /* The record of an applied edit may be damaged: nothing is lost if the rest is whole, and
         * the log would say if it were not. */
        replay->is_first = false;
        return log->ops->replay_edits(log, known_lsn, replay_edit, replay, replay->error);
    }
    if (err == GFS_OK && replay->is_first && known_lsn != 0) {
        return gfs_fail(replay->error, GFS_CORRUPT,
                        "%s: the metadata database goes up to edit %llu, and the log has none: "
                        "data and metadata do not belong together",
                        replay->shard->options.dir, (unsigned long long)known_lsn);
    }
    return err;
}

enum gfs_err shard_replay(struct shard *shard, struct gfs_error *error)
{
    enum gfs_err err = shard_read_birth(shard->live->db, shard->birth);
    bool has_birth = err == GFS_OK;
    if (err != GFS_OK && err != GFS_NOT_FOUND) {
        return gfs_fail(error, err, "database: %s", db_fault(shard->live->db));
    }
    struct replay *replay = gfs_alloc(sizeof *replay);
    replay->shard = shard;
    replay->known_lsn = apply_lsn(shard->live->apply);
    replay->is_fresh = !has_birth && replay->known_lsn == 0;
    replay->kept_tail = &shard->committed;
    replay->error = error;
    err = replay_log(replay);
    enum gfs_err flush_err = flush_replay(replay);
    free(replay);
    err = err == GFS_OK ? flush_err : err;
    if (err == GFS_OK && !has_birth) {
        err = note_birth(shard);
        if (err != GFS_OK) {
            return gfs_fail(error, err, "database: %s", db_fault(shard->live->db));
        }
    }
    return err;
}
