#include "libgoodfs/text.h"

#include "libgoodfs/mem.h"

static const char hex_lower[] = "0123456789abcdef";
static const char hex_upper[] = "0123456789ABCDEF";
static const char base64_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* 0..15, or -1 */
static int hex_value(unsigned char byte)
{
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

void gfs_hex_encode(const void *ptr, size_t len, char *ret)
{
    const unsigned char *bytes = ptr;
    for (size_t i = 0; i < len; i++) {
        ret[2 * i] = hex_lower[bytes[i] >> 4];
        ret[2 * i + 1] = hex_lower[bytes[i] & 15];
    }
    ret[2 * len] = '\0';
}

enum gfs_err gfs_hex_decode(struct gfs_slice text, void *ret, size_t len)
{
    unsigned char *bytes = ret;
    if (len > SIZE_MAX / 2 || text.len != 2 * len) {
        return GFS_INVALID;
    }
    for (size_t i = 0; i < len; i++) {
        int high = hex_value((unsigned char)text.ptr[2 * i]);
        int low = hex_value((unsigned char)text.ptr[2 * i + 1]);
        if (high < 0 || low < 0) {
            return GFS_INVALID;
        }
        bytes[i] = (unsigned char)(high << 4 | low);
    }
    return GFS_OK;
}

void gfs_base64_encode(const void *ptr, size_t len, char *ret)
{
    const unsigned char *bytes = ptr;
    for (; len >= 3; bytes += 3, len -= 3) {
        uint32_t group = (uint32_t)bytes[0] << 16 | (uint32_t)bytes[1] << 8 | bytes[2];
        *ret++ = base64_alphabet[group >> 18];
        *ret++ = base64_alphabet[group >> 12 & 63];
        *ret++ = base64_alphabet[group >> 6 & 63];
        *ret++ = base64_alphabet[group & 63];
    }
    if (len != 0) {
        uint32_t group = (uint32_t)bytes[0] << 16 | (len == 2 ? (uint32_t)bytes[1] << 8 : 0);
        *ret++ = base64_alphabet[group >> 18];
        *ret++ = base64_alphabet[group >> 12 & 63];
        *ret++ = len == 2 ? base64_alphabet[group >> 6 & 63] : '=';
        *ret++ = '=';
    }
    *ret = '\0';
}

/* 0..63, or -1 */
static int base64_value(unsigned char byte)
{
    if (byte >= 'A' && byte <= 'Z') {
        return byte - 'A';
    }
    if (byte >= 'a' && byte <= 'z') {
        return byte - 'a' + 26;
    }
    if (byte >= '0' && byte <= '9') {
        return byte - '0' + 52;
    }
    return byte == '+' ? 62 : byte == '/' ? 63 : -1;
}

/* Four characters of which `pad` at the end are '='; *ret_group holds 24 bits. */
static enum gfs_err base64_group(const char *text, size_t pad, uint32_t *ret_group)
{
    uint32_t group = 0;
    for (size_t i = 0; i < 4; i++) {
        int value = i < 4 - pad ? base64_value((unsigned char)text[i]) : 0;
        if (value < 0) {
            return GFS_INVALID;
        }
        group = group << 6 | (uint32_t)value;
    }
    bool has_stray_bits = (group & ((1U << 8 * pad) - 1)) != 0;
    *ret_group = group;
    return has_stray_bits ? GFS_INVALID : GFS_OK;
}

enum gfs_err gfs_base64_decode(struct gfs_slice text, void *ret, size_t size, size_t *ret_len)
{
    if (text.len % 4 != 0) {
        return GFS_INVALID;
    }
    if (text.len == 0) {
        *ret_len = 0;
        return GFS_OK;
    }
    size_t pad = text.ptr[text.len - 1] != '=' ? 0 : text.ptr[text.len - 2] != '=' ? 1 : 2;
    size_t len = text.len / 4 * 3 - pad;
    if (len > size) {
        return GFS_INVALID;
    }
    unsigned char *bytes = ret;
    size_t done = 0;
    for (size_t at = 0; at < text.len; at += 4) {
        uint32_t group;
        if (base64_group(text.ptr + at, at + 4 == text.len ? pad : 0, &group) != GFS_OK) {
            return GFS_INVALID;
        }
        for (int shift = 16; shift >= 0 && done < len; shift -= 8) {
            bytes[done++] = (unsigned char)(group >> shift);
        }
    }
    *ret_len = len;
    return GFS_OK;
}

enum gfs_err gfs_base64_decode_exact(struct gfs_slice text, void *ret, size_t len)
{
    size_t done = 0;
    if (text.len != GFS_BASE64_LEN(len)) {
        return GFS_INVALID;
    }
    enum gfs_err err = gfs_base64_decode(text, ret, len, &done);
    return err == GFS_OK && done != len ? GFS_INVALID : err;
}

static bool is_unreserved(unsigned char byte)
{
    return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
           (byte >= '0' && byte <= '9') || byte == '-' || byte == '.' || byte == '_' || byte == '~';
}

void gfs_uri_encode(struct gfs_buf *out, struct gfs_slice text, bool keep_slash)
{
    size_t start = 0; /* of the run that is copied as it is */
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.ptr[i];
        if (is_unreserved(byte) || (keep_slash && byte == '/')) {
            continue;
        }
        const char escape[3] = {'%', hex_upper[byte >> 4], hex_upper[byte & 15]};
        gfs_buf_add(out, text.ptr + start, i - start);
        gfs_buf_add(out, escape, sizeof escape);
        start = i + 1;
    }
    if (start < text.len) {
        gfs_buf_add(out, text.ptr + start, text.len - start);
    }
}

