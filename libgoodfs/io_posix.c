/* The io seam over system calls and io_uring.
 *
 * A file has a buffered descriptor for reading and, when asked and possible, a second one with
 * O_DIRECT that takes aligned writes and the reads that have to see the device. Without io_uring,
 * submitted operations wait in a list and run one after the other inside wait: slower, the same
 * order and the same answers. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "libgoodfs/io.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/ring.h"

enum {
    RING_DEPTH = 256, /* bulk buffers in flight, flushes and the log's write together stay below */
    DIRECT_ALIGN = 4096,
    WRITE_LEN_MAX = 1 << 30, /* Linux moves at most 2 GiB - 4 KiB a call */
};

struct posix_io {
    struct gfs_io base;
    int root_fd;
    int lock_fd;
    struct gfs_ring *ring;          /* NULL: operations run in wait */
    struct gfs_io_op *first, *last; /* not on the ring yet */
    int wake_fd;                    /* without a ring */
    atomic_bool is_woken;
};

struct posix_file {
    struct gfs_file base;
    int fd;
    int direct_fd; /* -1 = none */
};

static struct posix_io *posix_of(struct gfs_io *io)
{
    return GFS_CONTAINER_OF(io, struct posix_io, base);
}

static struct posix_file *file_of(struct gfs_file *file)
{
    return GFS_CONTAINER_OF(file, struct posix_file, base);
}

static enum gfs_err posix_file_open(struct gfs_io *io, const char *path, unsigned flags,
                                    struct gfs_file **ret)
{
    struct posix_io *posix = posix_of(io);
    int create = (flags & GFS_IO_CREATE) != 0 ? O_CREAT : 0;
    int fd = openat(posix->root_fd, path, O_RDWR | O_CLOEXEC | create, 0600);
    if (fd < 0) {
        return gfs_err_from_errno(errno);
    }
    if ((flags & GFS_IO_RANDOM) != 0) {
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
    }
    struct posix_file *file = gfs_alloc(sizeof *file);
    file->base.io = io;
    file->fd = fd;
    file->direct_fd = -1;
    if ((flags & GFS_IO_DIRECT) != 0) {
        file->direct_fd = openat(posix->root_fd, path, O_RDWR | O_DIRECT | O_CLOEXEC);
    }
    *ret = &file->base;
    return GFS_OK;
}

static void posix_file_close(struct gfs_file *base)
{
    if (base != NULL) {
        struct posix_file *file = file_of(base);
        (void)close(file->fd);
        if (file->direct_fd >= 0) {
            (void)close(file->direct_fd);
        }
        free(file);
    }
}

static enum gfs_err posix_file_info(struct gfs_file *base, struct gfs_file_info *ret)
{
    struct stat info;
    if (fstat(file_of(base)->fd, &info) != 0) {
        return gfs_err_from_errno(errno);
    }
    *ret = (struct gfs_file_info){.size = (uint64_t)info.st_size,
                                  .allocated = (uint64_t)info.st_blocks * 512};
    return GFS_OK;
}

/* The rest after a partial read; rare: the end of the file, or a signal. */
static enum gfs_err read_rest(int fd, const struct iovec *iov, int count, uint64_t offset,
                              size_t skip, size_t *ret_len)
{
    size_t done = skip;
    for (int i = 0; i < count; i++) {
        size_t in_iov = GFS_MIN(skip, iov[i].iov_len);
        skip -= in_iov;
        while (in_iov < iov[i].iov_len) {
            ssize_t len = pread(fd, (char *)iov[i].iov_base + in_iov, iov[i].iov_len - in_iov,
                                (off_t)(offset + done));
            if (len < 0 && errno == EINTR) {
                continue;
            }
            if (len < 0) {
                return gfs_err_from_errno(errno);
            }
            if (len == 0) {
                *ret_len = done;
                return GFS_OK;
            }
            in_iov += (size_t)len;
            done += (size_t)len;
        }
    }
    *ret_len = done;
    return GFS_OK;
}

