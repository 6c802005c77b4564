#include "gateway/s3_settings.h"

#include "gateway/s3_acl.h"
#include "gateway/s3_xml.h"
#include "libgoodfs/mem.h"

enum { SETTING_XML_MAX = 4096 };

/* Immutable. What a GET answers: the error, or the XML of `root` around `content`. */
struct setting {
    const char *name; /* of the query parameter */
    enum s3_level level;
    const char *feature; /* for "... is not implemented." */
    enum s3_err get_err; /* S3_OK: XML */
    const char *root;    /* NULL with S3_OK: the ACL */
    const char *content;
    bool has_ids;         /* a GET with ?id= asks for one of a list, which is not there */
    bool is_delete_empty; /* deleting it when it is not there is 204 */
};

static const struct setting settings[] = {
    {"acl", S3_BUCKET, "Setting a bucket ACL other than private", S3_OK, NULL, NULL, false, false},
    {"versioning", S3_BUCKET, "Bucket versioning", S3_OK, "VersioningConfiguration", "", false,
     false},
    {"policy", S3_BUCKET, "Bucket policy", S3_NoSuchBucketPolicy, NULL, NULL, false, true},
    {"policyStatus", S3_BUCKET, "Bucket policy", S3_NoSuchBucketPolicy, NULL, NULL, false, false},
    {"cors", S3_BUCKET, "Bucket CORS configuration", S3_NoSuchCORSConfiguration, NULL, NULL, false,
     true},
    {"tagging", S3_BUCKET, "Bucket tagging", S3_NoSuchTagSet, NULL, NULL, false, true},
    {"lifecycle", S3_BUCKET, "Bucket lifecycle configuration", S3_NoSuchLifecycleConfiguration,
     NULL, NULL, false, true},
    {"encryption", S3_BUCKET, "Bucket default encryption",
     S3_ServerSideEncryptionConfigurationNotFoundError, NULL, NULL, false, false},
    {"object-lock", S3_BUCKET, "Object Lock", S3_ObjectLockConfigurationNotFoundError, NULL, NULL,
     false, false},
    {"replication", S3_BUCKET, "Bucket replication", S3_ReplicationConfigurationNotFoundError, NULL,
     NULL, false, true},
    {"website", S3_BUCKET, "Website hosting", S3_NoSuchWebsiteConfiguration, NULL, NULL, false,
     true},
    {"notification", S3_BUCKET, "Bucket notification", S3_OK, "NotificationConfiguration", "",
     false, false},
    {"logging", S3_BUCKET, "Bucket access logging", S3_OK, "BucketLoggingStatus", "", false, false},
    {"requestPayment", S3_BUCKET, "Setting the request payer", S3_OK, "RequestPaymentConfiguration",
     "<Payer>BucketOwner</Payer>", false, false},
    {"accelerate", S3_BUCKET, "Transfer acceleration", S3_OK, "AccelerateConfiguration", "", false,
     false},
    {"publicAccessBlock", S3_BUCKET, "Public access block", S3_NoSuchPublicAccessBlockConfiguration,
     NULL, NULL, false, true},
    {"ownershipControls", S3_BUCKET, "Setting ownership controls", S3_OK, "OwnershipControls",
     "<Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule>", false, false},
    {"analytics", S3_BUCKET, "Bucket analytics configuration", S3_OK,
     "ListBucketAnalyticsConfigurationResult", "<IsTruncated>false</IsTruncated>", true, false},
    {"inventory", S3_BUCKET, "Bucket inventory configuration", S3_OK,
     "ListInventoryConfigurationsResult", "<IsTruncated>false</IsTruncated>", true, false},
    {"metrics", S3_BUCKET, "Bucket metrics configuration", S3_OK, "ListMetricsConfigurationsResult",
     "<IsTruncated>false</IsTruncated>", true, false},
    {"intelligent-tiering", S3_BUCKET, "Intelligent tiering", S3_OK,
     "ListBucketIntelligentTieringConfigurationsOutput", "<IsTruncated>false</IsTruncated>", true,
     false},
    {"abac", S3_BUCKET, "Attribute-based access control", S3_NotImplemented, NULL, NULL, false,
     false},
    {"metadataConfiguration", S3_BUCKET, "Bucket metadata configuration", S3_NotImplemented, NULL,
     NULL, false, false},
    {"metadataTable", S3_BUCKET, "Bucket metadata table", S3_NotImplemented, NULL, NULL, false,
     false},
    {"metadataInventoryTable", S3_BUCKET, "Bucket metadata inventory table", S3_NotImplemented,
     NULL, NULL, false, false},
    {"metadataJournalTable", S3_BUCKET, "Bucket metadata journal table", S3_NotImplemented, NULL,
     NULL, false, false},
    {"session", S3_BUCKET, "CreateSession", S3_NotImplemented, NULL, NULL, false, false},

    {"acl", S3_OBJECT, "Setting an object ACL other than private", S3_OK, NULL, NULL, false, false},
    {"tagging", S3_OBJECT, "Object tagging", S3_OK, "Tagging", "<TagSet></TagSet>", false, true},
    {"retention", S3_OBJECT, "Object retention", S3_NoSuchObjectLockConfiguration, NULL, NULL,
     false, false},
    {"legal-hold", S3_OBJECT, "Object legal hold", S3_NoSuchObjectLockConfiguration, NULL, NULL,
     false, false},
    {"torrent", S3_OBJECT, "BitTorrent", S3_NotImplemented, NULL, NULL, false, false},
    {"select", S3_OBJECT, "S3 Select", S3_NotImplemented, NULL, NULL, false, false},
    {"restore", S3_OBJECT, "RestoreObject", S3_NotImplemented, NULL, NULL, false, false},
    {"renameObject", S3_OBJECT, "RenameObject", S3_NotImplemented, NULL, NULL, false, false},
    {"encryption", S3_OBJECT, "UpdateObjectEncryption", S3_NotImplemented, NULL, NULL, false,
     false},
    {"annotation", S3_OBJECT, "Object annotation", S3_NotImplemented, NULL, NULL, false, false},
    {"annotations", S3_OBJECT, "Object annotation", S3_NotImplemented, NULL, NULL, false, false},
};

