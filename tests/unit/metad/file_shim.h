/* Faults of the files below one directory, for whoever calls libc: reads and changes fail, hang, or
 * end the process at the n-th change, a write of which only half is done. Directories outside are
 * left alone. One directory at a time. */
#pragma once

#include <stdbool.h>

enum file_shim_fault {
    FILE_SHIM_NONE = 0,
    FILE_SHIM_FAIL, /* EIO */
    FILE_SHIM_HANG, /* until the fault is changed */
    FILE_SHIM_FULL, /* ENOSPC of writes */
};

/* dir is copied. Any thread. */
void file_shim_set(const char *dir, enum file_shim_fault fault);
/* Threads that hang now. */
int file_shim_hanging(void);
/* The process ends with status FILE_SHIM_STATUS at the n-th change from now on, from 0. */
enum { FILE_SHIM_STATUS = 99 };
void file_shim_end_at(const char *dir, long n);
