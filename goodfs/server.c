/* Start order: settings, disks (lock, replay), metadata, keys, what a pool does by itself, gateway,
 * audit, admin; stop in reverse.
 * A stop is a crash that was announced: nothing depends on it (the log is always complete). */
#include "goodfs/server.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/gateway.h"
#include "goodfs/admin.h"
#include "goodfs/credentials.h"
#include "goodfs/fsck.h"
#include "goodfs/fsck_storage.h"
#include "goodfs/metrics.h"
#include "goodfs/settings.h"
#include "goodfs/storage.h"
#include "libgoodfs/clock.h"
#include "libgoodfs/config.h"
#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "pool/pool_errand.h"

enum {
    READY_REASON_SIZE = 200,
    SPREAD_WAIT_MS = 3000,
    STOP_GRACE_MS = 5000, /* for replies under way */
    STOP_WORK_MS = 10000, /* for all that requests and searches do, from the stop on */
    FSCK_IDLE_PERCENT = 30,
};

/* Owned by the main thread; what the admin thread reads is immutable once it runs. */
struct server {
    struct gfs_config *config;
    const char *const *dirs; /* as given */
    struct credentials credentials;
    struct storage *storage;
    struct fsck_storage fsck_storage;
    struct fsck *fsck;
    struct credentials *admin_users;
    size_t admin_user_count;
    struct gateway *gateway;
    struct admin *admin;
    struct pool_errands *errands; /* of keys on their way to disks */
    int64_t started_ns;
    atomic_bool is_stopping;
    bool has_tls;
};

static void usage(void)
{
    struct gfs_buf out;
    size_t count = 0;
    const struct gfs_setting *table = settings_table(&count);
    gfs_buf_init(&out, 1 << 20);
    gfs_config_help(table, count, &out);
    printf("usage: goodfs server DIR [DIR ...] [options]\n\n%s", out.ptr);
    gfs_buf_fini(&out);
}

/* A pool that cannot be written to can still be read. */
static bool is_ready(void *arg, char *ret_reason, size_t size)
{
    struct server *server = arg;
    struct pool *pool = storage_pool(server->storage);
    char reason[READY_REASON_SIZE] = "";
    if (atomic_load(&server->is_stopping)) {
        (void)snprintf(ret_reason, size, "stopping");
        return false;
    }
    if (pool != NULL) {
        bool is_read_only = pool_health(pool, reason, sizeof reason) == POOL_READ_ONLY;
        (void)snprintf(ret_reason, size, "%s%s", is_read_only ? "ok, read-only: " : "ok",
                       is_read_only ? reason : "");
        return true;
    }
    struct chunk_store_status status;
    struct chunk_store *chunks = storage_chunks(server->storage);
    chunks->ops->status(chunks, &status);
    (void)snprintf(ret_reason, size, "%s", status.has_failed ? "the disk has failed" : "ok");
    return !status.has_failed;
}

static void write_metrics(void *arg, struct gfs_buf *out)
{
    struct server *server = arg;
    metrics_write(out, server->gateway, server->storage);
}

/* ---- keys on every disk ---- */

/* The directories of the open disks, NULL-terminated. */
struct dirs {
    char *items[POOL_DISKS_MAX + 1];
    size_t count;
};

static void add_dir(void *arg, const char *dir, const struct store_stats *stats)
{
    struct dirs *dirs = arg;
    (void)stats;
    if (dirs->count < POOL_DISKS_MAX) {
        dirs->items[dirs->count++] = gfs_strdup(dir);
    }
}

static void free_dirs(struct dirs *dirs)
{
    for (size_t i = 0; i < dirs->count; i++) {
        free(dirs->items[i]);
    }
}

/* One disk's, by an errand: it may hang. */
struct spreading {
    struct credentials credentials;
    char *dir;
};

static void run_spreading(void *arg)
{
    const struct spreading *spreading = arg;
    const char *const dirs[] = {spreading->dir, NULL};
    credentials_spread(dirs, &spreading->credentials);
}

static void end_spreading(void *arg)
{
    struct spreading *spreading = arg;
    explicit_bzero(&spreading->credentials, sizeof spreading->credentials);
    free(spreading->dir);
    free(spreading);
}

