/* Serves the toy handler: toy_server LISTEN LOOPS [CERT KEY]; prints the port; ends at end of input.
 * For probes (probe.py) and measurements with wrk. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "tests/http/toy.h"

int main(int argc, char **argv)
{
    if (argc != 3 && argc != 5) {
        (void)fprintf(stderr, "usage: %s HOST:PORT LOOPS [CERT KEY]\n", argv[0]);
        return 2;
    }
    struct toy *toy = toy_new();
    const char *listen[] = {argv[1], NULL};
    struct http_server_options options = {
        .listen = listen,
        .loop_count = (uint32_t)strtoul(argv[2], NULL, 10),
        .connection_max = 10000,
        .idle_timeout_s = 60,
        .header_timeout_s = 30,
        .body_bytes_per_s_min = 100,
        .tls_cert_file = argc == 5 ? argv[3] : NULL,
        .tls_key_file = argc == 5 ? argv[4] : NULL,
        .handler = toy_handler(toy),
    };
    struct http_server *server = NULL;
    struct gfs_error error;
    if (http_server_start(&options, &server, &error) != GFS_OK) {
        (void)fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    (void)printf("%u\n", (unsigned)http_server_port(server, 0));
    (void)fflush(stdout);
    while (getchar() != EOF) {
        struct http_server_stats stats;
        struct rusage usage;
        http_server_stats(server, &stats);
        (void)getrusage(RUSAGE_SELF, &usage);
        (void)printf("requests=%llu suspended=%llu user_us=%lld system_us=%lld rss_kib=%ld\n",
                     (unsigned long long)stats.requests, (unsigned long long)stats.suspended,
                     (long long)usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec,
                     (long long)usage.ru_stime.tv_sec * 1000000 + usage.ru_stime.tv_usec,
                     usage.ru_maxrss);
        (void)fflush(stdout);
    }
    http_server_stop(server, 1000);
    toy_free(toy);
    return 0;
}
