/* Start order: settings, keys, store (lock, replay), metadata, gateway, admin; stop in reverse.
 * A stop is a crash that was announced: nothing depends on it (the log is always complete). */
#include "goodfs/server.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "datad/store.h"
#include "gateway/gateway.h"
#include "goodfs/admin.h"
#include "goodfs/credentials.h"
#include "goodfs/metrics.h"
#include "goodfs/settings.h"
#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"
#include "metad/shard.h"

enum { PATH_LEN_MAX = 4096, STOP_GRACE_MS = 5000 };

static const struct setting table[] = {
    {"config", NULL, "file of GOODFS_NAME=VALUE lines", false, false},
    {"listen", "127.0.0.1:9000", "address:port of the S3 endpoint; may be repeated", true, false},
    {"admin-listen", "", "address:port of metrics and health; none when empty", true, false},
    {"root-access-key", "", "root access key; made at first start when not set", false, true},
    {"root-secret-key", "", "root secret key; made at first start when not set", false, true},
    {"region", "us-east-1", "region that is shown to clients", false, false},
    {"region-strict", "false", "refuse signatures for another region", false, false},
    {"domain", "", "host name below which buckets are host names; may be repeated", true, false},
    {"tls-cert", "", "PEM certificate chain; with tls-key the S3 endpoint speaks https", false,
     false},
    {"tls-key", "", "PEM private key; both are read again on SIGHUP", false, false},
    {"loops", "0", "HTTP threads; 0 = one per processor", false, false},
    {"workers", "4", "threads for calls that wait for the disk", false, false},
    {"connections-max", "8192", "connections; more wait in the backlog", false, false},
    {"idle-timeout-seconds", "60", "a connection without traffic is closed", false, false},
    {"header-timeout-seconds", "20", "a request's headers must have come", false, false},
    {"body-rate-min", "1024", "bytes a second a body must come with, over 30 s; 0 = off", false,
     false},
    {"ingest-memory-max", "268435456", "bytes of small bodies under way", false, false},
    {"meta-cache-bytes", "33554432", "bytes of the row cache", false, false},
    {"gc-grace-seconds", "60", "deleted data stays readable for reads under way", false, false},
    {"log-level", "info", "error, warn, info or debug", false, false},
    {NULL, NULL, NULL, false, false},
};

/* Owned by the main thread; what the admin thread reads is immutable once it runs. */
struct server {
    struct settings *settings;
    const char *dir;
    struct credentials credentials;
    struct store *store;
    struct shard *shard;
    struct gateway *gateway;
    struct admin *admin;
    atomic_bool is_stopping;
    bool has_tls;
};

static void usage(void)
{
    printf("usage: goodfs server DIR [options]\n\n");
    settings_print_help(table);
}

static bool is_ready(void *arg, const char **ret_reason)
{
    struct server *server = arg;
    struct store_stats stats;
    store_stats(server->store, &stats);
    *ret_reason = "ok";
    if (atomic_load(&server->is_stopping)) {
        *ret_reason = "stopping";
    } else if (stats.has_failed) {
        *ret_reason = "the disk has failed";
    } else {
        return true;
    }
    return false;
}

