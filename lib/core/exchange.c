/* exchange.c: start -> head -> (redirect -> start)* -> body -> done.
 *
 * Redirects are ours, not the io's, for two reasons: the guard has to see every hop, and
 * credentials must stay with the host they belong to. */
#include "core/exchange.h"

#include <stdlib.h>
#include <string.h>

#include "core/client.h"
#include "core/divert.h"
#include "core/log.h"
#include "wire/assert.h"
#include "wire/url.h"
#include "wire/urlcheck.h"

#define RESERVED_SIZE_MIN (64u * 1024)
#define RESERVED_SIZE_MAX (64u * 1024 * 1024)

static int start_hop(imi_exchange_t *exchange);
static void on_head(const imagine_http_head_t *head, void *user);
static void on_body(const void *data, size_t data_size, void *user);
static void on_end(const imagine_http_end_t *end, void *user);

static const imagine_http_handler_t handler = {
    .size = sizeof(handler), .on_head = on_head, .on_body = on_body, .on_end = on_end};

static int guard(const char *host, const char *address, void *user) {
    const imagine_t *im = user;
    bool is_allowed =
        imi_connection_is_allowed(im->allowed_hosts, imi_slice_of(host), imi_slice_of(address));
    return is_allowed ? 0 : IMAGINE_EADDRESS;
}

int imi_exchange_start(imi_exchange_t *exchange) {
    const imi_mem_t *mem = &exchange->im->mem;
    IMI_ASSERT(exchange->http == NULL && exchange->answer.data == NULL); /* new, or reset */
    exchange->error = 0;
    exchange->was_sent = false;
    exchange->message = NULL;
    exchange->status = 0;
    exchange->redirect_count = 0;
    exchange->is_redirected = false;
    exchange->is_stream = false;
    exchange->is_diverted = false;
    exchange->was_reset = NULL;
    imi_buf_init(&exchange->answer, mem, (size_t)exchange->response_size_max);
    return start_hop(exchange);
}

static int start_hop(imi_exchange_t *exchange) {
    imagine_http_request_t request = {.size = sizeof(request)};
    const imagine_io_t *io = exchange->im->io;
    request.method = exchange->method;
    request.url = exchange->url;
    request.headers = exchange->headers;
    request.header_count = exchange->header_count;
    request.body = exchange->body;
    request.body_count = exchange->body_count;
    request.stall_timeout_ms = exchange->stall_timeout_ms;
    request.timeout_ms = exchange->timeout_ms;
    request.response_size_max = exchange->on_event != NULL ? 0 : exchange->response_size_max;
    if (exchange->is_guarded) {
        request.guard = guard;
        request.guard_user = exchange->im;
    }
    return io->http_start(io->context, &request, &handler, exchange, &exchange->http);
}

void imi_exchange_reset(imi_exchange_t *exchange) {
    if (exchange->im == NULL)
        return;
    if (exchange->http != NULL) {
        exchange->im->io->http_cancel(exchange->im->io->context, exchange->http);
        exchange->http = NULL;
    }
    if (exchange->is_stream) {
        imi_sse_reset(&exchange->sse);
        exchange->is_stream = false;
    }
    imi_buf_reset(&exchange->answer);
    if (exchange->was_reset != NULL)
        *exchange->was_reset = true;
    exchange->was_reset = NULL;
}

static const char *find_header(const imagine_header_t *headers, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (imi_text_equals_nocase(headers[i].name, name))
            return headers[i].value;
    return NULL;
}

const char *imi_exchange_header(const imi_exchange_t *exchange, const char *name) {
    return find_header(exchange->answer_headers, exchange->answer_header_count, name);
}

void imi_exchange_pause(imi_exchange_t *exchange, bool is_paused) {
    if (exchange->http != NULL)
        exchange->im->io->http_pause(exchange->im->io->context, exchange->http, is_paused ? 1 : 0);
}

static void finish(imi_exchange_t *exchange, int error, const char *message) {
    if (exchange->http != NULL) {
        exchange->im->io->http_cancel(exchange->im->io->context, exchange->http);
        exchange->http = NULL;
    }
    exchange->error = error;
    exchange->message = message;
    exchange->on_done(exchange);
}

void imi_exchange_fail(imi_exchange_t *exchange, int error, const char *message) {
    if (exchange->http != NULL)
        finish(exchange, error, message);
}

static bool keep_headers(imi_exchange_t *exchange, const imagine_http_head_t *head) {
    imagine_header_t *kept =
        imi_arena_alloc(exchange->arena, (head->header_count + 1) * sizeof(*kept));
    if (kept == NULL)
        return false;
    for (size_t i = 0; i < head->header_count; i++) {
        kept[i].name = imi_arena_strdup(exchange->arena, head->headers[i].name);
        kept[i].value = imi_arena_strdup(exchange->arena, head->headers[i].value);
        if (kept[i].name == NULL || kept[i].value == NULL)
            return false;
    }
    exchange->answer_headers = kept;
    exchange->answer_header_count = head->header_count;
    return true;
}

