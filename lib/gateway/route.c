/* route.c: the table of http-api.md, and how a path finds its row. A new route is one more row. */
#include "gateway/route.h"

#include <string.h>

#include "gateway/action.h"
#include "gateway/exchange.h"
#include "gateway/inspect.h"
#include "gateway/media.h"
#include "gateway/webhooks.h"

#define API "/api"
#define V1 "/api/v1/"

/* The last four rows stand for many paths; the others are in order of how often they are asked. */
static const imi_route_t routes[] = {
    {V1 "generate", "generate", "generate", IMI_POST, IMI_WHO_USER, IMI_LIMIT_POST,
     imi_action_carry_out},
    {V1 "task-status", "task-status", NULL, IMI_GET, IMI_WHO_USER, IMI_LIMIT_STATUS,
     imi_action_task_status},
    {V1 "task-status", "task-cancel", NULL, IMI_DELETE, IMI_WHO_USER, IMI_LIMIT_STATUS,
     imi_action_cancel_task},
    {V1 "imagine", "generate", "generate", IMI_POST, IMI_WHO_USER, IMI_LIMIT_POST,
     imi_action_carry_out},
    {V1 "edit", "edit", "edit", IMI_POST, IMI_WHO_USER, IMI_LIMIT_POST, imi_action_carry_out},
    {V1 "text", "text", "text", IMI_POST, IMI_WHO_USER, IMI_LIMIT_POST, imi_action_carry_out},
    {V1 "video", "video", "video", IMI_POST, IMI_WHO_USER, IMI_LIMIT_POST, imi_action_carry_out},
    {V1 "upscaler", "upscaler", "upscaler", IMI_POST, IMI_WHO_USER, IMI_LIMIT_POST,
     imi_action_carry_out},
    {V1 "models", "models", NULL, IMI_GET, IMI_WHO_USER, IMI_LIMIT_NONE, imi_inspect_models},
    {V1 "models/all", "models", NULL, IMI_GET, IMI_WHO_USER, IMI_LIMIT_NONE,
     imi_inspect_all_models},
    {API "/health", "health", NULL, IMI_GET, IMI_WHO_ALL, IMI_LIMIT_NONE, imi_inspect_health},
    {V1 "token-stats", "token-stats", NULL, IMI_GET, IMI_WHO_ADMIN, IMI_LIMIT_NONE,
     imi_inspect_tokens},
    {V1 "token-stats/all", "token-stats", NULL, IMI_GET, IMI_WHO_ADMIN, IMI_LIMIT_NONE,
     imi_inspect_all_tokens},
    {V1 "token-reset", "token-reset", NULL, IMI_POST, IMI_WHO_ADMIN, IMI_LIMIT_POST,
     imi_inspect_reset_tokens},
    {V1 "webhooks", "webhooks", NULL, IMI_GET, IMI_WHO_ADMIN, IMI_LIMIT_NONE,
     imi_webhooks_answer_list},
    {V1 "webhooks/redeliver", "webhooks", NULL, IMI_POST, IMI_WHO_ADMIN, IMI_LIMIT_POST,
     imi_webhooks_answer_redeliver},
    {V1 "storage/cleanup", "storage-cleanup", NULL, IMI_DELETE, IMI_WHO_ADMIN, IMI_LIMIT_NONE,
     imi_inspect_clean_up_storage},
    {"/metrics", "metrics", NULL, IMI_GET, IMI_WHO_ADMIN_OR_LOCAL, IMI_LIMIT_NONE,
     imi_inspect_metrics},
    {NULL, "media", NULL, IMI_GET, IMI_WHO_ALL, IMI_LIMIT_NONE, imi_media_serve},
    {NULL, "static", NULL, IMI_GET, IMI_WHO_ALL, IMI_LIMIT_NONE, imi_exchange_serve_file},
    {NULL, "unknown", NULL, IMI_METHOD_OTHER, IMI_WHO_ALL, IMI_LIMIT_NONE, NULL},
    /* Nobody without a token learns which paths below /api/v1 exist. */
    {NULL, "unknown", NULL, IMI_METHOD_OTHER, IMI_WHO_USER, IMI_LIMIT_NONE, NULL},
};

enum {
    ROUTE_COUNT = sizeof(routes) / sizeof(routes[0]),
    ROUTE_UNKNOWN_V1 = ROUTE_COUNT - 1,
    ROUTE_UNKNOWN_API = ROUTE_COUNT - 2,
    ROUTE_STATIC = ROUTE_COUNT - 3,
    ROUTE_MEDIA = ROUTE_COUNT - 4,
    ROUTE_METRICS = ROUTE_COUNT - 5,
};

imi_method_t imi_method_from_name(const char *name) {
    static const struct {
        const char *name;
        imi_method_t method;
    } methods[] = {{"POST", IMI_POST},
                   {"GET", IMI_GET},
                   {"HEAD", IMI_HEAD},
                   {"DELETE", IMI_DELETE},
                   {"OPTIONS", IMI_OPTIONS}};
    for (size_t i = 0; name != NULL && i < sizeof(methods) / sizeof(methods[0]); i++)
        if (strcmp(name, methods[i].name) == 0)
            return methods[i].method;
    return IMI_METHOD_OTHER;
}

static bool starts_with(imi_slice_t path, const char *prefix) {
    size_t size = strlen(prefix);
    return path.size >= size && memcmp(path.data, prefix, size) == 0;
}

/* Of rows with one path the one that takes the method, else the first. */
const imi_route_t *imi_route_find(imi_slice_t path, imi_method_t method) {
    const imi_route_t *found = NULL;
    for (size_t i = 0; i < ROUTE_MEDIA; i++) {
        if (!imi_slice_equals(path, routes[i].path))
            continue;
        if (imi_route_takes(&routes[i], method))
            return &routes[i];
        if (found == NULL)
            found = &routes[i];
    }
    if (found != NULL)
        return found;
    if (imi_media_has_path(path))
        return &routes[ROUTE_MEDIA];
    if (starts_with(path, V1))
        return &routes[ROUTE_UNKNOWN_V1];
    if (starts_with(path, API "/") || imi_slice_equals(path, API))
        return &routes[ROUTE_UNKNOWN_API];
    return &routes[ROUTE_STATIC];
}

bool imi_route_is_api(const imi_route_t *route) {
    size_t index = imi_route_index(route);
    return index != ROUTE_STATIC && index != ROUTE_MEDIA && index != ROUTE_METRICS;
}

bool imi_route_takes(const imi_route_t *route, imi_method_t method) {
    return route->method == method || (route->method == IMI_GET && method == IMI_HEAD);
}

const char *imi_route_allow(const imi_route_t *route) {
    if (route->carry_out == imi_action_task_status)
        return "GET, HEAD, DELETE, OPTIONS"; /* the row behind it */
    switch (route->method) {
    case IMI_POST:
        return "POST, OPTIONS";
    case IMI_DELETE:
        return "DELETE, OPTIONS";
    default:
        return imi_route_is_api(route) ? "GET, HEAD, OPTIONS" : "GET, HEAD";
    }
}

size_t imi_route_count(void) {
    return ROUTE_COUNT;
}

size_t imi_route_index(const imi_route_t *route) {
    return (size_t)(route - routes);
}

const char *imi_route_name(size_t index) {
    return routes[index].name;
}