/* Aligned. At least `want` bytes, or GFS_UNSUPPORTED: the file system has no direct reads, or this
 * one was short (the end of the file, or a signal). */
static enum gfs_err read_aligned(int fd, void *to, size_t len, uint64_t offset, size_t want)
{
    struct iovec all = {.iov_base = to, .iov_len = len};
    ssize_t got;
    do {
        got = preadv2(fd, &all, 1, (off_t)offset, 0);
    } while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == EINVAL || errno == EOPNOTSUPP)) {
        return GFS_UNSUPPORTED;
    }
    if (got < 0) {
        return gfs_err_from_errno(errno);
    }
    return (size_t)got < want ? GFS_UNSUPPORTED : GFS_OK;
}

/* Through an aligned buffer, where it is not aligned itself. GFS_UNSUPPORTED as read_aligned. */
static enum gfs_err read_direct(int fd, const struct iovec *iov, int count, uint64_t offset,
                                size_t want, size_t *ret_len)
{
    if (count == 1 && (((uintptr_t)iov->iov_base | want | offset) & (DIRECT_ALIGN - 1)) == 0) {
        *ret_len = want;
        return read_aligned(fd, iov->iov_base, want, offset, want);
    }
    uint64_t begin = offset & ~(uint64_t)(DIRECT_ALIGN - 1);
    size_t len = (size_t)((offset + want + DIRECT_ALIGN - 1) & ~(uint64_t)(DIRECT_ALIGN - 1)) -
                 (size_t)begin;
    GFS_FREE char *bytes = gfs_alloc_aligned(DIRECT_ALIGN, len);
    size_t skip = (size_t)(offset - begin);
    enum gfs_err err = read_aligned(fd, bytes, len, begin, skip + want);
    if (err != GFS_OK) {
        return err;
    }
    size_t left = want;
    *ret_len = want;
    const char *from = bytes + skip;
    for (int i = 0; i < count && left != 0; i++) {
        size_t step = GFS_MIN(left, iov[i].iov_len);
        memcpy(iov[i].iov_base, from, step);
        from += step;
        left -= step;
    }
    return GFS_OK;
}

/* Answers whether it was read, or failed, past the page cache; else the cache holds nothing of it
 * any more, unless it is dirty. */
static bool read_medium(const struct posix_file *file, const struct iovec *iov, int count,
                        uint64_t offset, size_t want, size_t *ret_len, enum gfs_err *ret)
{
    *ret = file->direct_fd < 0 ? GFS_UNSUPPORTED
                               : read_direct(file->direct_fd, iov, count, offset, want, ret_len);
    if (*ret == GFS_UNSUPPORTED) {
        (void)posix_fadvise(file->fd, (off_t)offset, (off_t)want, POSIX_FADV_DONTNEED);
        return false;
    }
    return true;
}

static enum gfs_err posix_read(struct gfs_file *base, const struct iovec *iov, int count,
                               uint64_t offset, unsigned flags, size_t *ret_len)
{
    int fd = file_of(base)->fd;
    bool nowait = (flags & GFS_IO_NOWAIT) != 0;
    size_t want = 0;
    for (int i = 0; i < count; i++) {
        want += iov[i].iov_len;
    }
    enum gfs_err err;
    if ((flags & GFS_IO_MEDIUM) != 0 &&
        read_medium(file_of(base), iov, count, offset, want, ret_len, &err)) {
        return err;
    }
    ssize_t len;
    do {
        len = preadv2(fd, iov, count, (off_t)offset, nowait ? RWF_NOWAIT : 0);
    } while (len < 0 && errno == EINTR);
    if (len < 0 && nowait && errno == EOPNOTSUPP) {
        return GFS_AGAIN;
    }
    if (len < 0) {
        return gfs_err_from_errno(errno);
    }
    if ((size_t)len == want || len == 0) {
        *ret_len = (size_t)len;
        return GFS_OK;
    }
    return nowait ? GFS_AGAIN : read_rest(fd, iov, count, offset, (size_t)len, ret_len);
}

