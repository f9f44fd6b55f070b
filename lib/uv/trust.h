/* trust.h: the certificates that TLS connections trust, parsed once for all of them. */
#ifndef IMI_UV_TRUST_H
#define IMI_UV_TRUST_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/mem.h"

typedef struct imi_trust imi_trust_t;

/* Can it be used with the library behind curl's TLS, as curl names that ("OpenSSL/3.0.22")? */
bool imi_trust_fits(const char *tls_library);

/* Does a certificate stand in the file, as PEM? Reads at once, no further than the first one. */
bool imi_trust_has_certificate(const char *file);

/* `file` is PEM; copied; read when it is first needed. NULL: no memory. */
imi_trust_t *imi_trust_new(const imi_mem_t *mem, const char *file);
void imi_trust_free(imi_trust_t *trust); /* NULL is fine */

/* Makes an SSL_CTX trust them. False: the file cannot be read, or memory is out. */
bool imi_trust_apply(imi_trust_t *trust, void *ssl_context, uint64_t now_ms);

#endif
