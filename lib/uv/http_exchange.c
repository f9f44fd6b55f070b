/* http_exchange.c: what happens to one exchange while curl runs it: its phases and limits, what
 * curl's callbacks make of it, and how it ends.
 *
 *   connecting --request begins--> sending --body handed over--> waiting --status line--> receiving
 *
 * on_head and on_body of the caller run inside curl's callbacks: no copy is made of a body. They
 * may cancel the exchange, so that each of ours looks whether it is over and then returns an error,
 * on which curl gives up.
 *
 * curl repeats a request by itself when a kept connection turns out dead. We let it while the
 * request provably was not carried out, because some of it is still here or the server has refused
 * it, and make it fail otherwise: that is the caller's to decide. */
#include "uv/http_parts.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "uv/hearsay.h"
#include "uv/io.h"
#include "wire/mem.h"

enum {
    MESSAGE_SIZE = 96,
    LAST_WORD_MS = 1000, /* from the last byte of an answer to the end of its stream */
};

/* ---- ends --------------------------------------------------------------------------------- */

static bool is_over(const imagine_http_exchange_t *exchange) {
    return exchange->is_cancelled || exchange->failure != 0;
}

/* Inside curl's callbacks: they return an error then, and imi_exchange_finish() tells this one. */
static void set_failure(imagine_http_exchange_t *exchange, int error, const char *message) {
    exchange->failure = error;
    exchange->failure_message = message;
}

/* The server has said that it did nothing of it. */
static bool was_refused(const imagine_http_exchange_t *exchange) {
    const imi_shard_t *shard = exchange->shard;
    for (size_t i = 0; exchange->stream != 0 && i < IMI_GOAWAYS_KEPT && i < shard->goaway_count;
         i++) {
        const imi_goaway_t *goaway = &shard->goaways[i];
        if (goaway->connection == exchange->connection && goaway->last_stream < exchange->stream)
            return true;
    }
    return exchange->was_refused;
}

/* False only when it provably was not carried out: refused, or some of it is still here. */
static bool may_have_left(const imagine_http_exchange_t *exchange) {
    curl_off_t body_sent_size = 0;
    long sent_size = 0; /* of head and body; what curl sent of several attempts adds up */
    if (exchange->has_left)
        return true;
    if (exchange->shard == NULL || exchange->limits.phase == IMI_CONNECTING ||
        was_refused(exchange))
        return false;
    curl_easy_getinfo(exchange->easy, CURLINFO_REQUEST_SIZE, &sent_size);
    curl_easy_getinfo(exchange->easy, CURLINFO_SIZE_UPLOAD_T, &body_sent_size);
    return sent_size > 0 && (uint64_t)body_sent_size >= exchange->body_size;
}

void imi_exchange_end(imagine_http_exchange_t *exchange, int error, const char *message) {
    const imagine_http_handler_t *handler = exchange->handler;
    void *user = exchange->user;
    imagine_http_end_t result = {.size = sizeof(result), .error = error};
    result.was_sent = error == 0 || may_have_left(exchange) ? 1 : 0;
    result.message = error == 0 ? NULL : message;
    imi_exchange_discard(exchange);
    handler->on_end(&result, user);
}

static const char *connect_message(const imagine_http_exchange_t *exchange) {
    long number = exchange->open_errno;
    if (number == 0)
        curl_easy_getinfo(exchange->easy, CURLINFO_OS_ERRNO, &number);
    switch (number) {
    case ECONNREFUSED:
        return "connection refused";
    case EHOSTUNREACH:
    case ENETUNREACH:
        return "host not reachable";
    case EMFILE:
    case ENFILE:
        return "too many open files";
    default:
        return "no connection";
    }
}