static const struct setting *find_setting(enum s3_level level, struct gfs_slice name)
{
    for (size_t i = 0; i < GFS_COUNT(settings); i++) {
        if (settings[i].level == level && gfs_slice_eq_str(name, settings[i].name)) {
            return &settings[i];
        }
    }
    return NULL;
}

/* The setting a routed request is about: the first parameter that names one, as in routing. */
static const struct setting *setting_of(const struct s3_request *r)
{
    const struct setting *setting = NULL;
    for (uint32_t i = 0; setting == NULL && i < r->param_count; i++) {
        setting = find_setting(r->level, r->params[i].name);
    }
    GFS_ASSERT(setting != NULL);
    return setting;
}

/* ---- the object, where there is one, must exist ---- */

struct pending {
    void (*answer)(struct s3_request *r);
};

static void looked_up(struct s3_request *r, enum gfs_err err, struct meta_row *row)
{
    struct pending *pending = r->op_state;
    meta_row_unref(row);
    if (err != GFS_OK) {
        s3_fail(r, s3_err_from_gfs(err, META_MISSING_KEY), NULL);
        return;
    }
    pending->answer(r);
}

static void when_it_exists(struct s3_request *r, void (*answer)(struct s3_request *r))
{
    if (r->level == S3_BUCKET) {
        answer(r); /* S3_NEEDS_BUCKET saw to it */
        return;
    }
    const char *message = NULL;
    enum s3_err err = s3_version_check(r, &message);
    if (err != S3_OK) {
        s3_fail_message(r, err, message);
        return;
    }
    struct pending *pending = gfs_arena_alloc(&r->arena, sizeof *pending);
    if (pending == NULL) {
        s3_fail(r, S3_SlowDown, NULL);
        return;
    }
    pending->answer = answer;
    r->op_state = pending;
    s3_lookup(r, r->bucket_rec.id, r->key, looked_up);
}

