#include "gateway/s3_delete_body.h"

#include "gateway/s3_xml.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

/* Delete, Quiet, and per object itself, its key, version and three conditions; and some unknown. */
enum { NODES_MAX = 8 * GFS_DELETE_KEYS_MAX };

bool s3_delete_date_parse(struct gfs_slice text, int64_t *ret_unix_s)
{
    int64_t ms = 0;
    if (gfs_parse_http_date(text, ret_unix_s) == GFS_OK) {
        return true;
    }
    if (gfs_parse_iso_date(text, &ms) != GFS_OK) {
        return false;
    }
    *ret_unix_s = ms / 1000;
    return true;
}

static enum s3_err parse_etag(struct gfs_slice text, struct gfs_arena *arena,
                              struct meta_condition *ret)
{
    if (gfs_slice_eq_str(text, "*")) {
        ret->if_match_any = true;
        return S3_OK;
    }
    ret->has_if_match = true;
    ret->etags = gfs_arena_alloc(arena, sizeof *ret->etags);
    if (ret->etags == NULL) {
        return S3_SlowDown;
    }
    /* text that is no ETag of ours leaves the list empty: the condition is false */
    if (s3_etag_parse(text, ret->etags->md5, &ret->etags->parts)) {
        ret->etag_count = 1;
    }
    return S3_OK;
}

static enum s3_err parse_conditions(const struct gfs_xml_node *object, struct gfs_arena *arena,
                                    struct meta_condition *ret)
{
    struct gfs_slice etag = gfs_xml_child_text(object, "ETag");
    if (etag.ptr != NULL) {
        enum s3_err err = parse_etag(gfs_trim(etag), arena, ret);
        if (err != S3_OK) {
            return err;
        }
    }
    struct gfs_slice size = gfs_xml_child_text(object, "Size");
    if (size.ptr != NULL) {
        ret->has_if_match_size = true;
        if (gfs_parse_u64(gfs_trim(size), INT64_MAX, &ret->if_match_size) != GFS_OK) {
            return S3_MalformedXML;
        }
    }
    struct gfs_slice date = gfs_xml_child_text(object, "LastModifiedTime");
    if (date.ptr != NULL) {
        ret->has_if_match_mtime = true;
        if (!s3_delete_date_parse(gfs_trim(date), &ret->if_match_mtime_s)) {
            return S3_MalformedXML;
        }
    }
    return S3_OK;
}

static enum s3_err parse_object(const struct gfs_xml_node *object, struct gfs_arena *arena,
                                struct s3_delete_list *list)
{
    struct s3_delete_entry *entry = &list->entries[list->entry_count++];
    *entry = (struct s3_delete_entry){.key = gfs_xml_child_text(object, "Key"),
                                      .version_id = gfs_xml_child_text(object, "VersionId")};
    if (entry->key.len == 0) {
        return S3_MalformedXML;
    }
    if (entry->key.len > GFS_KEY_LEN_MAX) {
        entry->err = S3_KeyTooLongError;
        return S3_OK;
    }
    if (entry->version_id.len > 0 && !gfs_slice_eq_str(entry->version_id, "null")) {
        entry->err = S3_NoSuchVersion;
        return S3_OK;
    }
    entry->item = &list->deletes[list->delete_count++];
    *entry->item = (struct meta_delete){.key = entry->key};
    return parse_conditions(object, arena, &entry->item->condition);
}

static enum s3_err parse_quiet(const struct gfs_xml_node *root, bool *ret)
{
    struct gfs_slice text = gfs_trim(gfs_xml_child_text(root, "Quiet"));
    *ret = gfs_slice_eq_str(text, "true");
    return *ret || text.len == 0 || gfs_slice_eq_str(text, "false") ? S3_OK : S3_MalformedXML;
}

enum s3_err s3_delete_parse(struct gfs_slice body, struct gfs_arena *arena,
                            struct s3_delete_list *ret)
{
    const struct gfs_xml_node *root = NULL;
    *ret = (struct s3_delete_list){0};
    enum s3_err err = s3_xml_parse(body, "Delete", NODES_MAX, arena, &root);
    if (err == S3_OK) {
        err = parse_quiet(root, &ret->is_quiet);
    }
    if (err != S3_OK) {
        return err;
    }
    ret->entries = gfs_arena_alloc(arena, GFS_DELETE_KEYS_MAX * sizeof *ret->entries);
    ret->deletes = gfs_arena_alloc(arena, GFS_DELETE_KEYS_MAX * sizeof *ret->deletes);
    if (ret->entries == NULL || ret->deletes == NULL) {
        return S3_SlowDown;
    }
    for (const struct gfs_xml_node *node = root->child; node != NULL; node = node->next) {
        if (!gfs_slice_eq_str(node->name, "Object")) {
            continue;
        }
        if (ret->entry_count == GFS_DELETE_KEYS_MAX) {
            return S3_MalformedXML;
        }
        err = parse_object(node, arena, ret);
        if (err != S3_OK) {
            return err;
        }
    }
    return ret->entry_count == 0 ? S3_MalformedXML : S3_OK;
}

static void add_result(const struct s3_delete_entry *entry, enum s3_err err, struct gfs_buf *xml)
{
    const char *element = err == S3_OK ? "Deleted" : "Error";
    gfs_xml_open(xml, element);
    gfs_xml_element(xml, "Key", entry->key);
    if (entry->version_id.len > 0) {
        gfs_xml_element(xml, "VersionId", entry->version_id);
    }
    if (err != S3_OK) {
        gfs_xml_element_str(xml, "Code", s3_err_code(err));
        gfs_xml_element_str(xml, "Message", s3_err_message(err));
    }
    gfs_xml_close(xml, element);
}

void s3_delete_result(const struct s3_delete_list *list, struct gfs_buf *xml)
{
    for (uint32_t i = 0; i < list->entry_count; i++) {
        const struct s3_delete_entry *entry = &list->entries[i];
        enum s3_err err = entry->err;
        if (entry->item != NULL) {
            err = s3_err_from_gfs(entry->item->err, META_MISSING_KEY);
        }
        if (err != S3_OK || !list->is_quiet) {
            add_result(entry, err, xml);
        }
    }
}
