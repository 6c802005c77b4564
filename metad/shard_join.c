/* How a directory comes to hold a copy.
 *
 * A database that lies there is taken up when it is a copy of the one in use (its birth says so:
 * one that was rebuilt is another history) and the log holds its newest edit and everything behind
 * it. LSNs are never given twice, so that edit is the same. The second does not follow
 * from the first: what is trimmed leaves the log in no order; the log knows (lsn_gone), and refuses
 * to replay from an edit behind which some are missing. Otherwise a new one is made:
 *
 *   the pages of the live database, as of one transaction, go into metadata.sqlite.new, synced
 *   what lay there is removed, first the database, then its WAL, which must never meet another one
 *   the new file gets its name, synced
 *
 * A crash before the last step leaves a directory without a database: what lay there was of no
 * use.
 * From before its first step to the end of its life the log is trimmed of nothing it lacks. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libgoodfs/codec.h"
#include "libgoodfs/mem.h"
#include "metad/shard_copy.h"

enum { PATH_SIZE = 4200, READER_CACHE_BYTES = 1 << 20 };

static enum gfs_err fail_errno(struct gfs_error *error, const char *path, const char *what)
{
    enum gfs_err err = gfs_err_from_errno(errno);
    err = err == GFS_NO_SPACE ? err : GFS_IO;
    return gfs_fail(error, err, "%s: %s: errno %d", path, what, errno);
}

static enum gfs_err sync_dir(const char *path, struct gfs_error *error)
{
    int fd GFS_CLOSE = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && fsync(fd) == 0 ? GFS_OK : fail_errno(error, path, "sync");
}

/* The name is durable when the parent is synced. */
static enum gfs_err make_dir(const char *path, struct gfs_error *error)
{
    if (mkdir(path, 0700) != 0) {
        return errno == EEXIST ? GFS_OK : fail_errno(error, path, "make");
    }
    char parent[PATH_SIZE];
    int len = snprintf(parent, sizeof parent, "%s/..", path);
    return len < (int)sizeof parent ? sync_dir(parent, error) : GFS_INVALID;
}

/* ---- taking up what lies there ---- */

struct first_edit {
    uint64_t lsn;
};

static enum gfs_err note_first(void *arg, uint64_t lsn, struct gfs_slice edit)
{
    struct first_edit *first = arg;
    (void)edit;
    first->lsn = lsn;
    return GFS_END;
}

static bool log_holds(struct copy *copy, uint64_t lsn)
{
    struct chunk_store *log = copy->shard->log;
    struct first_edit first = {0};
    struct gfs_error error = {0};
    enum gfs_err err =
        lsn == 0 ? GFS_OK : log->ops->replay_edits(log, lsn - 1, note_first, &first, &error);
    return err == GFS_END && first.lsn == lsn;
}

/* Another one was in its place once: it may have edits' effects that the live one has not, though
 * the log holds the edits of both. */
static enum gfs_err check_birth(struct copy *copy, struct gfs_error *error)
{
    char birth[SHARD_BIRTH_SIZE];
    enum gfs_err err = shard_read_birth(copy->db, birth);
    if (err == GFS_OK && strcmp(birth, copy->shard->birth) != 0) {
        err = GFS_NOT_FOUND;
    }
    return err == GFS_OK
               ? GFS_OK
               : gfs_fail(error, err, "%s: it is no copy of the database in use", copy->path);
}

/* Whatever SQLite recovered is durable only behind a checkpoint. */
static enum gfs_err settle(struct copy *copy, struct gfs_error *error)
{
    bool is_complete = false;
    enum gfs_err err = db_checkpoint(copy->db, true, &is_complete);
    if (err != GFS_OK || !is_complete) {
        return gfs_fail(error, err == GFS_OK ? GFS_BUSY : err, "%s: checkpoint: %s", copy->path,
                        db_fault(copy->db));
    }
    return GFS_OK;
}

static void close_files(struct copy *copy)
{
    apply_free(copy->apply);
    db_close(copy->db);
    copy->apply = NULL;
    copy->db = NULL;
}

