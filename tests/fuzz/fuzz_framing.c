/* Input: a byte of flags, "METHOD TARGET\n", and header lines as on the wire. They are put in the
 * form in which the HTTP library leaves them (or left alone); what passes must hold no control
 * bytes and one framing only. */
#include "fuzz.h"
#include "gateway/http_framing.h"
#include "libgoodfs/limits.h"
#include "libgoodfs/mem.h"

/* The first colon of each line, and CR LF, become NUL. */
static void as_library(char *text, size_t len)
{
    bool has_name = false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] == ':' && !has_name) {
            text[i] = '\0';
            has_name = true;
        } else if (text[i] == '\r' && i + 1 < len && text[i + 1] == '\n') {
            text[i] = text[i + 1] = '\0';
            has_name = false;
        }
    }
}

static void check_request(const struct http_request *request)
{
    FUZZ_CHECK(request->raw_path.len != 0 && request->raw_path.ptr[0] == '/');
    FUZZ_CHECK(!(request->is_chunked && request->has_content_length));
    FUZZ_CHECK(request->header_count <= GFS_HEADER_COUNT_MAX);
    for (uint32_t i = 0; i < request->header_count; i++) {
        const struct http_header *header = &request->headers[i];
        FUZZ_CHECK(header->name.len != 0);
        for (size_t j = 0; j < header->name.len; j++) {
            unsigned char byte = (unsigned char)header->name.ptr[j];
            FUZZ_CHECK(byte > ' ' && byte < 0x7f && byte != ':' && !(byte >= 'A' && byte <= 'Z'));
        }
        for (size_t j = 0; j < header->value.len; j++) {
            unsigned char byte = (unsigned char)header->value.ptr[j];
            FUZZ_CHECK(byte >= ' ' || byte == '\t');
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_header headers[GFS_HEADER_COUNT_MAX];
    struct http_request request = {0};
    if (size < 1) {
        return 0;
    }
    struct gfs_slice rest = gfs_slice_of(data + 1, size - 1);
    struct gfs_slice first = fuzz_line(&rest);
    struct http_head head = {.headers = headers, .len = size, .is_http_1_0 = (data[0] & 1) != 0};
    head.method = fuzz_cut(&first, ' ');
    head.target = first;
    GFS_FREE char *text = gfs_alloc(rest.len + 1);
    memcpy(text, rest.ptr, rest.len);
    if ((data[0] & 2) == 0) {
        as_library(text, rest.len);
    }
    if (http_framing_split(text, rest.len, headers, GFS_HEADER_COUNT_MAX, &head.header_count) ==
        GFS_OK) {
        struct http_refusal refusal = http_framing_check(&head, &request);
        if (refusal.err == S3_OK) {
            check_request(&request);
        } else {
            FUZZ_CHECK(refusal.message != NULL);
        }
    }
    return 0;
}
