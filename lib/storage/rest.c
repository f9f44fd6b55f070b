/* rest.c: see rest.h. */
#include "storage/rest.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "wire/assert.h"
#include "wire/str.h"
#include "wire/time.h"
#include "wire/url.h"

/* Nobody waits for a storage, and the internet lies between: 250 ms would be too short. The longer
 * limit is for large values, as long as they move. */
#define SILENCE_MS 5000
#define CALL_MS 30000
#define REPEAT_MS 200
#define CLOSE_MS 2000
/* After a 429 without a Retry-After, and at most, whatever the service says. */
#define REST_MS 1000
#define REST_MAX_MS (5 * 60 * 1000)
#define TOKEN_SIZE_MAX 4096
#define REASON_SIZE_MAX 200
#define LOG_EVERY_MS (60 * 1000)                              /* however many operations fail */
#define TTL_MAX_MS (INT64_C(100) * 365 * 24 * 60 * 60 * 1000) /* longer is for ever */

/* ---- the address: scheme:https://:token@host/path?prefix=… ---- */

static int wake(imi_storage_queue_t *queue);
static const char *read_address(imi_rest_t *rest, const char *address);
static void free_address(imi_rest_t *rest);

int imi_rest_init(imi_rest_t *rest, const imi_mem_t *mem, const imi_rest_kind_t *kind,
                  const char *url, const char **out_reason) {
    *rest = (imi_rest_t){.kind = kind};
    imi_storage_queue_init(&rest->queue, mem, wake);
    const char *reason = read_address(rest, url + strlen(kind->scheme));
    if (reason == NULL && rest->base != NULL && rest->authorization != NULL && rest->prefix != NULL)
        return 0;
    free_address(rest);
    *out_reason = reason;
    return reason == NULL ? IMAGINE_ENOMEM : IMAGINE_EINVAL;
}

static void free_address(imi_rest_t *rest) {
    if (rest->authorization != NULL)
        imi_mem_wipe(rest->authorization, strlen(rest->authorization));
    imi_mem_free(rest->queue.mem, rest->base);
    imi_mem_free(rest->queue.mem, rest->authorization);
    imi_mem_free(rest->queue.mem, rest->prefix);
}

/* Each reader gives what is wrong; NULL also when memory is out: then its part is missing. */

static const char *read_token(imi_rest_t *rest, imi_slice_t userinfo) {
    char token[TOKEN_SIZE_MAX];
    size_t size = 0;
    const char *reason = NULL;
    imi_slice_t text = {userinfo.data + 1, userinfo.size - 1};
    if (userinfo.size < 2 || userinfo.data[0] != ':')
        return "the token must stand in front of the host: https://:token@host";
    if (text.size > sizeof(token))
        return "the token is too long";
    if (!imi_percent_decode_bytes(token, &size, text, false))
        reason = "the token holds a broken %XX";
    for (size_t i = 0; i < size && reason == NULL; i++)
        if ((unsigned char)token[i] <= 0x20 || (unsigned char)token[i] >= 0x7f)
            reason = "the token holds a character that no token has";
    if (reason == NULL) {
        static const char scheme[] = "Bearer ";
        rest->authorization = imi_mem_zalloc(rest->queue.mem, sizeof(scheme) + size);
        if (rest->authorization != NULL) {
            memcpy(rest->authorization, scheme, sizeof(scheme) - 1);
            memcpy(rest->authorization + sizeof(scheme) - 1, token, size);
        }
    }
    imi_mem_wipe(token, sizeof(token));
    return reason;
}

static const char *read_prefix(imi_rest_t *rest, const char *query) {
    char prefix[3 * IMAGINE_STORAGE_KEY_SIZE_MAX];
    size_t size = 0;
    if (query[0] == '\0') {
        rest->prefix = imi_mem_strdup(rest->queue.mem, "");
        return NULL;
    }
    if (!imi_text_starts_with(query, "?prefix=") || strchr(query, '&') != NULL)
        return "only ?prefix= may follow the address";
    imi_slice_t text = imi_slice_of(query + strlen("?prefix="));
    if (text.size > sizeof(prefix))
        return "the prefix is too long";
    if (!imi_percent_decode_bytes(prefix, &size, text, false) || memchr(prefix, '\0', size) != NULL)
        return "the prefix holds a broken %XX";
    rest->prefix = imi_mem_strndup(rest->queue.mem, prefix, size);
    if (rest->prefix != NULL && imi_storage_check_key(rest->prefix, true, &rest->prefix_size) != 0)
        return "the prefix is too long, or holds what no key may hold";
    return NULL;
}

