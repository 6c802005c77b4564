#include "gateway/s3_list_params.h"

enum s3_err s3_list_encoding(const struct s3_request *r, bool *ret_is_encoded,
                             const char **ret_message)
{
    struct gfs_slice encoding = s3_param_value(r, "encoding-type");
    *ret_is_encoded = gfs_slice_case_eq(encoding, GFS_SLICE_LITERAL("url"));
    if (encoding.len > 0 && !*ret_is_encoded) {
        *ret_message = "Invalid Encoding Method specified in Request";
        return S3_InvalidArgument;
    }
    return S3_OK;
}

enum s3_err s3_list_max(struct s3_request *r, const char *name, uint32_t *ret,
                        const char **ret_message)
{
    enum s3_err err = s3_param_uint(r, name, GFS_LIST_KEYS_MAX, true, GFS_LIST_KEYS_MAX, ret);
    if (err != S3_OK) {
        *ret_message = gfs_arena_printf(
            &r->arena, "Argument %s must be an integer between 0 and 2147483647", name);
    }
    return err;
}
