#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "map_rig.h"
#include "pool/pool_map_file.h"

struct rig {
    char dir[64];
    struct pool_root root;
};

/* That of put_identity. */
static const uint8_t disk_id[16] = {0x00, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a,
                                    0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a};

static void init(struct rig *rig)
{
    (void)snprintf(rig->dir, sizeof rig->dir, "/tmp/goodfs-map-XXXXXX");
    cr_assert_not_null(mkdtemp(rig->dir));
    rig->root = pool_root_of(rig->dir);
    cr_assert(rig->root.is_known);
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

static void fini(struct rig *rig)
{
    cr_assert_eq(nftw(rig->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static void put(const struct rig *rig, const char *name, const char *text)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", rig->dir, name);
    FILE *file = fopen(path, "we");
    cr_assert_not_null(file);
    cr_assert_geq(fputs(text, file), 0);
    cr_assert_eq(fclose(file), 0);
}

static void make_dir(const struct rig *rig, const char *name)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", rig->dir, name);
    cr_assert_eq(mkdir(path, 0700), 0);
}

static bool exists(const struct rig *rig, const char *name)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", rig->dir, name);
    return access(path, F_OK) == 0;
}

static void put_identity(const struct rig *rig)
{
    put(rig, "identity",
        "format=1\ncluster=" MAP_RIG_CLUSTER
        "\nnode=local\ndisk=005a5a5a-5a5a-5a5a-5a5a-5a5a5a5a5a5a\n");
}

static struct pool_found probe(const struct rig *rig)
{
    struct pool_found found;
    pool_found_probe(rig->dir, &found);
    return found;
}

static enum gfs_err store(const struct rig *rig, const struct pool_map *map)
{
    struct gfs_buf text;
    gfs_buf_init(&text, POOL_MAP_TEXT_MAX);
    pool_map_encode(map, &text);
    struct gfs_error error = {0};
    enum gfs_err err =
        pool_map_file_store(rig->dir, &rig->root, disk_id, gfs_buf_slice(&text), &error);
    cr_assert((err == GFS_OK) == (error.text[0] == '\0'), "%s", error.text);
    gfs_buf_fini(&text);
    return err;
}

Test(pool_map_file, what_is_stored_is_loaded_and_replaced)
{
    struct rig rig;
    init(&rig);
    struct pool_map *map = map_rig_new(3, "replica:3"), *back = NULL;
    struct gfs_error error = {0};
    cr_assert_eq(pool_map_file_load(rig.dir, &back, &error), GFS_NOT_FOUND);
    put_identity(&rig);
    for (uint64_t version = 1; version < 4; version++) {
        map->version = version;
        cr_assert_eq(store(&rig, map), GFS_OK);
        cr_assert_eq(pool_map_file_load(rig.dir, &back, &error), GFS_OK, "%s", error.text);
        cr_assert_eq(back->version, version);
        pool_map_free(GFS_TAKE(back));
    }
    cr_assert(!exists(&rig, "pool.json.tmp"));
    put(&rig, "pool.json", "{\"format\":1");
    cr_assert_eq(pool_map_file_load(rig.dir, &back, &error), GFS_CORRUPT);
    cr_assert_not_null(strstr(error.text, "/pool.json: its checksum is wrong"), "%s", error.text);
    pool_map_free(map);
    fini(&rig);
}

Test(pool_map_file, a_write_that_finds_no_room_leaves_the_map_that_was)
{
    struct rig rig;
    init(&rig);
    put_identity(&rig);
    struct pool_map *map = map_rig_new(3, "replica:3"), *back = NULL;
    cr_assert_eq(store(&rig, map), GFS_OK);
    struct rlimit limit, tight = {.rlim_cur = 100, .rlim_max = RLIM_INFINITY};
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    tight.rlim_max = limit.rlim_max;
    cr_assert_neq(signal(SIGXFSZ, SIG_IGN), SIG_ERR);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &tight), 0);
    map->version = 2;
    cr_assert_eq(store(&rig, map), GFS_NO_SPACE);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    cr_assert(!exists(&rig, "pool.json.tmp"), "what fills the disk goes");
    cr_assert_eq(pool_map_file_load(rig.dir, &back, NULL), GFS_OK);
    cr_assert_eq(back->version, 1);
    pool_map_free(back);
    pool_map_free(map);
    fini(&rig);
}

