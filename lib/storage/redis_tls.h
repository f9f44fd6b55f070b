/* redis_tls.h: "rediss:", where hiredis was built with TLS (from 1.0 on; Debian 12 has 0.14). The
 * server's certificate must be valid for its host's name or address. */
#ifndef IMI_STORAGE_REDIS_TLS_H
#define IMI_STORAGE_REDIS_TLS_H

#include "wire/mem.h"

struct redisContext;
struct ssl_st;
typedef struct imi_redis_tls imi_redis_tls_t;

/* What all connections share. `ca_file`: PEM to trust; NULL: what OpenSSL trusts on this system.
 * 0, IMAGINE_ENOTSUP, IMAGINE_EINVAL (*out_reason says why), IMAGINE_ENOMEM. */
int imi_redis_tls_open(const imi_mem_t *mem, const char *ca_file, imi_redis_tls_t **out,
                       const char **out_reason);
void imi_redis_tls_close(imi_redis_tls_t *tls); /* NULL is fine */

/* Puts TLS under a connection that has just been begun. NULL, or what is wrong. The session lives
 * as long as the connection. */
const char *imi_redis_tls_begin(imi_redis_tls_t *tls, struct redisContext *hiredis,
                                const char *host, struct ssl_st **out_session);
/* Why the server's certificate was refused, which hiredis does not tell, in one line that is good
 * until the next call. NULL: it was not. */
const char *imi_redis_tls_refusal(imi_redis_tls_t *tls, const struct ssl_st *session);

#endif
