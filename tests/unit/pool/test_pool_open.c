#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/pool/open_rig.h"

Test(pool_open, a_new_pool_takes_chunks_and_has_them_after_a_reopen)
{
    struct open_rig rig;
    struct chunk_id id;
    open_rig_init(&rig, 3);
    open_rig_open(&rig);
    cr_assert_eq(open_rig_put(&rig, "hello", 1, &id), GFS_OK);
    cr_assert(open_rig_has(&rig, id, "hello"));
    open_rig_reopen(&rig);
    cr_assert(open_rig_has(&rig, id, "hello"));
    open_rig_fini(&rig);
}

Test(pool_open, the_default_class_depends_on_the_number_of_disks)
{
    const struct {
        unsigned disks;
        struct pool_profile profile;
    } expected[] = {{1, {POOL_REPLICA, 1, 0}}, {2, {POOL_REPLICA, 1, 1}}, {3, {POOL_REPLICA, 1, 2}},
                    {4, {POOL_EC, 2, 2}},      {6, {POOL_EC, 4, 2}}};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        struct open_rig rig;
        open_rig_init(&rig, expected[i].disks);
        open_rig_open(&rig);
        struct pool_view *view = open_rig_view(&rig);
        cr_assert(pool_profile_is_equal(view->map->classes[0].profile, expected[i].profile));
        cr_assert_str_eq(view->map->classes[0].name, "STANDARD");
        pool_view_put(view);
        open_rig_fini(&rig);
    }
}
