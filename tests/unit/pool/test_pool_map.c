#include "libgoodfs/crc.h"
#include "map_rig.h"

static char *encoded(const struct pool_map *map, size_t *ret_len)
{
    struct gfs_buf out;
    gfs_buf_init(&out, POOL_MAP_TEXT_MAX);
    pool_map_encode(map, &out);
    cr_assert(!out.is_full);
    return gfs_buf_take(&out, ret_len);
}

static enum gfs_err decode(const char *text, size_t len, struct pool_map **ret)
{
    struct gfs_error error = {0};
    enum gfs_err err = pool_map_decode(gfs_slice_of(text, len), ret, &error);
    cr_assert(err == GFS_OK || (error.code == err && error.text[0] != '\0'));
    return err;
}

/* The text with another checksum at its end: what a program that means harm would write. */
static enum gfs_err decode_signed(const char *text)
{
    const char *crc_name = ",\"crc64nvme\"";
    const char *end = strstr(text, crc_name);
    size_t len = end == NULL ? strlen(text) : (size_t)(end - text);
    struct gfs_buf out;
    gfs_buf_init(&out, 1 << 20);
    gfs_buf_add(&out, text, len);
    gfs_buf_printf(&out, "%s:\"%016lx\"}\n", crc_name, (unsigned long)gfs_crc64nvme(0, text, len));
    struct pool_map *map = NULL;
    enum gfs_err err = decode(out.ptr, out.len, &map);
    pool_map_free(map);
    gfs_buf_fini(&out);
    return err;
}

/* A map with something in every field. */
static struct pool_map *full_map(void)
{
    struct pool_map *map = map_rig_new(8, "ec:4+2");
    map->version = 1234567890123;
    map->epoch = 17;
    map->promised = 19;
    map->before_version = 1234567890121;
    map->before_epoch = 16;
    map->lsn_floor = 77;
    map->disks[4].had_vote = false;
    map->disks[1].state = POOL_DISK_DRAINING;
    map->disks[2].is_behind = true;
    map->disks[3].is_read_only = true;
    map->disks[4].is_mount = true;
    map->disks[5].is_full = true;
    map->disks[5].reserved = INT64_MAX;
    map->disks[5].seen_version = map->version;
    map->disks[6].state = POOL_DISK_FAILED;
    map->disks[6].path[0] = '\0';
    map->disks[7].state = POOL_DISK_REMOVED;
    (void)snprintf(map->disks[0].path, sizeof map->disks[0].path, "/d \"q\" \\ \t\xc3\xa4");
    map->class_count = 2;
    (void)snprintf(map->classes[1].name, sizeof map->classes[1].name, "replica:3");
    map->classes[1].profile = map_rig_profile("replica:3");
    map->log_disk_count = 3;
    map->log_disks[1] = (struct pool_log_disk){.disk = 4, .is_in_sync = true};
    map->log_disks[2] = (struct pool_log_disk){.disk = 6};
    uint32_t group = pool_map_add_group(map, map_rig_profile("ec:4+2"));
    for (uint16_t i = 0; i < 6; i++) {
        map->groups[group].slots[i].disk = i;
    }
    map->groups[group].slots[3] = (struct pool_slot){.disk = 3, .from = 6, .is_filling = true};
    map->groups[group].slots[5] = (struct pool_slot){.disk = 5, .from = 1, .is_filling = true};
    group = pool_map_add_group(map, map_rig_profile("replica:2"));
    map->groups[group].slots[0].disk = 5;
    map->groups[group].slots[1].disk = 2;
    map->groups[group].slots[1].is_filling = true;
    map_rig_check(map);
    return map;
}

Test(pool_map, a_profile_is_read_and_written_alike)
{
    const char *const good[] = {"replica:1", "replica:8", "ec:1+1", "ec:4+2", "ec:31+1", "ec:1+31"};
    for (size_t i = 0; i < GFS_COUNT(good); i++) {
        struct pool_profile profile;
        char text[POOL_PROFILE_TEXT_SIZE];
        cr_assert_eq(pool_profile_parse(gfs_slice_str(good[i]), &profile, NULL), GFS_OK);
        pool_profile_format(profile, text);
        cr_assert_str_eq(text, good[i]);
    }
    const char *const bad[] = {
        "",        "replica",    "replica:", "replica:0", "replica:9",  "ec:4",
        "ec:4+",   "ec:+2",      "ec:0+2",   "ec:4+0",    "ec:31+2",    "ec:04+2",
        "ec:4+02", "ec:4+2 ",    " ec:4+2",  "EC:4+2",    "ec:4+2+1",   "ec:256+1",
        "ec:-1+2", "replica:3:", "ec",       "ec:",       "replica:+3", "replica:03"};
    for (size_t i = 0; i < GFS_COUNT(bad); i++) {
        struct pool_profile profile;
        struct gfs_error error = {0};
        cr_assert_eq(pool_profile_parse(gfs_slice_str(bad[i]), &profile, &error), GFS_INVALID, "%s",
                     bad[i]);
        cr_assert_neq(error.text[0], '\0');
    }
}

