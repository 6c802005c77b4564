#include "libgoodfs/identity.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "libgoodfs/crc.h"
#include "libgoodfs/digest.h"
#include "libgoodfs/text.h"

enum { COPIES = 2, SUM_TEXT_LEN = 16 };

static const char format_key[] = "format=";
static const char sum_key[] = "crc64nvme=";

/* ---- lines ---- */

/* The next one, without its end; false: there is none. */
static bool take_line(struct gfs_slice *text, struct gfs_slice *ret)
{
    if (text->len == 0) {
        return false;
    }
    const char *end = memchr(text->ptr, '\n', text->len);
    size_t len = end == NULL ? text->len : (size_t)(end - text->ptr);
    size_t used = end == NULL ? len : len + 1;
    *ret = gfs_slice_of(text->ptr, len);
    *text = gfs_slice_of(text->ptr + used, text->len - used);
    return true;
}

static bool is_key(struct gfs_slice line, const char *key)
{
    return line.len >= strlen(key) && memcmp(line.ptr, key, strlen(key)) == 0;
}

static struct gfs_slice value_of(struct gfs_slice line, const char *key)
{
    return gfs_slice_of(line.ptr + strlen(key), line.len - strlen(key));
}

/* false: there is no such line, or it is too long. */
static bool find(struct gfs_slice text, const char *key, char *ret, size_t size)
{
    struct gfs_slice line;
    while (take_line(&text, &line)) {
        if (is_key(line, key)) {
            struct gfs_slice value = value_of(line, key);
            if (value.len != 0 && value.len < size) {
                memcpy(ret, value.ptr, value.len);
                ret[value.len] = '\0';
                return true;
            }
            return false;
        }
    }
    return false;
}

/* ---- copies ---- */

/* Plain data. What is in a text. */
struct copies {
    struct gfs_slice whole; /* the first one whose checksum is right */
    unsigned whole_count;
    bool has_sums;
    bool is_newer; /* the formats, of which there are some, are all of newer versions */
};

static bool is_newer(struct gfs_slice value)
{
    uint64_t number;
    return gfs_parse_u64(value, INT32_MAX, &number) == GFS_OK && number > GFS_IDENTITY_FORMAT;
}

static bool is_sum_of(struct gfs_slice value, struct gfs_slice bytes)
{
    char text[SUM_TEXT_LEN + 1];
    (void)snprintf(text, sizeof text, "%016" PRIx64, gfs_crc64nvme(0, bytes.ptr, bytes.len));
    return gfs_slice_eq_str(value, text);
}

/* One begins with its format and ends with its sum. */
static struct copies find_copies(struct gfs_slice text)
{
    struct copies copies = {0};
    struct gfs_slice line;
    const char *begin = text.ptr;
    unsigned formats = 0;
    unsigned newer = 0;
    while (take_line(&text, &line)) {
        if (is_key(line, format_key)) {
            begin = line.ptr;
            formats++;
            newer += is_newer(value_of(line, format_key)) ? 1 : 0;
        } else if (is_key(line, sum_key)) {
            struct gfs_slice bytes = gfs_slice_of(begin, (size_t)(line.ptr - begin));
            copies.has_sums = true;
            if (is_sum_of(value_of(line, sum_key), bytes)) {
                copies.whole = copies.whole_count++ == 0 ? bytes : copies.whole;
            }
        }
    }
    copies.is_newer = formats != 0 && newer == formats;
    return copies;
}

/* ---- values ---- */

bool gfs_uuid_parse(struct gfs_slice text, uint8_t ret[16])
{
    uint8_t id[16];
    size_t at = 0;
    if (text.len != GFS_IDENTITY_ID_SIZE - 1) {
        return false;
    }
    for (size_t i = 0; i < sizeof id; i++) {
        bool has_dash = i == 4 || i == 6 || i == 8 || i == 10;
        if ((has_dash && text.ptr[at++] != '-') ||
            gfs_hex_decode(gfs_slice_of(text.ptr + at, 2), id + i, 1) != GFS_OK) {
            return false;
        }
        at += 2;
    }
    memcpy(ret, id, sizeof id);
    return true;
}

void gfs_uuid_format(const uint8_t id[16], char ret[GFS_IDENTITY_ID_SIZE])
{
    char *to = ret;
    for (size_t i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            *to++ = '-';
        }
        gfs_hex_encode(id + i, 1, to); /* with NUL */
        to += 2;
    }
}

void gfs_uuid_draw(uint8_t ret[16])
{
    gfs_random(ret, 16);
    ret[6] = (uint8_t)((ret[6] & 0x0f) | 0x40);
    ret[8] = (uint8_t)((ret[8] & 0x3f) | 0x80);
}

static enum gfs_err take_values(struct gfs_slice text, struct gfs_identity *ret,
                                struct gfs_error *error)
{
    char format[GFS_IDENTITY_VALUE_SIZE];
    uint64_t number;
    if (!find(text, format_key, format, sizeof format) ||
        gfs_parse_u64(gfs_slice_str(format), INT32_MAX, &number) != GFS_OK || number == 0) {
        return gfs_fail(error, GFS_CORRUPT, "no valid format line");
    }
    if (number > GFS_IDENTITY_FORMAT) {
        return gfs_fail(error, GFS_UNSUPPORTED,
                        "format %.10s was written by a newer version; this one knows %d", format,
                        GFS_IDENTITY_FORMAT);
    }
    if (!find(text, "cluster=", ret->cluster, sizeof ret->cluster) ||
        !find(text, "disk=", ret->disk, sizeof ret->disk) ||
        !gfs_uuid_parse(gfs_slice_str(ret->disk), ret->id)) {
        return gfs_fail(error, GFS_CORRUPT, "no valid cluster or disk line");
    }
    (void)find(text, "node=", ret->node, sizeof ret->node);
    return GFS_OK;
}

enum gfs_err gfs_identity_parse(struct gfs_slice text, struct gfs_identity *ret,
                                struct gfs_error *error)
{
    struct copies copies = find_copies(text);
    *ret = (struct gfs_identity){.is_damaged = copies.whole_count < COPIES};
    bool is_summed = copies.has_sums && !copies.is_newer;
    if (is_summed && copies.whole_count == 0) {
        return gfs_fail(error, GFS_CORRUPT, "damaged: its checksums are wrong");
    }
    return take_values(is_summed ? copies.whole : text, ret, error);
}

void gfs_identity_write(const struct gfs_identity *identity, struct gfs_buf *ret)
{
    for (unsigned i = 0; i < COPIES; i++) {
        /* between them an empty line: or where one ends a flip would cost both */
        gfs_buf_add_str(ret, i == 0 ? "" : "\n");
        size_t begin = ret->len;
        gfs_buf_printf(ret, "%s%d\ncluster=%s\nnode=%s\ndisk=%s\n", format_key, GFS_IDENTITY_FORMAT,
                       identity->cluster, identity->node, identity->disk);
        struct gfs_slice bytes = gfs_buf_slice(ret);
        uint64_t sum = gfs_crc64nvme(0, bytes.ptr + begin, bytes.len - begin);
        gfs_buf_printf(ret, "%s%016" PRIx64 "\n", sum_key, sum);
    }
}
