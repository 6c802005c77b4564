#include "pool/pool_map_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

static const char map_name[] = "pool.json";
static const char map_temporary[] = "pool.json.tmp";
static const char mark_name[] = "pool.new";
static const char mark_temporary[] = "pool.new.tmp";
static const char try_name[] = "write.tmp";

static int open_dir(const char *dir, struct gfs_error *error)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        enum gfs_err err = gfs_err_from_errno(errno);
        const char *why = err == GFS_NOT_FOUND ? "no such directory" : "it cannot be opened";
        (void)gfs_fail(error, errno == ENOTDIR ? GFS_INVALID : err, "%.120s: %s", dir,
                       errno == ENOTDIR ? "it is no directory" : why);
    }
    return fd;
}

static struct pool_root root_of(const struct stat *info)
{
    return (struct pool_root){.is_known = true, .dev = info->st_dev, .ino = info->st_ino};
}

struct pool_root pool_root_of(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 ? root_of(&info) : (struct pool_root){0};
}

bool pool_root_is_other(const struct pool_root *a, const struct pool_root *b)
{
    return a->is_known && b->is_known && (a->dev != b->dev || a->ino != b->ino);
}

static enum gfs_err read_whole(int fd, char *to, size_t len)
{
    size_t have = 0;
    while (have < len) {
        ssize_t got = read(fd, to + have, len - have);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return got == 0 ? GFS_CORRUPT : GFS_IO;
        }
        have += (size_t)got;
    }
    return GFS_OK;
}

/* A whole file, NUL-terminated; *ret is the caller's. NOT_FOUND, CORRUPT (over max, or it became
 * shorter meanwhile), IO. */
static enum gfs_err load(int dir_fd, const char *name, size_t max, char **ret, size_t *ret_len)
{
    GFS_CLOSE int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0) {
        return gfs_err_from_errno(errno);
    }
    if (!S_ISREG(info.st_mode) || (uint64_t)info.st_size > max) {
        return GFS_CORRUPT;
    }
    GFS_FREE char *text = gfs_alloc((size_t)info.st_size + 1);
    enum gfs_err err = read_whole(fd, text, (size_t)info.st_size);
    if (err == GFS_OK) {
        *ret_len = (size_t)info.st_size;
        *ret = GFS_TAKE(text);
    }
    return err;
}

static enum gfs_err load_map(int dir_fd, const char *dir, struct pool_map **ret,
                             struct gfs_error *error)
{
    GFS_FREE char *text = NULL;
    size_t len = 0;
    enum gfs_err err = load(dir_fd, map_name, POOL_MAP_TEXT_MAX, &text, &len);
    if (err != GFS_OK) {
        return gfs_fail(error, err, "%.120s/%s: %s", dir, map_name, gfs_err_text(err));
    }
    err = pool_map_decode(gfs_slice_of(text, len), ret, error);
    return err == GFS_OK ? GFS_OK : gfs_wrap(error, err, "%.100s/%s", dir, map_name);
}

enum gfs_err pool_map_file_load(const char *dir, struct pool_map **ret, struct gfs_error *error)
{
    struct gfs_error why = {0};
    GFS_CLOSE int fd = open_dir(dir, &why);
    if (fd < 0) {
        return gfs_fail(error, why.code, "%s", why.text);
    }
    return load_map(fd, dir, ret, error);
}

static enum gfs_err write_whole(int fd, struct gfs_slice text)
{
    while (text.len != 0) {
        ssize_t got = write(fd, text.ptr, text.len);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return got == 0 ? GFS_IO : gfs_err_from_errno(errno);
        }
        text = gfs_slice_of(text.ptr + got, text.len - (size_t)got);
    }
    return fsync(fd) == 0 ? GFS_OK : gfs_err_from_errno(errno);
}

/* In place of what is called `name`, so that after a crash either is there whole. */
static enum gfs_err replace(int dir_fd, const char *temporary, const char *name,
                            struct gfs_slice text)
{
    GFS_CLOSE int fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    enum gfs_err err = fd < 0 ? gfs_err_from_errno(errno) : write_whole(fd, text);
    if (err == GFS_OK && renameat(dir_fd, temporary, dir_fd, name) != 0) {
        err = gfs_err_from_errno(errno);
    }
    if (err == GFS_OK && fsync(dir_fd) != 0) {
        err = gfs_err_from_errno(errno);
    }
    if (err != GFS_OK) {
        (void)unlinkat(dir_fd, temporary, 0); /* it may be what fills the disk */
    }
    return err == GFS_OK || err == GFS_NO_SPACE ? err : GFS_IO;
}

