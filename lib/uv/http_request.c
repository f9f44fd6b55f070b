/* http_request.c: from a request to an exchange with an easy handle that is ready to run. */
#include "uv/http_parts.h"

#include <string.h>
#include <strings.h>

#include "uv/io.h"
#include "wire/mem.h"

enum {
    CA_CACHE_S = 24 * 3600,      /* where the trusted certificates are curl's to read */
    RECEIVE_BUFFER_SIZE = 16384, /* one per exchange, while it lasts */
    SEND_BUFFER_SIZE = 16384,    /* likewise; curl's minimum */
    BODY_COPIED_MAX = 4096,      /* leaves with the request's head, in one packet */
    HEADERS_SENT_MAX = 128,
    TCP_KEEPALIVE_S = 60,       /* a picture can take minutes, and routers forget */
    CONNECT_TIMEOUT_MS = 10000, /* defaults of imagine_http_request_t */
    STALL_TIMEOUT_MS = 30000,
    CURL_BEHIND_MS = 1000, /* for connecting */
};

/* ---- easy handles ------------------------------------------------------------------------- */

static CURLcode on_ssl_context(CURL *easy, void *context, void *user) {
    imi_http_t *http = user;
    (void)easy;
    return http->is_tls_unverified || imi_trust_apply(http->trust, context, imi_uv_now_ms())
               ? CURLE_OK
               : CURLE_SSL_CACERT_BADFILE;
}

/* Everything that is the same for all exchanges. 0 or an error of curl's. */
static int set_constants(imi_http_t *http, CURL *easy) {
    int err = 0;
    err |= (int)curl_easy_setopt(easy, CURLOPT_SHARE, http->share);
    err |= (int)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    err |= (int)curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* a cancel waits for no resolver */
    err |= (int)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    err |= (int)curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    err |= (int)curl_easy_setopt(easy, CURLOPT_USERAGENT, http->user_agent);
    err |= (int)curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    err |= (int)curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)RECEIVE_BUFFER_SIZE);
    err |= (int)curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)SEND_BUFFER_SIZE);
    err |= (int)curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    err |= (int)curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, (long)TCP_KEEPALIVE_S);
    err |= (int)curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, (long)TCP_KEEPALIVE_S);
    err |= (int)curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long)IMI_CONNECTION_IDLE_MAX_S);
    if (http->trust != NULL) {
        err |= (int)curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
        err |= (int)curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_ssl_context);
        err |= (int)curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, http);
        /* curl would keep the store it meets first, and put it in the place of a later one. */
        err |= (int)curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
    } else if (http->ca_file != NULL) {
        err |= (int)curl_easy_setopt(easy, CURLOPT_CAINFO, http->ca_file);
        err |= (int)curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, (long)CA_CACHE_S);
    }
    /* A directory of certificates, which distributions set too, would be read for every connection.
     */
    if (http->ca_file != NULL)
        err |= (int)curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    err |= (int)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, http->is_tls_unverified ? 0L : 1L);
    err |= (int)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, http->is_tls_unverified ? 0L : 2L);
    return err;
}

static CURL *take_easy(imi_http_t *http, bool is_guarded) {
    CURL *easy = NULL;
    if (!is_guarded && http->easy_kept_count > 0)
        return http->easy_kept[--http->easy_kept_count];
    easy = curl_easy_init();
    if (easy == NULL)
        return NULL;
    if (set_constants(http, easy) == 0 &&
        (!is_guarded || curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK))
        return easy;
    curl_easy_cleanup(easy);
    return NULL;
}

/* Guarded handles have options of their own. Curl counts repeated attempts over the life of a
 * handle, and gives up after five. And one that keeps bytes back for us may give them to the next
 * exchange (drop_held() in http_shard.c). */
static void give_easy(const imagine_http_exchange_t *exchange) {
    imi_http_t *http = exchange->http;
    curl_easy_setopt(exchange->easy, CURLOPT_VERBOSE,
                     0L); /* its debug text has nowhere to go now */
    if (exchange->guard == NULL && exchange->attempt_count <= 1 && !exchange->is_held &&
        http->easy_kept_count < IMI_EASY_KEPT_MAX)
        http->easy_kept[http->easy_kept_count++] = exchange->easy;
    else
        curl_easy_cleanup(exchange->easy);
}

/* ---- the request -------------------------------------------------------------------------- */

static bool is_ours(const char *name) {
    return strcasecmp(name, "Host") == 0 || strcasecmp(name, "Content-Length") == 0 ||
           strcasecmp(name, "Transfer-Encoding") == 0 || strcasecmp(name, "Expect") == 0;
}