Test(pool_map_file, an_unfinished_temporary_file_does_not_matter)
{
    struct rig rig;
    init(&rig);
    put_identity(&rig);
    struct pool_map *map = map_rig_new(1, "replica:1"), *back = NULL;
    put(&rig, "pool.json.tmp", "much longer text than any map that is written over it would be");
    cr_assert_eq(store(&rig, map), GFS_OK);
    put(&rig, "pool.json.tmp", "torn");
    cr_assert_eq(pool_map_file_load(rig.dir, &back, NULL), GFS_OK);
    pool_map_free(back);
    pool_map_free(map);
    fini(&rig);
}

Test(pool_map_file, no_map_is_stored_where_the_disk_is_not)
{
    struct rig rig;
    init(&rig);
    struct pool_map *map = map_rig_new(1, "replica:1");
    cr_assert_eq(store(&rig, map), GFS_TIMEOUT, "no identity: the mount point without its disk");
    cr_assert(!exists(&rig, "pool.json"));
    cr_assert_eq(rmdir(rig.dir), 0);
    cr_assert_eq(store(&rig, map), GFS_TIMEOUT);
    cr_assert_neq(access(rig.dir, F_OK), 0, "nor is the directory made");
    pool_map_free(map);
}

Test(pool_map_file, a_directory_with_nothing_in_it_is_empty)
{
    struct rig rig;
    init(&rig);
    struct pool_found found = probe(&rig);
    cr_assert(found.is_empty && !found.is_missing && !found.has_identity && !found.is_mount);
    make_dir(&rig, "lost+found");
    put(&rig, "lock", "");
    make_dir(&rig, "log");
    make_dir(&rig, "bulk");
    cr_assert(probe(&rig).is_empty, "a store whose making was interrupted");
    put(&rig, "log/000000000001.seg", "x");
    cr_assert(!probe(&rig).is_empty, "segments without identity are data");
    cr_assert(!probe(&rig).has_identity);
    cr_assert_eq(probe(&rig).error.code, GFS_OK);
    fini(&rig);
    init(&rig);
    put(&rig, "holiday.jpg", "x");
    cr_assert(!probe(&rig).is_empty);
    fini(&rig);
}

Test(pool_map_file, what_is_not_there_is_missing)
{
    struct pool_found found;
    pool_found_probe("/tmp/goodfs-map-no-such-directory", &found);
    cr_assert(found.is_missing);
    cr_assert_eq(found.error.code, GFS_NOT_FOUND);
    struct rig rig;
    init(&rig);
    put(&rig, "file", "x");
    char path[128];
    (void)snprintf(path, sizeof path, "%s/file", rig.dir);
    pool_found_probe(path, &found);
    cr_assert(found.is_missing);
    cr_assert_eq(found.error.code, GFS_INVALID);
    cr_assert_not_null(strstr(found.error.text, "it is no directory"));
    fini(&rig);
    pool_found_probe("/", &found);
    cr_assert(found.is_mount);
    pool_found_fini(&found);
}

Test(pool_map_file, a_store_is_known_by_its_identity)
{
    struct rig rig;
    init(&rig);
    put_identity(&rig);
    struct pool_found found = probe(&rig);
    cr_assert(found.has_identity && !found.is_empty && found.map == NULL);
    cr_assert_eq(found.error.code, GFS_OK);
    cr_assert_str_eq(found.cluster, MAP_RIG_CLUSTER);
    cr_assert_eq(found.id[0], 0);
    cr_assert_eq(found.id[15], 0x5a);
    struct pool_map *map = map_rig_new(1, "replica:1");
    cr_assert_eq(store(&rig, map), GFS_OK);
    found = probe(&rig);
    cr_assert_not_null(found.map);
    cr_assert_eq(found.map->version, map->version);
    pool_found_fini(&found);
    cr_assert_null(found.map);
    put(&rig, "pool.json", "torn");
    found = probe(&rig);
    cr_assert(found.has_identity && found.map == NULL && found.error.code == GFS_CORRUPT);
    pool_map_free(map);
    fini(&rig);
}

