#include "bench/load_response.h"

#include "libgoodfs/crc.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

enum { KEPT_MAX = 8 << 20 }; /* bytes of a listing */

void load_response_init(struct load_response *response)
{
    gfs_buf_init(&response->kept, KEPT_MAX);
}

void load_response_fini(struct load_response *response)
{
    gfs_buf_fini(&response->kept);
}

void load_response_begin(struct load_response *response, bool is_bodyless, enum load_body wants)
{
    response->is_bodyless = is_bodyless;
    response->wants = wants;
    response->has_head = response->closes = false;
    response->status = 0;
    response->declared_len = response->body_len = 0;
    response->crc = 0;
    response->head_len = 0;
    response->excerpt[0] = '\0';
    gfs_buf_clear(&response->kept);
}

char *load_response_room(struct load_response *response, char *sink, size_t sink_size,
                         size_t *ret_size)
{
    if (!response->has_head) {
        *ret_size = sizeof response->head - response->head_len;
        return response->head + response->head_len;
    }
    /* One byte over the declared length, so that a longer body is seen and not left behind. */
    *ret_size = GFS_MIN(sink_size, response->declared_len - response->body_len + 1);
    return sink;
}

static enum load_step add_body(struct load_response *response, const char *ptr, size_t len)
{
    if (response->body_len == 0 && len != 0) {
        size_t excerpt_len = GFS_MIN(len, sizeof response->excerpt - 1);
        memcpy(response->excerpt, ptr, excerpt_len);
        response->excerpt[excerpt_len] = '\0';
    }
    if (response->wants == LOAD_BODY_CRC) {
        response->crc = gfs_crc32c(response->crc, ptr, len);
    } else if (response->wants == LOAD_BODY_KEEP) {
        gfs_buf_add(&response->kept, ptr, len);
    }
    response->body_len += len;
    uint64_t due = response->is_bodyless ? 0 : response->declared_len;
    if (response->body_len > due) {
        return LOAD_STEP_BAD;
    }
    return response->body_len == due ? LOAD_STEP_DONE : LOAD_STEP_MORE;
}

/* One header line. false when it makes the response unusable. */
static bool take_line(struct load_response *response, struct gfs_slice line, bool *has_length)
{
    const char *colon = memchr(line.ptr, ':', line.len);
    if (colon == NULL) {
        return false;
    }
    struct gfs_slice name = gfs_slice_of(line.ptr, (size_t)(colon - line.ptr));
    struct gfs_slice value = gfs_trim(gfs_slice_of(colon + 1, line.len - name.len - 1));
    if (gfs_slice_case_eq(name, GFS_SLICE_LITERAL("content-length"))) {
        *has_length = true;
        return gfs_parse_u64(value, UINT64_MAX / 2, &response->declared_len) == GFS_OK;
    }
    if (gfs_slice_case_eq(name, GFS_SLICE_LITERAL("connection"))) {
        response->closes = gfs_slice_case_eq(value, GFS_SLICE_LITERAL("close"));
    }
    return !gfs_slice_case_eq(name, GFS_SLICE_LITERAL("transfer-encoding"));
}

/* head holds whole lines, the last one empty. */
static bool parse_head(struct load_response *response, struct gfs_slice head)
{
    uint64_t status;
    if (head.len < 15 || memcmp(head.ptr, "HTTP/1.", 7) != 0 ||
        gfs_parse_u64(gfs_slice_of(head.ptr + 9, 3), 599, &status) != GFS_OK) {
        return false;
    }
    response->status = (uint32_t)status;
    response->has_head = true;
    bool has_length = response->is_bodyless || status == 204;
    const char *at = head.ptr, *end = head.ptr + head.len;
    for (bool is_first = true; at != end; is_first = false) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        if (line_end == NULL || line_end == at || line_end[-1] != '\r') {
            return false;
        }
        struct gfs_slice line = gfs_slice_of(at, (size_t)(line_end - at) - 1);
        if (!is_first && line.len != 0 && !take_line(response, line, &has_length)) {
            return false;
        }
        at = line_end + 1;
    }
    return has_length;
}

enum load_step load_response_add(struct load_response *response, const char *ptr, size_t len)
{
    if (response->has_head) {
        return add_body(response, ptr, len);
    }
    GFS_ASSERT(ptr == response->head + response->head_len);
    /* The end of the head may lie across two pieces. */
    size_t from = response->head_len < 3 ? 0 : response->head_len - 3;
    response->head_len += len;
    const char *end = memmem(response->head + from, response->head_len - from, "\r\n\r\n", 4);
    if (end == NULL) {
        bool is_full = response->head_len == sizeof response->head;
        return is_full ? LOAD_STEP_BAD : LOAD_STEP_MORE;
    }
    size_t size = (size_t)(end - response->head) + 4;
    if (!parse_head(response, gfs_slice_of(response->head, size))) {
        return LOAD_STEP_BAD;
    }
    return add_body(response, response->head + size, response->head_len - size);
}

uint64_t load_response_count(const struct load_response *response, const char *text)
{
    uint64_t count = 0;
    const char *at = response->kept.ptr;
    const char *end = at == NULL ? NULL : at + response->kept.len;
    while (at != NULL && (at = memmem(at, (size_t)(end - at), text, strlen(text))) != NULL) {
        at += strlen(text);
        count++;
    }
    return count;
}
