#include "ctl/show.h"

#include <stdio.h>

#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

/* Seconds above it are a time, and no 30 years. */
#define UNIX_TIME_MIN 1e9

enum { CELL_LEN_MAX = 4096, COLUMNS_MAX = 32, COLUMN_NAME_LEN_MAX = 63 };

void show_bytes(struct gfs_buf *out, double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t unit = 0;
    while ((bytes >= 1024 || bytes <= -1024) && unit + 1 < GFS_COUNT(units)) {
        bytes /= 1024;
        unit++;
    }
    gfs_buf_printf(out, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
}

void show_seconds(struct gfs_buf *out, double seconds)
{
    uint64_t left = seconds < 0 ? 0 : (uint64_t)(GFS_MIN(seconds, 1e15) + 0.5);
    unsigned long long days = left / 86400, hours = left / 3600 % 24, minutes = left / 60 % 60;
    if (days > 0) {
        gfs_buf_printf(out, "%llud%02lluh", days, hours);
    } else if (hours > 0) {
        gfs_buf_printf(out, "%lluh%02llum", hours, minutes);
    } else if (minutes > 0) {
        gfs_buf_printf(out, "%llum%02llus", minutes, (unsigned long long)left % 60);
    } else {
        gfs_buf_printf(out, "%llus", (unsigned long long)left);
    }
}

static bool ends(struct gfs_slice name, const char *end)
{
    size_t len = strlen(end);
    return name.len >= len && memcmp(name.ptr + name.len - len, end, len) == 0;
}

static bool is_one_of(struct gfs_slice name, const char *const *names)
{
    for (; *names != NULL; names++) {
        if (gfs_slice_eq_str(name, *names)) {
            return true;
        }
    }
    return false;
}

static bool is_size(struct gfs_slice name)
{
    static const char *const names[] = {"size",     "capacity", "free",  "used",
                                        "reserved", "length",   "bytes", NULL};
    return ends(name, "_bytes") || gfs_slice_starts(name, GFS_SLICE_LITERAL("space_")) ||
           is_one_of(name, names);
}

static void show_number(struct gfs_buf *out, struct gfs_slice name, const struct gfs_json *value)
{
    int64_t integer = 0;
    double number = 0;
    (void)gfs_json_number(value, &number);
    if (is_size(name)) {
        show_bytes(out, number);
    } else if (gfs_slice_eq_str(name, "rate") || ends(name, "_rate")) {
        show_bytes(out, number);
        gfs_buf_add_str(out, "/s");
    } else if (ends(name, "_s") && number > UNIX_TIME_MIN) {
        char date[GFS_ISO_DATE_LEN + 1];
        gfs_iso_date((int64_t)number * 1000, date);
        gfs_buf_printf(out, "%.19sZ", date);
    } else if (ends(name, "_s") || ends(name, "_seconds")) {
        show_seconds(out, number);
    } else if (gfs_slice_eq_str(name, "position")) {
        gfs_buf_printf(out, "%.1f %%", 100 * number);
    } else if (gfs_json_integer(value, &integer)) {
        gfs_buf_printf(out, "%lld", (long long)integer);
    } else {
        gfs_buf_printf(out, "%.2f", number);
    }
}

/* A text may hold whatever a client called its keys: control characters must not reach the
 * terminal. */
static void show_text(struct gfs_buf *out, struct gfs_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.ptr[i];
        bool is_c1 = byte == 0xc2 && i + 1 < text.len && (unsigned char)text.ptr[i + 1] < 0xa0;
        if (byte < ' ' || byte == 0x7f || is_c1) {
            gfs_buf_printf(out, "\\x%02x", byte);
        } else {
            gfs_buf_add_char(out, text.ptr[i]);
        }
    }
}

/* A slot of a group: its disk, and the one that it is filled from. */
static bool show_slot(struct gfs_buf *out, const struct gfs_json *value)
{
    int64_t disk = 0, from = 0;
    if (!gfs_json_integer(gfs_json_get(value, "disk"), &disk) ||
        gfs_json_get(value, "from") == NULL) {
        return false;
    }
    gfs_buf_printf(out, "%lld", (long long)disk);
    if (gfs_json_integer(gfs_json_get(value, "from"), &from)) {
        gfs_buf_printf(out, "<%lld", (long long)from);
    }
    return true;
}

