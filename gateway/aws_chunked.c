/* States:
 *
 *   SIZE --size > 0--> DATA --all taken, signature right--> CRLF --> SIZE
 *     \--size = 0, signature right--> TRAILER --empty line, trailer and its signature right--> DONE
 *
 * Any refusal is final: every later call answers it again. Each signature covers the one before it
 * (first the request's own), so chunks can be neither left out nor reordered. */
#include "gateway/aws_chunked.h"

#include <stdlib.h>

#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

enum {
    LINE_LEN_MAX = 256,          /* size, chunk-signature and room for extensions; a trailer */
    TRAILER_NAME_LEN_MAX = 64,   /* the longest is x-amz-checksum-crc64nvme */
    TRAILER_VALUE_LEN_MAX = 128, /* base64 of SHA-512 is 88 */
    SIGNATURE_LEN = 2 * GFS_SHA256_LEN,
};

enum state { SIZE, DATA, CRLF, TRAILER, DONE, REFUSED };

struct aws_chunked {
    enum state state;
    bool is_signed, has_trailer; /* by the form */
    bool has_value, has_trailer_signature;
    enum s3_err err; /* REFUSED */
    const char *message;
    uint64_t decoded_left; /* bytes still to come out */
    uint64_t chunk_left;   /* bytes of this chunk */
    size_t line_len, crlf_len;
    size_t declared_len, value_len;
    struct gfs_digest sha256; /* of this chunk */
    uint8_t key[GFS_SHA256_LEN];
    char previous[SIGNATURE_LEN]; /* signature before */
    char claimed[SIGNATURE_LEN];  /* signature in this chunk's header */
    char amz_date[GFS_AMZ_DATE_LEN + 1];
    char scope[sizeof((struct auth_result *)0)->scope];
    char declared[TRAILER_NAME_LEN_MAX];
    char value[TRAILER_VALUE_LEN_MAX];
    char line[LINE_LEN_MAX];
};

static enum s3_err refuse(struct aws_chunked *chunked, enum s3_err err, const char *message)
{
    chunked->state = REFUSED;
    chunked->err = err;
    chunked->message = message;
    return err;
}

struct aws_chunked *aws_chunked_new(const struct auth_result *auth, uint64_t decoded_len,
                                    struct gfs_slice declared_trailer)
{
    struct aws_chunked *chunked = gfs_alloc(sizeof *chunked);
    chunked->is_signed =
        auth->payload == AUTH_PAYLOAD_CHUNKS || auth->payload == AUTH_PAYLOAD_CHUNKS_TRAILER;
    chunked->has_trailer = auth->payload == AUTH_PAYLOAD_UNSIGNED_TRAILER ||
                           auth->payload == AUTH_PAYLOAD_CHUNKS_TRAILER;
    chunked->decoded_left = decoded_len;
    memcpy(chunked->key, auth->signing_key, sizeof chunked->key);
    memcpy(chunked->previous, auth->seed_signature, SIGNATURE_LEN);
    memcpy(chunked->amz_date, auth->amz_date, sizeof chunked->amz_date);
    memcpy(chunked->scope, auth->scope, sizeof chunked->scope);
    if (declared_trailer.len > TRAILER_NAME_LEN_MAX) {
        (void)refuse(chunked, S3_InvalidRequest, "The name in x-amz-trailer is too long.");
    } else if (declared_trailer.len != 0) {
        memcpy(chunked->declared, declared_trailer.ptr, declared_trailer.len);
        chunked->declared_len = declared_trailer.len;
    }
    return chunked;
}

void aws_chunked_free(struct aws_chunked *chunked)
{
    if (chunked != NULL) {
        explicit_bzero(chunked->key, sizeof chunked->key);
        free(chunked);
    }
}

/* Compares `claimed` with the signature of "ALGORITHM\ndate\nscope\nprevious\n" + hash lines, and
 * makes it the previous one. */