/* A token by RFC 9110, section 5.6.2, and a value without line breaks. */
static bool is_valid_header(const imagine_header_t *header) {
    static const char marks[] = "!#$%&'*+-.^_`|~";
    if (header->name == NULL || header->value == NULL || header->name[0] == '\0')
        return false;
    for (const char *c = header->name; *c != '\0'; c++) {
        bool is_letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z');
        if (!is_letter && !(*c >= '0' && *c <= '9') && strchr(marks, *c) == NULL)
            return false;
    }
    return strpbrk(header->value, "\r\n") == NULL;
}

static bool is_valid_request(const imagine_http_request_t *request) {
    if (request->url == NULL || request->method == NULL || request->method[0] == '\0' ||
        request->header_count > HEADERS_SENT_MAX ||
        (request->body == NULL && request->body_count) ||
        (request->body_read != NULL && request->body_count > 0))
        return false;
    for (const char *c = request->method; *c != '\0'; c++) {
        if (*c < 'A' || *c > 'Z')
            return false;
    }
    for (size_t i = 0; i < request->header_count; i++) {
        if (!is_valid_header(&request->headers[i]))
            return false;
    }
    return true;
}

static uint64_t size_of_body(const imagine_http_request_t *request) {
    uint64_t size = 0;
    if (request->body_read != NULL)
        return request->body_size;
    for (size_t i = 0; i < request->body_count; i++)
        size += request->body[i].size;
    return size;
}

/* Whether curl's way of POST is to be used: whatever has a body, or must say that it is empty. */
static bool has_length(const char *method, uint64_t body_size) {
    return body_size > 0 || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
           strcmp(method, "PATCH") == 0;
}

/* Lays the block out: `node` grows upwards in the array of header nodes, `text` behind them. */
typedef struct writer {
    struct curl_slist *first;
    struct curl_slist *node; /* the next free one */
    char *text;
} writer_t;

static char *put_text(writer_t *writer, const void *data, size_t size) {
    char *text = writer->text;
    if (size != 0)
        memcpy(text, data, size);
    text[size] = '\0';
    writer->text += size + 1;
    return text;
}

/* curl's form: "Name: value", "Name;" for an empty value, "Name:" for "do not send this one". */
static void put_header(writer_t *writer, const char *name, const char *separator,
                       const char *value) {
    struct curl_slist *node = writer->node++;
    node->data = writer->text;
    node->next = NULL;
    if (node > writer->first)
        node[-1].next = node;
    put_text(writer, name, strlen(name));
    writer->text--; /* the parts make one text */
    put_text(writer, separator, strlen(separator));
    writer->text--;
    put_text(writer, value, strlen(value));
}

static struct curl_slist *put_headers(writer_t *writer, const imagine_http_request_t *request,
                                      bool has_body) {
    bool has_type = false;
    for (size_t i = 0; i < request->header_count; i++) {
        const imagine_header_t *header = &request->headers[i];
        if (is_ours(header->name))
            continue;
        has_type = has_type || strcasecmp(header->name, "Content-Type") == 0;
        put_header(writer, header->name, header->value[0] == '\0' ? ";" : ": ", header->value);
    }
    if (has_body && !has_type)
        put_header(writer, "Content-Type", ":", "");
    if (has_body)
        put_header(writer, "Expect", ":", "");
    return writer->node == writer->first ? NULL : writer->first;
}

enum { EXTRA_HEADERS = 2, EXTRA_TEXT_SIZE = sizeof("Content-Type:") + sizeof("Expect:") };

static imagine_http_exchange_t *allocate(const imi_mem_t *mem,
                                         const imagine_http_request_t *request, uint64_t body_size,
                                         size_t host_size, writer_t *out) {
    size_t node_count = request->header_count + EXTRA_HEADERS;
    size_t size = node_count * sizeof(struct curl_slist) + EXTRA_TEXT_SIZE + host_size + 1 +
                  (body_size <= BODY_COPIED_MAX ? (size_t)body_size : 0) + 1;
    imagine_http_exchange_t *exchange = NULL;
    for (size_t i = 0; i < request->header_count; i++)
        size += strlen(request->headers[i].name) + strlen(request->headers[i].value) + 3;
    exchange = imi_mem_alloc(mem, sizeof(*exchange) + size);
    if (exchange == NULL)
        return NULL;
    memset(exchange, 0, sizeof(*exchange));
    out->first = out->node = (struct curl_slist *)(void *)exchange->block;
    out->text = (char *)(out->first + node_count);
    return exchange;
}

static int set_body(imagine_http_exchange_t *exchange, const imagine_http_request_t *request,
                    writer_t *writer) {
    CURL *easy = exchange->easy;
    int err =
        (int)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)exchange->body_size);
    if (!exchange->is_body_copied) {
        err |= (int)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, NULL);
    } else {
        const char *copy = writer->text;
        for (size_t i = 0; i < request->body_count; i++) {
            put_text(writer, request->body[i].data, request->body[i].size);
            writer->text--;
        }
        err |= (int)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, copy);
    }
    return err | (int)curl_easy_setopt(easy, CURLOPT_POST, 1L);
}

