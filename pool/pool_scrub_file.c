#include "pool/pool_scrub_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libgoodfs/json.h"
#include "libgoodfs/json_out.h"
#include "libgoodfs/mem.h"
#include "pool/pool_map.h"

enum { TEXT_MAX = 4096 };

static bool make_path(const char *dir, const char *name, char *ret, size_t size)
{
    int len = snprintf(ret, size, "%s/%s", dir, name);
    return len > 0 && (size_t)len < size;
}

static bool has_identity(const char *dir)
{
    char path[POOL_PATH_LEN_MAX + 32];
    return make_path(dir, "identity", path, sizeof path) && access(path, F_OK) == 0;
}

static uint64_t get(const struct gfs_json *object, const char *name)
{
    int64_t value = 0;
    const struct gfs_json *member = gfs_json_get(object, name);
    return member != NULL && gfs_json_integer(member, &value) && value > 0 ? (uint64_t)value : 0;
}

static void decode(struct gfs_slice text, struct pool_scrub_cursor *ret)
{
    struct gfs_json *root;
    if (gfs_json_parse(text, &root, NULL) != GFS_OK) {
        return;
    }
    ret->is_running = get(root, "running") != 0;
    ret->is_in_log = get(root, "in_log") != 0;
    ret->part = (uint32_t)GFS_MIN(get(root, "part"), (uint64_t)UINT32_MAX);
    ret->log = get(root, "log");
    ret->pass = get(root, "pass");
    ret->bytes = get(root, "bytes");
    ret->started_ms = (int64_t)get(root, "started_ms");
    ret->finished_ms = (int64_t)get(root, "finished_ms");
    ret->found = get(root, "found");
    ret->healed = get(root, "healed");
    gfs_json_free(root);
}

void pool_scrub_file_load(const char *dir, struct pool_scrub_cursor *ret)
{
    *ret = (struct pool_scrub_cursor){0};
    char path[POOL_PATH_LEN_MAX + 32];
    if (!make_path(dir, "scrub.json", path, sizeof path)) {
        return;
    }
    GFS_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    char text[TEXT_MAX];
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text);
    if (len > 0) {
        decode(gfs_slice_of(text, (size_t)len), ret);
    }
}

bool pool_scrub_file_store(const char *dir, const struct pool_scrub_cursor *cursor)
{
    char temporary[POOL_PATH_LEN_MAX + 32];
    char path[POOL_PATH_LEN_MAX + 32];
    if (!make_path(dir, "scrub.json.tmp", temporary, sizeof temporary) ||
        !make_path(dir, "scrub.json", path, sizeof path)) {
        return false;
    }
    if (!has_identity(dir)) {
        return false;
    }
    GFS_CLEANUP(gfs_buf_fini) struct gfs_buf text;
    gfs_buf_init(&text, TEXT_MAX);
    struct gfs_json_out out;
    gfs_json_out_init(&out, &text);
    gfs_json_out_object(&out, NULL);
    gfs_json_out_u64(&out, "running", cursor->is_running);
    gfs_json_out_u64(&out, "in_log", cursor->is_in_log);
    gfs_json_out_u64(&out, "part", cursor->part);
    gfs_json_out_u64(&out, "log", cursor->log);
    gfs_json_out_u64(&out, "pass", cursor->pass);
    gfs_json_out_u64(&out, "bytes", cursor->bytes);
    gfs_json_out_i64(&out, "started_ms", cursor->started_ms);
    gfs_json_out_i64(&out, "finished_ms", cursor->finished_ms);
    gfs_json_out_u64(&out, "found", cursor->found);
    gfs_json_out_u64(&out, "healed", cursor->healed);
    gfs_json_out_end_object(&out);
    GFS_CLOSE int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool is_stored = fd >= 0 && write(fd, text.ptr, text.len) == (ssize_t)text.len &&
                     rename(temporary, path) == 0;
    if (!is_stored) {
        (void)unlink(temporary);
    }
    if (!has_identity(dir)) { /* emptied at this moment */
        (void)unlink(path);
        return false;
    }
    return is_stored;
}
