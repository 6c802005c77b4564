#include "metad/rebuild.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"
#include "metad/rebuild_state.h"

enum { PATH_SIZE = 4096 + 64, PUTS_MAX = 20000, SCRATCH_CACHE = 128 << 20 };

static const struct gfs_slice applied_name = {"applied_lsn", 11};

/* ---- the scratch database ---- */

enum gfs_err rebuild_put(struct rebuild *rebuild, enum table table, struct gfs_slice key,
                         struct gfs_slice value)
{
    enum gfs_err err = db_put(rebuild->scratch, table, key, value);
    if (err == GFS_OK && ++rebuild->uncommitted == PUTS_MAX) {
        rebuild->uncommitted = 0;
        err = db_commit(rebuild->scratch);
        err = err == GFS_OK ? db_begin(rebuild->scratch) : err;
    }
    return err;
}

enum gfs_err rebuild_has(struct rebuild *rebuild, enum table table, struct gfs_slice key, bool *ret)
{
    struct gfs_buf value;
    gfs_buf_init(&value, 64);
    enum gfs_err err = db_get(rebuild->scratch, table, key, &value);
    gfs_buf_fini(&value);
    *ret = err == GFS_OK;
    return err == GFS_NOT_FOUND ? GFS_OK : err;
}

enum gfs_err rebuild_put_chunk(struct rebuild *rebuild, enum table table, struct chunk_id id)
{
    struct key key;
    key_ref(&key, id);
    return rebuild_put(rebuild, table, key_row(&key), GFS_SLICE_LITERAL("1"));
}

enum gfs_err rebuild_has_chunk(struct rebuild *rebuild, enum table table, struct chunk_id id,
                               bool *ret)
{
    struct key key;
    key_ref(&key, id);
    return rebuild_has(rebuild, table, key_row(&key), ret);
}

void rebuild_report(struct rebuild *rebuild, const struct label *label,
                    struct rebuild_finding finding)
{
    if (label != NULL) {
        finding.table = label->table;
        finding.bucket = label->bucket.name;
        finding.bucket_id = label->bucket.id;
        finding.key = label->key;
        finding.upload_id = label->has_upload ? label->upload_id : NULL;
    }
    if (finding.verdict == REBUILD_UNPROVED) {
        rebuild->result.unproved++;
    } else {
        rebuild->result.left_out++;
    }
    if (rebuild->options->report != NULL) {
        rebuild->options->report(rebuild->options->arg, &finding);
    }
}

/* ---- places ---- */

/* All of one directory that the database, or what is moved, may have: "DIR" + suffix + name. */
static void make_path(char ret[PATH_SIZE], const char *dir, const char *suffix, const char *name)
{
    (void)snprintf(ret, PATH_SIZE, "%s%s%s", dir, suffix, name);
}

static const char file_name[] = "/metadata.sqlite";
static const char building[] = ".rebuild";
static const char sorting[] = ".rebuild-sort";

static void remove_database(const char *dir, const char *suffix)
{
    static const char *const names[] = {"/metadata.sqlite", "/metadata.sqlite-wal",
                                        "/metadata.sqlite-shm"};
    char path[PATH_SIZE];
    for (size_t i = 0; i < GFS_COUNT(names); i++) {
        make_path(path, dir, suffix, names[i]);
        (void)unlink(path);
    }
    make_path(path, dir, suffix, "");
    (void)rmdir(path);
}

static enum gfs_err make_place(struct rebuild *rebuild, const char *suffix)
{
    char path[PATH_SIZE];
    remove_database(rebuild->options->dir, suffix); /* of a rebuild that was interrupted */
    make_path(path, rebuild->options->dir, suffix, "");
    return mkdir(path, 0700) == 0
               ? GFS_OK
               : gfs_fail(rebuild->error, GFS_IO, "%s: %s", path, strerror(errno));
}

