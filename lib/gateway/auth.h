/* auth.h: who may call what. */
#ifndef IMI_GATEWAY_AUTH_H
#define IMI_GATEWAY_AUTH_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/refusal.h"
#include "wire/arena.h"
#include "wire/sha256.h"
#include "wire/str.h"

/* Whom a route answers (http-api.md, "Who may call"). */
typedef enum imi_who {
    IMI_WHO_ALL,
    IMI_WHO_USER,           /* API_TOKEN */
    IMI_WHO_ADMIN,          /* ADMIN_TOKEN, else API_TOKEN, else whoever is on this machine */
    IMI_WHO_ADMIN_OR_LOCAL, /* the same, and always whoever is on this machine */
} imi_who_t;

typedef struct imi_auth_token {
    char *text;
    size_t size;
    char fingerprint[IMI_FINGERPRINT_SIZE + 1];
} imi_auth_token_t;

typedef struct imi_auth_list {
    imi_auth_token_t *tokens;
    size_t count;
} imi_auth_list_t;

typedef struct imi_auth {
    imi_auth_list_t users;
    imi_auth_list_t admins; /* the users' where there is no list of its own */
} imi_auth_t;

/* Comma lists of tokens, NULL for none; they live in the arena. 0 or IMAGINE_ENOMEM. */
int imi_auth_init(imi_auth_t *auth, imi_arena_t *arena, const char *api_tokens,
                  const char *admin_tokens);
void imi_auth_wipe(imi_auth_t *auth); /* before the arena goes */

/* `authorization` is the header's trimmed value, absent for none. NULL when the caller may pass;
 * *out_fingerprint is then the token's, or NULL when none was needed. */
const imi_refusal_t *imi_auth_check(const imi_auth_t *auth, imi_who_t who,
                                    imi_slice_t authorization, bool is_local,
                                    const char **out_fingerprint);

#endif
