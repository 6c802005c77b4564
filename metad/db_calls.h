/* Opening and closing databases while a disk hangs.
 *
 * SQLite looks at files while it opens a database, opens what belongs to it, and closes files,
 * under a lock that every opening and closing in the process takes. On a disk that hangs these
 * calls may never come back, and then no copy of the metadata on another disk could take over. So
 * they are made by threads of their own and waited for within a limit: an opening fails then, a
 * closing goes on by itself. */
#pragma once

#include <stdbool.h>

/* Whether this thread is opening a database: from before sqlite3_open_v2 until its first page was
 * read. Its calls are guarded meanwhile; elsewhere they hold no lock, and may take their time. The
 * first call of all comes before any database is open. Any thread. */
void db_calls_guard(bool is_opening);
