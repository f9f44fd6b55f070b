/* redis_url.c: see redis_url.h. */
#include "storage/redis_url.h"

#include <string.h>

#include "imagine.h"
#include "wire/str.h"

#define PORT 6379
#define DATABASE_MAX 100000
#define PREFIX_SIZE_MAX 64

static int refuse(const char **out_reason, int err, const char *reason) {
    *out_reason = reason;
    return err;
}

/* Decoded; NULL: broken, or no memory. */
static const char *decode(imi_arena_t *arena, imi_slice_t text) {
    return imi_percent_decode(arena, text, false);
}

static bool read_number(imi_slice_t text, int64_t max, int *out) {
    int64_t number = 0;
    if (!imi_parse_int64(text, &number) || number < 0 || number > max)
        return false;
    *out = (int)number;
    return true;
}

/* Cut at the first `mark`; what is behind it, or the absent slice. */
static imi_slice_t cut(imi_slice_t *text, char mark) {
    const char *at = text->size > 0 ? memchr(text->data, mark, text->size) : NULL;
    imi_slice_t behind = {NULL, 0};
    if (at == NULL)
        return behind;
    behind = (imi_slice_t){at + 1, (size_t)(text->data + text->size - at) - 1};
    text->size = (size_t)(at - text->data);
    return behind;
}

static bool read_place(imi_redis_url_t *out, imi_arena_t *arena, imi_slice_t place) {
    imi_slice_t host = place, port;
    if (place.size > 0 && place.data[0] == '[') {
        host = (imi_slice_t){place.data + 1, place.size - 1};
        place = cut(&host, ']');
        if (place.data == NULL || (place.size > 0 && place.data[0] != ':'))
            return false;
        port =
            place.size > 0 ? (imi_slice_t){place.data + 1, place.size - 1} : (imi_slice_t){NULL, 0};
    } else {
        port = cut(&host, ':');
    }
    out->port = PORT;
    if (port.size > 0 && (!read_number(port, 65535, &out->port) || out->port == 0))
        return false;
    out->host = host.size > 0 ? imi_arena_strndup(arena, host.data, host.size) : "127.0.0.1";
    return out->host != NULL;
}

static bool read_user(imi_redis_url_t *out, imi_arena_t *arena, imi_slice_t user) {
    imi_slice_t password = cut(&user, ':');
    if (password.size > 0 && (out->password = decode(arena, password)) == NULL)
        return false;
    return user.size == 0 || (out->user = decode(arena, user)) != NULL;
}

static int read_query(imi_redis_url_t *out, imi_arena_t *arena, imi_slice_t query,
                      const char **out_reason) {
    while (query.size > 0) {
        imi_slice_t name = query, value, next = cut(&name, '&');
        value = cut(&name, '=');
        if (imi_slice_equals(name, "prefix")) {
            out->prefix = decode(arena, value);
            if (out->prefix == NULL || strlen(out->prefix) > PREFIX_SIZE_MAX)
                return refuse(out_reason, IMAGINE_EINVAL, "redis: broken prefix, or a long one");
        } else if (imi_slice_equals(name, "ca") && out->is_tls) {
            out->ca_file = decode(arena, value);
            if (out->ca_file == NULL)
                return refuse(out_reason, IMAGINE_EINVAL,
                              "rediss: broken name of a file behind ca=");
        } else {
            return refuse(out_reason, IMAGINE_EINVAL,
                          out->is_tls ? "rediss: only ?prefix= and &ca= may follow"
                                      : "redis: only ?prefix= may follow");
        }
        query = next;
    }
    return 0;
}

int imi_redis_url_parse(imi_redis_url_t *out, imi_arena_t *arena, const char *url,
                        const char **out_reason) {
    imi_slice_t rest = imi_slice_of(strstr(url, "://")), query, path, place;
    const char *at = NULL;
    *out = (imi_redis_url_t){.prefix = "", .is_tls = imi_text_starts_with(url, "rediss:")};
    if (rest.data == NULL)
        return refuse(out_reason, IMAGINE_EINVAL, "redis:// expected, as in redis://host:6379/0");
    rest = (imi_slice_t){rest.data + 3, rest.size - 3};
    query = cut(&rest, '?');
    path = cut(&rest, '/');
    for (size_t i = 0; i < rest.size; i++) /* the last one: a password may hold another */
        at = rest.data[i] == '@' ? rest.data + i : at;
    place = at != NULL ? (imi_slice_t){at + 1, (size_t)(rest.data + rest.size - at) - 1} : rest;
    if (memchr(place.data, ',', place.size) != NULL)
        return refuse(out_reason, IMAGINE_ENOTSUP,
                      "one Redis server is supported, no Cluster and no Sentinel");
    if (at != NULL && !read_user(out, arena, (imi_slice_t){rest.data, (size_t)(at - rest.data)}))
        return refuse(out_reason, IMAGINE_EINVAL, "redis: broken user or password");
    if (!read_place(out, arena, place))
        return refuse(out_reason, IMAGINE_EINVAL, "redis: broken host or port");
    if (path.size > 0 && !read_number(path, DATABASE_MAX, &out->database))
        return refuse(out_reason, IMAGINE_EINVAL, "redis: the database is a number");
    return read_query(out, arena, query, out_reason);
}
