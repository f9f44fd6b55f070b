/* tls.c: OpenSSL with a memory buffer on either side. Both belong to the session. */
#include "wire/tls.h"

#include <limits.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

/* OpenSSL keeps errors per thread, and the oldest would be taken for the next call's: every entry
 * that may leave some clears them. */

/* Without one of ours OpenSSL would ask the terminal, and wait. */
static int no_passphrase(char *out, int capacity, int is_writing, void *user) {
    (void)out, (void)capacity, (void)is_writing, (void)user;
    return -1;
}

const char *imi_tls_identity_open(imi_tls_identity_t **out, const char *cert_path,
                                  const char *key_path) {
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    const char *why = NULL;
    *out = NULL;
    if (context != NULL)
        SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    if (context == NULL || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1)
        why = "TLS_CERT: TLS does not start";
    else if (SSL_CTX_use_certificate_chain_file(context, cert_path) != 1)
        why = "TLS_CERT: no PEM file of a certificate and its chain";
    else if (SSL_CTX_use_PrivateKey_file(context, key_path, SSL_FILETYPE_PEM) != 1 ||
             SSL_CTX_check_private_key(context) != 1)
        why = "TLS_KEY: no PEM file of the certificate's private key, without a passphrase";
    ERR_clear_error();
    if (why != NULL) {
        SSL_CTX_free(context);
        return why;
    }
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS); /* waiting is what most sessions do */
    *out = (imi_tls_identity_t *)context;
    return NULL;
}

void imi_tls_identity_close(imi_tls_identity_t *identity) {
    SSL_CTX_free((SSL_CTX *)identity);
}

imi_tls_t *imi_tls_new(imi_tls_identity_t *identity) {
    SSL *ssl = SSL_new((SSL_CTX *)identity);
    BIO *in = BIO_new(BIO_s_mem());
    BIO *out = BIO_new(BIO_s_mem());
    if (ssl == NULL || in == NULL || out == NULL) {
        SSL_free(ssl);
        BIO_free(in);
        BIO_free(out);
        ERR_clear_error();
        return NULL;
    }
    SSL_set_bio(ssl, in, out);
    SSL_set_accept_state(ssl);
    return (imi_tls_t *)ssl;
}

void imi_tls_free(imi_tls_t *tls) {
    SSL_free((SSL *)tls);
}

bool imi_tls_feed(imi_tls_t *tls, const void *data, size_t size) {
    size_t written = 0;
    bool is_fed =
        BIO_write_ex(SSL_get_rbio((SSL *)tls), data, size, &written) == 1 && written == size;
    ERR_clear_error();
    return is_fed;
}

int imi_tls_read(imi_tls_t *tls, void *out, size_t capacity) {
    int size = SSL_read((SSL *)tls, out, capacity > INT_MAX ? INT_MAX : (int)capacity);
    int err = size > 0 ? SSL_ERROR_NONE : SSL_get_error((SSL *)tls, size);
    ERR_clear_error();
    return size > 0 ? size : err == SSL_ERROR_WANT_READ ? 0 : -1;
}

bool imi_tls_write(imi_tls_t *tls, const void *data, size_t size) {
    size_t written = 0;
    bool is_written =
        size == 0 || (SSL_write_ex((SSL *)tls, data, size, &written) == 1 && written == size);
    ERR_clear_error();
    return is_written;
}

void imi_tls_end(imi_tls_t *tls) {
    if (SSL_is_init_finished((SSL *)tls))
        SSL_shutdown((SSL *)tls);
    ERR_clear_error();
}

imi_slice_t imi_tls_output(imi_tls_t *tls) {
    char *data = NULL;
    long size = BIO_get_mem_data(SSL_get_wbio((SSL *)tls), &data);
    return (imi_slice_t){data, size > 0 ? (size_t)size : 0};
}

void imi_tls_output_taken(imi_tls_t *tls) {
    (void)BIO_reset(SSL_get_wbio((SSL *)tls));
}
