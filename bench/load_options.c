#include "bench/load_options.h"

#include <getopt.h>
#include <stdlib.h>

#include "libgoodfs/limits.h"
#include "libgoodfs/mem.h"
#include "libgoodfs/text.h"

static const char *const op_names[] = {"get", "put", "head", "delete", "list"};

enum option_id {
    OPTION_OP = 256,
    OPTION_HOST,
    OPTION_BUCKET,
    OPTION_PREFIX,
    OPTION_REGION,
    OPTION_PAYLOAD,
    OPTION_ORDER,
    OPTION_SIGN,
    OPTION_EXPECT,
    OPTION_CHECK,
    OPTION_HOLD,
    OPTION_ANONYMOUS,
    OPTION_NUMBER, /* this and all above: index into numbers[] */
};

/* Plain data. */
struct number_option {
    const char *name;
    size_t offset; /* of a uint64_t in struct load_options */
    uint64_t min, max;
};

static const struct number_option numbers[] = {
    {"connections", offsetof(struct load_options, connections), 1, LOAD_CONNECTIONS_MAX},
    {"threads", offsetof(struct load_options, threads), 1, LOAD_THREADS_MAX},
    {"seed", offsetof(struct load_options, seed), 0, UINT64_MAX},
    {"size", offsetof(struct load_options, size), 0, 1ULL << 32},
    {"keys", offsetof(struct load_options, key_count), 1, 100000000},
    {"max-keys", offsetof(struct load_options, max_keys), 1, 1000},
    {"count", offsetof(struct load_options, count), 0, UINT64_MAX / 2},
    {"duration-ms", offsetof(struct load_options, duration_ms), 1, 3600000},
    {"warmup-ms", offsetof(struct load_options, warmup_ms), 0, 3600000},
    {"timeout-ms", offsetof(struct load_options, timeout_ms), 1, 3600000},
};

static const struct option texts[] = {
    {"op", required_argument, NULL, OPTION_OP},
    {"endpoint", required_argument, NULL, OPTION_HOST},
    {"bucket", required_argument, NULL, OPTION_BUCKET},
    {"prefix", required_argument, NULL, OPTION_PREFIX},
    {"region", required_argument, NULL, OPTION_REGION},
    {"payload", required_argument, NULL, OPTION_PAYLOAD},
    {"order", required_argument, NULL, OPTION_ORDER},
    {"sign", required_argument, NULL, OPTION_SIGN},
    {"expect", required_argument, NULL, OPTION_EXPECT},
    {"check", no_argument, NULL, OPTION_CHECK},
    {"hold", no_argument, NULL, OPTION_HOLD},
    {"anonymous", no_argument, NULL, OPTION_ANONYMOUS},
};

const char *load_options_op_name(enum load_op op)
{
    return op_names[op];
}

/* The index of a word in words; count when it is none of them. */
static size_t word_index(const char *text, const char *const *words, size_t count)
{
    size_t index = 0;
    while (index < count && strcmp(text, words[index]) != 0) {
        index++;
    }
    return index;
}

static bool parse_endpoint(char *text, struct load_options *ret)
{
    char *colon = strrchr(text, ':');
    uint64_t port;
    if (colon == NULL || gfs_parse_u64(gfs_slice_str(colon + 1), UINT16_MAX, &port) != GFS_OK) {
        return false;
    }
    *colon = '\0';
    ret->host = text;
    ret->port = (uint16_t)port;
    return true;
}

/* "200" or "201,204" */
static bool parse_statuses(const char *text, struct load_options *ret)
{
    ret->status_count = 0;
    for (;;) {
        size_t len = strcspn(text, ",");
        if (ret->status_count == LOAD_STATUS_MAX ||
            gfs_parse_u64(gfs_slice_of(text, len), 599, &ret->statuses[ret->status_count]) !=
                GFS_OK) {
            return false;
        }
        ret->status_count++;
        if (text[len] == '\0') {
            return true;
        }
        text += len + 1;
    }
}

/* One of the words; false when the text is none. *ret is its index. */
static bool parse_word(const char *text, const char *const *words, size_t count, size_t *ret)
{
    *ret = word_index(text, words, count);
    return *ret < count;
}

