#include "metad/apply.h"

#include "libgoodfs/codec.h"
#include "libgoodfs/mem.h"
#include "metad/bucket_row.h"
#include "metad/edit.h"
#include "metad/record.h"
#include "tests/unit/metad/random.h"
#include "tests/unit/metad/temp_dir.h"

enum { EDITS = 400, KEYS = 12, UPLOADS = 6, PARTS = 4, BUCKETS = 2 };

/* A database and the applier on it. */
struct rig {
    char dir[TEMP_DIR_SIZE];
    struct db *db;
    struct apply *apply;
    struct apply_result result; /* of the last call */
};

static void init(struct rig *rig)
{
    char path[TEMP_PATH_SIZE];
    *rig = (struct rig){0};
    temp_dir_make(rig->dir);
    (void)snprintf(path, sizeof path, "%s/db", rig->dir);
    cr_assert_eq(db_open_writer(path, 1 << 20, &rig->db, NULL), GFS_OK);
    cr_assert_eq(apply_new(rig->db, &rig->apply, NULL), GFS_OK);
}

static void fini(struct rig *rig)
{
    apply_free(rig->apply);
    db_close(rig->db);
    temp_dir_remove(rig->dir);
}

/* ---- a history of edits, consistent as submit would make it ---- */

struct chunks {
    uint32_t count;
    struct meta_chunk_ref refs[4];
};

struct history {
    struct random random;
    uint64_t lsn, next_chunk, next_upload;
    bool has_object[BUCKETS][KEYS];
    struct chunks objects[BUCKETS][KEYS];
    bool has_upload[UPLOADS];
    bool has_part[UPLOADS][PARTS];
    struct chunks parts[UPLOADS][PARTS];
    uint64_t upload_ids[UPLOADS];
    uint64_t bucket_ids[BUCKETS];
    struct gfs_buf edits[EDITS];
    size_t count;
};

static void new_chunks(struct history *history, struct chunks *ret)
{
    ret->count = random_below(&history->random, 4);
    for (uint32_t i = 0; i < ret->count; i++) {
        ret->refs[i] = (struct meta_chunk_ref){.id = {1, ++history->next_chunk}, .len = 10};
    }
}

static void add_object(struct gfs_buf *edit, const struct key *key, const struct chunks *chunks)
{
    struct chunks copy = *chunks;
    struct meta_object object = {
        .size = 10ULL * copy.count, .chunks = copy.refs, .chunk_count = copy.count};
    struct gfs_buf row;
    gfs_buf_init(&row, 4096);
    record_encode_object(&row, &object);
    edit_put(edit, key_table(key_full(key)), key_row(key), gfs_buf_slice(&row));
    gfs_buf_fini(&row);
}

static void object_key(struct key *key, const struct history *history, uint32_t b, uint32_t k)
{
    char name = (char)('a' + k);
    key_object(key, history->bucket_ids[b], gfs_slice_of(&name, 1));
}

static void upload_key(struct key *key, const struct history *history, uint32_t u)
{
    uint8_t id[META_UPLOAD_ID_LEN] = {0};
    gfs_codec_store_u64_be(id, history->upload_ids[u]);
    key_upload(key, history->bucket_ids[u % BUCKETS], GFS_SLICE_LITERAL("up"), id);
}

static void add_put(struct history *history, struct gfs_buf *edit)
{
    uint32_t b = random_below(&history->random, BUCKETS);
    uint32_t k = random_below(&history->random, KEYS);
    uint32_t from = random_below(&history->random, KEYS);
    struct chunks *chunks = &history->objects[b][k];
    struct key key;
    object_key(&key, history, b, k);
    if (random_below(&history->random, 4) == 0) {
        edit_delete(edit, TABLE_OBJECTS, key_row(&key));
        history->has_object[b][k] = false;
        return;
    }
    if (history->has_object[b][from] && random_below(&history->random, 3) == 0) {
        *chunks = history->objects[b][from]; /* a copy, perhaps onto itself */
        struct chunk_id ids[4];
        for (uint32_t i = 0; i < chunks->count; i++) {
            ids[i] = chunks->refs[i].id;
        }
        edit_ref_add(edit, ids, chunks->count);
    } else {
        new_chunks(history, chunks);
    }
    add_object(edit, &key, chunks);
    history->has_object[b][k] = true;
}

