/* Where the disks of a pool are. Whoever puts another one beside or in the stead of a disk that
 * hangs must not hang with it: each is asked by an errand, and at most one of them hangs for each
 * disk. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct pool;
struct pool_map;

/* Of the path of that disk. false: nothing is there, or it does not answer. Not under a lock. */
bool pool_where_stat(struct pool *pool, uint16_t number, const char *path, struct stat *ret);
/* Whether path is the directory of that disk, by this or another name. The caller had an answer
 * from path: a disk that gives none is another one. Not under a lock. */
bool pool_where_is(struct pool *pool, const struct pool_map *map, uint16_t number,
                   const char *path);
/* Nobody asks any more. */
void pool_where_end(struct pool *pool);