static const char *read_address(imi_rest_t *rest, const char *address) {
    size_t scheme_size = imi_text_starts_with(address, "https://")  ? strlen("https://")
                         : imi_text_starts_with(address, "http://") ? strlen("http://")
                                                                    : 0;
    if (scheme_size == 0)
        return "the address must go on with https://";
    const char *userinfo = address + scheme_size;
    size_t authority_size = strcspn(userinfo, "/?#");
    const char *at = memchr(userinfo, '@', authority_size);
    const char *reason =
        read_token(rest, (imi_slice_t){userinfo, at == NULL ? 0 : (size_t)(at - userinfo)});
    if (reason != NULL || at == NULL)
        return reason;

    const char *host = at + 1;
    size_t size = strcspn(host, "?#");
    reason = read_prefix(rest, host + size);
    if (reason != NULL)
        return reason;
    while (size > 0 && host[size - 1] == '/')
        size--;
    rest->base = imi_mem_zalloc(rest->queue.mem, scheme_size + size + 1);
    if (rest->base == NULL)
        return NULL;
    memcpy(rest->base, address, scheme_size);
    memcpy(rest->base + scheme_size, host, size);
    imi_url_t url;
    if (!imi_url_parse(imi_slice_of(rest->base), &url) || url.has_userinfo)
        return "no host that can be asked stands behind the token";
    return NULL;
}

/* ---- turns ---- */

static void on_turn(void *user);
static void on_deadline(void *user);
static void take_turn(imi_rest_t *rest);
static void finish(imi_rest_t *rest);

int imi_rest_start(void *self, const imagine_io_t *io) {
    imi_rest_t *rest = self;
    if (io == NULL || io->http_start == NULL || io->http_cancel == NULL ||
        io->timer_start == NULL || io->timer_cancel == NULL || io->now_ms == NULL ||
        io->unix_ms == NULL || io->random == NULL)
        return IMAGINE_ENOTSUP;
    rest->queue.io = io;
    return 0;
}

static int wake(imi_storage_queue_t *queue) {
    imi_rest_t *rest = (imi_rest_t *)queue;
    if (rest->turn != NULL)
        return 0;
    return queue->io->timer_start(queue->io->context, 0, on_turn, rest, &rest->turn);
}

static void on_turn(void *user) {
    imi_rest_t *rest = user;
    rest->turn = NULL;
    take_turn(rest);
}

/* The last thing that every event does: `rest` may be gone afterwards. */
static void take_turn(imi_rest_t *rest) {
    rest->is_in_turn = true;
    rest->kind->pump(rest);
    rest->is_in_turn = false;
    if (rest->queue.is_closing && rest->queue.count == 0 && rest->call_count == 0)
        finish(rest);
}

/* What was asked for is still done, unless that takes too long. */
void imi_rest_close(void *self, imagine_closed_cb closed, void *user) {
    imi_rest_t *rest = self;
    const imagine_io_t *io = rest->queue.io;
    rest->queue.is_closing = true;
    rest->queue.closed = closed;
    rest->queue.closed_user = user;
    if (io == NULL) {
        finish(rest); /* never started: there is no later */
        return;
    }
    /* Without a timer nothing new is begun, and what is under way has its own time limit. */
    if (io->timer_start(io->context, CLOSE_MS, on_deadline, rest, &rest->deadline) != 0)
        rest->is_hurried = true;
    bool is_idle = rest->queue.count == 0 && rest->call_count == 0;
    if (wake(&rest->queue) != 0 && is_idle && !rest->is_in_turn)
        finish(rest);
}

static void on_deadline(void *user) {
    imi_rest_t *rest = user;
    rest->deadline = NULL;
    rest->is_hurried = true;
    rest->is_in_turn = true;
    rest->kind->abandon(rest);
    take_turn(rest);
}

static void finish(imi_rest_t *rest) {
    const imagine_io_t *io = rest->queue.io;
    const imi_mem_t *mem = rest->queue.mem;
    imagine_closed_cb closed = rest->queue.closed;
    void *user = rest->queue.closed_user;
    if (rest->turn != NULL)
        io->timer_cancel(io->context, rest->turn);
    if (rest->deadline != NULL)
        io->timer_cancel(io->context, rest->deadline);
    rest->kind->reset(rest);
    free_address(rest);
    imi_mem_free(mem, rest);
    if (closed != NULL)
        closed(user);
}

