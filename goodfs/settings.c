#include "goodfs/settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

enum { VALUES_MAX = 64, LINE_LEN_MAX = 4096, NAME_LEN_MAX = 64 };

/* Where a value came from; a later source does not override an earlier one. */
enum source { SOURCE_NONE, SOURCE_FLAG, SOURCE_ENV, SOURCE_FILE, SOURCE_DEFAULT };

struct values {
    enum source source;
    uint32_t count;
    char *items[VALUES_MAX + 1];
};

struct settings {
    const struct setting *table;
    uint32_t count;
    struct values *values;
    struct values operands;
};

static int find(const struct settings *settings, const char *name, size_t len)
{
    for (uint32_t i = 0; i < settings->count; i++) {
        if (strlen(settings->table[i].name) == len &&
            memcmp(settings->table[i].name, name, len) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static enum gfs_err add(struct values *values, const char *text, size_t len, const char *name,
                        struct gfs_error *error)
{
    if (values->count == VALUES_MAX) {
        return gfs_fail(error, GFS_INVALID, "%s: more than %d values", name, VALUES_MAX);
    }
    char *copy = gfs_alloc(len + 1);
    memcpy(copy, text, len);
    values->items[values->count++] = copy;
    return GFS_OK;
}

/* text from the source: for lists outside flags, several values separated by commas. */
static enum gfs_err set(struct settings *settings, int index, enum source source, const char *text,
                        struct gfs_error *error)
{
    const struct setting *setting = &settings->table[index];
    struct values *values = &settings->values[index];
    if (values->source != SOURCE_NONE && (values->source != source || source != SOURCE_FLAG)) {
        return GFS_OK;
    }
    if (values->source == SOURCE_FLAG && !setting->is_list) {
        return gfs_fail(error, GFS_INVALID, "--%s is given twice", setting->name);
    }
    values->source = source;
    while (setting->is_list && source != SOURCE_FLAG) {
        size_t len = strcspn(text, ",");
        enum gfs_err err =
            len == 0 ? GFS_OK : add(values, text, len, setting->name, error);
        if (err != GFS_OK || text[len] == '\0') {
            return err;
        }
        text += len + 1;
    }
    return add(values, text, strlen(text), setting->name, error);
}

static void env_name(const char *name, char *ret)
{
    size_t len = (size_t)snprintf(ret, NAME_LEN_MAX, "GOODFS_%s", name);
    for (size_t i = 0; i < len; i++) {
        if (ret[i] == '-') {
            ret[i] = '_';
        } else if (ret[i] >= 'a' && ret[i] <= 'z') {
            ret[i] = (char)(ret[i] - 'a' + 'A');
        }
    }
}

static enum gfs_err load_flags(struct settings *settings, int argc, char **argv,
                               struct gfs_error *error)
{
    for (int i = 0; i < argc; i++) {
        const char *arg = argv[i];
        if (strncmp(arg, "--", 2) != 0) {
            enum gfs_err err = add(&settings->operands, arg, strlen(arg), "operands", error);
            if (err != GFS_OK) {
                return err;
            }
            continue;
        }
        size_t len = strcspn(arg + 2, "=");
        int index = find(settings, arg + 2, len);
        if (index < 0) {
            return gfs_fail(error, GFS_INVALID, "unknown option %.*s", (int)len + 2, arg);
        }
        if (settings->table[index].is_secret) {
            return gfs_fail(error, GFS_INVALID,
                            "%s would be visible to every user of this machine: set it in the "
                            "environment or the --config file",
                            arg);
        }
        const char *value = arg[2 + len] == '=' ? arg + 3 + len : NULL;
        if (value == NULL && ++i < argc) {
            value = argv[i];
        }
        if (value == NULL) {
            return gfs_fail(error, GFS_INVALID, "%s needs a value", arg);
        }
        enum gfs_err err = set(settings, index, SOURCE_FLAG, value, error);
        if (err != GFS_OK) {
            return err;
        }
    }
    return GFS_OK;
}

static enum gfs_err load_env(struct settings *settings, struct gfs_error *error)
{
    for (uint32_t i = 0; i < settings->count; i++) {
        char name[NAME_LEN_MAX];
        env_name(settings->table[i].name, name);
        const char *value = getenv(name); /* NOLINT(concurrency-mt-unsafe): before any thread */
        enum gfs_err err =
            value == NULL ? GFS_OK : set(settings, (int)i, SOURCE_ENV, value, error);
        if (err != GFS_OK) {
            return err;
        }
    }
    return GFS_OK;
}

static enum gfs_err load_line(struct settings *settings, struct gfs_slice line, const char *path,
                              uint32_t number, struct gfs_error *error)
{
    line = gfs_trim(line);
    if (line.len == 0 || line.ptr[0] == '#') {
        return GFS_OK;
    }
    for (uint32_t i = 0; i < settings->count; i++) {
        char name[NAME_LEN_MAX];
        env_name(settings->table[i].name, name);
        size_t len = strlen(name);
        if (line.len > len && memcmp(line.ptr, name, len) == 0 && line.ptr[len] == '=') {
            char value[LINE_LEN_MAX];
            size_t value_len = line.len - len - 1;
            memcpy(value, line.ptr + len + 1, value_len);
            value[value_len] = '\0';
            return set(settings, (int)i, SOURCE_FILE, value, error);
        }
    }
    return gfs_fail(error, GFS_INVALID, "%s:%u: no GOODFS_NAME=VALUE line that is known", path,
                    number);
}

static void close_file(FILE **file)
{
    if (*file != NULL) {
        (void)fclose(*file);
    }
}

static enum gfs_err load_file(struct settings *settings, const char *path, struct gfs_error *error)
{
    GFS_CLEANUP(close_file) FILE *file = fopen(path, "re");
    if (file == NULL) {
        return gfs_fail(error, GFS_INVALID, "%s: %s", path, strerror(errno));
    }
    char line[LINE_LEN_MAX];
    for (uint32_t number = 1; fgets(line, sizeof line, file) != NULL; number++) {
        size_t len = strcspn(line, "\r\n");
        if (len == sizeof line - 1) {
            return gfs_fail(error, GFS_INVALID, "%s:%u: line too long", path, number);
        }
        enum gfs_err err =
            load_line(settings, gfs_slice_of(line, len), path, number, error);
        if (err != GFS_OK) {
            return err;
        }
    }
    return GFS_OK;
}

enum gfs_err settings_load(const struct setting *table, int argc, char **argv,
                           struct settings **ret, struct gfs_error *error)
{
    struct settings *settings = gfs_alloc(sizeof *settings);
    settings->table = table;
    while (table[settings->count].name != NULL) {
        settings->count++;
    }
    settings->values = gfs_alloc_array(settings->count, sizeof *settings->values);
    enum gfs_err err = load_flags(settings, argc, argv, error);
    if (err == GFS_OK) {
        err = load_env(settings, error);
    }
    int config = find(settings, "config", strlen("config"));
    if (err == GFS_OK && config >= 0 && settings->values[config].count > 0) {
        err = load_file(settings, settings->values[config].items[0], error);
    }
    for (uint32_t i = 0; i < settings->count && err == GFS_OK; i++) {
        if (table[i].fallback != NULL) {
            err = set(settings, (int)i, SOURCE_DEFAULT, table[i].fallback, error);
        }
    }
    if (err != GFS_OK) {
        settings_free(settings);
        return err;
    }
    *ret = settings;
    return GFS_OK;
}

static void free_values(struct values *values)
{
    for (uint32_t i = 0; i < values->count; i++) {
        free(values->items[i]);
    }
}

void settings_free(struct settings *settings)
{
    if (settings == NULL) {
        return;
    }
    for (uint32_t i = 0; i < settings->count; i++) {
        free_values(&settings->values[i]);
    }
    free_values(&settings->operands);
    free(settings->values);
    free(settings);
}

static const struct values *values_of(const struct settings *settings, const char *name)
{
    int index = find(settings, name, strlen(name));
    GFS_ASSERT(index >= 0);
    return &settings->values[index];
}

const char *settings_text(const struct settings *settings, const char *name)
{
    const struct values *values = values_of(settings, name);
    return values->count == 0 ? NULL : values->items[0];
}

const char *const *settings_list(const struct settings *settings, const char *name)
{
    return (const char *const *)values_of(settings, name)->items;
}

const char *const *settings_operands(const struct settings *settings)
{
    return (const char *const *)settings->operands.items;
}

enum gfs_err settings_u64(const struct settings *settings, const char *name, uint64_t min,
                          uint64_t max, uint64_t *ret, struct gfs_error *error)
{
    const char *text = settings_text(settings, name);
    uint64_t value = 0;
    if (text == NULL || gfs_parse_u64(gfs_slice_str(text), max, &value) != GFS_OK || value < min) {
        return gfs_fail(error, GFS_INVALID, "%s: \"%s\" is not a whole number from %llu to %llu",
                        name, text == NULL ? "" : text, (unsigned long long)min,
                        (unsigned long long)max);
    }
    *ret = value;
    return GFS_OK;
}

enum gfs_err settings_bool(const struct settings *settings, const char *name, bool *ret,
                           struct gfs_error *error)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    const char *text = settings_text(settings, name);
    for (size_t i = 0; text != NULL && i < GFS_COUNT(words); i++) {
        if (strcmp(text, words[i]) == 0) {
            *ret = i % 2 == 1;
            return GFS_OK;
        }
    }
    return gfs_fail(error, GFS_INVALID, "%s: \"%s\" is neither true nor false", name,
                    text == NULL ? "" : text);
}

void settings_print_help(const struct setting *table)
{
    for (; table->name != NULL; table++) {
        char env[NAME_LEN_MAX];
        env_name(table->name, env);
        printf("  %s%-24s %s", table->is_secret ? "  " : "--",
               table->is_secret ? env : table->name, table->help);
        if (table->fallback != NULL && table->fallback[0] != '\0') {
            printf(" (default %s)", table->fallback);
        }
        printf("\n");
    }
}
