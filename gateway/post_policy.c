#include "gateway/post_policy.h"

#include "libgoodfs/json.h"
#include "libgoodfs/limits.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

/* One check under way. */
struct check {
    const struct post_policy_form *form;
    struct gfs_arena *arena;
    const char **message;
    struct post_policy_range *range;
    bool is_bucket_named;
    bool is_named[FORM_DATA_FIELD_COUNT_MAX]; /* by a condition */
};

enum { SHOWN_LEN_MAX = 160 };

static enum s3_err invalid_policy(struct check *check, const char *why)
{
    *check->message = gfs_arena_printf(check->arena, "Invalid Policy: %s", why);
    return S3_InvalidPolicyDocument;
}

static enum s3_err condition_failed(struct check *check, const struct gfs_json *condition)
{
    char shown[SHOWN_LEN_MAX];
    gfs_json_show(condition, shown, sizeof shown);
    *check->message = gfs_arena_printf(
        check->arena, "Invalid according to Policy: Policy Condition failed: %s", shown);
    return S3_AccessDenied;
}

/* The field's value, marking it as named. The bucket is a field that every form has, and one that
 * the form spells out must agree. False: there is no such field. */
static bool find_field(struct check *check, struct gfs_slice name, struct gfs_slice *ret)
{
    const struct post_policy_form *form = check->form;
    bool is_bucket = gfs_slice_case_eq(name, GFS_SLICE_LITERAL("bucket"));
    bool is_found = is_bucket;
    if (is_bucket) {
        check->is_bucket_named = true;
        *ret = form->bucket;
    }
    for (size_t i = 0; i < form->field_count; i++) {
        if (gfs_slice_case_eq(form->fields[i].name, name)) {
            check->is_named[i] = true;
            is_found = !is_bucket || gfs_slice_eq(form->fields[i].value, form->bucket);
            *ret = form->fields[i].value;
        }
    }
    return is_found;
}

static enum s3_err check_equal(struct check *check, const struct gfs_json *condition,
                               struct gfs_slice name, struct gfs_slice wanted)
{
    struct gfs_slice value;
    return find_field(check, name, &value) && gfs_slice_eq(value, wanted)
               ? S3_OK
               : condition_failed(check, condition);
}

/* In a list of content types each one must match. */
static bool all_start(struct gfs_slice list, struct gfs_slice prefix)
{
    for (;;) {
        const char *comma = list.len == 0 ? NULL : memchr(list.ptr, ',', list.len);
        size_t len = comma == NULL ? list.len : (size_t)(comma - list.ptr);
        if (!gfs_slice_starts(gfs_trim(gfs_slice_of(list.ptr, len)), prefix)) {
            return false;
        }
        if (comma == NULL) {
            return true;
        }
        list = gfs_slice_of(comma + 1, list.len - len - 1);
    }
}

static enum s3_err check_starts(struct check *check, const struct gfs_json *condition,
                                struct gfs_slice name, struct gfs_slice prefix)
{
    struct gfs_slice value;
    if (!find_field(check, name, &value)) {
        return condition_failed(check, condition);
    }
    bool is_list = gfs_slice_case_eq(name, GFS_SLICE_LITERAL("content-type"));
    bool is_met = is_list ? all_start(value, prefix) : gfs_slice_starts(value, prefix);
    return is_met ? S3_OK : condition_failed(check, condition);
}

/* A number, or text of digits as some clients write. */
static bool take_length(const struct gfs_json *value, uint64_t *ret)
{
    int64_t number;
    if (gfs_json_integer(value, &number)) {
        *ret = (uint64_t)number;
        return number >= 0;
    }
    return gfs_parse_u64(gfs_json_string(value), INT64_MAX, ret) == GFS_OK;
}

static enum s3_err check_range(struct check *check, const struct gfs_json *condition)
{
    uint64_t min, max;
    if (gfs_json_count(condition) != 3 || !take_length(gfs_json_at(condition, 1), &min) ||
        !take_length(gfs_json_at(condition, 2), &max) || min > max) {
        return invalid_policy(check, "Invalid content-length-range.");
    }
    check->range->length_min = GFS_MAX(check->range->length_min, min);
    check->range->length_max = GFS_MIN(check->range->length_max, max);
    return S3_OK;
}

/* ["eq", "$name", "value"], ["starts-with", "$name", "prefix"], ["content-length-range", a, b] */
static enum s3_err check_array(struct check *check, const struct gfs_json *condition)
{
    struct gfs_slice operation = gfs_json_string(gfs_json_at(condition, 0));
    if (operation.ptr == NULL) {
        return invalid_policy(check, "Invalid Condition: the operator is missing.");
    }
    if (gfs_slice_case_eq(operation, GFS_SLICE_LITERAL("content-length-range"))) {
        return check_range(check, condition);
    }
    struct gfs_slice name = gfs_json_string(gfs_json_at(condition, 1));
    struct gfs_slice value = gfs_json_string(gfs_json_at(condition, 2));
    if (gfs_json_count(condition) != 3 || name.len < 2 || name.ptr[0] != '$' || value.ptr == NULL) {
        return invalid_policy(check, "Invalid Condition: expecting an operator, \"$field\" and a "
                                     "value.");
    }
    name = gfs_slice_of(name.ptr + 1, name.len - 1);
    if (gfs_slice_case_eq(operation, GFS_SLICE_LITERAL("eq"))) {
        return check_equal(check, condition, name, value);
    }
    if (gfs_slice_case_eq(operation, GFS_SLICE_LITERAL("starts-with"))) {
        return check_starts(check, condition, name, value);
    }
    return invalid_policy(check, "Invalid Condition: unknown operation.");
}

