/* States:
 *
 *   START --boundary--> AFTER --CRLF--> HEADERS --empty line--> VALUE | FILE_BYTES | SKIPPED
 *                        ^ |                                               |
 *                        | +--"--"--> CLOSED (at most CR LF follows)       |
 *                        +------------------------boundary-----------------+
 *
 * The delimiter is CR LF "--" boundary, and a boundary cannot hold CR: so where a match breaks off,
 * the bytes held back are payload as they are, and only the breaking byte can begin a new match. */
#include "gateway/form_data.h"

#include <stdint.h>
#include <stdlib.h>

#include "gateway/form_data_header.h"
#include "libgoodfs/mem.h"

enum { LINE_LEN_MAX = 4096, DELIMITER_LEN_MAX = 4 + FORM_DATA_BOUNDARY_LEN_MAX };

enum state { START, AFTER, HEADERS, VALUE, FILE_BYTES, SKIPPED, CLOSED, REFUSED };

struct form_data {
    enum state state;
    enum s3_err err; /* REFUSED */
    const char *message;
    bool has_file, must_stop;        /* must_stop: the file has just begun */
    size_t delimiter_len, match_len; /* bytes of the delimiter, and of it seen */
    size_t held_at, held_end; /* delimiter bytes that turned out to be payload, to be handed on */
    size_t after_len;         /* bytes seen of what follows a boundary, or of the last CR LF */
    size_t line_len;
    size_t prefix_len; /* bytes of body before the file */
    size_t text_len;
    size_t field_count;
    struct form_data_header header; /* of the current part */
    struct gfs_slice filename;
    struct form_data_field fields[FORM_DATA_FIELD_COUNT_MAX];
    char after;
    char delimiter[DELIMITER_LEN_MAX];
    char line[LINE_LEN_MAX];
    char text[FORM_DATA_FIELDS_LEN_MAX]; /* names, values, the file's name: less than the prefix */
};

static const char malformed[] =
    "The body of your POST request is not well-formed multipart/form-data.";

static void refuse(struct form_data *form, enum s3_err err, const char *message)
{
    form->state = REFUSED;
    form->err = err;
    form->message = message;
}

enum s3_err form_data_new(struct gfs_slice content_type, struct form_data **ret,
                          const char **ret_message)
{
    char boundary[FORM_DATA_BOUNDARY_LEN_MAX];
    size_t len = 0;
    enum s3_err err = form_data_boundary(content_type, boundary, &len);
    if (err != S3_OK) {
        *ret_message = err == S3_PreconditionFailed
                           ? "Bucket POST must be of the enclosure-type multipart/form-data"
                           : malformed;
        return err;
    }
    struct form_data *form = gfs_alloc(sizeof *form);
    memcpy(form->delimiter, "\r\n--", 4);
    memcpy(form->delimiter + 4, boundary, len);
    form->delimiter_len = len + 4;
    form->match_len = 2; /* the body begins as if a line had just ended */
    *ret = form;
    return S3_OK;
}

void form_data_free(struct form_data *form)
{
    free(form);
}

/* A copy in the text area, which cannot be too small: its size is what the prefix may have. */
static char *keep(struct form_data *form, const char *ptr, size_t len)
{
    GFS_ASSERT(len <= sizeof form->text - form->text_len);
    char *copy = form->text + form->text_len;
    if (len != 0) {
        memcpy(copy, ptr, len);
    }
    form->text_len += len;
    return copy;
}

static void begin_field(struct form_data *form, struct gfs_slice name)
{
    for (size_t i = 0; i < form->field_count; i++) {
        if (gfs_slice_eq(form->fields[i].name, name)) {
            refuse(form, S3_InvalidArgument, "A field of the form is given more than once.");
            return;
        }
    }
    if (form->field_count == FORM_DATA_FIELD_COUNT_MAX) {
        refuse(form, S3_MaxPostPreDataLengthExceededError, "The form has too many fields.");
        return;
    }
    struct form_data_field *field = &form->fields[form->field_count++];
    field->name = gfs_slice_of(keep(form, name.ptr, name.len), name.len);
    field->value = gfs_slice_of(form->text + form->text_len, 0);
    form->state = VALUE;
}

