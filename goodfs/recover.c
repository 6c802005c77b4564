/* Opens the disks as the server does, without metadata, and has it rebuilt (metad/rebuild.h).
 *
 * Where there is metadata that can be opened nothing is done, unless it is forced; it is kept under
 * another name then, as are the copies on the other mirrors: one that knows of other edits than the
 * new database must not be taken for a copy of it. Neither is anything done without a disk of the
 * pool, unless that is asked for: it may have metadata, and what only it has is not even known to
 * lack, so that older versions would come back as if they were the newest. */
#include "goodfs/recover.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "goodfs/mirrors.h"
#include "goodfs/settings.h"
#include "goodfs/storage.h"
#include "libgoodfs/clock.h"
#include "libgoodfs/config.h"
#include "libgoodfs/json_out.h"
#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"
#include "metad/rebuild.h"
#include "pool/pool_audit.h"

enum { FINDING_LEN_MAX = 16 * 1024, ID_TEXT_SIZE = 40 };

static const struct gfs_setting own_settings[] = {
    {"report", GFS_CONFIG_TEXT, NULL,
     "file for what is left out or not proved, one JSON object a line", 0, 0},
    {"verify", GFS_CONFIG_BOOL, "false", "read all data and compare its checksums", 0, 0},
    {"force", GFS_CONFIG_BOOL, "false",
     "rebuild although there is metadata; it is kept as DIR/meta.before-TIME", 0, 0},
    {"without-disks", GFS_CONFIG_BOOL, "false",
     "rebuild although disks are missing: what only they have is left out, in part unreported", 0,
     0},
};

struct recovery {
    struct gfs_setting *settings; /* the server's and our own; the config uses them */
    struct gfs_config *config;
    const char *const *dirs;
    FILE *report; /* NULL = none is wanted */
    bool has_report_failed;
};

/* ---- the report ---- */

static const char *kind_text(enum table table)
{
    switch (table) {
    case TABLE_OBJECTS:
        return "object";
    case TABLE_UPLOADS:
        return "upload";
    case TABLE_PARTS:
        return "part";
    case TABLE_REFS:
    case TABLE_COMPLETED:
    case TABLE_BUCKETS:
    case TABLE_GARBAGE:
    case TABLE_USAGE:
    case TABLE_META:
    case TABLE_COUNT:
    default:
        return "chunk";
    }
}

static void write_finding(const struct rebuild_finding *finding, struct gfs_json_out *out)
{
    bool is_left_out = finding->verdict == REBUILD_LEFT_OUT;
    gfs_json_out_object(out, NULL);
    gfs_json_out_text(out, "verdict", is_left_out ? "left out" : "not proved");
    gfs_json_out_text(out, "kind", kind_text(finding->table));
    if (finding->bucket != NULL) {
        gfs_json_out_text(out, "bucket", finding->bucket);
    }
    if (finding->bucket_id != 0) {
        gfs_json_out_u64(out, "bucket_id", finding->bucket_id);
    }
    if (finding->key.len != 0) {
        gfs_json_out_slice(out, "key", finding->key);
    }
    if (finding->upload_id != NULL) {
        char id[2 * META_UPLOAD_ID_LEN + 1];
        gfs_hex_encode(finding->upload_id, META_UPLOAD_ID_LEN, id);
        gfs_json_out_text(out, "upload_id", id);
    }
    if ((finding->chunk.hi | finding->chunk.lo) != 0) {
        char id[ID_TEXT_SIZE];
        (void)snprintf(id, sizeof id, "%016" PRIx64 "%016" PRIx64, finding->chunk.hi,
                       finding->chunk.lo);
        gfs_json_out_text(out, "chunk", id);
    }
    gfs_json_out_text(out, "reason", finding->reason);
    gfs_json_out_end_object(out);
}

static void report(void *arg, const struct rebuild_finding *finding)
{
    struct recovery *recovery = arg;
    if (recovery->report == NULL) {
        return;
    }
    struct gfs_buf line;
    struct gfs_json_out out;
    gfs_buf_init(&line, FINDING_LEN_MAX);
    gfs_json_out_init(&out, &line);
    write_finding(finding, &out);
    gfs_buf_add_char(&line, '\n');
    if (fwrite(line.ptr, 1, line.len, recovery->report) != line.len) {
        recovery->has_report_failed = true;
    }
    gfs_buf_fini(&line);
}