static bool check_signature(struct aws_chunked *chunked, const char *algorithm, const char *hashes,
                            const char claimed[SIGNATURE_LEN])
{
    struct gfs_buf GFS_CLEANUP(gfs_buf_fini) text;
    uint8_t mac[GFS_SHA256_LEN];
    char expected[SIGNATURE_LEN + 1];
    gfs_buf_init(&text, 1024);
    gfs_buf_add_str(&text, algorithm);
    gfs_buf_add_char(&text, '\n');
    gfs_buf_add_str(&text, chunked->amz_date);
    gfs_buf_add_char(&text, '\n');
    gfs_buf_add_str(&text, chunked->scope);
    gfs_buf_add_char(&text, '\n');
    gfs_buf_add(&text, chunked->previous, SIGNATURE_LEN);
    gfs_buf_add_char(&text, '\n');
    gfs_buf_add_str(&text, hashes);
    GFS_ASSERT(!text.is_full);
    gfs_hmac_sha256(gfs_slice_of(chunked->key, sizeof chunked->key), gfs_buf_slice(&text), mac);
    gfs_hex_encode(mac, sizeof mac, expected);
    memcpy(chunked->previous, expected, SIGNATURE_LEN);
    return gfs_const_time_eq(expected, claimed, SIGNATURE_LEN);
}

/* The chunk's bytes are all there. */
static enum s3_err check_chunk(struct aws_chunked *chunked)
{
    static const char empty[] =
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n";
    uint8_t digest[GFS_SHA256_LEN];
    char hashes[sizeof empty + SIGNATURE_LEN];
    if (!chunked->is_signed) {
        return S3_OK;
    }
    gfs_digest_fini(&chunked->sha256, digest);
    memcpy(hashes, empty, sizeof empty - 1);
    gfs_hex_encode(digest, sizeof digest, hashes + sizeof empty - 1);
    return check_signature(chunked, "AWS4-HMAC-SHA256-PAYLOAD", hashes, chunked->claimed)
               ? S3_OK
               : refuse(chunked, S3_SignatureDoesNotMatch, "The signature of a chunk is wrong.");
}

/* ";name=value" extensions up to the line's end; the signature must be there once where chunks are
 * signed. Unknown ones are skipped: their length is bounded by the line's. */
static enum s3_err read_extensions(struct aws_chunked *chunked, struct gfs_slice rest)
{
    static const struct gfs_slice name = {"chunk-signature=", 16};
    bool is_found = false;
    while (rest.len != 0) {
        const char *stop = memchr(rest.ptr + 1, ';', rest.len - 1);
        size_t len = stop == NULL ? rest.len : (size_t)(stop - rest.ptr);
        struct gfs_slice extension = gfs_slice_of(rest.ptr + 1, len - 1);
        if (gfs_slice_starts(extension, name)) {
            if (is_found || extension.len != name.len + SIGNATURE_LEN) {
                return refuse(chunked, S3_InvalidRequest, "A chunk's signature is malformed.");
            }
            memcpy(chunked->claimed, extension.ptr + name.len, SIGNATURE_LEN);
            is_found = true;
        }
        rest = gfs_slice_of(rest.ptr + len, rest.len - len);
    }
    return is_found || !chunked->is_signed
               ? S3_OK
               : refuse(chunked, S3_InvalidRequest, "A chunk has no signature.");
}

static enum s3_err read_size(struct aws_chunked *chunked, struct gfs_slice line)
{
    const char *semicolon = line.len == 0 ? NULL : memchr(line.ptr, ';', line.len);
    size_t digits = semicolon == NULL ? line.len : (size_t)(semicolon - line.ptr);
    uint64_t size = 0;
    enum gfs_err parsed =
        digits > 16 ? GFS_INVALID
                    : gfs_parse_hex_u64(gfs_slice_of(line.ptr, digits), UINT64_MAX, &size);
    if (parsed != GFS_OK) {
        return refuse(chunked, S3_InvalidRequest, "A chunk's size is malformed.");
    }
    if (size > chunked->decoded_left) {
        return refuse(chunked, S3_InvalidRequest,
                      "The chunks hold more than x-amz-decoded-content-length bytes.");
    }
    enum s3_err err = read_extensions(chunked, gfs_slice_of(line.ptr + digits, line.len - digits));
    if (err != S3_OK) {
        return err;
    }
    chunked->chunk_left = size;
    gfs_digest_init(&chunked->sha256, GFS_SHA256);
    if (size != 0) {
        chunked->state = DATA;
        return S3_OK;
    }
    if (chunked->decoded_left != 0) {
        return refuse(chunked, S3_IncompleteBody,
                      "The chunks hold fewer than x-amz-decoded-content-length bytes.");
    }
    chunked->state = TRAILER;
    return check_chunk(chunked);
}

