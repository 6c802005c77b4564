/* Whose disk this is: the text of DIR/identity. Pure functions; the files are the callers'.
 *
 * The text is there twice, each time with a checksum: a byte that flips costs one of the two, and
 * is neither taken for another cluster nor for another disk. */
#pragma once

#include "libgoodfs/buf.h"

enum {
    GFS_IDENTITY_FORMAT = 1,
    GFS_IDENTITY_SIZE_MAX = 4096,  /* of the file */
    GFS_IDENTITY_VALUE_SIZE = 128, /* with NUL */
    GFS_IDENTITY_ID_SIZE = 37,     /* of a UUID as text, with NUL */
};

/* Plain data. */
struct gfs_identity {
    char cluster[GFS_IDENTITY_VALUE_SIZE];
    char node[GFS_IDENTITY_VALUE_SIZE];
    char disk[GFS_IDENTITY_ID_SIZE]; /* as a UUID */
    uint8_t id[16];                  /* the same */
    bool is_damaged;                 /* as read: not there twice and whole, to be written anew */
};

/* OK; CORRUPT: neither is whole, or what is there makes no sense; UNSUPPORTED: of a newer version.
 * A text without any checksum is as one of which half is lost. */
enum gfs_err gfs_identity_parse(struct gfs_slice text, struct gfs_identity *ret,
                                struct gfs_error *error) GFS_MUST_CHECK;
/* Adds both. */
void gfs_identity_write(const struct gfs_identity *identity, struct gfs_buf *ret);
/* A UUID as text, in either case; false: it is none. */
bool gfs_uuid_parse(struct gfs_slice text, uint8_t ret[16]);
void gfs_uuid_format(const uint8_t id[16], char ret[GFS_IDENTITY_ID_SIZE]);
/* A new one, at random. */
void gfs_uuid_draw(uint8_t ret[16]);