enum gfs_err pool_map_file_try(const char *dir)
{
    char bytes[4096] = {0};
    GFS_CLOSE int fd = open_dir(dir, NULL);
    if (fd < 0) {
        return GFS_IO;
    }
    enum gfs_err err = replace(fd, try_name, try_name, gfs_slice_of(bytes, sizeof bytes));
    if (err == GFS_OK && unlinkat(fd, try_name, 0) != 0) {
        err = GFS_IO;
    }
    return err;
}

/* The disk has a map: it is one. After a crash before this is durable the map says so already. */
static enum gfs_err remove_mark(int dir_fd)
{
    if (unlinkat(dir_fd, mark_name, 0) != 0) {
        return errno == ENOENT ? GFS_OK : GFS_IO;
    }
    return fsync(dir_fd) == 0 ? GFS_OK : GFS_IO;
}

static enum gfs_err load_identity(int dir_fd, const char *dir, struct gfs_identity *ret,
                                  struct gfs_error *error)
{
    GFS_FREE char *text = NULL;
    size_t len = 0;
    struct gfs_error why = {0};
    enum gfs_err err = load(dir_fd, "identity", GFS_IDENTITY_SIZE_MAX, &text, &len);
    if (err != GFS_OK) {
        return gfs_fail(error, err, "%.120s/identity: %s", dir, gfs_err_text(err));
    }
    err = gfs_identity_parse(gfs_slice_of(text, len), ret, &why);
    return err == GFS_OK ? GFS_OK : gfs_fail(error, err, "%.120s/identity: %s", dir, why.text);
}

/* Whose directory that is. */
static enum gfs_err check_place(int dir_fd, const char *dir, const struct pool_root *root,
                                const uint8_t id[16], struct gfs_error *error)
{
    struct gfs_identity identity;
    struct stat info;
    if (fstat(dir_fd, &info) != 0) {
        return gfs_fail(error, GFS_IO, "%.120s: it cannot be read", dir);
    }
    struct pool_root own = root_of(&info);
    if (pool_root_is_other(&own, root)) {
        return gfs_fail(error, GFS_TIMEOUT, "%.120s is not the directory it was", dir);
    }
    enum gfs_err err = load_identity(dir_fd, dir, &identity, error);
    if (err == GFS_OK && memcmp(identity.id, id, sizeof identity.id) != 0) {
        return gfs_fail(error, GFS_CONFLICT, "%.120s is not the disk it was", dir);
    }
    return err == GFS_NOT_FOUND ? GFS_TIMEOUT : err;
}

enum gfs_err pool_map_file_store(const char *dir, const struct pool_root *root,
                                 const uint8_t id[16], struct gfs_slice text,
                                 struct gfs_error *error)
{
    struct gfs_error why = {0};
    GFS_CLOSE int fd = open_dir(dir, &why);
    if (fd < 0) {
        bool is_gone = why.code == GFS_NOT_FOUND || why.code == GFS_INVALID;
        return gfs_fail(error, is_gone ? GFS_TIMEOUT : GFS_IO, "%s", why.text);
    }
    enum gfs_err err = check_place(fd, dir, root, id, error);
    if (err != GFS_OK) {
        return err;
    }
    err = replace(fd, map_temporary, map_name, text);
    if (err == GFS_OK) {
        err = remove_mark(fd);
    }
    return err == GFS_OK ? GFS_OK
                         : gfs_fail(error, err, "%.120s/%s: %s", dir, map_name, gfs_err_text(err));
}

/* Left by a disk that was emptied while it was in use: they tell of what is there no more. */
static const char *const leftovers[] = {"scrub.json", "scrub.json.tmp", "index.ckpt",
                                        "index.tmp",  "pool.json.tmp",  try_name};

/* A directory that was just made has to be found after a power loss. Who may not read the one above
 * has not made it. */
static enum gfs_err sync_above(int dir_fd)
{
    GFS_CLOSE int fd = openat(dir_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool has_failed = fd >= 0 && fsync(fd) != 0 && errno != EINVAL && errno != EROFS;
    return has_failed ? GFS_IO : GFS_OK;
}

enum gfs_err pool_map_file_begin(const char *dir, struct gfs_error *error)
{
    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        enum gfs_err err = gfs_err_from_errno(errno) == GFS_NO_SPACE ? GFS_NO_SPACE : GFS_IO;
        return gfs_fail(error, err, "%.120s: the directory cannot be made", dir);
    }
    struct gfs_error why = {0};
    GFS_CLOSE int fd = open_dir(dir, &why);
    if (fd < 0) {
        return gfs_fail(error, GFS_IO, "%s", why.text);
    }
    for (size_t i = 0; i < GFS_COUNT(leftovers); i++) {
        (void)unlinkat(fd, leftovers[i], 0);
    }
    enum gfs_err err = sync_above(fd);
    if (err == GFS_OK) {
        err = replace(fd, mark_temporary, mark_name,
                      GFS_SLICE_LITERAL("becomes a disk of a GoodFS pool\n"));
    }
    return err == GFS_OK ? GFS_OK
                         : gfs_fail(error, err, "%.120s/%s: %s", dir, mark_name, gfs_err_text(err));
}

