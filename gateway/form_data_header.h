/* The headers of multipart/form-data: the request's Content-Type and those of a part. */
#pragma once

#include "gateway/s3_error.h"
#include "libgoodfs/slice.h"

enum {
    FORM_DATA_BOUNDARY_LEN_MAX = 70, /* RFC 2046 */
    FORM_DATA_NAME_LEN_MAX = 256,
    FORM_DATA_FILENAME_LEN_MAX = 1024,
};

/* Plain data; zeroed before the first line of a part. */
struct form_data_header {
    bool has_disposition;
    size_t name_len, filename_len;
    char name[FORM_DATA_NAME_LEN_MAX]; /* lower case */
    char filename[FORM_DATA_FILENAME_LEN_MAX];
};

/* Boundary of "multipart/form-data; boundary=...", at most 70 bytes. PreconditionFailed: another
 * type; MalformedPOSTRequest: none, empty, too long or of other characters than RFC 2046 has. */
enum s3_err form_data_boundary(struct gfs_slice content_type, char *ret, size_t *ret_len);

/* One line without its end. False when it is malformed, folded, a second Content-Disposition, one
 * without a name, or a transfer encoding that would have to be undone. */
bool form_data_header_add(struct form_data_header *header, struct gfs_slice line);