bool rebuild_has_database(const char *dir)
{
    char path[PATH_SIZE];
    struct db *db = NULL;
    struct gfs_buf value;
    make_path(path, dir, "", file_name);
    if (access(path, F_OK) != 0 || db_open_writer(path, 1 << 20, &db, NULL) != GFS_OK) {
        return false;
    }
    gfs_buf_init(&value, 64);
    bool is_used = db_get(db, TABLE_META, applied_name, &value) == GFS_OK;
    gfs_buf_fini(&value);
    db_close(db);
    return is_used;
}

static enum gfs_err sync_parent(const char *dir)
{
    char path[PATH_SIZE];
    make_path(path, dir, "", "/..");
    int fd GFS_CLOSE = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && fsync(fd) == 0 ? GFS_OK : GFS_IO;
}

/* What is there is kept: DIR.before-TIME. */
static enum gfs_err move_in(struct rebuild *rebuild)
{
    const char *dir = rebuild->options->dir;
    char from[PATH_SIZE];
    char kept[PATH_SIZE];
    make_path(from, dir, building, "");
    (void)snprintf(kept, sizeof kept, "%s.before-%lld", dir, (long long)gfs_wall_ms());
    if (rename(dir, kept) != 0 && errno != ENOENT) {
        return gfs_fail(rebuild->error, GFS_IO, "%s: %s", dir, strerror(errno));
    }
    if (rename(from, dir) != 0) {
        return gfs_fail(rebuild->error, GFS_IO, "%s: %s", from, strerror(errno));
    }
    return sync_parent(dir);
}

/* ---- all of it ---- */

static enum gfs_err sort_and_write(struct rebuild *rebuild)
{
    char path[PATH_SIZE];
    make_path(path, rebuild->options->dir, building, file_name);
    enum gfs_err err = db_begin(rebuild->scratch);
    if (err == GFS_OK) {
        err = rebuild_read(rebuild);
    }
    if (err == GFS_OK) {
        err = rebuild_decide(rebuild);
    }
    if (err == GFS_OK) {
        err = rebuild_read_strays(rebuild);
    }
    if (err == GFS_OK) {
        err = rebuild_write(rebuild, path);
    }
    db_rollback(rebuild->scratch);
    return err;
}

static enum gfs_err rebuild_all(struct rebuild *rebuild)
{
    char path[PATH_SIZE];
    enum gfs_err err = make_place(rebuild, sorting);
    if (err == GFS_OK) {
        err = make_place(rebuild, building);
    }
    make_path(path, rebuild->options->dir, sorting, file_name);
    if (err == GFS_OK) {
        err = db_open_writer(path, SCRATCH_CACHE, &rebuild->scratch, rebuild->error);
    }
    if (err == GFS_OK) {
        err = sort_and_write(rebuild);
    }
    if (err != GFS_OK && rebuild->error->text[0] == '\0') {
        (void)gfs_fail(rebuild->error, err, "rebuilding %s: %s: %s", rebuild->options->dir,
                       gfs_err_text(err),
                       rebuild->scratch == NULL ? "" : db_fault(rebuild->scratch));
    }
    db_close(rebuild->scratch);
    remove_database(rebuild->options->dir, sorting);
    if (err == GFS_OK) {
        err = move_in(rebuild);
    }
    if (err != GFS_OK) {
        remove_database(rebuild->options->dir, building);
    }
    return err;
}

enum gfs_err rebuild_run(const struct rebuild_options *options, struct rebuild_result *ret,
                         struct gfs_error *error)
{
    struct gfs_error own = {0};
    struct rebuild rebuild = {.options = options, .chunks = options->chunks, .error = &own};
    enum gfs_err err = GFS_OK;
    if (strlen(options->dir) >= PATH_SIZE - 64) {
        return gfs_fail(error, GFS_INVALID, "%.64s...: the path is too long", options->dir);
    }
    if (!options->must_replace && rebuild_has_database(options->dir)) {
        return gfs_fail(error, GFS_EXISTS, "%s holds a metadata database", options->dir);
    }
    err = rebuild_all(&rebuild);
    if (err != GFS_OK) {
        return gfs_fail(error, err, "%s", own.text);
    }
    *ret = rebuild.result;
    return GFS_OK;
}