/* The empty line after the trailer. */
static enum s3_err finish(struct aws_chunked *chunked)
{
    if (chunked->declared_len != 0 && chunked->has_trailer && !chunked->has_value) {
        return refuse(chunked, S3_InvalidRequest,
                      "The trailer that x-amz-trailer names is missing.");
    }
    if (chunked->is_signed && chunked->has_trailer && !chunked->has_trailer_signature) {
        return refuse(chunked, S3_InvalidRequest, "The trailer is not signed.");
    }
    chunked->state = DONE;
    return S3_OK;
}

/* The last line of a signed trailer. */
static enum s3_err read_trailer_signature(struct aws_chunked *chunked, struct gfs_slice value)
{
    if (value.len != SIGNATURE_LEN || chunked->has_trailer_signature) {
        return refuse(chunked, S3_InvalidRequest, "The trailer's signature is malformed.");
    }
    struct gfs_digest sha256;
    uint8_t digest[GFS_SHA256_LEN];
    char hash[SIGNATURE_LEN + 1];
    gfs_digest_init(&sha256, GFS_SHA256);
    if (chunked->has_value) {
        gfs_digest_add(&sha256, chunked->declared, chunked->declared_len);
        gfs_digest_add(&sha256, ":", 1);
        gfs_digest_add(&sha256, chunked->value, chunked->value_len);
        gfs_digest_add(&sha256, "\n", 1);
    }
    gfs_digest_fini(&sha256, digest);
    gfs_hex_encode(digest, sizeof digest, hash);
    chunked->has_trailer_signature = true;
    return check_signature(chunked, "AWS4-HMAC-SHA256-TRAILER", hash, value.ptr)
               ? S3_OK
               : refuse(chunked, S3_SignatureDoesNotMatch,
                        "The signature of the trailer is wrong.");
}

static enum s3_err read_trailer(struct aws_chunked *chunked, struct gfs_slice line)
{
    if (line.len == 0) {
        return finish(chunked);
    }
    const char *colon = memchr(line.ptr, ':', line.len);
    if (!chunked->has_trailer || colon == NULL) {
        return refuse(chunked, S3_InvalidRequest, "There is data after the last chunk.");
    }
    struct gfs_slice name = gfs_slice_of(line.ptr, (size_t)(colon - line.ptr));
    struct gfs_slice value = gfs_trim(gfs_slice_of(colon + 1, line.len - name.len - 1));
    struct gfs_slice declared = gfs_slice_of(chunked->declared, chunked->declared_len);
    if (chunked->is_signed &&
        gfs_slice_case_eq(name, GFS_SLICE_LITERAL("x-amz-trailer-signature"))) {
        return read_trailer_signature(chunked, value);
    }
    if (declared.len == 0 || !gfs_slice_case_eq(name, declared) || chunked->has_value ||
        chunked->has_trailer_signature || value.len > TRAILER_VALUE_LEN_MAX) {
        return refuse(chunked, S3_InvalidRequest,
                      "A trailer is not the one that x-amz-trailer names.");
    }
    if (value.len == 0) {
        return refuse(chunked, S3_InvalidRequest, "The value of the trailer is missing.");
    }
    memcpy(chunked->value, value.ptr, value.len);
    chunked->value_len = value.len;
    chunked->has_value = true;
    return S3_OK;
}

