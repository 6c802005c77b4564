#include <criterion/criterion.h>
#include <pthread.h>

#include "libgoodfs/chunk_store.h"

enum { THREADS = 4, EACH = 5000 };

static void *draw(void *arg)
{
    struct chunk_id *ids = arg;
    for (int i = 0; i < EACH; i++) {
        ids[i] = chunk_id_new(0);
    }
    return NULL;
}

static int order(const void *left, const void *right)
{
    const struct chunk_id *a = left;
    const struct chunk_id *b = right;
    if (a->hi != b->hi) {
        return a->hi < b->hi ? -1 : 1;
    }
    return (a->lo > b->lo) - (a->lo < b->lo);
}

Test(chunk_id, ids_drawn_by_many_threads_are_all_different_and_none_is_zero)
{
    static struct chunk_id ids[THREADS * EACH];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, draw, ids + (size_t)i * EACH), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    }
    qsort(ids, THREADS * EACH, sizeof ids[0], order);
    for (int i = 0; i < THREADS * EACH; i++) {
        cr_assert(ids[i].hi != 0 || ids[i].lo != 0);
        cr_assert(i == 0 || order(&ids[i - 1], &ids[i]) < 0);
    }
}
