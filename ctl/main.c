/* goodfsctl: finds the verb, the server and the keys; sends; says what went wrong. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/client.h"
#include "ctl/ctl.h"
#include "goodfs/credentials.h"
#include "goodfs/recover.h"
#include "libgoodfs/mem.h"

enum {
    REPLY_LEN_MAX = 72 * 1024 * 1024,
    /* The server itself gives a call up after 30 seconds; but changes wait for each other. */
    TIMEOUT_DEFAULT_S = 180,
};

#define CTL_ADMIN_DEFAULT "127.0.0.1:9001"

#define EVERYWHERE                                                                                 \
    (ARGS_BIT(ARGS_ADMIN) | ARGS_BIT(ARGS_CREDENTIALS) | ARGS_BIT(ARGS_JSON) |                     \
     ARGS_BIT(ARGS_HELP) | ARGS_BIT(ARGS_TIMEOUT))

/* ---- usage ---- */

static void add_flags(const struct ctl_verb *verb, struct gfs_buf *out)
{
    for (unsigned flag = 0; flag < ARGS_FLAG_COUNT; flag++) {
        if ((verb->flags & ARGS_BIT(flag)) != 0) {
            const char *value = args_flag_value(flag);
            gfs_buf_printf(out, value == NULL ? " [%s]" : " [%s %s]", args_flag_name(flag), value);
        }
    }
}

static int usage(FILE *out)
{
    const struct ctl_verb *verb;
    (void)fprintf(
        out,
        "usage: goodfsctl [--admin HOST:PORT] [--credentials FILE] [--json]\n"
        "                 [--timeout SECONDS] VERB ...\n\n"
        "--admin        GOODFS_ADMIN, else " CTL_ADMIN_DEFAULT "\n"
        "--credentials  a file with keys: the root's (a server's DIR/root-credentials) or\n"
        "               an operator's (named to the server with --admin-keys); else\n"
        "               GOODFS_CREDENTIALS, else GOODFS_ROOT_ACCESS_KEY and\n"
        "               GOODFS_ROOT_SECRET_KEY\n"
        "--json         what the server answered\n"
        "--timeout      how long an answer is waited for; %d\n"
        "--version      of goodfsctl\n\n"
        "exit status: 0 fine, 1 the answer is \"no\", 2 wrong usage or no usable keys, 3 not\n"
        "reached or not allowed\n\n",
        TIMEOUT_DEFAULT_S);
    for (size_t i = 0; (verb = ctl_verbs_at(i)) != NULL; i++) {
        char line[64];
        (void)snprintf(line, sizeof line, "%s %s", verb->name, verb->operands);
        (void)fprintf(out, "%-26s %.*s\n", line, (int)strcspn(verb->help, "\n"), verb->help);
    }
    (void)fprintf(out,
                  "recover DIR [DIR ...]      rebuilds lost metadata, with the server stopped\n"
                  "help VERB                  explains one\n");
    return out == stdout ? CTL_FINE : CTL_USAGE;
}

/* The verbs that begin with the same word may be what was meant. */
static int unknown_verb(const struct args *args, unsigned first)
{
    const struct ctl_verb *verb;
    const char *word = args->words[first];
    size_t len = strlen(word);
    bool has_second = args->word_count > first + 1;
    (void)fprintf(stderr, "goodfsctl: there is no verb \"%s%s%s\"", word, has_second ? " " : "",
                  has_second ? args->words[first + 1] : "");
    const char *before = ", but ";
    for (size_t i = 0; (verb = ctl_verbs_at(i)) != NULL; i++) {
        if (strncmp(verb->name, word, len) == 0 && verb->name[len] == ' ') {
            (void)fprintf(stderr, "%s\"%s\"", before, verb->name);
            before = ", ";
        }
    }
    (void)fprintf(stderr, " (see goodfsctl help)\n");
    return CTL_USAGE;
}

static int help_of(const struct ctl_verb *verb)
{
    struct gfs_buf GFS_CLEANUP(gfs_buf_fini) out;
    gfs_buf_init(&out, 4096);
    gfs_buf_printf(&out, "usage: goodfsctl %s%s%s", verb->name,
                   verb->operands[0] == '\0' ? "" : " ", verb->operands);
    add_flags(verb, &out);
    gfs_buf_printf(&out, "\n\n%s\n", verb->help);
    (void)fwrite(out.ptr, 1, out.len, stdout);
    return CTL_FINE;
}

/* The verb that the words from `first` on begin with; *ret_words of them are its name. */
static const struct ctl_verb *find_verb(const struct args *args, unsigned first,
                                        unsigned *ret_words)
{
    const struct ctl_verb *verb;
    const struct ctl_verb *found = NULL;
    for (size_t i = 0; (verb = ctl_verbs_at(i)) != NULL; i++) {
        char name[64] = "";
        unsigned words = strchr(verb->name, ' ') == NULL ? 1 : 2;
        if (first + words > args->word_count) {
            continue;
        }
        (void)snprintf(name, sizeof name, "%s%s%s", args->words[first], words == 2 ? " " : "",
                       words == 2 ? args->words[first + 1] : "");
        if (strcmp(name, verb->name) == 0 && (found == NULL || words > *ret_words)) {
            *ret_words = words; /* "fsck status" before "fsck" */
            found = verb;
        }
    }
    return found;
}

