/* The process itself: alive, ready, its counters. */
#include "goodfs/admin_call.h"

enum gfs_err admin_run_live(struct admin_call *call)
{
    gfs_buf_add_str(call->text, "ok\n");
    return GFS_OK;
}

enum gfs_err admin_run_ready(struct admin_call *call)
{
    char reason[256] = "ok";
    bool is_ready = call->services->is_ready(call->services->arg, reason, sizeof reason);
    call->status = is_ready ? 200 : 503;
    gfs_buf_printf(call->text, "%s\n", reason);
    return GFS_OK;
}

enum gfs_err admin_run_metrics(struct admin_call *call)
{
    call->services->write_metrics(call->services->arg, call->text);
    return GFS_OK;
}