/* To all disks at once; those that do not answer soon are told again by the next start. */
static void disks_changed(void *arg)
{
    struct server *server = arg;
    struct dirs dirs = {0};
    struct pool_errand *errands[POOL_DISKS_MAX];
    disks_each(storage_disks(server->storage), add_dir, &dirs);
    for (size_t i = 0; i < dirs.count; i++) {
        struct spreading *spreading = gfs_alloc(sizeof *spreading);
        spreading->credentials = server->credentials;
        spreading->dir = gfs_strdup(dirs.items[i]);
        errands[i] =
            pool_errand_start(server->errands, "keys", run_spreading, end_spreading, spreading);
    }
    int64_t until_ns = gfs_monotonic_ns() + SPREAD_WAIT_MS * INT64_C(1000000);
    for (size_t i = 0; i < dirs.count; i++) {
        int64_t left_ns = GFS_MAX(until_ns - gfs_monotonic_ns(), INT64_C(1000000));
        if (!pool_errand_await(errands[i], (uint32_t)(left_ns / 1000000))) {
            gfs_log(GFS_LOG_WARN, "msg=\"a disk does not answer: no keys on it\" dir=\"%s\"",
                    dirs.items[i]);
        }
        pool_errand_let_go(errands[i]);
    }
    free_dirs(&dirs);
}

static enum gfs_err load_credentials(struct server *server, struct gfs_error *error)
{
    struct dirs dirs = {0};
    disks_each(storage_disks(server->storage), add_dir, &dirs);
    enum gfs_err err = credentials_load(
        (const char *const *)dirs.items, gfs_config_text(server->config, "root-access-key"),
        gfs_config_text(server->config, "root-secret-key"), &server->credentials, error);
    free_dirs(&dirs);
    return err;
}

static enum gfs_err set_log_level(const char *text, struct gfs_error *error)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    for (size_t i = 0; i < GFS_COUNT(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            gfs_log_set_level((enum gfs_log_level)i);
            return GFS_OK;
        }
    }
    return gfs_fail(error, GFS_INVALID, "log-level: \"%s\" is none of error, warn, info, debug",
                    text);
}

static uint32_t default_loops(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : (uint32_t)GFS_MIN(count, 64L);
}

static uint32_t setting_u32(const struct server *server, const char *name)
{
    return (uint32_t)gfs_config_u64(server->config, name); /* the table keeps it below 2^32 */
}

static enum gfs_err read_http(struct server *server, struct http_server_options *http,
                              struct gfs_error *error)
{
    uint32_t loops = setting_u32(server, "loops");
    *http = (struct http_server_options){
        .listen = gfs_config_list(server->config, "listen"),
        .loop_count = loops == 0 ? default_loops() : loops,
        .connection_max = setting_u32(server, "connections-max"),
        .idle_timeout_s = setting_u32(server, "idle-timeout-seconds"),
        .header_timeout_s = setting_u32(server, "header-timeout-seconds"),
        .body_bytes_per_s_min = setting_u32(server, "body-rate-min"),
        .tls_cert_file = gfs_config_text(server->config, "tls-cert"),
        .tls_key_file = gfs_config_text(server->config, "tls-key"),
    };
    if ((http->tls_cert_file == NULL) != (http->tls_key_file == NULL)) {
        return gfs_fail(error, GFS_INVALID, "tls-cert and tls-key must be set together");
    }
    server->has_tls = http->tls_cert_file != NULL;
    return GFS_OK;
}

static enum gfs_err start_gateway(struct server *server, struct gfs_error *error)
{
    struct gateway_options options = {
        .meta = shard_service(storage_shard(server->storage)),
        .chunks = storage_chunks(server->storage),
        .access_key = server->credentials.access_key,
        .secret_key = server->credentials.secret_key,
        .region = gfs_config_text(server->config, "region"),
        .domains = gfs_config_list(server->config, "domain"),
        .is_region_strict = gfs_config_bool(server->config, "region-strict"),
        .worker_count = setting_u32(server, "workers"),
        .ingest_bytes_max = gfs_config_u64(server->config, "ingest-memory-max"),
        .is_ready = is_ready,
        .ready_arg = server,
    };
    enum gfs_err err = read_http(server, &options.http, error);
    return err == GFS_OK ? gateway_start(&options, &server->gateway, error) : err;
}

