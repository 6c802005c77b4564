/* Certificates for https, replaceable while connections are made.
 *
 * The library asks for the certificate at each handshake; a handshake under way may still hold the
 * ones it was given, so a replaced certificate is kept until no handshake can be that old. */
#include <assert.h>
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "gateway/http_impl.h"
#include "libgoodfs/clock.h"

enum { TLS_CHAIN_MAX = 16, TLS_RETIRED_S = 600 };

struct tls_cert {
    struct tls_cert *older;
    int64_t retired_ns;
    gnutls_pcert_st chain[TLS_CHAIN_MAX];
    unsigned chain_count;
    gnutls_privkey_t key;
};

struct http_tls {
    _Atomic(struct tls_cert *) current;
    pthread_mutex_t lock;
    struct tls_cert *retired; /* Guarded by lock. Newest first. */
};

static void cert_free(struct tls_cert *cert)
{
    for (unsigned i = 0; i < cert->chain_count; i++) {
        gnutls_pcert_deinit(&cert->chain[i]);
    }
    if (cert->key != NULL) {
        gnutls_privkey_deinit(cert->key);
    }
    free(cert);
}

static void free_datum(gnutls_datum_t *datum)
{
    if (datum->data != NULL) {
        gnutls_memset(datum->data, 0, datum->size);
        gnutls_free(datum->data);
    }
}

static enum gfs_err fail(struct gfs_error *error, const char *file, int rc)
{
    return gfs_fail(error, GFS_INVALID, "%s: %s", file, gnutls_strerror(rc));
}

static enum gfs_err load_chain(struct tls_cert *cert, const char *file, struct gfs_error *error)
{
    GFS_CLEANUP(free_datum) gnutls_datum_t pem = {0};
    gnutls_x509_crt_t *list = NULL;
    unsigned count = 0;
    int rc = gnutls_load_file(file, &pem);
    if (rc == 0) {
        rc = gnutls_x509_crt_list_import2(&list, &count, &pem, GNUTLS_X509_FMT_PEM,
                                          GNUTLS_X509_CRT_LIST_FAIL_IF_UNSORTED);
    }
    if (rc < 0) {
        return fail(error, file, rc);
    }
    for (unsigned i = 0; i < count; i++) {
        if (rc >= 0 && i < TLS_CHAIN_MAX) {
            rc = gnutls_pcert_import_x509(&cert->chain[i], list[i], 0);
            cert->chain_count = rc >= 0 ? i + 1 : i;
        }
        gnutls_x509_crt_deinit(list[i]);
    }
    gnutls_free(list);
    if (rc < 0 || cert->chain_count != count) {
        return rc < 0 ? fail(error, file, rc)
                      : gfs_fail(error, GFS_TOO_BIG, "%s: more than 16 certificates", file);
    }
    return GFS_OK;
}

static enum gfs_err load_key(struct tls_cert *cert, const char *file, struct gfs_error *error)
{
    GFS_CLEANUP(free_datum) gnutls_datum_t pem = {0};
    int rc = gnutls_load_file(file, &pem);
    if (rc == 0) {
        rc = gnutls_privkey_init(&cert->key);
    }
    if (rc == 0) {
        rc = gnutls_privkey_import_x509_raw(cert->key, &pem, GNUTLS_X509_FMT_PEM, NULL, 0);
    }
    return rc < 0 ? fail(error, file, rc) : GFS_OK;
}

/* A key that does not belong to the certificate would fail every handshake. */
static enum gfs_err check_pair(const struct tls_cert *cert, struct gfs_error *error)
{
    gnutls_pubkey_t of_key = NULL;
    uint8_t ids[2][64];
    size_t lens[2] = {sizeof ids[0], sizeof ids[1]};
    int rc = gnutls_pubkey_init(&of_key);
    if (rc == 0) {
        rc = gnutls_pubkey_import_privkey(of_key, cert->key, 0, 0);
    }
    if (rc == 0) {
        rc = gnutls_pubkey_get_key_id(of_key, GNUTLS_KEYID_USE_SHA256, ids[0], &lens[0]);
    }
    if (rc == 0) {
        rc = gnutls_pubkey_get_key_id(cert->chain[0].pubkey, GNUTLS_KEYID_USE_SHA256, ids[1],
                                      &lens[1]);
    }
    if (of_key != NULL) {
        gnutls_pubkey_deinit(of_key);
    }
    if (rc < 0) {
        return fail(error, "TLS key", rc);
    }
    if (lens[0] != lens[1] || memcmp(ids[0], ids[1], lens[0]) != 0) {
        return gfs_fail(error, GFS_INVALID, "the TLS key does not belong to the certificate");
    }
    return GFS_OK;
}

