#include "libgoodfs/ring.h"

#include <errno.h>
#include <liburing.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "libgoodfs/mem.h"

struct gfs_ring {
    struct io_uring uring;
    bool is_ready; /* set up on the owner's thread: SINGLE_ISSUER binds the ring to it */
    unsigned depth;
    unsigned in_flight; /* without the wake-up read */
    int wake_fd;        /* eventfd; a read of it is always in flight */
    uint64_t wake_value;
    bool is_wake_armed;
    atomic_bool is_woken; /* one write to wake_fd at a time */
};

enum {
    RING_FLAGS = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL
};

static int init_uring(struct io_uring *uring, unsigned depth)
{
    int result = io_uring_queue_init(depth, uring, RING_FLAGS);
    /* kernels before 6.1 do not know the flags */
    return result == -EINVAL ? io_uring_queue_init(depth, uring, 0) : result;
}

enum gfs_err gfs_ring_open(unsigned depth, struct gfs_ring **ret)
{
    GFS_ASSERT(depth > 0);
    struct io_uring probe;
    if (init_uring(&probe, 4) != 0) {
        return GFS_UNSUPPORTED;
    }
    io_uring_queue_exit(&probe);
    int fd = eventfd(0, EFD_CLOEXEC);
    if (fd < 0) {
        return GFS_IO;
    }
    struct gfs_ring *ring = gfs_alloc(sizeof *ring);
    ring->depth = depth;
    ring->wake_fd = fd;
    *ret = ring;
    return GFS_OK;
}

void gfs_ring_close(struct gfs_ring *ring)
{
    if (ring == NULL) {
        return;
    }
    GFS_ASSERT(ring->in_flight == 0);
    if (ring->is_ready) {
        io_uring_queue_exit(&ring->uring);
    }
    (void)close(ring->wake_fd);
    free(ring);
}

static bool make_ready(struct gfs_ring *ring)
{
    if (!ring->is_ready && init_uring(&ring->uring, ring->depth + 1) == 0) {
        ring->is_ready = true;
    }
    return ring->is_ready;
}

static struct io_uring_sqe *take_sqe(struct gfs_ring *ring)
{
    if (ring->in_flight >= ring->depth || !make_ready(ring)) {
        return NULL;
    }
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
    if (sqe != NULL) {
        ring->in_flight++;
    }
    return sqe;
}

bool gfs_ring_write(struct gfs_ring *ring, int fd, const void *ptr, size_t len, uint64_t offset,
                    bool is_durable, void *op)
{
    GFS_ASSERT(len <= INT32_MAX);
    struct io_uring_sqe *sqe = take_sqe(ring);
    if (sqe == NULL) {
        return false;
    }
    io_uring_prep_write(sqe, fd, ptr, (unsigned)len, offset);
    if (is_durable) {
        sqe->rw_flags = RWF_DSYNC;
    }
    io_uring_sqe_set_data(sqe, op);
    return true;
}

bool gfs_ring_flush(struct gfs_ring *ring, int fd, void *op)
{
    struct io_uring_sqe *sqe = take_sqe(ring);
    if (sqe == NULL) {
        return false;
    }
    io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
    io_uring_sqe_set_data(sqe, op);
    return true;
}

static void arm_wake(struct gfs_ring *ring)
{
    struct io_uring_sqe *sqe = ring->is_wake_armed ? NULL : io_uring_get_sqe(&ring->uring);
    if (sqe != NULL) {
        io_uring_prep_read(sqe, ring->wake_fd, &ring->wake_value, sizeof ring->wake_value, 0);
        io_uring_sqe_set_data(sqe, ring);
        ring->is_wake_armed = true;
    }
}

enum gfs_err gfs_ring_wait(struct gfs_ring *ring, bool block, gfs_ring_done_fn done, void *context)
{
    if (!make_ready(ring)) {
        return GFS_IO;
    }
    arm_wake(ring);
    int result;
    do {
        result = block ? io_uring_submit_and_wait(&ring->uring, 1) : io_uring_submit(&ring->uring);
    } while (result == -EINTR);
    if (result < 0 && result != -EBUSY && result != -EAGAIN) {
        return GFS_IO;
    }
    if (!block) {
        (void)io_uring_get_events(&ring->uring); /* deferred task work runs only when asked */
    }
    struct io_uring_cqe *cqe;
    while (io_uring_peek_cqe(&ring->uring, &cqe) == 0) {
        void *op = io_uring_cqe_get_data(cqe);
        int op_result = cqe->res;
        io_uring_cqe_seen(&ring->uring, cqe);
        if (op == ring) {
            ring->is_wake_armed = false;
            atomic_store(&ring->is_woken, false);
        } else {
            ring->in_flight--;
            done(context, op, op_result);
        }
    }
    return GFS_OK;
}

void gfs_ring_wake(struct gfs_ring *ring)
{
    if (!atomic_exchange(&ring->is_woken, true)) {
        uint64_t one = 1;
        ssize_t len = write(ring->wake_fd, &one, sizeof one);
        GFS_ASSERT(len == (ssize_t)sizeof one);
    }
}