static void start_fsck(struct server *server)
{
    server->fsck_storage = (struct fsck_storage){.shard = storage_shard(server->storage),
                                                 .chunks = storage_chunks(server->storage),
                                                 .pool = storage_pool(server->storage)};
    struct fsck_options options = {
        .source = fsck_storage_source(&server->fsck_storage),
        .orphan_age_ms = (int64_t)gfs_config_u64(server->config, "orphan-age-seconds") * 1000,
        .dir = server->dirs[0],
        .idle_percent = FSCK_IDLE_PERCENT,
    };
    server->fsck = fsck_open(&options);
}

static enum gfs_err load_admin_users(struct server *server, struct gfs_error *error)
{
    const char *const *files = gfs_config_list(server->config, "admin-keys");
    enum gfs_err err = GFS_OK;
    for (; *files != NULL && err == GFS_OK; files++) {
        server->admin_users = gfs_realloc(server->admin_users, (server->admin_user_count + 1) *
                                                                   sizeof *server->admin_users);
        err = credentials_read(*files, &server->admin_users[server->admin_user_count], error);
        server->admin_user_count += err == GFS_OK;
    }
    return err;
}

static enum gfs_err start_admin(struct server *server, struct gfs_error *error)
{
    const char *const *listen = gfs_config_list(server->config, "admin-listen");
    if (listen[0] == NULL || (strcmp(listen[0], "none") == 0 && listen[1] == NULL)) {
        return GFS_OK;
    }
    struct admin_options options = {.listen = listen,
                                    .access_key = server->credentials.access_key,
                                    .secret_key = server->credentials.secret_key,
                                    .users = server->admin_users,
                                    .user_count = server->admin_user_count,
                                    .started_ns = server->started_ns,
                                    .dir = server->dirs[0],
                                    .pool = storage_pool(server->storage),
                                    .chunks = storage_chunks(server->storage),
                                    .shard = storage_shard(server->storage),
                                    .meta = shard_service(storage_shard(server->storage)),
                                    .fsck = server->fsck,
                                    .write_metrics = write_metrics,
                                    .is_ready = is_ready,
                                    .disks_changed = disks_changed,
                                    .arg = server};
    enum gfs_err err = admin_start(&options, &server->admin, error);
    if (err != GFS_OK && !gfs_config_is_set(server->config, "admin-listen")) {
        /* a second server on this machine serves all the same; nobody asked for this address */
        gfs_log(GFS_LOG_WARN, "msg=\"no admin address: set --admin-listen\" err=\"%s\"",
                error->text);
        return GFS_OK;
    }
    return err;
}

/* HOST of "HOST:PORT", with the port that was really bound. */
static void announce_one(const char *what, const char *scheme, const char *address, uint16_t port)
{
    const char *colon = strrchr(address, ':');
    int host_len = colon == NULL ? (int)strlen(address) : (int)(colon - address);
    printf("goodfs: %s %s://%.*s:%u\n", what, scheme, host_len, address, port);
}

static void announce(struct server *server)
{
    const char *const *listen = gfs_config_list(server->config, "listen");
    for (uint32_t i = 0; listen[i] != NULL; i++) {
        announce_one("listening on", server->has_tls ? "https" : "http", listen[i],
                     http_server_port(gateway_http(server->gateway), i));
    }
    listen = gfs_config_list(server->config, "admin-listen");
    for (uint32_t i = 0; server->admin != NULL && listen[i] != NULL; i++) {
        announce_one("admin on", "http", listen[i], http_server_port(admin_http(server->admin), i));
    }
    if (server->credentials.is_generated) {
        printf("goodfs: root keys were made and are in %s/root-credentials\n", server->dirs[0]);
    }
    (void)fflush(stdout);
}

static enum gfs_err start(struct server *server, struct gfs_error *error)
{
    enum gfs_err err = set_log_level(gfs_config_text(server->config, "log-level"), error);
    if (err != GFS_OK) {
        return err;
    }
    err = storage_open(server->config, server->dirs, &server->storage, error);
    if (err == GFS_OK) {
        err = load_credentials(server, error);
    }
    if (err == GFS_OK) {
        err = load_admin_users(server, error);
    }
    if (err == GFS_OK) {
        storage_start(server->storage); /* first: a disk may fail under the first request */
        err = start_gateway(server, error);
    }
    if (err == GFS_OK) {
        start_fsck(server);
        err = start_admin(server, error);
    }
    return err;
}

