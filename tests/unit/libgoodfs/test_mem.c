#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "libgoodfs/mem.h"

Test(mem, allocations_are_zeroed_and_never_null)
{
    for (size_t size = 0; size < 5000; size += 499) {
        unsigned char *ptr GFS_FREE = gfs_alloc(size);
        for (size_t i = 0; i < size; i++) {
            cr_assert_eq(ptr[i], 0);
        }
    }
    void *none GFS_FREE = gfs_alloc_array(0, 8);
    cr_expect_not_null(none);
    void *page GFS_FREE = gfs_alloc_aligned(4096, 100);
    cr_expect_eq((uintptr_t)page % 4096, 0u);
}

Test(mem, a_taken_pointer_is_gone_from_its_variable)
{
    char *text = gfs_strdup("mine");
    char *taken GFS_FREE = GFS_TAKE(text);
    cr_expect_null(text);
    cr_expect_str_eq(taken, "mine");
}

Test(mem, a_descriptor_is_closed_at_the_end_of_its_scope)
{
    int number;
    {
        GFS_CLOSE int fd = open("/dev/null", O_RDONLY);
        number = fd;
        cr_assert_geq(fcntl(number, F_GETFD), 0);
    }
    cr_expect_eq(fcntl(number, F_GETFD), -1);
}

Test(mem, a_false_assertion_ends_the_process, .signal = SIGABRT)
{
    GFS_ASSERT(1 + 1 == 3);
}

static int next_number(int *number)
{
    return ++*number;
}

Test(mem, the_smaller_and_the_larger_evaluate_each_argument_once)
{
    int number = 0;
    cr_expect_eq(GFS_MIN(next_number(&number), 5), 1);
    cr_expect_eq(GFS_MAX(next_number(&number), 1), 2);
    cr_expect_eq(GFS_MIN(GFS_MAX(next_number(&number), 2), 7), 3);
    cr_expect_eq(number, 3);
}
