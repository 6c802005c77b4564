/* What a pool's log mirrors mean for the metadata: a copy of the database in DIR/meta of each, one
 * of them live. Turns the pool's calls into the shard's, and the shard's complaints into the
 * pool's.
 *
 * Threads: the hooks come on the pool's watch thread, the complaints on any of the shard's; the
 * struct is immutable once both are open. */
#pragma once

#include "metad/shard.h"
#include "pool/pool.h"

/* Plain data; embedded in its owner. */
struct mirrors {
    struct pool *pool;
    struct shard *shard;
};

/* Opens the metadata in the live mirror's directory, or in the next one whose database is of use;
 * the others are its copies. options: what is not a directory, the log or a callback. Answers as
 * shard_open, for the live one when none can be opened; UNREACHABLE: no mirror is there. The pool
 * is told which ones failed. */
enum gfs_err mirrors_open(struct mirrors *mirrors, struct pool *pool,
                          const struct shard_options *options,
                          struct gfs_error *error) GFS_MUST_CHECK;
/* For pool_start. */
struct pool_meta_hooks mirrors_hooks(struct mirrors *mirrors);

/* DIR/meta into ret (POOL_PATH_LEN_MAX + 8 bytes). */
enum { MIRRORS_PATH_SIZE = POOL_PATH_LEN_MAX + 8 };
void mirrors_meta_dir(const char *dir, char ret[MIRRORS_PATH_SIZE]);
