/* registry.h: the providers of a client: each with its code, its tokens and its breaker. */
#ifndef IMI_CORE_REGISTRY_H
#define IMI_CORE_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imagine/provider.h"
#include "core/breaker.h"
#include "core/client.h"
#include "core/pool.h"

struct imi_provider {
    char *name;
    imagine_provider_t code; /* copied; `name` and `catalogue` in it are not ours and not used */
    imi_pool_t *pool;
    imi_breaker_t breaker;
    char *api_base;              /* override, or NULL */
    uint64_t anonymous_until_ms; /* the quota without a token is spent until then (monotonic) */
    imagine_t *im;
};

/* 0, IMAGINE_EINVAL, IMAGINE_EEXIST, IMAGINE_ENOMEM. */
int imi_registry_add(imagine_t *im, const char *name, const imagine_provider_t *code);
imi_provider_t *imi_registry_find(const imagine_t *im, const char *name);
/* The same, but NULL for the sample provider while it is hidden. */
imi_provider_t *imi_registry_find_visible(const imagine_t *im, const char *name);
bool imi_provider_is_visible(const imi_provider_t *provider);
void imi_registry_reset(imagine_t *im);

/* A provider that `catalogue` brings or changes, unlike the one in force, needs code of its kind;
 * `own` (NULL: none) has it soon. What is wrong, free with imi_mem_free; NULL: nothing. */
char *imi_registry_bad_kind(const imagine_t *im, const imi_catalogue_t *catalogue, const char *own);
/* Providers that only the catalogue knows get the code of their kind. */
int imi_registry_adopt(imagine_t *im);

/* Can it serve now: a usable token, or none needed? */
bool imi_provider_can_serve(imi_provider_t *provider);
imagine_call_cb imi_provider_action(const imi_provider_t *provider, int action);
/* "gitee, huggingface, …" of those that are visible, in memory of the arena. */
const char *imi_registry_names(const imagine_t *im, imi_arena_t *arena);

#endif
