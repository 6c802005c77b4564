#include "goodfs/settings.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct setting table[] = {
    {"config", NULL, "file", false, false},
    {"listen", "127.0.0.1:9000", "addresses", true, false},
    {"gc-grace-seconds", "60", "seconds", false, false},
    {"strict", "false", "a switch", false, false},
    {"root-secret-key", "", "secret", false, true},
    {NULL, NULL, NULL, false, false},
};

static enum gfs_err load(char **argv, struct settings **ret, struct gfs_error *error)
{
    int argc = 0;
    while (argv[argc] != NULL) {
        argc++;
    }
    return settings_load(table, argc, argv, ret, error);
}

Test(settings, a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default)
{
    char path[] = "/tmp/goodfs-settings-XXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    dprintf(fd, "# comment\n\nGOODFS_GC_GRACE_SECONDS=3\nGOODFS_STRICT=yes\n");
    close(fd);
    setenv("GOODFS_GC_GRACE_SECONDS", "2", 1);
    char *with_flag[] = {"DIR", "--gc-grace-seconds=1", "--config", path, NULL};
    char *without[] = {"--config", path, "DIR", NULL};
    struct settings *settings = NULL;
    struct gfs_error error = {0};
    cr_assert_eq(load(with_flag, &settings, &error), GFS_OK, "%s", error.text);
    cr_assert_str_eq(settings_text(settings, "gc-grace-seconds"), "1");
    cr_assert_str_eq(settings_operands(settings)[0], "DIR");
    settings_free(settings);
    cr_assert_eq(load(without, &settings, &error), GFS_OK, "%s", error.text);
    cr_assert_str_eq(settings_text(settings, "gc-grace-seconds"), "2");
    bool is_strict = false;
    cr_assert_eq(settings_bool(settings, "strict", &is_strict, &error), GFS_OK);
    cr_assert(is_strict);
    settings_free(settings);
    unsetenv("GOODFS_GC_GRACE_SECONDS");
    cr_assert_eq(load(without, &settings, &error), GFS_OK, "%s", error.text);
    cr_assert_str_eq(settings_text(settings, "gc-grace-seconds"), "3");
    cr_assert_str_eq(settings_list(settings, "listen")[0], "127.0.0.1:9000");
    cr_assert_null(settings_list(settings, "listen")[1]);
    settings_free(settings);
    unlink(path);
}

Test(settings, lists_come_from_repeated_flags_or_commas)
{
    char *argv[] = {"--listen", "a:1", "--listen=b:2", NULL};
    char *none[] = {NULL};
    struct settings *settings = NULL;
    cr_assert_eq(load(argv, &settings, NULL), GFS_OK);
    cr_assert_str_eq(settings_list(settings, "listen")[0], "a:1");
    cr_assert_str_eq(settings_list(settings, "listen")[1], "b:2");
    cr_assert_null(settings_list(settings, "listen")[2]);
    settings_free(settings);
    setenv("GOODFS_LISTEN", "c:3,d:4", 1);
    cr_assert_eq(load(none, &settings, NULL), GFS_OK);
    cr_assert_str_eq(settings_list(settings, "listen")[1], "d:4");
    cr_assert_null(settings_list(settings, "listen")[2]);
    settings_free(settings);
    unsetenv("GOODFS_LISTEN");
}

static void refuses(char **argv, const char *reason)
{
    struct settings *settings = NULL;
    struct gfs_error error = {0};
    cr_assert_eq(load(argv, &settings, &error), GFS_INVALID, "%s", reason);
    cr_assert(strstr(error.text, reason) != NULL, "\"%s\" in \"%s\"", reason, error.text);
}

Test(settings, bad_flags_are_refused_with_their_name)
{
    refuses((char *[]){"--nonsense=1", NULL}, "unknown option --nonsense");
    refuses((char *[]){"--strict", NULL}, "--strict needs a value");
    refuses((char *[]){"--strict=1", "--strict=0", NULL}, "--strict is given twice");
    refuses((char *[]){"--root-secret-key=x", NULL}, "would be visible");
    refuses((char *[]){"--config", "/nonexistent/file", NULL}, "/nonexistent/file");
}

Test(settings, numbers_and_switches_have_limits)
{
    char *argv[] = {"--gc-grace-seconds=-1", "--strict=maybe", NULL};
    struct settings *settings = NULL;
    struct gfs_error error = {0};
    uint64_t value = 0;
    bool is_strict = false;
    cr_assert_eq(load(argv, &settings, &error), GFS_OK);
    cr_assert_eq(settings_u64(settings, "gc-grace-seconds", 0, 100, &value, &error), GFS_INVALID);
    cr_assert(strstr(error.text, "from 0 to 100") != NULL);
    cr_assert_eq(settings_bool(settings, "strict", &is_strict, &error), GFS_INVALID);
    settings_free(settings);
}
