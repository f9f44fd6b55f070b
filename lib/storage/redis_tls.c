/* redis_tls.c: see redis_tls.h. hiredis' own helper checks the certificate's chain, but not whose
 * it is; so the session is ours, and hiredis only carries it. */
#include "storage/redis_tls.h"

#include "imagine.h"

#ifdef IMI_HIREDIS_HAS_TLS

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>

#include <hiredis/hiredis.h>
#include <hiredis/hiredis_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#define REFUSAL_SIZE 128

struct imi_redis_tls {
    const imi_mem_t *mem;
    SSL_CTX *context;
    char refusal[REFUSAL_SIZE];
};

int imi_redis_tls_open(const imi_mem_t *mem, const char *ca_file, imi_redis_tls_t **out,
                       const char **out_reason) {
    imi_redis_tls_t *tls = imi_mem_zalloc(mem, sizeof(*tls));
    SSL_CTX *context = tls != NULL ? SSL_CTX_new(TLS_client_method()) : NULL;
    bool is_trusting = false;
    if (context != NULL) {
        SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
        is_trusting = ca_file != NULL ? SSL_CTX_load_verify_file(context, ca_file) == 1
                                      : SSL_CTX_set_default_verify_paths(context) == 1;
        ERR_clear_error(); /* the thread's queue is the host's too */
    }
    if (!is_trusting) {
        SSL_CTX_free(context);
        imi_mem_free(mem, tls);
        *out_reason = "rediss: the file that ?ca= names cannot be read as PEM";
        return context == NULL ? IMAGINE_ENOMEM : IMAGINE_EINVAL;
    }
    tls->mem = mem;
    tls->context = context;
    *out = tls;
    return 0;
}

void imi_redis_tls_close(imi_redis_tls_t *tls) {
    if (tls == NULL)
        return;
    SSL_CTX_free(tls->context); /* connections that use it hold it */
    imi_mem_free(tls->mem, tls);
}

/* A certificate is for a name or for an address, and only a name is told to the server
 * (RFC 6066 section 3). */
static bool expect_host(SSL *session, const char *host) {
    unsigned char address[sizeof(struct in6_addr)];
    bool is_address =
        inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
    if (is_address)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session), host) == 1;
    return SSL_set1_host(session, host) == 1 && SSL_set_tlsext_host_name(session, host) == 1;
}

const char *imi_redis_tls_refusal(imi_redis_tls_t *tls, const SSL *session) {
    long verdict = SSL_get_verify_result(session);
    ERR_clear_error();
    if (verdict == X509_V_OK)
        return NULL;
    snprintf(tls->refusal, sizeof(tls->refusal), "the server's certificate: %s",
             X509_verify_cert_error_string(verdict));
    return tls->refusal;
}

const char *imi_redis_tls_begin(imi_redis_tls_t *tls, redisContext *hiredis, const char *host,
                                SSL **out_session) {
    SSL *session = SSL_new(tls->context);
    const char *reason;
    if (session == NULL)
        return "out of memory";
    if (expect_host(session, host) && redisInitiateSSL(hiredis, session) == REDIS_OK) {
        *out_session = session; /* hiredis frees it */
        return NULL;
    }
    reason = imi_redis_tls_refusal(tls, session);
    SSL_free(session);
    if (reason == NULL)
        reason = hiredis->err != 0 ? hiredis->errstr : "TLS: this is no host's name";
    return reason;
}

#else

int imi_redis_tls_open(const imi_mem_t *mem, const char *ca_file, imi_redis_tls_t **out,
                       const char **out_reason) {
    (void)mem, (void)ca_file, (void)out;
    *out_reason = "rediss: this build's hiredis has no TLS (it takes 1.0 with hiredis_ssl); use "
                  "redis: in a network that you trust, or a tunnel";
    return IMAGINE_ENOTSUP;
}

void imi_redis_tls_close(imi_redis_tls_t *tls) {
    (void)tls;
}

const char *imi_redis_tls_begin(imi_redis_tls_t *tls, struct redisContext *hiredis,
                                const char *host, struct ssl_st **out_session) {
    (void)tls, (void)hiredis, (void)host, (void)out_session;
    return "no TLS"; /* never asked: nothing was opened */
}

const char *imi_redis_tls_refusal(imi_redis_tls_t *tls, const struct ssl_st *session) {
    (void)tls, (void)session;
    return NULL;
}

#endif
