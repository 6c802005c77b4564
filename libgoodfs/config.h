/* Settings of a command: one table of names; values from flags, the environment, a file, defaults.
 *
 * The setting `connection-max` is the flag `--connection-max N` or `--connection-max=N`, else
 * GOODFS_CONNECTION_MAX in the environment, else the line GOODFS_CONNECTION_MAX=N of the file that
 * `--config FILE` (or GOODFS_CONFIG) names, else its default. Every value is checked when loaded.
 * The file: KEY=VALUE lines, `#` comments, blank lines; a value may stand in double quotes.
 * Immutable after load; any thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "libgoodfs/buf.h"
#include "libgoodfs/err.h"

enum gfs_config_kind {
    GFS_CONFIG_TEXT,
    GFS_CONFIG_LIST,  /* flag repeated; elsewhere separated by commas, and lines of the file add up
                       */
    GFS_CONFIG_UINT,  /* decimal */
    GFS_CONFIG_BYTES, /* decimal with an optional KiB, MiB, GiB, TiB (or K, M, G, T: the same) */
    GFS_CONFIG_BOOL,  /* true/false, 1/0, yes/no, on/off; the bare flag means true */
};

/* Plain data, static. */
struct gfs_setting {
    const char *name; /* lower case, words separated by '-' */
    enum gfs_config_kind kind;
    const char *default_text; /* NULL = none */
    const char *help;         /* one line */
    uint64_t min, max;        /* of UINT and BYTES; max 0 = no maximum */
};

struct gfs_config;

/* args: what follows the command's name. `config` and `help` need not be in the table.
 * Answers with the exact flag, variable or file line in the error: GFS_INVALID for unknown flags
 * and keys, missing values, repeated single values and wrong values; GFS_NOT_FOUND or GFS_IO when
 * the file cannot be read; GFS_TOO_BIG over 1 MiB. An unknown GOODFS_ variable only warns: the
 * environment is shared with other programs. With --help or -h nothing is checked. */
enum gfs_err gfs_config_load(const struct gfs_setting *settings, size_t setting_count,
                             int arg_count, char *const *args, struct gfs_config **ret,
                             struct gfs_error *error) GFS_MUST_CHECK;
void gfs_config_free(struct gfs_config *config); /* NULL allowed */

/* Names must be in the table, of that kind: anything else is a programmer error. */
const char *gfs_config_text(const struct gfs_config *config, const char *name); /* NULL: no value */
uint64_t gfs_config_u64(const struct gfs_config *config, const char *name); /* UINT, BYTES; or 0 */
bool gfs_config_bool(const struct gfs_config *config, const char *name);
/* NULL-terminated, never NULL. */
const char *const *gfs_config_list(const struct gfs_config *config, const char *name);
/* True when the value is not the default. */
bool gfs_config_is_set(const struct gfs_config *config, const char *name);

/* What is no flag, in order, NULL-terminated; after `--` everything. */
const char *const *gfs_config_args(const struct gfs_config *config);
bool gfs_config_wants_help(const struct gfs_config *config);

/* One paragraph per setting: flag, variable, default, help. */
void gfs_config_help(const struct gfs_setting *settings, size_t setting_count, struct gfs_buf *out);
