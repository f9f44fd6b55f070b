/* s3.c: see s3.h. */
#include "core/s3.h"

#include <string.h>

#include "wire/buf.h"
#include "wire/str.h"
#include "wire/url.h"

#define SERVICE "s3"
#define PATH_SIZE_MAX 4096 /* a key has at most 1024 bytes, encoded three times that */

static const char *without_slashes(imi_arena_t *arena, const char *url) {
    size_t size = strlen(url);
    while (size > 0 && url[size - 1] == '/')
        size--;
    return imi_arena_strndup(arena, url, size);
}

/* curl leaves out the port that the scheme has by itself. */
static const char *host_of(imi_arena_t *arena, const imi_url_t *url) {
    bool is_ipv6 = memchr(url->host.data, ':', url->host.size) != NULL;
    bool has_port = url->port != (url->is_https ? 443 : 80);
    char *host = imi_arena_printf(arena, "%s%.*s%s", is_ipv6 ? "[" : "", (int)url->host.size,
                                  url->host.data, is_ipv6 ? "]" : "");
    return host != NULL && has_port ? imi_arena_printf(arena, "%s:%u", host, (unsigned)url->port)
                                    : host;
}

int imi_s3_init(imi_s3_t *out, imi_arena_t *arena, const imi_s3_settings_t *settings) {
    imi_url_t url;
    const char *region = settings->region != NULL ? settings->region : "auto";
    *out = (imi_s3_t){.endpoint = without_slashes(arena, settings->endpoint),
                      .region = imi_arena_strdup(arena, region),
                      .access_key_id = imi_arena_strdup(arena, settings->access_key_id),
                      .secret = imi_arena_strdup(arena, settings->secret),
                      .bucket = imi_arena_strdup(arena, settings->bucket)};
    if (settings->cdn_url != NULL)
        out->cdn_url = without_slashes(arena, settings->cdn_url);
    if (out->endpoint == NULL || out->region == NULL || out->access_key_id == NULL ||
        out->secret == NULL || out->bucket == NULL ||
        (settings->cdn_url != NULL && out->cdn_url == NULL))
        return IMAGINE_ENOMEM;
    if (!imi_url_parse(imi_slice_of(out->endpoint), &url) || url.has_userinfo ||
        url.query.data != NULL)
        return IMAGINE_EINVAL;
    out->is_https = url.is_https;
    out->host = host_of(arena, &url);
    out->path = imi_arena_strndup(arena, url.path.size > 0 ? url.path.data : "", url.path.size);
    return out->host == NULL || out->path == NULL ? IMAGINE_ENOMEM : 0;
}

/* "/bucket" or "/bucket/key", below the endpoint's own path, encoded. */
static const char *path_of(const imi_s3_t *s3, imi_arena_t *arena, const char *key) {
    imi_buf_t buf;
    char *path;
    imi_buf_init(&buf, arena->mem, PATH_SIZE_MAX);
    imi_buf_printf(&buf, "%s/", s3->path);
    imi_percent_encode(&buf, s3->bucket, false);
    if (key != NULL) {
        imi_buf_append_byte(&buf, '/');
        imi_percent_encode(&buf, key, true);
    }
    path = buf.error == 0 ? imi_arena_strndup(arena, buf.data, buf.size) : NULL;
    imi_buf_reset(&buf);
    return path;
}

static imi_sigv4_t signing_of(const imi_s3_t *s3, int64_t unix_ms, const char *method,
                              const char *path) {
    return (imi_sigv4_t){.access_key_id = s3->access_key_id,
                         .secret = s3->secret,
                         .region = s3->region,
                         .service = SERVICE,
                         .unix_ms = unix_ms,
                         .method = method,
                         .path = path};
}

bool imi_s3_sign(const imi_s3_t *s3, imi_arena_t *arena, int64_t unix_ms,
                 const imi_s3_request_t *request, imagine_http_request_t *out) {
    const char *path = path_of(s3, arena, request->key);
    imi_sigv4_pair_t signed_headers[IMI_S3_HEADERS_MAX];
    imagine_header_t *headers = imi_arena_alloc(arena, IMI_S3_HEADERS_MAX * sizeof(*headers));
    char *date = imi_arena_alloc(arena, IMI_SIGV4_DATE_SIZE);
    imi_sigv4_t signing = signing_of(s3, unix_ms, request->method, path);
    const char *query, *authorization;
    size_t count = 0;
    if (path == NULL || headers == NULL || date == NULL)
        return false;
    imi_sigv4_date(date, unix_ms);
    signed_headers[count++] = (imi_sigv4_pair_t){"X-Amz-Date", date};
    signed_headers[count++] = (imi_sigv4_pair_t){"X-Amz-Content-Sha256", request->payload_hash};
    if (request->content_type != NULL)
        signed_headers[count++] = (imi_sigv4_pair_t){"Content-Type", request->content_type};
    if (request->content_md5 != NULL)
        signed_headers[count++] = (imi_sigv4_pair_t){"Content-MD5", request->content_md5};
    for (size_t i = 0; i < count; i++)
        headers[i] = (imagine_header_t){signed_headers[i].name, signed_headers[i].value};
    signed_headers[count] = (imi_sigv4_pair_t){"Host", s3->host};
    signing.query = request->query;
    signing.query_count = request->query_count;
    signing.headers = signed_headers;
    signing.header_count = count + 1;
    signing.payload_hash = request->payload_hash;
    authorization = imi_sigv4_authorization(arena, &signing);
    query = imi_sigv4_query(arena, request->query, request->query_count);
    if (authorization == NULL || query == NULL)
        return false;
    headers[count++] = (imagine_header_t){"Authorization", authorization};
    out->method = request->method;
    out->headers = headers;
    out->header_count = count;
    out->url = imi_arena_printf(arena, "%.*s%s%s%s", (int)(strlen(s3->endpoint) - strlen(s3->path)),
                                s3->endpoint, path, query[0] != '\0' ? "?" : "", query);
    return out->url != NULL;
}

const char *imi_s3_link(const imi_s3_t *s3, imi_arena_t *arena, int64_t unix_ms, const char *key) {
    const imi_sigv4_pair_t host = {"Host", s3->host};
    const char *path = path_of(s3, arena, key), *query;
    imi_sigv4_t signing = signing_of(s3, unix_ms, "GET", path);
    if (path == NULL)
        return NULL;
    if (s3->cdn_url != NULL)
        return imi_arena_printf(arena, "%s/%s", s3->cdn_url, key);
    signing.headers = &host;
    signing.header_count = 1;
    signing.payload_hash = IMI_SIGV4_UNSIGNED;
    query = imi_sigv4_presigned_query(arena, &signing, IMI_S3_LINK_S);
    return query == NULL ? NULL
                         : imi_arena_printf(arena, "%.*s%s?%s",
                                            (int)(strlen(s3->endpoint) - strlen(s3->path)),
                                            s3->endpoint, path, query);
}