/* For requests and searches under way since the stop began; a second at least. */
static uint32_t left_ms(int64_t begun_ns)
{
    int64_t left = STOP_WORK_MS - (gfs_monotonic_ns() - begun_ns) / 1000000;
    return (uint32_t)GFS_MAX(left, (int64_t)1000);
}

/* A disk may hang for ever. Whatever waits for it is given up in the end, and with it all that it
 * may use: nothing of that is freed. false: there is such; its threads may come back at any time.
 */
static bool stop(struct server *server)
{
    const int64_t begun_ns = gfs_monotonic_ns();
    atomic_store(&server->is_stopping, true);
    fsck_stop(server->fsck);
    if (server->storage != NULL && storage_shard(server->storage) != NULL) {
        shard_end_visits(storage_shard(server->storage));
    }
    bool is_used = !admin_stop(server->admin, left_ms(begun_ns));
    uint32_t work_ms = left_ms(begun_ns - STOP_GRACE_MS * INT64_C(1000000));
    is_used = !gateway_stop(server->gateway, STOP_GRACE_MS, work_ms) || is_used;
    is_used = !fsck_close(server->fsck, left_ms(begun_ns)) || is_used;
    is_used = !pool_errands_end(server->errands, 0) || is_used;
    if (is_used) {
        gfs_log(GFS_LOG_WARN, "msg=\"stopping: a call hangs in a disk and is given up\"");
    }
    if (!storage_close(server->storage, is_used)) {
        return false;
    }
    for (size_t i = 0; i < server->admin_user_count; i++) {
        explicit_bzero(&server->admin_users[i], sizeof server->admin_users[i]);
    }
    free(server->admin_users);
    pool_errands_free(server->errands);
    return true;
}

static void reload(struct server *server)
{
    struct gfs_error error = {0};
    if (!server->has_tls) {
        return;
    }
    if (http_server_reload_tls(gateway_http(server->gateway), &error) == GFS_OK) {
        gfs_log(GFS_LOG_INFO, "msg=\"certificate read again\"");
    } else {
        gfs_log(GFS_LOG_ERROR, "msg=\"certificate not read, the old one stays\" err=\"%s\"",
                error.text);
    }
}

static void wait_for_stop(struct server *server, const sigset_t *signals)
{
    for (;;) {
        int number = 0;
        if (sigwait(signals, &number) != 0) {
            continue;
        }
        if (number == SIGHUP) {
            reload(server);
            continue;
        }
        gfs_log(GFS_LOG_INFO, "msg=stopping signal=%d", number);
        return;
    }
}

/* Before the first thread, so that every thread inherits it and sigwait gets them all. */
static void block_signals(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, signals, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

static int run(struct server *server)
{
    struct gfs_error error = {0};
    sigset_t signals;
    block_signals(&signals);
    enum gfs_err err = start(server, &error);
    if (err == GFS_OK) {
        announce(server);
        wait_for_stop(server, &signals);
    } else {
        (void)fprintf(stderr, "goodfs server: %s\n",
                      error.text[0] == '\0' ? gfs_err_text(err) : error.text);
    }
    int status = err == GFS_OK ? 0 : 1;
    if (!stop(server)) {
        (void)fflush(NULL);
        _exit(status); /* no handler of exit may run beside threads that come back */
    }
    return status;
}

int server_main(int argc, char **argv)
{
    struct server server = {.started_ns = gfs_monotonic_ns()};
    struct gfs_error error = {0};
    size_t count = 0;
    const struct gfs_setting *table = settings_table(&count);
    if (gfs_config_load(table, count, argc, argv, &server.config, &error) != GFS_OK) {
        (void)fprintf(stderr, "goodfs server: %s\n", error.text);
        return 2;
    }
    int status = 2;
    const char *const *operands = gfs_config_args(server.config);
    if (gfs_config_wants_help(server.config)) {
        usage();
        status = 0;
    } else if (operands[0] == NULL) {
        (void)fprintf(stderr, "goodfs server: needs at least one directory (see --help)\n");
    } else {
        server.dirs = operands;
        server.errands = pool_errands_new();
        status = run(&server);
    }
    gfs_config_free(server.config);
    return status;
}
