/* What the fuzz targets share: cutting the input into pieces, and a check that stays on. */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "libgoodfs/slice.h"

/* libFuzzer calls it with every input; always answers 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition);          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* Cuts up to the next newline (or the end) off *rest. */
static inline struct gfs_slice fuzz_line(struct gfs_slice *rest)
{
    const char *newline = rest->len == 0 ? NULL : memchr(rest->ptr, '\n', rest->len);
    size_t len = newline == NULL ? rest->len : (size_t)(newline - rest->ptr);
    size_t used = newline == NULL ? len : len + 1;
    struct gfs_slice line = gfs_slice_of(rest->ptr, len);
    *rest = gfs_slice_of(rest->ptr + used, rest->len - used);
    return line;
}

/* Cuts up to the next such byte off *rest; the whole when there is none. */
static inline struct gfs_slice fuzz_cut(struct gfs_slice *rest, char byte)
{
    const char *found = rest->len == 0 ? NULL : memchr(rest->ptr, byte, rest->len);
    size_t len = found == NULL ? rest->len : (size_t)(found - rest->ptr);
    size_t used = found == NULL ? len : len + 1;
    struct gfs_slice piece = gfs_slice_of(rest->ptr, len);
    *rest = gfs_slice_of(rest->ptr + used, rest->len - used);
    return piece;
}

/* Lengths of every magnitude from 1 on, by a state that starts with a seed. */
static inline size_t fuzz_step(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return 1 + (size_t)(*state >> 33) % ((size_t)1 << (*state >> 60));
}