/* What is this exchange's own; each is set every time, for the handle may have had another. */
static int set_options(imagine_http_exchange_t *exchange, const imagine_http_request_t *request,
                       bool is_https, writer_t *writer) {
    CURL *easy = exchange->easy;
    const char *method = request->method;
    bool has_body = has_length(method, exchange->body_size);
    const char *natural = has_body ? "POST" : exchange->is_head_request ? "HEAD" : "GET";
    int err = 0;
    /* Without TLS nobody can know that a server speaks HTTP/2, and curl would wait with all other
     * requests until the first one is answered. */
    err |= (int)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                                 is_https ? (long)CURL_HTTP_VERSION_2TLS
                                          : (long)CURL_HTTP_VERSION_1_1);
    err |= (int)curl_easy_setopt(easy, CURLOPT_PIPEWAIT, is_https ? 1L : 0L);
    err |= (int)curl_easy_setopt(easy, CURLOPT_URL, request->url);
    /* curl divides it among the addresses of a name. Ours comes first: curl closes a socket before
     * it says so, see watch.c. */
    err |= (int)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                                 (long)exchange->limits.connect_timeout_ms + CURL_BEHIND_MS);
    err |= (int)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, put_headers(writer, request, has_body));
    if (has_body)
        err |= set_body(exchange, request, writer);
    else
        err |= (int)curl_easy_setopt(
            easy, exchange->is_head_request ? CURLOPT_NOBODY : CURLOPT_HTTPGET, 1L);
    err |= (int)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST,
                                 strcmp(method, natural) == 0 ? NULL : method);
    err |= (int)curl_easy_setopt(easy, CURLOPT_VERBOSE, is_https ? 1L : 0L);
    err |= imi_exchange_set_callbacks(exchange);
    return err == 0 ? 0 : IMAGINE_ENOMEM;
}

static void fill(imagine_http_exchange_t *exchange, imi_http_t *http,
                 const imagine_http_request_t *request, uint64_t body_size) {
    imi_list_init(&exchange->node);
    exchange->http = http;
    imi_head_init(&exchange->head, http->uv->mem);
    exchange->connection = -1;
    exchange->body = request->body;
    exchange->body_count = request->body_count;
    exchange->body_size = body_size;
    exchange->body_read = request->body_read;
    exchange->body_read_user = request->body_read_user;
    exchange->is_body_copied =
        body_size == 0 || (request->body_read == NULL && body_size <= BODY_COPIED_MAX);
    exchange->is_head_request = strcmp(request->method, "HEAD") == 0;
    exchange->response_size_max = request->response_size_max;
    exchange->guard = request->guard;
    exchange->guard_user = request->guard_user;
    exchange->limits = (imi_limits_t){
        .started_at_ms = imi_uv_now_ms(),
        .connect_timeout_ms =
            request->connect_timeout_ms == 0 ? CONNECT_TIMEOUT_MS : request->connect_timeout_ms,
        .first_byte_timeout_ms = request->first_byte_timeout_ms,
        .stall_timeout_ms =
            request->stall_timeout_ms == 0 ? STALL_TIMEOUT_MS : request->stall_timeout_ms,
        .timeout_ms = request->timeout_ms,
    };
}

int imi_exchange_new(imagine_http_exchange_t **out, imi_http_t *http,
                     const imagine_http_request_t *request) {
    imagine_http_exchange_t *exchange = NULL;
    writer_t writer;
    imi_url_t url;
    uint64_t body_size = 0;
    if (!is_valid_request(request) || !imi_url_parse(imi_slice_of(request->url), &url))
        return IMAGINE_EINVAL;
    body_size = size_of_body(request);
    exchange = allocate(http->uv->mem, request, body_size, url.host.size, &writer);
    if (exchange == NULL)
        return IMAGINE_ENOMEM;
    fill(exchange, http, request, body_size);
    exchange->easy = take_easy(http, request->guard != NULL);
    if (exchange->easy == NULL ||
        imi_alarm_init(http->uv, &exchange->alarm, imi_exchange_on_limit) != 0) {
        if (exchange->easy != NULL)
            give_easy(exchange);
        imi_mem_free(http->uv->mem, exchange);
        return IMAGINE_ENOMEM;
    }
    exchange->host = put_text(&writer, url.host.data, url.host.size);
    if (set_options(exchange, request, url.is_https, &writer) != 0) {
        imi_exchange_free(exchange);
        return IMAGINE_ENOMEM;
    }
    *out = exchange;
    return 0;
}

void imi_exchange_free(imagine_http_exchange_t *exchange) {
    imi_alarm_reset(exchange->http->uv, &exchange->alarm);
    give_easy(exchange);
    imi_head_reset(&exchange->head);
    imi_mem_free(exchange->http->uv->mem, exchange);
}
