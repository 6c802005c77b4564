/* What the verbs share: the talk with one server. */
#pragma once

#include "ctl/args.h"
#include "libgoodfs/buf.h"
#include "libgoodfs/json.h"

/* Exit statuses, for scripts. */
enum ctl_status {
    CTL_FINE = 0,
    CTL_NO = 1,          /* the answer is "no", or what was asked for is refused */
    CTL_USAGE = 2,       /* wrong usage */
    CTL_UNREACHABLE = 3, /* no server, not allowed, or it cannot answer now */
};

struct client;

/* Plain data. Owned by main. */
struct ctl {
    const struct args *args;
    const char *const *operands; /* the words after the verb, operand_count of them */
    unsigned operand_count;
    struct client *client;
    struct gfs_buf reply;   /* the last answer, as it came */
    struct gfs_json *value; /* the same, parsed; NULL before the first */
};

/* Immutable. A verb is one or two words. */
struct ctl_verb {
    const char *name;     /* "disk add" */
    const char *operands; /* "PATH", "" */
    const char *help;     /* one line, then lines for `help VERB` */
    unsigned operand_count;
    unsigned flags; /* ARGS_BIT of its own; those of every verb need not be here */
    enum ctl_status (*run)(struct ctl *ctl);
};
/* The index-th line of the table (ctl_verbs.c); NULL behind the last. */
const struct ctl_verb *ctl_verbs_at(size_t index);

/* Plain data. */
struct ctl_request {
    const char *method, *path;
    const char *query, *body; /* NULL = none */
};
/* Sends it; CTL_FINE: ctl->value is the answer. Anything else was said on stderr (and, with --json,
 * the server's answer on stdout). */
enum ctl_status ctl_send(struct ctl *ctl, const struct ctl_request *request);
/* Prints the answer: with --json as it came, else what show writes of it. */
void ctl_print_json(const struct ctl *ctl);
bool ctl_is_json(const struct ctl *ctl);

/* Asks path again and again until its object `name` has no is_running any more; draws a bar on
 * stderr when that is a terminal (ctl_watch.c). */
enum ctl_status ctl_watch(struct ctl *ctl, const char *path, const char *name);
/* The bar of such an object, `width` characters in all, without a line's end: for tests. */
void ctl_watch_bar(const struct gfs_json *progress, unsigned width, struct gfs_buf *out);
