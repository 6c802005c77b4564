/* Yardstick for durable writes: what the disk gives a program that does nothing else.
 *
 * Default: a group commit. N writers hand in a record each; one write and one fdatasync are in
 * flight, and what was handed in meanwhile is the next batch. The writers are simulated: each hands
 * in its next record when the last one is durable, so a batch holds N of them. Records are copied
 * and checksummed as a log would. O_DIRECT, over blocks written before, so that a flush moves no
 * file-system metadata.
 * --large: N threads, each writes objects of 64 MiB to a file of its own (a new one each time,
 * buffered, or O_DIRECT with --direct) and ends them with fdatasync.
 *
 * usage: raw_log --dir DIR [--writers N] [--record BYTES] [--duration-ms MS] [--large [--direct]]
 * Prints one JSON line. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "libgoodfs/clock.h"
#include "libgoodfs/crc.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

enum {
    ALIGN = 4096,
    WRITERS_MAX = 4096,
    STEP = 1 << 20,        /* bytes of one write of a large object */
    LOG_SIZE = 256 << 20,  /* bytes written before, then over and over */
    LARGE_SIZE = 64 << 20, /* bytes of a large object */
    BATCH_MAX = 32 << 20,
};

/* Plain data. Immutable after parse. */
struct raw_options {
    const char *dir;
    uint64_t writers, record, duration_ms;
    bool is_large, is_direct;
};

