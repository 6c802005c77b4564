#include "pool/pool_look.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"
#include "pool/pool_errand.h"

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static ssize_t read_at_start(const char *path, int flags)
{
    _Alignas(4096) char bytes[4096];
    GFS_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
    return fd < 0 ? -1 : pread(fd, bytes, sizeof bytes, 0);
}

/* Want of memory or of descriptors is no fault of the disk. */
static bool can_be_read(const char *dir, const char *name)
{
    char path[POOL_PATH_LEN_MAX + 16];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    ssize_t got = read_at_start(path, O_DIRECT);
    if (got < 0 && errno == EINVAL) {
        got = read_at_start(path, 0);
    }
    return got >= 0 || !(errno == EIO || errno == ENXIO || errno == ENODEV || errno == EUCLEAN);
}

static void run(void *arg)
{
    struct pool_look *look = arg;
    char path[POOL_PATH_LEN_MAX + 16];
    (void)snprintf(path, sizeof path, "%s/identity", look->path);
    look->root = pool_root_of(look->path);
    look->is_there = stat(path, &look->identity) == 0;
    look->cannot_be_read = look->is_there && !can_be_read(look->path, "identity") &&
                           !can_be_read(look->path, "pool.json");
    look->is_same =
        look->has_known && look->is_there && is_same_file(&look->identity, &look->known);
    if (!look->is_same) {
        pool_found_probe(look->path, &look->found);
    }
}

static void end(void *arg)
{
    struct pool_look *look = arg;
    pool_found_fini(&look->found);
    free(look);
}

struct pool_look *pool_look_start(struct pool_errands *errands, const char *path, bool is_absent,
                                  const struct stat *known)
{
    struct pool_look *look = gfs_alloc(sizeof *look);
    (void)snprintf(look->path, sizeof look->path, "%s", path);
    look->is_absent = is_absent;
    look->has_known = known != NULL;
    if (known != NULL) {
        look->known = *known;
    }
    look->begun_ns = gfs_monotonic_ns();
    look->errand = pool_errand_start(errands, "disk-look", run, end, look);
    return look;
}

bool pool_look_await(const struct pool_look *look, uint32_t wait_ms)
{
    return pool_errand_await(look->errand, wait_ms);
}

void pool_look_end(struct pool_look *look)
{
    if (look != NULL) {
        pool_errand_let_go(look->errand);
    }
}
