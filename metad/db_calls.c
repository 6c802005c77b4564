#include "metad/db_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/cond.h"
#include "libgoodfs/mem.h"

/* What SQLite looks for in vain it does without. The others must not fail on a disk that only spins
 * up. */
enum { STAT_LIMIT_MS = 1000, CLOSE_LIMIT_MS = 2000, LIMIT_MS = 15000 };

#define NS_PER_MS 1000000LL

enum kind { CALL_CLOSE, CALL_STAT, CALL_FSTAT, CALL_OPEN };

/* A system call by a thread of its own. Counted by it and by who waits. */
struct call {
    pthread_mutex_t lock;
    struct gfs_cond over;
    unsigned references;
    bool is_over;
    bool is_given_up; /* nobody wants what it answers */
    enum kind kind;
    char *path; /* of stat and open */
    int fd;     /* of the others */
    int flags, mode;
    struct stat info;
    int result, err;
};

static _Thread_local bool is_guarded;

static void init(struct call *call, const char *path)
{
    (void)pthread_mutex_init(&call->lock, NULL);
    gfs_cond_init(&call->over);
    call->references = 2;
    call->path = path == NULL ? NULL : gfs_strdup(path);
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

static int carry_out(struct call *call)
{
    switch (call->kind) {
    case CALL_CLOSE:
        return close(call->fd);
    case CALL_STAT:
        return stat(call->path, &call->info);
    case CALL_FSTAT:
        return fstat(call->fd, &call->info);
    case CALL_OPEN:
        break;
    }
    return open(call->path, call->flags, call->mode);
}

static void *run(void *arg)
{
    struct call *call = arg;
    int result = carry_out(call);
    int err = errno;
    (void)pthread_mutex_lock(&call->lock);
    call->result = result;
    call->err = err;
    call->is_over = true;
    bool is_too_late = call->is_given_up && call->kind == CALL_OPEN && result >= 0;
    gfs_cond_signal(&call->over);
    release_locked(call);
    if (is_too_late) {
        (void)close(result);
    }
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

/* wanted: what it is to do; ret_info: NULL = it finds out nothing. */
static int make(const struct call *wanted, const char *path, struct stat *ret_info)
{
    struct call *call = gfs_alloc(sizeof *call);
    *call = *wanted;
    init(call, path);
    start(call);
    int64_t limit_ms = call->kind == CALL_STAT    ? STAT_LIMIT_MS
                       : call->kind == CALL_CLOSE ? CLOSE_LIMIT_MS
                                                  : LIMIT_MS;
    int64_t until_ns = gfs_monotonic_ns() + limit_ms * NS_PER_MS;
    bool has_time = true;
    (void)pthread_mutex_lock(&call->lock);
    while (!call->is_over && has_time) {
        has_time = gfs_cond_wait_until(&call->over, &call->lock, until_ns);
    }
    int result = call->kind == CALL_CLOSE ? 0 : -1;
    int err = ETIMEDOUT;
    if (call->is_over) {
        result = call->result;
        err = call->err;
        if (ret_info != NULL) {
            *ret_info = call->info;
        }
    }
    call->is_given_up = !call->is_over;
    release_locked(call);
    errno = err;
    return result;
}

static int call_stat(const char *path, struct stat *ret)
{
    const struct call call = {.kind = CALL_STAT};
    return is_guarded ? make(&call, path, ret) : stat(path, ret);
}

static int call_fstat(int fd, struct stat *ret)
{
    const struct call call = {.kind = CALL_FSTAT, .fd = fd};
    return is_guarded ? make(&call, NULL, ret) : fstat(fd, ret);
}

static int call_open(const char *path, int flags, int mode)
{
    const struct call call = {.kind = CALL_OPEN, .flags = flags, .mode = mode};
    return is_guarded ? make(&call, path, NULL) : open(path, flags, mode);
}

static int call_close(int fd)
{
    const struct call call = {.kind = CALL_CLOSE, .fd = fd};
    return make(&call, NULL, NULL);
}

static void install(void)
{
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    GFS_ASSERT(vfs != NULL);
    const struct {
        const char *name;
        void (*call)(void);
    } calls[] = {
        {"stat", (void (*)(void))call_stat},
        {"fstat", (void (*)(void))call_fstat},
        {"open", (void (*)(void))call_open},
        {"close", (void (*)(void))call_close},
    };
    for (size_t i = 0; i < GFS_COUNT(calls); i++) {
        int code = vfs->xSetSystemCall(vfs, calls[i].name, (sqlite3_syscall_ptr)calls[i].call);
        GFS_ASSERT(code == SQLITE_OK);
    }
}

void db_calls_guard(bool is_opening)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, install);
    is_guarded = is_opening;
}
