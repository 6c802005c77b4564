/* Load generator: a closed loop of signed S3 requests (or plain HTTP ones), each response checked.
 * Prints one JSON line; exit status 0 = every response was right, 1 = some were not, 2 = usage.
 *
 * It is made to be light, because it shares the processors with what it measures: one thread, no
 * allocation in the loop, and signatures made before the clock starts. A signature made before is
 * as good as one made now, and costs the server the same work. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>

#include "bench/load_worker.h"
#include "libgoodfs/clock.h"
#include "libgoodfs/mem.h"

static void merge(struct load_stats *into, const struct load_stats *from)
{
    into->ops += from->ops;
    into->ops_all += from->ops_all;
    into->bytes += from->bytes;
    into->reconnects += from->reconnects;
    into->cpu_ns += from->cpu_ns;
    into->last_ns = GFS_MAX(into->last_ns, from->last_ns);
    for (int i = 0; i < LOAD_FAILURE_COUNT; i++) {
        into->failures[i] += from->failures[i];
    }
    if (into->first_failure[0] == '\0') {
        memcpy(into->first_failure, from->first_failure, sizeof into->first_failure);
    }
    load_hist_merge(&into->latency, &from->latency);
}

/* text is printable ASCII. */
static void print_json_text(const char *text)
{
    putchar('"');
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\') {
            putchar('\\');
        }
        putchar(*at);
    }
    putchar('"');
}

static uint64_t print_failures(const struct load_stats *stats)
{
    uint64_t total = 0;
    printf("\"errors\": {");
    for (int i = 0; i < LOAD_FAILURE_COUNT; i++) {
        printf("\"%s\": %" PRIu64 ", ", load_conn_failure_name((enum load_failure)i),
               stats->failures[i]);
        total += stats->failures[i];
    }
    printf("\"total\": %" PRIu64 "}, \"first_error\": ", total);
    print_json_text(stats->first_failure);
    return total;
}

/* Answers the number of errors. */
static uint64_t print_result(const struct load_run *run, const struct load_stats *stats)
{
    const struct load_options *options = run->options;
    uint64_t until_ns = options->count == 0 ? run->stop_ns : stats->last_ns;
    double seconds =
        until_ns > run->measure_from_ns ? (double)(until_ns - run->measure_from_ns) / 1e9 : 0.0;
    double per_second = seconds > 0 ? 1 / seconds : 0;
    double ops = (double)stats->ops;
    printf("{\"op\": \"%s\", \"connections\": %" PRIu64 ", \"threads\": %" PRIu64
           ", \"size\": %" PRIu64 ", \"signed\": %s, ",
           load_options_op_name(options->op), options->connections, options->threads, options->size,
           options->access_key != NULL ? "true" : "false");
    printf("\"seconds\": %.6f, \"ops\": %" PRIu64 ", \"ops_s\": %.1f, \"mb_s\": %.2f, ", seconds,
           stats->ops, ops * per_second, (double)stats->bytes * per_second / 1e6);
    printf("\"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, ",
           (double)load_hist_quantile_ns(&stats->latency, 500) / 1e3,
           (double)load_hist_quantile_ns(&stats->latency, 990) / 1e3,
           (double)stats->latency.max_ns / 1e3);
    printf("\"client_cpu_us_op\": %.2f, \"ops_all\": %" PRIu64 ", \"reconnects\": %" PRIu64 ", ",
           ops > 0 ? (double)stats->cpu_ns / 1e3 / ops : 0.0, stats->ops_all, stats->reconnects);
    uint64_t failures = print_failures(stats);
    printf("}\n");
    return failures;
}

static void set_times(struct load_run *run)
{
    const struct load_options *options = run->options;
    run->start_ns = (uint64_t)gfs_monotonic_ns();
    if (options->count != 0) {
        run->measure_from_ns = run->start_ns;
        run->stop_ns = UINT64_MAX;
    } else {
        run->measure_from_ns = run->start_ns + options->warmup_ms * 1000000u;
        run->stop_ns = run->measure_from_ns + options->duration_ms * 1000000u;
    }
}

static void *thread_main(void *arg)
{
    load_worker_run(arg);
    return NULL;
}

/* Plain data. */
struct load_crew {
    struct load_worker *workers[LOAD_THREADS_MAX];
    pthread_t threads[LOAD_THREADS_MAX];
};

/* Connects first, then starts the clock, then the threads. */
static void run_all(struct load_run *run, struct load_crew *crew, struct load_stats *ret)
{
    const struct load_options *options = run->options;
    for (uint64_t i = 0; i < options->threads; i++) {
        uint64_t from = options->connections * i / options->threads;
        uint64_t to = options->connections * (i + 1) / options->threads;
        crew->workers[i] = load_worker_new(run, i, to - from);
    }
    set_times(run);
    for (uint64_t i = 0; i < options->threads; i++) {
        int failed = pthread_create(&crew->threads[i], NULL, thread_main, crew->workers[i]);
        GFS_ASSERT(failed == 0);
        (void)pthread_setname_np(crew->threads[i], "load");
    }
    for (uint64_t i = 0; i < options->threads; i++) {
        (void)pthread_join(crew->threads[i], NULL);
        merge(ret, load_worker_stats(crew->workers[i]));
    }
}

/* As many descriptors as the system allows: the usual soft limit of 1,024 is soon used up. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* The connections stay open, idle, until standard input ends. */
static void hold(void)
{
    (void)fflush(stdout);
    while (getchar() != EOF) {
    }
}

int main(int argc, char **argv)
{
    struct load_options options;
    struct gfs_error error = {0};
    if (load_options_parse(argc, argv, &options, &error) != GFS_OK) {
        (void)fprintf(stderr, "load: %s\n", error.text);
        return 2;
    }
    raise_descriptor_limit();
    struct load_requests *requests = load_requests_new(&options);
    struct load_run run = {.options = &options, .requests = requests};
    struct load_crew crew;
    struct load_stats GFS_FREE *stats = gfs_alloc(sizeof *stats);
    run_all(&run, &crew, stats);
    uint64_t failures = print_result(&run, stats);
    if (options.holds) {
        hold();
    }
    for (uint64_t i = 0; i < options.threads; i++) {
        load_worker_free(crew.workers[i]);
    }
    load_requests_free(requests);
    return failures == 0 && stats->ops != 0 ? 0 : 1;
}
