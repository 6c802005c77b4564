#include "goodfs/fsck_kept.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libgoodfs/codec.h"
#include "libgoodfs/crc.h"
#include "libgoodfs/io.h"
#include "libgoodfs/mem.h"

enum {
    MAGIC_LEN = 8,
    KNOWN_LEN = 8 + 1 + FSCK_DISKS_MAX / 8,
    HEAD_LEN = MAGIC_LEN + KNOWN_LEN + 8,
    ENTRY_LEN = 40,
    SUM_LEN = 4
};
#define FILE_LEN_MAX (HEAD_LEN + (size_t)FSCK_ORPHANS_MAX * ENTRY_LEN + SUM_LEN)

static const char MAGIC[MAGIC_LEN + 1] = "gfsckpt1";

/* A directory without one was emptied, or its disk is not mounted: a file of ours would make it
 * look like something. */
static bool has_identity(const char *dir)
{
    char path[PATH_MAX];
    int len = snprintf(path, sizeof path, "%s/identity", dir);
    return len > 0 && (size_t)len < sizeof path && access(path, F_OK) == 0;
}

static enum gfs_err open_dir(const char *dir, struct gfs_io **ret)
{
    return has_identity(dir) ? gfs_io_posix_open(dir, false, ret, NULL) : GFS_NOT_FOUND;
}

static void decode_known(const char *at, struct fsck_known *ret)
{
    *ret = (struct fsck_known){.losses = gfs_codec_load_u64(at), .has_damage = at[8] != 0};
    for (size_t i = 0; i < FSCK_DISKS_MAX; i++) {
        ret->searched[i] = ((unsigned char)at[9 + i / 8] >> i % 8 & 1) != 0;
    }
}

static enum gfs_err decode(struct gfs_slice bytes, struct fsck_kept *kept)
{
    if (bytes.len < HEAD_LEN + SUM_LEN || memcmp(bytes.ptr, MAGIC, MAGIC_LEN) != 0) {
        return GFS_CORRUPT;
    }
    size_t len = bytes.len - SUM_LEN;
    uint64_t count = gfs_codec_load_u64(bytes.ptr + MAGIC_LEN + KNOWN_LEN);
    if (gfs_codec_load_u32(bytes.ptr + len) != gfs_crc32c(0, bytes.ptr, len) ||
        count > FSCK_ORPHANS_MAX || len != HEAD_LEN + count * ENTRY_LEN) {
        return GFS_CORRUPT;
    }
    decode_known(bytes.ptr + MAGIC_LEN, &kept->known);
    struct fsck_orphans *orphans = &kept->orphans;
    orphans->items = gfs_alloc_array(count + 1, sizeof *orphans->items);
    orphans->size = count + 1;
    for (const char *at = bytes.ptr + HEAD_LEN; orphans->count < count; at += ENTRY_LEN) {
        orphans->items[orphans->count++] =
            (struct fsck_orphan){.id = {gfs_codec_load_u64(at), gfs_codec_load_u64(at + 8)},
                                 .first_seen_ms = (int64_t)gfs_codec_load_u64(at + 16),
                                 .age_ms = (int64_t)gfs_codec_load_u64(at + 24),
                                 .bytes = gfs_codec_load_u64(at + 32)};
    }
    return GFS_OK;
}

static void encode(const struct fsck_kept *kept, struct gfs_buf *out)
{
    unsigned char searched[FSCK_DISKS_MAX / 8] = {0};
    for (size_t i = 0; i < FSCK_DISKS_MAX; i++) {
        searched[i / 8] |= (unsigned char)(kept->known.searched[i] << i % 8);
    }
    gfs_buf_add(out, MAGIC, MAGIC_LEN);
    gfs_codec_put_u64(out, kept->known.losses);
    gfs_buf_add(out, &(char){kept->known.has_damage ? 1 : 0}, 1);
    gfs_buf_add(out, searched, sizeof searched);
    gfs_codec_put_u64(out, kept->orphans.count);
    for (size_t i = 0; i < kept->orphans.count; i++) {
        const struct fsck_orphan *orphan = &kept->orphans.items[i];
        gfs_codec_put_u64(out, orphan->id.hi);
        gfs_codec_put_u64(out, orphan->id.lo);
        gfs_codec_put_u64(out, (uint64_t)orphan->first_seen_ms);
        gfs_codec_put_u64(out, (uint64_t)orphan->age_ms);
        gfs_codec_put_u64(out, orphan->bytes);
    }
    gfs_codec_put_u32(out, gfs_crc32c(0, out->ptr, out->len));
    GFS_ASSERT(!out->is_full);
}

void fsck_kept_copy(const struct fsck_kept *kept, struct fsck_kept *ret)
{
    size_t count = kept->orphans.count;
    *ret = *kept;
    ret->orphans.items = gfs_alloc_array(count + 1, sizeof *ret->orphans.items);
    ret->orphans.size = count + 1;
    if (count != 0) {
        memcpy(ret->orphans.items, kept->orphans.items, count * sizeof *ret->orphans.items);
    }
}

void fsck_kept_fini(struct fsck_kept *kept)
{
    fsck_orphans_fini(&kept->orphans);
    *kept = (struct fsck_kept){0};
}

enum gfs_err fsck_kept_load(struct fsck_kept *kept, const char *dir)
{
    struct gfs_io *io;
    fsck_kept_fini(kept);
    enum gfs_err err = open_dir(dir, &io);
    if (err != GFS_OK) {
        return err;
    }
    char *bytes GFS_FREE = gfs_alloc(FILE_LEN_MAX);
    size_t len = 0;
    err = gfs_io_load(io, "fsck", bytes, FILE_LEN_MAX, &len);
    io->ops->close(io);
    return err == GFS_OK ? decode(gfs_slice_of(bytes, len), kept) : err;
}

enum gfs_err fsck_kept_store(const struct fsck_kept *kept, const char *dir)
{
    struct gfs_io *io;
    enum gfs_err err = open_dir(dir, &io);
    if (err != GFS_OK) {
        return err;
    }
    GFS_CLEANUP(gfs_buf_fini) struct gfs_buf out;
    gfs_buf_init(&out, FILE_LEN_MAX);
    encode(kept, &out);
    err = gfs_io_replace(io, ".", "fsck.tmp", "fsck", gfs_buf_slice(&out));
    if (!has_identity(dir)) { /* emptied at this moment */
        (void)io->ops->remove(io, "fsck");
    }
    io->ops->close(io);
    return err;
}
