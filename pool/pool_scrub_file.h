/* How far the scrub of a disk is, kept on the disk: DIR/scrub.json. Losing it costs a pass from the
 * start, so nothing is flushed for it, and whatever cannot be read is as good as nothing. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Plain data. */
struct pool_scrub_cursor {
    bool is_running;     /* a pass is under way */
    bool is_in_log;      /* all fragments were read, the log is next */
    uint32_t part;       /* of the listing, the next one */
    uint64_t log;        /* cursor of chunk_store.verify_log */
    uint64_t pass;       /* number, 1 = the first */
    uint64_t bytes;      /* verified in it */
    int64_t started_ms;  /* wall clock, of the pass under way or the last one */
    int64_t finished_ms; /* of the last whole pass, 0 = none */
    uint64_t found;      /* bad fragments and places in the log, ever */
    uint64_t healed;     /* fragments written anew, ever */
};

/* All zero when there is none. */
void pool_scrub_file_load(const char *dir, struct pool_scrub_cursor *ret);
/* False: it could not be written, or there is no disk in dir any more (no identity file): what was
 * emptied stays empty. */
bool pool_scrub_file_store(const char *dir, const struct pool_scrub_cursor *cursor);
