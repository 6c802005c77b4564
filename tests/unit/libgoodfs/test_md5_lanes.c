#include "libgoodfs/md5_lanes.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "libgoodfs/digest.h"

enum { STREAMS = 20 };

static uint8_t byte_of(size_t stream, size_t at)
{
    return (uint8_t)(stream * 131 + at * 7 + (at >> 9));
}

Test(md5_lanes, every_kernel_agrees_with_the_scalar_code_for_any_number_of_streams)
{
    enum { LEN = 64 * 9 };
    static uint8_t bytes[GFS_MD5_LANES][LEN];
    for (size_t i = 0; i < GFS_MD5_LANES; i++) {
        for (size_t j = 0; j < LEN; j++) {
            bytes[i][j] = byte_of(i, j);
        }
    }
    for (int kind = 0; kind <= 2; kind++) {
        for (uint32_t count = 1; count <= GFS_MD5_LANES; count++) {
            uint32_t states[GFS_MD5_LANES][4];
            uint32_t(*state_ptrs[GFS_MD5_LANES])[4];
            const uint8_t *ptrs[GFS_MD5_LANES];
            for (uint32_t i = 0; i < GFS_MD5_LANES; i++) {
                for (uint32_t j = 0; j < 4; j++) {
                    states[i][j] = i * 17 + j * 0x9e3779b9u;
                }
                state_ptrs[i] = &states[i];
                ptrs[i] = bytes[i];
            }
            if (!gfs_md5_lanes_blocks(kind, state_ptrs, ptrs, count, 9)) {
                cr_assert(kind > 0, "the portable kernel is always there");
                break;
            }
            for (uint32_t i = 0; i < GFS_MD5_LANES; i++) {
                uint32_t want[4];
                for (uint32_t j = 0; j < 4; j++) {
                    want[j] = i * 17 + j * 0x9e3779b9u;
                }
                if (i < count) {
                    gfs_md5_blocks(want, bytes[i], 9);
                }
                cr_assert(memcmp(want, states[i], sizeof want) == 0, "kind %d, %u of %u", kind, i,
                          count);
            }
        }
    }
}

/* Streams of different lengths, fed in turns by uneven pieces, ending at different times. */
static void check_streams(size_t count, const size_t *lens)
{
    struct gfs_md5_pool *pool = gfs_md5_pool_new();
    struct gfs_md5_lane *lanes[STREAMS];
    struct gfs_digest plain[STREAMS];
    size_t done[STREAMS] = {0};
    for (size_t i = 0; i < count; i++) {
        lanes[i] = gfs_md5_lane_new(pool);
        gfs_digest_init(&plain[i], GFS_MD5);
    }
    static uint8_t piece[70000];
    size_t open = count;
    for (size_t turn = 0; open > 0; turn++) {
        size_t i = turn % count;
        if (lanes[i] == NULL) {
            continue;
        }
        size_t len = 1 + (turn * 7919) % sizeof piece;
        len = len < lens[i] - done[i] ? len : lens[i] - done[i];
        for (size_t j = 0; j < len; j++) {
            piece[j] = byte_of(i, done[i] + j);
        }
        gfs_md5_lane_add(lanes[i], piece, len);
        gfs_digest_add(&plain[i], piece, len);
        done[i] += len;
        if (done[i] == lens[i]) {
            uint8_t have[16];
            uint8_t want[16];
            gfs_md5_lane_fini(lanes[i], have);
            gfs_digest_fini(&plain[i], want);
            cr_assert(memcmp(have, want, sizeof want) == 0, "stream %zu of %zu", i, count);
            gfs_md5_lane_free(lanes[i]);
            lanes[i] = NULL;
            open--;
        }
    }
    gfs_md5_pool_free(pool);
}

Test(md5_lanes, streams_of_any_length_get_the_digest_of_a_single_stream)
{
    static const size_t lens[STREAMS] = {0,     1,      63,     64,     65,     65535,  65536,
                                         65537, 131071, 131072, 131073, 200000, 300001, 262144,
                                         1000,  400000, 65600,  128,    196608, 77777};
    check_streams(1, lens + 11);
    check_streams(2, lens + 6);
    check_streams(5, lens + 9);
    check_streams(STREAMS, lens);
}

Test(md5_lanes, a_stream_given_up_half_way_leaves_the_others_right)
{
    struct gfs_md5_pool *pool = gfs_md5_pool_new();
    struct gfs_md5_lane *lane = gfs_md5_lane_new(pool);
    struct gfs_md5_lane *gone = gfs_md5_lane_new(pool);
    static uint8_t bytes[GFS_MD5_LANE_SIZE + 5];
    memset(bytes, 0x5a, sizeof bytes);
    gfs_md5_lane_add(lane, bytes, sizeof bytes);
    gfs_md5_lane_add(gone, bytes, sizeof bytes);
    gfs_md5_lane_free(gone);
    uint8_t have[16];
    uint8_t want[16];
    gfs_md5_lane_fini(lane, have);
    gfs_md5((struct gfs_slice){(const char *)bytes, sizeof bytes}, want);
    cr_assert(memcmp(have, want, sizeof want) == 0);
    gfs_md5_lane_free(lane);
    gfs_md5_pool_free(pool);
}
