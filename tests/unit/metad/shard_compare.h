/* A run of the model test: a shard, the model of it, and how the two are compared. */
#pragma once

#include "libgoodfs/codec.h"
#include "tests/unit/metad/random.h"
#include "tests/unit/metad/shard_model.h"
#include "tests/unit/metad/shard_rig.h"

struct run {
    struct rig rig;
    struct model model;
    struct random random;
    uint64_t seed;
    int step;
    bool is_refusing; /* the log refuses some */
    uint64_t refused;
};

#define EXPECT(run, condition)                                                                     \
    cr_assert(condition, "seed %llu, step %d: " #condition, (unsigned long long)(run)->seed,       \
              (run)->step)

static inline void run_upload_id(uint8_t ret[META_UPLOAD_ID_LEN], uint64_t id)
{
    memset(ret, 0, META_UPLOAD_ID_LEN);
    gfs_codec_store_u64_be(ret, id);
}

/* Each fails the test, naming seed and step, when shard and model differ. */
void compare_listing(struct run *run, const struct model_bucket *bucket,
                     const struct meta_list_query *query, bool is_uploads);
void compare_object(struct run *run, const struct model_bucket *bucket, uint32_t k);
void compare_all(struct run *run);
/* In the end everything is applied and swept: what nobody refers to is gone. Restarts the shard. */
void compare_end(struct run *run);
