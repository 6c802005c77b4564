/* The datad stores of this process: what a pool opens disks with, and one directory alone. */
#pragma once

#include "datad/store.h"
#include "pool/pool.h"

struct disks;

/* Never NULL. */
struct disks *disks_new(void);
/* Everything that was opened was closed. NULL allowed. */
void disks_free(struct disks *disks);

/* For pool_open; lives as long as the disks. */
struct pool_driver disks_driver(struct disks *disks);

/* Calls visit for each open store, in the order of their directories' names. Closing one waits
 * meanwhile. Any thread. */
void disks_each(struct disks *disks,
                void (*visit)(void *arg, const char *dir, const struct store_stats *stats),
                void *arg);
