#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "gateway/http_server.h"
#include "libgoodfs/mem.h"
#include "tests/http/rig.h"

static char dir[64], cert_path[96], key_path[96];
static struct rig rig;

static void write_file(const char *path, gnutls_datum_t pem)
{
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(pem.data, 1, pem.size, file), pem.size);
    (void)fclose(file);
    gnutls_free(pem.data);
}

/* A new key and its self-signed certificate for that name. */
static void make_cert(const char *name)
{
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t cert;
    gnutls_datum_t pem;
    const unsigned char serial = 1;
    cr_assert_eq(gnutls_x509_privkey_init(&key), 0);
    cr_assert_eq(gnutls_x509_crt_init(&cert), 0);
    cr_assert_eq(gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
                                              GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
                 0);
    cr_assert_eq(gnutls_x509_crt_set_version(cert, 3), 0);
    cr_assert_eq(gnutls_x509_crt_set_serial(cert, &serial, sizeof serial), 0);
    cr_assert_eq(gnutls_x509_crt_set_activation_time(cert, time(NULL) - 60), 0);
    cr_assert_eq(gnutls_x509_crt_set_expiration_time(cert, time(NULL) + 3600), 0);
    cr_assert_eq(gnutls_x509_crt_set_dn_by_oid(cert, GNUTLS_OID_X520_COMMON_NAME, 0, name,
                                               (unsigned)strlen(name)),
                 0);
    cr_assert_eq(gnutls_x509_crt_set_key(cert, key), 0);
    cr_assert_eq(gnutls_x509_crt_sign2(cert, cert, key, GNUTLS_DIG_SHA256, 0), 0);
    cr_assert_eq(gnutls_x509_crt_export2(cert, GNUTLS_X509_FMT_PEM, &pem), 0);
    write_file(cert_path, pem);
    cr_assert_eq(gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &pem), 0);
    write_file(key_path, pem);
    gnutls_x509_crt_deinit(cert);
    gnutls_x509_privkey_deinit(key);
}

static void start(void)
{
    (void)snprintf(dir, sizeof dir, "/tmp/gfs_tls_XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(cert_path, sizeof cert_path, "%s/cert.pem", dir);
    (void)snprintf(key_path, sizeof key_path, "%s/key.pem", dir);
    make_cert("first");
    rig = (struct rig){.options = {.tls_cert_file = cert_path, .tls_key_file = key_path}};
    rig_start(&rig);
}

static void stop(void)
{
    rig_stop(&rig);
    (void)unlink(cert_path);
    (void)unlink(key_path);
    (void)rmdir(dir);
}

TestSuite(http_tls, .init = start, .fini = stop, .timeout = 60);

struct client {
    int fd;
    gnutls_session_t session;
    gnutls_certificate_credentials_t credentials;
};

static struct client dial(void)
{
    struct client client = {.fd = rig_connect(&rig)};
    cr_assert_eq(gnutls_init(&client.session, GNUTLS_CLIENT), 0);
    cr_assert_eq(gnutls_certificate_allocate_credentials(&client.credentials), 0);
    cr_assert_eq(gnutls_set_default_priority(client.session), 0);
    cr_assert_eq(gnutls_credentials_set(client.session, GNUTLS_CRD_CERTIFICATE, client.credentials),
                 0);
    gnutls_transport_set_int(client.session, client.fd);
    gnutls_handshake_set_timeout(client.session, 10000);
    gnutls_record_set_timeout(client.session, 10000);
    int rc;
    do {
        rc = gnutls_handshake(client.session);
    } while (rc < 0 && gnutls_error_is_fatal(rc) == 0);
    cr_assert_eq(rc, 0, "%s", gnutls_strerror(rc));
    return client;
}

static void hang_up(struct client *client)
{
    gnutls_deinit(client->session);
    gnutls_certificate_free_credentials(client->credentials);
    (void)close(client->fd);
}

static void say(struct client *client, const char *ptr, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = gnutls_record_send(client->session, ptr + done, len - done);
        cr_assert_gt(n, 0);
        done += (size_t)n;
    }
}

/* Reads until the text ends with `tail` of a reply of that many bytes of body, or the end. */
static const char *hear(struct client *client, size_t body_len)
{
    static char text[2 * 1024 * 1024];
    size_t len = 0;
    for (;;) {
        const char *end = len == 0 ? NULL : strstr(text, "\r\n\r\n");
        if (end != NULL && len >= (size_t)(end + 4 - text) + body_len) {
            return text;
        }
        ssize_t n = gnutls_record_recv(client->session, text + len, sizeof text - len - 1);
        if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED) {
            continue;
        }
        cr_assert_gt(n, 0, "%s", n == 0 ? "closed" : gnutls_strerror((int)n));
        len += (size_t)n;
        text[len] = '\0';
    }
}

