/* What a search looks at in this process: the shard's rows and the chunk store. */
#pragma once

#include "goodfs/fsck_source.h"
#include "metad/shard.h"
#include "pool/pool.h"

/* Plain data; embedded in its owner, outlives the fsck. */
struct fsck_storage {
    struct shard *shard;
    struct chunk_store *chunks;
    struct pool *pool; /* NULL: chunks is a store of one disk */
};

struct fsck_source fsck_storage_source(struct fsck_storage *storage);
