/* What a simulated disk holds: bytes and names, each as processes see them and as they would be
 * found after a power loss.
 *
 * A write changes what is seen and marks its 512-byte sectors; a flush brings marked sectors to the
 * platter. A change of a directory is seen at once and waits in a list until the directory is
 * synced. Everything random is drawn from one seed. One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SIM_SECTOR = 512, SIM_PAGE = 4096, SIM_PATH_SIZE = 64 };

/* The bytes of a file. Plain data. */
struct sim_node {
    char *now, *disk;   /* as seen, and as on the platter; equally long */
    size_t room;        /* bytes of each, whole pages */
    uint8_t *is_marked; /* a sector each: not flushed */
    uint8_t *is_used;   /* a page each: takes space */
    uint64_t size, disk_size;
    unsigned references; /* names in both directories, and open files */
};

/* Plain data. */
struct sim_name {
    char path[SIM_PATH_SIZE];
    struct sim_node *node;
};

/* Plain data. */
struct sim_names {
    struct sim_name *items;
    size_t count, size;
};

/* A change of a directory that is not durable yet. Plain data. */
struct sim_change {
    char from[SIM_PATH_SIZE]; /* "" = a new file */
    char to[SIM_PATH_SIZE];   /* "" = removed */
    struct sim_node *node;
};

/* Plain data. */
struct sim_disk {
    uint64_t random;
    uint64_t capacity, used; /* bytes, whole pages */
    struct sim_names now, durable;
    struct sim_change *changes; /* oldest first */
    size_t change_count, change_size;
};

void sim_disk_fini(struct sim_disk *disk);
/* A number in [0, limit). */
uint64_t sim_disk_draw(struct sim_disk *disk, uint64_t limit);

/* --- bytes --- */

void sim_disk_release(struct sim_disk *disk, struct sim_node *node);
/* Space for a range; false: the disk is full, nothing was taken. */
bool sim_disk_take(struct sim_disk *disk, struct sim_node *node, uint64_t offset, uint64_t len);
void sim_disk_give_page(struct sim_disk *disk, struct sim_node *node, uint64_t page);
/* ptr NULL = zeros. The range has space. */
void sim_disk_set(struct sim_node *node, const char *ptr, uint64_t offset, uint64_t len);
void sim_disk_flush(struct sim_node *node, uint64_t offset, uint64_t len);
/* A flush that fails: marked sectors reach the platter, stay marked, or lose their mark without
 * ever reaching it, as the page cache does it. */
void sim_disk_flush_badly(struct sim_disk *disk, struct sim_node *node);

/* --- names --- */

/* NULL = no such name is seen. Valid until the next change. */
struct sim_node *sim_disk_find(const struct sim_disk *disk, const char *path);
/* from "" = a new file, to "" = removed. */
void sim_disk_change(struct sim_disk *disk, const char *from, const char *to,
                     struct sim_node *node);
bool sim_disk_is_in(const char *path, const char *dir);
void sim_disk_sync(struct sim_disk *disk, const char *dir);
/* A sync that fails: the oldest changes are durable, those behind never will be. */
void sim_disk_sync_badly(struct sim_disk *disk, const char *dir);

/* The power goes and comes back: of what was not flushed or synced any part is there. */
void sim_disk_lose_power(struct sim_disk *disk);