/* What curl's result means for whoever asked. */
static int read_result(const imagine_http_exchange_t *exchange, CURLcode code,
                       const char **out_message) {
    if (code != CURLE_OK && was_refused(exchange)) {
        *out_message = "not begun by the server, which closes the connection";
        return IMAGINE_ECONNECT;
    }
    switch (code) {
    case CURLE_OK:
        return 0;
    case CURLE_OUT_OF_MEMORY:
        *out_message = "out of memory";
        return IMAGINE_ENOMEM;
    case CURLE_COULDNT_RESOLVE_HOST:
        *out_message = "name not resolved";
        return IMAGINE_ECONNECT;
    case CURLE_COULDNT_RESOLVE_PROXY:
        *out_message = "name of the proxy not resolved";
        return IMAGINE_ECONNECT;
    case CURLE_COULDNT_CONNECT:
        *out_message = connect_message(exchange);
        return IMAGINE_ECONNECT;
    case CURLE_PEER_FAILED_VERIFICATION:
        *out_message = "certificate not trusted";
        return IMAGINE_ECONNECT;
    case CURLE_SSL_CACERT_BADFILE:
        *out_message = "the certificates to trust cannot be read";
        return IMAGINE_ECONNECT;
    case CURLE_SSL_CONNECT_ERROR:
        *out_message = "TLS handshake failed";
        return IMAGINE_ECONNECT;
    case CURLE_OPERATION_TIMEDOUT:
        return IMAGINE_ETIMEDOUT;
    case CURLE_PARTIAL_FILE:
        *out_message = "answer cut off";
        return IMAGINE_EPROTOCOL;
    case CURLE_UNSUPPORTED_PROTOCOL: /* a first line that is none of HTTP's */
    case CURLE_WEIRD_SERVER_REPLY:
        *out_message = "answer not readable as HTTP";
        return IMAGINE_EPROTOCOL;
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        if (exchange->limits.phase == IMI_CONNECTING) {
            *out_message = "connection lost while it was made";
            return IMAGINE_ECONNECT;
        }
        *out_message =
            exchange->is_head_done ? "answer cut off" : "connection closed before an answer";
        return IMAGINE_EPROTOCOL;
    default:
        *out_message = curl_easy_strerror(code); /* static, names no address */
        return exchange->limits.phase == IMI_CONNECTING ? IMAGINE_ECONNECT : IMAGINE_EPROTOCOL;
    }
}

void imi_exchange_finish(imagine_http_exchange_t *exchange, CURLcode code) {
    const char *message = exchange->failure_message;
    int error = exchange->failure;
    char text[MESSAGE_SIZE];
    if (error == 0)
        error = read_result(exchange, code, &message);
    if (error == IMAGINE_ETIMEDOUT) { /* the one limit that curl has too: for connecting */
        imi_limits_explain(&exchange->limits, text, sizeof(text));
        message = text;
    }
    imi_exchange_end(exchange, error, message);
}

void imi_exchange_discard(imagine_http_exchange_t *exchange) {
    imi_uv_t *uv = exchange->http->uv;
    imi_list_remove(&exchange->node);
    imi_shard_leave(exchange);
    imi_exchange_free(exchange);
    imi_uv_release(uv);
}

/* ---- limits ------------------------------------------------------------------------------- */

void imi_exchange_watch_limits(imagine_http_exchange_t *exchange) {
    uint64_t now_ms = imi_uv_now_ms();
    uint64_t due_at_ms = imi_limits_due_at_ms(&exchange->limits);
    exchange->late_at_ms = 0;
    if (due_at_ms == UINT64_MAX)
        imi_alarm_cancel(exchange->http->uv, &exchange->alarm);
    else
        imi_alarm_set(exchange->http->uv, &exchange->alarm,
                      due_at_ms > now_ms ? due_at_ms - now_ms : 0);
}

static void enter(imagine_http_exchange_t *exchange, imi_phase_t phase) {
    exchange->limits.phase = phase;
    exchange->limits.active_at_ms = imi_uv_now_ms();
    imi_exchange_watch_limits(exchange);
}

void imi_exchange_touch(imagine_http_exchange_t *exchange) {
    exchange->limits.active_at_ms = imi_uv_now_ms();
    exchange->late_at_ms = 0;
}

/* All that the head has told of came over HTTP/2. The end of the stream follows at once, but
 * curl 7.88 misses it now and then when it came while we were paused, and would wait for it for
 * ever. */
static bool is_whole(const imagine_http_exchange_t *exchange) {
    return exchange->stream != 0 && exchange->told_size > 0 &&
           exchange->received_size == exchange->told_size;
}

/* A limit counts when it is still passed after events were looked for once more: when the loop was
 * held up, the bytes may lie in the socket. */
