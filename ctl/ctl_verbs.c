/* The table of verbs, and each of them. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/ctl_pages.h"
#include "ctl/show.h"
#include "libgoodfs/json_out.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

enum { PATH_LEN_MAX = 16 * 1024, BODY_LEN_MAX = 16 * 1024, SHOWN_LEN_MAX = 64 * 1024 * 1024 };

/* ---- printing ---- */

/* The member `name` of the answer, or the whole answer; a table of these columns when it is one. */
static void print(const struct ctl *ctl, const char *name, const char *columns)
{
    if (ctl_is_json(ctl)) {
        ctl_print_json(ctl);
        return;
    }
    struct gfs_buf GFS_CLEANUP(gfs_buf_fini) out;
    gfs_buf_init(&out, SHOWN_LEN_MAX);
    const struct gfs_json *value = name == NULL ? ctl->value : gfs_json_get(ctl->value, name);
    if (value != NULL && gfs_json_type(value) == GFS_JSON_ARRAY) {
        show_table(&out, value, columns, 0);
    } else if (value != NULL) {
        show_object(&out, value, 0);
    }
    (void)fwrite(out.ptr, 1, out.len, stdout);
}

static enum ctl_status get(struct ctl *ctl, const char *path, const char *name, const char *columns)
{
    enum ctl_status status = ctl_send(ctl, &(struct ctl_request){.method = "GET", .path = path});
    if (status == CTL_FINE) {
        print(ctl, name, columns);
    }
    return status;
}

static bool wants_wait(const struct ctl *ctl)
{
    return (ctl->args->given & (ARGS_BIT(ARGS_WAIT) | ARGS_BIT(ARGS_WATCH))) != 0;
}

static enum ctl_status get_progress(struct ctl *ctl, const char *path)
{
    if (!wants_wait(ctl)) {
        return get(ctl, path, path, NULL);
    }
    enum ctl_status status = ctl_watch(ctl, path, path);
    if (status == CTL_FINE) {
        print(ctl, path, NULL);
    }
    return status;
}

static enum ctl_status wrong_value(enum args_flag flag, const char *must)
{
    (void)fprintf(stderr, "goodfsctl: %s must be %s\n", args_flag_name(flag), must);
    return CTL_USAGE;
}

/* ---- the server ---- */

static enum ctl_status run_status(struct ctl *ctl)
{
    return get(ctl, "status", NULL, NULL);
}

static enum ctl_status run_health(struct ctl *ctl)
{
    enum ctl_status status =
        ctl_send(ctl, &(struct ctl_request){.method = "GET", .path = "health"});
    if (status != CTL_FINE) {
        return status;
    }
    struct gfs_slice health = gfs_json_string(gfs_json_get(ctl->value, "health"));
    struct gfs_slice reason = gfs_json_string(gfs_json_get(ctl->value, "reason"));
    if (ctl_is_json(ctl)) {
        ctl_print_json(ctl);
    } else {
        printf("%.*s%s%.*s\n", (int)health.len, health.ptr, reason.len == 0 ? "" : ": ",
               (int)reason.len, reason.len == 0 ? "" : reason.ptr);
    }
    return gfs_slice_eq_str(health, "healthy") ? CTL_FINE : CTL_NO;
}

/* ---- disks ---- */

#define DISK_COLUMNS                                                                               \
    "number,state,is_away,is_last_resort,is_behind,is_read_only,is_full,is_mirror,capacity,free,"  \
    "reserved,live_bytes,chunks,slots,read_errors,path"

static enum ctl_status run_disk_ls(struct ctl *ctl)
{
    return get(ctl, "disks", "disks", DISK_COLUMNS);
}

/* The server's own directory is no place to start from: a path is made whole here. */
static bool whole_path(const char *path, struct gfs_buf *ret)
{
    char *cwd = path[0] == '/' ? NULL : getcwd(NULL, 0);
    bool is_whole = path[0] == '/' || cwd != NULL;
    gfs_buf_init(ret, PATH_LEN_MAX);
    gfs_buf_printf(ret, "%s%s%s", cwd == NULL ? "" : cwd, cwd == NULL ? "" : "/", path);
    free(cwd);
    return is_whole && !ret->is_full && gfs_is_utf8(gfs_buf_slice(ret));
}

