#include "gateway/form_data_header.h"

#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

/* One parameter of a header value. */
struct param {
    struct gfs_slice name;
    size_t value_len;
    char value[FORM_DATA_FILENAME_LEN_MAX];
};

static bool is_token(unsigned char byte)
{
    return byte > ' ' && byte < 0x7f && strchr("()<>@,;:\\\"/[]?={}", byte) == NULL;
}

static void skip(struct gfs_slice *rest, size_t len)
{
    rest->ptr += len;
    rest->len -= len;
}

static size_t token_len(struct gfs_slice text)
{
    size_t len = 0;
    while (len < text.len && is_token((unsigned char)text.ptr[len])) {
        len++;
    }
    return len;
}

static bool add_byte(struct param *param, char byte)
{
    if (param->value_len == sizeof param->value || (unsigned char)byte < ' ' || byte == 0x7f) {
        return false;
    }
    param->value[param->value_len++] = byte;
    return true;
}

/* A quoted value; only \" is an escape: browsers send other backslashes of a path as they are. */
static bool take_quoted(struct gfs_slice *rest, struct param *param)
{
    skip(rest, 1);
    while (rest->len != 0 && rest->ptr[0] != '"') {
        if (rest->ptr[0] == '\\' && rest->len > 1 && rest->ptr[1] == '"') {
            skip(rest, 1);
        }
        if (!add_byte(param, rest->ptr[0])) {
            return false;
        }
        skip(rest, 1);
    }
    if (rest->len == 0) {
        return false;
    }
    skip(rest, 1);
    return true;
}

/* Cuts ";name=value" off *rest, which is not empty. */
static bool take_param(struct gfs_slice *rest, struct param *param)
{
    *rest = gfs_trim(*rest);
    if (rest->len == 0 || rest->ptr[0] != ';') {
        return false;
    }
    skip(rest, 1);
    *rest = gfs_trim(*rest);
    size_t name_len = token_len(*rest);
    param->name = gfs_slice_of(rest->ptr, name_len);
    param->value_len = 0;
    skip(rest, name_len);
    if (name_len == 0 || rest->len == 0 || rest->ptr[0] != '=') {
        return false;
    }
    skip(rest, 1);
    if (rest->len != 0 && rest->ptr[0] == '"') {
        return take_quoted(rest, param);
    }
    size_t len = token_len(*rest);
    if (len == 0 || len > sizeof param->value) {
        return false;
    }
    memcpy(param->value, rest->ptr, len);
    param->value_len = len;
    skip(rest, len);
    return true;
}

static bool is_boundary_byte(char byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= 'a' && byte <= 'z') || (byte != '\0' && strchr("'()+_,-./:=? ", byte) != NULL);
}

static bool is_boundary(struct gfs_slice text)
{
    if (text.len == 0 || text.len > FORM_DATA_BOUNDARY_LEN_MAX || text.ptr[text.len - 1] == ' ') {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (!is_boundary_byte(text.ptr[i])) {
            return false;
        }
    }
    return true;
}

enum s3_err form_data_boundary(struct gfs_slice content_type, char *ret, size_t *ret_len)
{
    const char *semicolon =
        content_type.len == 0 ? NULL : memchr(content_type.ptr, ';', content_type.len);
    size_t type_len = semicolon == NULL ? content_type.len : (size_t)(semicolon - content_type.ptr);
    struct gfs_slice type = gfs_trim(gfs_slice_of(content_type.ptr, type_len));
    if (!gfs_slice_case_eq(type, GFS_SLICE_LITERAL("multipart/form-data"))) {
        return S3_PreconditionFailed;
    }
    struct gfs_slice rest = gfs_slice_of(content_type.ptr + type_len, content_type.len - type_len);
    struct param param;
    bool is_found = false;
    while (rest.len != 0) {
        if (!take_param(&rest, &param)) {
            return S3_MalformedPOSTRequest;
        }
        if (!gfs_slice_case_eq(param.name, GFS_SLICE_LITERAL("boundary"))) {
            continue;
        }
        if (is_found || !is_boundary(gfs_slice_of(param.value, param.value_len))) {
            return S3_MalformedPOSTRequest;
        }
        is_found = true;
        memcpy(ret, param.value, param.value_len);
        *ret_len = param.value_len;
    }
    return is_found ? S3_OK : S3_MalformedPOSTRequest;
}

static bool set_name(struct form_data_header *header, const struct param *param)
{
    if (header->name_len != 0 || param->value_len == 0 || param->value_len > sizeof header->name) {
        return false;
    }
    for (size_t i = 0; i < param->value_len; i++) {
        char byte = param->value[i];
        header->name[i] = byte >= 'A' && byte <= 'Z' ? (char)(byte | 0x20) : byte;
    }
    header->name_len = param->value_len;
    return true;
}

/* What stands after the last '/' or '\': some browsers send the whole path. */
static void set_filename(struct form_data_header *header, const struct param *param)
{
    size_t start = param->value_len;
    while (start > 0 && param->value[start - 1] != '/' && param->value[start - 1] != '\\') {
        start--;
    }
    header->filename_len = param->value_len - start;
    memcpy(header->filename, param->value + start, header->filename_len);
}

static bool add_disposition(struct form_data_header *header, struct gfs_slice value)
{
    size_t type_len = token_len(value);
    bool has_filename = false;
    if (header->has_disposition ||
        !gfs_slice_case_eq(gfs_slice_of(value.ptr, type_len), GFS_SLICE_LITERAL("form-data"))) {
        return false;
    }
    header->has_disposition = true;
    struct gfs_slice rest = gfs_slice_of(value.ptr + type_len, value.len - type_len);
    struct param param;
    while (rest.len != 0) {
        if (!take_param(&rest, &param)) {
            return false;
        }
        if (gfs_slice_case_eq(param.name, GFS_SLICE_LITERAL("name"))) {
            if (!set_name(header, &param)) {
                return false;
            }
        } else if (gfs_slice_case_eq(param.name, GFS_SLICE_LITERAL("filename"))) {
            if (has_filename) {
                return false;
            }
            has_filename = true;
            set_filename(header, &param);
        }
    }
    return header->name_len != 0;
}

bool form_data_header_add(struct form_data_header *header, struct gfs_slice line)
{
    size_t name_len = token_len(line);
    if (name_len == 0 || name_len == line.len || line.ptr[name_len] != ':') {
        return false;
    }
    struct gfs_slice name = gfs_slice_of(line.ptr, name_len);
    struct gfs_slice value =
        gfs_trim(gfs_slice_of(line.ptr + name_len + 1, line.len - name_len - 1));
    if (gfs_slice_case_eq(name, GFS_SLICE_LITERAL("content-disposition"))) {
        return add_disposition(header, value);
    }
    if (gfs_slice_case_eq(name, GFS_SLICE_LITERAL("content-transfer-encoding"))) {
        return gfs_slice_case_eq(value, GFS_SLICE_LITERAL("binary")) ||
               gfs_slice_case_eq(value, GFS_SLICE_LITERAL("8bit")) ||
               gfs_slice_case_eq(value, GFS_SLICE_LITERAL("7bit"));
    }
    return true;
}