static enum gfs_err cert_load(const char *cert_file, const char *key_file, struct tls_cert **ret,
                              struct gfs_error *error)
{
    struct tls_cert *cert = gfs_alloc(sizeof *cert);
    enum gfs_err err = load_chain(cert, cert_file, error);
    if (err == GFS_OK) {
        err = load_key(cert, key_file, error);
    }
    if (err == GFS_OK) {
        err = check_pair(cert, error);
    }
    if (err != GFS_OK) {
        cert_free(cert);
        return err;
    }
    *ret = cert;
    return GFS_OK;
}

enum gfs_err http_tls_open(const char *cert_file, const char *key_file, struct http_tls **ret,
                           struct gfs_error *error)
{
    struct tls_cert *cert;
    enum gfs_err err = cert_load(cert_file, key_file, &cert, error);
    if (err != GFS_OK) {
        return err;
    }
    struct http_tls *tls = gfs_alloc(sizeof *tls);
    (void)pthread_mutex_init(&tls->lock, NULL);
    atomic_store(&tls->current, cert);
    *ret = tls;
    return GFS_OK;
}

static void free_list(struct tls_cert *cert)
{
    while (cert != NULL) {
        struct tls_cert *older = cert->older;
        cert_free(cert);
        cert = older;
    }
}

void http_tls_close(struct http_tls *tls)
{
    if (tls != NULL) {
        cert_free(atomic_load(&tls->current));
        free_list(tls->retired);
        (void)pthread_mutex_destroy(&tls->lock);
        free(tls);
    }
}

enum gfs_err http_tls_reload(struct http_tls *tls, const char *cert_file, const char *key_file,
                             struct gfs_error *error)
{
    struct tls_cert *cert;
    enum gfs_err err = cert_load(cert_file, key_file, &cert, error);
    if (err != GFS_OK) {
        return err;
    }
    int64_t now_ns = gfs_monotonic_ns();
    (void)pthread_mutex_lock(&tls->lock);
    struct tls_cert *old = atomic_exchange(&tls->current, cert);
    old->retired_ns = now_ns;
    old->older = tls->retired;
    tls->retired = old;
    struct tls_cert **link = &tls->retired;
    while (*link != NULL && now_ns - (*link)->retired_ns < TLS_RETIRED_S * INT64_C(1000000000)) {
        link = &(*link)->older;
    }
    struct tls_cert *dead = GFS_TAKE(*link);
    (void)pthread_mutex_unlock(&tls->lock);
    free_list(dead);
    return GFS_OK;
}

static int retrieve(gnutls_session_t session, const gnutls_datum_t *issuers, int issuer_count,
                    const gnutls_pk_algorithm_t *algorithms, int algorithm_count,
                    gnutls_pcert_st **ret_chain, unsigned *ret_count, gnutls_privkey_t *ret_key)
{
    (void)issuers;
    (void)issuer_count;
    (void)algorithms;
    (void)algorithm_count;
    struct http_tls *tls = http_conn_tls(gnutls_session_get_ptr(session));
    if (tls == NULL) {
        return -1;
    }
    struct tls_cert *cert = atomic_load(&tls->current);
    *ret_chain = cert->chain;
    *ret_count = cert->chain_count;
    *ret_key = cert->key;
    return 0;
}

void *http_tls_callback(void)
{
    /* ISO C has no cast from function to object pointer; POSIX says they have one form. */
    int (*fn)(gnutls_session_t, const gnutls_datum_t *, int, const gnutls_pk_algorithm_t *, int,
              gnutls_pcert_st **, unsigned *, gnutls_privkey_t *) = retrieve;
    void *ptr;
    static_assert(sizeof ptr == sizeof fn, "POSIX");
    memcpy(&ptr, &fn, sizeof ptr);
    return ptr;
}

bool http_tls_send(struct MHD_Connection *mhd, const char *ptr, size_t len)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    if (info == NULL) {
        return false;
    }
    gnutls_session_t session = info->tls_session;
    size_t done = 0;
    while (done < len) {
        ssize_t n = gnutls_record_send(session, ptr + done, len - done);
        if (n <= 0) {
            return false;
        }
        done += (size_t)n;
    }
    (void)gnutls_bye(session, GNUTLS_SHUT_WR);
    return true;
}
