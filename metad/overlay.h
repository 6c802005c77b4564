/* The overlay: rows proposed or committed but not yet in SQLite, in key order.
 *
 * Model: full key -> chain of versions, newest first, each with the LSN that wrote it; a version
 * without a row is a deletion. A hash table answers point lookups, a skip list ordered walks.
 * Invariants: versions of an entry have strictly falling LSNs; an entry has at least one version;
 * size is the memory of all entries and versions.
 * Guarded by its owner's lock: nothing in here locks. */
#pragma once

#include "metad/key.h"
#include "metad/row.h"

struct overlay;

/* Plain data, read-only outside. */
struct overlay_version {
    struct overlay_version *older, *newer;
    uint64_t lsn;
    struct meta_row *row; /* NULL = deleted */
};

struct overlay_entry;

struct overlay *overlay_new(uint64_t seed);
void overlay_free(struct overlay *overlay);

/* Adds a version; takes the row. lsn is not below the entry's newest; at the same LSN the row is
 * replaced and NULL is answered, so that each answer stands for one version to be dropped or
 * removed later. The entry lives as long as it has versions. */
struct overlay_entry *overlay_insert(struct overlay *overlay, struct gfs_slice full, uint64_t hash,
                                     uint64_t lsn, struct meta_row *row);
/* NULL when the key is not there. */
struct overlay_entry *overlay_find(const struct overlay *overlay, struct gfs_slice full,
                                   uint64_t hash);
/* The first entry >= full, NULL at the end; and the one behind an entry. */
struct overlay_entry *overlay_seek(const struct overlay *overlay, struct gfs_slice full);
struct overlay_entry *overlay_next(const struct overlay_entry *entry);

struct gfs_slice overlay_key(const struct overlay_entry *entry);
uint64_t overlay_hash(const struct overlay_entry *entry);
const struct overlay_version *overlay_newest(const struct overlay_entry *entry);
const struct overlay_version *overlay_oldest(const struct overlay_entry *entry);
/* The newest with lsn <= limit, or NULL. */
const struct overlay_version *overlay_at(const struct overlay_entry *entry, uint64_t limit);

/* Takes the version of that LSN out, and the entry with its last version. The caller owns *ret_row
 * (NULL = deletion). The oldest and the newest are found at once: they are what is applied and what
 * is refused. */
void overlay_remove(struct overlay *overlay, struct overlay_entry *entry, uint64_t lsn,
                    struct meta_row **ret_row);

size_t overlay_size(const struct overlay *overlay);  /* bytes */
size_t overlay_count(const struct overlay *overlay); /* versions */