/* The empty line after a part's headers. */
static void begin_part(struct form_data *form)
{
    struct gfs_slice name = gfs_slice_of(form->header.name, form->header.name_len);
    bool is_file = gfs_slice_eq_str(name, "file");
    if (!form->header.has_disposition) {
        refuse(form, S3_MalformedPOSTRequest, malformed);
    } else if (is_file && form->has_file) {
        refuse(form, S3_IncorrectNumberOfFilesInPostRequest, NULL);
    } else if (is_file) {
        size_t len = form->header.filename_len;
        form->filename = gfs_slice_of(keep(form, form->header.filename, len), len);
        form->has_file = true;
        form->must_stop = true;
        form->state = FILE_BYTES;
    } else if (form->has_file) {
        form->state = SKIPPED;
    } else {
        begin_field(form, name);
    }
}

static size_t take_headers(struct form_data *form, const char *ptr, size_t len)
{
    const char *newline = memchr(ptr, '\n', len);
    size_t used = newline == NULL ? len : (size_t)(newline - ptr) + 1;
    if (used > LINE_LEN_MAX - form->line_len) {
        refuse(form, S3_MalformedPOSTRequest, malformed);
        return 0;
    }
    memcpy(form->line + form->line_len, ptr, used);
    form->line_len += used;
    if (newline == NULL) {
        return used;
    }
    size_t line_len = form->line_len;
    form->line_len = 0;
    if (line_len < 2 || form->line[line_len - 2] != '\r') {
        refuse(form, S3_MalformedPOSTRequest, malformed);
    } else if (line_len == 2) {
        begin_part(form);
    } else if (!form_data_header_add(&form->header, gfs_slice_of(form->line, line_len - 2))) {
        refuse(form, S3_MalformedPOSTRequest, malformed);
    }
    return used;
}

/* Two bytes: CR LF begins a part, "--" ends the form. */
static size_t take_after(struct form_data *form, char byte)
{
    if (form->after_len == 0 && (byte == '\r' || byte == '-')) {
        form->after = byte;
        form->after_len = 1;
    } else if (form->after_len == 1 && byte == (form->after == '\r' ? '\n' : '-')) {
        form->after_len = 0;
        form->state = form->after == '\r' ? HEADERS : CLOSED;
        form->header = (struct form_data_header){0};
    } else {
        refuse(form, S3_MalformedPOSTRequest, malformed);
    }
    return 1;
}

static size_t take_closed(struct form_data *form, char byte)
{
    if (form->after_len == 2 || byte != "\r\n"[form->after_len]) {
        refuse(form, S3_MalformedPOSTRequest, malformed);
        return 0;
    }
    form->after_len++;
    return 1;
}

static size_t take_start(struct form_data *form, char byte)
{
    if (form->match_len == 2 && byte == '\r') {
        form->match_len = 0; /* a line end before the first boundary */
    }
    if (byte != form->delimiter[form->match_len]) {
        refuse(form, S3_MalformedPOSTRequest, malformed);
        return 0;
    }
    if (++form->match_len == form->delimiter_len) {
        form->match_len = 0;
        form->state = AFTER;
    }
    return 1;
}

struct sink {
    size_t (*take)(void *arg, const char *ptr, size_t len);
    void *arg;
};

/* Payload of the current part; answers how much of it was taken. */
static size_t hand_on(struct form_data *form, const char *ptr, size_t len, const struct sink *sink)
{
    if (form->state == FILE_BYTES) {
        size_t taken = sink->take(sink->arg, ptr, len);
        GFS_ASSERT(taken <= len);
        return taken;
    }
    if (form->state == VALUE) {
        (void)keep(form, ptr, len);
        form->fields[form->field_count - 1].value.len += len;
    }
    return len;
}