static void add_part(struct history *history, struct gfs_buf *edit, uint32_t u)
{
    uint32_t p = random_below(&history->random, PARTS);
    struct chunks *chunks = &history->parts[u][p];
    new_chunks(history, chunks);
    struct meta_part part = {.number = p + 1,
                             .size = 10ULL * chunks->count,
                             .chunks = chunks->refs,
                             .chunk_count = chunks->count};
    uint8_t id[META_UPLOAD_ID_LEN] = {0};
    gfs_codec_store_u64_be(id, history->upload_ids[u]);
    struct gfs_buf row;
    gfs_buf_init(&row, 4096);
    record_encode_part(&row, history->bucket_ids[u % BUCKETS], &part);
    struct key key;
    key_part(&key, id, p + 1);
    edit_put(edit, TABLE_PARTS, key_row(&key), gfs_buf_slice(&row));
    gfs_buf_fini(&row);
    history->has_part[u][p] = true;
}

/* Complete with the first part that is there, or abort when there is none. */
static void add_end(struct history *history, struct gfs_buf *edit, uint32_t u)
{
    uint32_t b = u % BUCKETS;
    uint16_t number = 0;
    struct key key;
    for (uint32_t p = PARTS; p-- > 0;) {
        number = history->has_part[u][p] ? (uint16_t)(p + 1) : number;
    }
    if (number != 0) {
        uint32_t k = random_below(&history->random, KEYS);
        history->objects[b][k] = history->parts[u][number - 1];
        history->has_object[b][k] = true;
        object_key(&key, history, b, k);
        add_object(edit, &key, &history->objects[b][k]);
    }
    upload_key(&key, history, u);
    edit_upload_end(edit, key_row(&key), &number, number == 0 ? 0 : 1);
    history->has_upload[u] = false;
}

static void add_upload_change(struct history *history, struct gfs_buf *edit)
{
    uint32_t u = random_below(&history->random, UPLOADS);
    if (!history->has_upload[u]) {
        history->upload_ids[u] = ++history->next_upload;
        struct key key;
        upload_key(&key, history, u);
        add_object(edit, &key, &(struct chunks){0});
        history->has_upload[u] = true;
        memset(history->has_part[u], 0, sizeof history->has_part[u]);
    } else if (random_below(&history->random, 4) == 0) {
        add_end(history, edit, u);
    } else {
        add_part(history, edit, u);
    }
}

/* Everything in the bucket goes, and another takes its place with the next edit. */
static void add_drop(struct history *history, struct gfs_buf *edit, uint32_t b)
{
    for (uint32_t k = 0; k < KEYS; k++) {
        struct key key;
        object_key(&key, history, b, k);
        edit_delete(edit, TABLE_OBJECTS, key_row(&key));
        history->has_object[b][k] = false;
    }
    edit_bucket_drop(edit, history->bucket_ids[b]);
    for (uint32_t u = b; u < UPLOADS; u += BUCKETS) {
        history->has_upload[u] = false;
    }
    history->bucket_ids[b] = 0;
}

static void add_edit(struct history *history)
{
    struct gfs_buf *edit = &history->edits[history->count++];
    gfs_buf_init(edit, 1 << 20);
    edit_begin(edit);
    history->lsn += 1 + random_below(&history->random, 2); /* refused ones leave gaps */
    uint32_t b = random_below(&history->random, BUCKETS);
    if (history->bucket_ids[0] == 0 || history->bucket_ids[1] == 0) {
        b = history->bucket_ids[0] == 0 ? 0 : 1;
        char name[] = {'b', (char)('0' + b), 0};
        edit_bucket_put(edit, gfs_slice_str(name), GFS_SLICE_LITERAL(""));
        history->bucket_ids[b] = history->lsn;
    } else if (random_below(&history->random, 60) == 0) {
        add_drop(history, edit, b);
    } else {
        for (uint32_t n = 1 + random_below(&history->random, 3); n-- > 0;) {
            if (random_below(&history->random, 2) == 0) {
                add_put(history, edit);
            } else {
                add_upload_change(history, edit);
            }
        }
    }
    cr_assert_eq(edit_finish(edit), GFS_OK);
    edit_seal(edit->ptr, edit->len, history->lsn, 1000 + (int64_t)history->lsn);
}

