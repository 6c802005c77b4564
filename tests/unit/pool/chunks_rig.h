/* A whole pool, on disks in memory, with chunks of known bytes: small ones are copies, large ones
 * stripes. */
#pragma once

#include <stdlib.h>

#include "libgoodfs/mem.h"
#include "tests/unit/pool/open_rig.h"

enum { CHUNKS_RIG_COUNT = 24, CHUNKS_RIG_LARGE = 200000 };

struct chunks_rig {
    struct open_rig rig;
    struct chunk_id ids[CHUNKS_RIG_COUNT];
    char *texts[CHUNKS_RIG_COUNT];
    uint64_t lsn;
};

/* Again, too, under a new id. */
static inline void chunks_rig_put(struct chunks_rig *chunks, unsigned number)
{
    size_t len = number % 3 == 0 ? CHUNKS_RIG_LARGE + number : 10 + number;
    free(chunks->texts[number]);
    chunks->texts[number] = gfs_alloc(len + 1);
    for (size_t i = 0; i < len; i++) {
        chunks->texts[number][i] = (char)('a' + (i * 7 + number) % 23);
    }
    cr_assert_eq(
        open_rig_put(&chunks->rig, chunks->texts[number], ++chunks->lsn, &chunks->ids[number]),
        GFS_OK);
}

static inline void chunks_rig_init(struct chunks_rig *chunks, unsigned disks)
{
    *chunks = (struct chunks_rig){0};
    open_rig_init(&chunks->rig, disks);
    open_rig_open(&chunks->rig);
    for (unsigned i = 0; i < CHUNKS_RIG_COUNT; i++) {
        chunks_rig_put(chunks, i);
    }
    open_rig_start(&chunks->rig, NULL);
}

static inline void chunks_rig_fini(struct chunks_rig *chunks)
{
    for (unsigned i = 0; i < CHUNKS_RIG_COUNT; i++) {
        free(chunks->texts[i]);
    }
    open_rig_fini(&chunks->rig);
}

static inline void chunks_rig_expect_readable(struct chunks_rig *chunks)
{
    for (unsigned i = 0; i < CHUNKS_RIG_COUNT; i++) {
        cr_assert(open_rig_has(&chunks->rig, chunks->ids[i], chunks->texts[i]), "chunk %u", i);
    }
}
