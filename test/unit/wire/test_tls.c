/* test_tls.c: the server's side of TLS against OpenSSL's own client, in memory. */
#include "wire/tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "support/check_main.h"

static char folder[] = "/tmp/imagine-tls-XXXXXX";
static char cert_path[64], key_path[64], other_key_path[64], sealed_key_path[64], text_path[64];

#define PASSPHRASE "open sesame"

/* passphrase NULL: in the clear. */
static void write_key(const char *path, EVP_PKEY *key, const char *passphrase) {
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(PEM_write_PKCS8PrivateKey(
                         file, key, passphrase != NULL ? EVP_aes_128_cbc() : NULL, passphrase,
                         passphrase != NULL ? (int)strlen(passphrase) : 0, NULL, NULL),
                     1);
    ck_assert_int_eq(fclose(file), 0);
}

static void write_cert(const char *path, EVP_PKEY *key) {
    X509 *cert = X509_new();
    X509_NAME *name = X509_get_subject_name(cert);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1,
                               0);
    X509_set_issuer_name(cert, name);
    X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    ck_assert_int_gt(X509_sign(cert, key, EVP_sha256()), 0);
    ck_assert_int_eq(PEM_write_X509(file, cert), 1);
    ck_assert_int_eq(fclose(file), 0);
    X509_free(cert);
}

static void make_files(void) {
    EVP_PKEY *key = EVP_EC_gen("P-256"), *other_key = EVP_EC_gen("P-256");
    FILE *file;
    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(cert_path, sizeof(cert_path), "%s/cert.pem", folder);
    (void)snprintf(key_path, sizeof(key_path), "%s/key.pem", folder);
    (void)snprintf(other_key_path, sizeof(other_key_path), "%s/other.pem", folder);
    (void)snprintf(sealed_key_path, sizeof(sealed_key_path), "%s/sealed.pem", folder);
    (void)snprintf(text_path, sizeof(text_path), "%s/text.pem", folder);
    write_key(key_path, key, NULL);
    write_key(sealed_key_path, key, PASSPHRASE);
    write_key(other_key_path, other_key, NULL);
    write_cert(cert_path, key);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other_key);
    file = fopen(text_path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs("no PEM\n", file), 0);
    ck_assert_int_eq(fclose(file), 0);
}

static void remove_files(void) {
    (void)unlink(cert_path);
    (void)unlink(key_path);
    (void)unlink(other_key_path);
    (void)unlink(sealed_key_path);
    (void)unlink(text_path);
    (void)rmdir(folder);
}

static const struct {
    const char *name, *cert, *key, *why;
} identity_cases[] = {
    {"both fit", cert_path, key_path, NULL},
    {"no certificate", "/nowhere.pem", key_path, "TLS_CERT"},
    {"a certificate that is none", text_path, key_path, "TLS_CERT"},
    {"no key", cert_path, "/nowhere.pem", "TLS_KEY"},
    {"a key that is none", cert_path, text_path, "TLS_KEY"},
    {"another one's key", cert_path, other_key_path, "TLS_KEY"},
};

START_TEST(what_is_wrong_with_an_identity_is_told_with_the_setting) { /* _i: identity_cases */
    imi_tls_identity_t *identity = NULL;
    const char *why =
        imi_tls_identity_open(&identity, identity_cases[_i].cert, identity_cases[_i].key);
    ck_assert_msg((why == NULL) == (identity_cases[_i].why == NULL), "%s: %s",
                  identity_cases[_i].name, why != NULL ? why : "accepted");
    ck_assert((identity != NULL) == (why == NULL));
    if (why != NULL)
        ck_assert_msg(strncmp(why, identity_cases[_i].why, strlen(identity_cases[_i].why)) == 0,
                      "%s: %s", identity_cases[_i].name, why);
    imi_tls_identity_close(identity);
}
END_TEST

