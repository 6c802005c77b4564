#include "tests/unit/metad/rebuild_rig.h"

#include <glob.h>

#include "libgoodfs/crc.h"
#include "libgoodfs/digest.h"

void rebuild_rig_init(struct rebuild_rig *rig)
{
    memset(rig, 0, sizeof *rig);
    rig_init(&rig->rig);
    rig_close(&rig->rig);
    rig->rig.options.apply_delay_ms = 1;
    rig->rig.options.has_labels = true;
    rig_open(&rig->rig);
    rig->bucket = rig_bucket(&rig->rig, "bucket");
}

/* What was moved away is a directory of its own. */
void rebuild_rig_fini(struct rebuild_rig *rig)
{
    char pattern[TEMP_PATH_SIZE];
    glob_t found;
    (void)snprintf(pattern, sizeof pattern, "%s.before-*", rig->rig.dir);
    if (glob(pattern, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            temp_dir_remove(found.gl_pathv[i]);
        }
        globfree(&found);
    }
    rig_fini(&rig->rig);
}

void rebuild_rig_lose(struct rebuild_rig *rig)
{
    static const char *const names[] = {"metadata.sqlite", "metadata.sqlite-wal",
                                        "metadata.sqlite-shm"};
    char path[TEMP_PATH_SIZE];
    rig_close(&rig->rig);
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", rig->rig.dir, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(rig->rig.dir);
}

static void collect(void *arg, const struct rebuild_finding *finding)
{
    struct rebuild_rig *rig = arg;
    cr_assert_lt(rig->finding_count, (size_t)REBUILD_FINDINGS_MAX);
    size_t index = rig->finding_count++;
    rig->findings[index].verdict = finding->verdict;
    rig->findings[index].table = finding->table;
    (void)snprintf(rig->findings[index].key, sizeof rig->findings[index].key, "%.*s",
                   (int)finding->key.len, finding->key.len == 0 ? "" : finding->key.ptr);
    (void)snprintf(rig->findings[index].reason, sizeof rig->findings[index].reason, "%s",
                   finding->reason);
}

enum gfs_err rebuild_rig_run(struct rebuild_rig *rig, struct gfs_error *error)
{
    rig->options.dir = rig->rig.dir;
    rig->options.chunks = log_double_store(rig->rig.log);
    rig->options.report = collect;
    rig->options.arg = rig;
    rig->finding_count = 0;
    return rebuild_run(&rig->options, &rig->result, error);
}

void rebuild_rig_rebuild(struct rebuild_rig *rig)
{
    struct gfs_error error = {0};
    rebuild_rig_lose(rig);
    enum gfs_err err = rebuild_rig_run(rig, &error);
    cr_assert_eq(err, GFS_OK, "%s", error.text);
    rig_open(&rig->rig);
}

bool rebuild_rig_has(const struct rebuild_rig *rig, enum rebuild_verdict verdict, const char *key,
                     const char *reason)
{
    for (size_t i = 0; i < rig->finding_count; i++) {
        if (rig->findings[i].verdict == verdict && strcmp(rig->findings[i].key, key) == 0 &&
            strstr(rig->findings[i].reason, reason) != NULL) {
            return true;
        }
    }
    return false;
}

struct chunk_id rebuild_rig_put(struct rebuild_rig *rig, const char *key, struct gfs_slice bytes)
{
    struct job job;
    job_init(&job, META_OBJECT_PUT, rig->bucket, gfs_slice_str(key));
    job_fill(&job, 1, 0);
    job.records[0].payload = bytes;
    job.chunks[0].len = (uint32_t)bytes.len;
    job.object.size = bytes.len;
    job.object.crc64 = gfs_crc64nvme(0, bytes.ptr, bytes.len);
    gfs_md5(bytes, job.object.etag);
    struct chunk_id id = job.chunks[0].id;
    cr_assert_eq(rig_run(&rig->rig, &job), GFS_OK);
    job_fini(&job);
    return id;
}
