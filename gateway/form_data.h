/* Streaming parser of multipart/form-data, as POST Object needs it: fields, then one file, whose
 * bytes go to a sink. A push parser: any split of the input gives the same result. What stands
 * before the file is kept and bounded; parts after the file are checked for form and skipped, as S3
 * ignores them. Owned by one thread. (RFC 7578, RFC 2046; AWS "POST Object".) */
#pragma once

#include "gateway/s3_error.h"
#include "libgoodfs/slice.h"

enum {
    FORM_DATA_FIELDS_LEN_MAX = 20 * 1024, /* bytes of body before the file's, AWS */
    FORM_DATA_FIELD_COUNT_MAX = 256,
};

struct form_data;

/* Plain data; lives as long as the parser. */
struct form_data_field {
    struct gfs_slice name;  /* lower case */
    struct gfs_slice value; /* as sent */
};

/* content_type is the request header's value. PreconditionFailed: another type;
 * MalformedPOSTRequest: no good boundary. */
enum s3_err form_data_new(struct gfs_slice content_type, struct form_data **ret,
                          const char **ret_message);
void form_data_free(struct form_data *form); /* NULL allowed */

/* Takes input. Stops once, with *ret_taken short of len, where the file's first byte would be (then
 * form_data_has_file answers true: authenticate now, and feed the rest); and wherever the sink took
 * fewer bytes than it was offered. MalformedPOSTRequest, MaxPostPreDataLengthExceededError,
 * InvalidArgument (a field twice), IncorrectNumberOfFilesInPostRequest (a second file). A refusal
 * is final. */
enum s3_err form_data_feed(struct form_data *form, const char *ptr, size_t len,
                           size_t (*sink)(void *arg, const char *ptr, size_t len), void *arg,
                           size_t *ret_taken, const char **ret_message);

/* At the end of the body: MalformedPOSTRequest when it was cut off,
 * IncorrectNumberOfFilesInPostRequest when there was no file. */
enum s3_err form_data_end(struct form_data *form, const char **ret_message);

/* The part named "file" has begun: every field is known. */
bool form_data_has_file(const struct form_data *form);
/* Its filename, after the last '/' or '\'; empty when none. */
struct gfs_slice form_data_filename(const struct form_data *form);

/* The fields before the file, in their order. */
size_t form_data_field_count(const struct form_data *form);
const struct form_data_field *form_data_fields(const struct form_data *form);
/* Value of the field of that lower-case name; NULL ptr when there is none. */
struct gfs_slice form_data_value(const struct form_data *form, const char *name);