void imi_exchange_on_limit(imi_alarm_t *alarm) {
    imagine_http_exchange_t *exchange = IMI_CONTAINER(alarm, imagine_http_exchange_t, alarm);
    uint64_t turn_at_ms = uv_now(exchange->http->uv->loop); /* changes when events are looked for */
    char message[MESSAGE_SIZE];
    if (imi_uv_now_ms() < imi_limits_due_at_ms(&exchange->limits)) {
        imi_exchange_watch_limits(exchange);
    } else if (exchange->late_at_ms == 0 || exchange->late_at_ms == turn_at_ms) {
        exchange->late_at_ms = turn_at_ms;
        imi_alarm_set(exchange->http->uv, alarm, 1);
    } else {
        imi_limits_explain(&exchange->limits, message, sizeof(message));
        imi_exchange_end(exchange, is_whole(exchange) ? 0 : IMAGINE_ETIMEDOUT, message);
    }
}

/* ---- what curl calls ---------------------------------------------------------------------- */

static bool ask_guard(imagine_http_exchange_t *exchange, const char *address) {
    int error = exchange->guard(exchange->host, address, exchange->guard_user);
    exchange->was_asked = true;
    if (error != 0)
        set_failure(exchange, error, "address not allowed");
    return error == 0;
}

static curl_socket_t on_open_socket(void *user, curlsocktype purpose,
                                    struct curl_sockaddr *address) {
    imagine_http_exchange_t *exchange = user;
    char text[NI_MAXHOST];
    int fd = -1;
    (void)purpose;
    if (is_over(exchange))
        return CURL_SOCKET_BAD; /* one refused address refuses the exchange */
    if (exchange->guard != NULL) {
        if (getnameinfo(&address->addr, address->addrlen, text, sizeof(text), NULL, 0,
                        NI_NUMERICHOST) != 0) {
            set_failure(exchange, IMAGINE_EADDRESS, "address not readable");
            return CURL_SOCKET_BAD;
        }
        if (!ask_guard(exchange, text))
            return CURL_SOCKET_BAD;
    }
    fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (fd < 0) {
        exchange->open_errno = errno;
        return CURL_SOCKET_BAD;
    }
    if (imi_watch_begin(&exchange->http->watches, fd, exchange) != 0) {
        set_failure(exchange, IMAGINE_ENOMEM, "out of memory");
        close(fd);
        return CURL_SOCKET_BAD;
    }
    exchange->opened[exchange->opened_count++ % IMI_OPENED_KEPT] = fd;
    return fd;
}

static int on_close_socket(void *user, curl_socket_t fd) {
    imi_http_t *http = user;
    imi_watch_end(&http->watches, fd);
    return close(fd);
}

/* An attempt before this one failed without an answer. Was it carried out for certain not? */
static bool may_repeat(const imagine_http_exchange_t *exchange) {
    long sent_size = 0;
    if (was_refused(exchange))
        return true;
    curl_easy_getinfo(exchange->easy, CURLINFO_REQUEST_SIZE, &sent_size);
    if (sent_size == 0)
        return true;
    if (exchange->body_read != NULL)
        return exchange->handed_size == 0;
    return !exchange->is_body_copied && exchange->handed_size < exchange->body_size;
}

static int on_debug(CURL *easy, curl_infotype type, char *text, size_t size, void *user) {
    imagine_http_exchange_t *exchange = user;
    int64_t number = 0;
    imi_goaway_t *goaway = NULL;
    (void)easy;
    if (type != CURLINFO_TEXT)
        return 0;
    switch (imi_hearsay_read(text, size, &number)) {
    case IMI_HEARSAY_CONNECTION: /* a further attempt, maybe */
        exchange->was_refused = was_refused(exchange);
        exchange->connection = number;
        exchange->stream = 0;
        break;
    case IMI_HEARSAY_STREAM:
        exchange->stream = number;
        break;
    case IMI_HEARSAY_REFUSED:
        exchange->was_refused = true;
        break;
    case IMI_HEARSAY_GOAWAY: /* told to whichever exchange of the connection curl is at */
        if (exchange->connection < 0)
            break;
        goaway = &exchange->shard->goaways[exchange->shard->goaway_count++ % IMI_GOAWAYS_KEPT];
        *goaway = (imi_goaway_t){exchange->connection, number};
        break;
    case IMI_HEARSAY_NOTHING:
        break;
    }
    return 0;
}