static struct history *make_history(uint64_t seed)
{
    struct history *history = gfs_alloc(sizeof *history);
    history->random.state = seed;
    while (history->count < EDITS) {
        add_edit(history);
    }
    return history;
}

static void free_history(struct history *history)
{
    for (size_t i = 0; i < history->count; i++) {
        gfs_buf_fini(&history->edits[i]);
    }
    free(history);
}

static void apply_some(struct rig *rig, const struct history *history, size_t from, size_t count)
{
    struct gfs_slice slices[EDITS];
    for (size_t i = 0; i < count; i++) {
        slices[i] = gfs_buf_slice(&history->edits[from + i]);
    }
    struct gfs_error error = {0};
    enum gfs_err err = apply_edits(rig->apply, slices, count, &rig->result, &error);
    cr_assert_eq(err, GFS_OK, "%s", error.text);
    cr_assert_eq(rig->result.damaged_count, 0u);
}

/* ---- looking at databases ---- */

typedef void (*row_fn)(void *arg, enum table table, struct gfs_slice key, struct gfs_slice row);

static void each_row(struct db *db, row_fn visit, void *arg)
{
    char last[64];
    memset(last, 0xFF, sizeof last);
    for (unsigned table = TABLE_OBJECTS; table < TABLE_COUNT; table++) {
        struct gfs_slice key;
        struct gfs_slice row;
        enum gfs_err err =
            db_seek(db, (enum table)table, gfs_slice_str(""), gfs_slice_of(last, sizeof last));
        cr_assert_eq(err, GFS_OK);
        while ((err = db_next(db, (enum table)table, &key, &row)) == GFS_OK) {
            visit(arg, (enum table)table, key, row);
        }
        cr_assert_eq(err, GFS_END);
    }
}

static void dump_row(void *arg, enum table table, struct gfs_slice key, struct gfs_slice row)
{
    struct gfs_buf *out = arg;
    gfs_codec_put_u8(out, (uint8_t)table);
    gfs_codec_put_bytes(out, key);
    gfs_codec_put_bytes(out, row);
}

static void dump(struct rig *rig, struct gfs_buf *out)
{
    gfs_buf_init(out, 16 << 20);
    each_row(rig->db, dump_row, out);
    cr_assert(!out->is_full);
}

enum { CHUNKS_MAX = 4096 };

/* What the rows themselves say. */
struct recount {
    struct meta_usage usage[EDITS * 3]; /* by bucket id */
    struct meta_usage noted[EDITS * 3];
    uint32_t references[CHUNKS_MAX]; /* by the low half of the chunk id */
    uint32_t noted_references[CHUNKS_MAX];
    bool is_garbage[CHUNKS_MAX];
};

static void count_row(void *arg, enum table table, struct gfs_slice key, struct gfs_slice row)
{
    struct recount *recount = arg;
    if (table == TABLE_USAGE) {
        struct meta_usage *usage = &recount->noted[gfs_codec_load_u64_be(key.ptr)];
        cr_assert_eq(apply_decode_usage(row, usage), GFS_OK);
    } else if (table == TABLE_REFS) {
        recount->noted_references[gfs_codec_load_u64_be(key.ptr + 8)] = gfs_codec_load_u32(row.ptr);
    } else if (table == TABLE_GARBAGE) {
        struct chunk_id ids[RECORD_GARBAGE_IDS_MAX];
        int64_t time_ms;
        uint32_t count;
        cr_assert_eq(record_decode_garbage(row, &time_ms, ids, &count), GFS_OK);
        for (uint32_t i = 0; i < count; i++) {
            cr_assert(!recount->is_garbage[ids[i].lo], "freed twice");
            recount->is_garbage[ids[i].lo] = true;
        }
    }
    if (table > TABLE_PARTS) {
        return;
    }
    struct record_size size;
    struct record_chunks walk;
    struct meta_chunk_ref ref;
    cr_assert_eq(record_size(row, &size), GFS_OK);
    cr_assert_eq(record_chunks_begin(row, &walk), GFS_OK);
    while (record_chunks_next(&walk, &ref) == GFS_OK) {
        recount->references[ref.id.lo]++;
    }
    uint64_t id = table == TABLE_PARTS ? size.bucket_id : gfs_codec_load_u64_be(key.ptr);
    recount->usage[id].object_count += table == TABLE_OBJECTS;
    recount->usage[id].object_bytes += table == TABLE_OBJECTS ? size.size : 0;
    recount->usage[id].upload_count += table == TABLE_UPLOADS;
    recount->usage[id].part_bytes += table == TABLE_PARTS ? size.size : 0;
}