int imi_rest_refusal(const imi_rest_t *rest) {
    const imagine_io_t *io = rest->queue.io;
    if (rest->is_hurried)
        return IMAGINE_ECLOSED;
    if (rest->rested_until_ms != 0 && io->now_ms(io->context) < rest->rested_until_ms)
        return IMAGINE_ERATE;
    return 0;
}

void imi_rest_end(imi_storage_operation_t *operation, int status) {
    operation->status = status;
    imi_storage_operation_end(operation);
}

int64_t imi_rest_ttl_ms(const imi_rest_t *rest, int64_t expires_unix_ms) {
    const imagine_io_t *io = rest->queue.io;
    if (expires_unix_ms == IMI_STORAGE_FOREVER)
        return 0;
    int64_t left_ms = expires_unix_ms - io->unix_ms(io->context);
    return left_ms > TTL_MAX_MS ? 0 : left_ms > 0 ? left_ms : 1;
}

/* ---- one exchange ---- */

static void on_head(const imagine_http_head_t *head, void *user);
static void on_body(const void *data, size_t data_size, void *user);
static void on_end(const imagine_http_end_t *end, void *user);
static void repeat(void *user);
static void end_call(imi_rest_call_t *call, int status);

static const imagine_http_handler_t handler = {
    .size = sizeof(handler), .on_head = on_head, .on_body = on_body, .on_end = on_end};

void imi_rest_call_init(imi_rest_call_t *call, imi_rest_t *rest,
                        void (*on_done)(imi_rest_call_t *call, int status)) {
    *call = (imi_rest_call_t){.rest = rest, .on_done = on_done};
    imi_buf_init(&call->url, rest->queue.mem, 0);
    imi_buf_init(&call->body, rest->queue.mem, 0);
    imi_buf_init(&call->answer, rest->queue.mem, 0);
}

void imi_rest_call_reset(imi_rest_call_t *call) {
    const imagine_io_t *io = call->rest->queue.io;
    if (call->exchange != NULL)
        io->http_cancel(io->context, call->exchange);
    if (call->timer != NULL)
        io->timer_cancel(io->context, call->timer);
    call->exchange = NULL;
    call->timer = NULL;
    if (call->is_under_way)
        call->rest->call_count--;
    call->is_under_way = false;
    imi_buf_reset(&call->url);
    imi_buf_reset(&call->body);
    imi_buf_reset(&call->answer);
}

static int start_exchange(imi_rest_call_t *call) {
    const imagine_io_t *io = call->rest->queue.io;
    const imagine_header_t headers[] = {{"Authorization", call->rest->authorization},
                                        {"Content-Type", call->content_type}};
    const imagine_http_request_t request = {
        .size = sizeof(request),
        .method = call->method,
        .url = call->url.data,
        .headers = headers,
        .header_count = call->content_type == NULL ? 1 : 2,
        .body = call->content_type == NULL ? NULL : &call->slice,
        .body_count = call->content_type == NULL ? 0 : 1,
        .connect_timeout_ms = SILENCE_MS,
        .first_byte_timeout_ms = SILENCE_MS,
        .stall_timeout_ms = SILENCE_MS,
        .timeout_ms = CALL_MS,
        .response_size_max = call->answer_size_max,
    };
    call->slice = (imagine_slice_t){call->body.data, call->body.size};
    imi_buf_clear(&call->answer);
    call->http_status = 0;
    call->retry_after_ms = -1;
    return io->http_start(io->context, &request, &handler, call, &call->exchange);
}

int imi_rest_call_start(imi_rest_call_t *call) {
    IMI_ASSERT(!call->is_under_way);
    if (call->url.error != 0 || call->body.error != 0)
        return IMAGINE_ENOMEM;
    call->was_repeated = false;
    int err = start_exchange(call);
    if (err == 0) {
        call->is_under_way = true;
        call->rest->call_count++;
    }
    return err;
}

static void on_head(const imagine_http_head_t *head, void *user) {
    imi_rest_call_t *call = user;
    const imagine_io_t *io = call->rest->queue.io;
    call->http_status = head->status;
    for (size_t i = 0; i < head->header_count; i++) {
        int64_t ms = 0;
        if (imi_text_equals_nocase(head->headers[i].name, "retry-after") &&
            imi_time_parse_retry_after(imi_slice_of(head->headers[i].value),
                                       io->unix_ms(io->context), &ms))
            call->retry_after_ms = ms;
    }
}

