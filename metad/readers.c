#include "metad/readers.h"

#include <pthread.h>
#include <stdlib.h>

#include "libgoodfs/mem.h"

/* Guarded by lock, except what never changes: path, cache_size, count_max. */
struct readers {
    pthread_mutex_t lock;
    pthread_cond_t is_back;
    char *path;
    size_t cache_size;
    uint32_t count_max;
    uint32_t open_count; /* idle ones included */
    uint32_t idle_count;
    bool is_retired;
    struct db *idle[];
};

struct readers *readers_new(const char *path, uint32_t count_max, size_t cache_size)
{
    struct readers *readers = gfs_alloc(sizeof *readers + count_max * sizeof(struct db *));
    (void)pthread_mutex_init(&readers->lock, NULL);
    (void)pthread_cond_init(&readers->is_back, NULL);
    readers->path = gfs_strdup(path);
    readers->cache_size = cache_size;
    readers->count_max = count_max;
    return readers;
}

void readers_free(struct readers *readers)
{
    if (readers == NULL) {
        return;
    }
    GFS_ASSERT(readers->idle_count == readers->open_count);
    for (uint32_t i = 0; i < readers->idle_count; i++) {
        db_close(readers->idle[i]);
    }
    (void)pthread_mutex_destroy(&readers->lock);
    (void)pthread_cond_destroy(&readers->is_back);
    free(readers->path);
    free(readers);
}

void readers_retire(struct readers *readers)
{
    (void)pthread_mutex_lock(&readers->lock);
    readers->is_retired = true;
    (void)pthread_cond_broadcast(&readers->is_back);
    (void)pthread_mutex_unlock(&readers->lock);
}

enum gfs_err readers_get(struct readers *readers, struct db **ret)
{
    (void)pthread_mutex_lock(&readers->lock);
    while (!readers->is_retired && readers->idle_count == 0 &&
           readers->open_count == readers->count_max) {
        (void)pthread_cond_wait(&readers->is_back, &readers->lock);
    }
    if (readers->is_retired) {
        (void)pthread_mutex_unlock(&readers->lock);
        return GFS_IO;
    }
    if (readers->idle_count != 0) {
        *ret = readers->idle[--readers->idle_count];
        (void)pthread_mutex_unlock(&readers->lock);
        return GFS_OK;
    }
    readers->open_count++;
    (void)pthread_mutex_unlock(&readers->lock);
    enum gfs_err err = db_open_reader(readers->path, readers->cache_size, ret, NULL);
    if (err != GFS_OK) {
        (void)pthread_mutex_lock(&readers->lock);
        readers->open_count--;
        (void)pthread_cond_signal(&readers->is_back);
        (void)pthread_mutex_unlock(&readers->lock);
    }
    return err;
}

void readers_put(struct readers *readers, struct db *db)
{
    (void)pthread_mutex_lock(&readers->lock);
    readers->idle[readers->idle_count++] = db;
    (void)pthread_cond_signal(&readers->is_back);
    (void)pthread_mutex_unlock(&readers->lock);
}