/* Where there is no terminal, OpenSSL would read it from the standard input. */
START_TEST(nobody_is_asked_for_a_passphrase) {
    imi_tls_identity_t *identity = NULL;
    char rest[sizeof(PASSPHRASE) + 1];
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(write(ends[1], PASSPHRASE "\n", sizeof(PASSPHRASE)), sizeof(PASSPHRASE));
    ck_assert_int_eq(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    ck_assert_ptr_nonnull(imi_tls_identity_open(&identity, cert_path, sealed_key_path));
    ck_assert_ptr_null(identity);
    ck_assert_int_eq(read(STDIN_FILENO, rest, sizeof(rest)), sizeof(PASSPHRASE));
    ck_assert_int_eq(close(ends[0]), 0);
    ck_assert_int_eq(close(ends[1]), 0);
}
END_TEST

typedef struct pair {
    imi_tls_identity_t *identity;
    imi_tls_t *server;
    SSL_CTX *context;
    SSL *client;
} pair_t;

static void open_pair(pair_t *pair, int version) {
    ck_assert_ptr_null(imi_tls_identity_open(&pair->identity, cert_path, key_path));
    pair->server = imi_tls_new(pair->identity);
    ck_assert_ptr_nonnull(pair->server);
    pair->context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(pair->context, version);
    pair->client = SSL_new(pair->context);
    SSL_set_bio(pair->client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(pair->client);
}

static void close_pair(pair_t *pair) {
    SSL_free(pair->client);
    SSL_CTX_free(pair->context);
    imi_tls_free(pair->server);
    imi_tls_identity_close(pair->identity);
}

/* Carries bytes both ways, in pieces of so many. Returns what the server's last read returned. */
static int carry(pair_t *pair, size_t piece_size, char *out, size_t capacity) {
    int got = 0;
    char piece[64];
    for (int turn = 0; turn < 10000 && got == 0; turn++) {
        int size = BIO_read(SSL_get_wbio(pair->client), piece, (int)piece_size);
        imi_slice_t output;
        if (size > 0)
            ck_assert(imi_tls_feed(pair->server, piece, (size_t)size));
        got = imi_tls_read(pair->server, out, capacity);
        output = imi_tls_output(pair->server);
        if (output.size > 0)
            ck_assert_int_eq(BIO_write(SSL_get_rbio(pair->client), output.data, (int)output.size),
                             (int)output.size);
        imi_tls_output_taken(pair->server);
        if (size <= 0 && output.size == 0)
            break;
        (void)SSL_do_handshake(pair->client);
    }
    return got;
}

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

START_TEST(a_session_carries_bytes_both_ways_however_they_are_cut) { /* _i walks versions */
    for (size_t piece_size = 1; piece_size <= 64; piece_size += 21) {
        pair_t pair;
        char out[64] = "";
        open_pair(&pair, versions[_i]);
        (void)SSL_do_handshake(pair.client);
        ck_assert_int_eq(carry(&pair, piece_size, out, sizeof(out)), 0);
        ck_assert(SSL_is_init_finished(pair.client));
        ck_assert_int_eq(SSL_write(pair.client, "question", 8), 8);
        ck_assert_int_eq(carry(&pair, piece_size, out, sizeof(out)), 8);
        ck_assert_mem_eq(out, "question", 8);
        ck_assert(imi_tls_write(pair.server, "ans", 3) && imi_tls_write(pair.server, "", 0) &&
                  imi_tls_write(pair.server, "wer", 3));
        imi_tls_end(pair.server);
        ck_assert_int_eq(carry(&pair, piece_size, out, sizeof(out)), 0);
        ck_assert_int_eq(SSL_read(pair.client, out, sizeof(out)), 3);
        ck_assert_int_eq(SSL_read(pair.client, out + 3, sizeof(out) - 3), 3);
        ck_assert_mem_eq(out, "answer", 6);
        ck_assert_int_eq(SSL_read(pair.client, out, sizeof(out)), 0);
        ck_assert_int_eq(SSL_get_error(pair.client, 0), SSL_ERROR_ZERO_RETURN);
        SSL_shutdown(pair.client);
        ck_assert_int_eq(carry(&pair, piece_size, out, sizeof(out)), -1);
        close_pair(&pair);
    }
}
END_TEST

START_TEST(an_old_version_is_refused_with_an_alert) {
    pair_t pair;
    char out[64];
    open_pair(&pair, TLS1_1_VERSION);
    SSL_CTX_set_min_proto_version(pair.context, TLS1_VERSION);
    SSL_set_min_proto_version(pair.client, TLS1_VERSION);
    SSL_set_security_level(pair.client, 0);
    (void)SSL_do_handshake(pair.client);
    ck_assert_int_eq(carry(&pair, 64, out, sizeof(out)), -1);
    ck_assert(!SSL_is_init_finished(pair.client));
    close_pair(&pair);
}
END_TEST

START_TEST(what_is_no_tls_ends_the_session) {
    static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    pair_t pair;
    char out[64];
    open_pair(&pair, TLS1_3_VERSION);
    ck_assert_int_eq(imi_tls_read(pair.server, out, sizeof(out)), 0);
    ck_assert(imi_tls_feed(pair.server, text, sizeof(text) - 1));
    ck_assert_int_eq(imi_tls_read(pair.server, out, sizeof(out)), -1);
    ck_assert(!imi_tls_write(pair.server, "x", 1));
    imi_tls_end(pair.server); /* harmless */
    close_pair(&pair);
    imi_tls_free(NULL);
    imi_tls_identity_close(NULL);
}
END_TEST

static Suite *tls_suite(void) {
    Suite *suite = suite_create("tls");
    TCase *tcase = tcase_create("tls");
    tcase_set_timeout(tcase, 30);
    tcase_add_unchecked_fixture(tcase, make_files, remove_files);
    tcase_add_loop_test(tcase, what_is_wrong_with_an_identity_is_told_with_the_setting, 0,
                        sizeof(identity_cases) / sizeof(identity_cases[0]));
    tcase_add_test(tcase, nobody_is_asked_for_a_passphrase);
    tcase_add_loop_test(tcase, a_session_carries_bytes_both_ways_however_they_are_cut, 0,
                        sizeof(versions) / sizeof(versions[0]));
    tcase_add_test(tcase, an_old_version_is_refused_with_an_alert);
    tcase_add_test(tcase, what_is_no_tls_ends_the_session);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(tls_suite)