/* POST disks... with {"path"} (NULL = without). */
static enum ctl_status change_disks(struct ctl *ctl, const char *url, const char *path)
{
    struct gfs_buf GFS_CLEANUP(gfs_buf_fini) body, whole;
    struct gfs_json_out json;
    gfs_buf_init(&body, BODY_LEN_MAX);
    gfs_buf_init(&whole, 0);
    gfs_json_out_init(&json, &body);
    gfs_json_out_object(&json, NULL);
    if (path != NULL) {
        if (!whole_path(path, &whole)) {
            (void)fprintf(stderr, "goodfsctl: %s: not a path the server could be told\n", path);
            return CTL_USAGE;
        }
        gfs_json_out_text(&json, "path", whole.ptr);
    }
    gfs_json_out_end_object(&json);
    enum ctl_status status =
        ctl_send(ctl, &(struct ctl_request){
                          .method = "POST", .path = url, .body = path == NULL ? NULL : body.ptr});
    if (status == CTL_FINE) {
        print(ctl, "disks", DISK_COLUMNS);
    }
    return status;
}

/* "disks/ID" and what comes after it; ID may be a path. */
static void disk_url(struct ctl *ctl, const char *rest, struct gfs_buf *ret)
{
    gfs_buf_init(ret, PATH_LEN_MAX);
    gfs_buf_add_str(ret, "disks/");
    gfs_uri_encode(ret, gfs_slice_str(ctl->operands[0]), false);
    gfs_buf_add_str(ret, rest);
}

static enum ctl_status run_disk_add(struct ctl *ctl)
{
    return change_disks(ctl, "disks", ctl->operands[0]);
}

static enum ctl_status run_disk_replace(struct ctl *ctl)
{
    struct gfs_buf GFS_CLEANUP(gfs_buf_fini) url;
    disk_url(ctl, "/replace", &url);
    return change_disks(ctl, url.ptr, ctl->operands[1]);
}

static enum ctl_status run_disk_drain(struct ctl *ctl)
{
    struct gfs_buf GFS_CLEANUP(gfs_buf_fini) url;
    disk_url(ctl, "/drain", &url);
    return change_disks(ctl, url.ptr, NULL);
}

static enum ctl_status run_disk_set(struct ctl *ctl)
{
    struct gfs_buf GFS_CLEANUP(gfs_buf_fini) url, body;
    const char *read_only = ctl->args->values[ARGS_READ_ONLY];
    const char *reserved = ctl->args->values[ARGS_RESERVED];
    struct gfs_json_out json;
    bool is_read_only = false;
    uint64_t bytes = 0;
    disk_url(ctl, "", &url);
    gfs_buf_init(&body, BODY_LEN_MAX);
    if (read_only == NULL && reserved == NULL) {
        (void)fprintf(stderr, "goodfsctl: disk set needs --read-only or --reserved\n");
        return CTL_USAGE;
    }
    if (read_only != NULL && args_bool(read_only, &is_read_only) != GFS_OK) {
        return wrong_value(ARGS_READ_ONLY, "true or false");
    }
    if (reserved != NULL && args_bytes(reserved, &bytes) != GFS_OK) {
        return wrong_value(ARGS_RESERVED, "a number of bytes, like 10GiB");
    }
    gfs_json_out_init(&json, &body);
    gfs_json_out_object(&json, NULL);
    if (read_only != NULL) {
        gfs_json_out_bool(&json, "read_only", is_read_only);
    }
    if (reserved != NULL) {
        gfs_json_out_u64(&json, "reserved", bytes);
    }
    gfs_json_out_end_object(&json);
    enum ctl_status status =
        ctl_send(ctl, &(struct ctl_request){.method = "PATCH", .path = url.ptr, .body = body.ptr});
    if (status == CTL_FINE) {
        print(ctl, "disks", DISK_COLUMNS);
    }
    return status;
}

