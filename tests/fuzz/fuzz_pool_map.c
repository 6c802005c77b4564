/* Input: the text of a map without its checksum. As it is it must be refused; with a right checksum
 * it may be a map, which must then read back as itself and stay valid whatever happens to its
 * disks. */
#include "fuzz.h"
#include "libgoodfs/crc.h"
#include "libgoodfs/mem.h"
#include "pool/pool_map.h"
#include "pool/pool_plan.h"

static void sign(struct gfs_slice body, struct gfs_buf *out)
{
    gfs_buf_add_slice(out, body);
    gfs_buf_printf(out, ",\"crc64nvme\":\"%016lx\"}\n",
                   (unsigned long)gfs_crc64nvme(0, body.ptr, body.len));
}

static void reads_back_as_itself(const struct pool_map *map)
{
    struct gfs_buf first, second;
    struct pool_map *again = NULL;
    gfs_buf_init(&first, POOL_MAP_TEXT_MAX);
    gfs_buf_init(&second, POOL_MAP_TEXT_MAX);
    pool_map_encode(map, &first);
    FUZZ_CHECK(pool_map_decode(gfs_buf_slice(&first), &again, NULL) == GFS_OK);
    pool_map_encode(again, &second);
    FUZZ_CHECK(gfs_slice_eq(gfs_buf_slice(&first), gfs_buf_slice(&second)));
    pool_map_free(again);
    gfs_buf_fini(&first);
    gfs_buf_fini(&second);
}

/* Changes the map's disk `disk` in every way, each from the same start. */
static void stays_valid(const struct pool_map *map, uint16_t disk)
{
    for (int what = 0; what < 4; what++) {
        struct pool_map *changed = pool_map_copy(map);
        struct pool_map_disk added = {.state = POOL_DISK_ACTIVE, .path = "/new", .id = {1}};
        uint16_t by = POOL_NO_DISK;
        uint32_t unplaced = 0;
        if (what == 0) {
            (void)!pool_plan_fail(changed, disk, &unplaced, NULL);
        } else if (what == 1) {
            (void)!pool_plan_drain(changed, disk, NULL);
        } else if (pool_plan_add_disk(changed, &added, &by, NULL) == GFS_OK) {
            (void)!pool_plan_replace(changed, disk, by, what == 2, NULL);
        }
        (void)pool_plan_widen_group0(changed, true);
        (void)pool_plan_place(changed);
        (void)pool_plan_rebalance(changed, 8);
        pool_plan_log_disks(changed);
        (void)pool_plan_retire(changed);
        FUZZ_CHECK(pool_map_check(changed, NULL) == GFS_OK);
        pool_map_free(changed);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gfs_slice body = gfs_slice_of(data, size);
    struct pool_map *map = NULL;
    struct gfs_error error;
    FUZZ_CHECK(pool_map_decode(body, &map, &error) != GFS_OK);
    struct gfs_buf text;
    gfs_buf_init(&text, POOL_MAP_TEXT_MAX);
    sign(body, &text);
    if (pool_map_decode(gfs_buf_slice(&text), &map, &error) == GFS_OK) {
        reads_back_as_itself(map);
        if (map->group_count <= 64) {
            stays_valid(map, (uint16_t)(size % map->disk_count));
        }
        pool_map_free(map);
    }
    gfs_buf_fini(&text);
    return 0;
}
