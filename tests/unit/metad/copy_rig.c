#include "tests/unit/metad/copy_rig.h"

#include <sched.h>
#include <sys/stat.h>

static void note_failed(void *arg, const char *dir, enum gfs_err err)
{
    struct copy_rig *rig = arg;
    (void)pthread_mutex_lock(&rig->lock);
    rig->failed_count++;
    (void)snprintf(rig->failed_dir, sizeof rig->failed_dir, "%s", dir);
    rig->failed_err = err;
    (void)pthread_mutex_unlock(&rig->lock);
}

unsigned copy_rig_failures(struct copy_rig *rig)
{
    (void)pthread_mutex_lock(&rig->lock);
    unsigned count = rig->failed_count;
    (void)pthread_mutex_unlock(&rig->lock);
    return count;
}

void copy_rig_init(struct copy_rig *rig)
{
    *rig = (struct copy_rig){.bucket = 0};
    (void)pthread_mutex_init(&rig->lock, NULL);
    rig_init(&rig->rig);
    for (size_t i = 0; i < COPY_RIG_DIRS; i++) {
        temp_dir_make(rig->dirs[i]);
    }
    rig->bucket = rig_bucket(&rig->rig, "bucket");
    rig_close(&rig->rig);
    rig->rig.options.apply_delay_ms = 1;
    rig->rig.options.copy_failed = note_failed;
    rig->rig.options.arg = rig;
    rig_open(&rig->rig);
}

void copy_rig_fini(struct copy_rig *rig)
{
    rig_fini(&rig->rig);
    for (size_t i = 0; i < COPY_RIG_DIRS; i++) {
        temp_dir_remove(rig->dirs[i]);
    }
}

void copy_rig_fill(struct copy_rig *rig, unsigned from, unsigned to)
{
    char key[16];
    for (unsigned i = from; i < to; i++) {
        (void)snprintf(key, sizeof key, "k%u", i);
        cr_assert_eq(rig_put(&rig->rig, rig->bucket, key, 2, (uint8_t)i, NULL), GFS_OK);
    }
}

void copy_rig_check(struct copy_rig *rig, unsigned count)
{
    char key[16];
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(key, sizeof key, "k%u", i);
        cr_assert_eq(rig_tag(&rig->rig, rig->bucket, key), (int)(uint8_t)i, "%s", key);
    }
}

void copy_rig_add(struct copy_rig *rig, const char *dir)
{
    struct gfs_error error = {0};
    cr_assert_eq(shard_copy_add(rig->rig.shard, dir, &error), GFS_OK, "%s", error.text);
}

struct shard_stats copy_rig_stats(struct copy_rig *rig)
{
    struct shard_stats stats;
    shard_stats(rig->rig.shard, &stats);
    return stats;
}

void copy_rig_await(struct copy_rig *rig, unsigned count)
{
    while (copy_rig_stats(rig).copies != count) {
        (void)sched_yield();
    }
}

void copy_rig_open_in(struct copy_rig *rig, unsigned index)
{
    char dir[TEMP_DIR_SIZE];
    rig_close(&rig->rig);
    memcpy(dir, rig->rig.dir, sizeof dir);
    memcpy(rig->rig.dir, rig->dirs[index], sizeof dir);
    memcpy(rig->dirs[index], dir, sizeof dir);
    rig_open(&rig->rig);
}

ino_t copy_rig_file(const char *dir)
{
    char path[TEMP_PATH_SIZE + 32];
    struct stat stat_buf;
    (void)snprintf(path, sizeof path, "%s/metadata.sqlite", dir);
    return stat(path, &stat_buf) == 0 ? stat_buf.st_ino : 0;
}