/* ---- groups and what goes on ---- */

static enum ctl_status run_pg_ls(struct ctl *ctl)
{
    return get(ctl, "groups", "groups", "group,profile,state,slots");
}

static enum ctl_status run_repair_status(struct ctl *ctl)
{
    return get_progress(ctl, "repair");
}

static enum ctl_status run_scrub_status(struct ctl *ctl)
{
    return get_progress(ctl, "scrub");
}

static enum ctl_status run_rebalance_status(struct ctl *ctl)
{
    return get_progress(ctl, "rebalance");
}

/* Starts or ends something and shows (with --wait: the end of) its progress. */
static enum ctl_status change_progress(struct ctl *ctl, const struct ctl_request *request)
{
    enum ctl_status status = ctl_send(ctl, request);
    if (status == CTL_FINE && wants_wait(ctl)) {
        status = ctl_watch(ctl, request->path, request->path);
    }
    if (status == CTL_FINE) {
        print(ctl, request->path, NULL);
    }
    return status;
}

static enum ctl_status run_scrub_start(struct ctl *ctl)
{
    const char *rate = ctl->args->values[ARGS_RATE];
    char body[64] = "{}";
    uint64_t bytes = 0;
    if (rate != NULL && (args_bytes(rate, &bytes) != GFS_OK || bytes == 0)) {
        return wrong_value(ARGS_RATE, "a number of bytes a second, like 64MiB");
    }
    if (rate != NULL) {
        (void)snprintf(body, sizeof body, "{\"rate\":%llu}", (unsigned long long)bytes);
    }
    return change_progress(ctl,
                           &(struct ctl_request){.method = "POST", .path = "scrub", .body = body});
}

static enum ctl_status run_rebalance_start(struct ctl *ctl)
{
    return change_progress(ctl, &(struct ctl_request){.method = "POST", .path = "rebalance"});
}

static enum ctl_status run_rebalance_stop(struct ctl *ctl)
{
    return change_progress(ctl, &(struct ctl_request){.method = "DELETE", .path = "rebalance"});
}

/* ---- fsck ---- */

/* Everything but the objects. */
static void print_fsck(const struct gfs_json *fsck, struct gfs_buf *out)
{
    static const char *const names[] = {
        "state",    "error",         "started",    "took_s",       "position",
        "eta_s",    "chunks",        "references", "lost",         "unreachable",
        "degraded", "unjudged",      "orphans",    "orphan_bytes", "has_damaged_rows",
        "deleted",  "deleted_bytes", "sweep"};
    for (size_t i = 0; i < GFS_COUNT(names); i++) {
        if (gfs_json_get(fsck, names[i]) != NULL) {
            gfs_buf_printf(out, "%-18s", names[i]);
            show_cell(out, gfs_slice_str(names[i]), gfs_json_get(fsck, names[i]));
            gfs_buf_add_char(out, '\n');
        }
    }
    if (gfs_json_count(gfs_json_get(fsck, "orphan_list")) > 0) {
        gfs_buf_add_str(out, "\nchunks that nobody refers to\n");
        show_table(out, gfs_json_get(fsck, "orphan_list"), "chunk,bytes,first_seen", 0);
    }
}

/* What the pages of an answer say together. */
struct seen {
    const struct ctl *ctl;
    bool is_bad; /* the answer to what was asked is "no" */
};

static bool is_true(const struct gfs_json *value)
{
    return value != NULL && gfs_json_type(value) == GFS_JSON_TRUE;
}

