#include <stdlib.h>

#include "map_rig.h"
#include "pool/pool_map_file.h"

#define OTHER_CLUSTER "11111111-3c35-4a0e-9d3c-2f6f5a0b7a11"

enum { COUNT_MAX = 8 };

/* Directories as they would be found. */
struct rig {
    struct pool_found found[COUNT_MAX];
    struct pool_admitted admitted[COUNT_MAX];
    uint32_t count;
    const struct pool_map *map;
    struct gfs_error error;
};

static struct pool_found *add(struct rig *rig, const char *path)
{
    cr_assert_lt(rig->count, COUNT_MAX);
    struct pool_found *found = &rig->found[rig->count++];
    *found = (struct pool_found){.path = path};
    return found;
}

static struct pool_found *add_empty(struct rig *rig, const char *path)
{
    struct pool_found *found = add(rig, path);
    found->is_empty = true;
    return found;
}

static struct pool_found *add_store(struct rig *rig, const char *path, unsigned number)
{
    struct pool_found *found = add(rig, path);
    found->has_identity = true;
    (void)snprintf(found->cluster, sizeof found->cluster, "%s", MAP_RIG_CLUSTER);
    struct pool_map_disk disk = map_rig_disk(number, 1);
    memcpy(found->id, disk.id, sizeof found->id);
    return found;
}

static struct pool_found *add_member(struct rig *rig, const char *path, unsigned number,
                                     const struct pool_map *map)
{
    struct pool_found *found = add_store(rig, path, number);
    found->map = pool_map_copy(map);
    return found;
}

static struct pool_found *add_missing(struct rig *rig, const char *path, enum gfs_err err)
{
    struct pool_found *found = add(rig, path);
    found->is_missing = true;
    (void)gfs_fail(&found->error, err, "%s: gone", path);
    return found;
}

static enum gfs_err admit(struct rig *rig)
{
    rig->map = NULL;
    rig->error = (struct gfs_error){0};
    return pool_admit(rig->found, rig->count, rig->admitted, &rig->map, &rig->error);
}

static void fini(struct rig *rig)
{
    for (uint32_t i = 0; i < rig->count; i++) {
        pool_found_fini(&rig->found[i]);
    }
    *rig = (struct rig){0};
}

static void expect(const struct rig *rig, uint32_t index, enum pool_admission what, uint16_t number)
{
    const struct pool_admitted *admitted = &rig->admitted[index];
    cr_assert_eq(admitted->what, what, "%s: %d %s", rig->found[index].path, admitted->what,
                 admitted->error.text);
    cr_assert_eq(admitted->number, number, "%s: %u", rig->found[index].path, admitted->number);
    cr_assert_eq(what == POOL_ADMIT_REFUSED,
                 admitted->error.code != GFS_OK && what != POOL_ADMIT_MISSING);
}

static const char *const paths[] = {"/data/0", "/data/1", "/data/2", "/data/3", "/data/4"};

/* Version 10 on 5 disks, which all have seen 9. */
static struct pool_map *usual_map(void)
{
    struct pool_map *map = map_rig_new(5, "replica:3");
    map->version = 10;
    map->epoch = map->promised = map->before_epoch = 3;
    map->before_version = 9;
    for (unsigned i = 0; i < 5; i++) {
        map->disks[i].seen_version = 9;
    }
    map_rig_check(map);
    return map;
}

static void add_members(struct rig *rig, const struct pool_map *map, unsigned first, unsigned end)
{
    for (unsigned i = first; i < end; i++) {
        (void)add_member(rig, paths[i], i, map);
    }
}

Test(pool_admit, empty_directories_are_a_new_pool)
{
    struct rig rig = {0};
    (void)add_empty(&rig, "/a");
    (void)add_missing(&rig, "/b", GFS_NOT_FOUND);
    cr_assert_eq(admit(&rig), GFS_OK);
    cr_assert_null(rig.map);
    expect(&rig, 0, POOL_ADMIT_NEW, POOL_NO_DISK);
    expect(&rig, 1, POOL_ADMIT_NEW, POOL_NO_DISK);
    fini(&rig);
    (void)add_empty(&rig, "/a");
    (void)add_missing(&rig, "/b", GFS_IO);
    cr_assert_eq(admit(&rig), GFS_CONFLICT);
    expect(&rig, 1, POOL_ADMIT_REFUSED, POOL_NO_DISK);
    fini(&rig);
}

