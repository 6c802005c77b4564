/* Answers that come in pages: an array of an object, and `next` when there is more of it. */
#pragma once

#include "ctl/ctl.h"

/* Plain data. */
struct ctl_pages {
    const char *path, *query; /* query: besides `after`; NULL = none */
    const char *name;         /* member of the answer that has the pages; NULL = the answer */
    const char *list;         /* its array */
    const char *same;         /* its member that is the same on pages that belong together */
    /* Each page as it comes; prints it when there is no --json. */
    void (*see)(void *arg, const struct gfs_json *page, bool is_first);
    void *arg;
};
/* Asks for page after page. With --json one object is printed in the end: the first page, with
 * everything in its array. UNREACHABLE also when what is shown changed meanwhile; that was said. */
enum ctl_status ctl_pages_get(struct ctl *ctl, const struct ctl_pages *pages);