Test(pool_map, a_write_needs_a_majority_of_copies_or_one_fragment_more_than_data)
{
    const struct {
        const char *profile;
        unsigned width, quorum;
        const char *small;
    } cases[] = {{"replica:1", 1, 1, "replica:1"}, {"replica:2", 2, 2, "replica:2"},
                 {"replica:3", 3, 2, "replica:3"}, {"replica:8", 8, 5, "replica:8"},
                 {"ec:2+1", 3, 3, "replica:2"},    {"ec:4+2", 6, 5, "replica:3"},
                 {"ec:10+4", 14, 11, "replica:5"}, {"ec:4+9", 13, 5, "replica:8"}};
    for (size_t i = 0; i < GFS_COUNT(cases); i++) {
        struct pool_profile profile = map_rig_profile(cases[i].profile);
        cr_assert_eq(pool_profile_width(profile), cases[i].width);
        cr_assert_eq(pool_profile_quorum(profile), cases[i].quorum);
        struct pool_profile small = pool_profile_small(profile);
        if (profile.kind == POOL_EC) {
            cr_assert(pool_profile_is_equal(small, map_rig_profile(cases[i].small)));
        }
    }
}

Test(pool_map, what_is_encoded_is_decoded_the_same)
{
    struct pool_map *map = full_map(), *back = NULL, *copy = pool_map_copy(map);
    size_t len, back_len, copy_len;
    char *text = encoded(map, &len);
    cr_assert_eq(decode(text, len, &back), GFS_OK);
    char *again = encoded(back, &back_len), *copied = encoded(copy, &copy_len);
    cr_assert(len == back_len && memcmp(text, again, len) == 0);
    cr_assert(len == copy_len && memcmp(text, copied, len) == 0);
    cr_assert_str_eq(back->disks[0].path, map->disks[0].path);
    cr_assert_eq(back->disks[5].reserved, INT64_MAX);
    cr_assert_eq(back->disks[7].state, POOL_DISK_REMOVED);
    cr_assert_eq(back->groups[1].slots[5].from, 1);
    cr_assert(back->groups[1].slots[5].is_filling);
    cr_assert_eq(back->groups[1].slots[4].from, POOL_NO_DISK);
    cr_assert(!back->groups[1].slots[4].is_filling);
    cr_assert_eq(back->groups[2].slots[1].from, POOL_NO_DISK);
    cr_assert(back->groups[2].slots[1].is_filling);
    cr_assert(back->log_disks[1].is_in_sync && !back->log_disks[2].is_in_sync);
    cr_assert_eq(memchr(text, '\n', len), text + len - 1, "one line");
    free(text);
    free(again);
    free(copied);
    pool_map_free(map);
    pool_map_free(back);
    pool_map_free(copy);
}

Test(pool_map, a_copy_has_nothing_in_common_with_its_origin)
{
    struct pool_map *map = map_rig_new(3, "replica:1"), *copy = pool_map_copy(map);
    copy->disks[0].capacity = 1;
    copy->groups[0].slots[0].disk = 2;
    for (unsigned i = 3; i < 20; i++) {
        struct pool_map_disk disk = map_rig_disk(i, 1);
        cr_assert_eq(pool_map_add_disk(copy, &disk), i);
    }
    cr_assert_eq(map->disks[0].capacity, 100ULL << 30);
    cr_assert_eq(map->groups[0].slots[0].disk, 0);
    cr_assert_eq(map->disk_count, 3);
    cr_assert_eq(pool_map_find_disk(copy, copy->disks[17].id), 17);
    cr_assert_eq(pool_map_find_disk(map, copy->disks[17].id), POOL_NO_DISK);
    pool_map_free(map);
    pool_map_free(copy);
}

Test(pool_map, no_truncation_is_accepted)
{
    struct pool_map *map = full_map(), *back = NULL;
    size_t len;
    char *text = encoded(map, &len);
    for (size_t cut = 0; cut < len; cut++) {
        cr_assert_eq(decode(text, cut, &back), GFS_CORRUPT, "%zu of %zu bytes", cut, len);
    }
    free(text);
    pool_map_free(map);
}