static void check_recount(struct rig *rig, uint64_t next_chunk)
{
    struct recount *recount = gfs_alloc(sizeof *recount);
    each_row(rig->db, count_row, recount);
    cr_expect_arr_eq(recount->noted, recount->usage, sizeof recount->usage);
    cr_assert_lt(next_chunk, (uint64_t)CHUNKS_MAX);
    for (uint64_t n = 1; n <= next_chunk; n++) {
        uint32_t references = recount->references[n];
        cr_assert_eq(recount->noted_references[n], references == 0 ? 0 : references - 1,
                     "chunk %llu", (unsigned long long)n);
        cr_assert_eq(recount->is_garbage[n], references == 0, "chunk %llu", (unsigned long long)n);
    }
    free(recount);
}

/* ---- the tests ---- */

Test(apply, counters_references_and_garbage_equal_a_recount_of_the_rows)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct rig rig;
        struct history *history = make_history(seed);
        init(&rig);
        apply_some(&rig, history, 0, EDITS);
        check_recount(&rig, history->next_chunk);
        fini(&rig);
        free_history(history);
    }
}

Test(apply, any_division_into_calls_gives_the_same_database)
{
    for (uint64_t seed = 11; seed <= 14; seed++) {
        struct history *history = make_history(seed);
        struct gfs_buf first = {0};
        for (int round = 0; round < 5; round++) {
            struct rig rig;
            struct random random = {seed * 100 + (uint64_t)round};
            init(&rig);
            for (size_t at = 0; at < EDITS;) {
                size_t count = round == 0 ? 1 : 1 + random_below(&random, 1U << (2 * round));
                count = GFS_MIN(count, (size_t)EDITS - at);
                apply_some(&rig, history, at, count);
                at += count;
            }
            struct gfs_buf content;
            dump(&rig, &content);
            if (round == 0) {
                first = content;
            } else {
                cr_expect(gfs_slice_eq(gfs_buf_slice(&first), gfs_buf_slice(&content)),
                          "seed %d, round %d", (int)seed, round);
                gfs_buf_fini(&content);
            }
            fini(&rig);
        }
        gfs_buf_fini(&first);
        free_history(history);
    }
}

Test(apply, failed_call_changes_nothing)
{
    struct rig rig;
    struct history *history = make_history(21);
    init(&rig);
    apply_some(&rig, history, 0, 100);
    struct gfs_buf before;
    struct gfs_buf after;
    dump(&rig, &before);
    uint64_t lsn = apply_lsn(rig.apply);
    struct gfs_slice edits[60];
    for (size_t i = 0; i < GFS_COUNT(edits); i++) {
        edits[i] = gfs_buf_slice(&history->edits[100 + i]);
    }
    history->edits[159].ptr[40] ^= 1;
    struct gfs_error error = {0};
    cr_expect_eq(apply_edits(rig.apply, edits, 60, &rig.result, &error), GFS_CORRUPT);
    dump(&rig, &after);
    cr_expect(gfs_slice_eq(gfs_buf_slice(&before), gfs_buf_slice(&after)));
    cr_expect_eq(apply_lsn(rig.apply), lsn);
    history->edits[159].ptr[40] ^= 1;
    apply_some(&rig, history, 100, EDITS - 100);
    check_recount(&rig, history->next_chunk);
    gfs_buf_fini(&before);
    gfs_buf_fini(&after);
    fini(&rig);
    free_history(history);
}

Test(apply, edit_out_of_order_is_corrupt)
{
    struct rig rig;
    struct history *history = make_history(31);
    init(&rig);
    apply_some(&rig, history, 0, 10);
    struct gfs_slice again = gfs_buf_slice(&history->edits[9]);
    cr_expect_eq(apply_edits(rig.apply, &again, 1, &rig.result, NULL), GFS_CORRUPT);
    fini(&rig);
    free_history(history);
}

