/* What searches know, in a real file. */
#include "goodfs/fsck_kept.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char dir[64];
static struct fsck_kept kept;
static struct fsck_orphans *const orphans = &kept.orphans;

static void path_of(const char *name, char ret[128])
{
    (void)snprintf(ret, 128, "%s/%s", dir, name);
}

static void make(void)
{
    char path[128];
    (void)snprintf(dir, sizeof dir, "/tmp/goodfs-kept-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    path_of("identity", path);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    cr_assert_geq(fd, 0);
    (void)close(fd);
}

static void clear(void)
{
    static const char *const names[] = {"identity", "fsck", "fsck.tmp"};
    char path[128];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        path_of(names[i], path);
        (void)unlink(path);
    }
    cr_assert_eq(rmdir(dir), 0, "nothing else is left behind");
    fsck_kept_fini(&kept);
}

TestSuite(fsck_kept, .init = make, .fini = clear);

static void store_some(void)
{
    fsck_orphans_begin(orphans, 100);
    for (uint64_t n = 1; n < 4; n++) {
        fsck_orphans_add(orphans, (struct chunk_id){n, 10 * n}, 7 * n, 1000);
    }
    fsck_orphans_end(orphans);
    fsck_orphans_begin(orphans, 150);
    kept.known.losses = UINT64_C(0x123456789a);
    kept.known.has_damage = true;
    kept.known.searched[0] = kept.known.searched[7] = kept.known.searched[200] = true;
    kept.known.searched[FSCK_DISKS_MAX - 1] = true;
    cr_assert_eq(fsck_kept_store(&kept, dir), GFS_OK);
}

Test(fsck_kept, what_was_stored_is_loaded)
{
    store_some();
    cr_assert_eq(fsck_kept_load(&kept, dir), GFS_OK);
    cr_assert_eq(orphans->count, 3u);
    cr_assert_eq(orphans->items[2].id.hi, 3u);
    cr_assert_eq(orphans->items[2].id.lo, 30u);
    cr_assert_eq(orphans->items[2].bytes, 21u);
    cr_assert_eq(orphans->items[2].age_ms, 50);
    cr_assert_eq(orphans->items[2].first_seen_ms, 1000);
    cr_assert_eq(kept.known.losses, UINT64_C(0x123456789a));
    cr_assert(kept.known.has_damage);
    for (size_t i = 0; i < FSCK_DISKS_MAX; i++) {
        bool is_searched = i == 0 || i == 7 || i == 200 || i == FSCK_DISKS_MAX - 1;
        cr_assert_eq(kept.known.searched[i], is_searched, "disk %zu", i);
    }
}

Test(fsck_kept, without_a_file_nothing_is_known)
{
    cr_assert_eq(fsck_kept_load(&kept, dir), GFS_NOT_FOUND);
    cr_assert_eq(orphans->count, 0u);
}

Test(fsck_kept, any_flipped_byte_and_any_cut_is_found)
{
    char path[128];
    store_some();
    path_of("fsck", path);
    int fd = open(path, O_RDWR);
    cr_assert_geq(fd, 0);
    off_t size = lseek(fd, 0, SEEK_END);
    for (off_t at = 0; at < size; at++) {
        char byte;
        cr_assert_eq(pread(fd, &byte, 1, at), 1);
        byte ^= 4;
        cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
        cr_assert_eq(fsck_kept_load(&kept, dir), GFS_CORRUPT);
        cr_assert_eq(orphans->count, 0u);
        cr_assert_eq(kept.known.losses, 0u);
        byte ^= 4;
        cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
    }
    for (off_t len = size - 1; len >= 0; len--) {
        cr_assert_eq(ftruncate(fd, len), 0);
        cr_assert_eq(fsck_kept_load(&kept, dir), GFS_CORRUPT);
    }
    (void)close(fd);
}

Test(fsck_kept, a_directory_that_is_no_disk_gets_no_file)
{
    char path[128];
    path_of("identity", path);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(fsck_kept_store(&kept, dir), GFS_NOT_FOUND);
    path_of("fsck", path);
    cr_assert_neq(access(path, F_OK), 0);
}