Test(pool_map, no_flipped_bits_are_accepted)
{
    struct pool_map *map = full_map(), *back = NULL;
    size_t len;
    uint64_t random = 1;
    char *text = encoded(map, &len), *broken = gfs_alloc(len);
    for (int round = 0; round < 10000; round++) {
        memcpy(broken, text, len);
        size_t flips = 1 + map_rig_draw(&random, 4);
        for (size_t i = 0; i < flips; i++) {
            broken[map_rig_draw(&random, len)] ^= (char)(1 << map_rig_draw(&random, 8));
        }
        if (memcmp(broken, text, len) != 0) {
            cr_assert_eq(decode(broken, len, &back), GFS_CORRUPT, "round %d", round);
        }
    }
    free(text);
    free(broken);
    pool_map_free(map);
}

Test(pool_map, a_newer_format_is_refused_as_such)
{
    cr_assert_eq(decode_signed("{\"format\":2,\"whatever\":[]"), GFS_UNSUPPORTED);
    cr_assert_eq(decode_signed("{\"format\":0"), GFS_CORRUPT);
    cr_assert_eq(decode_signed("{\"format\":\"1\""), GFS_CORRUPT);
    cr_assert_eq(decode_signed("{\"version\":1"), GFS_CORRUPT);
    cr_assert_eq(decode_signed("[1"), GFS_CORRUPT);
    cr_assert_eq(decode_signed("{\"format\":1,\"format\":1"), GFS_CORRUPT);
    cr_assert_eq(decode_signed(""), GFS_CORRUPT);
}

