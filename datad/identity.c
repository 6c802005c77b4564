/* Whose disk this is: the lock and the identity file.
 *
 * identity is text, KEY=VALUE a line, written once: format, cluster, node, disk. A disk of another
 * cluster or of a format this program does not know is refused, not repaired. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "datad/store_state.h"

enum { IDENTITY_SIZE_MAX = 4096, IDENTITY_FORMAT = 1, VALUE_SIZE = 128 };

struct identity {
    char format[VALUE_SIZE], cluster[VALUE_SIZE], node[VALUE_SIZE], disk[VALUE_SIZE];
};

static void draw_uuid(char text[VALUE_SIZE])
{
    unsigned char bytes[16];
    ssize_t len = getrandom(bytes, sizeof bytes, 0);
    GFS_ASSERT(len == (ssize_t)sizeof bytes);
    bytes[6] = (unsigned char)((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
    char *to = text;
    for (size_t i = 0; i < sizeof bytes; i++) {
        bool has_dash = i == 4 || i == 6 || i == 8 || i == 10;
        to += snprintf(to, 4, "%s%02x", has_dash ? "-" : "", bytes[i]);
    }
}

static bool parse_uuid(const char *text, uint8_t ret[16])
{
    size_t count = 0;
    while (*text != '\0' && count < 16) {
        unsigned value;
        int end = 0;
        text += *text == '-';
        if (sscanf(text, "%2x%n", &value, &end) != 1 || end != 2) {
            return false;
        }
        ret[count++] = (uint8_t)value;
        text += 2;
    }
    return count == 16 && *text == '\0';
}

static void take_line(struct identity *identity, const char *line, size_t len)
{
    const struct {
        const char *key;
        char *value;
    } fields[] = {{"format=", identity->format},
                  {"cluster=", identity->cluster},
                  {"node=", identity->node},
                  {"disk=", identity->disk}};
    for (size_t i = 0; i < GFS_COUNT(fields); i++) {
        size_t key_len = strlen(fields[i].key);
        if (len >= key_len && memcmp(line, fields[i].key, key_len) == 0 &&
            len - key_len < VALUE_SIZE) {
            memcpy(fields[i].value, line + key_len, len - key_len);
            fields[i].value[len - key_len] = '\0';
        }
    }
}

static void parse(struct identity *identity, const char *text)
{
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        take_line(identity, text, len);
        text += len + (text[len] == '\n');
    }
}

static enum gfs_err create(struct store *store, struct identity *identity, struct gfs_error *error)
{
    (void)snprintf(identity->format, VALUE_SIZE, "%d", IDENTITY_FORMAT);
    if (store->options.cluster != NULL) {
        (void)snprintf(identity->cluster, VALUE_SIZE, "%s", store->options.cluster);
    } else {
        draw_uuid(identity->cluster);
    }
    (void)snprintf(identity->node, VALUE_SIZE, "%s",
                   store->options.node == NULL ? "local" : store->options.node);
    draw_uuid(identity->disk);
    char text[IDENTITY_SIZE_MAX];
    int len = snprintf(text, sizeof text, "format=%s\ncluster=%s\nnode=%s\ndisk=%s\n",
                       identity->format, identity->cluster, identity->node, identity->disk);
    enum gfs_err err =
        gfs_io_replace(store->io, ".", "identity.tmp", "identity", gfs_slice_of(text, (size_t)len));
    return err == GFS_OK ? GFS_OK : gfs_fail(error, err, "identity: %s", gfs_err_text(err));
}

static enum gfs_err check(struct store *store, const struct identity *identity,
                          struct gfs_error *error)
{
    char *end = NULL;
    long format = strtol(identity->format, &end, 10);
    if (end == identity->format || *end != '\0' || format < 1) {
        return gfs_fail(error, GFS_CORRUPT, "identity: no valid format line");
    }
    if (format > IDENTITY_FORMAT) {
        return gfs_fail(error, GFS_UNSUPPORTED,
                        "identity: format %ld was written by a newer version; this one knows %d",
                        format, IDENTITY_FORMAT);
    }
    const char *cluster = store->options.cluster;
    if (cluster != NULL && strcmp(cluster, identity->cluster) != 0) {
        return gfs_fail(error, GFS_CONFLICT,
                        "identity: the disk belongs to cluster %.80s, not to %.80s",
                        identity->cluster, cluster);
    }
    if (!parse_uuid(identity->disk, store->disk)) {
        return gfs_fail(error, GFS_CORRUPT, "identity: no valid disk line");
    }
    (void)snprintf(store->disk_text, sizeof store->disk_text, "%.39s", identity->disk);
    return GFS_OK;
}

enum gfs_err identity_verify(struct store *store)
{
    char text[IDENTITY_SIZE_MAX + 1];
    size_t len = 0;
    struct identity identity = {0};
    enum gfs_err err = gfs_io_load(store->io, "identity", text, IDENTITY_SIZE_MAX, &len);
    if (err != GFS_OK) {
        return err;
    }
    text[len] = '\0';
    parse(&identity, text);
    return strcmp(identity.disk, store->disk_text) == 0 ? GFS_OK : GFS_CONFLICT;
}

static enum gfs_err refuse_data(void *arg, const char *name)
{
    (void)arg;
    (void)name;
    return GFS_EXISTS;
}

void store_disk_id(const struct store *store, uint8_t ret[16])
{
    memcpy(ret, store->disk, sizeof store->disk);
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
    char text[IDENTITY_SIZE_MAX + 1];
    size_t len = 0;
    struct identity identity = {0};
    err = gfs_io_load(store->io, "identity", text, IDENTITY_SIZE_MAX, &len);
    if (err == GFS_OK) {
        text[len] = '\0';
        parse(&identity, text);
        return check(store, &identity, error);
    }
    if (err != GFS_NOT_FOUND) {
        return gfs_fail(error, err, "identity: %s", gfs_err_text(err));
    }
    /* A disk with segments and no identity lost it: taking it for a new one would hide them. */
    err = store->io->ops->list(store->io, "log", refuse_data, NULL);
    if (err != GFS_OK) {
        return gfs_fail(error, err == GFS_EXISTS ? GFS_CORRUPT : err,
                        "identity: missing, although the log is not empty");
    }
    err = create(store, &identity, error);
    return err == GFS_OK ? check(store, &identity, error) : err;
}
