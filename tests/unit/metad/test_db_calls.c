/* A disk that hangs while a database is opened there stops no other database. */
#include "metad/db_calls.h"

#include <pthread.h>
#include <sched.h>

#include "libgoodfs/clock.h"
#include "metad/db.h"
#include "tests/unit/metad/file_shim.h"
#include "tests/unit/metad/temp_dir.h"

enum { SOON_S = 20, OTHERS = 5 };

struct place {
    char dir[TEMP_DIR_SIZE];
    char path[TEMP_PATH_SIZE];
};

static void place_init(struct place *place)
{
    temp_dir_make(place->dir);
    (void)snprintf(place->path, sizeof place->path, "%s/db", place->dir);
}

static void open_and_close(const struct place *place)
{
    struct gfs_error error = {0};
    struct db *db = NULL;
    cr_assert_eq(db_open_writer(place->path, 1 << 20, &db, &error), GFS_OK, "%s", error.text);
    db_close(db);
}

static void *open_there(void *arg)
{
    open_and_close(arg);
    return NULL;
}

Test(db_calls, a_database_that_cannot_be_opened_keeps_no_other_from_it)
{
    struct place hanging, good;
    struct db *open = NULL; /* SQLite looks for open files of a path only while there are any */
    struct gfs_error error = {0};
    pthread_t thread;
    place_init(&hanging);
    place_init(&good);
    open_and_close(&hanging);
    cr_assert_eq(db_open_writer(good.path, 1 << 20, &open, &error), GFS_OK);
    file_shim_set(hanging.dir, FILE_SHIM_HANG);
    cr_assert_eq(pthread_create(&thread, NULL, open_there, &hanging), 0);
    while (file_shim_hanging() == 0) {
        (void)sched_yield();
    }
    int64_t begun_ns = gfs_monotonic_ns();
    for (unsigned i = 0; i < OTHERS; i++) {
        struct db *reader = NULL;
        cr_assert_eq(db_open_reader(good.path, 1 << 20, &reader, &error), GFS_OK);
        db_close(reader);
    }
    cr_expect_lt(gfs_monotonic_ns() - begun_ns, SOON_S * 1000000000LL);
    cr_expect_gt(file_shim_hanging(), 0, "it hangs still");
    file_shim_set("", FILE_SHIM_NONE);
    (void)pthread_join(thread, NULL);
    db_close(open);
    temp_dir_remove(hanging.dir);
    temp_dir_remove(good.dir);
}