Test(pool_admit, one_store_may_begin_a_pool_and_two_may_not)
{
    struct rig rig = {0};
    (void)add_empty(&rig, "/a");
    (void)add_store(&rig, "/b", 1);
    cr_assert_eq(admit(&rig), GFS_OK);
    cr_assert_null(rig.map);
    expect(&rig, 0, POOL_ADMIT_NEW, POOL_NO_DISK);
    expect(&rig, 1, POOL_ADMIT_FIRST, POOL_NO_DISK);
    add_store(&rig, "/c", 2)->is_begun = true;
    cr_assert_eq(admit(&rig), GFS_OK, "one that was being made counts as empty");
    expect(&rig, 2, POOL_ADMIT_NEW, POOL_NO_DISK);
    rig.found[2].is_begun = false;
    cr_assert_eq(admit(&rig), GFS_CONFLICT);
    expect(&rig, 1, POOL_ADMIT_REFUSED, POOL_NO_DISK);
    expect(&rig, 2, POOL_ADMIT_REFUSED, POOL_NO_DISK);
    cr_assert_str_eq(rig.error.text, "/b is one of 2 stores without a pool: a pool begins with one "
                                     "store at most");
    fini(&rig);
}

Test(pool_admit, all_disks_with_the_newest_map_are_known_wherever_they_are)
{
    struct rig rig = {0};
    struct pool_map *map = usual_map();
    (void)add_member(&rig, "/data/1", 0, map); /* swapped */
    (void)add_member(&rig, "/data/0", 1, map);
    (void)add_member(&rig, "/elsewhere", 2, map);
    (void)add_member(&rig, "/data/3/", 3, map);
    (void)add_empty(&rig, "/data/2"); /* where disk 2 was: it moved */
    (void)add_member(&rig, "/data/4", 4, map);
    cr_assert_eq(admit(&rig), GFS_OK, "%s", rig.error.text);
    for (uint16_t i = 0; i < 4; i++) {
        expect(&rig, i, POOL_ADMIT_KNOWN, i);
    }
    expect(&rig, 4, POOL_ADMIT_NEW, POOL_NO_DISK);
    expect(&rig, 5, POOL_ADMIT_KNOWN, 4);
    cr_assert_eq(rig.map->version, 10);
    fini(&rig);
    pool_map_free(map);
}

Test(pool_admit, the_newest_map_rules_and_who_lacks_more_than_it_was_away)
{
    struct rig rig = {0};
    struct pool_map *map = usual_map();
    add_members(&rig, map, 0, 3);
    map->version = 11; /* written to disk 3 when all stopped */
    map->before_version = 10;
    (void)add_member(&rig, paths[3], 3, map);
    cr_assert_eq(admit(&rig), GFS_OK);
    cr_assert_eq(rig.map, rig.found[3].map);
    expect(&rig, 0, POOL_ADMIT_KNOWN, 0);
    expect(&rig, 3, POOL_ADMIT_KNOWN, 3);
    rig.found[3].map->version = 12;
    cr_assert_eq(admit(&rig), GFS_OK, "numbers are given in vain");
    expect(&rig, 0, POOL_ADMIT_KNOWN, 0);
    rig.found[3].map->before_version = 11;
    cr_assert_eq(admit(&rig), GFS_OK);
    expect(&rig, 0, POOL_ADMIT_AWAY, 0);
    expect(&rig, 3, POOL_ADMIT_KNOWN, 3);
    fini(&rig);
    pool_map_free(map);
}

/* What a start wrote to a disk without a quorum, however often it tried. */
Test(pool_admit, the_later_epoch_rules_whatever_the_version)
{
    struct rig rig = {0};
    struct pool_map *map = usual_map();
    add_members(&rig, map, 0, 1);
    rig.found[0].map->version = 99;
    rig.found[0].map->before_version = 98;
    map->epoch = map->promised = 4;
    add_members(&rig, map, 1, 4);
    cr_assert_eq(admit(&rig), GFS_OK);
    cr_assert_eq(rig.map->epoch, 4);
    expect(&rig, 0, POOL_ADMIT_AWAY, 0);
    expect(&rig, 1, POOL_ADMIT_KNOWN, 1);
    fini(&rig);
    pool_map_free(map);
}

