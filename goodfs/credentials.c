#include "goodfs/credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libgoodfs/digest.h"
#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"

enum { FILE_LEN_MAX = 1024, PATH_LEN_MAX = 4096 };

static const char access_prefix[] = "GOODFS_ROOT_ACCESS_KEY=";
static const char secret_prefix[] = "GOODFS_ROOT_SECRET_KEY=";

/* 32 characters: a random byte maps to each with the same probability. */
static void random_text(char *ret, size_t len)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    uint8_t bytes[64];
    GFS_ASSERT(len <= sizeof bytes);
    gfs_random(bytes, len);
    for (size_t i = 0; i < len; i++) {
        ret[i] = alphabet[bytes[i] % 32];
    }
    ret[len] = '\0';
}

static bool take_line(const char *text, const char *prefix, char *ret, size_t size)
{
    const char *line = strstr(text, prefix);
    if (line == NULL || (line != text && line[-1] != '\n')) {
        return false;
    }
    line += strlen(prefix);
    size_t len = strcspn(line, "\r\n");
    if (len == 0 || len >= size) {
        return false;
    }
    memcpy(ret, line, len);
    ret[len] = '\0';
    return true;
}

enum gfs_err credentials_read(const char *path, struct credentials *ret, struct gfs_error *error)
{
    struct stat st;
    *ret = (struct credentials){0};
    GFS_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return gfs_fail(error, errno == ENOENT ? GFS_NOT_FOUND : GFS_IO, "%s: %s", path,
                        strerror(errno));
    }
    if (fstat(fd, &st) != 0) {
        return gfs_fail(error, GFS_IO, "%s: %s", path, strerror(errno));
    }
    if ((st.st_mode & 077) != 0) {
        return gfs_fail(error, GFS_DENIED,
                        "%s: is accessible to others (mode %03o); it must be 0600", path,
                        (unsigned)st.st_mode & 0777U);
    }
    char text[FILE_LEN_MAX + 1];
    ssize_t len = read(fd, text, FILE_LEN_MAX);
    if (len < 0) {
        return gfs_fail(error, GFS_IO, "%s: %s", path, strerror(errno));
    }
    text[len] = '\0';
    if (!take_line(text, access_prefix, ret->access_key, sizeof ret->access_key) ||
        !take_line(text, secret_prefix, ret->secret_key, sizeof ret->secret_key)) {
        return gfs_fail(error, GFS_INVALID, "%s: has no %s and %s lines", path, access_prefix,
                        secret_prefix);
    }
    return GFS_OK;
}

static enum gfs_err sync_dir(const char *dir)
{
    GFS_CLOSE int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) != 0 ? GFS_IO : GFS_OK;
}

/* Written beside, flushed, renamed: a crash leaves the whole file or none. */
static enum gfs_err write_file(const char *dir, const char *path, const struct credentials *keys,
                               struct gfs_error *error)
{
    char temp[PATH_LEN_MAX];
    char text[FILE_LEN_MAX];
    int temp_len = snprintf(temp, sizeof temp, "%s.new", path);
    int len = snprintf(text, sizeof text, "%s%s\n%s%s\n", access_prefix, keys->access_key,
                       secret_prefix, keys->secret_key);
    if (temp_len < 0 || (size_t)temp_len >= sizeof temp || len < 0) {
        return gfs_fail(error, GFS_INVALID, "%s: path too long", path);
    }
    (void)unlink(temp);
    GFS_CLOSE int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, text, (size_t)len) != len || fsync(fd) != 0 ||
        rename(temp, path) != 0 || sync_dir(dir) != GFS_OK) {
        return gfs_fail(error, GFS_IO, "%s: %s", path, strerror(errno));
    }
    return GFS_OK;
}

