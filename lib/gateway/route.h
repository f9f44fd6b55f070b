/* route.h: the routes of the HTTP API, one row each. */
#ifndef IMI_GATEWAY_ROUTE_H
#define IMI_GATEWAY_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "imagine/gateway.h"
#include "gateway/auth.h"
#include "gateway/limit.h"
#include "wire/str.h"

typedef enum imi_method {
    IMI_GET,
    IMI_HEAD,
    IMI_POST,
    IMI_DELETE,
    IMI_OPTIONS,
    IMI_METHOD_OTHER,
} imi_method_t;

typedef struct imi_route {
    const char *path;   /* NULL: stands for many paths */
    const char *name;   /* in metrics */
    const char *action; /* of imagine_submit_form(), NULL: none */
    imi_method_t method;
    imi_who_t who;
    imi_limit_kind_t limit;
    void (*carry_out)(imagine_exchange_t *exchange);
} imi_route_t;

imi_method_t imi_method_from_name(const char *name);

/* Never NULL: below /api an unknown path has a route of its own (without carry_out), elsewhere it
 * belongs to the static files. */
const imi_route_t *imi_route_find(imi_slice_t path, imi_method_t method);
bool imi_route_is_api(const imi_route_t *route); /* below /api: CORS applies */
bool imi_route_takes(const imi_route_t *route, imi_method_t method);
const char *imi_route_allow(const imi_route_t *route); /* for the Allow header */

size_t imi_route_count(void);
size_t imi_route_index(const imi_route_t *route);
const char *imi_route_name(size_t index);

#endif