static void posix_prefetch(struct gfs_file *base, uint64_t offset, uint64_t len)
{
    (void)posix_fadvise(file_of(base)->fd, (off_t)offset, (off_t)len, POSIX_FADV_WILLNEED);
}

static int write_fd(const struct posix_file *file, const void *ptr, size_t len, uint64_t offset)
{
    bool is_aligned = (((uintptr_t)ptr | len | offset) & (DIRECT_ALIGN - 1)) == 0;
    return file->direct_fd >= 0 && is_aligned ? file->direct_fd : file->fd;
}

static enum gfs_err posix_write(struct gfs_file *base, const void *ptr, size_t len, uint64_t offset)
{
    const char *bytes = ptr;
    int fd = write_fd(file_of(base), ptr, len, offset);
    while (len > 0) {
        ssize_t written = pwrite(fd, bytes, GFS_MIN(len, (size_t)WRITE_LEN_MAX), (off_t)offset);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return written < 0 ? gfs_err_from_errno(errno) : GFS_IO;
        }
        bytes += written;
        len -= (size_t)written;
        offset += (uint64_t)written;
    }
    return GFS_OK;
}

static enum gfs_err posix_flush(struct gfs_file *base)
{
    return fdatasync(file_of(base)->fd) == 0 ? GFS_OK : GFS_IO;
}

static enum gfs_err from_result(int result)
{
    return result == 0 ? GFS_OK : gfs_err_from_errno(errno);
}

static enum gfs_err posix_truncate(struct gfs_file *base, uint64_t size)
{
    return from_result(ftruncate(file_of(base)->fd, (off_t)size));
}

static enum gfs_err posix_allocate(struct gfs_file *base, uint64_t offset, uint64_t len)
{
    int fd = file_of(base)->fd;
    int result;
    do {
        result = fallocate(fd, 0, (off_t)offset, (off_t)len);
    } while (result != 0 && errno == EINTR);
    if (result != 0 && errno == EOPNOTSUPP) { /* the size alone; space shows at the write */
        struct stat info;
        if (fstat(fd, &info) != 0) {
            return gfs_err_from_errno(errno);
        }
        bool grows = (uint64_t)info.st_size < offset + len;
        return grows ? from_result(ftruncate(fd, (off_t)(offset + len))) : GFS_OK;
    }
    return from_result(result);
}

static enum gfs_err posix_punch(struct gfs_file *base, uint64_t offset, uint64_t len)
{
    int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    int result = fallocate(file_of(base)->fd, mode, (off_t)offset, (off_t)len);
    return result != 0 && errno == EOPNOTSUPP ? GFS_OK : from_result(result);
}

static enum gfs_err posix_remove(struct gfs_io *io, const char *path)
{
    return from_result(unlinkat(posix_of(io)->root_fd, path, 0));
}

static enum gfs_err posix_rename(struct gfs_io *io, const char *from, const char *to)
{
    int root_fd = posix_of(io)->root_fd;
    return from_result(renameat(root_fd, from, root_fd, to));
}

static enum gfs_err posix_make_dir(struct gfs_io *io, const char *path)
{
    return from_result(mkdirat(posix_of(io)->root_fd, path, 0700));
}

static enum gfs_err posix_sync_dir(struct gfs_io *io, const char *path)
{
    GFS_CLOSE int fd = openat(posix_of(io)->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return gfs_err_from_errno(errno);
    }
    return fsync(fd) == 0 ? GFS_OK : GFS_IO;
}

