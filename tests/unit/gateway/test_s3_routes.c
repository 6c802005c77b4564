#include <criterion/criterion.h>

#include "gateway/s3_ops.h"
#include "gateway/s3_request.h"

static void check_default_deny(void *arg, const struct s3_op *op)
{
    int *count = arg;
    (*count)++;
    struct auth_result anonymous = {.is_anonymous = true};
    struct auth_result root = {.is_anonymous = false};
    cr_assert_not_null(op->name);
    if (op->action == S3_ACTION_FORM) {
        cr_assert_str_eq(op->name, "PostObject", "only the form upload brings its own policy");
        return;
    }
    cr_assert_eq(s3_authorize(op, &anonymous), S3_AccessDenied, "%s", op->name);
    cr_assert_eq(s3_authorize(op, &root), S3_OK, "%s", op->name);
}

Test(s3_routes, every_operation_is_denied_to_anonymous_requests)
{
    int count = 0;
    s3_routes_each(check_default_deny, &count);
    cr_assert(count >= 22);
}

static void check_shape(void *arg, const struct s3_op *op)
{
    (void)arg;
    cr_assert(op->start != NULL || op->finish != NULL, "%s never answers", op->name);
    if (op->body == S3_BODY_STREAM) {
        cr_assert(op->data != NULL && op->finish != NULL, "%s", op->name);
    }
}

Test(s3_routes, every_operation_can_answer)
{
    s3_routes_each(check_shape, NULL);
}