static bool is_usage_right(const struct ctl_verb *verb, const struct args *args, unsigned words)
{
    for (unsigned flag = 0; flag < ARGS_FLAG_COUNT; flag++) {
        if ((args->given & ARGS_BIT(flag) & ~(verb->flags | EVERYWHERE)) != 0) {
            (void)fprintf(stderr, "goodfsctl: %s has no %s\n", verb->name, args_flag_name(flag));
            return false;
        }
    }
    if (args->word_count - words != verb->operand_count) {
        (void)fprintf(stderr, "usage: goodfsctl %s %s\n", verb->name, verb->operands);
        return false;
    }
    return true;
}

/* ---- the server and its keys ---- */

static const char *given_or(const char *flag, const char *variable)
{
    const char *text = flag != NULL ? flag : getenv(variable);
    return text == NULL || text[0] == '\0' ? NULL : text;
}

static enum gfs_err find_keys(const struct args *args, struct credentials *ret,
                              struct gfs_error *error)
{
    const char *path = given_or(args->values[ARGS_CREDENTIALS], "GOODFS_CREDENTIALS");
    if (path != NULL) {
        return credentials_read(path, ret, error);
    }
    const char *access_key = given_or(NULL, "GOODFS_ROOT_ACCESS_KEY");
    const char *secret_key = given_or(NULL, "GOODFS_ROOT_SECRET_KEY");
    if (access_key == NULL || secret_key == NULL) {
        return gfs_fail(error, GFS_INVALID,
                        "no keys: set GOODFS_ROOT_ACCESS_KEY and GOODFS_ROOT_SECRET_KEY, or name "
                        "the file with --credentials");
    }
    if (strlen(access_key) > CREDENTIALS_LEN_MAX || strlen(secret_key) > CREDENTIALS_LEN_MAX) {
        return gfs_fail(error, GFS_INVALID, "the keys have at most %d characters",
                        CREDENTIALS_LEN_MAX);
    }
    memcpy(ret->access_key, access_key, strlen(access_key) + 1);
    memcpy(ret->secret_key, secret_key, strlen(secret_key) + 1);
    return GFS_OK;
}

static int run(const struct ctl_verb *verb, const struct args *args, unsigned words)
{
    struct credentials keys = {0};
    struct gfs_error error = {0};
    const char *address = given_or(args->values[ARGS_ADMIN], "GOODFS_ADMIN");
    const char *timeout = args->values[ARGS_TIMEOUT];
    unsigned limit_s = TIMEOUT_DEFAULT_S;
    if (timeout != NULL && args_seconds(timeout, &limit_s) != GFS_OK) {
        (void)fprintf(stderr, "goodfsctl: --timeout is whole seconds, from 1 to 86400\n");
        return CTL_USAGE;
    }
    if (find_keys(args, &keys, &error) != GFS_OK) {
        (void)fprintf(stderr, "goodfsctl: %s\n", error.text);
        return CTL_USAGE;
    }
    struct client_options options = {.address = address == NULL ? CTL_ADMIN_DEFAULT : address,
                                     .access_key = keys.access_key,
                                     .secret_key = keys.secret_key,
                                     .limit_s = limit_s};
    struct ctl ctl = {.args = args,
                      .operands = args->words + words,
                      .operand_count = args->word_count - words,
                      .client = client_new(&options)};
    enum ctl_status status = CTL_UNREACHABLE;
    gfs_buf_init(&ctl.reply, REPLY_LEN_MAX);
    if (ctl.client == NULL) {
        (void)fprintf(stderr, "goodfsctl: libcurl cannot be used\n");
    } else {
        status = verb->run(&ctl);
    }
    client_free(ctl.client);
    gfs_json_free(ctl.value);
    gfs_buf_fini(&ctl.reply);
    explicit_bzero(&keys, sizeof keys);
    return fflush(stdout) == 0 ? (int)status : CTL_UNREACHABLE;
}

static int without_verb(const struct args *args, bool wants_help)
{
    char help[] = "--help";
    unsigned first = args->word_count > 0 && strcmp(args->words[0], "help") == 0 ? 1 : 0;
    if (args->word_count <= first) {
        return usage(wants_help ? stdout : stderr);
    }
    if (wants_help && strcmp(args->words[first], "recover") == 0) {
        return recover_main(1, (char *[]){help});
    }
    return unknown_verb(args, first);
}

int main(int argc, char **argv)
{
    struct args args;
    struct gfs_error error = {0};
    unsigned words = 0;
    if (argc >= 2 && strcmp(argv[1], "recover") == 0) {
        return recover_main(argc - 2, argv + 2); /* on the disks: there is no server to ask */
    }
    if (args_parse(argc - 1, argv + 1, &args, &error) != GFS_OK) {
        (void)fprintf(stderr, "goodfsctl: %s (see goodfsctl help)\n", error.text);
        return CTL_USAGE;
    }
    bool wants_help = args.word_count > 0 && strcmp(args.words[0], "help") == 0;
    const struct ctl_verb *verb = find_verb(&args, wants_help ? 1 : 0, &words);
    wants_help = wants_help || (args.given & ARGS_BIT(ARGS_HELP)) != 0;
    if ((args.given & ARGS_BIT(ARGS_VERSION)) != 0) {
        printf("goodfsctl %s\n", GFS_VERSION);
        return CTL_FINE;
    }
    if (verb == NULL) {
        return without_verb(&args, wants_help);
    }
    if (wants_help) {
        return help_of(verb);
    }
    return is_usage_right(verb, &args, words) ? run(verb, &args, words) : CTL_USAGE;
}
