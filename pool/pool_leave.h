/* Disks that are to be closed: those who may keep them open for hours let go of them. */
#pragma once

struct pool;

/* Chunks held for reading and uploads let go of the disks that are open, but neither used nor read
 * by the map in force, as far as nothing is under way there. They may hang in doing so: errands do
 * it, one a disk, and not at once. By the patrol, in every round. */
void pool_leave_disks(struct pool *pool);
