/* tls.h: the server's side of TLS, between two stretches of memory: no sockets. */
#ifndef IMI_WIRE_TLS_H
#define IMI_WIRE_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include "wire/str.h"

typedef struct imi_tls_identity
    imi_tls_identity_t;           /* certificate and key; shared by all sessions */
typedef struct imi_tls imi_tls_t; /* one session; OpenSSL allocates it */

/* From PEM files. NULL, or what is wrong with which of them, one line of static storage. */
const char *imi_tls_identity_open(imi_tls_identity_t **out, const char *cert_path,
                                  const char *key_path);
void imi_tls_identity_close(imi_tls_identity_t *identity); /* NULL is fine */

imi_tls_t *imi_tls_new(imi_tls_identity_t *identity); /* NULL: no memory */
void imi_tls_free(imi_tls_t *tls);                    /* NULL is fine */

/* What came from the other end. false: no memory. */
bool imi_tls_feed(imi_tls_t *tls, const void *data, size_t size);
/* What it says in plain text: the size, 0: nothing yet, -1: the session has ended or is broken. */
int imi_tls_read(imi_tls_t *tls, void *out, size_t capacity);
/* Something to say to it. false: the session has ended or is broken. */
bool imi_tls_write(imi_tls_t *tls, const void *data, size_t size);
void imi_tls_end(imi_tls_t *tls); /* says that nothing more comes */
/* What has to go out for all that, until the next call of one of these; taken once. */
imi_slice_t imi_tls_output(imi_tls_t *tls);
void imi_tls_output_taken(imi_tls_t *tls);

#endif
