/* The signatures of changes that were asked for: a request that was overheard cannot be made again.
 *
 * A signature is good for fifteen minutes before and after its date, so each is remembered for
 * thirty. The table is full after ADMIN_REPLAY_MAX changes in that time; then none is taken until
 * the oldest is forgotten. A restart forgets all. Owned by the listener's thread. */
#pragma once

#include <stdint.h>

#include "libgoodfs/err.h"

enum { ADMIN_REPLAY_MAX = 8192, ADMIN_REPLAY_SIGNATURE_LEN = 64 };

struct admin_replay;
struct admin_replay *admin_replay_new(void);
void admin_replay_free(struct admin_replay *replay); /* NULL allowed */

/* Remembers the signature. EXISTS: it is known already; BUSY: the table is full. now_ns: monotonic,
 * never less than before. */
enum gfs_err admin_replay_note(struct admin_replay *replay,
                               const char signature[ADMIN_REPLAY_SIGNATURE_LEN],
                               int64_t now_ns) GFS_MUST_CHECK;
