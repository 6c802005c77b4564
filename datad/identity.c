/* Whose disk this is: the lock and the identity file.
 *
 * A disk of another cluster or of a format this program does not know is refused, not repaired. */
#include <stdio.h>

#include "datad/store_state.h"
#include "libgoodfs/log.h"

static enum gfs_err load(struct store *store, struct gfs_identity *ret, struct gfs_error *error)
{
    char text[GFS_IDENTITY_SIZE_MAX];
    size_t len = 0;
    enum gfs_err err = gfs_io_load(store->io, "identity", text, sizeof text, &len);
    if (err != GFS_OK) {
        return gfs_fail(error, err, "identity: %s", gfs_err_text(err));
    }
    struct gfs_error why = {0};
    err = gfs_identity_parse(gfs_slice_of(text, len), ret, &why);
    return err == GFS_OK ? GFS_OK : gfs_fail(error, err, "identity: %s", why.text);
}

static enum gfs_err save(struct store *store, const struct gfs_identity *identity,
                         struct gfs_error *error)
{
    struct gfs_buf text;
    gfs_buf_init(&text, GFS_IDENTITY_SIZE_MAX);
    gfs_identity_write(identity, &text);
    GFS_ASSERT(!text.is_full);
    enum gfs_err err =
        gfs_io_replace(store->io, ".", "identity.tmp", "identity", gfs_buf_slice(&text));
    gfs_buf_fini(&text);
    return err == GFS_OK ? GFS_OK : gfs_fail(error, err, "identity: %s", gfs_err_text(err));
}

/* From memory. Of the two in the file one is left, or the file is of an older version, or it cannot
 * be read: a new one has other blocks. */
static enum gfs_err mend(struct store *store)
{
    struct gfs_error error = {0};
    enum gfs_err err = save(store, &store->identity, &error);
    gfs_log(GFS_LOG_WARN, "op=identity disk=%s err=%s msg=\"written anew %s\"",
            store->identity.disk, gfs_err_name(err), error.text);
    return err;
}

static enum gfs_err create(struct store *store, struct gfs_identity *identity,
                           struct gfs_error *error)
{
    const struct store_options *options = &store->options;
    *identity = (struct gfs_identity){0};
    gfs_uuid_draw(identity->id);
    gfs_uuid_format(identity->id, identity->disk);
    if (options->cluster != NULL) {
        (void)snprintf(identity->cluster, sizeof identity->cluster, "%s", options->cluster);
    } else {
        uint8_t cluster[16];
        gfs_uuid_draw(cluster);
        gfs_uuid_format(cluster, identity->cluster);
    }
    (void)snprintf(identity->node, sizeof identity->node, "%s",
                   options->node == NULL ? "local" : options->node);
    return save(store, identity, error);
}

static enum gfs_err take(struct store *store, const struct gfs_identity *identity,
                         struct gfs_error *error)
{
    const char *cluster = store->options.cluster;
    if (cluster != NULL && strcmp(cluster, identity->cluster) != 0) {
        return gfs_fail(error, GFS_CONFLICT,
                        "identity: the disk belongs to cluster %.80s, not to %.80s",
                        identity->cluster, cluster);
    }
    store->identity = *identity;
    return GFS_OK;
}

/* What is not there was emptied, and is not made again. */
enum gfs_err identity_verify(struct store *store)
{
    const struct gfs_identity *own = &store->identity;
    struct gfs_identity identity;
    enum gfs_err err = load(store, &identity, NULL);
    if (err == GFS_CORRUPT || err == GFS_IO) {
        return mend(store);
    }
    if (err != GFS_OK) {
        return err;
    }
    if (memcmp(identity.id, own->id, sizeof own->id) != 0 ||
        strcmp(identity.cluster, own->cluster) != 0) {
        return GFS_CONFLICT;
    }
    if (identity.is_damaged) {
        (void)mend(store);
    }
    return GFS_OK;
}

static enum gfs_err refuse_data(void *arg, const char *name)
{
    (void)arg;
    (void)name;
    return GFS_EXISTS;
}

void store_disk_id(const struct store *store, uint8_t ret[16])
{
    memcpy(ret, store->identity.id, sizeof store->identity.id);
}

enum gfs_err identity_open(struct store *store, struct gfs_error *error)
{
    enum gfs_err err = store->io->ops->lock(store->io, "lock");
    if (err == GFS_BUSY) {
        return gfs_fail(error, err, "%s is used by another process",
                        store->options.dir == NULL ? "the disk" : store->options.dir);
    }
    if (err != GFS_OK) {
        return gfs_fail(error, err, "lock: %s", gfs_err_text(err));
    }
    struct gfs_identity identity;
    err = load(store, &identity, error);
    if (err == GFS_OK) {
        err = take(store, &identity, error);
        if (err == GFS_OK && identity.is_damaged) {
            (void)mend(store);
        }
        return err;
    }
    if (err != GFS_NOT_FOUND) {
        return err;
    }
    /* A disk with segments and no identity lost it: taking it for a new one would hide them. */
    err = store->io->ops->list(store->io, "log", refuse_data, NULL);
    if (err != GFS_OK) {
        return gfs_fail(error, err == GFS_EXISTS ? GFS_CORRUPT : err,
                        "identity: missing, although the log is not empty");
    }
    err = create(store, &identity, error);
    return err == GFS_OK ? take(store, &identity, error) : err;
}
