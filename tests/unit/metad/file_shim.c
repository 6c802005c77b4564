#include "tests/unit/metad/file_shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

/* These are what SQLite and the shard call, in the place of libc's. */
#define SHOWN __attribute__((visibility("default")))
/* Declares `real`, libc's function. */
#define REAL(name, type)                                                                           \
    type real;                                                                                     \
    void *address_ = dlsym(RTLD_NEXT, name);                                                       \
    memcpy(&real, &address_, sizeof real)

typedef ssize_t (*read_fn)(int fd, void *bytes, size_t len, off_t offset);
typedef ssize_t (*write_fn)(int fd, const void *bytes, size_t len, off_t offset);
typedef int (*fd_fn)(int fd);
typedef int (*truncate_fn)(int fd, off_t len);
typedef int (*path_fn)(const char *path);
typedef int (*stat_fn)(const char *path, struct stat64 *info);
typedef int (*two_paths_fn)(const char *from, const char *to);
typedef int (*open_fn)(const char *path, int flags, ...);

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char dir[256];
    enum file_shim_fault fault;
    bool is_counting;
    long left;
    int hanging;
} shim = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

void file_shim_set(const char *dir, enum file_shim_fault fault)
{
    (void)pthread_mutex_lock(&shim.lock);
    (void)snprintf(shim.dir, sizeof shim.dir, "%s", dir);
    shim.fault = fault;
    (void)pthread_cond_broadcast(&shim.changed);
    (void)pthread_mutex_unlock(&shim.lock);
}

int file_shim_hanging(void)
{
    (void)pthread_mutex_lock(&shim.lock);
    int hanging = shim.hanging;
    (void)pthread_mutex_unlock(&shim.lock);
    return hanging;
}

void file_shim_end_at(const char *dir, long n)
{
    (void)pthread_mutex_lock(&shim.lock);
    (void)snprintf(shim.dir, sizeof shim.dir, "%s", dir);
    shim.is_counting = true;
    shim.left = n;
    (void)pthread_mutex_unlock(&shim.lock);
}

static bool is_below_locked(const char *path)
{
    size_t len = strlen(shim.dir);
    return len != 0 && strncmp(path, shim.dir, len) == 0;
}

/* What happens to an access: 0, or an errno. *ret_is_last: the process ends with this change. */
static int judge(const char *path, bool is_change, bool is_write, bool *ret_is_last)
{
    int code = 0;
    *ret_is_last = false;
    (void)pthread_mutex_lock(&shim.lock);
    if (is_below_locked(path)) {
        shim.hanging++;
        while (shim.fault == FILE_SHIM_HANG) {
            (void)pthread_cond_wait(&shim.changed, &shim.lock);
        }
        shim.hanging--;
        code = shim.fault == FILE_SHIM_FAIL ? EIO : 0;
        code = shim.fault == FILE_SHIM_FULL && is_write ? ENOSPC : code;
        *ret_is_last = is_change && shim.is_counting && shim.left-- == 0;
    }
    (void)pthread_mutex_unlock(&shim.lock);
    return code;
}

static int judge_fd(int fd, bool is_change, bool is_write, bool *ret_is_last)
{
    char link[64];
    char path[512];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    path[len < 0 ? 0 : len] = '\0';
    return judge(path, is_change, is_write, ret_is_last);
}

static int end_or(bool is_last, int code)
{
    if (is_last) {
        _exit(FILE_SHIM_STATUS);
    }
    errno = code;
    return code;
}

SHOWN ssize_t pread64(int fd, void *bytes, size_t len, off_t offset)
{
    REAL("pread64", read_fn);
    bool is_last;
    return end_or(false, judge_fd(fd, false, false, &is_last)) != 0 ? -1
                                                                    : real(fd, bytes, len, offset);
}

SHOWN ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t offset)
{
    REAL("pwrite64", write_fn);
    bool is_last;
    int code = judge_fd(fd, true, true, &is_last);
    if (is_last && code == 0) {
        (void)real(fd, bytes, len / 2, offset);
    }
    return end_or(is_last, code) != 0 ? -1 : real(fd, bytes, len, offset);
}

static int on_fd(const char *name, int fd)
{
    REAL(name, fd_fn);
    bool is_last;
    int code = judge_fd(fd, true, false, &is_last);
    return end_or(is_last, code) != 0 ? -1 : real(fd);
}

SHOWN int fsync(int fd)
{
    return on_fd("fsync", fd);
}

SHOWN int fdatasync(int fd)
{
    return on_fd("fdatasync", fd);
}

SHOWN int ftruncate64(int fd, off_t len)
{
    REAL("ftruncate64", truncate_fn);
    bool is_last;
    int code = judge_fd(fd, true, true, &is_last);
    return end_or(is_last, code) != 0 ? -1 : real(fd, len);
}

SHOWN int unlink(const char *path)
{
    REAL("unlink", path_fn);
    bool is_last;
    int code = judge(path, true, false, &is_last);
    return end_or(is_last, code) != 0 ? -1 : real(path);
}

SHOWN int stat64(const char *path, struct stat64 *info)
{
    REAL("stat64", stat_fn);
    bool is_last;
    int code = judge(path, false, false, &is_last);
    return end_or(false, code) != 0 ? -1 : real(path, info);
}

SHOWN int rename(const char *from, const char *to)
{
    REAL("rename", two_paths_fn);
    bool is_last;
    int code = judge(to, true, false, &is_last);
    return end_or(is_last, code) != 0 ? -1 : real(from, to);
}

SHOWN int open64(const char *path, int flags, ...)
{
    REAL("open64", open_fn);
    bool is_last;
    unsigned mode = 0;
    if ((flags & O_CREAT) != 0) {
        va_list args;
        va_start(args, flags);
        mode = va_arg(args, unsigned); // NOLINT(clang-analyzer-valist.Uninitialized)
        va_end(args);
    }
    int code = judge(path, (flags & O_CREAT) != 0, false, &is_last);
    return end_or(is_last, code) != 0 ? -1 : real(path, flags, mode);
}
