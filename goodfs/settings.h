/* Settings of the program: a flag, else an environment variable, else a line of --config, else the
 * default. `--gc-grace-seconds 5`, `--gc-grace-seconds=5`, GOODFS_GC_GRACE_SECONDS=5 and the same
 * line in the file are one setting. Immutable after settings_load. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "libgoodfs/err.h"

/* Plain data; tables end with a NULL name. */
struct setting {
    const char *name;     /* "gc-grace-seconds" */
    const char *fallback; /* NULL = not set */
    const char *help;
    bool is_list;   /* may be repeated; in environment and file separated by commas */
    bool is_secret; /* not taken from the command line, where every user can read it */
};

struct settings;

/* argv after the subcommand; operands (not flags) are kept in order. GFS_INVALID with the exact
 * reason: unknown name, missing value, unreadable or malformed file. */
enum gfs_err settings_load(const struct setting *table, int argc, char **argv,
                           struct settings **ret, struct gfs_error *error) GFS_MUST_CHECK;
void settings_free(struct settings *settings);

/* NULL when not set and without default. Names that are not in the table are a programmer error. */
const char *settings_text(const struct settings *settings, const char *name);
enum gfs_err settings_u64(const struct settings *settings, const char *name, uint64_t min,
                          uint64_t max, uint64_t *ret, struct gfs_error *error) GFS_MUST_CHECK;
/* "true"/"false", "yes"/"no", "on"/"off", "1"/"0". */
enum gfs_err settings_bool(const struct settings *settings, const char *name, bool *ret,
                           struct gfs_error *error) GFS_MUST_CHECK;
/* Values of a list, NULL-terminated. */
const char *const *settings_list(const struct settings *settings, const char *name);
/* Operands, NULL-terminated. */
const char *const *settings_operands(const struct settings *settings);
/* One line a setting, to stdout. */
void settings_print_help(const struct setting *table);
