#include "gateway/auth_query.h"

#include <stdint.h>
#include <stdlib.h>

#include "libgoodfs/mem.h"

/* Bit n%64 of word n/64 is set for the unreserved characters of RFC 3986. */
static const uint64_t unreserved[4] = {1ULL << '-' | 1ULL << '.' | 0x3ffULL << '0',
                                       0x3ffffffULL << ('A' - 64) | 0x3ffffffULL << ('a' - 64) |
                                           1ULL << ('_' - 64) | 1ULL << ('~' - 64),
                                       0, 0};

static bool is_unreserved(unsigned char byte)
{
    return (unreserved[byte >> 6] >> (byte & 63) & 1) != 0;
}

static int hex_value(char byte)
{
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    char low = (char)(byte | 0x20);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

char *auth_recode(struct gfs_slice raw, bool plus_is_space, bool keep_slash, char *ret)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < raw.len; i++) {
        unsigned char byte = (unsigned char)raw.ptr[i];
        if (is_unreserved(byte) || (byte == '/' && keep_slash)) {
            *ret++ = (char)byte;
            continue;
        }
        if (byte == '%') {
            int high = raw.len - i < 3 ? -1 : hex_value(raw.ptr[i + 1]);
            int low = raw.len - i < 3 ? -1 : hex_value(raw.ptr[i + 2]);
            if (high < 0 || low < 0) {
                return NULL;
            }
            byte = (unsigned char)(high << 4 | low);
            i += 2;
            if (is_unreserved(byte)) {
                *ret++ = (char)byte;
                continue;
            }
        } else if (byte == '+' && plus_is_space) {
            byte = ' ';
        }
        *ret++ = '%';
        *ret++ = hex[byte >> 4];
        *ret++ = hex[byte & 15];
    }
    return ret;
}

/* One piece between ampersands; answers the end of what was written to `at`, NULL at a bad escape.
 */
static char *add_param(struct auth_query *query, struct gfs_slice piece, char *at)
{
    const char *equals = memchr(piece.ptr, '=', piece.len);
    size_t name_len = equals == NULL ? piece.len : (size_t)(equals - piece.ptr);
    struct auth_param *param = &query->params[query->count];
    param->raw_value =
        equals == NULL ? gfs_slice_of("", 0) : gfs_slice_of(equals + 1, piece.len - name_len - 1);
    char *name_end = auth_recode(gfs_slice_of(piece.ptr, name_len), true, false, at);
    char *value_end =
        name_end == NULL ? NULL : auth_recode(param->raw_value, true, false, name_end);
    if (value_end == NULL) {
        return NULL;
    }
    param->name = gfs_slice_of(at, (size_t)(name_end - at));
    param->value = gfs_slice_of(name_end, (size_t)(value_end - name_end));
    query->count++;
    return value_end;
}

enum s3_err auth_query_init(struct auth_query *query, struct gfs_slice raw_query)
{
    query->count = 0;
    query->text = NULL;
    if (raw_query.len == 0) {
        return S3_OK;
    }
    GFS_FREE char *text = gfs_alloc(3 * raw_query.len);
    char *at = text;
    const char *start = raw_query.ptr, *end = raw_query.ptr + raw_query.len;
    while (start < end) {
        const char *stop = memchr(start, '&', (size_t)(end - start));
        stop = stop == NULL ? end : stop;
        if (stop != start) {
            if (query->count == AUTH_PARAM_COUNT_MAX) {
                return S3_InvalidRequest;
            }
            at = add_param(query, gfs_slice_of(start, (size_t)(stop - start)), at);
            if (at == NULL) {
                return S3_InvalidURI;
            }
        }
        start = stop + 1;
    }
    query->text = GFS_TAKE(text);
    return S3_OK;
}

void auth_query_fini(struct auth_query *query)
{
    free(query->text);
    query->text = NULL;
}

uint32_t auth_query_find(const struct auth_query *query, const char *name, struct auth_param *ret)
{
    uint32_t found = 0;
    struct gfs_slice wanted = gfs_slice_str(name);
    for (uint32_t i = 0; i < query->count; i++) {
        if (gfs_slice_eq(query->params[i].name, wanted)) {
            if (found == 0) {
                *ret = query->params[i];
            }
            found++;
        }
    }
    return found;
}

static bool is_before(const struct auth_param *a, const struct auth_param *b)
{
    int order = gfs_slice_cmp(a->name, b->name);
    return order < 0 || (order == 0 && gfs_slice_cmp(a->value, b->value) < 0);
}

/* Insertion: clients send them sorted, and there are few. */
void auth_query_sort(struct auth_query *query)
{
    for (uint32_t i = 1; i < query->count; i++) {
        struct auth_param moving = query->params[i];
        uint32_t at = i;
        for (; at > 0 && is_before(&moving, &query->params[at - 1]); at--) {
            query->params[at] = query->params[at - 1];
        }
        query->params[at] = moving;
    }
}