/* Bytes of a part: payload, or a piece of the delimiter. *ret_paused when the sink took less than
 * it was offered. Answers how many bytes of input were used. */
static size_t take_content(struct form_data *form, const char *ptr, size_t len,
                           const struct sink *sink, bool *ret_paused)
{
    if (form->held_at < form->held_end) {
        size_t offered = form->held_end - form->held_at;
        size_t taken = hand_on(form, form->delimiter + form->held_at, offered, sink);
        form->held_at += taken;
        *ret_paused = taken < offered;
        return 0;
    }
    if (form->match_len == 0 && *ptr != '\r') {
        const char *cr = memchr(ptr, '\r', len);
        size_t offered = cr == NULL ? len : (size_t)(cr - ptr);
        size_t taken = hand_on(form, ptr, offered, sink);
        *ret_paused = taken < offered;
        return taken;
    }
    if (*ptr != form->delimiter[form->match_len]) {
        form->held_at = 0; /* and this byte is looked at again */
        form->held_end = form->match_len;
        form->match_len = 0;
        return 0;
    }
    if (++form->match_len == form->delimiter_len) {
        form->match_len = 0;
        form->state = AFTER;
    }
    return 1;
}

static size_t take(struct form_data *form, const char *ptr, size_t len, const struct sink *sink,
                   bool *ret_paused)
{
    switch (form->state) {
    case START:
        return take_start(form, *ptr);
    case AFTER:
        return take_after(form, *ptr);
    case HEADERS:
        return take_headers(form, ptr, len);
    case VALUE:
    case FILE_BYTES:
    case SKIPPED:
        return take_content(form, ptr, len, sink, ret_paused);
    case CLOSED:
        return take_closed(form, *ptr);
    case REFUSED:
        break;
    }
    return 0;
}

enum s3_err form_data_feed(struct form_data *form, const char *ptr, size_t len,
                           size_t (*sink)(void *arg, const char *ptr, size_t len), void *arg,
                           size_t *ret_taken, const char **ret_message)
{
    const struct sink to = {sink, arg};
    size_t done = 0;
    bool is_paused = false;
    while (done < len && !is_paused && !form->must_stop && form->state != REFUSED) {
        size_t step = len - done;
        if (!form->has_file) {
            /* One byte more than allowed may be looked at, to know that it is there. */
            size_t room = FORM_DATA_FIELDS_LEN_MAX - form->prefix_len;
            if (room == 0) {
                refuse(form, S3_MaxPostPreDataLengthExceededError, NULL);
                break;
            }
            step = GFS_MIN(step, room);
        }
        bool was_before = !form->has_file;
        size_t used = take(form, ptr + done, step, &to, &is_paused);
        form->prefix_len += was_before ? used : 0;
        done += used;
    }
    form->must_stop = false;
    *ret_taken = done;
    if (form->state == REFUSED) {
        *ret_message = form->message;
        return form->err;
    }
    return S3_OK;
}

enum s3_err form_data_end(struct form_data *form, const char **ret_message)
{
    if (form->state == CLOSED && form->after_len != 1) {
        if (form->has_file) {
            return S3_OK;
        }
        refuse(form, S3_IncorrectNumberOfFilesInPostRequest, NULL);
    } else if (form->state != REFUSED) {
        refuse(form, S3_MalformedPOSTRequest, malformed);
    }
    *ret_message = form->message;
    return form->err;
}

bool form_data_has_file(const struct form_data *form)
{
    return form->has_file;
}

struct gfs_slice form_data_filename(const struct form_data *form)
{
    return form->filename;
}

size_t form_data_field_count(const struct form_data *form)
{
    return form->field_count;
}

const struct form_data_field *form_data_fields(const struct form_data *form)
{
    return form->fields;
}

struct gfs_slice form_data_value(const struct form_data *form, const char *name)
{
    for (size_t i = 0; i < form->field_count; i++) {
        if (gfs_slice_eq_str(form->fields[i].name, name)) {
            return form->fields[i].value;
        }
    }
    return (struct gfs_slice){0};
}
