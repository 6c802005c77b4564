#include "goodfs/fsck_findings.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "libgoodfs/mem.h"

enum { LINKS_MAX = 2 * FSCK_LOSSES_MAX, SIZE_MIN = 64 };

static_assert(sizeof(struct fsck_finding) == 24, "the header says how much memory it takes");
static_assert(sizeof(struct fsck_named) <= 72, "the header says how much memory it takes");
static_assert(LINKS_MAX <= UINT32_MAX && FSCK_NAMES_LEN_MAX <= UINT32_MAX, "indices of 32 bits");

/* An array of `size` items of which all are in use gets larger. */
static void *grow(void *items, size_t count, size_t *size, size_t item_size)
{
    if (count < *size) {
        return items;
    }
    *size = GFS_MAX(*size * 2, (size_t)SIZE_MIN);
    return gfs_realloc(items, *size * item_size);
}

void fsck_findings_init(struct fsck_findings *findings)
{
    *findings = (struct fsck_findings){0};
    gfs_buf_init(&findings->names, FSCK_NAMES_LEN_MAX);
}

void fsck_findings_fini(struct fsck_findings *findings)
{
    free(findings->items);
    free(findings->rows);
    free(findings->links);
    gfs_buf_fini(&findings->names);
}

void fsck_list_release(struct fsck_list *list)
{
    free(list->rows);
    free(list->names);
    *list = (struct fsck_list){0};
}

/* ---- chunks ---- */

/* Fragments are missing. Where the others are is no matter: while a disk is drained they are all
 * there, some not yet where they are going to be. */
static uint8_t state_of(const struct fsck_chunk *chunk)
{
    if (chunk->have < chunk->need) {
        return chunk->is_disk_away ? FSCK_UNREACHABLE : FSCK_LOST;
    }
    return chunk->have < chunk->width ? FSCK_DEGRADED : 0;
}

static bool is_loss(const struct fsck_finding *finding)
{
    return finding->state == FSCK_LOST || finding->state == FSCK_UNREACHABLE;
}

static void set(struct fsck_finding *finding, const struct fsck_chunk *chunk)
{
    finding->state = state_of(chunk);
    finding->have = (uint8_t)GFS_MIN(chunk->have, (unsigned)UINT8_MAX);
    finding->need = (uint8_t)GFS_MIN(chunk->need, (unsigned)UINT8_MAX);
    finding->width = (uint8_t)GFS_MIN(chunk->width, (unsigned)UINT8_MAX);
}

void fsck_findings_add(struct fsck_findings *findings, const struct fsck_chunk *chunk)
{
    struct fsck_finding finding = {.id = chunk->id};
    set(&finding, chunk);
    if (finding.state == 0) {
        return;
    }
    bool has_room = is_loss(&finding) ? findings->loss_count < FSCK_LOSSES_MAX
                                      : findings->count - findings->loss_count < FSCK_DEGRADED_MAX;
    if (!has_room) {
        findings->unjudged++;
        findings->unjudged_losses += is_loss(&finding);
        return;
    }
    findings->items =
        grow(findings->items, findings->count, &findings->size, sizeof *findings->items);
    findings->items[findings->count++] = finding;
    findings->loss_count += is_loss(&finding);
}

static int compare_ids(const void *left, const void *right)
{
    return chunk_id_compare(*(const struct chunk_id *)left, *(const struct chunk_id *)right);
}

void fsck_findings_sort(struct fsck_findings *findings)
{
    if (findings->count > 1) { /* the id is the first member */
        qsort(findings->items, findings->count, sizeof *findings->items, compare_ids);
    }
}

static struct fsck_finding *find(const struct fsck_findings *findings, struct chunk_id id)
{
    return findings->count == 0 ? NULL
                                : bsearch(&id, findings->items, findings->count,
                                          sizeof *findings->items, compare_ids);
}

void fsck_findings_judge(struct fsck_findings *findings, const struct fsck_chunk *chunk)
{
    struct fsck_finding *finding = find(findings, chunk->id);
    if (finding != NULL) {
        set(finding, chunk);
    }
}

/* ---- rows ---- */

static bool is_row_of(const struct fsck_findings *findings, const struct fsck_named *row,
                      const struct fsck_reference *reference)
{
    const char *bucket = findings->names.ptr + row->name_at;
    return gfs_slice_eq_str(reference->bucket, bucket) &&
           gfs_slice_eq_str(reference->key, bucket + strlen(bucket) + 1);
}

