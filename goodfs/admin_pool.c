/* What a pool answers and what can be done to it. */
#include "goodfs/admin_call.h"
#include "libgoodfs/mem.h"
#include "pool/pool.h"

/* The pool; NULL: there is none, and the call's error says so. */
static struct pool *pool_of(struct admin_call *call)
{
    if (call->services->pool == NULL) {
        (void)gfs_fail(&call->error, GFS_UNSUPPORTED,
                       "this server has one directory: start it with several to have a pool");
    }
    return call->services->pool;
}

typedef void (*pool_json_fn)(struct pool *pool, struct gfs_json_out *out, const char *name);

static enum gfs_err show(struct admin_call *call, pool_json_fn json, const char *name)
{
    struct pool *pool = pool_of(call);
    if (pool == NULL) {
        return GFS_UNSUPPORTED;
    }
    json(pool, call->out, name);
    return GFS_OK;
}

enum gfs_err admin_run_groups(struct admin_call *call)
{
    return show(call, pool_groups_json, "groups");
}

enum gfs_err admin_run_repair(struct admin_call *call)
{
    return show(call, pool_repair_json, "repair");
}

enum gfs_err admin_run_scrub(struct admin_call *call)
{
    return show(call, pool_scrub_json, "scrub");
}

enum gfs_err admin_run_scrub_start(struct admin_call *call)
{
    struct pool *pool = pool_of(call);
    uint64_t rate = 0;
    if (pool == NULL) {
        return GFS_UNSUPPORTED;
    }
    enum gfs_err err = admin_call_u64(call, "rate", &rate);
    if (err == GFS_OK) {
        err = pool_scrub_start(pool, rate, &call->error);
    }
    return err == GFS_OK ? admin_run_scrub(call) : err;
}

enum gfs_err admin_run_rebalance(struct admin_call *call)
{
    return show(call, pool_rebalance_json, "rebalance");
}

enum gfs_err admin_run_rebalance_start(struct admin_call *call)
{
    struct pool *pool = pool_of(call);
    if (pool == NULL) {
        return GFS_UNSUPPORTED;
    }
    enum gfs_err err = pool_rebalance_start(pool, &call->error);
    return err == GFS_OK ? admin_run_rebalance(call) : err;
}

enum gfs_err admin_run_rebalance_stop(struct admin_call *call)
{
    struct pool *pool = pool_of(call);
    if (pool == NULL) {
        return GFS_UNSUPPORTED;
    }
    enum gfs_err err = pool_rebalance_stop(pool, &call->error);
    return err == GFS_OK ? admin_run_rebalance(call) : err;
}

/* ---- disks ---- */

static enum gfs_err need_path(struct admin_call *call, const char **ret)
{
    *ret = NULL;
    enum gfs_err err = admin_call_text(call, "path", POOL_PATH_LEN_MAX - 1, ret);
    if (err == GFS_OK && *ret == NULL) {
        return gfs_fail(&call->error, GFS_INVALID, "\"path\" is missing");
    }
    if (err == GFS_OK && (*ret)[0] != '/') {
        return gfs_fail(&call->error, GFS_INVALID, "\"path\" must begin with a slash");
    }
    return err;
}

/* After a change: every disk keeps what every disk must keep, and the answer is how they are. */
static enum gfs_err answer_disks(struct admin_call *call)
{
    call->services->disks_changed(call->services->arg);
    return admin_run_disks(call);
}

enum gfs_err admin_run_disk_add(struct admin_call *call)
{
    struct pool *pool = pool_of(call);
    const char *path;
    if (pool == NULL) {
        return GFS_UNSUPPORTED;
    }
    enum gfs_err err = need_path(call, &path);
    if (err == GFS_OK) {
        err = pool_disk_add(pool, path, &call->error);
    }
    return err == GFS_OK ? answer_disks(call) : err;
}

enum gfs_err admin_run_disk_replace(struct admin_call *call)
{
    struct pool *pool = pool_of(call);
    const char *path;
    if (pool == NULL) {
        return GFS_UNSUPPORTED;
    }
    enum gfs_err err = need_path(call, &path);
    if (err == GFS_OK) {
        err = pool_disk_replace(pool, call->args[0].ptr, path, &call->error);
    }
    return err == GFS_OK ? answer_disks(call) : err;
}

enum gfs_err admin_run_disk_drain(struct admin_call *call)
{
    struct pool *pool = pool_of(call);
    if (pool == NULL) {
        return GFS_UNSUPPORTED;
    }
    enum gfs_err err = pool_disk_drain(pool, call->args[0].ptr, &call->error);
    return err == GFS_OK ? answer_disks(call) : err;
}

enum gfs_err admin_run_disk_set(struct admin_call *call)
{
    struct pool *pool = pool_of(call);
    struct pool_disk_settings settings = {0};
    uint64_t reserved = UINT64_MAX;
    if (pool == NULL) {
        return GFS_UNSUPPORTED;
    }
    enum gfs_err err = admin_call_bool(call, "read_only", &settings.is_read_only);
    if (err == GFS_OK) {
        err = admin_call_u64(call, "reserved", &reserved);
    }
    if (err != GFS_OK) {
        return err;
    }
    settings.reserved = reserved == UINT64_MAX ? NULL : &reserved;
    if (settings.is_read_only == NULL && settings.reserved == NULL) {
        return gfs_fail(&call->error, GFS_INVALID,
                        "neither \"read_only\" nor \"reserved\" is there");
    }
    err = pool_disk_set(pool, call->args[0].ptr, &settings, &call->error);
    return err == GFS_OK ? answer_disks(call) : err;
}
