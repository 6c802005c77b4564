/* The command's refusals; what it rebuilds is shown by tests/s3/test_recover.py. */
#include "goodfs/recover.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/unit/metad/temp_dir.h"

static int recover(char *first, char *second)
{
    char *words[] = {first, second, NULL};
    return recover_main(first == NULL ? 0 : second == NULL ? 1 : 2, words);
}

Test(recover, wrong_usage_is_2_and_help_is_0)
{
    char nonsense[] = "--nonsense";
    char help[] = "--help";
    cr_expect_eq(recover(NULL, NULL), 2);
    cr_expect_eq(recover(nonsense, NULL), 2);
    cr_expect_eq(recover(help, NULL), 0);
}

Test(recover, a_directory_without_a_store_is_refused_and_stays_empty)
{
    char home[TEMP_DIR_SIZE];
    char path[TEMP_PATH_SIZE];
    char force[] = "--force";
    temp_dir_make(home);
    cr_expect_eq(recover(home, NULL), 1);
    cr_expect_eq(recover(home, force), 1);
    (void)snprintf(path, sizeof path, "%s/nothing", home);
    cr_expect_eq(recover(path, NULL), 1);
    cr_expect_neq(access(path, F_OK), 0);
    cr_expect_eq(rmdir(home), 0);
}