/* NULL: there is no room, and has_more says so. */
static struct fsck_named *add_row(struct fsck_findings *findings,
                                  const struct fsck_reference *reference,
                                  const struct fsck_finding *finding)
{
    bool has_room = is_loss(finding)
                        ? findings->loss_row_count < FSCK_LOSSES_MAX
                        : findings->row_count - findings->loss_row_count < FSCK_DEGRADED_MAX;
    size_t name_at = findings->names.len;
    if (has_room && !findings->names.is_full) {
        gfs_buf_add_slice(&findings->names, reference->bucket);
        gfs_buf_add_char(&findings->names, '\0');
        gfs_buf_add_slice(&findings->names, reference->key);
        gfs_buf_add_char(&findings->names, '\0');
    }
    if (!has_room || findings->names.is_full) {
        findings->has_more = true;
        return NULL;
    }
    findings->rows =
        grow(findings->rows, findings->row_count, &findings->row_size, sizeof *findings->rows);
    struct fsck_named *row = &findings->rows[findings->row_count++];
    *row = (struct fsck_named){
        .name_at = (uint32_t)name_at, .link_at = (uint32_t)findings->link_count, .worst = *finding};
    findings->loss_row_count += is_loss(finding);
    return row;
}

void fsck_findings_name(struct fsck_findings *findings, const struct fsck_reference *reference)
{
    struct fsck_finding *finding = find(findings, reference->id);
    if (finding == NULL) {
        return;
    }
    finding->is_named = true;
    struct fsck_named *row =
        findings->row_count == 0 ? NULL : &findings->rows[findings->row_count - 1];
    if (row == NULL || !is_row_of(findings, row, reference)) {
        row = add_row(findings, reference, finding);
    } else if (is_loss(finding) && !is_loss(&row->worst)) {
        row->worst = *finding;
        findings->loss_row_count++;
    }
    if (row == NULL) {
        return;
    }
    if (findings->link_count == LINKS_MAX) {
        findings->has_more = true;
        return;
    }
    findings->links =
        grow(findings->links, findings->link_count, &findings->link_size, sizeof *findings->links);
    findings->links[findings->link_count++] = (uint32_t)(finding - findings->items);
    row->link_count++;
}

/* ---- the end ---- */

static void count_chunks(const struct fsck_findings *findings, struct fsck_list *ret)
{
    for (size_t i = 0; i < findings->count; i++) {
        const struct fsck_finding *finding = &findings->items[i];
        if (finding->is_named) {
            ret->lost += finding->state == FSCK_LOST;
            ret->unreachable += finding->state == FSCK_UNREACHABLE;
            ret->degraded += finding->state == FSCK_DEGRADED;
        }
    }
}

/* As its chunks were judged last; false: it lacks nothing. */
static bool judge_row(const struct fsck_findings *findings, struct fsck_named *row)
{
    row->worst = (struct fsck_finding){0};
    for (uint32_t i = 0; i < row->link_count; i++) {
        const struct fsck_finding *finding = &findings->items[findings->links[row->link_at + i]];
        if (finding->state != 0) {
            bool is_worst = row->worst.state == 0 || finding->state < row->worst.state;
            row->worst = is_worst ? *finding : row->worst;
            row->chunk_count++;
        }
    }
    return row->chunk_count != 0;
}

static int compare_names(const void *left, const void *right)
{
    const struct fsck_named *a = left;
    const struct fsck_named *b = right;
    int order = strcmp(a->bucket, b->bucket);
    return order != 0 ? order : strcmp(a->key, b->key);
}

static int compare_rows(const void *left, const void *right)
{
    const struct fsck_named *a = left;
    const struct fsck_named *b = right;
    int order = (a->worst.state > b->worst.state) - (a->worst.state < b->worst.state);
    return order != 0 ? order : compare_names(left, right);
}

/* One row a name: a copy that was made during the visit, or an upload with parts here and there,
 * has several. */
static size_t merge_rows(struct fsck_named *rows, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        struct fsck_named *last = kept == 0 ? NULL : &rows[kept - 1];
        if (last == NULL || compare_names(last, &rows[i]) != 0) {
            rows[kept++] = rows[i];
        } else {
            last->chunk_count = GFS_MAX(last->chunk_count, rows[i].chunk_count);
            last->worst = rows[i].worst.state < last->worst.state ? rows[i].worst : last->worst;
        }
    }
    return kept;
}

void fsck_findings_end(struct fsck_findings *findings, struct fsck_list *ret)
{
    size_t kept = 0;
    *ret = (struct fsck_list){.unjudged = findings->unjudged,
                              .unjudged_losses = findings->unjudged_losses,
                              .has_more = findings->has_more};
    count_chunks(findings, ret);
    for (size_t i = 0; i < findings->row_count; i++) {
        struct fsck_named row = findings->rows[i];
        if (judge_row(findings, &row)) {
            row.bucket = findings->names.ptr + row.name_at;
            row.key = row.bucket + strlen(row.bucket) + 1;
            findings->rows[kept++] = row;
        }
    }
    if (kept > 1) {
        qsort(findings->rows, kept, sizeof *findings->rows, compare_names);
        kept = merge_rows(findings->rows, kept);
        qsort(findings->rows, kept, sizeof *findings->rows, compare_rows);
    }
    ret->rows = GFS_TAKE(findings->rows);
    ret->row_count = kept;
    findings->row_count = 0;
    size_t names_len;
    ret->names = gfs_buf_take(&findings->names, &names_len);
}
