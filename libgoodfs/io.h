/* Files behind a seam: everything a store does to a disk goes through this table.
 *
 * Back ends: io_posix (system calls and io_uring) and io_sim (in memory, with crashes and faults).
 * Paths are relative to the root the back end was opened on. Blocking calls may come from any
 * thread; submit and wait belong to one thread, the owner. */
#pragma once

#include <stdint.h>
#include <sys/uio.h>

#include "libgoodfs/err.h"
#include "libgoodfs/slice.h"

enum gfs_io_open_flags {
    GFS_IO_CREATE = 1, /* made when missing, never truncated */
    GFS_IO_DIRECT = 2, /* aligned writes go past the page cache where the file system can */
    GFS_IO_RANDOM = 4, /* no readahead */
};

enum gfs_io_read_flags {
    GFS_IO_NOWAIT = 1, /* GFS_AGAIN instead of waiting for the device */
    GFS_IO_MEDIUM = 2, /* from the device, not from memory, as far as the file system can */
};

enum gfs_io_op_kind {
    GFS_IO_WRITE,         /* all of it, or a fault */
    GFS_IO_WRITE_DURABLE, /* and on stable storage before done */
    GFS_IO_FLUSH,         /* everything written to the file and completed before submit */
};

struct gfs_file;
struct gfs_io_op;
typedef void (*gfs_io_done_fn)(struct gfs_io_op *op);

/* Plain data, owned by the submitter until done. */
struct gfs_io_op {
    struct gfs_io_op *next; /* of whoever owns it */
    enum gfs_io_op_kind kind;
    struct gfs_file *file;
    const void *ptr;
    size_t len;
    uint64_t offset;
    gfs_io_done_fn done;
    enum gfs_err result; /* a short write is GFS_IO, or GFS_NO_SPACE when the device was full */
};

/* Plain data. */
struct gfs_io_space {
    uint64_t total; /* bytes */
    uint64_t free;  /* bytes this process may still use */
};

/* Plain data. */
struct gfs_file_info {
    uint64_t size;
    uint64_t allocated; /* bytes that take space */
};

typedef enum gfs_err (*gfs_io_name_fn)(void *arg, const char *name);

struct gfs_io {
    const struct gfs_io_ops *ops;
};

/* The back end's part of a file; each back end embeds it. */
struct gfs_file {
    struct gfs_io *io;
};

struct gfs_io_ops {
    void (*close)(struct gfs_io *io); /* every file closed, nothing in flight */

    /* GFS_NOT_FOUND, GFS_NO_SPACE, GFS_IO. The caller closes *ret. */
    enum gfs_err (*file_open)(struct gfs_io *io, const char *path, unsigned flags,
                              struct gfs_file **ret);
    void (*file_close)(struct gfs_file *file); /* NULL allowed */
    enum gfs_err (*file_info)(struct gfs_file *file, struct gfs_file_info *ret);
    /* Fills the iovs as far as the file reaches. GFS_IO, GFS_AGAIN. */
    enum gfs_err (*read)(struct gfs_file *file, const struct iovec *iov, int count, uint64_t offset,
                         unsigned flags, size_t *ret_len);
    /* A hint that these bytes will be read soon. Does not wait for the device. */
    void (*prefetch)(struct gfs_file *file, uint64_t offset, uint64_t len);
    enum gfs_err (*write)(struct gfs_file *file, const void *ptr, size_t len, uint64_t offset);
    enum gfs_err (*flush)(struct gfs_file *file); /* data and what is needed to read it back */
    enum gfs_err (*truncate)(struct gfs_file *file, uint64_t size);
    /* Space for [offset, offset + len), reading as zeros where nothing was; the size grows. */
    enum gfs_err (*allocate)(struct gfs_file *file, uint64_t offset, uint64_t len);
    /* Gives whole pages inside back; they read as zeros; the size stays. */
    enum gfs_err (*punch)(struct gfs_file *file, uint64_t offset, uint64_t len);

    /* GFS_NOT_FOUND, GFS_IO. Durable after sync_dir, as all changes of names. */
    enum gfs_err (*remove)(struct gfs_io *io, const char *path);
    /* In place of what is called `to`, at once. GFS_NOT_FOUND, GFS_NO_SPACE, GFS_IO. */
    enum gfs_err (*rename)(struct gfs_io *io, const char *from, const char *to);
    enum gfs_err (*make_dir)(struct gfs_io *io, const char *path); /* GFS_EXISTS */
    enum gfs_err (*sync_dir)(struct gfs_io *io, const char *path); /* "." = the root */
    /* Names in a directory in any order, without "." and ".."; stops at visit's first error. */
    enum gfs_err (*list)(struct gfs_io *io, const char *path, gfs_io_name_fn visit, void *arg);
    /* An exclusive lock until close. GFS_BUSY: another process has it. */
    enum gfs_err (*lock)(struct gfs_io *io, const char *path);
    enum gfs_err (*space)(struct gfs_io *io, struct gfs_io_space *ret);

    /* Owner only. Takes the op; done is called from a later wait, in completion order. */
    void (*submit)(struct gfs_io *io, struct gfs_io_op *op);
    /* Owner only. Calls done for what completed; when `block`, first waits until something did or
     * wake was called. done may submit. GFS_IO: the ring itself broke. */
    enum gfs_err (*wait)(struct gfs_io *io, bool block);
    void (*wake)(struct gfs_io *io); /* any thread; the next or current wait returns */
};

/* The real thing, on directory `root`, made when missing (parents are not). use_ring = false, or a
 * kernel that refuses io_uring: submitted operations run inside wait on the owner's thread. */
enum gfs_err gfs_io_posix_open(const char *root, bool use_ring, struct gfs_io **ret,
                               struct gfs_error *error) GFS_MUST_CHECK;

/* Reads exactly [offset, offset + len): GFS_CORRUPT when the file ends before. */
enum gfs_err gfs_io_read_exact(struct gfs_file *file, void *to, size_t len,
                               uint64_t offset) GFS_MUST_CHECK;
/* A whole small file: GFS_NOT_FOUND, GFS_TOO_BIG over `size`. */
enum gfs_err gfs_io_load(struct gfs_io *io, const char *path, void *to, size_t size,
                         size_t *ret_len) GFS_MUST_CHECK;
/* Writes a file in place of another so that after a crash either is there whole: temporary file,
 * flush, rename, flush of the directory. dir: the one that holds both. */
enum gfs_err gfs_io_replace(struct gfs_io *io, const char *dir, const char *temporary,
                            const char *path, struct gfs_slice bytes) GFS_MUST_CHECK;
