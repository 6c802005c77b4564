/* Opening and closing databases while a disk hangs.
 *
 * SQLite looks at a path before it opens it, and closes files, under a lock that every opening and
 * closing in the process takes. On a disk that hangs these calls may never come back, and then no
 * copy of the metadata on another disk could take over. So they are made by threads of their own
 * and waited for within a limit: a look that takes longer finds nothing (SQLite then opens the
 * path, without that lock, and hangs alone), a closing goes on by itself. */
#pragma once

#include <sqlite3.h>

/* sqlite3_open_v2 with the default file system, guarded so. Any thread. */
int db_calls_open(const char *path, sqlite3 **ret, int flags);
