#include "tests/unit/pool/disk_doubles.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "libgoodfs/mem.h"
#include "tests/unit/pool/disk_double_state.h"

enum { DISKS_MAX = 64 };

struct entry {
    struct disk_double *disk;
    uint8_t id[16];
    char cluster[37];
    bool is_open;
};

/* Guarded by lock. */
struct disk_doubles {
    pthread_mutex_t lock;
    struct entry entries[DISKS_MAX];
    size_t count;
    char failing_dir[1024];
    enum gfs_err failing_err;
};

static void id_text(const uint8_t id[16], char ret[37])
{
    for (unsigned i = 0; i < 16; i++) {
        bool has_dash = i == 4 || i == 6 || i == 8 || i == 10;
        ret += snprintf(ret, 4, "%s%02x", has_dash ? "-" : "", id[i]);
    }
}

static bool parse_id(const char *text, uint8_t ret[16])
{
    for (unsigned i = 0; i < 16; i++) {
        unsigned value;
        text += *text == '-';
        if (sscanf(text, "%2x", &value) != 1) {
            return false;
        }
        ret[i] = (uint8_t)value;
        text += 2;
    }
    return true;
}

static FILE *open_identity(const char *dir, const char *mode)
{
    char path[1100];
    (void)snprintf(path, sizeof path, "%s/identity", dir);
    return fopen(path, mode);
}

static bool load_id(const char *dir, uint8_t ret[16])
{
    FILE *file = open_identity(dir, "re");
    bool found = false;
    char line[128];
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        found = found || (strncmp(line, "disk=", 5) == 0 && parse_id(line + 5, ret));
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return found;
}

static struct entry *find_locked(struct disk_doubles *set, const uint8_t id[16])
{
    for (size_t i = 0; i < set->count; i++) {
        if (memcmp(set->entries[i].id, id, 16) == 0) {
            return &set->entries[i];
        }
    }
    return NULL;
}

static enum gfs_err make_locked(struct disk_doubles *set, const char *dir, const char *cluster,
                                struct entry **ret)
{
    (void)mkdir(dir, 0700);
    FILE *file = open_identity(dir, "we");
    if (file == NULL) {
        return GFS_IO;
    }
    GFS_ASSERT(set->count < DISKS_MAX);
    struct entry *entry = &set->entries[set->count++];
    entry->disk = disk_double_new();
    for (unsigned i = 0; i < 16; i++) {
        entry->id[i] = (uint8_t)(0xd0 + i);
    }
    entry->id[15] = (uint8_t)set->count;
    (void)snprintf(entry->cluster, sizeof entry->cluster, "%s",
                   cluster == NULL ? "c1057e40-0000-4000-8000-000000000000" : cluster);
    char text[37];
    id_text(entry->id, text);
    (void)fprintf(file, "format=1\ncluster=%s\nnode=local\ndisk=%s\n", entry->cluster, text);
    *ret = entry;
    return fclose(file) == 0 ? GFS_OK : GFS_IO;
}

static enum gfs_err open_locked(struct disk_doubles *set, const char *dir, const char *cluster,
                                struct entry **ret)
{
    if (set->failing_err != GFS_OK && strcmp(dir, set->failing_dir) == 0) {
        enum gfs_err err = set->failing_err;
        set->failing_err = GFS_OK;
        return err;
    }
    uint8_t id[16];
    if (!load_id(dir, id)) {
        return make_locked(set, dir, cluster, ret);
    }
    struct entry *entry = find_locked(set, id);
    if (entry == NULL) {
        return GFS_CORRUPT;
    }
    if (entry->is_open) {
        return GFS_BUSY;
    }
    if (cluster != NULL && strcmp(cluster, entry->cluster) != 0) {
        return GFS_CONFLICT;
    }
    *ret = entry;
    bool is_bad = disk_double_has_failed(entry->disk) || disk_double_is_unwritable(entry->disk);
    return is_bad ? GFS_IO : GFS_OK;
}

static enum gfs_err driver_open(void *arg, const char *dir, const char *cluster,
                                struct chunk_store **ret, uint8_t ret_id[16],
                                struct gfs_error *error)
{
    struct disk_doubles *set = arg;
    struct entry *entry = NULL;
    (void)pthread_mutex_lock(&set->lock);
    enum gfs_err err = open_locked(set, dir, cluster, &entry);
    if (err == GFS_OK) {
        entry->is_open = true;
        memcpy(ret_id, entry->id, 16);
        disk_double_set_open(entry->disk, true);
        *ret = disk_double_store(entry->disk);
    }
    (void)pthread_mutex_unlock(&set->lock);
    return err == GFS_OK ? err : gfs_fail(error, err, "%s: %s", dir, gfs_err_text(err));
}

static enum gfs_err driver_try_write(void *arg, const char *dir)
{
    struct disk_double *disk = disk_doubles_at(arg, dir);
    bool is_bad = disk == NULL || disk_double_has_failed(disk) || disk_double_is_unwritable(disk);
    return is_bad ? GFS_IO : GFS_OK;
}

static void driver_close(void *arg, struct chunk_store *store)
{
    struct disk_doubles *set = arg;
    struct disk_double *disk = disk_double_of(store);
    disk_double_set_open(disk, false);
    (void)pthread_mutex_lock(&set->lock);
    for (size_t i = 0; i < set->count; i++) {
        if (set->entries[i].disk == disk) {
            GFS_ASSERT(set->entries[i].is_open);
            set->entries[i].is_open = false;
        }
    }
    (void)pthread_mutex_unlock(&set->lock);
}

struct disk_doubles *disk_doubles_new(void)
{
    struct disk_doubles *set = gfs_alloc(sizeof *set);
    (void)pthread_mutex_init(&set->lock, NULL);
    return set;
}

void disk_doubles_free(struct disk_doubles *set)
{
    if (set == NULL) {
        return;
    }
    for (size_t i = 0; i < set->count; i++) {
        GFS_ASSERT(!set->entries[i].is_open);
        disk_double_free(set->entries[i].disk);
    }
    (void)pthread_mutex_destroy(&set->lock);
    free(set);
}

struct pool_driver disk_doubles_driver(struct disk_doubles *set)
{
    return (struct pool_driver){
        .arg = set, .open = driver_open, .close = driver_close, .try_write = driver_try_write};
}

struct disk_double *disk_doubles_at(struct disk_doubles *set, const char *dir)
{
    uint8_t id[16];
    if (!load_id(dir, id)) {
        return NULL;
    }
    (void)pthread_mutex_lock(&set->lock);
    const struct entry *entry = find_locked(set, id);
    (void)pthread_mutex_unlock(&set->lock);
    return entry == NULL ? NULL : entry->disk;
}

void disk_doubles_fail_open(struct disk_doubles *set, const char *dir, enum gfs_err err)
{
    (void)pthread_mutex_lock(&set->lock);
    (void)snprintf(set->failing_dir, sizeof set->failing_dir, "%s", dir);
    set->failing_err = err;
    (void)pthread_mutex_unlock(&set->lock);
}
