/* Prometheus text of the whole process. */
#pragma once

#include "datad/store.h"
#include "gateway/gateway.h"
#include "libgoodfs/buf.h"
#include "metad/shard.h"

/* Any of them may be NULL while the service starts. Any thread. */
void metrics_write(struct gfs_buf *out, struct gateway *gateway, struct store *store,
                   struct shard *shard);
