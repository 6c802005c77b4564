/* The one module that includes expat.h. A DOCTYPE stops the parser at its first word, so no entity
 * can ever be declared; names and text are copied into the caller's arena. */
#include "libgoodfs/xml.h"

#include <expat.h>

#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

/* ---- writing ---- */

void gfs_xml_begin(struct gfs_buf *out, const char *root, const char *xmlns)
{
    gfs_buf_add_str(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<");
    gfs_buf_add_str(out, root);
    if (xmlns != NULL) {
        gfs_buf_add_str(out, " xmlns=\"");
        gfs_buf_add_str(out, xmlns);
        gfs_buf_add_str(out, "\"");
    }
    gfs_buf_add_str(out, ">");
}

void gfs_xml_open(struct gfs_buf *out, const char *name)
{
    gfs_buf_add_char(out, '<');
    gfs_buf_add_str(out, name);
    gfs_buf_add_char(out, '>');
}

void gfs_xml_close(struct gfs_buf *out, const char *name)
{
    gfs_buf_add(out, "</", 2);
    gfs_buf_add_str(out, name);
    gfs_buf_add_char(out, '>');
}

/* What stands for the character of `len` bytes (0: not UTF-8) at ptr; NULL when it stays. */
static const char *escape_of(const char *ptr, size_t len)
{
    static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */
    unsigned char byte = (unsigned char)*ptr;
    if (len == 0) {
        return replacement;
    }
    if (len == 3 && (memcmp(ptr, "\xef\xbf\xbe", 3) == 0 || memcmp(ptr, "\xef\xbf\xbf", 3) == 0)) {
        return replacement; /* U+FFFE and U+FFFF are no XML characters */
    }
    switch (byte) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\t':
        return "&#9;";
    case '\n':
        return "&#10;";
    case '\r':
        return "&#13;";
    default:
        return byte < 0x20 ? replacement : NULL;
    }
}

void gfs_xml_text(struct gfs_buf *out, struct gfs_slice text)
{
    size_t start = 0; /* of the run that is copied as it is */
    for (size_t i = 0; i < text.len;) {
        size_t len = gfs_utf8_len(gfs_slice_of(text.ptr + i, text.len - i));
        const char *escape = escape_of(text.ptr + i, len);
        size_t next = i + GFS_MAX(len, (size_t)1);
        if (escape != NULL) {
            gfs_buf_add(out, text.ptr + start, i - start);
            gfs_buf_add_str(out, escape);
            start = next;
        }
        i = next;
    }
    if (start < text.len) {
        gfs_buf_add(out, text.ptr + start, text.len - start);
    }
}

void gfs_xml_element(struct gfs_buf *out, const char *name, struct gfs_slice text)
{
    gfs_xml_open(out, name);
    gfs_xml_text(out, text);
    gfs_xml_close(out, name);
}

void gfs_xml_element_str(struct gfs_buf *out, const char *name, const char *text)
{
    gfs_xml_element(out, name, gfs_slice_str(text));
}

void gfs_xml_element_u64(struct gfs_buf *out, const char *name, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    gfs_xml_element(out, name, gfs_slice_of(digits + at, sizeof digits - at));
}

void gfs_xml_element_bool(struct gfs_buf *out, const char *name, bool value)
{
    gfs_xml_element_str(out, name, value ? "true" : "false");
}

/* ---- reading ---- */

/* Between the URI of a name space and the local name: in no name, and expat lets it into no URI. */
enum { SEPARATOR = '\n' };

/* A node with what only its making needs. */
struct element {
    struct gfs_xml_node node; /* first: a node is its element */
    struct element *parent, *last_child;
    char *text;
    size_t text_size; /* bytes of storage at text */
};

struct reader {
    XML_Parser expat;
    const struct gfs_xml_limits *limits;
    struct gfs_arena *arena;
    struct element *root, *current;
    size_t node_count, depth;
    enum gfs_err err; /* sticky: why the parser was stopped */
};

static void stop(struct reader *reader, enum gfs_err err)
{
    if (reader->err == GFS_OK) {
        reader->err = err;
        (void)XML_StopParser(reader->expat, XML_FALSE);
    }
}

