#include "metad/label.h"

#include "libgoodfs/codec.h"
#include "libgoodfs/mem.h"
#include "metad/record.h"

enum { LABEL_VERSION = 2, LABEL_HAS_UPLOAD = 1, NAME_UPLOAD_LEN = META_UPLOAD_ID_LEN + 4 };

/* First bytes of owners; those of a pool's fragments begin with byte 1. */
static const char whole_kind = 'L';
static const char note_kind = 'N';
static const char more_kind = 'M';
static const char object_kind = 'o';
static const char part_kind = 'p';

void label_encode(struct gfs_buf *out, const struct label *label)
{
    gfs_buf_add_char(out, whole_kind);
    gfs_codec_put_u8(out, LABEL_VERSION);
    gfs_codec_put_u8(out, (uint8_t)label->table);
    gfs_codec_put_u8(out, label->has_upload ? LABEL_HAS_UPLOAD : 0);
    gfs_codec_put_u64(out, label->bucket.id);
    gfs_codec_put_u64(out, (uint64_t)label->bucket.created_ms);
    gfs_codec_put_bytes(out, gfs_slice_str(label->bucket.name));
    gfs_codec_put_bytes(out, gfs_slice_str(label->bucket.region));
    gfs_codec_put_bytes(out, gfs_slice_str(label->bucket.storage_class));
    gfs_codec_put_bytes(out, label->key);
    if (label->has_upload) {
        gfs_buf_add(out, label->upload_id, sizeof label->upload_id);
    }
    gfs_buf_add_slice(out, label->row);
}

static void get_text(struct gfs_codec_reader *in, char *ret, size_t size)
{
    struct gfs_slice text = gfs_codec_get_bytes(in);
    if (text.len >= size || (text.len != 0 && memchr(text.ptr, 0, text.len) != NULL)) {
        in->is_bad = true;
        return;
    }
    memset(ret, 0, size);
    if (text.len != 0) {
        memcpy(ret, text.ptr, text.len);
    }
}

static void get_bucket(struct gfs_codec_reader *in, struct meta_bucket *ret)
{
    ret->id = gfs_codec_get_u64(in);
    ret->created_ms = (int64_t)gfs_codec_get_u64(in);
    get_text(in, ret->name, sizeof ret->name);
    get_text(in, ret->region, sizeof ret->region);
    get_text(in, ret->storage_class, sizeof ret->storage_class);
}

enum gfs_err label_decode(struct gfs_slice bytes, struct label *ret)
{
    struct gfs_codec_reader in = gfs_codec_reader_of(bytes);
    struct label label = {0};
    char kind = (char)gfs_codec_get_u8(&in);
    uint8_t version = gfs_codec_get_u8(&in);
    if (in.is_bad || kind != whole_kind || version != LABEL_VERSION) {
        bool is_newer = !in.is_bad && kind == whole_kind && version > LABEL_VERSION;
        return is_newer ? GFS_UNSUPPORTED : GFS_CORRUPT;
    }
    label.table = (enum table)gfs_codec_get_u8(&in);
    uint8_t flags = gfs_codec_get_u8(&in);
    get_bucket(&in, &label.bucket);
    label.key = gfs_codec_get_bytes(&in);
    label.has_upload = (flags & LABEL_HAS_UPLOAD) != 0;
    const void *upload_id = label.has_upload ? gfs_codec_get_raw(&in, META_UPLOAD_ID_LEN) : NULL;
    if (upload_id != NULL) {
        memcpy(label.upload_id, upload_id, sizeof label.upload_id);
    }
    bool is_known =
        label.table == TABLE_OBJECTS ||
        ((label.table == TABLE_UPLOADS || label.table == TABLE_PARTS) && label.has_upload);
    bool is_key = label.key.len > 0 && label.key.len <= GFS_KEY_LEN_MAX;
    if (in.is_bad || !is_known || !is_key || label.bucket.name[0] == '\0' || label.bucket.id == 0 ||
        in.len < RECORD_HEAD_LEN) {
        return GFS_CORRUPT;
    }
    label.row = gfs_slice_of((const char *)in.ptr, in.len);
    *ret = label;
    return GFS_OK;
}