void show_cell(struct gfs_buf *out, struct gfs_slice name, const struct gfs_json *value)
{
    char text[CELL_LEN_MAX];
    if (value == NULL) {
        gfs_buf_add_str(out, "-");
        return;
    }
    switch (gfs_json_type(value)) {
    case GFS_JSON_STRING:
        show_text(out, gfs_json_string(value).len == 0 ? GFS_SLICE_LITERAL("-")
                                                       : gfs_json_string(value));
        return;
    case GFS_JSON_INTEGER:
    case GFS_JSON_REAL:
        show_number(out, name, value);
        return;
    case GFS_JSON_TRUE:
        gfs_buf_add_str(out, "yes");
        return;
    case GFS_JSON_FALSE:
        gfs_buf_add_str(out, "no");
        return;
    case GFS_JSON_NULL:
        gfs_buf_add_str(out, "-");
        return;
    case GFS_JSON_ARRAY:
        gfs_buf_add_str(out, gfs_json_count(value) == 0 ? "-" : "");
        for (size_t i = 0; i < gfs_json_count(value); i++) {
            gfs_buf_add_str(out, i == 0 ? "" : " ");
            show_cell(out, name, gfs_json_at(value, i));
        }
        return;
    case GFS_JSON_OBJECT:
        if (!show_slot(out, value)) {
            gfs_json_show(value, text, sizeof text);
            show_text(out, gfs_slice_str(text));
        }
        return;
    }
}

/* Characters, not bytes: what a terminal makes columns of (wide ones aside). */
static size_t width_of(const struct gfs_buf *text)
{
    size_t width = 0;
    for (size_t i = 0; i < text->len; i++) {
        width += ((unsigned char)text->ptr[i] & 0xc0) != 0x80;
    }
    return width;
}

static void pad(struct gfs_buf *out, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        gfs_buf_add_char(out, ' ');
    }
}

/* ---- objects ---- */

static bool is_nested(const struct gfs_json *value)
{
    const struct gfs_json *first = gfs_json_at(value, 0); /* NULL for anything but an array */
    return gfs_json_type(value) == GFS_JSON_OBJECT ||
           (first != NULL && gfs_json_type(first) == GFS_JSON_OBJECT);
}

/* "is_behind" -> "behind", "read_errors" -> "read errors", "done_bytes" -> "done", but for a name
 * that another member of the object has. */
static void show_name(struct gfs_buf *out, struct gfs_slice name, const struct gfs_json *object)
{
    size_t start = gfs_slice_starts(name, GFS_SLICE_LITERAL("is_")) ? 3 : 0;
    size_t end = name.len - (ends(name, "_s") ? 2 : ends(name, "_bytes") ? 6 : 0);
    char shorter[COLUMN_NAME_LEN_MAX + 1] = "";
    if (end < name.len && end < sizeof shorter) {
        memcpy(shorter, name.ptr, end);
        end = gfs_json_get(object, shorter) != NULL ? name.len : end;
    }
    for (size_t i = start; i < end; i++) {
        gfs_buf_add_char(out, name.ptr[i] == '_' ? ' ' : name.ptr[i]);
    }
}

void show_object(struct gfs_buf *out, const struct gfs_json *object, unsigned indent)
{
    struct gfs_slice name;
    const struct gfs_json *value;
    size_t width = 0;
    for (size_t i = 0; gfs_json_member(object, i, &name, &value); i++) {
        width = is_nested(value) ? width : GFS_MAX(width, name.len);
    }
    for (size_t i = 0; gfs_json_member(object, i, &name, &value); i++) {
        struct gfs_buf GFS_CLEANUP(gfs_buf_fini) label;
        gfs_buf_init(&label, CELL_LEN_MAX);
        show_name(&label, name, object);
        pad(out, indent);
        gfs_buf_add_slice(out, gfs_buf_slice(&label));
        if (!is_nested(value)) {
            pad(out, width + 2 - label.len);
            show_cell(out, name, value);
            gfs_buf_add_char(out, '\n');
        } else {
            gfs_buf_add_char(out, '\n');
            if (gfs_json_type(value) == GFS_JSON_OBJECT) {
                show_object(out, value, indent + 2);
            } else {
                show_table(out, value, NULL, indent + 2);
            }
        }
    }
}

/* ---- tables ---- */

