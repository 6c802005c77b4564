#include "libgoodfs/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

enum { CONFIG_FILE_SIZE_MAX = 1024 * 1024, CONFIG_NAME_SIZE = 64, CONFIG_ITEMS_MAX = 256 };

static const struct gfs_setting config_setting = {
    "config", GFS_CONFIG_TEXT, NULL, "a file of GOODFS_NAME=VALUE lines", 0, 0};

/* NULL-terminated list of owned strings. */
struct items {
    char **ptr;
    size_t count;
};

enum source { FROM_DEFAULT, FROM_FILE, FROM_ENVIRONMENT, FROM_FLAG };

struct value {
    const struct gfs_setting *setting;
    enum source source;
    struct items items; /* one, or many of a LIST */
    uint64_t number;    /* UINT, BYTES, BOOL */
};

struct gfs_config {
    struct value *values; /* of the table, and `config` last */
    size_t count;
    struct items args;
    bool wants_help;
};

static void items_add(struct items *items, const char *text, size_t len)
{
    items->ptr = gfs_realloc(items->ptr, (items->count + 2) * sizeof items->ptr[0]);
    char *copy = gfs_alloc(len + 1);
    if (len != 0) {
        memcpy(copy, text, len);
    }
    items->ptr[items->count++] = copy;
    items->ptr[items->count] = NULL;
}

static void items_clear(struct items *items)
{
    for (size_t i = 0; i < items->count; i++) {
        free(items->ptr[i]);
    }
    free(items->ptr);
    *items = (struct items){0};
}

void gfs_config_free(struct gfs_config *config)
{
    if (config == NULL) {
        return;
    }
    for (size_t i = 0; i < config->count; i++) {
        items_clear(&config->values[i].items);
    }
    items_clear(&config->args);
    free(config->values);
    free(config);
}

/* ---- names ---- */

static void key_of(const char *name, char ret[CONFIG_NAME_SIZE])
{
    size_t len = sizeof "GOODFS_" - 1;
    memcpy(ret, "GOODFS_", len);
    for (; *name != '\0' && len < CONFIG_NAME_SIZE - 1; name++) {
        char c = *name;
        ret[len++] = c == '-' ? '_' : (c >= 'a' && c <= 'z') ? (char)(c - 'a' + 'A') : c;
    }
    ret[len] = '\0';
}

static struct value *find_flag(struct gfs_config *config, struct gfs_slice name)
{
    for (size_t i = 0; i < config->count; i++) {
        if (gfs_slice_eq_str(name, config->values[i].setting->name)) {
            return &config->values[i];
        }
    }
    return NULL;
}

static struct value *find_key(struct gfs_config *config, struct gfs_slice key)
{
    for (size_t i = 0; i < config->count; i++) {
        char text[CONFIG_NAME_SIZE];
        key_of(config->values[i].setting->name, text);
        if (gfs_slice_eq_str(key, text)) {
            return &config->values[i];
        }
    }
    return NULL;
}

/* ---- taking values ---- */

/* Adds a value from one source; a stronger source replaces what a weaker one gave, a weaker one is
 * ignored. Answers false when a single value is given twice by the same source. */
static bool take(struct value *value, enum source source, struct gfs_slice text)
{
    if (source < value->source) {
        return true;
    }
    if (source > value->source) {
        items_clear(&value->items);
    } else if (value->setting->kind != GFS_CONFIG_LIST && value->items.count != 0) {
        return false;
    }
    value->source = source;
    if (value->setting->kind != GFS_CONFIG_LIST || source == FROM_FLAG) {
        items_add(&value->items, text.ptr, text.len);
        return true;
    }
    while (text.len != 0) {
        const char *comma = memchr(text.ptr, ',', text.len);
        size_t len = comma == NULL ? text.len : (size_t)(comma - text.ptr);
        struct gfs_slice item = gfs_trim(gfs_slice_of(text.ptr, len));
        if (item.len != 0) {
            items_add(&value->items, item.ptr, item.len);
        }
        len = comma == NULL ? len : len + 1;
        text = gfs_slice_of(text.ptr + len, text.len - len);
    }
    return true;
}

