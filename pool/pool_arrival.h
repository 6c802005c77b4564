/* A disk that is taken in: it is opened, and a new map says that it is back, or that it is a new
 * one in the stead of a lost one. Opening may hang in the disk: an errand does all this. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "libgoodfs/err.h"

struct pool;
struct pool_arrival;

/* number: of the disk it is, or in whose stead it comes (is_new). Ends with pool_arrival_end. */
struct pool_arrival *pool_arrival_start(struct pool *pool, uint16_t number, const char *path,
                                        bool is_new);
/* Waits at most wait_ms; answers whether it is over. */
bool pool_arrival_await(const struct pool_arrival *arrival, uint32_t wait_ms);
/* Of one that is over; OK: the map says so. *ret_text, why not, is valid until its end. */
enum gfs_err pool_arrival_err(const struct pool_arrival *arrival, const char **ret_text);
/* It is not touched any more, but by its errand, which goes on. NULL allowed. */
void pool_arrival_end(struct pool_arrival *arrival);