#define SAY(client, text) say(client, text, sizeof(text) - 1)

static void expect_name(struct client *client, const char *name)
{
    unsigned count = 0;
    const gnutls_datum_t *der = gnutls_certificate_get_peers(client->session, &count);
    cr_assert_eq(count, 1u);
    gnutls_x509_crt_t cert;
    char text[64];
    size_t size = sizeof text;
    cr_assert_eq(gnutls_x509_crt_init(&cert), 0);
    cr_assert_eq(gnutls_x509_crt_import(cert, der, GNUTLS_X509_FMT_DER), 0);
    cr_assert_eq(
        gnutls_x509_crt_get_dn_by_oid(cert, GNUTLS_OID_X520_COMMON_NAME, 0, 0, text, &size), 0);
    cr_assert_str_eq(text, name);
    gnutls_x509_crt_deinit(cert);
}

Test(http_tls, serves_bodies_streams_and_waiting_replies)
{
    enum { LEN = 500000 };
    struct client client = dial();
    SAY(&client, "GET /bytes/3 HTTP/1.1\r\nHost: h\r\n\r\n");
    cr_assert_str_eq(rig_body(hear(&client, 3)), "abc");
    SAY(&client, "GET /async HTTP/1.1\r\nHost: h\r\n\r\n");
    cr_assert_str_eq(rig_body(hear(&client, 5)), "async");
    SAY(&client, "GET /trickle/1000000 HTTP/1.1\r\nHost: h\r\n\r\n");
    const char *body = rig_body(hear(&client, 1000000));
    for (size_t i = 0; i < 1000000; i++) {
        cr_assert_eq(body[i], (char)('a' + i % 23));
    }
    SAY(&client, "PUT /pause HTTP/1.1\r\nHost: h\r\nContent-Length: 500000\r\n\r\n");
    char *upload = gfs_alloc(LEN);
    memset(upload, 3, LEN);
    say(&client, upload, LEN);
    cr_assert_str_eq(rig_body(hear(&client, 14)), "500000 1500000");
    free(upload);
    hang_up(&client);
}

Test(http_tls, refuses_a_large_body_while_it_is_sent)
{
    struct client client = dial();
    SAY(&client, "PUT /refuse HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\nabc");
    cr_assert_str_eq(rig_body(hear(&client, 7)), "refused");
    hang_up(&client);
    rig_wait(&rig.counts->closed, 1);
    cr_assert_eq(rig.counts->aborted, 0u);
}

Test(http_tls, takes_a_new_certificate_for_new_connections)
{
    struct gfs_error error;
    struct client before = dial();
    expect_name(&before, "first");
    make_cert("second");
    cr_assert_eq(http_server_reload_tls(rig.server, &error), GFS_OK);
    struct client after = dial();
    expect_name(&after, "second");
    SAY(&before, "GET /bytes/3 HTTP/1.1\r\nHost: h\r\n\r\n");
    cr_assert_str_eq(rig_body(hear(&before, 3)), "abc");
    SAY(&after, "GET /bytes/3 HTTP/1.1\r\nHost: h\r\n\r\n");
    cr_assert_str_eq(rig_body(hear(&after, 3)), "abc");
    hang_up(&before);
    hang_up(&after);
}

Test(http_tls, keeps_the_old_certificate_when_the_new_one_is_bad)
{
    struct gfs_error error;
    char saved[128];
    (void)snprintf(saved, sizeof saved, "%s/saved", dir);
    cr_assert_eq(rename(key_path, saved), 0);
    make_cert("second");
    cr_assert_eq(rename(saved, key_path), 0);
    cr_assert_eq(http_server_reload_tls(rig.server, &error), GFS_INVALID);
    cr_assert_not_null(strstr(error.text, "does not belong"));
    cr_assert_eq(truncate(cert_path, 10), 0);
    cr_assert_eq(http_server_reload_tls(rig.server, &error), GFS_INVALID);
    cr_assert_not_null(strstr(error.text, "cert.pem"));
    struct client client = dial();
    expect_name(&client, "first");
    hang_up(&client);
}

Test(http_tls, outlives_clients_that_do_not_speak_tls)
{
    int fd = rig_connect(&rig);
    rig_send(fd, "GET /bytes/3 HTTP/1.1\r\nHost: h\r\n\r\n");
    cr_assert_null(strstr(rig_rest(fd, NULL), "HTTP/1.1 200"));
    (void)close(fd);
    struct client client = dial();
    SAY(&client, "GET /bytes/3 HTTP/1.1\r\nHost: h\r\n\r\n");
    cr_assert_str_eq(rig_body(hear(&client, 3)), "abc");
    hang_up(&client);
    cr_assert_eq(rig.counts->begun, 1u);
}
