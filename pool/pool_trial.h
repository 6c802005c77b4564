/* A trial of the disk in a directory: is it itself, and does it take writes? Trying may hang in the
 * disk: an errand does it. */
#pragma once

#include "pool/pool_state.h"

/* Plain data. What was found belongs to the errand until the trial is over, the rest to whoever
 * began it. */
struct pool_trial {
    struct pool_errand *errand;
    const struct pool_driver *driver;
    char path[POOL_PATH_LEN_MAX];
    uint8_t id[16]; /* of the disk that should be there */
    bool is_known;  /* whether it is itself; else the directory could not be read */
    bool is_itself;
    bool takes_writes;
};

/* Ends with pool_trial_end. */
struct pool_trial *pool_trial_start(struct pool *pool, const char *path, const uint8_t id[16]);
/* Waits at most wait_ms; answers whether it is over. */
bool pool_trial_await(const struct pool_trial *trial, uint32_t wait_ms);
/* It is not touched any more, but by its errand if that hangs. NULL allowed. */
void pool_trial_end(struct pool_trial *trial);