static enum gfs_err take_flag(struct gfs_config *config, char *const *args, int count, int *index,
                              struct gfs_error *error)
{
    const char *flag = args[*index];
    const char *equals = strchr(flag, '=');
    size_t len = equals == NULL ? strlen(flag) : (size_t)(equals - flag);
    struct value *value = find_flag(config, gfs_slice_of(flag + 2, len - 2));
    if (value == NULL) {
        return gfs_fail(error, GFS_INVALID, "unknown flag %.*s", (int)len, flag);
    }
    const char *text = equals == NULL ? NULL : equals + 1;
    if (text == NULL && value->setting->kind == GFS_CONFIG_BOOL) {
        text = "true";
    } else if (text == NULL) {
        if (*index + 1 >= count) {
            return gfs_fail(error, GFS_INVALID, "%s needs a value", flag);
        }
        text = args[++*index];
    }
    if (!take(value, FROM_FLAG, gfs_slice_str(text))) {
        return gfs_fail(error, GFS_INVALID, "%.*s is given twice", (int)len, flag);
    }
    return GFS_OK;
}

static enum gfs_err take_flags(struct gfs_config *config, int count, char *const *args,
                               struct gfs_error *error)
{
    bool is_after_flags = false;
    for (int i = 0; i < count; i++) {
        const char *arg = args[i];
        if (is_after_flags || arg[0] != '-' || arg[1] == '\0') {
            items_add(&config->args, arg, strlen(arg));
        } else if (strcmp(arg, "--") == 0) {
            is_after_flags = true;
        } else if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
            config->wants_help = true;
            return GFS_OK;
        } else if (arg[1] != '-') {
            return gfs_fail(error, GFS_INVALID, "unknown flag %s", arg);
        } else {
            enum gfs_err err = take_flag(config, args, count, &i, error);
            if (err != GFS_OK) {
                return err;
            }
        }
    }
    return GFS_OK;
}

/* Variables of goodfsctl, whose servers and disks may be of the same shell. */
static bool is_of_others(struct gfs_slice key)
{
    return gfs_slice_eq_str(key, "GOODFS_ADMIN") || gfs_slice_eq_str(key, "GOODFS_CREDENTIALS");
}

static void take_environment(struct gfs_config *config)
{
    for (char **entry = environ; entry != NULL && *entry != NULL; entry++) {
        const char *equals = strchr(*entry, '=');
        if (equals == NULL || strncmp(*entry, "GOODFS_", 7) != 0) {
            continue;
        }
        struct gfs_slice key = gfs_slice_of(*entry, (size_t)(equals - *entry));
        struct value *value = find_key(config, key);
        if (value == NULL && is_of_others(key)) {
            continue;
        }
        if (value == NULL) {
            char quoted[128];
            gfs_log(GFS_LOG_WARN, "variable=%s msg=\"unknown setting in the environment\"",
                    gfs_log_quote(key, quoted, sizeof quoted));
        } else {
            (void)take(value, FROM_ENVIRONMENT, gfs_slice_str(equals + 1));
        }
    }
}

/* ---- the file ---- */

static enum gfs_err take_line(struct gfs_config *config, const char *path, size_t number,
                              struct gfs_slice line, struct gfs_error *error)
{
    line = gfs_trim(line);
    if (line.len == 0 || line.ptr[0] == '#') {
        return GFS_OK;
    }
    const char *equals = memchr(line.ptr, '=', line.len);
    if (equals == NULL || memchr(line.ptr, '\0', line.len) != NULL) {
        return gfs_fail(error, GFS_INVALID, "%s line %zu: not KEY=VALUE", path, number);
    }
    struct gfs_slice key = gfs_trim(gfs_slice_of(line.ptr, (size_t)(equals - line.ptr)));
    struct gfs_slice text =
        gfs_trim(gfs_slice_of(equals + 1, (size_t)(line.ptr + line.len - equals - 1)));
    if (text.len >= 2 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"') {
        text = gfs_slice_of(text.ptr + 1, text.len - 2);
    }
    struct value *value = find_key(config, key);
    if (value == NULL || value->setting == &config_setting) {
        return gfs_fail(error, GFS_INVALID, "%s line %zu: unknown key %.*s", path, number,
                        (int)GFS_MIN(key.len, (size_t)CONFIG_NAME_SIZE), key.ptr);
    }
    if (!take(value, FROM_FILE, text)) {
        return gfs_fail(error, GFS_INVALID, "%s line %zu: %.*s is given twice", path, number,
                        (int)key.len, key.ptr);
    }
    return GFS_OK;
}

