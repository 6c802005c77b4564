#include "libgoodfs/config.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "libgoodfs/mem.h"

static const struct gfs_setting settings[] = {
    {"listen", GFS_CONFIG_LIST, "127.0.0.1:9000", "address to serve on", 0, 0},
    {"connection-max", GFS_CONFIG_UINT, "1000", "open connections", 1, 100000},
    {"memory", GFS_CONFIG_BYTES, "64MiB", "cache", 0, 0},
    {"strict", GFS_CONFIG_BOOL, NULL, "be strict", 0, 0},
    {"region", GFS_CONFIG_TEXT, NULL, "name of the region", 0, 0},
};

static struct gfs_error error;

static struct gfs_config *loaded(int count, const char *const *args)
{
    struct gfs_config *config = NULL;
    enum gfs_err err = gfs_config_load(settings, GFS_COUNT(settings), count,
                                       (char *const *)(uintptr_t)args, &config, &error);
    cr_assert_eq(err, GFS_OK, "%s", error.text);
    return config;
}

static const char *refusal(int count, const char *const *args)
{
    struct gfs_config *config = NULL;
    enum gfs_err err = gfs_config_load(settings, GFS_COUNT(settings), count,
                                       (char *const *)(uintptr_t)args, &config, &error);
    cr_assert_neq(err, GFS_OK);
    cr_assert_null(config);
    return error.text;
}

#define LOADED(...)                                                                                \
    loaded((int)GFS_COUNT(((const char *[]){__VA_ARGS__})), (const char *[]){__VA_ARGS__})
#define REFUSAL(...)                                                                               \
    refusal((int)GFS_COUNT(((const char *[]){__VA_ARGS__})), (const char *[]){__VA_ARGS__})

/* A file of that content; the caller unlinks it. */
static const char *file_of(const char *content)
{
    static char path[64];
    (void)snprintf(path, sizeof path, "/tmp/gfs_config_XXXXXX");
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, content, strlen(content)), (ssize_t)strlen(content));
    (void)close(fd);
    return path;
}

Test(config, gives_defaults_when_nothing_is_set)
{
    struct gfs_config *config = loaded(0, NULL);
    cr_assert_str_eq(gfs_config_list(config, "listen")[0], "127.0.0.1:9000");
    cr_assert_null(gfs_config_list(config, "listen")[1]);
    cr_assert_eq(gfs_config_u64(config, "connection-max"), 1000u);
    cr_assert_eq(gfs_config_u64(config, "memory"), 64u << 20);
    cr_assert_not(gfs_config_bool(config, "strict"));
    cr_assert_null(gfs_config_text(config, "region"));
    cr_assert_not(gfs_config_is_set(config, "memory"));
    gfs_config_free(config);
}

Test(config, takes_flags_in_both_forms_and_leaves_the_other_arguments)
{
    struct gfs_config *config =
        LOADED("dir1", "--connection-max", "7", "--memory=2GiB", "--strict", "--listen", "a:1",
               "--listen=b:2", "--region=", "--", "--dir2");
    cr_assert_eq(gfs_config_u64(config, "connection-max"), 7u);
    cr_assert_eq(gfs_config_u64(config, "memory"), UINT64_C(2) << 30);
    cr_assert(gfs_config_bool(config, "strict"));
    cr_assert_str_eq(gfs_config_list(config, "listen")[0], "a:1");
    cr_assert_str_eq(gfs_config_list(config, "listen")[1], "b:2");
    cr_assert_null(gfs_config_list(config, "listen")[2]);
    cr_assert_str_eq(gfs_config_text(config, "region"), "");
    cr_assert_str_eq(gfs_config_args(config)[0], "dir1");
    cr_assert_str_eq(gfs_config_args(config)[1], "--dir2");
    cr_assert_null(gfs_config_args(config)[2]);
    gfs_config_free(config);
}

Test(config, prefers_flag_to_environment_to_file)
{
    const char *path = file_of("# a comment\n\nGOODFS_CONNECTION_MAX=1\r\nGOODFS_MEMORY = \"2K\"\n"
                               "GOODFS_LISTEN=x:1, y:2\nGOODFS_LISTEN=z:3\nGOODFS_REGION=file");
    (void)setenv("GOODFS_CONNECTION_MAX", "2", 1);
    (void)setenv("GOODFS_REGION", "environment", 1);
    (void)setenv("GOODFS_CONFIG", path, 1);
    struct gfs_config *config = LOADED("--region", "flag");
    cr_assert_str_eq(gfs_config_text(config, "region"), "flag");
    cr_assert_eq(gfs_config_u64(config, "connection-max"), 2u);
    cr_assert_eq(gfs_config_u64(config, "memory"), 2048u);
    cr_assert_str_eq(gfs_config_list(config, "listen")[1], "y:2");
    cr_assert_str_eq(gfs_config_list(config, "listen")[2], "z:3");
    cr_assert_null(gfs_config_list(config, "listen")[3]);
    cr_assert(gfs_config_is_set(config, "listen"));
    gfs_config_free(config);
    (void)unlink(path);
}

