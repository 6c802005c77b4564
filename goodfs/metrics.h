/* Prometheus text of the whole process. */
#pragma once

#include "gateway/gateway.h"
#include "goodfs/storage.h"
#include "libgoodfs/buf.h"

/* gateway may be NULL while it starts. Any thread; may wait. */
void metrics_write(struct gfs_buf *out, struct gateway *gateway, struct storage *storage);
