/* A look at the directory of a disk: is the disk's identity still the file it was, and if it is
 * not, what is there now? Looking may hang in the disk: an errand does it. */
#pragma once

#include <sys/stat.h>

#include "pool/pool_map_file.h"

struct pool_errand;
struct pool_errands;

/* Plain data. What was found belongs to the errand until the look is over, the rest to whoever
 * began it. */
struct pool_look {
    struct pool_errand *errand;
    int64_t begun_ns; /* monotonic */
    char path[POOL_PATH_LEN_MAX];
    bool is_absent; /* the disk was not in use when it began */
    bool has_known; /* asked: whether the identity file is still `known` */
    struct stat known;
    struct pool_root root; /* the directory */
    /* Two files from the medium, where there is a way past the file system's cache: a disk that is
     * idle, and whose reads fail, shows it here first. One alone is a bad sector. */
    bool cannot_be_read;
    bool is_there, is_same; /* that file; what follows is not looked for when it is the same */
    struct stat identity;
    struct pool_found found;
};

/* known: of an identity file that was seen to be the disk's, NULL = none was. Ends with
 * pool_look_end. */
struct pool_look *pool_look_start(struct pool_errands *errands, const char *path, bool is_absent,
                                  const struct stat *known);
/* Waits at most wait_ms; answers whether it is over. */
bool pool_look_await(const struct pool_look *look, uint32_t wait_ms);
/* It is not touched any more, but by its errand if that hangs. NULL allowed. */
void pool_look_end(struct pool_look *look);
