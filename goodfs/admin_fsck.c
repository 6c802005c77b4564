/* The audit, for the operator. */
#include "goodfs/admin_call.h"
#include "goodfs/fsck.h"

enum gfs_err admin_run_fsck(struct admin_call *call)
{
    fsck_json(call->services->fsck, call->out, "fsck");
    return GFS_OK;
}

enum gfs_err admin_run_fsck_start(struct admin_call *call)
{
    enum gfs_err err = fsck_start(call->services->fsck);
    if (err == GFS_EXISTS) {
        return gfs_fail(&call->error, GFS_CONFLICT, "a search is under way already");
    }
    return err == GFS_OK ? admin_run_fsck(call) : err;
}
