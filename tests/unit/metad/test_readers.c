#include "metad/readers.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "libgoodfs/mem.h"
#include "tests/unit/metad/temp_dir.h"

struct pool {
    char dir[TEMP_DIR_SIZE];
    struct db *writer;
    struct readers *readers;
    atomic_int in_use, most;
};

static void init(struct pool *pool, uint32_t count_max)
{
    char path[TEMP_PATH_SIZE];
    *pool = (struct pool){0};
    temp_dir_make(pool->dir);
    (void)snprintf(path, sizeof path, "%s/db", pool->dir);
    cr_assert_eq(db_open_writer(path, 1 << 20, &pool->writer, NULL), GFS_OK);
    pool->readers = readers_new(path, count_max, 1 << 18);
}

static void fini(struct pool *pool)
{
    readers_free(pool->readers);
    db_close(pool->writer);
    temp_dir_remove(pool->dir);
}

Test(readers, connection_that_came_back_is_used_again)
{
    struct pool pool;
    struct db *first = NULL;
    struct db *second = NULL;
    init(&pool, 2);
    cr_assert_eq(readers_get(pool.readers, &first), GFS_OK);
    readers_put(pool.readers, first);
    cr_assert_eq(readers_get(pool.readers, &second), GFS_OK);
    cr_expect_eq(first, second);
    cr_assert_eq(readers_get(pool.readers, &first), GFS_OK);
    cr_expect_neq(first, second);
    readers_put(pool.readers, first);
    readers_put(pool.readers, second);
    fini(&pool);
}

static void *use(void *arg)
{
    struct pool *pool = arg;
    for (int i = 0; i < 300; i++) {
        struct db *db = NULL;
        if (readers_get(pool->readers, &db) != GFS_OK) {
            return NULL;
        }
        int now = atomic_fetch_add(&pool->in_use, 1) + 1;
        int most = atomic_load(&pool->most);
        while (now > most && !atomic_compare_exchange_weak(&pool->most, &most, now)) {
        }
        (void)sched_yield();
        atomic_fetch_sub(&pool->in_use, 1);
        readers_put(pool->readers, db);
    }
    return arg;
}

Test(readers, there_are_never_more_than_the_maximum_and_everybody_gets_one)
{
    struct pool pool;
    pthread_t threads[8];
    init(&pool, 3);
    for (size_t i = 0; i < GFS_COUNT(threads); i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, use, &pool), 0);
    }
    for (size_t i = 0; i < GFS_COUNT(threads); i++) {
        void *ret = NULL;
        (void)pthread_join(threads[i], &ret);
        cr_expect_not_null(ret);
    }
    cr_expect_leq(atomic_load(&pool.most), 3);
    fini(&pool);
}

Test(readers, one_that_cannot_be_opened_is_an_error_and_gives_its_place_back)
{
    struct readers *readers = readers_new("/nonexistent/database", 1, 1 << 18);
    struct db *db = NULL;
    for (int i = 0; i < 3; i++) { /* the second would wait for ever if the place were gone */
        cr_expect_neq(readers_get(readers, &db), GFS_OK);
    }
    readers_free(readers);
    readers_free(NULL);
}