static void see_fsck(void *arg, const struct gfs_json *fsck, bool is_first)
{
    struct seen *seen = arg;
    const struct gfs_json *is_clean = gfs_json_get(fsck, "is_clean");
    struct gfs_buf GFS_CLEANUP(gfs_buf_fini) out;
    gfs_buf_init(&out, SHOWN_LEN_MAX);
    seen->is_bad = is_clean != NULL && !is_true(is_clean);
    if (ctl_is_json(seen->ctl)) {
        return;
    }
    if (is_first) {
        print_fsck(fsck, &out);
    }
    if (gfs_json_count(gfs_json_get(fsck, "objects")) > 0) {
        gfs_buf_add_str(&out, is_first ? "\nobjects whose chunks lack fragments\n" : "");
        show_table(&out, gfs_json_get(fsck, "objects"),
                   "state,have,need,width,chunk,bad_chunks,bucket,key", 0);
    }
    if (gfs_json_get(fsck, "next") == NULL && is_true(gfs_json_get(fsck, "has_more_objects"))) {
        gfs_buf_add_str(&out, "... and more than can be listed\n");
    }
    (void)fwrite(out.ptr, 1, out.len, stdout);
}

/* NO: the last search found something. */
static enum ctl_status answer_fsck(struct ctl *ctl)
{
    struct seen seen = {.ctl = ctl};
    const struct ctl_pages pages = {.path = "fsck",
                                    .name = "fsck",
                                    .list = "objects",
                                    .same = "searches",
                                    .see = see_fsck,
                                    .arg = &seen};
    enum ctl_status status = ctl_pages_get(ctl, &pages);
    return status != CTL_FINE ? status : seen.is_bad ? CTL_NO : CTL_FINE;
}

static enum ctl_status run_fsck(struct ctl *ctl)
{
    bool is_anyway = ctl->args->values[ARGS_DELETE_ORPHANS_ANYWAY] != NULL;
    const struct ctl_request request = {
        .method = "POST", .path = "fsck", .query = is_anyway ? "delete_orphans_anyway=1" : NULL};
    enum ctl_status status = ctl_send(ctl, &request);
    if (status == CTL_FINE && wants_wait(ctl)) {
        status = ctl_watch(ctl, "fsck", "fsck");
    }
    return status == CTL_FINE ? answer_fsck(ctl) : status;
}

static enum ctl_status run_fsck_status(struct ctl *ctl)
{
    enum ctl_status status = wants_wait(ctl) ? ctl_watch(ctl, "fsck", "fsck") : CTL_FINE;
    return status == CTL_FINE ? answer_fsck(ctl) : status;
}

/* ---- objects and buckets ---- */

/* BUCKET/KEY, percent-encoded; the key keeps its slashes. */
static bool object_url(const char *operand, struct gfs_buf *ret)
{
    gfs_buf_init(ret, PATH_LEN_MAX);
    gfs_buf_add_str(ret, "objects/");
    gfs_uri_encode(ret, gfs_slice_str(operand), true);
    const char *slash = strchr(operand, '/');
    return slash != NULL && slash != operand && slash[1] != '\0';
}

/* One page of chunks, a line each fragment. */
static void print_chunks(const struct gfs_json *chunks, struct gfs_buf *out)
{
    for (size_t i = 0; i < gfs_json_count(chunks); i++) {
        const struct gfs_json *chunk = gfs_json_at(chunks, i);
        int64_t index = 0, group = 0;
        double length = 0;
        struct gfs_slice id = gfs_json_string(gfs_json_get(chunk, "id"));
        (void)gfs_json_integer(gfs_json_get(chunk, "index"), &index);
        (void)gfs_json_integer(gfs_json_get(chunk, "group"), &group);
        (void)gfs_json_number(gfs_json_get(chunk, "length"), &length);
        gfs_buf_printf(out, "chunk %lld  %.*s  group %lld  ", (long long)index, (int)id.len, id.ptr,
                       (long long)group);
        show_bytes(out, length);
        gfs_buf_add_char(out, '\n');
        show_table(out, gfs_json_get(chunk, "fragments"), "slot,disk,length,state", 2);
    }
}

static void print_object_head(const struct gfs_json *object, struct gfs_buf *out)
{
    static const char *const names[] = {"bucket",        "key",      "size",  "etag",
                                        "storage_class", "modified", "parts", "chunk_count"};
    for (size_t i = 0; i < GFS_COUNT(names); i++) {
        gfs_buf_printf(out, "%-15s",
                       strcmp(names[i], "storage_class") == 0 ? "storage class"
                       : strcmp(names[i], "chunk_count") == 0 ? "chunks"
                                                              : names[i]);
        show_cell(out, gfs_slice_str(names[i]), gfs_json_get(object, names[i]));
        gfs_buf_add_char(out, '\n');
    }
}

