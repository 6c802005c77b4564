/* A bounded pool of read-only database connections, opened when first needed. */
#pragma once

#include "metad/db.h"

struct readers;

/* path is copied. */
struct readers *readers_new(const char *path, uint32_t count_max, size_t cache_size);
/* All connections are back. NULL allowed. */
void readers_free(struct readers *readers);
/* Who waits for a connection, and everybody after this, is answered IO. Any thread. */
void readers_retire(struct readers *readers);
/* Waits for a free connection. IO, CORRUPT: one could not be opened. Any thread. */
enum gfs_err readers_get(struct readers *readers, struct db **ret) GFS_MUST_CHECK;
/* Scans are ended. Any thread. */
void readers_put(struct readers *readers, struct db *db);
