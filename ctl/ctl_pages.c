#include "ctl/ctl_pages.h"

#include <stdio.h>

#include "libgoodfs/json_out.h"
#include "libgoodfs/mem.h"

enum { MERGED_LEN_MAX = 1 << 30, NAME_SIZE = 64, QUERY_SIZE = 128, SAME_SIZE = 128 };

/* Pages under way. */
struct merging {
    const struct ctl_pages *pages;
    struct gfs_buf text;
    struct gfs_json_out out;
    char same[SAME_SIZE]; /* of the first page, as compact text */
};

static void copy_value(struct gfs_json_out *out, const char *name, const struct gfs_json *value);

static void copy_members(struct gfs_json_out *out, const struct gfs_json *object,
                         const char *const *but)
{
    struct gfs_slice member;
    const struct gfs_json *value;
    for (size_t i = 0; gfs_json_member(object, i, &member, &value); i++) {
        char name[NAME_SIZE];
        bool is_left_out = member.len >= sizeof name; /* no server's */
        for (size_t n = 0; but != NULL && but[n] != NULL; n++) {
            is_left_out = is_left_out || gfs_slice_eq_str(member, but[n]);
        }
        if (!is_left_out) {
            memcpy(name, member.ptr, member.len);
            name[member.len] = '\0';
            copy_value(out, name, value);
        }
    }
}

static void copy_items(struct gfs_json_out *out, const struct gfs_json *array)
{
    for (size_t i = 0; i < gfs_json_count(array); i++) {
        copy_value(out, NULL, gfs_json_at(array, i));
    }
}

static void copy_value(struct gfs_json_out *out, const char *name, const struct gfs_json *value)
{
    int64_t integer = 0;
    double number = 0;
    if (out->depth + 1 >= GFS_JSON_DEPTH_MAX) { /* no server's */
        gfs_json_out_null(out, name);
        return;
    }
    switch (gfs_json_type(value)) {
    case GFS_JSON_OBJECT:
        gfs_json_out_object(out, name);
        copy_members(out, value, NULL);
        gfs_json_out_end_object(out);
        return;
    case GFS_JSON_ARRAY:
        gfs_json_out_array(out, name);
        copy_items(out, value);
        gfs_json_out_end_array(out);
        return;
    case GFS_JSON_STRING:
        gfs_json_out_slice(out, name, gfs_json_string(value));
        return;
    case GFS_JSON_INTEGER:
        (void)gfs_json_integer(value, &integer);
        gfs_json_out_i64(out, name, integer);
        return;
    case GFS_JSON_REAL:
        (void)gfs_json_number(value, &number);
        gfs_json_out_real(out, name, number);
        return;
    case GFS_JSON_TRUE:
    case GFS_JSON_FALSE:
        gfs_json_out_bool(out, name, gfs_json_type(value) == GFS_JSON_TRUE);
        return;
    case GFS_JSON_NULL:
        gfs_json_out_null(out, name);
        return;
    }
}

/* Everything of the first page up to the open array. */
static void begin(struct merging *merging, const struct gfs_json *answer,
                  const struct gfs_json *page)
{
    const struct ctl_pages *pages = merging->pages;
    gfs_json_out_object(&merging->out, NULL);
    if (pages->name != NULL) {
        copy_members(&merging->out, answer, (const char *const[]){pages->name, NULL});
        gfs_json_out_object(&merging->out, pages->name);
    }
    copy_members(&merging->out, page, (const char *const[]){pages->list, "next", NULL});
    gfs_json_out_array(&merging->out, pages->list);
}

static enum ctl_status end(struct merging *merging)
{
    gfs_json_out_end_array(&merging->out);
    if (merging->pages->name != NULL) {
        gfs_json_out_end_object(&merging->out);
    }
    gfs_json_out_end_object(&merging->out);
    gfs_buf_add_char(&merging->text, '\n');
    if (merging->text.is_full) {
        (void)fprintf(stderr, "goodfsctl: this is more than 1 GiB of JSON: without --json it comes "
                              "page by page\n");
        return CTL_NO;
    }
    (void)fwrite(merging->text.ptr, 1, merging->text.len, stdout);
    return CTL_FINE;
}

/* The next page, and what it says comes behind it (0 = nothing). */
static enum ctl_status get_page(struct ctl *ctl, struct merging *merging, int64_t after,
                                int64_t *ret_next)
{
    const struct ctl_pages *pages = merging->pages;
    char query[QUERY_SIZE];
    char same[SAME_SIZE] = "";
    (void)snprintf(query, sizeof query, "after=%lld%s%s", (long long)after,
                   pages->query == NULL ? "" : "&", pages->query == NULL ? "" : pages->query);
    const struct ctl_request request = {.method = "GET", .path = pages->path, .query = query};
    enum ctl_status status = ctl_send(ctl, &request);
    if (status != CTL_FINE) {
        return status;
    }
    const struct gfs_json *page =
        pages->name == NULL ? ctl->value : gfs_json_get(ctl->value, pages->name);
    const struct gfs_json *value = gfs_json_get(page, pages->same);
    if (value != NULL) {
        gfs_json_show(value, same, sizeof same);
    }
    if (after != 0 && strcmp(same, merging->same) != 0) {
        (void)fprintf(stderr, "goodfsctl: it changed while it was read: ask again\n");
        return CTL_UNREACHABLE;
    }
    memcpy(merging->same, same, sizeof same);
    *ret_next = 0;
    (void)gfs_json_integer(gfs_json_get(page, "next"), ret_next);
    pages->see(pages->arg, page, after == 0);
    if (ctl_is_json(ctl)) {
        if (after == 0) {
            begin(merging, ctl->value, page);
        }
        copy_items(&merging->out, gfs_json_get(page, pages->list));
    }
    return CTL_FINE;
}

enum ctl_status ctl_pages_get(struct ctl *ctl, const struct ctl_pages *pages)
{
    struct merging merging = {.pages = pages};
    int64_t after = 0, next = 0;
    gfs_buf_init(&merging.text, MERGED_LEN_MAX);
    gfs_json_out_init(&merging.out, &merging.text);
    enum ctl_status status;
    do {
        after = next;
        status = get_page(ctl, &merging, after, &next);
    } while (status == CTL_FINE && next > after);
    if (status == CTL_FINE && ctl_is_json(ctl)) {
        status = end(&merging);
    }
    gfs_buf_fini(&merging.text);
    return status;
}
