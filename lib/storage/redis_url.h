/* redis_url.h: redis://user:password@host:port/database?prefix=…, rediss: with &ca=… */
#ifndef IMI_STORAGE_REDIS_URL_H
#define IMI_STORAGE_REDIS_URL_H

#include <stdbool.h>

#include "wire/arena.h"

typedef struct imi_redis_url {
    const char *host;     /* without brackets */
    const char *user;     /* NULL: the default one */
    const char *password; /* NULL: none */
    const char *prefix;   /* in front of every key; may be empty */
    const char *ca_file;  /* NULL: the system's */
    bool is_tls;
    int port;
    int database;
} imi_redis_url_t;

/* 0, IMAGINE_EINVAL, IMAGINE_ENOTSUP (*out_reason says what is supported), IMAGINE_ENOMEM. */
int imi_redis_url_parse(imi_redis_url_t *out, imi_arena_t *arena, const char *url,
                        const char **out_reason);

#endif