static bool has_bad_fragment(const struct gfs_json *chunks)
{
    for (size_t i = 0; i < gfs_json_count(chunks); i++) {
        const struct gfs_json *fragments = gfs_json_get(gfs_json_at(chunks, i), "fragments");
        for (size_t j = 0; j < gfs_json_count(fragments); j++) {
            if (!gfs_slice_eq_str(gfs_json_string(gfs_json_get(gfs_json_at(fragments, j), "state")),
                                  "ok")) {
                return true;
            }
        }
    }
    return false;
}

static void see_chunks(void *arg, const struct gfs_json *object, bool is_first)
{
    struct seen *seen = arg;
    const struct gfs_json *chunks = gfs_json_get(object, "chunks");
    struct gfs_buf GFS_CLEANUP(gfs_buf_fini) out;
    gfs_buf_init(&out, SHOWN_LEN_MAX);
    seen->is_bad = seen->is_bad || has_bad_fragment(chunks);
    if (ctl_is_json(seen->ctl)) {
        return;
    }
    if (is_first) {
        print_object_head(object, &out);
    }
    print_chunks(chunks, &out);
    (void)fwrite(out.ptr, 1, out.len, stdout);
}

static enum ctl_status run_object_info(struct ctl *ctl)
{
    struct gfs_buf GFS_CLEANUP(gfs_buf_fini) url;
    struct seen seen = {.ctl = ctl};
    bool must_verify = (ctl->args->given & ARGS_BIT(ARGS_VERIFY)) != 0;
    if (!object_url(ctl->operands[0], &url)) {
        (void)fprintf(stderr, "goodfsctl: \"%s\" is not BUCKET/KEY\n", ctl->operands[0]);
        return CTL_USAGE;
    }
    const struct ctl_pages pages = {.path = url.ptr,
                                    .query = must_verify ? "verify=1" : NULL,
                                    .list = "chunks",
                                    .same = "etag",
                                    .see = see_chunks,
                                    .arg = &seen};
    enum ctl_status status = ctl_pages_get(ctl, &pages);
    return status != CTL_FINE ? status : seen.is_bad ? CTL_NO : CTL_FINE;
}

static void bucket_url(const struct ctl *ctl, struct gfs_buf *ret)
{
    gfs_buf_init(ret, PATH_LEN_MAX);
    gfs_buf_add_str(ret, "buckets/");
    gfs_uri_encode(ret, gfs_slice_str(ctl->operands[0]), false);
    gfs_buf_add_str(ret, "/storage-class");
}

static enum ctl_status run_bucket_info(struct ctl *ctl)
{
    struct gfs_buf GFS_CLEANUP(gfs_buf_fini) url;
    bucket_url(ctl, &url);
    return get(ctl, url.ptr, NULL, NULL);
}

static enum ctl_status run_bucket_set(struct ctl *ctl)
{
    struct gfs_buf GFS_CLEANUP(gfs_buf_fini) url, body;
    const char *name = ctl->args->values[ARGS_STORAGE_CLASS];
    struct gfs_json_out json;
    bucket_url(ctl, &url);
    gfs_buf_init(&body, BODY_LEN_MAX);
    if (name == NULL) {
        (void)fprintf(stderr, "goodfsctl: bucket set needs --storage-class\n");
        return CTL_USAGE;
    }
    gfs_json_out_init(&json, &body);
    gfs_json_out_object(&json, NULL);
    gfs_json_out_text(&json, "storage_class", name);
    gfs_json_out_end_object(&json);
    enum ctl_status status =
        ctl_send(ctl, &(struct ctl_request){.method = "PUT", .path = url.ptr, .body = body.ptr});
    if (status == CTL_FINE) {
        print(ctl, NULL, NULL);
    }
    return status;
}

#define WATCH (ARGS_BIT(ARGS_WAIT) | ARGS_BIT(ARGS_WATCH))