static bool is_redirect(int32_t status) {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static bool is_good_json(const imagine_http_head_t *head) {
    const char *type = find_header(head->headers, head->header_count, "content-type");
    return head->status >= 200 && head->status <= 299 && type != NULL &&
           imi_text_has_nocase(imi_slice_of(type), "json");
}

/* As much as the head tells, so that a picture is not moved while it grows; a size that is made up
 * costs addresses, not memory. */
static void reserve_answer(imi_exchange_t *exchange, const imagine_http_head_t *head) {
    const char *text = find_header(head->headers, head->header_count, "content-length");
    uint64_t size = text != NULL ? strtoull(text, NULL, 10) : 0;
    if (size >= RESERVED_SIZE_MIN && size <= RESERVED_SIZE_MAX &&
        (exchange->response_size_max == 0 || size <= exchange->response_size_max))
        (void)imi_buf_reserve(&exchange->answer, (size_t)size); /* else it grows as it can */
}

static void on_head(const imagine_http_head_t *head, void *user) {
    imi_exchange_t *exchange = user;
    exchange->was_sent = true;
    exchange->status = head->status;
    exchange->is_redirected =
        is_redirect(head->status) && find_header(head->headers, head->header_count, "location");
    if (!keep_headers(exchange, head)) {
        finish(exchange, IMAGINE_ENOMEM, NULL);
        return;
    }
    if (exchange->on_event != NULL && head->status == 200) {
        const char *type = find_header(head->headers, head->header_count, "content-type");
        if (type != NULL && imi_text_has_nocase(imi_slice_of(type), "text/event-stream")) {
            imi_sse_init(&exchange->sse, &exchange->im->mem, IMI_EVENT_SIZE_MAX);
            exchange->is_stream = true;
        }
    }
    exchange->is_diverted = exchange->divert != NULL && is_good_json(head);
    if (!exchange->is_stream && !exchange->is_redirected && !exchange->is_diverted)
        reserve_answer(exchange, head);
}

static bool on_sse_event(void *user, const imi_sse_event_t *event) {
    imi_exchange_t *exchange = user;
    return exchange->on_event(exchange, event);
}

static void divert(imi_exchange_t *exchange, const void *data, size_t data_size) {
    int err = imi_divert_feed(exchange->divert, &exchange->answer, data, data_size);
    if (err != 0)
        finish(exchange, err,
               err == IMAGINE_EPROTOCOL   ? "a picture in the answer is broken"
               : err == IMAGINE_ETOOLARGE ? "the answer is larger than allowed"
                                          : NULL);
}

static void on_body(const void *data, size_t data_size, void *user) {
    imi_exchange_t *exchange = user;
    bool was_reset = false;
    int err;
    if (exchange->is_redirected)
        return;
    if (exchange->is_diverted) {
        divert(exchange, data, data_size);
        return;
    }
    if (exchange->on_piece != NULL) {
        if (exchange->status == 200)
            exchange->on_piece(exchange, data, data_size);
        return;
    }
    if (!exchange->is_stream) {
        err = imi_buf_append(&exchange->answer, data, data_size);
    } else {
        /* The parser lives in the exchange, and an event may end the call and with it the exchange:
         * feed a moved copy, and put it back only if the exchange is still there. */
        imi_sse_t sse = exchange->sse;
        exchange->is_stream = false;
        exchange->was_reset = &was_reset;
        err = imi_sse_feed(&sse, data, data_size, on_sse_event, exchange);
        if (was_reset) {
            imi_sse_reset(&sse);
            return;
        }
        exchange->was_reset = NULL;
        exchange->sse = sse;
        exchange->is_stream = true;
    }
    if (err == IMI_BUF_TOO_LARGE)
        finish(exchange, IMAGINE_ETOOLARGE, "the answer is larger than allowed");
    else if (err != 0)
        finish(exchange, IMAGINE_ENOMEM, NULL);
}

/* Where the redirect leads, with what still may go along. NULL: a message, the exchange is over. */
static const char *redirect(imi_exchange_t *exchange) {
    imi_url_t from, to;
    const char *location =
        find_header(exchange->answer_headers, exchange->answer_header_count, "location");
    char *next = imi_url_resolve(exchange->arena, exchange->url, imi_slice_of(location));
    bool is_read = strcmp(exchange->method, "GET") == 0;
    bool keeps_method = exchange->status == 307 || exchange->status == 308;
    if (next == NULL || !imi_url_parse(imi_slice_of(next), &to) || to.has_userinfo ||
        !imi_url_parse(imi_slice_of(exchange->url), &from))
        return "a redirect to no usable address";
    if (++exchange->redirect_count > IMI_REDIRECTS_MAX)
        return "too many redirects";
    if (from.is_https && !to.is_https)
        return "a redirect from https to http";
    if (!imi_url_is_same_origin(&from, &to)) {
        if (!is_read && keeps_method)
            return "a redirect of the request's body to another host";
        exchange->header_count -= exchange->secret_header_count;
        exchange->secret_header_count = 0;
    }
    if (!is_read && !keeps_method) {
        exchange->method = "GET";
        exchange->body = NULL;
        exchange->body_count = 0;
    }
    exchange->url = next;
    return NULL;
}

static void on_end(const imagine_http_end_t *end, void *user) {
    imi_exchange_t *exchange = user;
    exchange->http = NULL;
    exchange->was_sent = exchange->was_sent || end->was_sent != 0;
    if (exchange->is_stream) {
        imi_sse_reset(&exchange->sse);
        exchange->is_stream = false;
    }
    if (end->error != 0) {
        finish(exchange, end->error, imi_arena_strdup(exchange->arena, end->message));
        return;
    }
    if (exchange->is_redirected) {
        const char *refused = redirect(exchange);
        int err = IMAGINE_EPROTOCOL;
        exchange->is_redirected = false;
        imi_buf_clear(&exchange->answer);
        if (refused == NULL) {
            err = start_hop(exchange);
            if (err == 0)
                return;
        }
        finish(exchange, err, refused);
        return;
    }
    if (exchange->is_diverted && !imi_divert_may_end(exchange->divert))
        finish(exchange, IMAGINE_EPROTOCOL, "the answer ends inside a picture");
    else
        finish(exchange, 0, NULL);
}
