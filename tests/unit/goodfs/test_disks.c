#include "goodfs/disks.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "tests/unit/metad/temp_dir.h"

static void list_dir(void *arg, const char *dir, const struct store_stats *stats)
{
    char *text = arg;
    cr_assert(!stats->has_failed);
    (void)snprintf(text + strlen(text), 200 - strlen(text), "%s ", strrchr(dir, '/') + 1);
}

Test(disks, open_are_listed_in_order_and_closed_ones_are_not)
{
    char home[TEMP_DIR_SIZE];
    temp_dir_make(home);
    static const char *const names[] = {"c", "a", "b"};
    struct chunk_store *stores[3];
    uint8_t ids[3][16];
    struct disks *disks = disks_new();
    struct pool_driver driver = disks_driver(disks);
    struct gfs_error error = {0};
    for (size_t i = 0; i < 3; i++) {
        char dir[TEMP_PATH_SIZE];
        (void)snprintf(dir, sizeof dir, "%s/%s", home, names[i]);
        cr_assert_eq(driver.open(driver.arg, dir, NULL, &stores[i], ids[i], &error), GFS_OK, "%s",
                     error.text);
    }
    char text[200] = "";
    disks_each(disks, list_dir, text);
    cr_assert_str_eq(text, "a b c ");
    cr_assert_neq(memcmp(ids[0], ids[1], 16), 0);
    driver.close(driver.arg, stores[2]);
    text[0] = '\0';
    disks_each(disks, list_dir, text);
    cr_assert_str_eq(text, "a c ");
    driver.close(driver.arg, stores[0]);
    driver.close(driver.arg, stores[1]);
    disks_free(disks);
    temp_dir_remove(home);
}

Test(disks, the_id_is_the_identity_files_and_the_cluster_is_checked)
{
    char home[TEMP_DIR_SIZE];
    temp_dir_make(home);
    struct disks *disks = disks_new();
    struct pool_driver driver = disks_driver(disks);
    struct chunk_store *store = NULL;
    uint8_t first[16];
    uint8_t again[16];
    struct gfs_error error = {0};
    const char *cluster = "11111111-2222-4333-8444-555555555555";
    cr_assert_eq(driver.open(driver.arg, home, cluster, &store, first, &error), GFS_OK);
    driver.close(driver.arg, store);
    cr_assert_eq(driver.open(driver.arg, home, NULL, &store, again, &error), GFS_OK);
    driver.close(driver.arg, store);
    cr_assert_eq(memcmp(first, again, 16), 0);
    cr_assert_eq(driver.open(driver.arg, home, "99999999-2222-4333-8444-555555555555", &store,
                             again, &error),
                 GFS_CONFLICT);
    disks_free(disks);
    temp_dir_remove(home);
}