Test(pool_admit, an_older_copy_of_a_disk_is_refused)
{
    struct rig rig = {0};
    struct pool_map *map = usual_map();
    add_members(&rig, map, 0, 4);
    struct pool_found *older = add_member(&rig, paths[4], 4, map);
    older->map->version = 8;
    older->map->disks[4].seen_version = 8;
    cr_assert_eq(admit(&rig), GFS_CONFLICT);
    cr_assert_str_eq(rig.error.text,
                     "/data/4 is an older copy of disk 4: its map is version 8, and "
                     "the disk had version 9 already");
    expect(&rig, 4, POOL_ADMIT_REFUSED, POOL_NO_DISK);
    expect(&rig, 0, POOL_ADMIT_KNOWN, 0);
    pool_found_fini(older); /* from before the pool */
    cr_assert_eq(admit(&rig), GFS_CONFLICT);
    for (uint32_t i = 0; i < 4; i++) {
        rig.found[i].map->disks[4].seen_version = 0; /* it never had one: just added */
    }
    cr_assert_eq(admit(&rig), GFS_OK);
    expect(&rig, 4, POOL_ADMIT_AWAY, 4);
    fini(&rig);
    pool_map_free(map);
}

Test(pool_admit, a_copied_disk_is_refused_on_both_sides)
{
    struct rig rig = {0};
    struct pool_map *map = usual_map();
    add_members(&rig, map, 0, 5);
    (void)add_member(&rig, "/copy", 2, map);
    cr_assert_eq(admit(&rig), GFS_CONFLICT);
    expect(&rig, 2, POOL_ADMIT_REFUSED, POOL_NO_DISK);
    expect(&rig, 5, POOL_ADMIT_REFUSED, POOL_NO_DISK);
    cr_assert_str_eq(rig.error.text,
                     "/data/2 and /copy have the same disk id: one is a copy of the "
                     "other, take it away");
    expect(&rig, 3, POOL_ADMIT_KNOWN, 3);
    fini(&rig);
    pool_map_free(map);
}

Test(pool_admit, a_path_given_twice_is_refused)
{
    struct rig rig = {0};
    (void)add_empty(&rig, "/a");
    (void)add_empty(&rig, "/a/");
    cr_assert_eq(admit(&rig), GFS_CONFLICT);
    cr_assert_str_eq(rig.error.text, "/a/ is given twice");
    fini(&rig);
}

Test(pool_admit, a_disk_given_twice_by_its_path_is_no_copy)
{
    struct rig rig = {0};
    struct pool_map *map = usual_map();
    add_members(&rig, map, 0, 5);
    (void)add_member(&rig, "/data/2/", 2, map);
    cr_assert_eq(admit(&rig), GFS_CONFLICT);
    cr_assert_str_eq(rig.error.text, "/data/2/ is given twice");
    fini(&rig);
    pool_map_free(map);
}

Test(pool_admit, a_disk_of_another_cluster_is_refused)
{
    struct rig rig = {0};
    struct pool_map *map = usual_map();
    struct pool_found *foreign = add_member(&rig, paths[4], 4, map);
    (void)snprintf(foreign->cluster, sizeof foreign->cluster, "%s", OTHER_CLUSTER);
    (void)snprintf(foreign->map->cluster, sizeof foreign->map->cluster, "%s", OTHER_CLUSTER);
    foreign->map->version = 999;
    add_members(&rig, map, 0, 4);
    cr_assert_eq(admit(&rig), GFS_CONFLICT);
    expect(&rig, 0, POOL_ADMIT_REFUSED, POOL_NO_DISK);
    expect(&rig, 1, POOL_ADMIT_KNOWN, 0);
    cr_assert_eq(rig.map->version, 10, "its map is nothing to us");
    cr_assert_str_eq(rig.error.text,
                     "/data/4 belongs to cluster " OTHER_CLUSTER ", not to " MAP_RIG_CLUSTER);
    (void)snprintf(foreign->cluster, sizeof foreign->cluster, "%s", MAP_RIG_CLUSTER);
    cr_assert_eq(admit(&rig), GFS_CONFLICT, "identity and map disagree");
    expect(&rig, 0, POOL_ADMIT_REFUSED, POOL_NO_DISK);
    cr_assert_eq(rig.map->version, 10);
    fini(&rig);
    pool_map_free(map);
}

