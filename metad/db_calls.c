#include "metad/db_calls.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/cond.h"
#include "libgoodfs/mem.h"

enum { LIMIT_MS = 2000 };

#define NS_PER_MS 1000000LL

/* A system call by a thread of its own. Counted by it and by who waits. */
struct call {
    pthread_mutex_t lock;
    struct gfs_cond over;
    unsigned references;
    bool is_over;
    char *path; /* NULL = close fd */
    int fd;
    struct stat info;
    int result, err;
};

/* Looks are guarded in an opening only: elsewhere they hold no lock, and may take their time. */
static _Thread_local bool is_opening;

static struct call *call_new(const char *path, int fd)
{
    struct call *call = gfs_alloc(sizeof *call);
    (void)pthread_mutex_init(&call->lock, NULL);
    gfs_cond_init(&call->over);
    call->references = 2;
    call->path = path == NULL ? NULL : gfs_strdup(path);
    call->fd = fd;
    return call;
}

static void release_locked(struct call *call)
{
    bool is_last = --call->references == 0;
    (void)pthread_mutex_unlock(&call->lock);
    if (is_last) {
        gfs_cond_fini(&call->over);
        (void)pthread_mutex_destroy(&call->lock);
        free(call->path);
        free(call);
    }
}

static void *run(void *arg)
{
    struct call *call = arg;
    int result = call->path == NULL ? close(call->fd) : stat(call->path, &call->info);
    int err = errno;
    (void)pthread_mutex_lock(&call->lock);
    call->result = result;
    call->err = err;
    call->is_over = true;
    gfs_cond_signal(&call->over);
    release_locked(call);
    return NULL;
}

static void start(struct call *call)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, call) == 0) {
        (void)pthread_setname_np(thread, "db-call");
        (void)pthread_detach(thread);
    } else {
        (void)run(call);
    }
}

/* Locked, whether it is over or not. */
static void await_locked(struct call *call)
{
    int64_t until_ns = gfs_monotonic_ns() + LIMIT_MS * NS_PER_MS;
    bool has_time = true;
    (void)pthread_mutex_lock(&call->lock);
    while (!call->is_over && has_time) {
        has_time = gfs_cond_wait_until(&call->over, &call->lock, until_ns);
    }
}

static int look(const char *path, struct stat *ret)
{
    if (!is_opening) {
        return stat(path, ret);
    }
    struct call *call = call_new(path, -1);
    start(call);
    await_locked(call);
    int result = -1;
    int err = ETIMEDOUT;
    if (call->is_over) {
        result = call->result;
        err = call->err;
        *ret = call->info;
    }
    release_locked(call);
    errno = err;
    return result;
}

static int close_within(int fd)
{
    struct call *call = call_new(NULL, fd);
    start(call);
    await_locked(call);
    int result = call->is_over ? call->result : 0;
    int err = call->is_over ? call->err : errno;
    release_locked(call);
    errno = err;
    return result;
}

static void install(void)
{
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    GFS_ASSERT(vfs != NULL);
    (void)vfs->xSetSystemCall(vfs, "stat", (sqlite3_syscall_ptr)(void (*)(void))look);
    (void)vfs->xSetSystemCall(vfs, "close", (sqlite3_syscall_ptr)(void (*)(void))close_within);
}

int db_calls_open(const char *path, sqlite3 **ret, int flags)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, install);
    is_opening = true;
    int code = sqlite3_open_v2(path, ret, flags, NULL);
    is_opening = false;
    return code;
}
