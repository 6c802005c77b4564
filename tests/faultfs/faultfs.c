/* A file system that fails on demand: everything goes through to a backing directory until the
 * control page says otherwise. For tests of disks that die.
 *
 * usage: faultfs BACKING MOUNTPOINT CONTROL
 * CONTROL is a file of at least 8 bytes that the test writes and this program maps:
 *   byte 0: reads fail (EIO)         byte 1: writes fail (EIO)     byte 2: fsync fails (EIO)
 *   byte 3: the disk is full         byte 4: everything but look-ups waits while it is not 0,
 *                                            and look-ups as well while it is over 1
 *   byte 5: opening and look-ups fail as well
 *   bytes 6-7: every read and write takes that many milliseconds longer (little-endian)
 * Runs in the foreground until it is unmounted. */
#define FUSE_USE_VERSION 31

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, CONTROL_SIZE = 8, HANG_POLL_MS = 20 };
enum { FAIL_READ, FAIL_WRITE, FAIL_FSYNC, FULL, HANG, FAIL_OPEN, DELAY };

/* One mounted file system a process; FUSE hands it to every call. */
struct faultfs {
    char backing[PATH_SIZE];
    const volatile unsigned char *control;
};

static struct faultfs *self(void)
{
    return fuse_get_context()->private_data;
}

