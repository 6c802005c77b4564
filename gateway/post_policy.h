/* The policy document of a POST form: what an upload that it signs may look like. Its signature is
 * auth_verify_post's business. (AWS "Creating a POST policy".) */
#pragma once

#include "gateway/form_data.h"
#include "libgoodfs/arena.h"

/* Plain data. How many bytes the file may have. */
struct post_policy_range {
    uint64_t length_min, length_max; /* without a condition: 0 and GFS_PART_SIZE_MAX */
};

struct post_policy_form {
    struct gfs_slice bucket; /* of the request's target */
    size_t field_count;
    const struct form_data_field *fields; /* all, as parsed; `key` with ${filename} filled in */
};

/* Decodes the policy (base64) and checks expiration and every condition, and that every field but
 * x-amz-signature, policy, file and x-ignore-* is named by a condition, and the bucket too.
 * InvalidPolicyDocument; AccessDenied "Invalid according to Policy: ..."; *ret_message (in the
 * arena) says which rule. */
enum s3_err post_policy_check(struct gfs_slice policy, int64_t now_ms,
                              const struct post_policy_form *form, struct gfs_arena *arena,
                              struct post_policy_range *ret, const char **ret_message);

/* EntityTooLarge as soon as len passes the maximum; EntityTooSmall when is_all of it came and it is
 * below the minimum. */
enum s3_err post_policy_check_length(const struct post_policy_range *range, uint64_t len,
                                     bool is_all);