static enum gfs_err posix_list(struct gfs_io *io, const char *path, gfs_io_name_fn visit, void *arg)
{
    int fd = openat(posix_of(io)->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        int errnum = errno;
        if (fd >= 0) {
            (void)close(fd);
        }
        return gfs_err_from_errno(errnum);
    }
    enum gfs_err err = GFS_OK;
    errno = 0;
    struct dirent *entry;
    /* the stream is this call's own */
    while (err == GFS_OK && (entry = readdir(dir)) != NULL) { // NOLINT(concurrency-mt-unsafe)
        const char *name = entry->d_name;
        bool is_dot = name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
        err = is_dot ? GFS_OK : visit(arg, name);
        errno = 0;
    }
    if (err == GFS_OK && errno != 0) {
        err = gfs_err_from_errno(errno);
    }
    (void)closedir(dir);
    return err;
}

static enum gfs_err posix_lock(struct gfs_io *io, const char *path)
{
    struct posix_io *posix = posix_of(io);
    GFS_ASSERT(posix->lock_fd < 0);
    int fd = openat(posix->root_fd, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return gfs_err_from_errno(errno);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int errnum = errno;
        (void)close(fd);
        return errnum == EWOULDBLOCK ? GFS_BUSY : gfs_err_from_errno(errnum);
    }
    posix->lock_fd = fd;
    return GFS_OK;
}

static enum gfs_err posix_space(struct gfs_io *io, struct gfs_io_space *ret)
{
    struct statvfs info;
    if (fstatvfs(posix_of(io)->root_fd, &info) != 0) {
        return gfs_err_from_errno(errno);
    }
    *ret = (struct gfs_io_space){.total = (uint64_t)info.f_blocks * info.f_frsize,
                                 .free = (uint64_t)info.f_bavail * info.f_frsize};
    return GFS_OK;
}

static void posix_submit(struct gfs_io *io, struct gfs_io_op *op)
{
    struct posix_io *posix = posix_of(io);
    op->next = NULL;
    if (posix->last == NULL) {
        posix->first = op;
    } else {
        posix->last->next = op;
    }
    posix->last = op;
}

static struct gfs_io_op *take_first(struct posix_io *posix)
{
    struct gfs_io_op *op = posix->first;
    posix->first = op->next;
    if (posix->first == NULL) {
        posix->last = NULL;
    }
    return op;
}

static bool push_to_ring(struct gfs_ring *ring, struct gfs_io_op *op)
{
    const struct posix_file *file = file_of(op->file);
    if (op->kind == GFS_IO_FLUSH) {
        return gfs_ring_flush(ring, file->fd, op);
    }
    return gfs_ring_write(ring, write_fd(file, op->ptr, op->len, op->offset), op->ptr, op->len,
                          op->offset, op->kind == GFS_IO_WRITE_DURABLE, op);
}

static void ring_done(void *context, void *op_ptr, int result)
{
    (void)context;
    struct gfs_io_op *op = op_ptr;
    if (result < 0) {
        op->result = op->kind == GFS_IO_FLUSH ? GFS_IO : gfs_err_from_errno(-result);
    } else {
        bool is_short = op->kind != GFS_IO_FLUSH && (size_t)result != op->len;
        op->result = is_short ? GFS_IO : GFS_OK;
    }
    op->done(op);
}

static void run_now(struct gfs_io_op *op)
{
    enum gfs_err err = GFS_OK;
    if (op->kind != GFS_IO_FLUSH) {
        err = posix_write(op->file, op->ptr, op->len, op->offset);
    }
    if (err == GFS_OK && op->kind != GFS_IO_WRITE) {
        err = posix_flush(op->file);
    }
    op->result = err;
    op->done(op);
}

static enum gfs_err wait_without_ring(struct posix_io *posix, bool block)
{
    if (posix->first == NULL) {
        struct pollfd poll_fd = {.fd = posix->wake_fd, .events = POLLIN};
        if (poll(&poll_fd, 1, block ? -1 : 0) > 0) {
            uint64_t value;
            ssize_t len = read(posix->wake_fd, &value, sizeof value);
            GFS_ASSERT(len == (ssize_t)sizeof value);
            atomic_store(&posix->is_woken, false);
        }
        return GFS_OK;
    }
    struct gfs_io_op *stop = posix->last; /* what done submits waits for the next call */
    for (;;) {
        struct gfs_io_op *op = take_first(posix);
        bool is_last = op == stop;
        run_now(op);
        if (is_last) {
            return GFS_OK;
        }
    }
}