Test(pool_admit, a_store_or_files_of_nobody_are_refused)
{
    struct rig rig = {0};
    struct pool_map *map = usual_map();
    add_members(&rig, map, 0, 4);
    (void)add_store(&rig, paths[4], 77);
    cr_assert_eq(admit(&rig), GFS_CONFLICT);
    expect(&rig, 4, POOL_ADMIT_REFUSED, POOL_NO_DISK);
    rig.found[4].is_begun = true;
    cr_assert_eq(admit(&rig), GFS_OK, "an interrupted replacement goes on");
    expect(&rig, 4, POOL_ADMIT_STEAD, 4);
    rig.found[4] = (struct pool_found){.path = paths[4]};
    cr_assert_eq(admit(&rig), GFS_CONFLICT);
    expect(&rig, 4, POOL_ADMIT_REFUSED, POOL_NO_DISK);
    cr_assert_str_eq(rig.error.text, "/data/4 holds files of something else and no disk of GoodFS: "
                                     "only an empty directory becomes one");
    fini(&rig);
    pool_map_free(map);
}

Test(pool_admit, an_empty_directory_takes_the_place_of_a_lost_disk_unless_it_is_not_mounted)
{
    struct rig rig = {0};
    struct pool_map *map = usual_map();
    map->disks[4].is_mount = true;
    add_members(&rig, map, 0, 3);
    (void)add_empty(&rig, paths[3]);
    (void)add_empty(&rig, paths[4]);
    cr_assert_eq(admit(&rig), GFS_OK, "%s", rig.error.text);
    expect(&rig, 3, POOL_ADMIT_STEAD, 3);
    expect(&rig, 4, POOL_ADMIT_MISSING, 4);
    cr_assert_str_eq(rig.admitted[4].error.text,
                     "/data/4 is empty and no mount point, and disk 4 was mounted there: is it "
                     "mounted?");
    rig.found[4].is_mount = true;
    cr_assert_eq(admit(&rig), GFS_OK);
    expect(&rig, 4, POOL_ADMIT_STEAD, 4);
    for (uint32_t i = 0; i < 3; i++) {
        rig.found[i].map->disks[3].state = POOL_DISK_REMOVED;
        rig.found[i].map->disks[4].state = POOL_DISK_FAILED;
    }
    cr_assert_eq(admit(&rig), GFS_OK);
    expect(&rig, 3, POOL_ADMIT_NEW, POOL_NO_DISK);
    expect(&rig, 4, POOL_ADMIT_STEAD, 4);
    fini(&rig);
    pool_map_free(map);
}

Test(pool_admit, what_cannot_be_read_is_missing_and_the_pool_goes_on)
{
    struct rig rig = {0};
    struct pool_map *map = usual_map();
    add_members(&rig, map, 0, 3);
    (void)add_missing(&rig, paths[3], GFS_IO);
    struct pool_found *broken = add(&rig, paths[4]);
    (void)gfs_fail(&broken->error, GFS_IO, "identity: input/output error");
    (void)add_missing(&rig, "/unknown", GFS_NOT_FOUND);
    cr_assert_eq(admit(&rig), GFS_OK);
    expect(&rig, 3, POOL_ADMIT_MISSING, 3);
    expect(&rig, 4, POOL_ADMIT_MISSING, 4);
    expect(&rig, 5, POOL_ADMIT_MISSING, POOL_NO_DISK);
    cr_assert_eq(rig.admitted[4].error.code, GFS_IO);
    fini(&rig);
    pool_map_free(map);
}