/* Collects a line and acts on it once it is whole. Answers the bytes used; 0 after a refusal. */
static size_t take_line(struct aws_chunked *chunked, const char *ptr, size_t len)
{
    const char *newline = memchr(ptr, '\n', len);
    size_t used = newline == NULL ? len : (size_t)(newline - ptr) + 1;
    if (used > LINE_LEN_MAX - chunked->line_len) {
        (void)refuse(chunked, S3_InvalidRequest, "A chunk header or trailer is too long.");
        return 0;
    }
    memcpy(chunked->line + chunked->line_len, ptr, used);
    chunked->line_len += used;
    if (newline == NULL) {
        return used;
    }
    struct gfs_slice line = gfs_slice_of(chunked->line, chunked->line_len - 1);
    chunked->line_len = 0;
    if (line.len == 0 || line.ptr[line.len - 1] != '\r') {
        (void)refuse(chunked, S3_InvalidRequest, "A chunk header or trailer must end with CR LF.");
        return 0;
    }
    line.len--;
    for (size_t i = 0; i < line.len; i++) {
        if ((unsigned char)line.ptr[i] < ' ' || line.ptr[i] == 0x7f) {
            (void)refuse(chunked, S3_InvalidRequest,
                         "A chunk header or trailer holds a control character.");
            return 0;
        }
    }
    enum s3_err err =
        chunked->state == SIZE ? read_size(chunked, line) : read_trailer(chunked, line);
    return err == S3_OK ? used : 0;
}

/* The two bytes after a chunk's data. */
static size_t take_crlf(struct aws_chunked *chunked, const char *ptr)
{
    if (*ptr != "\r\n"[chunked->crlf_len]) {
        (void)refuse(chunked, S3_InvalidRequest, "A chunk's data must end with CR LF.");
        return 0;
    }
    if (++chunked->crlf_len == 2) {
        chunked->crlf_len = 0;
        chunked->state = SIZE;
    }
    return 1;
}

/* Hands payload on; *ret_paused when the sink took less than it was offered. */
static size_t take_data(struct aws_chunked *chunked, const char *ptr, size_t len,
                        size_t (*sink)(void *arg, const char *ptr, size_t len), void *arg,
                        bool *ret_paused)
{
    size_t offered = (size_t)GFS_MIN((uint64_t)len, chunked->chunk_left);
    size_t taken = sink(arg, ptr, offered);
    GFS_ASSERT(taken <= offered);
    *ret_paused = taken < offered;
    if (chunked->is_signed) {
        gfs_digest_add(&chunked->sha256, ptr, taken);
    }
    chunked->chunk_left -= taken;
    chunked->decoded_left -= taken;
    if (chunked->chunk_left == 0) {
        chunked->state = CRLF;
        (void)check_chunk(chunked);
    }
    return taken;
}

enum s3_err aws_chunked_feed(struct aws_chunked *chunked, const char *ptr, size_t len,
                             size_t (*sink)(void *arg, const char *ptr, size_t len), void *arg,
                             size_t *ret_taken, const char **ret_message)
{
    size_t done = 0;
    bool is_paused = false;
    while (done < len && !is_paused && chunked->state != REFUSED) {
        switch (chunked->state) {
        case SIZE:
        case TRAILER:
            done += take_line(chunked, ptr + done, len - done);
            break;
        case DATA:
            done += take_data(chunked, ptr + done, len - done, sink, arg, &is_paused);
            break;
        case CRLF:
            done += take_crlf(chunked, ptr + done);
            break;
        case DONE:
            (void)refuse(chunked, S3_InvalidRequest, "There is data after the last chunk.");
            break;
        case REFUSED:
            break;
        }
    }
    *ret_taken = done;
    if (chunked->state == REFUSED) {
        *ret_message = chunked->message;
        return chunked->err;
    }
    return S3_OK;
}

enum s3_err aws_chunked_end(struct aws_chunked *chunked, const char **ret_message)
{
    if (chunked->state != DONE && chunked->state != REFUSED) {
        (void)refuse(chunked, S3_IncompleteBody, "The body ends before its last chunk.");
    }
    if (chunked->state == REFUSED) {
        *ret_message = chunked->message;
        return chunked->err;
    }
    return S3_OK;
}

struct gfs_slice aws_chunked_trailer(const struct aws_chunked *chunked)
{
    return chunked->state == DONE && chunked->has_value
               ? gfs_slice_of(chunked->value, chunked->value_len)
               : gfs_slice_of("", 0);
}