/* Replaces the first `from` by `to` in the text of a map, signs it, decodes it. */
static enum gfs_err decode_changed(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    cr_assert_not_null(at, "%s", from);
    struct gfs_buf out;
    gfs_buf_init(&out, 1 << 20);
    gfs_buf_printf(&out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    enum gfs_err err = decode_signed(out.ptr);
    gfs_buf_fini(&out);
    return err;
}

Test(pool_map, hostile_members_with_a_right_checksum_are_refused)
{
    struct pool_map *map = full_map();
    size_t len;
    char *text = encoded(map, &len);
    cr_assert_eq(decode_signed(text), GFS_OK, "the way of signing is right");
    const char *const changes[][2] = {
        {"\"epoch\":17", "\"epoch\":-1"},
        {"\"epoch\":17", "\"epoch\":1.0"},
        {"\"epoch\":17", "\"epoch\":99999999999999999999"},
        {"\"epoch\":17", "\"epoch\":null"},
        {"\"epoch\":17,", ""},
        {"\"lsn_floor\":77", "\"lsn_floor\":-1"},
        {"\"lsn_floor\":77", "\"lsn_floor\":true"},
        {"\"epoch\":17", "\"epoch\":17,\"more\":1"},
        {"\"version\":1234567890123", "\"version\":0"},
        {"\"version\":1234567890123", "\"version\":5"}, /* below what a disk has seen */
        {"\"cluster\":\"6", "\"cluster\":\"66"},
        {"\"cluster\":\"6", "\"cluster\":\" "},
        {"\"cluster\":\"6", "\"cluster\":\"\\u0000"},
        {"\"id\":\"0000", "\"id\":\"0100"},
        {"\"id\":\"0000", "\"id\":\"0g00"},
        {"\"id\":\"0000", "\"id\":\"00"},
        {"\"state\":\"active\"", "\"state\":\"Active\""},
        {"\"state\":\"active\"", "\"state\":1"},
        {"\"path\":\"/data/1\"", "\"path\":\"\""},
        {"\"path\":\"/data/1\"", "\"path\":[\"/data/1\"]"},
        {"\"behind\":false", "\"behind\":0"},
        {"\"behind\":false", "\"behind\":false,\"x\":0"},
        {"\"name\":\"STANDARD\"", "\"name\":\"OTHER\""},
        {"\"name\":\"replica:3\"", "\"name\":\"STANDARD\""},
        {"\"name\":\"replica:3\"", "\"name\":\"\""},
        {"\"name\":\"replica:3\"", "\"name\":\"abcdefghijklmnopqrstuvwxyz0123456\""},
        {"\"profile\":\"ec:4+2\"", "\"profile\":\"ec:40+2\""},
        {"\"disk\":4", "\"disk\":0"},
        {"\"disk\":4", "\"disk\":8"},
        {"\"disk\":4", "\"disk\":256"},
        {"\"disk\":4", "\"disk\":6"}, /* in sync and failed */
        {"\"disk\":4", "\"disk\":7"}, /* removed */
        {"\"log_disks\":[", "\"log_disks\":[{\"disk\":4,\"in_sync\":true},"},
        {"[0,1,2,[3,6],4,[5,1]]", "[0,1,2,[3,6],4]"},
        {"[0,1,2,[3,6],4,[5,1]]", "[0,1,2,[3,6],4,5,2]"},
        {"[0,1,2,[3,6],4,[5,1]]", "[0,1,2,[3,6],4,[5,6]]"},
        {"[0,1,2,[3,6],4,[5,1]]", "[0,1,2,[3,6],4,[5,5]]"},
        {"[0,1,2,[3,6],4,[5,1]]", "[0,1,2,[3,6],4,0]"},
        {"[0,1,2,[3,6],4,[5,1]]", "[0,1,2,[3,6],4,7]"},
        {"[0,1,2,[3,6],4,[5,1]]", "[0,1,2,[3,6],4,[5,65535]]"},
        {"[0,1,2,[3,6],4,[5,1]]", "[0,1,2,[3,6],4,[]]"},
        {"[0,1,2,[3,6],4,[5,1]]", "[0,1,2,[3,6],4,[5,1,2]]"},
        {"[0,1,2,[3,6],4,[5,1]]", "[0,1,2,[3,6],4,{}]"},
        {"[0,1,2,[3,6],4,[5,1]]", "{}"},
        {"{\"profile\":\"replica:1\",\"slots\":[0]}", "{\"profile\":\"ec:1+1\",\"slots\":[0,1]}"},
        {"{\"profile\":\"replica:1\",\"slots\":[0]},", "[],"},
        {"{\"profile\":\"replica:1\",\"slots\":[0]}", "null"},
    };
    for (size_t i = 0; i < GFS_COUNT(changes); i++) {
        cr_assert_eq(decode_changed(text, changes[i][0], changes[i][1]), GFS_CORRUPT, "%s -> %s",
                     changes[i][0], changes[i][1]);
    }
    free(text);
    pool_map_free(map);
}

Test(pool_map, a_map_that_does_not_fit_says_so)
{
    struct pool_map *map = full_map();
    struct gfs_buf out;
    gfs_buf_init(&out, 200);
    pool_map_encode(map, &out);
    cr_assert(out.is_full);
    gfs_buf_fini(&out);
    pool_map_free(map);
}

Test(pool_map, a_new_map_is_valid_only_with_disks_and_classes)
{
    struct pool_map *map = pool_map_new(MAP_RIG_CLUSTER);
    struct gfs_error error = {0};
    cr_assert_eq(map->version, 1);
    cr_assert_eq(map->group_count, 1);
    cr_assert_eq(pool_map_check(map, &error), GFS_INVALID);
    pool_map_free(map);
}

Test(pool_map, a_slot_that_moves_is_one_that_is_being_filled)
{
    struct pool_map *map = full_map();
    map->groups[1].slots[5].is_filling = false;
    cr_assert_eq(pool_map_check(map, NULL), GFS_INVALID);
    pool_map_free(map);
}

Test(pool_map, an_id_is_written_as_in_identity_files)
{
    uint8_t id[16], back[16];
    char text[GFS_IDENTITY_ID_SIZE];
    for (uint8_t i = 0; i < 16; i++) {
        id[i] = (uint8_t)(i * 17);
    }
    gfs_uuid_format(id, text);
    cr_assert_str_eq(text, "00112233-4455-6677-8899-aabbccddeeff");
    cr_assert(gfs_uuid_parse(gfs_slice_str("00112233-4455-6677-8899-AABBccddeeff"), back));
    cr_assert_arr_eq(id, back, 16);
    cr_assert(!gfs_uuid_parse(gfs_slice_str("00112233-4455-6677-8899-aabbccddeef"), back));
    cr_assert(!gfs_uuid_parse(gfs_slice_str("00112233-4455-6677-8899-aabbccddeefff"), back));
    cr_assert(!gfs_uuid_parse(gfs_slice_str("001122334-455-6677-8899-aabbccddeeff"), back));
    cr_assert(!gfs_uuid_parse((struct gfs_slice){0}, back));
}

Test(pool_map, a_quorum_is_more_than_half_or_half_with_the_first)
{
    struct pool_map *map = map_rig_new(6, "replica:2");
    map->disks[0].state = POOL_DISK_FAILED;
    map->disks[5].state = POOL_DISK_REMOVED;
    map->disks[2].state = POOL_DISK_DRAINING; /* so 1, 2, 3, 4 count, and 1 is the first */
    bool both_with_first[6] = {[1] = true, [4] = true};
    bool both_without[6] = {[0] = true, [2] = true, [4] = true, [5] = true};
    bool three[6] = {[2] = true, [3] = true, [4] = true};
    bool one[6] = {[1] = true};
    bool none[6] = {0};
    cr_assert(pool_map_is_quorum(map, both_with_first));
    cr_assert(!pool_map_is_quorum(map, both_without));
    cr_assert(pool_map_is_quorum(map, three));
    cr_assert(!pool_map_is_quorum(map, one));
    cr_assert(!pool_map_is_quorum(map, none));
    for (unsigned i = 0; i < 6; i++) {
        map->disks[i].state = POOL_DISK_FAILED;
    }
    cr_assert(!pool_map_is_quorum(map, three), "nobody is no quorum of nobody");
    pool_map_free(map);
}
