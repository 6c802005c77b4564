#include "goodfs/credentials.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/goodfs-credentials-XXXXXX";
static char path[sizeof dir + 32];

static const char *dirs[] = {dir, NULL};

static void make_dir(void)
{
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/root-credentials", dir);
}

static void remove_dir(void)
{
    unlink(path);
    rmdir(dir);
}

TestSuite(credentials, .init = make_dir, .fini = remove_dir);

Test(credentials, are_made_once_kept_private_and_read_again)
{
    struct credentials first;
    struct credentials second;
    struct stat st;
    cr_assert_eq(credentials_load(dirs, NULL, "", &first, NULL), GFS_OK);
    cr_assert(first.is_generated);
    cr_assert_eq(strlen(first.access_key), (size_t)CREDENTIALS_ACCESS_LEN);
    cr_assert_eq(strlen(first.secret_key), (size_t)CREDENTIALS_SECRET_LEN);
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0600u);
    cr_assert_eq(credentials_load(dirs, NULL, NULL, &second, NULL), GFS_OK);
    cr_assert(!second.is_generated);
    cr_assert_str_eq(first.access_key, second.access_key);
    cr_assert_str_eq(first.secret_key, second.secret_key);
}

Test(credentials, two_stores_never_get_the_same_keys)
{
    struct credentials first;
    struct credentials second;
    cr_assert_eq(credentials_load(dirs, NULL, NULL, &first, NULL), GFS_OK);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(credentials_load(dirs, NULL, NULL, &second, NULL), GFS_OK);
    cr_assert_str_neq(first.access_key, second.access_key);
    cr_assert_str_neq(first.secret_key, second.secret_key);
}

Test(credentials, a_file_that_others_can_read_is_refused)
{
    struct credentials keys;
    struct gfs_error error = {0};
    cr_assert_eq(credentials_load(dirs, NULL, NULL, &keys, NULL), GFS_OK);
    cr_assert_eq(chmod(path, 0640), 0);
    cr_assert_eq(credentials_load(dirs, NULL, NULL, &keys, &error), GFS_DENIED);
    cr_assert(strstr(error.text, "0600") != NULL);
}

Test(credentials, a_damaged_file_is_refused_and_left_alone)
{
    struct credentials keys;
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    (void)fputs("GOODFS_ROOT_ACCESS_KEY=abc\n", file);
    (void)fclose(file);
    cr_assert_eq(chmod(path, 0600), 0);
    cr_assert_eq(credentials_load(dirs, NULL, NULL, &keys, NULL), GFS_INVALID);
    cr_assert_eq(access(path, F_OK), 0);
}

Test(credentials, settings_win_but_only_as_a_pair)
{
    struct credentials keys;
    cr_assert_eq(credentials_load(dirs, "me", "verysecret", &keys, NULL), GFS_OK);
    cr_assert_str_eq(keys.access_key, "me");
    cr_assert_str_eq(keys.secret_key, "verysecret");
    cr_assert_neq(access(path, F_OK), 0);
    cr_assert_eq(credentials_load(dirs, "me", NULL, &keys, NULL), GFS_INVALID);
    cr_assert_eq(credentials_load(dirs, "", "verysecret", &keys, NULL), GFS_INVALID);
}

static char second[] = "/tmp/goodfs-credentials-XXXXXX";
static char second_path[sizeof second + 32];
static const char *both[] = {dir, second, NULL};

static void make_both(void)
{
    make_dir();
    cr_assert_not_null(mkdtemp(second));
    (void)snprintf(second_path, sizeof second_path, "%s/root-credentials", second);
}

static void remove_both(void)
{
    remove_dir();
    unlink(second_path);
    rmdir(second);
}

TestSuite(credentials_of_disks, .init = make_both, .fini = remove_both);

Test(credentials_of_disks, are_kept_on_every_disk_and_read_from_any)
{
    struct credentials first;
    struct credentials again;
    cr_assert_eq(credentials_load(both, NULL, NULL, &first, NULL), GFS_OK);
    cr_assert(first.is_generated);
    for (int lost = 0; lost < 2; lost++) {
        cr_assert_eq(unlink(lost == 0 ? path : second_path), 0);
        cr_assert_eq(credentials_load(both, NULL, NULL, &again, NULL), GFS_OK);
        cr_assert(!again.is_generated);
        cr_assert_str_eq(again.secret_key, first.secret_key);
        cr_assert_eq(access(path, F_OK), 0, "a disk that lacks them gets them");
        cr_assert_eq(access(second_path, F_OK), 0);
    }
}

Test(credentials_of_disks, that_differ_are_refused_and_left_alone)
{
    static const char *only_second[] = {second, NULL};
    struct credentials keys;
    struct gfs_error error = {0};
    cr_assert_eq(credentials_load(dirs, NULL, NULL, &keys, NULL), GFS_OK);
    cr_assert_eq(credentials_load(only_second, NULL, NULL, &keys, NULL), GFS_OK);
    cr_assert_eq(credentials_load(both, NULL, NULL, &keys, &error), GFS_CONFLICT);
    cr_assert(strstr(error.text, second_path) != NULL, "%s", error.text);
    cr_assert_eq(credentials_load(only_second, NULL, NULL, &keys, NULL), GFS_OK);
}

Test(credentials_of_disks, that_cannot_be_read_anywhere_are_not_made_anew)
{
    struct credentials keys;
    cr_assert_eq(symlink("/nowhere", path), 0); /* not followed: an error, not "no such file" */
    cr_assert_eq(credentials_load(both, NULL, NULL, &keys, NULL), GFS_IO);
    cr_assert_neq(access(second_path, F_OK), 0);
}

Test(credentials_of_disks, of_the_settings_are_kept_nowhere)
{
    struct credentials keys;
    cr_assert_eq(credentials_load(both, "access", "verysecret", &keys, NULL), GFS_OK);
    credentials_spread(both, &keys);
    cr_assert_neq(access(path, F_OK), 0);
    cr_assert_neq(access(second_path, F_OK), 0);
}