Test(config, names_the_flag_it_refuses)
{
    cr_assert_str_eq(REFUSAL("--lisen", "x"), "unknown flag --lisen");
    cr_assert_str_eq(REFUSAL("-x"), "unknown flag -x");
    cr_assert_str_eq(REFUSAL("--region"), "--region needs a value");
    cr_assert_str_eq(REFUSAL("--region=a", "--region", "b"), "--region is given twice");
    cr_assert_str_eq(REFUSAL("--connection-max", "ten"),
                     "--connection-max (GOODFS_CONNECTION_MAX) is not a number");
    cr_assert_str_eq(REFUSAL("--connection-max=0"),
                     "--connection-max (GOODFS_CONNECTION_MAX) must be 1 to 100000");
    cr_assert_str_eq(REFUSAL("--strict=perhaps"), "--strict (GOODFS_STRICT) is not true or false");
}

Test(config, refuses_sizes_it_does_not_understand)
{
    static const char *const bad[] = {"", "K", "1KB", "1kib", "-1", "1.5M", "99999999999T", "1 2"};
    for (size_t i = 0; i < GFS_COUNT(bad); i++) {
        cr_assert_str_eq(REFUSAL("--memory", bad[i]),
                         "--memory (GOODFS_MEMORY) is not a size like 4096, 64KiB or 1GiB", "%s",
                         bad[i]);
    }
}

Test(config, names_the_line_it_refuses)
{
    static const char *const files[][2] = {
        {"GOODFS_REGION=a\nGOODFS_REGOIN=b\n", "line 2: unknown key GOODFS_REGOIN"},
        {"GOODFS_REGION=a\n\nGOODFS_REGION=b\n", "line 3: GOODFS_REGION is given twice"},
        {"region\n", "line 1: not KEY=VALUE"},
        {"GOODFS_CONFIG=other\n", "line 1: unknown key GOODFS_CONFIG"},
    };
    for (size_t i = 0; i < GFS_COUNT(files); i++) {
        const char *path = file_of(files[i][0]);
        cr_assert_not_null(strstr(REFUSAL("--config", path), files[i][1]), "%s", error.text);
        (void)unlink(path);
    }
    cr_assert_not_null(strstr(REFUSAL("--config", "/nonexistent/file"), "No such file"));
}

Test(config, only_warns_of_an_unknown_variable)
{
    (void)setenv("GOODFS_SOMETHING_ELSE", "1", 1);
    (void)setenv("GOODFS_ADMIN", "127.0.0.1:9001", 1); /* goodfsctl's */
    (void)setenv("GOODFS_CREDENTIALS", "keys", 1);
    cr_redirect_stderr();
    gfs_config_free(loaded(0, NULL));
    (void)fflush(stderr);
    char text[4096] = "";
    (void)fread(text, 1, sizeof text - 1, cr_get_redirected_stderr());
    cr_assert_not_null(strstr(text, "GOODFS_SOMETHING_ELSE"));
    cr_assert_null(strstr(text, "GOODFS_ADMIN"));
    cr_assert_null(strstr(text, "GOODFS_CREDENTIALS"));
}

Test(config, lists_every_setting_in_its_help_and_checks_nothing_then)
{
    struct gfs_config *config = LOADED("--help", "--nonsense");
    cr_assert(gfs_config_wants_help(config));
    gfs_config_free(config);
    struct gfs_buf text;
    gfs_buf_init(&text, 65536);
    gfs_config_help(settings, GFS_COUNT(settings), &text);
    for (size_t i = 0; i < GFS_COUNT(settings); i++) {
        cr_assert_not_null(strstr(text.ptr, settings[i].name));
        cr_assert_not_null(strstr(text.ptr, settings[i].help));
    }
    cr_assert_not_null(strstr(text.ptr, "GOODFS_CONNECTION_MAX, default 1000"));
    cr_assert_not_null(strstr(text.ptr, "--config"));
    gfs_buf_fini(&text);
}