static const struct ctl_verb verbs[] = {
    {"status", "",
     "the server, its disks' space and counts, mirrors, classes\n"
     "What is under way is said by `repair status`, `scrub status`, `rebalance status` and "
     "`fsck status`.",
     0, 0, run_status},
    {"health", "",
     "healthy, degraded or read-only, and why\n"
     "Exit status 0 only when healthy: nothing is under-replicated, behind, failed or away.",
     0, 0, run_health},
    {"disk ls", "", "the disks: state, space, what they hold", 0, 0, run_disk_ls},
    {"disk add", "PATH",
     "takes an empty directory as a new disk\n"
     "New objects may go there at once; `rebalance start` moves some of the old ones.",
     1, 0, run_disk_add},
    {"disk replace", "DISK PATH",
     "another disk takes over everything of one, dead or alive\n"
     "DISK is a number, an id or a path of `disk ls`. PATH is an empty directory; it may be the "
     "same\npath, when a fresh disk was mounted there.",
     2, 0, run_disk_replace},
    {"disk drain", "DISK",
     "empties a disk, which stays readable; it is removed when nothing is on it\n"
     "`disk ls` shows how far it is, `disk replace` may end it sooner.",
     1, 0, run_disk_drain},
    {"disk set", "DISK",
     "--read-only true|false: whether it gets anything new; --reserved BYTES: not to be used", 1,
     ARGS_BIT(ARGS_READ_ONLY) | ARGS_BIT(ARGS_RESERVED), run_disk_set},
    {"pg ls", "",
     "the placement groups: profile, disks of each slot\n"
     "\"3<1\" is a slot on disk 3 that is still being filled from disk 1.",
     0, 0, run_pg_ls},
    {"repair status", "", "what is being rebuilt or moved; --watch until it is done", 0, WATCH,
     run_repair_status},
    {"scrub start", "",
     "verifies everything once, beside the continuous scrub\n"
     "--rate BYTES: a second and disk; --wait: until it is done.",
     0, WATCH | ARGS_BIT(ARGS_RATE), run_scrub_start},
    {"scrub status", "", "how far the scrub is and what it found; --watch until it is done", 0,
     WATCH, run_scrub_status},
    {"rebalance start", "", "moves fragments until the disks are evenly full; --wait: until then",
     0, WATCH, run_rebalance_start},
    {"rebalance status", "", "what is left to move; --watch until it is done", 0, WATCH,
     run_rebalance_status},
    {"rebalance stop", "", "moves nothing that is not being moved already", 0, 0,
     run_rebalance_stop},
    {"fsck", "",
     "searches for objects that lack fragments and for chunks in nobody's name\n"
     "--wait: until it is done. Exit status 1 when an object lacks fragments. Chunks in nobody's "
     "name\nare what crashes leave; they are given back when the searches of eight days found "
     "them\n(--orphan-age-seconds of the server).\n--delete-orphans-anyway: this once also when "
     "they are more than 1 % of all chunks.",
     0, WATCH | ARGS_BIT(ARGS_DELETE_ORPHANS_ANYWAY), run_fsck},
    {"fsck status", "", "what the last search found, or how far it is; --watch until it is done", 0,
     WATCH, run_fsck_status},
    {"object info", "BUCKET/KEY",
     "an object's chunks and where their fragments are\n"
     "--verify: reads them all. Exit status 1 when a fragment is not ok.",
     1, ARGS_BIT(ARGS_VERIFY), run_object_info},
    {"bucket info", "BUCKET", "its storage class, of new objects that name none", 1, 0,
     run_bucket_info},
    {"bucket set", "BUCKET",
     "--storage-class CLASS: of new objects that name none\n"
     "CLASS is a name of the server's classes, or a profile: replica:3, ec:4+2.",
     1, ARGS_BIT(ARGS_STORAGE_CLASS), run_bucket_set},
};

const struct ctl_verb *ctl_verbs_at(size_t index)
{
    return index < GFS_COUNT(verbs) ? &verbs[index] : NULL;
}