enum gfs_err label_row_key(const struct label *label, struct key *ret)
{
    struct record_size size;
    if (label->table == TABLE_OBJECTS) {
        key_object(ret, label->bucket.id, label->key);
    } else if (label->table == TABLE_UPLOADS) {
        key_upload(ret, label->bucket.id, label->key, label->upload_id);
    } else {
        uint32_t number = 0;
        enum gfs_err err = record_part_number(label->row, &number);
        if (err != GFS_OK) {
            return err;
        }
        key_part(ret, label->upload_id, number);
    }
    bool is_part = label->table == TABLE_PARTS;
    enum gfs_err err = record_size(label->row, &size);
    return err == GFS_OK && is_part && size.bucket_id != label->bucket.id ? GFS_CORRUPT : err;
}

static enum gfs_err parse_note(struct gfs_codec_reader *in, struct label_owner *ret)
{
    if (gfs_codec_get_u8(in) != LABEL_VERSION) {
        return in->is_bad ? GFS_CORRUPT : GFS_UNSUPPORTED;
    }
    if (ret->kind == LABEL_NOTE_MORE) {
        return in->len == 0 ? GFS_OK : GFS_CORRUPT;
    }
    ret->len = gfs_codec_get_count(in, LABEL_LEN_MAX);
    ret->more_count = gfs_codec_get_count(in, LABEL_NOTES_MAX - 1);
    for (uint32_t i = 0; i < ret->more_count; i++) {
        ret->more[i].hi = gfs_codec_get_u64(in);
        ret->more[i].lo = gfs_codec_get_u64(in);
    }
    return in->is_bad || in->len != 0 ? GFS_CORRUPT : GFS_OK;
}

static enum gfs_err parse_name(struct gfs_codec_reader *in, struct label_owner *ret)
{
    ret->bucket_id = gfs_codec_get_u64(in);
    if (ret->is_part) {
        (void)gfs_codec_get_raw(in, NAME_UPLOAD_LEN);
    }
    ret->key = gfs_slice_of((const char *)in->ptr, in->len);
    return in->is_bad || ret->key.len > GFS_KEY_LEN_MAX ? GFS_CORRUPT : GFS_OK;
}

enum gfs_err label_owner_parse(struct gfs_slice owner, struct label_owner *ret)
{
    struct gfs_codec_reader in = gfs_codec_reader_of(owner);
    struct label_owner found = {0};
    char kind = (char)gfs_codec_get_u8(&in);
    enum gfs_err err = in.is_bad ? GFS_CORRUPT : GFS_OK;
    if (err != GFS_OK) {
        return err;
    }
    if (kind == whole_kind) {
        found.kind = LABEL_WHOLE;
        found.label = owner;
    } else if (kind == note_kind || kind == more_kind) {
        found.kind = kind == note_kind ? LABEL_NOTE : LABEL_NOTE_MORE;
        err = parse_note(&in, &found);
    } else if (kind == object_kind || kind == part_kind) {
        found.kind = LABEL_NAME;
        found.is_part = kind == part_kind;
        err = parse_name(&in, &found);
    } else {
        err = GFS_CORRUPT;
    }
    if (err == GFS_OK) {
        *ret = found;
    }
    return err;
}

void label_note_owner(struct gfs_buf *out, uint32_t label_len, const struct chunk_id *more,
                      uint32_t more_count)
{
    GFS_ASSERT(more_count < LABEL_NOTES_MAX);
    gfs_buf_add_char(out, note_kind);
    gfs_codec_put_u8(out, LABEL_VERSION);
    gfs_codec_put_varint(out, label_len);
    gfs_codec_put_varint(out, more_count);
    for (uint32_t i = 0; i < more_count; i++) {
        gfs_codec_put_u64(out, more[i].hi);
        gfs_codec_put_u64(out, more[i].lo);
    }
}

struct gfs_slice label_more_owner(void)
{
    static const char owner[] = {'M', LABEL_VERSION};
    return gfs_slice_of(owner, sizeof owner);
}