static enum gfs_err posix_wait(struct gfs_io *io, bool block)
{
    struct posix_io *posix = posix_of(io);
    if (posix->ring == NULL) {
        return wait_without_ring(posix, block);
    }
    while (posix->first != NULL && push_to_ring(posix->ring, posix->first)) {
        (void)take_first(posix);
    }
    return gfs_ring_wait(posix->ring, block, ring_done, posix);
}

static void posix_wake(struct gfs_io *io)
{
    struct posix_io *posix = posix_of(io);
    if (posix->ring != NULL) {
        gfs_ring_wake(posix->ring);
    } else if (!atomic_exchange(&posix->is_woken, true)) {
        uint64_t one = 1;
        ssize_t len = write(posix->wake_fd, &one, sizeof one);
        GFS_ASSERT(len == (ssize_t)sizeof one);
    }
}

static void posix_close(struct gfs_io *io)
{
    if (io == NULL) {
        return;
    }
    struct posix_io *posix = posix_of(io);
    gfs_ring_close(posix->ring);
    gfs_close_fd(&posix->wake_fd);
    gfs_close_fd(&posix->lock_fd);
    gfs_close_fd(&posix->root_fd);
    free(posix);
}

static const struct gfs_io_ops posix_ops = {
    .close = posix_close,
    .file_open = posix_file_open,
    .file_close = posix_file_close,
    .file_info = posix_file_info,
    .read = posix_read,
    .prefetch = posix_prefetch,
    .write = posix_write,
    .flush = posix_flush,
    .truncate = posix_truncate,
    .allocate = posix_allocate,
    .punch = posix_punch,
    .remove = posix_remove,
    .rename = posix_rename,
    .make_dir = posix_make_dir,
    .sync_dir = posix_sync_dir,
    .list = posix_list,
    .lock = posix_lock,
    .space = posix_space,
    .submit = posix_submit,
    .wait = posix_wait,
    .wake = posix_wake,
};

/* A root that was just made has to be found after a power loss. Who may not read the directory
 * above has not made it. */
static enum gfs_err sync_parent(int root_fd)
{
    GFS_CLOSE int fd = openat(root_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool has_failed = fd >= 0 && fsync(fd) != 0 && errno != EINVAL && errno != EROFS;
    return has_failed ? GFS_IO : GFS_OK;
}

enum gfs_err gfs_io_posix_open(const char *root, bool use_ring, struct gfs_io **ret,
                               struct gfs_error *error)
{
    if (mkdir(root, 0700) != 0 && errno != EEXIST) {
        enum gfs_err err = gfs_err_from_errno(errno);
        return gfs_fail(error, err, "%s: mkdir: %s", root, gfs_err_text(err));
    }
    struct posix_io *posix = gfs_alloc(sizeof *posix);
    posix->base.ops = &posix_ops;
    posix->lock_fd = -1;
    posix->wake_fd = eventfd(0, EFD_CLOEXEC);
    posix->root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum gfs_err err = GFS_OK;
    if (posix->root_fd < 0 || posix->wake_fd < 0) {
        err = gfs_err_from_errno(errno);
    }
    if (err == GFS_OK) {
        err = sync_parent(posix->root_fd);
    }
    if (err == GFS_OK && use_ring) {
        err = gfs_ring_open(RING_DEPTH, &posix->ring);
        err = err == GFS_UNSUPPORTED ? GFS_OK : err;
    }
    if (err != GFS_OK) {
        posix_close(&posix->base);
        return gfs_fail(error, err, "%s: open: %s", root, gfs_err_text(err));
    }
    *ret = &posix->base;
    return GFS_OK;
}
