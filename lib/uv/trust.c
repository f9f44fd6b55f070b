/* trust.c: one X509_STORE shared by all connections. The system's bundle takes 18 ms to parse and
 * megabytes to hold, and curl by itself does so for every multi handle, or for every connection
 * when a directory of certificates is set, as distributions do. */
#include "uv/trust.h"

#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#define RELOAD_AFTER_MS ((uint64_t)24 * 3600 * 1000) /* systems update their bundle, rarely */

struct imi_trust {
    const imi_mem_t *mem;
    X509_STORE *store; /* NULL: not read yet */
    uint64_t read_at_ms;
    char file[];
};

/* We hand our objects to what curl is linked with. */
bool imi_trust_fits(const char *tls_library) {
    static const char ours[] = "OpenSSL/3.";
    return tls_library != NULL && strncmp(tls_library, ours, sizeof(ours) - 1) == 0;
}

bool imi_trust_has_certificate(const char *file) {
    char passphrase[] = ""; /* nobody is to be asked for one */
    BIO *text = BIO_new_file(file, "r");
    X509 *first = text != NULL ? PEM_read_bio_X509_AUX(text, NULL, NULL, passphrase) : NULL;
    BIO_free(text);
    X509_free(first);
    if (first == NULL)
        ERR_clear_error();
    return first != NULL;
}

imi_trust_t *imi_trust_new(const imi_mem_t *mem, const char *file) {
    size_t size = strlen(file) + 1;
    imi_trust_t *trust = imi_mem_zalloc(mem, sizeof(*trust) + size);
    if (trust == NULL)
        return NULL;
    trust->mem = mem;
    memcpy(trust->file, file, size);
    return trust;
}

void imi_trust_free(imi_trust_t *trust) {
    if (trust == NULL)
        return;
    X509_STORE_free(trust->store);
    imi_mem_free(trust->mem, trust);
}

/* A bundle that cannot be read any more does not take the place of the one we have. */
static void read_file(imi_trust_t *trust, uint64_t now_ms) {
    X509_STORE *store = X509_STORE_new();
    trust->read_at_ms = now_ms;
    if (store == NULL || X509_STORE_load_file(store, trust->file) != 1) {
        X509_STORE_free(store);
        ERR_clear_error(); /* the thread's queue is the host's too */
        return;
    }
    /* As curl: a certificate in the bundle is an anchor even if it is no root. */
    X509_STORE_set_flags(store, X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
    X509_STORE_free(trust->store); /* connections that use it hold it */
    trust->store = store;
}

bool imi_trust_apply(imi_trust_t *trust, void *ssl_context, uint64_t now_ms) {
    if (trust->store == NULL || now_ms - trust->read_at_ms >= RELOAD_AFTER_MS)
        read_file(trust, now_ms);
    if (trust->store == NULL)
        return false;
    SSL_CTX_set1_cert_store(ssl_context, trust->store);
    return true;
}
