#include "metad/scan.h"

#include "libgoodfs/mem.h"
#include "tests/unit/metad/shard_rig.h"

enum { COUNT = 40 };

struct scan_rig {
    struct rig rig;
    uint64_t bucket;
    struct key from, to;
};

/* Even keys are in SQLite, those divisible by three in the overlay, 10 to 19 are deleted. */
static void init(struct scan_rig *rig)
{
    char name[8];
    rig_init(&rig->rig);
    rig->bucket = rig_bucket(&rig->rig, "bucket");
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < COUNT; i++) {
            (void)snprintf(name, sizeof name, "%02d", i);
            if (i % (round + 2) == 0) {
                (void)rig_put(&rig->rig, rig->bucket, name, 0, (uint8_t)round, NULL);
            }
            if (round == 1 && i / 10 == 1) {
                (void)rig_delete(&rig->rig, rig->bucket, name);
            }
        }
        if (round == 0) {
            rig_restart(&rig->rig);
        }
    }
    key_object(&rig->from, rig->bucket, (struct gfs_slice){0});
    rig->to = rig->from;
    key_after_prefix(&rig->to);
}

static bool is_there(int i)
{
    return i / 10 != 1 && (i % 2 == 0 || i % 3 == 0);
}

static int number_of(struct gfs_slice key)
{
    return (key.ptr[8] - '0') * 10 + key.ptr[9] - '0';
}

static int next_there(int i)
{
    while (i < COUNT && !is_there(i)) {
        i++;
    }
    return i;
}

Test(scan, gives_the_newest_committed_rows_in_order)
{
    struct scan_rig rig;
    struct gfs_slice key;
    struct gfs_slice row;
    struct meta_object object;
    init(&rig);
    struct scan *scan = scan_begin(rig.rig.shard, &rig.from, &rig.to);
    for (int i = next_there(0); i < COUNT; i = next_there(i + 1)) {
        cr_assert_eq(scan_next(scan, &key, &row), GFS_OK);
        cr_assert_eq(number_of(key), i);
        cr_assert_eq(meta_object_decode_summary(row, &object), GFS_OK);
        cr_expect_eq(object.etag[0], i % 3 == 0 ? 1 : 0, "%d", i);
    }
    cr_expect_eq(scan_next(scan, &key, &row), GFS_END);
    cr_expect_eq(scan_next(scan, &key, &row), GFS_END);
    scan_end(scan);
    scan_end(NULL);
    rig_fini(&rig.rig);
}

Test(scan, skips_forward_from_anywhere_to_anywhere)
{
    struct scan_rig rig;
    struct gfs_slice key;
    struct gfs_slice row;
    init(&rig);
    for (int at = -1; at < COUNT; at++) {
        for (int to = GFS_MAX(at, 0); to <= COUNT; to++) {
            struct scan *scan = scan_begin(rig.rig.shard, &rig.from, &rig.to);
            int last = -1;
            while (last < at && scan_next(scan, &key, &row) == GFS_OK) {
                last = number_of(key);
            }
            char name[16];
            struct key target;
            (void)snprintf(name, sizeof name, "%02d", GFS_MAX(to, last + 1));
            key_object(&target, rig.bucket, gfs_slice_str(name));
            scan_skip(scan, &target);
            int expected = next_there(GFS_MAX(to, last + 1));
            enum gfs_err err = scan_next(scan, &key, &row);
            cr_assert_eq(err, expected < COUNT ? GFS_OK : GFS_END, "%d to %d", at, to);
            cr_assert(err != GFS_OK || number_of(key) == expected, "%d to %d", at, to);
            scan_end(scan);
        }
    }
    rig_fini(&rig.rig);
}

Test(scan, rows_that_move_to_the_database_meanwhile_are_seen_once)
{
    enum { MANY = 2000 };
    struct scan_rig rig;
    struct gfs_slice key;
    struct gfs_slice row;
    char name[8];
    init(&rig);
    rig_close(&rig.rig);
    rig.rig.options.apply_delay_ms = 1;
    rig_open(&rig.rig);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < MANY; i++) {
            (void)snprintf(name, sizeof name, "m%05d", i);
            (void)rig_put(&rig.rig, rig.bucket, name, 0, 1, NULL);
        }
        struct key from;
        key_object(&from, rig.bucket, GFS_SLICE_LITERAL("m"));
        struct scan *scan = scan_begin(rig.rig.shard, &from, &rig.to);
        for (int i = 0; i < MANY; i++) {
            (void)snprintf(name, sizeof name, "m%05d", i);
            cr_assert_eq(scan_next(scan, &key, &row), GFS_OK);
            cr_assert_eq(memcmp(key.ptr + 8, name, 6), 0, "%d", i);
            if (i % 500 == 250) {
                rig_await_applied(&rig.rig);
            }
        }
        cr_assert_eq(scan_next(scan, &key, &row), GFS_END);
        scan_end(scan);
    }
    rig_fini(&rig.rig);
}