static enum gfs_err read_file(const char *path, struct gfs_buf *text, struct gfs_error *error)
{
    GFS_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return gfs_fail(error, gfs_err_from_errno(errno), "config %s: %s", path, strerror(errno));
    }
    for (;;) {
        char block[4096];
        ssize_t n = read(fd, block, sizeof block);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return gfs_fail(error, GFS_IO, "config %s: %s", path, strerror(errno));
        }
        if (n == 0) {
            return GFS_OK;
        }
        gfs_buf_add(text, block, (size_t)n);
        if (text->is_full) {
            return gfs_fail(error, GFS_TOO_BIG, "config %s: more than 1 MiB", path);
        }
    }
}

static enum gfs_err take_file(struct gfs_config *config, const char *path, struct gfs_error *error)
{
    GFS_CLEANUP(gfs_buf_fini) struct gfs_buf text;
    gfs_buf_init(&text, CONFIG_FILE_SIZE_MAX);
    enum gfs_err err = read_file(path, &text, error);
    struct gfs_slice rest = gfs_buf_slice(&text);
    for (size_t number = 1; err == GFS_OK && rest.len != 0; number++) {
        const char *newline = memchr(rest.ptr, '\n', rest.len);
        size_t len = newline == NULL ? rest.len : (size_t)(newline - rest.ptr);
        size_t line_len = len != 0 && rest.ptr[len - 1] == '\r' ? len - 1 : len;
        err = take_line(config, path, number, gfs_slice_of(rest.ptr, line_len), error);
        len = newline == NULL ? len : len + 1;
        rest = gfs_slice_of(rest.ptr + len, rest.len - len);
    }
    return err;
}

/* ---- checking ---- */

static bool parse_bytes(struct gfs_slice text, uint64_t *ret)
{
    static const char units[] = "KMGT";
    unsigned shift = 0;
    size_t digits = 0;
    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9') {
        digits++;
    }
    struct gfs_slice unit = gfs_trim(gfs_slice_of(text.ptr + digits, text.len - digits));
    if (unit.len != 0) {
        const char *at = memchr(units, unit.ptr[0], sizeof units - 1);
        struct gfs_slice tail = gfs_slice_of(unit.ptr + 1, unit.len - 1);
        if (at == NULL || (tail.len != 0 && !gfs_slice_eq_str(tail, "iB"))) {
            return false;
        }
        shift = 10 * (unsigned)(at - units + 1);
    }
    if (gfs_parse_u64(gfs_slice_of(text.ptr, digits), UINT64_MAX >> shift, ret) != GFS_OK) {
        return false;
    }
    *ret <<= shift;
    return true;
}

static bool parse_bool(const char *text, uint64_t *ret)
{
    static const char *const words[][2] = {
        {"false", "true"}, {"0", "1"}, {"no", "yes"}, {"off", "on"}};
    for (size_t i = 0; i < GFS_COUNT(words); i++) {
        for (size_t truth = 0; truth < 2; truth++) {
            if (strcmp(text, words[i][truth]) == 0) {
                *ret = truth;
                return true;
            }
        }
    }
    return false;
}

static bool parse(struct value *value)
{
    const char *text = value->items.ptr[0];
    switch (value->setting->kind) {
    case GFS_CONFIG_UINT:
        return gfs_parse_u64(gfs_slice_str(text), UINT64_MAX, &value->number) == GFS_OK;
    case GFS_CONFIG_BYTES:
        return parse_bytes(gfs_slice_str(text), &value->number);
    case GFS_CONFIG_BOOL:
        return parse_bool(text, &value->number);
    case GFS_CONFIG_TEXT:
    case GFS_CONFIG_LIST:
        break;
    }
    return true;
}

static enum gfs_err check(struct value *value, struct gfs_error *error)
{
    static const char *const kinds[] = {"text", "a list", "a number",
                                        "a size like 4096, 64KiB or 1GiB", "true or false"};
    const struct gfs_setting *setting = value->setting;
    if (value->source == FROM_DEFAULT && setting->default_text != NULL) {
        (void)take(value, FROM_DEFAULT, gfs_slice_str(setting->default_text));
    }
    if (value->items.count == 0) {
        return GFS_OK;
    }
    char key[CONFIG_NAME_SIZE];
    key_of(setting->name, key);
    if (value->items.count > CONFIG_ITEMS_MAX) {
        return gfs_fail(error, GFS_INVALID, "--%s (%s): more than %d values", setting->name, key,
                        CONFIG_ITEMS_MAX);
    }
    if (!parse(value)) {
        return gfs_fail(error, GFS_INVALID, "--%s (%s) is not %s", setting->name, key,
                        kinds[setting->kind]);
    }
    bool is_number = setting->kind == GFS_CONFIG_UINT || setting->kind == GFS_CONFIG_BYTES;
    if (is_number &&
        (value->number < setting->min || (setting->max != 0 && value->number > setting->max))) {
        return gfs_fail(error, GFS_INVALID, "--%s (%s) must be %llu to %llu", setting->name, key,
                        (unsigned long long)setting->min,
                        (unsigned long long)(setting->max == 0 ? UINT64_MAX : setting->max));
    }
    return GFS_OK;
}