static bool parse_text(int id, char *text, struct load_options *ret)
{
    static const char *const payloads[] = {"auto", "sha256", "unsigned"};
    static const char *const orders[] = {"sequence", "random"};
    static const char *const signs[] = {"before", "each"};
    size_t index = 0;
    bool is_good = true;
    switch (id) {
    case OPTION_OP:
        is_good = parse_word(text, op_names, GFS_COUNT(op_names), &index);
        ret->op = (enum load_op)index;
        return is_good;
    case OPTION_HOST:
        return parse_endpoint(text, ret);
    case OPTION_BUCKET:
        ret->bucket = text;
        return true;
    case OPTION_PREFIX:
        ret->prefix = text;
        return true;
    case OPTION_REGION:
        ret->region = text;
        return true;
    case OPTION_PAYLOAD:
        is_good = parse_word(text, payloads, GFS_COUNT(payloads), &index);
        ret->payload = (enum load_payload)index;
        return is_good;
    case OPTION_ORDER:
        is_good = parse_word(text, orders, GFS_COUNT(orders), &index);
        ret->is_random = index == 1;
        return is_good;
    case OPTION_SIGN:
        is_good = parse_word(text, signs, GFS_COUNT(signs), &index);
        ret->signs_each = index == 1;
        return is_good;
    case OPTION_EXPECT:
        return parse_statuses(text, ret);
    case OPTION_CHECK:
        ret->checks_body = true;
        return true;
    case OPTION_HOLD:
        ret->holds = true;
        return true;
    case OPTION_ANONYMOUS:
        ret->access_key = ret->secret = NULL;
        return true;
    default:
        return false;
    }
}

static bool parse_number(const struct number_option *option, const char *text,
                         struct load_options *ret)
{
    uint64_t value;
    if (gfs_parse_u64(gfs_slice_str(text), option->max, &value) != GFS_OK || value < option->min) {
        return false;
    }
    memcpy((char *)ret + option->offset, &value, sizeof value);
    return true;
}

static enum gfs_err check(const struct load_options *options, struct gfs_error *error)
{
    if (options->host == NULL) {
        return gfs_fail(error, GFS_INVALID, "--endpoint HOST:PORT is missing");
    }
    if (strlen(options->bucket) > GFS_BUCKET_NAME_LEN_MAX ||
        strlen(options->prefix) > LOAD_PREFIX_LEN_MAX ||
        strlen(options->host) > LOAD_HOST_LEN_MAX) {
        return gfs_fail(error, GFS_INVALID, "bucket, prefix or host is too long");
    }
    if (options->threads > options->connections) {
        return gfs_fail(error, GFS_INVALID, "more threads than connections");
    }
    if (options->op == LOAD_PUT && options->checks_body) {
        return gfs_fail(error, GFS_INVALID, "--check is for get");
    }
    return GFS_OK;
}

static void set_defaults(struct load_options *ret)
{
    *ret = (struct load_options){
        .bucket = "bench",
        .prefix = "",
        .region = "us-east-1",
        .access_key = getenv("GOODFS_ROOT_ACCESS_KEY"),
        .secret = getenv("GOODFS_ROOT_SECRET_KEY"),
        .connections = 1,
        .threads = 1,
        .seed = 1,
        .size = 4096,
        .key_count = 1000,
        .max_keys = 1000,
        .duration_ms = 2000,
        .warmup_ms = 200,
        .timeout_ms = 60000,
    };
    if (ret->access_key == NULL || ret->secret == NULL) {
        ret->access_key = ret->secret = NULL;
    }
}

enum gfs_err load_options_parse(int argc, char **argv, struct load_options *ret,
                                struct gfs_error *error)
{
    struct option longs[GFS_COUNT(texts) + GFS_COUNT(numbers) + 1];
    memset(longs, 0, sizeof longs);
    memcpy(longs, texts, sizeof texts);
    for (size_t i = 0; i < GFS_COUNT(numbers); i++) {
        longs[GFS_COUNT(texts) + i] =
            (struct option){numbers[i].name, required_argument, NULL, OPTION_NUMBER + (int)i};
    }
    set_defaults(ret);
    int id, index = 0;
    while ((id = getopt_long(argc, argv, "", longs, &index)) != -1) {
        bool is_good = id >= OPTION_NUMBER ? parse_number(&numbers[id - OPTION_NUMBER], optarg, ret)
                                           : parse_text(id, optarg, ret);
        if (!is_good) {
            return id == '?' ? gfs_fail(error, GFS_INVALID, "unknown option")
                             : gfs_fail(error, GFS_INVALID, "bad value of --%s", longs[index].name);
        }
    }
    if (optind != argc) {
        return gfs_fail(error, GFS_INVALID, "unexpected argument %s", argv[optind]);
    }
    if (ret->status_count == 0) {
        ret->status_count = 1;
        ret->statuses[0] = ret->op == LOAD_DELETE ? 204 : 200;
    }
    return check(ret, error);
}