static enum s3_err check_condition(struct check *check, const struct gfs_json *condition)
{
    struct gfs_slice name;
    const struct gfs_json *value;
    if (gfs_json_type(condition) == GFS_JSON_ARRAY) {
        return check_array(check, condition);
    }
    if (!gfs_json_only_member(condition, &name, &value) || gfs_json_string(value).ptr == NULL) {
        return invalid_policy(check,
                              "Invalid Simple-Condition: Simple-Conditions must have exactly "
                              "one property specified, of type string.");
    }
    return check_equal(check, condition, name, gfs_json_string(value));
}

static bool needs_no_condition(struct gfs_slice name)
{
    return gfs_slice_eq_str(name, "x-amz-signature") || gfs_slice_eq_str(name, "policy") ||
           gfs_slice_eq_str(name, "file") || gfs_slice_starts(name, GFS_SLICE_LITERAL("x-ignore-"));
}

/* What the policy does not mention, its author did not allow. */
static enum s3_err check_all_named(struct check *check)
{
    struct gfs_slice extra = {0};
    for (size_t i = 0; i < check->form->field_count && extra.ptr == NULL; i++) {
        struct gfs_slice name = check->form->fields[i].name;
        if (!check->is_named[i] && !needs_no_condition(name)) {
            extra = name;
        }
    }
    if (extra.ptr == NULL && !check->is_bucket_named) {
        extra = GFS_SLICE_LITERAL("bucket");
    }
    if (extra.ptr == NULL) {
        return S3_OK;
    }
    *check->message =
        gfs_arena_printf(check->arena, "Invalid according to Policy: Extra input fields: %.*s",
                         (int)GFS_MIN(extra.len, (size_t)SHOWN_LEN_MAX), extra.ptr);
    return S3_AccessDenied;
}

static enum s3_err check_expiration(struct check *check, const struct gfs_json *document,
                                    int64_t now_ms)
{
    const struct gfs_json *expiration = gfs_json_get(document, "expiration");
    int64_t until_ms;
    if (expiration == NULL) {
        return invalid_policy(check, "Policy missing expiration.");
    }
    if (gfs_parse_iso_date(gfs_json_string(expiration), &until_ms) != GFS_OK) {
        return invalid_policy(check, "Invalid 'expiration' value.");
    }
    if (now_ms > until_ms) {
        *check->message = "Invalid according to Policy: Policy expired.";
        return S3_AccessDenied;
    }
    return S3_OK;
}

static enum s3_err check_document(struct check *check, const struct gfs_json *document,
                                  int64_t now_ms)
{
    enum s3_err err = check_expiration(check, document, now_ms);
    if (err != S3_OK) {
        return err;
    }
    const struct gfs_json *conditions = gfs_json_get(document, "conditions");
    if (conditions == NULL || gfs_json_type(conditions) != GFS_JSON_ARRAY) {
        return invalid_policy(check, "Policy missing conditions.");
    }
    for (size_t i = 0; i < gfs_json_count(conditions) && err == S3_OK; i++) {
        err = check_condition(check, gfs_json_at(conditions, i));
    }
    return err == S3_OK ? check_all_named(check) : err;
}

enum s3_err post_policy_check(struct gfs_slice policy, int64_t now_ms,
                              const struct post_policy_form *form, struct gfs_arena *arena,
                              struct post_policy_range *ret, const char **ret_message)
{
    struct check check = {.form = form, .arena = arena, .message = ret_message, .range = ret};
    *ret = (struct post_policy_range){.length_max = GFS_PART_SIZE_MAX};
    *ret_message = NULL;
    if (form->field_count > FORM_DATA_FIELD_COUNT_MAX || policy.len > FORM_DATA_FIELDS_LEN_MAX) {
        return S3_MaxPostPreDataLengthExceededError;
    }
    char text[FORM_DATA_FIELDS_LEN_MAX];
    size_t len = 0;
    struct gfs_json *document = NULL;
    if (gfs_base64_decode(policy, text, sizeof text, &len) != GFS_OK) {
        return invalid_policy(&check, "Invalid base64.");
    }
    if (gfs_json_parse(gfs_slice_of(text, len), &document, NULL) != GFS_OK) {
        return invalid_policy(&check, "Invalid JSON.");
    }
    enum s3_err err = check_document(&check, document, now_ms);
    gfs_json_free(document);
    return err;
}

enum s3_err post_policy_check_length(const struct post_policy_range *range, uint64_t len,
                                     bool is_all)
{
    if (len > range->length_max) {
        return S3_EntityTooLarge;
    }
    return is_all && len < range->length_min ? S3_EntityTooSmall : S3_OK;
}