static enum gfs_err open_report(struct recovery *recovery, struct gfs_error *error)
{
    const char *path = gfs_config_text(recovery->config, "report");
    if (path == NULL) {
        return GFS_OK;
    }
    recovery->report = fopen(path, "we");
    return recovery->report != NULL ? GFS_OK
                                    : gfs_fail(error, GFS_IO, "%s: %s", path, strerror(errno));
}

/* What was rebuilt is good all the same, but what was left out is not known whole. */
static enum gfs_err close_report(struct recovery *recovery, struct gfs_error *error)
{
    if (recovery->report == NULL) {
        return GFS_OK;
    }
    bool is_whole = fclose(recovery->report) == 0 && !recovery->has_report_failed;
    recovery->report = NULL;
    return is_whole ? GFS_OK : gfs_fail(error, GFS_IO, "the report could not be written whole");
}

static void print_result(const struct rebuild_result *result, const char *dir)
{
    printf("rebuilt %s from %" PRIu64 " chunks:\n", dir, result->chunks);
    printf("  %" PRIu64 " buckets, %" PRIu64 " objects (%" PRIu64 " bytes), %" PRIu64
           " open uploads with %" PRIu64 " parts\n",
           result->buckets, result->objects, result->object_bytes, result->uploads, result->parts);
    printf("  %" PRIu64 " of them restored without proof, %" PRIu64 " things left out, %" PRIu64
           " older versions found\n",
           result->unproved, result->left_out, result->older);
}

/* ---- the disks ---- */

/* A directory that holds no store would be made one. */
static enum gfs_err check_dirs(const char *const *dirs, struct gfs_error *error)
{
    for (size_t i = 0; dirs[i] != NULL; i++) {
        char path[MIRRORS_PATH_SIZE];
        int len = snprintf(path, sizeof path, "%s/identity", dirs[i]);
        if (len < 0 || (size_t)len >= sizeof path) {
            return gfs_fail(error, GFS_INVALID, "%.64s...: the path is too long", dirs[i]);
        }
        if (access(path, R_OK) != 0) {
            return gfs_fail(error, GFS_NOT_FOUND, "%s: %s: this is no disk of a store", path,
                            strerror(errno));
        }
    }
    return GFS_OK;
}

static enum gfs_err find_live(struct storage *storage, const char *const *dirs,
                              char ret[MIRRORS_PATH_SIZE], struct gfs_error *error)
{
    char live[POOL_PATH_LEN_MAX];
    if (storage_pool(storage) == NULL) {
        mirrors_meta_dir(dirs[0], ret);
        return GFS_OK;
    }
    if (!pool_mirror_dir(storage_pool(storage), 0, live)) {
        return gfs_fail(error, GFS_UNREACHABLE, "no disk with the edit log is there");
    }
    mirrors_meta_dir(live, ret);
    return GFS_OK;
}

static enum gfs_err check_whole(const struct recovery *recovery, struct storage *storage,
                                struct gfs_error *error)
{
    char path[POOL_PATH_LEN_MAX];
    struct pool *pool = storage_pool(storage);
    if (pool == NULL || gfs_config_bool(recovery->config, "without-disks") ||
        !pool_audit_missing(pool, path)) {
        return GFS_OK;
    }
    return gfs_fail(error, GFS_UNREACHABLE,
                    "%.128s: this disk of the pool is not there: name it as well, or rebuild with "
                    "--without-disks what the others have",
                    path);
}

/* ---- metadata that is there ---- */

/* What is done with DIR/meta of every disk that is open, whether it was named or not. */
struct walk {
    const char *live; /* DIR/meta of the disk that gets the new database */
    bool must_move;   /* else a database is an error */
    enum gfs_err err;
    struct gfs_error *error;
};