static void pause_ms(unsigned ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

/* 0, or the error that the control page asks for. */
static int fault(int kind)
{
    const volatile unsigned char *control = self()->control;
    while (control[HANG] > (kind == FAIL_OPEN ? 1 : 0)) {
        pause_ms(HANG_POLL_MS);
    }
    unsigned delay = control[DELAY] | (unsigned)control[DELAY + 1] << 8;
    if (delay != 0 && (kind == FAIL_READ || kind == FAIL_WRITE)) {
        pause_ms(delay);
    }
    return control[kind] != 0 ? -EIO : 0;
}

/* For what takes room that was not taken before. What is in place already can be written, deleted
 * and renamed on a full disk, too. */
static int fault_of_growth(void)
{
    int err = fault(FAIL_WRITE);
    return err == 0 && self()->control[FULL] != 0 ? -ENOSPC : err;
}

static int result(int value)
{
    return value < 0 ? -errno : value;
}

/* The path in the backing directory, into ret (PATH_SIZE). */
static int under(const char *path, char *ret)
{
    int len = snprintf(ret, PATH_SIZE, "%s%s", self()->backing, path);
    return len < 0 || len >= PATH_SIZE ? -ENAMETOOLONG : 0;
}

static int do_getattr(const char *path, struct stat *ret, struct fuse_file_info *info)
{
    int err = fault(FAIL_OPEN);
    if (err != 0) {
        return err;
    }
    if (info != NULL) {
        return result(fstat((int)info->fh, ret));
    }
    char real[PATH_SIZE];
    err = under(path, real);
    return err != 0 ? err : result(lstat(real, ret));
}

static int do_mkdir(const char *path, mode_t mode)
{
    char real[PATH_SIZE];
    int err = fault_of_growth();
    err = err != 0 ? err : under(path, real);
    return err != 0 ? err : result(mkdir(real, mode));
}

static int do_unlink(const char *path)
{
    char real[PATH_SIZE];
    int err = fault(FAIL_OPEN);
    err = err != 0 ? err : under(path, real);
    return err != 0 ? err : result(unlink(real));
}

static int do_rmdir(const char *path)
{
    char real[PATH_SIZE];
    int err = under(path, real);
    return err != 0 ? err : result(rmdir(real));
}

static int do_rename(const char *from, const char *to, unsigned flags)
{
    char real_from[PATH_SIZE];
    char real_to[PATH_SIZE];
    int err = flags != 0 ? -EINVAL : fault(FAIL_WRITE);
    err = err != 0 ? err : under(from, real_from);
    err = err != 0 ? err : under(to, real_to);
    return err != 0 ? err : result(rename(real_from, real_to));
}

static int do_chmod(const char *path, mode_t mode, struct fuse_file_info *info)
{
    (void)info;
    char real[PATH_SIZE];
    int err = under(path, real);
    return err != 0 ? err : result(chmod(real, mode));
}

static int do_truncate(const char *path, off_t size, struct fuse_file_info *info)
{
    char real[PATH_SIZE];
    int err = fault(FAIL_WRITE);
    if (err == 0 && info != NULL) {
        return result(ftruncate((int)info->fh, size));
    }
    err = err != 0 ? err : under(path, real);
    return err != 0 ? err : result(truncate(real, size));
}

static int do_utimens(const char *path, const struct timespec times[2], struct fuse_file_info *info)
{
    (void)info;
    char real[PATH_SIZE];
    int err = under(path, real);
    return err != 0 ? err : result(utimensat(AT_FDCWD, real, times, AT_SYMLINK_NOFOLLOW));
}

/* The kernel's cache stands above: the backing file is opened without O_DIRECT. */
static int open_real(const char *path, int flags, mode_t mode, struct fuse_file_info *info)
{
    char real[PATH_SIZE];
    int err = fault(FAIL_OPEN);
    err = err != 0 ? err : under(path, real);
    if (err != 0) {
        return err;
    }
    int fd = open(real, (flags & ~O_DIRECT) | O_CLOEXEC, mode);
    if (fd < 0) {
        return -errno;
    }
    info->fh = (uint64_t)fd;
    return 0;
}

static int do_open(const char *path, struct fuse_file_info *info)
{
    return open_real(path, info->flags, 0, info);
}

static int do_create(const char *path, mode_t mode, struct fuse_file_info *info)
{
    int err = fault_of_growth();
    return err != 0 ? err : open_real(path, info->flags | O_CREAT, mode, info);
}

static int do_read(const char *path, char *ret, size_t size, off_t offset,
                   struct fuse_file_info *info)
{
    (void)path;
    int err = fault(FAIL_READ);
    return err != 0 ? err : result((int)pread((int)info->fh, ret, size, offset));
}

static int do_write(const char *path, const char *bytes, size_t size, off_t offset,
                    struct fuse_file_info *info)
{
    (void)path;
    struct stat info_now;
    bool is_in_place =
        fstat((int)info->fh, &info_now) == 0 && offset + (off_t)size <= info_now.st_size;
    int err = is_in_place ? fault(FAIL_WRITE) : fault_of_growth();
    return err != 0 ? err : result((int)pwrite((int)info->fh, bytes, size, offset));
}

static int do_fsync(const char *path, int is_data_only, struct fuse_file_info *info)
{
    (void)path;
    int err = fault(FAIL_FSYNC);
    if (err != 0) {
        return err;
    }
    return result(is_data_only != 0 ? fdatasync((int)info->fh) : fsync((int)info->fh));
}

static int do_fsyncdir(const char *path, int is_data_only, struct fuse_file_info *info)
{
    (void)is_data_only;
    (void)info;
    char real[PATH_SIZE];
    int err = fault(FAIL_FSYNC);
    err = err != 0 ? err : under(path, real);
    if (err != 0) {
        return err;
    }
    int fd = open(real, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    err = result(fsync(fd));
    (void)close(fd);
    return err;
}

static int do_release(const char *path, struct fuse_file_info *info)
{
    (void)path;
    return result(close((int)info->fh));
}

static int do_fallocate(const char *path, int mode, off_t offset, off_t len,
                        struct fuse_file_info *info)
{
    (void)path;
    int err = (mode & FALLOC_FL_PUNCH_HOLE) != 0 ? fault(FAIL_WRITE) : fault_of_growth();
    return err != 0 ? err : result(fallocate((int)info->fh, mode, offset, len));
}

static int do_statfs(const char *path, struct statvfs *ret)
{
    (void)path;
    int err = fault(FAIL_OPEN);
    err = err != 0 ? err : result(statvfs(self()->backing, ret));
    if (err == 0 && self()->control[FULL] != 0) {
        ret->f_bavail = 0;
        ret->f_bfree = 0;
    }
    return err;
}

static int do_readdir(const char *path, void *buffer, fuse_fill_dir_t fill, off_t offset,
                      struct fuse_file_info *info, enum fuse_readdir_flags flags)
{
    (void)offset;
    (void)info;
    (void)flags;
    char real[PATH_SIZE];
    int err = fault(FAIL_OPEN);
    err = err != 0 ? err : under(path, real);
    DIR *dir = err != 0 ? NULL : opendir(real);
    if (dir == NULL) {
        return err != 0 ? err : -errno;
    }
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (fill(buffer, entry->d_name, NULL, 0, 0) != 0) {
            break;
        }
    }
    (void)closedir(dir);
    return 0;
}

static void *do_init(struct fuse_conn_info *conn, struct fuse_config *config)
{
    (void)conn;
    config->use_ino = 1;
    config->nullpath_ok = 0;
    config->hard_remove = 1;
    /* what the control page changes must be seen at once */
    config->attr_timeout = 0;
    config->entry_timeout = 0;
    config->negative_timeout = 0;
    return fuse_get_context()->private_data;
}

static const struct fuse_operations operations = {
    .init = do_init,
    .getattr = do_getattr,
    .mkdir = do_mkdir,
    .unlink = do_unlink,
    .rmdir = do_rmdir,
    .rename = do_rename,
    .chmod = do_chmod,
    .truncate = do_truncate,
    .utimens = do_utimens,
    .open = do_open,
    .create = do_create,
    .read = do_read,
    .write = do_write,
    .fsync = do_fsync,
    .fsyncdir = do_fsyncdir,
    .release = do_release,
    .fallocate = do_fallocate,
    .statfs = do_statfs,
    .readdir = do_readdir,
};

int main(int argc, char **argv)
{
    if (argc != 4) {
        (void)fprintf(stderr, "usage: faultfs BACKING MOUNTPOINT CONTROL\n");
        return 2;
    }
    static struct faultfs fs; /* outlives every call */
    if (realpath(argv[1], fs.backing) == NULL) {
        perror(argv[1]);
        return 1;
    }
    int fd = open(argv[3], O_RDONLY | O_CLOEXEC);
    void *page = fd < 0 ? MAP_FAILED : mmap(NULL, CONTROL_SIZE, PROT_READ, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED) {
        perror(argv[3]);
        return 1;
    }
    fs.control = page;
    (void)umask(0);
    char foreground[] = "-f";
    char *fuse_argv[] = {argv[0], foreground, argv[2], NULL};
    return fuse_main(3, fuse_argv, &operations, &fs);
}