static bool is_set(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static bool path_of(const char *dir, char ret[PATH_LEN_MAX])
{
    int len = snprintf(ret, PATH_LEN_MAX, "%s/root-credentials", dir);
    return len > 0 && len < PATH_LEN_MAX;
}

static enum gfs_err keep(const char *dir, const struct credentials *keys, struct gfs_error *error)
{
    char path[PATH_LEN_MAX];
    if (!path_of(dir, path)) {
        return gfs_fail(error, GFS_INVALID, "%s: path too long", dir);
    }
    struct stat st;
    return lstat(path, &st) == 0 ? GFS_OK : write_file(dir, path, keys, error);
}

void credentials_spread(const char *const *dirs, const struct credentials *keys)
{
    for (; keys->is_kept && *dirs != NULL; dirs++) {
        struct gfs_error error = {0};
        if (keep(*dirs, keys, &error) != GFS_OK) {
            gfs_log(GFS_LOG_WARN, "msg=\"the root keys are not kept here\" err=\"%s\"", error.text);
        }
    }
}

/* Reads all there are. OK: *ret; NOT_FOUND: there are none. */
static enum gfs_err read_all(const char *const *dirs, struct credentials *ret,
                             struct gfs_error *error)
{
    const char *found = NULL;
    enum gfs_err unread = GFS_NOT_FOUND;
    for (; *dirs != NULL; dirs++) {
        char path[PATH_LEN_MAX];
        struct credentials keys;
        if (!path_of(*dirs, path)) {
            return gfs_fail(error, GFS_INVALID, "%s: path too long", *dirs);
        }
        enum gfs_err err = credentials_read(path, &keys, error);
        if (err == GFS_IO) {
            unread = err; /* another disk may have them */
        } else if (err != GFS_OK && err != GFS_NOT_FOUND) {
            return err;
        } else if (err == GFS_OK && found == NULL) {
            found = *dirs;
            *ret = keys;
        } else if (err == GFS_OK && (strcmp(keys.access_key, ret->access_key) != 0 ||
                                     strcmp(keys.secret_key, ret->secret_key) != 0)) {
            return gfs_fail(error, GFS_CONFLICT,
                            "%s/root-credentials and %s differ: remove the wrong one", found, path);
        }
    }
    return found != NULL ? GFS_OK : unread;
}

static enum gfs_err take_settings(const char *access_key, const char *secret_key,
                                  struct credentials *ret, struct gfs_error *error)
{
    if (strlen(access_key) > CREDENTIALS_LEN_MAX || strlen(secret_key) > CREDENTIALS_LEN_MAX) {
        return gfs_fail(error, GFS_INVALID, "root keys have at most %d characters",
                        CREDENTIALS_LEN_MAX);
    }
    memcpy(ret->access_key, access_key, strlen(access_key) + 1);
    memcpy(ret->secret_key, secret_key, strlen(secret_key) + 1);
    return GFS_OK;
}

enum gfs_err credentials_load(const char *const *dirs, const char *access_key,
                              const char *secret_key, struct credentials *ret,
                              struct gfs_error *error)
{
    *ret = (struct credentials){0};
    if (is_set(access_key) != is_set(secret_key)) {
        return gfs_fail(error, GFS_INVALID,
                        "root-access-key and root-secret-key must be set together");
    }
    if (is_set(access_key)) {
        return take_settings(access_key, secret_key, ret, error);
    }
    enum gfs_err err = read_all(dirs, ret, error);
    ret->is_kept = err == GFS_OK;
    if (err == GFS_NOT_FOUND) {
        random_text(ret->access_key, CREDENTIALS_ACCESS_LEN);
        random_text(ret->secret_key, CREDENTIALS_SECRET_LEN);
        ret->is_generated = true;
        for (size_t i = 0; dirs[i] != NULL; i++) {
            err = keep(dirs[i], ret, error);
            ret->is_kept = ret->is_kept || err == GFS_OK;
        }
        err = ret->is_kept ? GFS_OK : err;
    }
    if (err == GFS_OK) {
        credentials_spread(dirs, ret);
    }
    return err;
}
