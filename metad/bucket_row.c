#include "metad/bucket_row.h"

#include "libgoodfs/codec.h"

enum { VERSION_WITHOUT_SETTINGS = 1, VERSION = 2 };

void bucket_row_encode(struct gfs_buf *out, const struct meta_bucket *bucket)
{
    bool has_class = bucket->storage_class[0] != '\0';
    gfs_codec_put_u8(out, VERSION);
    gfs_codec_put_u64(out, (uint64_t)bucket->created_ms);
    gfs_codec_put_bytes(out, gfs_slice_str(bucket->name));
    gfs_codec_put_bytes(out, gfs_slice_str(bucket->region));
    gfs_codec_put_varint(out, has_class ? 1 : 0);
    if (has_class) {
        gfs_codec_put_u8(out, META_BUCKET_STORAGE_CLASS);
        gfs_codec_put_bytes(out, gfs_slice_str(bucket->storage_class));
    }
}

/* Each setting once, in the order of their numbers. */
static enum gfs_err decode_settings(struct gfs_codec_reader *in, struct meta_bucket *ret)
{
    uint32_t count = gfs_codec_get_count(in, UINT8_MAX);
    uint8_t last = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t setting = gfs_codec_get_u8(in);
        struct gfs_slice value = gfs_codec_get_bytes(in);
        if (in->is_bad || setting <= last) {
            return GFS_CORRUPT;
        }
        enum gfs_err err = bucket_row_set(ret, setting, value);
        if (err != GFS_OK) {
            return err == GFS_INVALID ? GFS_CORRUPT : err;
        }
        last = setting;
    }
    return in->is_bad ? GFS_CORRUPT : GFS_OK;
}

enum gfs_err bucket_row_decode(struct gfs_slice row_key, struct gfs_slice value,
                               struct meta_bucket *ret)
{
    struct gfs_codec_reader in = gfs_codec_reader_of(value);
    uint8_t version = gfs_codec_get_u8(&in);
    if (!in.is_bad && version > VERSION) {
        return GFS_UNSUPPORTED;
    }
    struct meta_bucket bucket = {.created_ms = (int64_t)gfs_codec_get_u64(&in)};
    struct gfs_slice name = gfs_codec_get_bytes(&in);
    struct gfs_slice region = gfs_codec_get_bytes(&in);
    if (in.is_bad || version < VERSION_WITHOUT_SETTINGS || row_key.len != sizeof bucket.id ||
        name.len >= sizeof bucket.name || region.len >= sizeof bucket.region) {
        return GFS_CORRUPT;
    }
    bucket.id = gfs_codec_load_u64_be(row_key.ptr);
    memcpy(bucket.name, name.ptr, name.len);
    memcpy(bucket.region, region.ptr, region.len);
    enum gfs_err err = version == VERSION_WITHOUT_SETTINGS ? GFS_OK : decode_settings(&in, &bucket);
    if (err == GFS_OK && in.len != 0) {
        err = GFS_CORRUPT;
    }
    if (err == GFS_OK) {
        *ret = bucket;
    }
    return err;
}

enum gfs_err bucket_row_set(struct meta_bucket *bucket, unsigned setting, struct gfs_slice value)
{
    if (setting != META_BUCKET_STORAGE_CLASS) {
        return GFS_UNSUPPORTED;
    }
    bool has_nul = value.len != 0 && memchr(value.ptr, '\0', value.len) != NULL;
    if (value.len >= sizeof bucket->storage_class || has_nul) {
        return GFS_INVALID;
    }
    memset(bucket->storage_class, 0, sizeof bucket->storage_class);
    if (value.len != 0) {
        memcpy(bucket->storage_class, value.ptr, value.len);
    }
    return GFS_OK;
}
