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
    fsck_start(call->services->fsck);
    return admin_run_fsck(call);
}
