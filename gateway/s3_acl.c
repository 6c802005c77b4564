#include "gateway/s3_acl.h"

#include "gateway/s3_xml.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

enum { ACL_NODES_MAX = 1024 };

void s3_acl_xml(struct gfs_buf *xml)
{
    gfs_xml_begin(xml, "AccessControlPolicy", S3_XMLNS);
    s3_xml_owner(xml, "Owner", NULL);
    gfs_buf_add_str(xml, "<AccessControlList><Grant><Grantee "
                         "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" "
                         "xsi:type=\"CanonicalUser\"><ID>");
    gfs_buf_add_str(xml, s3_owner_id());
    gfs_buf_add_str(xml, "</ID></Grantee><Permission>FULL_CONTROL</Permission></Grant>"
                         "</AccessControlList>");
    gfs_xml_close(xml, "AccessControlPolicy");
}

static bool is_owner(const struct gfs_xml_node *account)
{
    return account != NULL &&
           gfs_slice_eq_str(gfs_trim(gfs_xml_child_text(account, "ID")), s3_owner_id());
}

/* Exactly one grant: FULL_CONTROL to the owner. */
static enum s3_err check_body(struct gfs_slice body, struct gfs_arena *arena)
{
    const struct gfs_xml_node *root = NULL;
    enum s3_err err = s3_xml_parse(body, "AccessControlPolicy", ACL_NODES_MAX, arena, &root);
    if (err != S3_OK) {
        return err;
    }
    const struct gfs_xml_node *list = gfs_xml_child(root, "AccessControlList");
    if (list == NULL) {
        return S3_MalformedXML;
    }
    const struct gfs_xml_node *owner = gfs_xml_child(root, "Owner");
    if (owner != NULL && !is_owner(owner)) {
        return S3_AccessDenied;
    }
    size_t count = 0;
    for (const struct gfs_xml_node *grant = list->child; grant != NULL; grant = grant->next) {
        if (!gfs_slice_eq_str(grant->name, "Grant")) {
            continue;
        }
        count++;
        if (!is_owner(gfs_xml_child(grant, "Grantee")) ||
            !gfs_slice_eq_str(gfs_trim(gfs_xml_child_text(grant, "Permission")), "FULL_CONTROL")) {
            return S3_NotImplemented;
        }
    }
    return count == 1 ? S3_OK : S3_NotImplemented;
}

enum s3_err s3_acl_check(const struct http_request *http, struct gfs_slice body,
                         struct gfs_arena *arena)
{
    bool has_canned = false;
    for (uint32_t i = 0; i < http->header_count; i++) {
        const struct http_header *header = &http->headers[i];
        if (gfs_slice_starts(header->name, GFS_SLICE_LITERAL("x-amz-grant-"))) {
            return S3_NotImplemented;
        }
        if (gfs_slice_eq_str(header->name, "x-amz-acl")) {
            has_canned = true;
            if (!gfs_slice_eq_str(header->value, "private") &&
                !gfs_slice_eq_str(header->value, "bucket-owner-full-control")) {
                return S3_NotImplemented;
            }
        }
    }
    if (!s3_xml_is_blank(body)) {
        return has_canned ? S3_UnexpectedContent : check_body(body, arena);
    }
    return has_canned ? S3_OK : S3_MissingSecurityHeader;
}
