/* A shard with labels, whose database is lost and rebuilt. */
#pragma once

#include "metad/rebuild.h"
#include "tests/unit/metad/shard_rig.h"

enum { REBUILD_FINDINGS_MAX = 64, REBUILD_REASON_SIZE = 256 };

struct rebuild_rig {
    struct rig rig;
    uint64_t bucket; /* "bucket" */
    struct rebuild_options options;
    struct rebuild_result result;
    size_t finding_count;
    struct {
        enum rebuild_verdict verdict;
        enum table table;
        char key[64];
        char reason[REBUILD_REASON_SIZE];
    } findings[REBUILD_FINDINGS_MAX];
};

/* Edits are applied at once, and nothing is swept for a day. */
void rebuild_rig_init(struct rebuild_rig *rig);
void rebuild_rig_fini(struct rebuild_rig *rig);
/* Closes the shard, removes its database. */
void rebuild_rig_lose(struct rebuild_rig *rig);
/* Rebuilds, collecting findings. */
enum gfs_err rebuild_rig_run(struct rebuild_rig *rig, struct gfs_error *error);
/* All of it, which must succeed, and the shard is open again. */
void rebuild_rig_rebuild(struct rebuild_rig *rig);
/* There is a finding about that key, and this in its reason. */
bool rebuild_rig_has(const struct rebuild_rig *rig, enum rebuild_verdict verdict, const char *key,
                     const char *reason);
/* An object of one chunk with these bytes, and their checksums. */
struct chunk_id rebuild_rig_put(struct rebuild_rig *rig, const char *key, struct gfs_slice bytes);