static void die(const char *what)
{
    (void)fprintf(stderr, "raw_log: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void write_all(int fd, const char *ptr, size_t len, off_t offset)
{
    while (len != 0) {
        ssize_t got = pwrite(fd, ptr, len, offset);
        if (got <= 0) {
            die("write");
        }
        ptr += got;
        len -= (size_t)got;
        offset += got;
    }
}

static int create_file(const struct raw_options *options, const char *name, bool is_direct)
{
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s", options->dir, name);
    int flags = O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | (is_direct ? O_DIRECT : 0);
    int fd = open(path, flags, 0600);
    if (fd < 0) {
        die(path);
    }
    /* The space goes back when the program ends, however it does. */
    (void)unlink(path);
    return fd;
}

static double cpu_us(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* ---- group commit ---- */

/* Lays the records of a batch out as a log does: copied, and under a checksum. */
static size_t build_batch(const struct raw_options *options, const char *record, char *batch)
{
    size_t len = 0;
    for (uint64_t i = 0; i < options->writers; i++) {
        uint32_t crc = gfs_crc32c(0, record, options->record);
        memcpy(batch + len, record, options->record);
        memcpy(batch + len, &crc, sizeof crc);
        len += options->record;
    }
    return (len + ALIGN - 1) / ALIGN * ALIGN;
}

static void group_commit(const struct raw_options *options)
{
    int GFS_CLOSE fd = create_file(options, "raw_log", true);
    char GFS_FREE *batch = gfs_alloc_aligned(ALIGN, BATCH_MAX);
    char GFS_FREE *record = gfs_alloc_aligned(ALIGN, options->record);
    memset(batch, 0, BATCH_MAX);
    memset(record, 'r', options->record);
    for (off_t at = 0; at < LOG_SIZE; at += STEP) {
        write_all(fd, batch, STEP, at);
    }
    if (fsync(fd) != 0) {
        die("fsync");
    }
    uint64_t flushes = 0;
    off_t offset = 0;
    double cpu_from = cpu_us();
    int64_t from = gfs_monotonic_ns(), now = from;
    while (now - from < (int64_t)options->duration_ms * 1000000) {
        size_t len = build_batch(options, record, batch);
        offset = offset + (off_t)len > LOG_SIZE ? 0 : offset;
        write_all(fd, batch, len, offset);
        if (fdatasync(fd) != 0) {
            die("fdatasync");
        }
        offset += (off_t)len;
        flushes++;
        now = gfs_monotonic_ns();
    }
    double seconds = (double)(now - from) / 1e9;
    double records = (double)(flushes * options->writers);
    printf("{\"mode\": \"group_commit\", \"writers\": %" PRIu64 ", \"record\": %" PRIu64
           ", \"seconds\": %.4f, \"records_s\": %.1f, \"flushes_s\": %.1f, \"us_per_flush\": %.2f, "
           "\"cpu_us_per_record\": %.3f}\n",
           options->writers, options->record, seconds, records / seconds, (double)flushes / seconds,
           seconds * 1e6 / (double)flushes, (cpu_us() - cpu_from) / records);
}

/* ---- large objects ---- */

/* Plain data. */
struct large_writer {
    const struct raw_options *options;
    const char *block; /* STEP bytes */
    uint64_t index;
    int64_t stop_ns;
    uint64_t objects; /* written whole */
};

static void *write_objects(void *arg)
{
    struct large_writer *writer = arg;
    char name[64];
    (void)snprintf(name, sizeof name, "raw_large.%" PRIu64, writer->index);
    while (gfs_monotonic_ns() < writer->stop_ns) {
        int GFS_CLOSE fd = create_file(writer->options, name, writer->options->is_direct);
        for (off_t at = 0; at < LARGE_SIZE; at += STEP) {
            write_all(fd, writer->block, STEP, at);
        }
        if (fdatasync(fd) != 0) {
            die("fdatasync");
        }
        writer->objects++;
    }
    return NULL;
}

static void large_objects(const struct raw_options *options)
{
    struct large_writer writers[WRITERS_MAX];
    pthread_t threads[WRITERS_MAX];
    char GFS_FREE *block = gfs_alloc_aligned(ALIGN, STEP);
    memset(block, 'b', STEP);
    int64_t from = gfs_monotonic_ns();
    int64_t stop = from + (int64_t)options->duration_ms * 1000000;
    for (uint64_t i = 0; i < options->writers; i++) {
        writers[i] = (struct large_writer){options, block, i, stop, 0};
        if (pthread_create(&threads[i], NULL, write_objects, &writers[i]) != 0) {
            die("thread");
        }
    }
    uint64_t objects = 0;
    for (uint64_t i = 0; i < options->writers; i++) {
        (void)pthread_join(threads[i], NULL);
        objects += writers[i].objects;
    }
    double seconds = (double)(gfs_monotonic_ns() - from) / 1e9;
    printf("{\"mode\": \"large\", \"writers\": %" PRIu64 ", \"direct\": %s, \"size\": %d, "
           "\"seconds\": %.4f, \"objects\": %" PRIu64 ", \"ops_s\": %.2f, \"mb_s\": %.2f}\n",
           options->writers, options->is_direct ? "true" : "false", LARGE_SIZE, seconds, objects,
           (double)objects / seconds, (double)objects * LARGE_SIZE / seconds / 1e6);
}

static bool parse(int argc, char **argv, struct raw_options *ret)
{
    static const struct option longs[] = {
        {"dir", required_argument, NULL, 'd'},
        {"writers", required_argument, NULL, 'w'},
        {"record", required_argument, NULL, 'r'},
        {"duration-ms", required_argument, NULL, 't'},
        {"large", no_argument, NULL, 'l'},
        {"direct", no_argument, NULL, 'o'},
        {NULL, 0, NULL, 0},
    };
    *ret = (struct raw_options){.writers = 64, .record = 4096, .duration_ms = 2000};
    bool is_good = true;
    for (int id; (id = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        struct gfs_slice text = gfs_slice_str(optarg);
        switch (id) {
        case 'd':
            ret->dir = optarg;
            break;
        case 'w':
            is_good &= gfs_parse_u64(text, WRITERS_MAX, &ret->writers) == GFS_OK;
            break;
        case 'r':
            is_good &= gfs_parse_u64(text, STEP, &ret->record) == GFS_OK;
            break;
        case 't':
            is_good &= gfs_parse_u64(text, 3600000, &ret->duration_ms) == GFS_OK;
            break;
        case 'l':
            ret->is_large = true;
            break;
        case 'o':
            ret->is_direct = true;
            break;
        default:
            return false;
        }
    }
    return is_good && ret->dir != NULL && optind == argc && ret->writers != 0 &&
           ret->record >= sizeof(uint32_t) && ret->writers * ret->record <= BATCH_MAX;
}

int main(int argc, char **argv)
{
    struct raw_options options;
    if (!parse(argc, argv, &options)) {
        (void)fprintf(stderr, "usage: raw_log --dir DIR [--writers N] [--record BYTES] "
                              "[--duration-ms MS] [--large [--direct]]\n");
        return 2;
    }
    if (options.is_large) {
        large_objects(&options);
    } else {
        group_commit(&options);
    }
    return 0;
}
