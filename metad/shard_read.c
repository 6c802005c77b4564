/* Reads of single rows: overlay, then row cache, then SQLite. */
#include "libgoodfs/mem.h"
#include "metad/shard_copy.h"

enum { ROW_LEN_MAX = 8 << 20 };

static struct shard *shard_of(struct meta_service *meta)
{
    return GFS_CONTAINER_OF(meta, struct shard, service);
}

struct row_read {
    const struct key *key;
    struct gfs_buf *value;
};

static enum gfs_err read_value(void *arg, struct db *db)
{
    const struct row_read *read = arg;
    gfs_buf_clear(read->value);
    return db_get(db, key_table(key_full(read->key)), key_row(read->key), read->value);
}

enum gfs_err shard_read_database(struct shard *shard, const struct key *key, uint64_t applied_lsn,
                                 struct meta_row **ret)
{
    struct gfs_buf value;
    struct row_read read = {.key = key, .value = &value};
    gfs_buf_init(&value, ROW_LEN_MAX);
    enum gfs_err err = shard_read(shard, read_value, &read);
    if (err == GFS_OK) {
        *ret = row_copy(gfs_buf_slice(&value));
        (void)pthread_mutex_lock(&shard->lock);
        if (shard->applied_lsn == applied_lsn) {
            cache_put(shard->cache, key_full(key), key_hash(key_full(key), shard->seed), *ret);
        }
        (void)pthread_mutex_unlock(&shard->lock);
    }
    gfs_buf_fini(&value);
    return err;
}

enum gfs_err shard_read_row(struct shard *shard, const struct key *key, unsigned flags,
                            struct meta_row **ret)
{
    uint64_t hash = key_hash(key_full(key), shard->seed);
    (void)pthread_mutex_lock(&shard->lock);
    const struct overlay_entry *entry = overlay_find(shard->overlay, key_full(key), hash);
    const struct overlay_version *version =
        entry == NULL ? NULL : overlay_at(entry, shard->committed_lsn);
    struct meta_row *row = version == NULL ? NULL : row_ref(version->row);
    bool is_known = version != NULL;
    uint64_t applied_lsn = shard->applied_lsn;
    (void)pthread_mutex_unlock(&shard->lock);
    if (!is_known) {
        row = cache_get(shard->cache, key_full(key), hash);
        if (row == NULL) {
            return (flags & META_NOWAIT) != 0 ? GFS_AGAIN
                                              : shard_read_database(shard, key, applied_lsn, ret);
        }
    }
    *ret = row;
    return row == NULL ? GFS_NOT_FOUND : GFS_OK;
}

enum gfs_err shard_object(struct meta_service *meta, uint64_t bucket_id, struct gfs_slice key,
                          unsigned flags, struct meta_row **ret)
{
    if (key.len > GFS_KEY_LEN_MAX) {
        return GFS_NOT_FOUND;
    }
    struct key row_key;
    key_object(&row_key, bucket_id, key);
    return shard_read_row(shard_of(meta), &row_key, flags, ret);
}

enum gfs_err shard_upload(struct meta_service *meta, uint64_t bucket_id, struct gfs_slice key,
                          const uint8_t upload_id[META_UPLOAD_ID_LEN], unsigned flags,
                          struct meta_row **ret)
{
    if (key.len > GFS_KEY_LEN_MAX) {
        return GFS_NOT_FOUND;
    }
    if (!shard_has_bucket(shard_of(meta), bucket_id)) {
        return GFS_NOT_FOUND; /* dropped: its uploads may still be in the database */
    }
    struct key row_key;
    key_upload(&row_key, bucket_id, key, upload_id);
    return shard_read_row(shard_of(meta), &row_key, flags, ret);
}

enum gfs_err shard_completed(struct meta_service *meta, const uint8_t upload_id[META_UPLOAD_ID_LEN],
                             unsigned flags, struct meta_row **ret)
{
    struct key row_key;
    key_completed(&row_key, upload_id);
    return shard_read_row(shard_of(meta), &row_key, flags, ret);
}

enum gfs_err shard_usage(struct meta_service *meta, uint64_t bucket_id, struct meta_usage *ret)
{
    struct shard *shard = shard_of(meta);
    struct key key;
    struct gfs_buf value;
    struct row_read read = {.key = &key, .value = &value};
    key_bucket(&key, TABLE_USAGE, bucket_id);
    gfs_buf_init(&value, 256);
    enum gfs_err err = shard_read(shard, read_value, &read);
    if (err == GFS_OK) {
        err = apply_decode_usage(gfs_buf_slice(&value), ret);
    }
    gfs_buf_fini(&value);
    if (err == GFS_NOT_FOUND &&
        shard_has_bucket(shard, bucket_id)) { /* so new, it is not applied yet */
        *ret = (struct meta_usage){0};
        return GFS_OK;
    }
    return err;
}