Test(apply, applied_lsn_is_found_again)
{
    struct rig rig;
    struct history *history = make_history(41);
    init(&rig);
    apply_some(&rig, history, 0, 50);
    uint64_t lsn = apply_lsn(rig.apply);
    apply_free(rig.apply);
    cr_assert_eq(apply_new(rig.db, &rig.apply, NULL), GFS_OK);
    cr_expect_eq(apply_lsn(rig.apply), lsn);
    cr_expect_gt(lsn, 0u);
    apply_some(&rig, history, 50, EDITS - 50);
    check_recount(&rig, history->next_chunk);
    fini(&rig);
    free_history(history);
}

/* More uploads than are dropped in one step, with the parts of each. */
Test(apply, dropping_a_bucket_frees_the_parts_of_all_its_uploads)
{
    enum { COUNT = 700 };
    struct rig rig;
    struct history *history = gfs_alloc(sizeof *history);
    init(&rig);
    history->bucket_ids[0] = 1;
    struct gfs_buf *edit = &history->edits[history->count++];
    gfs_buf_init(edit, 1 << 20);
    edit_begin(edit);
    edit_bucket_put(edit, GFS_SLICE_LITERAL("bbb"), GFS_SLICE_LITERAL("eu"));
    for (uint32_t i = 0; i < COUNT; i++) {
        struct key key;
        history->upload_ids[0] = i + 1;
        upload_key(&key, history, 0);
        add_object(edit, &key, &(struct chunks){0});
        history->has_upload[0] = true;
        add_part(history, edit, 0);
    }
    cr_assert_eq(edit_finish(edit), GFS_OK);
    edit_seal(edit->ptr, edit->len, 1, 1);
    apply_some(&rig, history, 0, 1);
    check_recount(&rig, history->next_chunk);
    edit = &history->edits[history->count++];
    gfs_buf_init(edit, 1 << 20);
    edit_begin(edit);
    edit_bucket_drop(edit, 1);
    cr_assert_eq(edit_finish(edit), GFS_OK);
    edit_seal(edit->ptr, edit->len, 2, 2);
    apply_some(&rig, history, 1, 1);
    check_recount(&rig, history->next_chunk);
    cr_expect_eq(rig.result.freed_count, history->next_chunk);
    fini(&rig);
    free_history(history);
}

Test(apply, setting_of_a_bucket_that_is_not_there_is_damage)
{
    struct rig rig;
    struct gfs_buf edit;
    struct gfs_error error = {0};
    init(&rig);
    gfs_buf_init(&edit, 4096);
    edit_begin(&edit);
    edit_bucket_set(&edit, 77, META_BUCKET_STORAGE_CLASS, GFS_SLICE_LITERAL("FAST"));
    cr_assert_eq(edit_finish(&edit), GFS_OK);
    edit_seal(edit.ptr, edit.len, 1, 1);
    struct gfs_slice bytes = gfs_buf_slice(&edit);
    cr_expect_eq(apply_edits(rig.apply, &bytes, 1, &rig.result, &error), GFS_CORRUPT);
    cr_expect_eq(apply_lsn(rig.apply), 0u);
    gfs_buf_fini(&edit);
    fini(&rig);
}

Test(apply, bucket_row_comes_back)
{
    struct rig rig;
    struct history *history = make_history(51);
    init(&rig);
    apply_some(&rig, history, 0, 1);
    struct key key;
    struct gfs_buf row;
    struct meta_bucket bucket;
    gfs_buf_init(&row, 4096);
    key_bucket(&key, TABLE_BUCKETS, apply_lsn(rig.apply));
    cr_assert_eq(db_get(rig.db, TABLE_BUCKETS, key_row(&key), &row), GFS_OK);
    cr_assert_eq(bucket_row_decode(key_row(&key), gfs_buf_slice(&row), &bucket), GFS_OK);
    cr_expect_str_eq(bucket.name, "b0");
    cr_expect_str_eq(bucket.region, "");
    cr_expect_eq(bucket.id, apply_lsn(rig.apply));
    for (size_t len = 0; len < row.len; len++) {
        cr_expect_eq(bucket_row_decode(key_row(&key), gfs_slice_of(row.ptr, len), &bucket),
                     GFS_CORRUPT);
    }
    gfs_buf_fini(&row);
    fini(&rig);
    free_history(history);
}