static void on_body(const void *data, size_t data_size, void *user) {
    imi_rest_call_t *call = user;
    imi_buf_append(&call->answer, data, data_size); /* its error sticks until the end */
}

/* Nothing usable came back: may it be asked again? A time limit was long enough already. */
static bool is_worth_repeating(const imi_rest_call_t *call, const imagine_http_end_t *end) {
    bool is_cut = end->error == IMAGINE_ECONNECT || end->error == IMAGINE_EPROTOCOL;
    bool has_failed = end->error == 0 && call->http_status >= 500;
    if (call->was_repeated || call->rest->is_hurried || (!is_cut && !has_failed))
        return false;
    return call->is_repeatable || (end->error != 0 && end->was_sent == 0);
}

static int status_of(imi_rest_call_t *call) {
    imi_rest_t *rest = call->rest;
    const imagine_io_t *io = rest->queue.io;
    if (call->http_status >= 200 && call->http_status < 300)
        return call->answer.error == 0 ? 0 : IMAGINE_ENOMEM;
    if (call->http_status == 404 && call->is_absence_fine)
        return IMAGINE_ENOTFOUND;
    imi_rest_complain(
        rest, call->http_status,
        (imi_slice_t){call->answer.data, call->answer.error == 0 ? call->answer.size : 0});
    switch (call->http_status) {
    case 401:
    case 403:
        return IMAGINE_ETOKEN;
    case 404:
        return IMAGINE_ENOTFOUND;
    case 429: {
        int64_t ms = call->retry_after_ms < 0 ? REST_MS : call->retry_after_ms;
        rest->rested_until_ms =
            io->now_ms(io->context) + (uint64_t)(ms < REST_MAX_MS ? ms : REST_MAX_MS);
        return IMAGINE_ERATE;
    }
    default:
        return IMAGINE_EIO;
    }
}

static void on_end(const imagine_http_end_t *end, void *user) {
    imi_rest_call_t *call = user;
    const imagine_io_t *io = call->rest->queue.io;
    call->exchange = NULL;
    if (is_worth_repeating(call, end) &&
        io->timer_start(io->context, REPEAT_MS, repeat, call, &call->timer) == 0) {
        call->was_repeated = true;
        return;
    }
    if (end->error != 0)
        imi_rest_complain(call->rest, 0, imi_slice_of(end->message));
    end_call(call, end->error != 0 ? end->error : status_of(call));
}

static void repeat(void *user) {
    imi_rest_call_t *call = user;
    call->timer = NULL;
    int err = start_exchange(call);
    if (err != 0)
        end_call(call, err);
}

static void end_call(imi_rest_call_t *call, int status) {
    imi_rest_t *rest = call->rest;
    call->is_under_way = false;
    rest->call_count--;
    rest->is_in_turn = true;
    call->on_done(call, status);
    take_turn(rest);
}

/* ---- the log ---- */

void imi_rest_complain(imi_rest_t *rest, int32_t http_status, imi_slice_t reason) {
    const imagine_io_t *io = rest->queue.io;
    uint64_t now_ms = io->now_ms(io->context);
    if (io->log == NULL || (rest->has_logged && now_ms - rest->logged_at_ms < LOG_EVERY_MS))
        return;
    imi_arena_t arena;
    imi_arena_init(&arena, rest->queue.mem, 0);
    const char *token = strchr(rest->authorization, ' ') + 1;
    /* A service that repeats our token must not bring it into the log. */
    if (reason.data == NULL || memmem(reason.data, reason.size, token, strlen(token)) != NULL)
        reason = IMI_SLICE("");
    char *said = imi_text_clean(&arena, reason.data, reason.size, REASON_SIZE_MAX);
    if (said != NULL)
        imi_text_make_quotable(said);
    char *line =
        said == NULL
            ? NULL
            : imi_arena_printf(&arena, "storage.failed driver=%s status=%" PRId32 " reason=\"%s\"",
                               rest->kind->name, http_status, said);
    if (line != NULL) {
        io->log(io->context, IMAGINE_LOG_WARN, line);
        rest->has_logged = true;
        rest->logged_at_ms = now_ms;
    }
    imi_arena_reset(&arena);
}
