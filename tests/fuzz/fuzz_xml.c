/* Input: a document. What was read is written, and must be read again as the same tree. */
#include "fuzz.h"
#include "libgoodfs/xml.h"

enum { NODE_COUNT_MAX = 1000, DEPTH_MAX = 16 };

static const struct gfs_xml_limits limits = {NODE_COUNT_MAX, DEPTH_MAX};

/* Answers the number of nodes. */
static size_t write_tree(struct gfs_buf *out, const struct gfs_xml_node *node, size_t depth)
{
    size_t count = 1;
    FUZZ_CHECK(depth <= DEPTH_MAX);
    gfs_buf_add_char(out, '<');
    gfs_buf_add_slice(out, node->name);
    gfs_buf_add_char(out, '>');
    gfs_xml_text(out, node->text);
    for (const struct gfs_xml_node *child = node->child; child != NULL; child = child->next) {
        count += write_tree(out, child, depth + 1);
    }
    gfs_buf_add(out, "</", 2);
    gfs_buf_add_slice(out, node->name);
    gfs_buf_add_char(out, '>');
    return count;
}

static void check_same(const struct gfs_xml_node *a, const struct gfs_xml_node *b)
{
    FUZZ_CHECK(gfs_slice_eq(a->name, b->name));
    FUZZ_CHECK(gfs_slice_eq(a->text, b->text));
    const struct gfs_xml_node *x = a->child, *y = b->child;
    for (; x != NULL && y != NULL; x = x->next, y = y->next) {
        check_same(x, y);
    }
    FUZZ_CHECK(x == NULL && y == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gfs_arena arena;
    struct gfs_buf out;
    struct gfs_xml_node *root = NULL, *again = NULL;
    gfs_arena_init(&arena, 1 << 20);
    gfs_buf_init(&out, 8 << 20);
    if (gfs_xml_parse(gfs_slice_of(data, size), &limits, &arena, &root) == GFS_OK) {
        FUZZ_CHECK(write_tree(&out, root, 1) <= NODE_COUNT_MAX);
        FUZZ_CHECK(!out.is_full);
        struct gfs_arena second;
        gfs_arena_init(&second, 4 << 20);
        FUZZ_CHECK(gfs_xml_parse(gfs_buf_slice(&out), &limits, &second, &again) == GFS_OK);
        check_same(root, again);
        gfs_arena_fini(&second);
    }
    gfs_buf_clear(&out);
    gfs_xml_begin(&out, "R", NULL); /* any bytes make a document */
    gfs_xml_text(&out, gfs_slice_of(data, size));
    gfs_xml_close(&out, "R");
    gfs_arena_fini(&arena);
    gfs_arena_init(&arena, 8 << 20);
    FUZZ_CHECK(gfs_xml_parse(gfs_buf_slice(&out), &limits, &arena, &root) == GFS_OK);
    gfs_buf_fini(&out);
    gfs_arena_fini(&arena);
    return 0;
}
