#include "ctl/args.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "libgoodfs/mem.h"

static struct args args;
static struct gfs_error error;

/* args points into a copy, which lives until the next call. */
static enum gfs_err parse_all(int argc, const char *const given[])
{
    static char texts[ARGS_WORDS_MAX + 1][64];
    char *argv[ARGS_WORDS_MAX + 2] = {NULL};
    for (int i = 0; i < argc; i++) {
        (void)snprintf(texts[i], sizeof texts[i], "%s", given[i]);
        argv[i] = texts[i];
    }
    return args_parse(argc, argv, &args, &error);
}

static enum gfs_err parse(const char *a, const char *b, const char *c)
{
    const char *given[] = {a, b, c, NULL};
    int argc = 0;
    while (given[argc] != NULL) {
        argc++;
    }
    return parse_all(argc, given);
}

Test(args, words_and_flags_come_in_any_order)
{
    const char *given[] = {"disk", "--json", "set", "--reserved=1GiB", "--admin", "h:1", "3"};
    cr_assert_eq(parse_all(GFS_COUNT(given), given), GFS_OK);
    cr_assert_eq(args.word_count, 3u);
    cr_assert_str_eq(args.words[1], "set");
    cr_assert_str_eq(args.values[ARGS_RESERVED], "1GiB");
    cr_assert_str_eq(args.values[ARGS_ADMIN], "h:1");
    cr_assert_eq(args.given, ARGS_BIT(ARGS_JSON) | ARGS_BIT(ARGS_RESERVED) | ARGS_BIT(ARGS_ADMIN));
}

Test(args, wrong_flags_are_named)
{
    static const struct {
        const char *a, *b, *words;
    } cases[] = {{"--jason", NULL, "--jason"}, {"--json", "--json", "twice"},
                 {"--rate", NULL, "value"},    {"--json=1", NULL, "no value"},
                 {"-x", NULL, "-x"},           {"--", "--json", NULL}};
    for (size_t i = 0; i < GFS_COUNT(cases); i++) {
        enum gfs_err err = parse(cases[i].a, cases[i].b, NULL);
        cr_assert_eq(err, cases[i].words == NULL ? GFS_OK : GFS_INVALID, "%s", cases[i].a);
        if (cases[i].words != NULL) {
            cr_assert(strstr(error.text, cases[i].words) != NULL, "%s", error.text);
        }
    }
    cr_assert_str_eq(args.words[0], "--json", "after -- everything is a word");
}

Test(args, too_many_words_are_refused)
{
    const char *given[ARGS_WORDS_MAX + 1];
    for (size_t i = 0; i <= ARGS_WORDS_MAX; i++) {
        given[i] = "w";
    }
    cr_assert_eq(parse_all(ARGS_WORDS_MAX, given), GFS_OK);
    cr_assert_eq(parse_all(ARGS_WORDS_MAX + 1, given), GFS_INVALID);
}

Test(args, bytes_have_units_and_bounds)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0", 0},
                {"7", 7},
                {"64K", 65536},
                {"64KiB", 65536},
                {"3MiB", 3 << 20},
                {"1G", 1 << 30},
                {"2TiB", 2ULL << 40},
                {"9223372036854775807", INT64_MAX}};
    static const char *const bad[] = {
        "", "x", "-1", "1.5G", "1 G", "1GB", "9223372036854775808", "8388608TiB"};
    uint64_t bytes = 0;
    for (size_t i = 0; i < GFS_COUNT(good); i++) {
        cr_assert_eq(args_bytes(good[i].text, &bytes), GFS_OK, "%s", good[i].text);
        cr_assert_eq(bytes, good[i].bytes, "%s", good[i].text);
    }
    for (size_t i = 0; i < GFS_COUNT(bad); i++) {
        cr_assert_eq(args_bytes(bad[i], &bytes), GFS_INVALID, "%s", bad[i]);
    }
}

Test(args, seconds_are_whole_and_at_most_a_day)
{
    static const char *const bad[] = {"", "0", "-1", "1.5", "2s", "86401", "4294967297"};
    unsigned seconds = 0;
    cr_assert_eq(args_seconds("86400", &seconds), GFS_OK);
    cr_assert_eq(seconds, 86400U);
    for (size_t i = 0; i < GFS_COUNT(bad); i++) {
        cr_assert_eq(args_seconds(bad[i], &seconds), GFS_INVALID, "%s", bad[i]);
    }
}

Test(args, booleans_are_words)
{
    bool value = false;
    cr_assert_eq(args_bool("on", &value), GFS_OK);
    cr_assert(value);
    cr_assert_eq(args_bool("0", &value), GFS_OK);
    cr_assert(!value);
    cr_assert_eq(args_bool("maybe", &value), GFS_INVALID);
}
