/* Which operation a request names, and who may do it. One table; whatever is not in it is refused.
 */
#include "gateway/gateway_state.h"
#include "gateway/s3_ops.h"
#include "gateway/s3_request.h"
#include "gateway/s3_settings.h"
#include "libgoodfs/mem.h"

/* Immutable. The first line whose conditions all hold wins. */
struct route {
    enum http_method method;
    enum s3_level level;
    const char *param;  /* must be present; NULL = any */
    const char *header; /* must be present */
    const struct s3_op *op;
};

static const struct route routes[] = {
    {HTTP_GET, S3_SERVICE, NULL, NULL, &s3_op_list_buckets},

    {HTTP_HEAD, S3_BUCKET, NULL, NULL, &s3_op_head_bucket},
    {HTTP_PUT, S3_BUCKET, NULL, NULL, &s3_op_create_bucket},
    {HTTP_DELETE, S3_BUCKET, NULL, NULL, &s3_op_delete_bucket},
    {HTTP_GET, S3_BUCKET, "location", NULL, &s3_op_get_bucket_location},
    {HTTP_GET, S3_BUCKET, "uploads", NULL, &s3_op_list_multipart_uploads},
    {HTTP_GET, S3_BUCKET, "versions", NULL, &s3_op_list_object_versions},
    {HTTP_GET, S3_BUCKET, "list-type", NULL, &s3_op_list_objects_v2},
    {HTTP_GET, S3_BUCKET, NULL, NULL, &s3_op_list_objects},
    {HTTP_POST, S3_BUCKET, "delete", NULL, &s3_op_delete_objects},
    {HTTP_POST, S3_BUCKET, NULL, "content-type", &s3_op_post_object},

    {HTTP_HEAD, S3_OBJECT, NULL, NULL, &s3_op_head_object},
    {HTTP_GET, S3_OBJECT, "uploadId", NULL, &s3_op_list_parts},
    {HTTP_GET, S3_OBJECT, "attributes", NULL, &s3_op_get_object_attributes},
    {HTTP_GET, S3_OBJECT, NULL, NULL, &s3_op_get_object},
    {HTTP_PUT, S3_OBJECT, "uploadId", "x-amz-copy-source", &s3_op_upload_part_copy},
    {HTTP_PUT, S3_OBJECT, "partNumber", "x-amz-copy-source", &s3_op_upload_part_copy},
    {HTTP_PUT, S3_OBJECT, "uploadId", NULL, &s3_op_upload_part},
    {HTTP_PUT, S3_OBJECT, "partNumber", NULL, &s3_op_upload_part},
    {HTTP_PUT, S3_OBJECT, NULL, "x-amz-copy-source", &s3_op_copy_object},
    {HTTP_PUT, S3_OBJECT, NULL, NULL, &s3_op_put_object},
    {HTTP_POST, S3_OBJECT, "uploads", NULL, &s3_op_create_multipart_upload},
    {HTTP_POST, S3_OBJECT, "uploadId", NULL, &s3_op_complete_multipart_upload},
    {HTTP_DELETE, S3_OBJECT, "uploadId", NULL, &s3_op_abort_multipart_upload},
    {HTTP_DELETE, S3_OBJECT, NULL, NULL, &s3_op_delete_object},
};

static bool route_matches(const struct s3_request *r, const struct route *route)
{
    return route->method == r->http->method && route->level == r->level &&
           (route->param == NULL || s3_param_find(r, route->param) != NULL) &&
           (route->header == NULL || s3_header(r, route->header).ptr != NULL);
}

/* A sub-resource that this server does not know, "PUT /bucket/key?torrents": taking it for the
 * object itself would replace or delete what the client did not mean. */
static const struct s3_param *unknown_subresource(const struct s3_request *r,
                                                  const struct route *route)
{
    if (r->http->method == HTTP_GET || r->http->method == HTTP_HEAD) {
        return NULL;
    }
    for (uint32_t i = 0; i < r->param_count; i++) {
        const struct s3_param *param = &r->params[i];
        bool is_known = param->value.len != 0 ||
                        (route->param != NULL && gfs_slice_eq_str(param->name, route->param)) ||
                        gfs_slice_eq_str(param->name, "partNumber") ||
                        gfs_slice_eq_str(param->name, "uploadId") ||
                        gfs_slice_eq_str(param->name, "versionId") ||
                        gfs_slice_starts(param->name, GFS_SLICE_LITERAL("x-")) ||
                        gfs_slice_starts(param->name, GFS_SLICE_LITERAL("X-Amz-"));
        if (!is_known) {
            return param;
        }
    }
    return NULL;
}

enum s3_err s3_route(struct s3_request *r, const struct s3_op **ret, const char **ret_message)
{
    for (uint32_t i = 0; i < r->param_count; i++) {
        const struct s3_op *op = s3_settings_op(r->http->method, r->level, r->params[i].name);
        if (op != NULL) {
            *ret = op;
            return S3_OK;
        }
    }
    for (size_t i = 0; i < GFS_COUNT(routes); i++) {
        if (route_matches(r, &routes[i])) {
            *ret = routes[i].op;
            if (unknown_subresource(r, &routes[i]) != NULL) {
                *ret_message = "The sub-resource named in the query string is not implemented.";
                return S3_NotImplemented;
            }
            return S3_OK;
        }
    }
    if (r->http->method == HTTP_OPTIONS) {
        *ret_message = "CORSResponse: CORS is not enabled for this bucket.";
        return S3_AccessDenied;
    }
    return S3_MethodNotAllowed;
}

enum s3_err s3_authorize(const struct s3_op *op, const struct auth_result *auth)
{
    if (op->action == S3_ACTION_FORM) {
        return S3_OK; /* the form's own policy is verified before anything else happens */
    }
    /* the one account there is owns everything; anonymous requests own nothing */
    return auth->is_anonymous ? S3_AccessDenied : S3_OK;
}

void s3_routes_each(void (*visit)(void *arg, const struct s3_op *op), void *arg)
{
    for (size_t i = 0; i < GFS_COUNT(routes); i++) {
        visit(arg, routes[i].op);
    }
}