/* NOT_FOUND: there is nothing of use. */
static enum gfs_err take_up(struct copy *copy, struct gfs_error *error)
{
    if (access(copy->path, F_OK) != 0) {
        return gfs_fail(error, GFS_NOT_FOUND, "%s: there is no database", copy->path);
    }
    enum gfs_err err = copy_open(copy, error);
    if (err == GFS_OK) {
        err = check_birth(copy, error);
    }
    if (err == GFS_OK && !log_holds(copy, apply_lsn(copy->apply))) {
        err = gfs_fail(error, GFS_NOT_FOUND, "%s: the log does not hold edit %llu, its newest",
                       copy->path, (unsigned long long)apply_lsn(copy->apply));
    }
    if (err == GFS_OK) {
        err = settle(copy, error);
    }
    if (err != GFS_OK) {
        close_files(copy);
    }
    return err == GFS_CORRUPT ? GFS_NOT_FOUND : err;
}

/* ---- making one ---- */

static bool note_progress(void *arg)
{
    return copy_note_progress(arg);
}

static enum gfs_err copy_pages(struct copy *copy, struct db *source, const char *path,
                               struct gfs_error *error)
{
    struct apply *apply = NULL; /* looks up the applied LSN, which begins the transaction */
    enum gfs_err err = db_begin(source);
    if (err == GFS_OK) {
        err = apply_new(source, &apply, error);
    }
    apply_free(apply);
    if (err == GFS_OK) {
        err = db_copy(source, path, note_progress, copy, error);
    }
    db_rollback(source);
    return err;
}

/* The live database is not closed while it is read. */
static enum gfs_err copy_live(struct copy *copy, const char *path, struct gfs_error *error)
{
    struct shard *shard = copy->shard;
    struct db *source = NULL;
    (void)pthread_mutex_lock(&shard->lock);
    if (shard->is_stopping) {
        (void)pthread_mutex_unlock(&shard->lock);
        return gfs_fail(error, GFS_STOPPED, "the service stops");
    }
    struct copy *live = shard->live;
    live->users++;
    shard->snapshot_count++;
    (void)pthread_mutex_unlock(&shard->lock);
    enum gfs_err err = db_open_reader(live->path, READER_CACHE_BYTES, &source, error);
    if (err == GFS_OK) {
        err = copy_pages(copy, source, path, error);
    }
    db_close(source);
    (void)pthread_mutex_lock(&shard->lock);
    shard->snapshot_count--;
    live->users--;
    gfs_cond_signal(&live->wake);
    (void)pthread_mutex_unlock(&shard->lock);
    return err;
}

static enum gfs_err remove_file(const struct copy *copy, const char *suffix,
                                struct gfs_error *error)
{
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s%s", copy->path, suffix);
    return unlink(path) == 0 || errno == ENOENT ? GFS_OK : fail_errno(error, path, "remove");
}

static enum gfs_err put_in_place(struct copy *copy, const char *new_path, struct gfs_error *error)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < GFS_COUNT(suffixes); i++) {
        enum gfs_err err = remove_file(copy, suffixes[i], error);
        if (err == GFS_OK) {
            err = sync_dir(copy->dir, error); /* in this order on the medium, too */
        }
        if (err != GFS_OK) {
            return err;
        }
    }
    if (rename(new_path, copy->path) != 0) {
        return fail_errno(error, new_path, "rename");
    }
    return sync_dir(copy->dir, error);
}

static enum gfs_err make(struct copy *copy, struct gfs_error *error)
{
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s.new", copy->path);
    enum gfs_err err = remove_file(copy, ".new", error);
    if (err == GFS_OK) {
        err = copy_live(copy, path, error);
    }
    if (err == GFS_OK) {
        err = put_in_place(copy, path, error);
    }
    if (err == GFS_OK) {
        err = copy_open(copy, error);
    }
    if (err == GFS_OK) {
        err = settle(copy, error);
    }
    if (err != GFS_OK) {
        close_files(copy);
        (void)unlink(path); /* what is left of it is of no use */
    }
    return err;
}

enum gfs_err copy_join(struct copy *copy, struct gfs_error *error)
{
    struct shard *shard = copy->shard;
    if (copy->path[0] == '\0') {
        return gfs_fail(error, GFS_INVALID, "%s: path too long", copy->dir);
    }
    /* A trim that was decided before this copy was known is over. */
    (void)pthread_mutex_lock(&shard->trim_lock);
    (void)pthread_mutex_unlock(&shard->trim_lock);
    enum gfs_err err = copy->may_make ? make_dir(copy->dir, error) : GFS_OK;
    if (err == GFS_OK) {
        err = take_up(copy, error);
    }
    return err == GFS_NOT_FOUND && copy->may_make ? make(copy, error) : err;
}