static enum gfs_err load(struct gfs_config *config, int arg_count, char *const *args,
                         struct gfs_error *error)
{
    enum gfs_err err = take_flags(config, arg_count, args, error);
    if (err != GFS_OK || config->wants_help) {
        return err;
    }
    take_environment(config);
    struct value *file = find_flag(config, GFS_SLICE_LITERAL("config"));
    if (file != NULL && file->items.count != 0) {
        err = take_file(config, file->items.ptr[0], error);
    }
    for (size_t i = 0; i < config->count && err == GFS_OK; i++) {
        err = check(&config->values[i], error);
    }
    return err;
}

enum gfs_err gfs_config_load(const struct gfs_setting *settings, size_t setting_count,
                             int arg_count, char *const *args, struct gfs_config **ret,
                             struct gfs_error *error)
{
    struct gfs_config *config = gfs_alloc(sizeof *config);
    config->values = gfs_alloc_array(setting_count + 1, sizeof config->values[0]);
    config->count = setting_count + 1;
    for (size_t i = 0; i < setting_count; i++) {
        config->values[i].setting = &settings[i];
    }
    config->values[setting_count].setting = &config_setting;
    enum gfs_err err = load(config, arg_count, args, error);
    if (err != GFS_OK) {
        gfs_config_free(config);
        return err;
    }
    *ret = config;
    return GFS_OK;
}

/* ---- reading ---- */

static const struct value *get(const struct gfs_config *config, const char *name)
{
    for (size_t i = 0; i < config->count; i++) {
        if (strcmp(config->values[i].setting->name, name) == 0) {
            return &config->values[i];
        }
    }
    gfs_assert_failed(name, __FILE__, __LINE__);
}

const char *gfs_config_text(const struct gfs_config *config, const char *name)
{
    const struct value *value = get(config, name);
    GFS_ASSERT(value->setting->kind == GFS_CONFIG_TEXT);
    return value->items.count == 0 ? NULL : value->items.ptr[0];
}

uint64_t gfs_config_u64(const struct gfs_config *config, const char *name)
{
    const struct value *value = get(config, name);
    GFS_ASSERT(value->setting->kind == GFS_CONFIG_UINT || value->setting->kind == GFS_CONFIG_BYTES);
    return value->number;
}

bool gfs_config_bool(const struct gfs_config *config, const char *name)
{
    const struct value *value = get(config, name);
    GFS_ASSERT(value->setting->kind == GFS_CONFIG_BOOL);
    return value->number != 0;
}

static const char *const *list_of(const struct items *items)
{
    static const char *const none[] = {NULL};
    return items->count == 0 ? none : (const char *const *)items->ptr;
}

const char *const *gfs_config_list(const struct gfs_config *config, const char *name)
{
    const struct value *value = get(config, name);
    GFS_ASSERT(value->setting->kind == GFS_CONFIG_LIST);
    return list_of(&value->items);
}

bool gfs_config_is_set(const struct gfs_config *config, const char *name)
{
    return get(config, name)->source != FROM_DEFAULT;
}

const char *const *gfs_config_args(const struct gfs_config *config)
{
    return list_of(&config->args);
}

bool gfs_config_wants_help(const struct gfs_config *config)
{
    return config->wants_help;
}

static void help_one(const struct gfs_setting *setting, struct gfs_buf *out)
{
    static const char *const values[] = {" TEXT", " VALUE (may repeat)", " N", " SIZE", ""};
    char key[CONFIG_NAME_SIZE];
    key_of(setting->name, key);
    gfs_buf_printf(out, "  --%s%s\n        %s\n        %s", setting->name, values[setting->kind],
                   setting->help, key);
    if (setting->default_text != NULL) {
        gfs_buf_printf(out, ", default %s", setting->default_text);
    }
    gfs_buf_add_char(out, '\n');
}

void gfs_config_help(const struct gfs_setting *settings, size_t setting_count, struct gfs_buf *out)
{
    for (size_t i = 0; i < setting_count; i++) {
        help_one(&settings[i], out);
    }
    help_one(&config_setting, out);
}
