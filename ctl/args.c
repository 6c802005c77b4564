#include "ctl/args.h"

#include <string.h>

#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

enum { SECONDS_MAX = 86400 };

static const struct {
    const char *name;
    const char *value; /* what it is, for a usage; NULL = it has none */
} flags[ARGS_FLAG_COUNT] = {
    [ARGS_ADMIN] = {"--admin", "HOST:PORT"},
    [ARGS_CREDENTIALS] = {"--credentials", "FILE"},
    [ARGS_JSON] = {"--json", NULL},
    [ARGS_HELP] = {"--help", NULL},
    [ARGS_TIMEOUT] = {"--timeout", "SECONDS"},
    [ARGS_VERSION] = {"--version", NULL},
    [ARGS_WAIT] = {"--wait", NULL},
    [ARGS_WATCH] = {"--watch", NULL},
    [ARGS_VERIFY] = {"--verify", NULL},
    [ARGS_RATE] = {"--rate", "BYTES"},
    [ARGS_READ_ONLY] = {"--read-only", "true|false"},
    [ARGS_RESERVED] = {"--reserved", "BYTES"},
    [ARGS_STORAGE_CLASS] = {"--storage-class", "CLASS"},
    [ARGS_DELETE_ORPHANS_ANYWAY] = {"--delete-orphans-anyway", NULL},
};

const char *args_flag_name(enum args_flag flag)
{
    GFS_ASSERT((size_t)flag < GFS_COUNT(flags));
    return flags[flag].name;
}

const char *args_flag_value(enum args_flag flag)
{
    GFS_ASSERT((size_t)flag < GFS_COUNT(flags));
    return flags[flag].value;
}

static enum gfs_err take_flag(int argc, char **argv, int *index, struct args *ret,
                              struct gfs_error *error)
{
    const char *text = argv[*index];
    size_t len = strcspn(text, "=");
    size_t flag = 0;
    while (flag < GFS_COUNT(flags) &&
           (strlen(flags[flag].name) != len || memcmp(flags[flag].name, text, len) != 0)) {
        flag++;
    }
    if (flag == GFS_COUNT(flags)) {
        return gfs_fail(error, GFS_INVALID, "unknown flag %.*s", (int)len, text);
    }
    if (ret->values[flag] != NULL) {
        return gfs_fail(error, GFS_INVALID, "%s is given twice", flags[flag].name);
    }
    if (flags[flag].value == NULL && text[len] == '=') {
        return gfs_fail(error, GFS_INVALID, "%s has no value", flags[flag].name);
    }
    if (text[len] == '=') {
        ret->values[flag] = text + len + 1;
    } else if (flags[flag].value == NULL) {
        ret->values[flag] = "";
    } else if (*index + 1 < argc) {
        ret->values[flag] = argv[++*index];
    } else {
        return gfs_fail(error, GFS_INVALID, "%s needs a value", flags[flag].name);
    }
    ret->given |= ARGS_BIT(flag);
    return GFS_OK;
}

enum gfs_err args_parse(int argc, char **argv, struct args *ret, struct gfs_error *error)
{
    bool is_after_flags = false;
    *ret = (struct args){0};
    for (int i = 0; i < argc; i++) {
        if (!is_after_flags && strcmp(argv[i], "--") == 0) {
            is_after_flags = true;
        } else if (!is_after_flags && argv[i][0] == '-' && argv[i][1] != '\0') {
            enum gfs_err err = take_flag(argc, argv, &i, ret, error);
            if (err != GFS_OK) {
                return err;
            }
        } else if (ret->word_count == ARGS_WORDS_MAX) {
            return gfs_fail(error, GFS_INVALID, "too many words");
        } else {
            ret->words[ret->word_count++] = argv[i];
        }
    }
    return GFS_OK;
}

enum gfs_err args_bytes(const char *text, uint64_t *ret)
{
    static const struct {
        const char *name;
        unsigned shift;
    } units[] = {{"", 0},   {"K", 10},   {"KiB", 10}, {"M", 20},  {"MiB", 20},
                 {"G", 30}, {"GiB", 30}, {"T", 40},   {"TiB", 40}};
    size_t digits = strspn(text, "0123456789");
    uint64_t number = 0;
    for (size_t i = 0; i < GFS_COUNT(units); i++) {
        if (strcmp(text + digits, units[i].name) == 0) {
            /* the server takes what JSON and its libraries know: below 2^63 */
            enum gfs_err err = gfs_parse_u64(gfs_slice_of(text, digits),
                                             (uint64_t)INT64_MAX >> units[i].shift, &number);
            *ret = number << units[i].shift;
            return err == GFS_OK ? err : GFS_INVALID;
        }
    }
    return GFS_INVALID;
}

enum gfs_err args_seconds(const char *text, unsigned *ret)
{
    uint64_t number = 0;
    enum gfs_err err = gfs_parse_u64(gfs_slice_str(text), SECONDS_MAX, &number);
    *ret = (unsigned)number;
    return err == GFS_OK && number > 0 ? GFS_OK : GFS_INVALID;
}

enum gfs_err args_bool(const char *text, bool *ret)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (size_t i = 0; i < GFS_COUNT(words); i++) {
        if (strcmp(text, words[i]) == 0) {
            *ret = i % 2 == 1;
            return GFS_OK;
        }
    }
    return GFS_INVALID;
}
