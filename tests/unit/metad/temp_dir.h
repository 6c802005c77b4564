/* A directory that is made for a test and removed behind it. */
#pragma once

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { TEMP_DIR_SIZE = 64, TEMP_PATH_SIZE = 160 };

static inline void temp_dir_make(char ret[TEMP_DIR_SIZE])
{
    (void)snprintf(ret, TEMP_DIR_SIZE, "/tmp/goodfs-metad-XXXXXX");
    cr_assert_not_null(mkdtemp(ret));
}

static inline int temp_dir_unlink(const char *path, const struct stat *stat, int type,
                                  struct FTW *walk)
{
    (void)stat;
    (void)type;
    (void)walk;
    return remove(path);
}

static inline void temp_dir_remove(const char *dir)
{
    (void)nftw(dir, temp_dir_unlink, 8, FTW_DEPTH | FTW_PHYS);
}