static bool is_same_dir(const char *one, const char *other)
{
    struct stat a;
    struct stat b;
    return stat(one, &a) == 0 && stat(other, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

static void visit_disk(void *arg, const char *disk_dir, const struct store_stats *stats)
{
    struct walk *walk = arg;
    char dir[MIRRORS_PATH_SIZE];
    char kept[MIRRORS_PATH_SIZE + 32];
    (void)stats;
    mirrors_meta_dir(disk_dir, dir);
    if (walk->err != GFS_OK) {
        return;
    }
    if (!walk->must_move) {
        if (rebuild_has_database(dir)) {
            walk->err = gfs_fail(walk->error, GFS_EXISTS,
                                 "%s holds metadata that can be opened: start the server, or "
                                 "rebuild with --force",
                                 dir);
        }
        return;
    }
    (void)snprintf(kept, sizeof kept, "%s.before-%lld", dir, (long long)gfs_wall_ms());
    if (!is_same_dir(dir, walk->live) && rename(dir, kept) != 0 && errno != ENOENT) {
        walk->err = gfs_fail(walk->error, GFS_IO, "%s: %s", dir, strerror(errno));
    }
}

static enum gfs_err each_meta_dir(struct storage *storage, bool must_move, const char *live,
                                  struct gfs_error *error)
{
    struct walk walk = {.live = live, .must_move = must_move, .error = error};
    disks_each(storage_disks(storage), visit_disk, &walk);
    return walk.err;
}

/* ---- doing it ---- */

static enum gfs_err rebuild(struct recovery *recovery, struct storage *storage,
                            struct gfs_error *error)
{
    char live[MIRRORS_PATH_SIZE];
    enum gfs_err err = check_whole(recovery, storage, error);
    if (err == GFS_OK) {
        err = find_live(storage, recovery->dirs, live, error);
    }
    bool is_forced = gfs_config_bool(recovery->config, "force");
    if (err == GFS_OK && !is_forced) {
        err = each_meta_dir(storage, false, live, error);
    }
    if (err == GFS_OK) {
        err = each_meta_dir(storage, true, live, error);
    }
    if (err != GFS_OK) {
        return err;
    }
    struct rebuild_options options = {
        .dir = live,
        .chunks = storage_chunks(storage),
        .must_verify = gfs_config_bool(recovery->config, "verify"),
        .must_replace = is_forced,
        .report = report,
        .arg = recovery,
    };
    struct rebuild_result result;
    err = rebuild_run(&options, &result, error);
    if (err == GFS_OK) {
        print_result(&result, live);
    }
    return err;
}

static enum gfs_err run(struct recovery *recovery, struct gfs_error *error)
{
    struct storage *storage = NULL;
    gfs_log_set_level(GFS_LOG_WARN);
    enum gfs_err err = check_dirs(recovery->dirs, error);
    if (err == GFS_OK) {
        err = open_report(recovery, error);
    }
    if (err == GFS_OK) {
        err = storage_open_disks(recovery->config, recovery->dirs, &storage, error);
    }
    if (err == GFS_OK) {
        err = rebuild(recovery, storage, error);
    }
    (void)storage_close(storage, false);
    struct gfs_error report_error = {0};
    enum gfs_err report_err = close_report(recovery, &report_error);
    if (err == GFS_OK && report_err != GFS_OK) {
        *error = report_error;
        err = report_err;
    }
    return err;
}

static void usage(void)
{
    struct gfs_buf out;
    gfs_buf_init(&out, 1 << 20);
    gfs_config_help(own_settings, GFS_COUNT(own_settings), &out);
    printf("usage: goodfs recover DIR [DIR ...] [options]\n\n"
           "Rebuilds the metadata of a store that is not running from what its disks say. Nothing\n"
           "on the disks is deleted. Besides these options those of `goodfs server` that say how\n"
           "the disks are opened are taken.\n\n%s",
           out.ptr);
    gfs_buf_fini(&out);
}

static enum gfs_err load(struct recovery *recovery, int argc, char **argv, struct gfs_error *error)
{
    size_t count = 0;
    const struct gfs_setting *server = settings_table(&count);
    size_t total = count + GFS_COUNT(own_settings);
    recovery->settings = gfs_alloc_array(total, sizeof *recovery->settings);
    memcpy(recovery->settings, server, count * sizeof *server);
    memcpy(recovery->settings + count, own_settings, sizeof own_settings);
    return gfs_config_load(recovery->settings, total, argc, argv, &recovery->config, error);
}

int recover_main(int argc, char **argv)
{
    struct recovery recovery = {0};
    struct gfs_error error = {0};
    if (load(&recovery, argc, argv, &error) != GFS_OK) {
        (void)fprintf(stderr, "goodfs recover: %s\n", error.text);
        free(recovery.settings);
        return 2;
    }
    int status = 2;
    recovery.dirs = gfs_config_args(recovery.config);
    if (gfs_config_wants_help(recovery.config)) {
        usage();
        status = 0;
    } else if (recovery.dirs[0] == NULL) {
        (void)fprintf(stderr, "goodfs recover: needs at least one directory (see --help)\n");
    } else {
        enum gfs_err err = run(&recovery, &error);
        status = err == GFS_OK ? 0 : 1;
        if (err != GFS_OK) {
            (void)fprintf(stderr, "goodfs recover: %s\n",
                          error.text[0] == '\0' ? gfs_err_text(err) : error.text);
        }
    }
    gfs_config_free(recovery.config);
    free(recovery.settings);
    return status;
}
