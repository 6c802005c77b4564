#include "goodfs/admin_replay.h"

#include <stdlib.h>
#include <string.h>

#include "libgoodfs/mem.h"

#define KEPT_NS (INT64_C(30) * 60 * 1000 * 1000 * 1000)

struct seen {
    char signature[ADMIN_REPLAY_SIGNATURE_LEN];
    int64_t at_ns;
};

/* A ring, oldest first. */
struct admin_replay {
    struct seen items[ADMIN_REPLAY_MAX];
    size_t first, count;
};

struct admin_replay *admin_replay_new(void)
{
    return gfs_alloc(sizeof(struct admin_replay));
}

void admin_replay_free(struct admin_replay *replay)
{
    free(replay);
}

static struct seen *at(struct admin_replay *replay, size_t index)
{
    return &replay->items[(replay->first + index) % ADMIN_REPLAY_MAX];
}

enum gfs_err admin_replay_note(struct admin_replay *replay,
                               const char signature[ADMIN_REPLAY_SIGNATURE_LEN], int64_t now_ns)
{
    while (replay->count > 0 && now_ns - at(replay, 0)->at_ns > KEPT_NS) {
        replay->first = (replay->first + 1) % ADMIN_REPLAY_MAX;
        replay->count--;
    }
    for (size_t i = 0; i < replay->count; i++) {
        if (memcmp(at(replay, i)->signature, signature, ADMIN_REPLAY_SIGNATURE_LEN) == 0) {
            return GFS_EXISTS;
        }
    }
    if (replay->count == ADMIN_REPLAY_MAX) {
        return GFS_BUSY;
    }
    struct seen *added = at(replay, replay->count++);
    memcpy(added->signature, signature, ADMIN_REPLAY_SIGNATURE_LEN);
    added->at_ns = now_ns;
    return GFS_OK;
}