Test(pool_admit, a_damaged_map_is_no_reason_to_refuse_a_disk_and_a_newer_one_is)
{
    struct rig rig = {0};
    struct pool_map *map = usual_map();
    add_members(&rig, map, 0, 3);
    struct pool_found *broken = add_store(&rig, paths[3], 3);
    (void)gfs_fail(&broken->error, GFS_CORRUPT, "pool.json: damaged");
    cr_assert_eq(admit(&rig), GFS_OK);
    expect(&rig, 3, POOL_ADMIT_AWAY, 3);
    rig.found[2].is_missing = true;
    (void)gfs_fail(&rig.found[2].error, GFS_NOT_FOUND, "no such directory");
    cr_assert_eq(admit(&rig), GFS_UNREACHABLE, "the damaged one may know more than two of five");
    rig.found[2].is_missing = false;
    rig.found[2].error = (struct gfs_error){0};
    (void)gfs_fail(&broken->error, GFS_IO, "pool.json: i/o");
    cr_assert_eq(admit(&rig), GFS_OK);
    expect(&rig, 3, POOL_ADMIT_MISSING, 3);
    (void)gfs_fail(&broken->error, GFS_UNSUPPORTED, "pool.json: newer");
    cr_assert_eq(admit(&rig), GFS_CONFLICT);
    expect(&rig, 3, POOL_ADMIT_REFUSED, POOL_NO_DISK);
    fini(&rig);
    (void)gfs_fail(&add_store(&rig, "/a", 0)->error, GFS_CORRUPT, "pool.json: damaged");
    cr_assert_eq(admit(&rig), GFS_CONFLICT, "it is no store without a pool");
    expect(&rig, 0, POOL_ADMIT_REFUSED, POOL_NO_DISK);
    fini(&rig);
    pool_map_free(map);
}

Test(pool_admit, a_disk_that_failed_and_is_back_was_away_and_a_removed_one_is_left_alone)
{
    struct rig rig = {0};
    struct pool_map *map = usual_map();
    map->disks[3].state = POOL_DISK_FAILED;
    map->disks[4].state = POOL_DISK_REMOVED;
    add_members(&rig, map, 0, 3);
    (void)add_member(&rig, paths[3], 3, map);
    (void)add_member(&rig, paths[4], 4, map);
    cr_assert_eq(admit(&rig), GFS_OK);
    expect(&rig, 3, POOL_ADMIT_AWAY, 3);
    expect(&rig, 4, POOL_ADMIT_RETIRED, 4);
    fini(&rig);
    pool_map_free(map);
}

Test(pool_admit, too_few_disks_are_no_pool_and_the_answer_names_the_missing)
{
    struct rig rig = {0};
    struct pool_map *map = usual_map();
    add_members(&rig, map, 0, 2);
    (void)add_missing(&rig, paths[2], GFS_NOT_FOUND);
    cr_assert_eq(admit(&rig), GFS_UNREACHABLE);
    cr_assert_str_eq(rig.error.text, "2 of 5 disks are there, too few; missing: 2 (/data/2), 3 "
                                     "(/data/3), 4 (/data/4)");
    cr_assert_not_null(rig.map);
    expect(&rig, 0, POOL_ADMIT_KNOWN, 0);
    for (unsigned i = 0; i < 2; i++) {
        rig.found[i].map->disks[4].state = POOL_DISK_FAILED;
    }
    cr_assert_eq(admit(&rig), GFS_UNREACHABLE, "who called it failed had 3 votes, or it did not");
    for (unsigned i = 0; i < 2; i++) {
        rig.found[i].map->disks[4].had_vote = false;
    }
    cr_assert_eq(admit(&rig), GFS_OK, "2 of 4, with the first");
    fini(&rig);
    map->disks[4].state = POOL_DISK_FAILED;
    map->disks[4].had_vote = false;
    add_members(&rig, map, 1, 3); /* 2 of 4, without the first */
    cr_assert_eq(admit(&rig), GFS_UNREACHABLE);
    (void)add_member(&rig, paths[4], 4, map); /* a failed one does not vote */
    cr_assert_eq(admit(&rig), GFS_UNREACHABLE);
    fini(&rig);
    pool_map_free(map);
}

Test(pool_admit, a_pool_whose_first_map_reached_one_disk_only_goes_on)
{
    struct rig rig = {0};
    struct pool_map *map = map_rig_new(3, "replica:3");
    (void)add_member(&rig, paths[0], 0, map);
    add_store(&rig, paths[1], 1)->is_begun = true;
    add_store(&rig, paths[2], 2)->is_begun = true;
    cr_assert_eq(admit(&rig), GFS_OK, "%s", rig.error.text);
    for (uint16_t i = 0; i < 3; i++) {
        expect(&rig, i, POOL_ADMIT_KNOWN, i);
    }
    fini(&rig);
    pool_map_free(map);
}