/* There is a connection, new or kept, and the request leaves next. */
static int on_request_begins(void *user, char *address, char *local_address, int port,
                             int local_port) {
    imagine_http_exchange_t *exchange = user;
    (void)local_address;
    (void)port;
    (void)local_port;
    if (is_over(exchange))
        return CURL_PREREQFUNC_ABORT;
    if (exchange->attempt_count++ > 0 && !may_repeat(exchange)) {
        exchange->has_left = true;
        set_failure(exchange, IMAGINE_EPROTOCOL, "connection closed before an answer");
        return CURL_PREREQFUNC_ABORT;
    }
    /* A kept connection was opened for another exchange, whose guard may be more lenient. */
    if (exchange->guard != NULL && !exchange->was_asked && !ask_guard(exchange, address))
        return CURL_PREREQFUNC_ABORT;
    exchange->was_refused = false;
    exchange->body_index = 0;
    exchange->body_offset = 0;
    exchange->handed_size = 0;
    exchange->limits.connected_at_ms = imi_uv_now_ms();
    enter(exchange, exchange->is_body_copied ? IMI_WAITING : IMI_SENDING);
    return CURL_PREREQFUNC_OK;
}

/* More of a body that its owner gives in pieces. */
static size_t read_body(imagine_http_exchange_t *exchange, char *out, size_t capacity) {
    uint64_t left = exchange->body_size - exchange->handed_size;
    int64_t size = 0;
    if (capacity > left)
        capacity = (size_t)left;
    if (capacity > 0)
        size = exchange->body_read(out, capacity, exchange->body_read_user);
    if (is_over(exchange))
        return CURL_READFUNC_ABORT;
    if (size < 0 || (uint64_t)size > capacity) {
        set_failure(exchange, size < 0 ? (int)size : IMAGINE_EINVAL,
                    "the request's body could not be read");
        return CURL_READFUNC_ABORT;
    }
    if (size == 0 && capacity > 0) {
        exchange->is_starved = true;
        return CURL_READFUNC_PAUSE;
    }
    return (size_t)size;
}

static size_t on_send(char *out, size_t unit_size, size_t unit_count, void *user) {
    imagine_http_exchange_t *exchange = user;
    size_t capacity = unit_size * unit_count;
    size_t size = 0;
    if (is_over(exchange))
        return CURL_READFUNC_ABORT;
    if (exchange->body_read != NULL) {
        size = read_body(exchange, out, capacity);
        if (size > capacity) /* one of curl's words for aborting and pausing */
            return size;
    }
    while (size < capacity && exchange->body_index < exchange->body_count) {
        const imagine_slice_t *slice = &exchange->body[exchange->body_index];
        size_t piece_size = slice->size - exchange->body_offset;
        if (piece_size > capacity - size)
            piece_size = capacity - size;
        if (piece_size != 0)
            memcpy(out + size, (const char *)slice->data + exchange->body_offset, piece_size);
        size += piece_size;
        exchange->body_offset += piece_size;
        if (exchange->body_offset == slice->size) {
            exchange->body_index++;
            exchange->body_offset = 0;
        }
    }
    exchange->handed_size += size;
    imi_exchange_touch(exchange);
    if (exchange->handed_size == exchange->body_size && exchange->limits.phase == IMI_SENDING)
        enter(exchange, IMI_WAITING);
    return size;
}

/* Back to the beginning before a repeated attempt: on_request_begins does it, or refuses. */
static int on_rewind(void *user, curl_off_t offset, int origin) {
    const imagine_http_exchange_t *exchange = user;
    bool is_gone = exchange->body_read != NULL && exchange->handed_size > 0;
    return offset == 0 && origin == SEEK_SET && !is_gone ? CURL_SEEKFUNC_OK
                                                         : CURL_SEEKFUNC_CANTSEEK;
}

static int32_t version_of(CURL *easy) {
    long version = 0;
    curl_easy_getinfo(easy, CURLINFO_HTTP_VERSION, &version);
    switch (version) {
    case CURL_HTTP_VERSION_1_0:
        return 10;
    case CURL_HTTP_VERSION_2_0:
        return 20;
    default:
        return 11;
    }
}

