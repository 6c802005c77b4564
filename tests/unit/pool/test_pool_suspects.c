/* Fragments that were found bad or missing, and wait for repair. */
#include "libgoodfs/clock.h"
#include "tests/unit/pool/submit_rig.h"

Test(pool_suspects, suspects_come_in_order_and_each_once)
{
    struct submit_rig *rig = submit_rig_new(1, "replica:1");
    struct pool_suspect first = {.id = chunk_id_new(1), .disk = 1, .slot = 2};
    struct pool_suspect second = {.id = first.id, .disk = 1, .slot = 3};
    struct pool_suspect taken;
    pool_suspect_add(&rig->pool, &first);
    pool_suspect_add(&rig->pool, &second);
    first.is_bad = true;
    pool_suspect_add(&rig->pool, &first);
    cr_assert_eq(pool_suspect_count(&rig->pool), 2);
    cr_assert_eq(pool_suspect_bad(&rig->pool), 1);
    cr_assert(pool_suspect_take(&rig->pool, &taken) && taken.slot == 2 && taken.is_bad);
    pool_suspect_done(&rig->pool, &taken);
    cr_assert_eq(pool_suspect_bad(&rig->pool), 0);
    cr_assert(pool_suspect_take(&rig->pool, &taken) && taken.slot == 3 && !taken.is_bad);
    pool_suspect_done(&rig->pool, &taken);
    cr_assert(!pool_suspect_take(&rig->pool, &taken));
    for (unsigned i = 0; i < POOL_SUSPECTS_MAX + 10; i++) {
        first.id = chunk_id_new(1);
        pool_suspect_add(&rig->pool, &first);
    }
    cr_assert_eq(pool_suspect_count(&rig->pool), POOL_SUSPECTS_MAX);
    submit_rig_free(rig);
}

/* Reported, taken and not repaired. */
static void park(struct pool *pool, const struct pool_suspect *suspect, int64_t until_ns)
{
    struct pool_suspect taken;
    pool_suspect_add(pool, suspect);
    cr_assert(pool_suspect_take(pool, &taken));
    pool_suspect_add(pool, suspect); /* its repair found it missing */
    cr_assert_eq(pool_suspect_count(pool), 0);
    pool_suspect_park(pool, &taken, until_ns);
}

Test(pool_suspects, a_suspect_that_is_parked_is_ignored_until_its_time)
{
    struct submit_rig *rig = submit_rig_new(1, "replica:1");
    struct pool *pool = &rig->pool;
    struct pool_suspect first = {.id = chunk_id_new(1), .disk = 1, .slot = 2};
    struct pool_suspect second = {.id = first.id, .disk = 1, .slot = 3, .is_bad = true};
    struct pool_suspect taken;
    park(pool, &first, 100);
    park(pool, &second, 200);
    pool_suspect_add(pool, &first);
    pool_suspect_add(pool, &second);
    cr_assert_eq(pool_suspect_count(pool), 0);
    cr_assert(!pool_suspect_take(pool, &taken));
    cr_assert_eq(pool_suspect_unrepaired(pool), 1);
    cr_assert(!pool_suspect_is_bad(pool, &first));
    first.is_bad = true;
    pool_suspect_add(pool, &first);
    cr_assert_eq(pool_suspect_unrepaired(pool), 2, "what was missing is known to be bad now");
    cr_assert(pool_suspect_is_bad(pool, &first));
    pool_suspects_unpark(pool, 99);
    cr_assert_eq(pool_suspect_count(pool), 0);
    pool_suspects_unpark(pool, 199);
    cr_assert(pool_suspect_take(pool, &taken) && taken.slot == 2);
    cr_assert(pool_suspect_is_bad(pool, &first), "until it is done");
    pool_suspect_done(pool, &taken);
    cr_assert(!pool_suspect_is_bad(pool, &first));
    cr_assert(!pool_suspect_take(pool, &taken));
    cr_assert_eq(pool_suspect_unrepaired(pool), 1);
    pool_suspects_unpark(pool, 200);
    cr_assert(pool_suspect_take(pool, &taken) && taken.slot == 3);
    cr_assert_eq(pool_suspect_unrepaired(pool), 0);
    submit_rig_free(rig);
}

Test(pool_suspects, what_cannot_be_repaired_leaves_room_for_what_can)
{
    struct submit_rig *rig = submit_rig_new(1, "replica:1");
    struct pool_suspect suspect = {.disk = 1};
    for (unsigned i = 0; i < POOL_SUSPECTS_MAX + 10; i++) {
        suspect.id = chunk_id_new(1);
        park(&rig->pool, &suspect, 100);
    }
    for (unsigned i = 0; i < POOL_SUSPECTS_MAX; i++) {
        suspect.id = chunk_id_new(1);
        pool_suspect_add(&rig->pool, &suspect);
    }
    cr_assert_eq(pool_suspect_count(&rig->pool), POOL_SUSPECTS_MAX / 2);
    pool_suspects_unpark(&rig->pool, 100);
    cr_assert_eq(pool_suspect_count(&rig->pool), POOL_SUSPECTS_MAX);
    submit_rig_free(rig);
}