/* ---- reading ---- */

static void get_answer(struct s3_request *r)
{
    const struct setting *setting = setting_of(r);
    if (setting->get_err == S3_NotImplemented) {
        s3_fail(r, S3_NotImplemented, "%s is not implemented.", setting->feature);
        return;
    }
    if (setting->get_err != S3_OK) {
        s3_fail(r, setting->get_err, NULL);
        return;
    }
    if (setting->has_ids && s3_param_find(r, "id") != NULL) {
        s3_fail(r, S3_NoSuchConfiguration, NULL);
        return;
    }
    struct gfs_buf xml;
    gfs_buf_init(&xml, SETTING_XML_MAX);
    if (setting->root == NULL) {
        s3_acl_xml(&xml);
    } else {
        gfs_xml_begin(&xml, setting->root, S3_XMLNS);
        gfs_buf_add_str(&xml, setting->content);
        gfs_xml_close(&xml, setting->root);
    }
    s3_reply_xml(r, 200, &xml);
}

static void get_start(struct s3_request *r)
{
    when_it_exists(r, get_answer);
}

static const struct s3_op op_get = {
    .name = "GetSetting",
    .action = S3_ACTION_READ,
    .body = S3_BODY_NONE,
    .flags = S3_NEEDS_BUCKET,
    .start = get_start,
};

/* ---- writing ---- */

static void refuse_start(struct s3_request *r)
{
    s3_fail(r, S3_NotImplemented, "%s is not implemented.", setting_of(r)->feature);
}

static const struct s3_op op_refuse = {
    .name = "PutSetting",
    .action = S3_ACTION_ADMIN_BUCKET,
    .body = S3_BODY_NONE,
    .flags = S3_NEEDS_BUCKET,
    .start = refuse_start,
};

static void delete_answer(struct s3_request *r)
{
    s3_reply_empty(r, 204);
}

static void delete_finish(struct s3_request *r)
{
    when_it_exists(r, delete_answer);
}

static const struct s3_op op_delete = {
    .name = "DeleteSetting",
    .action = S3_ACTION_ADMIN_BUCKET,
    .body = S3_BODY_NONE,
    .flags = S3_NEEDS_BUCKET,
    .finish = delete_finish,
};

static void put_acl_answer(struct s3_request *r)
{
    s3_reply_empty(r, 200);
}

static void put_acl_finish(struct s3_request *r)
{
    enum s3_err err = s3_acl_check(r->http, gfs_buf_slice(&r->body), &r->arena);
    if (err == S3_NotImplemented) {
        refuse_start(r);
    } else if (err != S3_OK) {
        s3_fail(r, err, NULL);
    } else {
        when_it_exists(r, put_acl_answer);
    }
}

static const struct s3_op op_put_acl = {
    .name = "PutAcl",
    .action = S3_ACTION_ADMIN_BUCKET,
    .body = S3_BODY_XML,
    .flags = S3_NEEDS_BUCKET,
    .finish = put_acl_finish,
};

const struct s3_op *s3_settings_op(enum http_method method, enum s3_level level,
                                   struct gfs_slice subresource)
{
    const struct setting *setting = find_setting(level, subresource);
    if (setting == NULL) {
        return NULL;
    }
    switch (method) {
    case HTTP_GET:
        return &op_get;
    case HTTP_PUT:
        return gfs_slice_eq_str(subresource, "acl") ? &op_put_acl : &op_refuse;
    case HTTP_POST:
        return &op_refuse;
    case HTTP_DELETE:
        return setting->is_delete_empty ? &op_delete : &op_refuse;
    case HTTP_HEAD:
    case HTTP_OPTIONS:
    case HTTP_OTHER:
        break;
    }
    return NULL;
}