static bool deliver_head(imagine_http_exchange_t *exchange, int32_t status) {
    imagine_header_t *headers = imi_head_list(&exchange->head);
    imagine_http_head_t head = {.size = sizeof(head), .status = status};
    curl_off_t size = -1;
    if (headers == NULL) {
        set_failure(exchange, IMAGINE_ENOMEM, "out of memory");
        return false;
    }
    head.http_version = version_of(exchange->easy);
    head.headers = headers;
    head.header_count = exchange->head.count;
    exchange->is_head_done = true;
    if (exchange->handler->on_head != NULL)
        exchange->handler->on_head(&head, exchange->user);
    imi_mem_free(exchange->http->uv->mem, headers);
    imi_head_reset(&exchange->head);
    curl_easy_getinfo(exchange->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &size);
    if (size > 0 && !exchange->is_head_request)
        exchange->told_size = (uint64_t)size;
    if (!exchange->is_head_request && exchange->response_size_max != 0 && size > 0 &&
        (uint64_t)size > exchange->response_size_max && !is_over(exchange))
        set_failure(exchange, IMAGINE_ETOOLARGE, "answer larger than allowed");
    return !is_over(exchange);
}

/* One line of a head, interim (1xx) heads and trailers too. */
static size_t on_head_line(char *line, size_t unit_size, size_t unit_count, void *user) {
    imagine_http_exchange_t *exchange = user;
    size_t size = unit_size * unit_count;
    long status = 0;
    int error = 0;
    if (is_over(exchange))
        return 0;
    if (exchange->is_head_done)
        return size;
    imi_exchange_touch(exchange);
    curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &status);
    if (size >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        imi_head_reset(&exchange->head);
        if (status >= 200)
            enter(exchange, IMI_RECEIVING);
        return size;
    }
    if (line[0] == '\r' || line[0] == '\n') {
        if (status < 200)
            return size;
        return deliver_head(exchange, (int32_t)status) ? size : 0;
    }
    error = imi_head_add(&exchange->head, line, size);
    if (error != 0)
        set_failure(exchange, error,
                    error == IMAGINE_ENOMEM ? "out of memory" : "head larger than allowed");
    return error == 0 ? size : 0;
}

static size_t on_body_piece(char *data, size_t unit_size, size_t unit_count, void *user) {
    imagine_http_exchange_t *exchange = user;
    size_t size = unit_size * unit_count;
    if (is_over(exchange))
        return 0;
    if (exchange->limits.is_paused) {
        exchange->is_held = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    imi_exchange_touch(exchange);
    exchange->received_size += size;
    if (exchange->response_size_max != 0 && exchange->received_size > exchange->response_size_max) {
        set_failure(exchange, IMAGINE_ETOOLARGE, "answer larger than allowed");
        return 0;
    }
    if (exchange->handler->on_body != NULL)
        exchange->handler->on_body(data, size, exchange->user);
    if (is_over(exchange))
        return 0;
    if (is_whole(exchange) && exchange->limits.stall_timeout_ms > LAST_WORD_MS) {
        exchange->limits.stall_timeout_ms = LAST_WORD_MS;
        imi_exchange_watch_limits(exchange);
    }
    return size;
}

int imi_exchange_set_callbacks(imagine_http_exchange_t *exchange) {
    CURL *easy = exchange->easy;
    int err = 0;
    err |= (int)curl_easy_setopt(easy, CURLOPT_PRIVATE, exchange);
    err |= (int)curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    err |= (int)curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, exchange);
    err |= (int)curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
    err |= (int)curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, exchange->http);
    err |= (int)curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_request_begins);
    err |= (int)curl_easy_setopt(easy, CURLOPT_PREREQDATA, exchange);
    err |= (int)curl_easy_setopt(easy, CURLOPT_DEBUGFUNCTION, on_debug);
    err |= (int)curl_easy_setopt(easy, CURLOPT_DEBUGDATA, exchange);
    err |= (int)curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_send);
    err |= (int)curl_easy_setopt(easy, CURLOPT_READDATA, exchange);
    err |= (int)curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_rewind);
    err |= (int)curl_easy_setopt(easy, CURLOPT_SEEKDATA, exchange);
    err |= (int)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_head_line);
    err |= (int)curl_easy_setopt(easy, CURLOPT_HEADERDATA, exchange);
    err |= (int)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body_piece);
    err |= (int)curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange);
    return err;
}