enum gfs_err gfs_uri_decode(struct gfs_slice text, bool plus_is_space, char *ret, size_t *ret_len)
{
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        char byte = text.ptr[i];
        if (byte == '%') {
            if (text.len - i < 3) {
                return GFS_INVALID;
            }
            int high = hex_value((unsigned char)text.ptr[i + 1]);
            int low = hex_value((unsigned char)text.ptr[i + 2]);
            if (high < 0 || low < 0) {
                return GFS_INVALID;
            }
            byte = (char)(high << 4 | low);
            i += 2;
        } else if (byte == '+' && plus_is_space) {
            byte = ' ';
        }
        ret[len++] = byte;
    }
    *ret_len = len;
    return GFS_OK;
}

static enum gfs_err parse_number(struct gfs_slice text, uint64_t base, uint64_t max, uint64_t *ret)
{
    uint64_t value = 0;
    bool is_over = false;
    if (text.len == 0) {
        return GFS_INVALID;
    }
    for (size_t i = 0; i < text.len; i++) {
        int digit = hex_value((unsigned char)text.ptr[i]);
        if (digit < 0 || (uint64_t)digit >= base) {
            return GFS_INVALID;
        }
        is_over = is_over || value > (UINT64_MAX - (uint64_t)digit) / base;
        value = value * base + (uint64_t)digit;
        is_over = is_over || value > max;
    }
    if (is_over) {
        return GFS_RANGE;
    }
    *ret = value;
    return GFS_OK;
}

enum gfs_err gfs_parse_u64(struct gfs_slice text, uint64_t max, uint64_t *ret)
{
    return parse_number(text, 10, max, ret);
}

enum gfs_err gfs_parse_hex_u64(struct gfs_slice text, uint64_t max, uint64_t *ret)
{
    return parse_number(text, 16, max, ret);
}

/* Length of the valid sequence at ptr (RFC 3629 table 3-7), 0 when there is none. */
static size_t utf8_sequence_len(const unsigned char *ptr, size_t len)
{
    unsigned char lead = ptr[0];
    if (lead < 0x80) {
        return 1;
    }
    size_t need = lead >= 0xc2 && lead <= 0xdf   ? 2
                  : (lead & 0xf0) == 0xe0        ? 3
                  : lead >= 0xf0 && lead <= 0xf4 ? 4
                                                 : 0;
    if (need == 0 || need > len) {
        return 0;
    }
    unsigned char low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    unsigned char high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (ptr[1] < low || ptr[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < need; i++) {
        if ((ptr[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return need;
}

bool gfs_is_utf8(struct gfs_slice text)
{
    const unsigned char *bytes = (const unsigned char *)text.ptr;
    for (size_t i = 0; i < text.len;) {
        size_t len = utf8_sequence_len(bytes + i, text.len - i);
        if (len == 0) {
            return false;
        }
        i += len;
    }
    return true;
}

size_t gfs_utf8_len(struct gfs_slice text)
{
    return text.len == 0 ? 0 : utf8_sequence_len((const unsigned char *)text.ptr, text.len);
}

struct gfs_slice gfs_trim(struct gfs_slice text)
{
    while (text.len != 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\t')) {
        text.ptr++;
        text.len--;
    }
    while (text.len != 0 && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t')) {
        text.len--;
    }
    return text;
}