Test(pool_map_file, a_damaged_identity_is_an_error)
{
    const char *const damaged[] = {
        "",
        "format=1\n",
        "format=1\ncluster=x\ndisk=005a\n",
        "format=1\ndisk=005a5a5a-5a5a-5a5a-5a5a-5a5a5a5a5a5a\n",
        "format=x\ncluster=x\ndisk=005a5a5a-5a5a-5a5a-5a5a-5a5a5a5a5a5a\n",
        "format=0\ncluster=x\ndisk=005a5a5a-5a5a-5a5a-5a5a-5a5a5a5a5a5a\n",
        ("format=1\ncluster=0123456789012345678901234567890123456\n"
         "disk=005a5a5a-5a5a-5a5a-5a5a-5a5a5a5a5a5a\n"),
    };
    for (size_t i = 0; i < GFS_COUNT(damaged); i++) {
        struct rig rig;
        init(&rig);
        put(&rig, "identity", damaged[i]);
        struct pool_found found = probe(&rig);
        cr_assert(!found.has_identity && !found.is_empty);
        cr_assert_eq(found.error.code, GFS_CORRUPT, "%zu", i);
        fini(&rig);
    }
    struct rig rig;
    init(&rig);
    put(&rig, "identity", "format=2\nwhatever\n");
    cr_assert_eq(probe(&rig).error.code, GFS_UNSUPPORTED);
    fini(&rig);
}

Test(pool_map_file, only_the_disk_itself_gets_a_map)
{
    struct rig rig;
    init(&rig);
    put_identity(&rig);
    struct pool_map *map = map_rig_new(1, "replica:1");
    struct pool_root root = rig.root;
    rig.root.ino++;
    cr_assert_eq(store(&rig, map), GFS_TIMEOUT, "a copy of it");
    rig.root = root;
    put(&rig, "identity",
        "format=1\ncluster=" MAP_RIG_CLUSTER
        "\nnode=local\ndisk=015a5a5a-5a5a-5a5a-5a5a-5a5a5a5a5a5a\n");
    cr_assert_eq(store(&rig, map), GFS_CONFLICT, "another disk");
    put(&rig, "identity", "format=1\n");
    cr_assert_eq(store(&rig, map), GFS_CORRUPT);
    cr_assert(!exists(&rig, "pool.json") && !exists(&rig, "pool.json.tmp"));
    pool_map_free(map);
    fini(&rig);
}

Test(pool_map_file, a_map_without_an_identity_is_an_error)
{
    struct rig rig;
    init(&rig);
    put_identity(&rig);
    struct pool_map *map = map_rig_new(1, "replica:1");
    cr_assert_eq(store(&rig, map), GFS_OK);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/identity", rig.dir);
    cr_assert_eq(unlink(path), 0);
    struct pool_found found = probe(&rig);
    cr_assert_null(found.map);
    cr_assert_eq(found.error.code, GFS_CORRUPT);
    pool_map_free(map);
    fini(&rig);
}

Test(pool_map_file, a_disk_in_the_making_counts_as_begun_until_it_has_a_map)
{
    struct rig rig;
    init(&rig);
    cr_assert_eq(rmdir(rig.dir), 0);
    cr_assert_eq(pool_map_file_begin(rig.dir, NULL), GFS_OK, "it makes the directory");
    cr_assert(probe(&rig).is_begun);
    put_identity(&rig);
    make_dir(&rig, "log");
    put(&rig, "log/000000000001.seg", "x");
    struct pool_found found = probe(&rig);
    cr_assert(found.is_begun && found.has_identity && !found.is_empty);
    struct pool_map *map = map_rig_new(1, "replica:1");
    cr_assert_eq(store(&rig, map), GFS_OK);
    found = probe(&rig);
    cr_assert(!found.is_begun);
    cr_assert(!exists(&rig, "pool.new"));
    pool_found_fini(&found);
    pool_map_free(map);
    fini(&rig);
}