/* Plain data. */
struct column {
    char name[COLUMN_NAME_LEN_MAX + 1];
    size_t width;
    bool is_right; /* numbers */
};

static bool has_rows_with(const struct gfs_json *array, const char *name)
{
    for (size_t i = 0; i < gfs_json_count(array); i++) {
        if (gfs_json_get(gfs_json_at(array, i), name) != NULL) {
            return true;
        }
    }
    return false;
}

static size_t find_columns(const struct gfs_json *array, const char *columns,
                           struct column ret[COLUMNS_MAX])
{
    struct gfs_slice name;
    const struct gfs_json *value;
    size_t count = 0;
    const struct gfs_json *first = gfs_json_at(array, 0);
    for (size_t i = 0; columns == NULL && gfs_json_member(first, i, &name, &value); i++) {
        if (name.len <= COLUMN_NAME_LEN_MAX && count < COLUMNS_MAX) {
            memcpy(ret[count].name, name.ptr, name.len);
            ret[count++].name[name.len] = '\0';
        }
    }
    for (const char *at = columns; at != NULL && count < COLUMNS_MAX;) {
        size_t len = strcspn(at, ",");
        GFS_ASSERT(len <= COLUMN_NAME_LEN_MAX);
        memcpy(ret[count].name, at, len);
        ret[count].name[len] = '\0';
        count += has_rows_with(array, ret[count].name);
        at = at[len] == ',' ? at + len + 1 : NULL;
    }
    return count;
}

static void head_of(const struct column *column, struct gfs_buf *ret)
{
    show_name(ret, gfs_slice_str(column->name), NULL);
    for (size_t i = 0; i < ret->len; i++) {
        char c = ret->ptr[i];
        ret->ptr[i] = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
    }
}

static void cell_of(const struct gfs_json *row, const struct column *column, struct gfs_buf *ret)
{
    show_cell(ret, gfs_slice_str(column->name), gfs_json_get(row, column->name));
}

static void measure(const struct gfs_json *array, struct column *column)
{
    struct gfs_buf GFS_CLEANUP(gfs_buf_fini) text;
    double number;
    gfs_buf_init(&text, CELL_LEN_MAX);
    head_of(column, &text);
    column->width = width_of(&text);
    column->is_right = true;
    for (size_t i = 0; i < gfs_json_count(array); i++) {
        const struct gfs_json *value = gfs_json_get(gfs_json_at(array, i), column->name);
        gfs_buf_clear(&text);
        cell_of(gfs_json_at(array, i), column, &text);
        column->width = GFS_MAX(column->width, width_of(&text));
        column->is_right = column->is_right && (value == NULL || gfs_json_number(value, &number));
    }
}

static void add_cell(struct gfs_buf *out, const struct column *column, const struct gfs_buf *text,
                     bool is_last)
{
    size_t space = column->width - width_of(text);
    pad(out, column->is_right ? space : 0);
    gfs_buf_add_slice(out, gfs_buf_slice(text));
    if (is_last) {
        gfs_buf_add_char(out, '\n');
    } else {
        pad(out, (column->is_right ? 0 : space) + 2);
    }
}

/* row NULL = the head. */
static void add_row(struct gfs_buf *out, const struct column *columns, size_t count,
                    const struct gfs_json *row, unsigned indent)
{
    pad(out, indent);
    for (size_t i = 0; i < count; i++) {
        struct gfs_buf GFS_CLEANUP(gfs_buf_fini) text;
        gfs_buf_init(&text, CELL_LEN_MAX);
        if (row == NULL) {
            head_of(&columns[i], &text);
        } else {
            cell_of(row, &columns[i], &text);
        }
        add_cell(out, &columns[i], &text, i + 1 == count);
    }
}

void show_table(struct gfs_buf *out, const struct gfs_json *array, const char *columns,
                unsigned indent)
{
    struct column found[COLUMNS_MAX];
    size_t count = gfs_json_count(array) == 0 ? 0 : find_columns(array, columns, found);
    if (count == 0) {
        pad(out, indent);
        gfs_buf_add_str(out, "(none)\n");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        measure(array, &found[i]);
    }
    add_row(out, found, count, NULL, indent);
    for (size_t i = 0; i < gfs_json_count(array); i++) {
        add_row(out, found, count, gfs_json_at(array, i), indent);
    }
}
