/* Disks, pool and metadata: opened together, closed in reverse.
 *
 * One directory without a pool map is a store of one disk. Everything else is a pool: many
 * directories, or one that was part of a pool. */
#pragma once

#include "goodfs/disks.h"
#include "libgoodfs/config.h"
#include "libgoodfs/meta_service.h"
#include "metad/shard.h"
#include "pool/pool.h"

struct storage;

/* config: of settings.h; dirs: NULL-terminated, at least one. Both outlive the storage. Errors as
 * store_open, pool_open, shard_open; CORRUPT also: data without metadata. error is a sentence for
 * people. */
enum gfs_err storage_open(const struct gfs_config *config, const char *const *dirs,
                          struct storage **ret, struct gfs_error *error) GFS_MUST_CHECK;
/* Without the metadata, to rebuild it: there is no shard. */
enum gfs_err storage_open_disks(const struct gfs_config *config, const char *const *dirs,
                                struct storage **ret, struct gfs_error *error) GFS_MUST_CHECK;
/* Begins what a pool does by itself. */
void storage_start(struct storage *storage);
/* No request is under way any more, but such as hang in a disk: is_used. NULL allowed. What hangs,
 * and everything that it may use, is left as it is until the process ends: the logs have all that
 * was acknowledged. false: there is such. */
bool storage_close(struct storage *storage, bool is_used);

struct chunk_store *storage_chunks(struct storage *storage);
struct shard *storage_shard(struct storage *storage);
struct pool *storage_pool(struct storage *storage); /* NULL: one directory */
struct disks *storage_disks(struct storage *storage);