static void write_metrics(void *arg, struct gfs_buf *out)
{
    struct server *server = arg;
    metrics_write(out, server->gateway, server->store, server->shard);
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

static enum gfs_err open_stores(struct server *server, struct gfs_error *error)
{
    uint64_t grace_s = 0;
    uint64_t cache_bytes = 0;
    enum gfs_err err =
        settings_u64(server->settings, "gc-grace-seconds", 0, 86400 * 30, &grace_s, error);
    if (err == GFS_OK) {
        err = settings_u64(server->settings, "meta-cache-bytes", 0, 1ULL << 40, &cache_bytes,
                           error);
    }
    if (err != GFS_OK) {
        return err;
    }
    struct store_options store_options = {.dir = server->dir};
    err = store_open(&store_options, &server->store, error);
    if (err != GFS_OK) {
        return err;
    }
    char meta_dir[PATH_LEN_MAX];
    int len = snprintf(meta_dir, sizeof meta_dir, "%s/meta", server->dir);
    if (len < 0 || (size_t)len >= sizeof meta_dir) {
        return gfs_fail(error, GFS_INVALID, "%s: path too long", server->dir);
    }
    if (mkdir(meta_dir, 0700) != 0 && errno != EEXIST) {
        return gfs_fail(error, GFS_IO, "%s: %s", meta_dir, strerror(errno));
    }
    struct shard_options shard_options = {
        .dir = meta_dir,
        .log = store_chunks(server->store),
        .cache_bytes_max = cache_bytes,
        .gc_grace_ms = (int64_t)grace_s * 1000,
    };
    return shard_open(&shard_options, &server->shard, error);
}

static uint32_t default_loops(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : (uint32_t)GFS_MIN(count, 64L);
}

static const char *text_or_null(const struct settings *settings, const char *name)
{
    const char *text = settings_text(settings, name);
    return text == NULL || text[0] == '\0' ? NULL : text;
}

static enum gfs_err read_http(struct server *server, struct http_server_options *http,
                              struct gfs_error *error)
{
    static const struct {
        const char *name;
        uint64_t min, max;
        size_t offset;
    } numbers[] = {
        {"loops", 0, 256, offsetof(struct http_server_options, loop_count)},
        {"connections-max", 1, 1000000, offsetof(struct http_server_options, connection_max)},
        {"idle-timeout-seconds", 1, 86400, offsetof(struct http_server_options, idle_timeout_s)},
        {"header-timeout-seconds", 1, 86400,
         offsetof(struct http_server_options, header_timeout_s)},
        {"body-rate-min", 0, UINT32_MAX,
         offsetof(struct http_server_options, body_bytes_per_s_min)},
    };
    const struct settings *settings = server->settings;
    for (size_t i = 0; i < GFS_COUNT(numbers); i++) {
        uint64_t value = 0;
        enum gfs_err err =
            settings_u64(settings, numbers[i].name, numbers[i].min, numbers[i].max, &value, error);
        if (err != GFS_OK) {
            return err;
        }
        uint32_t narrow = (uint32_t)value;
        memcpy((char *)http + numbers[i].offset, &narrow, sizeof narrow);
    }
    http->loop_count = http->loop_count == 0 ? default_loops() : http->loop_count;
    http->listen = settings_list(settings, "listen");
    http->tls_cert_file = text_or_null(settings, "tls-cert");
    http->tls_key_file = text_or_null(settings, "tls-key");
    if ((http->tls_cert_file == NULL) != (http->tls_key_file == NULL)) {
        return gfs_fail(error, GFS_INVALID, "tls-cert and tls-key must be set together");
    }
    server->has_tls = http->tls_cert_file != NULL;
    return GFS_OK;
}

static enum gfs_err start_gateway(struct server *server, struct gfs_error *error)
{
    struct gateway_options options = {
        .meta = shard_service(server->shard),
        .chunks = store_chunks(server->store),
        .access_key = server->credentials.access_key,
        .secret_key = server->credentials.secret_key,
        .region = settings_text(server->settings, "region"),
        .domains = settings_list(server->settings, "domain"),
        .is_ready = is_ready,
        .ready_arg = server,
    };
    uint64_t workers = 0;
    enum gfs_err err = read_http(server, &options.http, error);
    if (err == GFS_OK) {
        err = settings_bool(server->settings, "region-strict", &options.is_region_strict, error);
    }
    if (err == GFS_OK) {
        err = settings_u64(server->settings, "workers", 1, 256, &workers, error);
    }
    if (err == GFS_OK) {
        err = settings_u64(server->settings, "ingest-memory-max", 1 << 20, 1ULL << 40,
                           &options.ingest_bytes_max, error);
    }
    options.worker_count = (uint32_t)workers;
    return err == GFS_OK ? gateway_start(&options, &server->gateway, error) : err;
}

static enum gfs_err start_admin(struct server *server, struct gfs_error *error)
{
    const char *const *listen = settings_list(server->settings, "admin-listen");
    if (listen[0] == NULL) {
        return GFS_OK;
    }
    struct admin_options options = {
        .listen = listen, .write_metrics = write_metrics, .is_ready = is_ready, .arg = server};
    return admin_start(&options, &server->admin, error);
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
    const char *const *listen = settings_list(server->settings, "listen");
    for (uint32_t i = 0; listen[i] != NULL; i++) {
        announce_one("listening on", server->has_tls ? "https" : "http", listen[i],
                     http_server_port(gateway_http(server->gateway), i));
    }
    listen = settings_list(server->settings, "admin-listen");
    for (uint32_t i = 0; server->admin != NULL && listen[i] != NULL; i++) {
        announce_one("admin on", "http", listen[i],
                     http_server_port(admin_http(server->admin), i));
    }
    if (server->credentials.is_generated) {
        printf("goodfs: root keys were made and are in %s/root-credentials\n", server->dir);
    }
    (void)fflush(stdout);
}

static enum gfs_err start(struct server *server, struct gfs_error *error)
{
    enum gfs_err err = set_log_level(settings_text(server->settings, "log-level"), error);
    if (err != GFS_OK) {
        return err;
    }
    if (mkdir(server->dir, 0700) != 0 && errno != EEXIST) {
        return gfs_fail(error, GFS_IO, "%s: %s", server->dir, strerror(errno));
    }
    err = open_stores(server, error);
    if (err == GFS_OK) {
        err = credentials_load(server->dir, settings_text(server->settings, "root-access-key"),
                               settings_text(server->settings, "root-secret-key"),
                               &server->credentials, error);
    }
    if (err == GFS_OK) {
        err = start_gateway(server, error);
    }
    return err == GFS_OK ? start_admin(server, error) : err;
}

static void stop(struct server *server)
{
    atomic_store(&server->is_stopping, true);
    admin_stop(server->admin);
    gateway_stop(server->gateway, STOP_GRACE_MS);
    shard_close(server->shard);
    store_close(server->store);
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

int server_main(int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            usage();
            return 0;
        }
    }
    struct server server = {0};
    struct gfs_error error = {0};
    if (settings_load(table, argc, argv, &server.settings, &error) != GFS_OK) {
        (void)fprintf(stderr, "goodfs server: %s\n", error.text);
        return 2;
    }
    const char *const *operands = settings_operands(server.settings);
    if (operands[0] == NULL || operands[1] != NULL) {
        (void)fprintf(stderr, "goodfs server: needs exactly one directory (see --help)\n");
        settings_free(server.settings);
        return 2;
    }
    server.dir = operands[0];
    /* blocked before the first thread, so that every thread inherits it and sigwait gets them */
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    enum gfs_err err = start(&server, &error);
    if (err == GFS_OK) {
        announce(&server);
        wait_for_stop(&server, &signals);
    } else {
        (void)fprintf(stderr, "goodfs server: %s\n",
                      error.text[0] == '\0' ? gfs_err_text(err) : error.text);
    }
    stop(&server);
    settings_free(server.settings);
    return err == GFS_OK ? 0 : 1;
}
