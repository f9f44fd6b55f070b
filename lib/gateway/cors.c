/* cors.c: with "*" everybody may read, without credentials. With a list the origin that matches is
 * echoed (from our list, never from the request) and may send credentials; then caches must know
 * that the answer depends on the origin, also when it did not match. */
#include "gateway/cors.h"

#define METHODS "GET, POST, PUT, DELETE, OPTIONS"
#define REQUEST_HEADERS "Content-Type, Authorization"
#define EXPOSED_HEADERS \
    "Content-Length, Content-Type, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset"
#define MAX_AGE_S "86400"

int imi_cors_init(imi_cors_t *cors, imi_arena_t *arena, const char *list) {
    imi_slice_t rest = imi_slice_of(list), item;
    size_t count_max = 1;
    *cors = (imi_cors_t){0};
    for (size_t i = 0; i < rest.size; i++)
        count_max += rest.data[i] == ',';
    cors->origins = imi_arena_alloc(arena, count_max * sizeof(*cors->origins));
    if (cors->origins == NULL)
        return IMAGINE_ENOMEM;
    while (imi_slice_split(&rest, ',', &item)) {
        item = imi_slice_trim(item);
        if (imi_slice_equals(item, "*"))
            cors->is_any = true;
        while (item.size > 0 && item.data[item.size - 1] == '/')
            item.size--; /* an origin has no path, but people paste addresses */
        if (item.size == 0)
            continue;
        cors->origins[cors->origin_count] = imi_arena_strndup(arena, item.data, item.size);
        if (cors->origins[cors->origin_count] == NULL)
            return IMAGINE_ENOMEM;
        cors->origin_count++;
    }
    return 0;
}

static const char *find_origin(const imi_cors_t *cors, imi_slice_t origin) {
    if (cors->is_any)
        return "*";
    for (size_t i = 0; i < cors->origin_count; i++)
        if (imi_slice_equals(origin, cors->origins[i]))
            return cors->origins[i];
    return NULL;
}

size_t imi_cors_headers(const imi_cors_t *cors, imi_slice_t origin, bool is_preflight,
                        imagine_header_t out[IMI_CORS_HEADERS_MAX]) {
    const char *allowed = find_origin(cors, origin);
    size_t count = 0;
    if (!cors->is_any)
        out[count++] = (imagine_header_t){"Vary", "Origin"};
    if (allowed == NULL)
        return count;
    out[count++] = (imagine_header_t){"Access-Control-Allow-Origin", allowed};
    if (!cors->is_any)
        out[count++] = (imagine_header_t){"Access-Control-Allow-Credentials", "true"};
    out[count++] = (imagine_header_t){"Access-Control-Expose-Headers", EXPOSED_HEADERS};
    if (is_preflight) {
        out[count++] = (imagine_header_t){"Access-Control-Allow-Methods", METHODS};
        out[count++] = (imagine_header_t){"Access-Control-Allow-Headers", REQUEST_HEADERS};
        out[count++] = (imagine_header_t){"Access-Control-Max-Age", MAX_AGE_S};
    }
    return count;
}
