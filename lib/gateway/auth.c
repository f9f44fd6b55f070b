/* auth.c: bearer tokens (RFC 6750) against the configured lists. Every token of a list is compared,
 * each in constant time, so that an answer's delay tells neither which one was close nor how close.
 */
#include "gateway/auth.h"

#include <string.h>

#include "imagine.h"

static const imi_refusal_t no_header = {
    401, IMAGINE_ETOKEN, "Missing Authorization header",
    "this route needs a token: send the header Authorization: Bearer <token>"};
static const imi_refusal_t bad_format = {
    401, IMAGINE_ETOKEN, "Invalid Authorization format",
    "the Authorization header must read: Bearer, one space, the token"};
static const imi_refusal_t bad_token = {401, IMAGINE_ETOKEN, "Invalid token",
                                        "this token is not one that may call this route"};
static const imi_refusal_t not_local = {403, IMAGINE_EADDRESS, "Forbidden",
                                        "while neither API_TOKEN nor ADMIN_TOKEN is set, this "
                                        "route answers only on the machine itself"};

static int parse_tokens(imi_auth_list_t *list, imi_arena_t *arena, const char *text) {
    imi_slice_t rest = imi_slice_of(text), item;
    size_t count_max = 1;
    for (size_t i = 0; i < rest.size; i++)
        count_max += rest.data[i] == ',';
    list->count = 0;
    list->tokens = imi_arena_zalloc(arena, count_max * sizeof(*list->tokens));
    if (list->tokens == NULL)
        return IMAGINE_ENOMEM;
    while (imi_slice_split(&rest, ',', &item)) {
        imi_auth_token_t *token = &list->tokens[list->count];
        item = imi_slice_trim(item);
        if (item.size == 0)
            continue;
        token->text = imi_arena_strndup(arena, item.data, item.size);
        if (token->text == NULL)
            return IMAGINE_ENOMEM;
        token->size = item.size;
        imi_fingerprint(token->fingerprint, token->text);
        list->count++;
    }
    return 0;
}

int imi_auth_init(imi_auth_t *auth, imi_arena_t *arena, const char *api_tokens,
                  const char *admin_tokens) {
    int err = parse_tokens(&auth->users, arena, api_tokens);
    if (err == 0)
        err = parse_tokens(&auth->admins, arena, admin_tokens);
    if (err == 0 && auth->admins.count == 0)
        auth->admins = auth->users;
    return err;
}

void imi_auth_wipe(imi_auth_t *auth) {
    for (size_t i = 0; i < auth->users.count; i++)
        imi_mem_wipe(auth->users.tokens[i].text, auth->users.tokens[i].size);
    for (size_t i = 0; i < auth->admins.count; i++)
        imi_mem_wipe(auth->admins.tokens[i].text, auth->admins.tokens[i].size);
}

/* "Bearer" in any case, one space, the token. */
static bool parse_bearer(imi_slice_t value, imi_slice_t *out) {
    static const size_t scheme_size = sizeof("Bearer ") - 1;
    if (value.size <= scheme_size ||
        !imi_slice_equals_nocase((imi_slice_t){value.data, scheme_size}, "Bearer "))
        return false;
    *out = (imi_slice_t){value.data + scheme_size, value.size - scheme_size};
    return memchr(out->data, ' ', out->size) == NULL;
}

static const imi_auth_token_t *find_token(const imi_auth_list_t *list, imi_slice_t token) {
    const imi_auth_token_t *found = NULL;
    for (size_t i = 0; i < list->count; i++)
        if (imi_equals_constant_time(list->tokens[i].text, list->tokens[i].size, token.data,
                                     token.size))
            found = &list->tokens[i];
    return found;
}

static const imi_refusal_t *check_token(const imi_auth_list_t *list, imi_slice_t authorization,
                                        const char **out_fingerprint) {
    const imi_auth_token_t *found;
    imi_slice_t token;
    if (authorization.data == NULL)
        return &no_header;
    if (!parse_bearer(authorization, &token))
        return &bad_format;
    found = find_token(list, token);
    if (found == NULL)
        return &bad_token;
    *out_fingerprint = found->fingerprint;
    return NULL;
}

const imi_refusal_t *imi_auth_check(const imi_auth_t *auth, imi_who_t who,
                                    imi_slice_t authorization, bool is_local,
                                    const char **out_fingerprint) {
    *out_fingerprint = NULL;
    switch (who) {
    case IMI_WHO_USER:
        if (auth->users.count == 0)
            return NULL;
        return check_token(&auth->users, authorization, out_fingerprint);
    case IMI_WHO_ADMIN:
    case IMI_WHO_ADMIN_OR_LOCAL:
        if (is_local && (auth->admins.count == 0 || who == IMI_WHO_ADMIN_OR_LOCAL))
            return NULL;
        if (auth->admins.count == 0)
            return &not_local;
        return check_token(&auth->admins, authorization, out_fingerprint);
    case IMI_WHO_ALL:
        break;
    }
    return NULL;
}