/* ---- probing ---- */

static void probe_identity(int dir_fd, struct pool_found *ret)
{
    struct gfs_identity identity;
    struct gfs_error error = {0};
    enum gfs_err err = load_identity(dir_fd, ret->path, &identity, &error);
    if (err == GFS_OK && strlen(identity.cluster) >= sizeof ret->cluster) {
        err = gfs_fail(&error, GFS_CORRUPT, "%.120s/identity: no valid cluster line", ret->path);
    }
    if (err == GFS_OK) {
        (void)snprintf(ret->cluster, sizeof ret->cluster, "%.36s", identity.cluster);
        memcpy(ret->id, identity.id, sizeof ret->id);
        ret->has_identity = true;
    } else if (err != GFS_NOT_FOUND) {
        ret->error = error;
    }
}

/* Names in a directory but "." and "..", each told to visit, which answers whether it matters;
 * *ret: whether one did. */
static enum gfs_err find_name(int dir_fd, const char *name, bool (*visit)(int dir_fd, const char *),
                              bool *ret)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    if (list == NULL) {
        enum gfs_err err = gfs_err_from_errno(errno);
        gfs_close_fd(&fd);
        return err;
    }
    *ret = false;
    errno = 0;
    const struct dirent *entry = readdir(list);
    while (entry != NULL && !*ret) {
        bool is_dots = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
        *ret = !is_dots && visit(dir_fd, entry->d_name);
        errno = 0;
        entry = readdir(list);
    }
    enum gfs_err err = entry == NULL && errno != 0 ? GFS_IO : GFS_OK;
    (void)closedir(list);
    return err;
}

static bool any_name(int dir_fd, const char *name)
{
    (void)dir_fd;
    (void)name;
    return true;
}

/* What a file system makes by itself, and what is left of a store whose making was interrupted
 * before it had an identity: nothing can have been stored yet. */
static bool is_content(int dir_fd, const char *name)
{
    const char *const nothing[] = {"lost+found", "lock", "identity.tmp", mark_temporary};
    for (size_t i = 0; i < GFS_COUNT(nothing); i++) {
        if (strcmp(name, nothing[i]) == 0) {
            return false;
        }
    }
    for (size_t i = 0; i < GFS_COUNT(leftovers); i++) {
        if (strcmp(name, leftovers[i]) == 0) {
            return false;
        }
    }
    bool has_names = true;
    if (strcmp(name, "log") == 0 || strcmp(name, "bulk") == 0 || strcmp(name, "meta") == 0) {
        enum gfs_err err = find_name(dir_fd, name, any_name, &has_names);
        has_names = has_names || err != GFS_OK;
    }
    return has_names;
}

static void probe_mount(int dir_fd, struct pool_found *ret)
{
    struct stat own, above;
    if (fstat(dir_fd, &own) == 0 && fstatat(dir_fd, "..", &above, 0) == 0) {
        ret->is_mount = own.st_dev != above.st_dev || own.st_ino == above.st_ino;
    }
}

static void probe_content(int dir_fd, struct pool_found *ret)
{
    bool has_content = false;
    enum gfs_err err = find_name(dir_fd, ".", is_content, &has_content);
    if (err != GFS_OK) {
        ret->is_missing = true;
        (void)gfs_fail(&ret->error, err, "%.120s: it cannot be read", ret->path);
        return;
    }
    ret->is_empty = !has_content;
}

void pool_found_probe(const char *path, struct pool_found *ret)
{
    *ret = (struct pool_found){.path = path};
    GFS_CLOSE int fd = open_dir(path, &ret->error);
    if (fd < 0) {
        ret->is_missing = true;
        return;
    }
    probe_mount(fd, ret);
    probe_content(fd, ret);
    if (ret->is_missing || ret->is_empty) {
        return;
    }
    probe_identity(fd, ret);
    if (ret->error.code != GFS_OK) {
        return;
    }
    enum gfs_err err = load_map(fd, path, &ret->map, &ret->error);
    if (err == GFS_NOT_FOUND) {
        ret->error = (struct gfs_error){0};
        ret->is_begun = faccessat(fd, mark_name, F_OK, 0) == 0;
    }
    if (err == GFS_OK && !ret->has_identity) {
        pool_map_free(GFS_TAKE(ret->map));
        (void)gfs_fail(&ret->error, GFS_CORRUPT, "%.120s has a map of a pool, and no identity file",
                       path);
    }
}

void pool_found_fini(struct pool_found *found)
{
    pool_map_free(found->map);
    found->map = NULL;
}
