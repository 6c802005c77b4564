/* The audit, for the operator. */
#include "goodfs/admin_call.h"
#include "goodfs/fsck.h"

enum gfs_err admin_run_fsck(struct admin_call *call)
{
    uint64_t after = 0, limit = FSCK_PAGE_MAX;
    enum gfs_err err = admin_call_query(call, "after", UINT32_MAX, &after);
    if (err == GFS_OK) {
        err = admin_call_query(call, "limit", FSCK_PAGE_MAX, &limit);
    }
    if (err == GFS_OK) {
        fsck_json(call->services->fsck, after, limit, call->out, "fsck");
    }
    return err;
}

enum gfs_err admin_run_fsck_start(struct admin_call *call)
{
    uint64_t may_be_many = 0;
    enum gfs_err err = admin_call_query(call, "delete_orphans_anyway", 1, &may_be_many);
    if (err != GFS_OK) {
        return err;
    }
    fsck_start(call->services->fsck, may_be_many != 0);
    return admin_run_fsck(call);
}
