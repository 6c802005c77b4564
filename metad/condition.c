/* Conditions of writes, judged against the encoded current object. */
#include "libgoodfs/meta_service.h"

static bool demands_an_object(const struct meta_condition *condition)
{
    return condition->if_match_any || condition->has_if_match || condition->has_if_match_mtime ||
           condition->has_if_match_size;
}

bool meta_condition_is_any(const struct meta_condition *condition)
{
    return condition->if_none_match_any || demands_an_object(condition);
}

static bool is_one_of(const struct meta_condition *condition, const struct meta_object *object)
{
    for (uint32_t i = 0; i < condition->etag_count; i++) {
        if (condition->etags[i].parts == object->etag_parts &&
            memcmp(condition->etags[i].md5, object->etag, META_ETAG_LEN) == 0) {
            return true;
        }
    }
    return false;
}

enum gfs_err meta_condition_check(const struct meta_condition *condition, struct gfs_slice bytes)
{
    if (!meta_condition_is_any(condition)) {
        return GFS_OK;
    }
    if (bytes.ptr == NULL) {
        return demands_an_object(condition) ? GFS_NOT_FOUND : GFS_OK;
    }
    struct meta_object object;
    enum gfs_err err = meta_object_decode_summary(bytes, &object);
    if (err != GFS_OK) {
        return err;
    }
    bool is_false =
        condition->if_none_match_any ||
        (condition->has_if_match && !is_one_of(condition, &object)) ||
        (condition->has_if_match_mtime && object.mtime_ms / 1000 != condition->if_match_mtime_s) ||
        (condition->has_if_match_size && object.size != condition->if_match_size);
    return is_false ? GFS_PRECONDITION : GFS_OK;
}