static void XMLCALL on_start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
    struct reader *reader = arg;
    (void)attributes;
    if (reader->err != GFS_OK) {
        return;
    }
    if (reader->depth >= reader->limits->depth_max) {
        stop(reader, GFS_INVALID);
        return;
    }
    const char *separator = strrchr(name, SEPARATOR);
    struct gfs_slice local = gfs_slice_str(separator == NULL ? name : separator + 1);
    struct element *element = NULL;
    if (reader->node_count < reader->limits->node_count_max) {
        element = gfs_arena_alloc(reader->arena, sizeof *element);
        local = gfs_arena_copy(reader->arena, local);
    }
    if (element == NULL || local.ptr == NULL) {
        stop(reader, GFS_TOO_BIG);
        return;
    }
    element->node.name = local;
    element->node.text = gfs_slice_of("", 0);
    element->parent = reader->current;
    if (reader->current == NULL) {
        reader->root = element;
    } else if (reader->current->last_child == NULL) {
        reader->current->node.child = &element->node;
    } else {
        reader->current->last_child->node.next = &element->node;
    }
    if (reader->current != NULL) {
        reader->current->last_child = element;
    }
    reader->current = element;
    reader->node_count++;
    reader->depth++;
}

static void XMLCALL on_end(void *arg, const XML_Char *name)
{
    struct reader *reader = arg;
    (void)name;
    if (reader->err == GFS_OK) {
        reader->current = reader->current->parent;
        reader->depth--;
    }
}

/* Expat hands text over in pieces (each line, each reference): the room doubles, so the arena holds
 * at most a small multiple of the text. */
static void XMLCALL on_text(void *arg, const XML_Char *text, int len)
{
    struct reader *reader = arg;
    struct element *element = reader->current;
    if (reader->err != GFS_OK || element == NULL || len <= 0) {
        return;
    }
    size_t have = element->node.text.len, need = have + (size_t)len;
    if (need > element->text_size) {
        size_t size = have == 0 ? need : need * 2;
        char *grown = gfs_arena_alloc(reader->arena, size);
        if (grown == NULL) {
            stop(reader, GFS_TOO_BIG);
            return;
        }
        if (have != 0) {
            memcpy(grown, element->text, have);
        }
        element->text = grown;
        element->text_size = size;
    }
    memcpy(element->text + have, text, (size_t)len);
    element->node.text = gfs_slice_of(element->text, need);
}

static void XMLCALL on_doctype(void *arg, const XML_Char *name, const XML_Char *system_id,
                               const XML_Char *public_id, int has_internal_subset)
{
    (void)name;
    (void)system_id;
    (void)public_id;
    (void)has_internal_subset;
    stop(arg, GFS_INVALID);
}

enum gfs_err gfs_xml_parse(struct gfs_slice text, const struct gfs_xml_limits *limits,
                           struct gfs_arena *arena, struct gfs_xml_node **ret_root)
{
    if (text.len > (size_t)1 << 30) {
        return GFS_TOO_BIG; /* expat takes an int */
    }
    struct reader reader = {.limits = limits, .arena = arena};
    reader.expat = XML_ParserCreateNS("UTF-8", SEPARATOR); /* whatever the document says */
    if (reader.expat == NULL) {
        return GFS_BUSY;
    }
    XML_SetUserData(reader.expat, &reader);
    XML_SetElementHandler(reader.expat, on_start, on_end);
    XML_SetCharacterDataHandler(reader.expat, on_text);
    XML_SetStartDoctypeDeclHandler(reader.expat, on_doctype);
    enum XML_Status status =
        XML_Parse(reader.expat, text.len == 0 ? "" : text.ptr, (int)text.len, XML_TRUE);
    enum XML_Error code = XML_GetErrorCode(reader.expat);
    XML_ParserFree(reader.expat);
    if (reader.err != GFS_OK) {
        return reader.err;
    }
    if (status != XML_STATUS_OK) {
        return code == XML_ERROR_NO_MEMORY ? GFS_BUSY : GFS_INVALID;
    }
    GFS_ASSERT(reader.root != NULL);
    *ret_root = &reader.root->node;
    return GFS_OK;
}

const struct gfs_xml_node *gfs_xml_child(const struct gfs_xml_node *node, const char *name)
{
    const struct gfs_xml_node *child = node->child;
    while (child != NULL && !gfs_slice_eq_str(child->name, name)) {
        child = child->next;
    }
    return child;
}

struct gfs_slice gfs_xml_child_text(const struct gfs_xml_node *node, const char *name)
{
    const struct gfs_xml_node *child = gfs_xml_child(node, name);
    return child == NULL ? (struct gfs_slice){0} : child->text;
}
