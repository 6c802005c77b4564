/* The root keys: from the settings, else from DIR/root-credentials of any disk, else made and kept
 * there, on every disk. */
#pragma once

#include <stdbool.h>

#include "libgoodfs/err.h"

enum { CREDENTIALS_ACCESS_LEN = 20, CREDENTIALS_SECRET_LEN = 40, CREDENTIALS_LEN_MAX = 128 };

/* Plain data; NUL-terminated. */
struct credentials {
    char access_key[CREDENTIALS_LEN_MAX + 1];
    char secret_key[CREDENTIALS_LEN_MAX + 1];
    bool is_kept;      /* in files */
    bool is_generated; /* made by this call */
};

/* Reads such a file. NOT_FOUND; DENIED: others may read it; INVALID: lines are missing; IO. */
enum gfs_err credentials_read(const char *path, struct credentials *ret,
                              struct gfs_error *error) GFS_MUST_CHECK;

/* access_key and secret_key: empty or NULL when not set; one without the other is GFS_INVALID.
 * dirs: NULL-terminated, at least one; keys that are not set are read from the file in any of them,
 * and then kept in all of them (two that differ are GFS_CONFLICT; one that cannot be read, or
 * written, is a warning while another can). The file has mode 0600 (any other access for group or
 * others is GFS_DENIED) and holds GOODFS_ROOT_ACCESS_KEY=... and GOODFS_ROOT_SECRET_KEY=...; a new
 * one is on stable storage on return. There is no default key. */
enum gfs_err credentials_load(const char *const *dirs, const char *access_key,
                              const char *secret_key, struct credentials *ret,
                              struct gfs_error *error) GFS_MUST_CHECK;
/* Keeps keys that came from files in all of dirs, where they are not yet. Keys from the settings
 * are kept nowhere. */
void credentials_spread(const char *const *dirs, const struct credentials *keys);
