/* Time, behind a seam: tests move it. */
#pragma once

#include <stdint.h>

int64_t gfs_wall_ms(void);      /* Unix time */
int64_t gfs_monotonic_ns(void); /* CLOCK_BOOTTIME */
/* Tests only: added to every later reading of the wall clock. */
void gfs_clock_shift_wall_ms(int64_t shift_ms);
