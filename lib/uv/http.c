/* http.c: HTTP exchanges on curl-multi and libuv. The only file that knows curl.
 *
 * An exchange is made ready in http_start, waits in `starting` for the next turn of the loop
 * (nothing completes inside the call that starts it), is then added to a shard, and ends in
 * discard(), whichever of curl, a limit or a cancel comes first:
 *
 *   connecting --request begins--> sending --body handed over--> waiting --status line--> receiving
 *
 * curl forbids adding and removing transfers inside its callbacks, which is where on_head and
 * on_body run. So starting and going on always wait for the next turn, and a cancel inside a
 * callback of the same shard leaves the exchange, mute, in `dropped` until curl has returned.
 *
 * Shards: curl walks a multi handle's connections for every transfer, so that many transfers are
 * spread over several handles; few stay on the first, where they share connections. A handle that
 * had nothing to do for as long as a connection may be kept is closed. Exchanges with a guard have
 * a handle of their own.
 *
 * curl repeats a request by itself when a kept connection turns out dead. We let it while the
 * request provably has not left as a whole, and make it fail otherwise: what may have been carried
 * out is the caller's to decide (on_request_begins). */
#include "uv/http.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <curl/curl.h>

#include "uv/head.h"
#include "uv/hearsay.h"
#include "uv/io.h"
#include "uv/limit.h"
#include "uv/trust.h"
#include "uv/watch.h"
#include "wire/list.h"
#include "wire/mem.h"
#include "wire/url.h"

enum {
    SHARD_COUNT = 128,
    SHARD_FULL = 100,            /* exchanges in one shard before the next one is used, see above */
    CONNECTIONS_KEPT_MAX = 256,  /* in one shard; well above what is in use, or curl closes early */
    CONNECTION_IDLE_MAX_S = 55,  /* servers and balancers close after 60 and more, mostly */
    CA_CACHE_S = 24 * 3600,      /* where the trusted certificates are curl's to read */
    EASY_KEPT_MAX = 256,         /* unused easy handles, some 6 KiB each */
    RECEIVE_BUFFER_SIZE = 16384, /* one per exchange, while it lasts */
    SEND_BUFFER_SIZE = 16384,    /* likewise; curl's minimum */
    BODY_COPIED_MAX = 4096,      /* leaves with the request's head, in one packet */
    HEADERS_SENT_MAX = 128,
    TCP_KEEPALIVE_S = 60,       /* a picture can take minutes, and routers forget */
    CONNECT_TIMEOUT_MS = 10000, /* defaults of imagine_http_request_t */
    STALL_TIMEOUT_MS = 30000,
    MESSAGE_SIZE = 96,
    GOAWAYS_KEPT = 8, /* in one shard; they matter until their connection is closed */
};

typedef struct goaway {
    int64_t connection;
    int64_t last_stream;
} goaway_t;

typedef struct shard {
    imi_list_t due_node; /* in http->due: curl wants to be called in this or the next turn */
    imi_http_t *http;
    CURLM *multi; /* NULL: closed */
    size_t index;
    size_t exchange_count;
    imi_alarm_t alarm; /* curl's; without exchanges: when to close the shard */
    imi_list_t dropped;
    goaway_t goaways[GOAWAYS_KEPT]; /* a ring */
    size_t goaway_count;            /* so far */
    bool is_running;                /* inside curl */
} shard_t;

struct imi_http {
    imi_uv_t *uv;
    CURLSH *share; /* names and TLS sessions, for all shards */
    shard_t shards[SHARD_COUNT];
    shard_t guarded;
    size_t first_open; /* all shards before this one are full */
    size_t next_full;  /* when all are, they take turns */
    imi_list_t due;    /* shards */
    imi_watches_t watches;
    imi_list_t starting;
    imi_list_t resuming;
    CURL *easy_kept[EASY_KEPT_MAX];
    size_t easy_kept_count;
    imi_trust_t *trust; /* NULL: curl's TLS is not OpenSSL, and gets the file: */
    char *ca_file;      /* NULL: curl's default */
    char *user_agent;
    bool is_tls_unverified;
};

struct imagine_http_exchange {
    imi_list_t node; /* in `starting`, in `resuming`, in a shard's `dropped`, or alone */
    imi_http_t *http;
    shard_t *shard; /* NULL: not started yet */
    CURL *easy;
    const imagine_http_handler_t *handler;
    void *user;
    imi_alarm_t alarm; /* the next limit */
    imi_head_t head;
    imi_limits_t limits;
    uint64_t late_at_ms; /* turn in which a limit was found passed; 0: none was */
    uint64_t response_size_max;
    uint64_t received_size;
    const imagine_slice_t *body;
    size_t body_count;
    size_t body_index;  /* where handing over stands: this slice, */
    size_t body_offset; /* and so far in it */
    uint64_t body_size;
    uint64_t handed_size; /* of a body that is not copied */
    imagine_http_guard_cb guard;
    void *guard_user;
    const char *host; /* for the guard */
    const char *failure_message;
    int64_t connection; /* of the last attempt; -1: not known */
    int64_t stream;     /* on it; 0: not known, or not HTTP/2 */
    uint32_t attempt_count;
    int failure; /* what we end it with, whatever curl makes of it */
    int open_errno;
    bool is_body_copied;
    bool is_head_request;
    bool is_head_done;
    bool is_cancelled;
    bool is_held;        /* curl keeps bytes back for us */
    bool was_asked;      /* the guard, about this exchange's own connection */
    bool was_refused;    /* the last attempt, by the server, which has done nothing */
    bool has_left;       /* an earlier attempt's request, as a whole */
    max_align_t block[]; /* header nodes, then texts and a small body */
};

static void discard(imagine_http_exchange_t *exchange);

/* ---- ends --------------------------------------------------------------------------------- */

static bool is_over(const imagine_http_exchange_t *exchange) {
    return exchange->is_cancelled || exchange->failure != 0;
}

/* Inside curl's callbacks: they return an error then, and finish() tells this one. */
static void set_failure(imagine_http_exchange_t *exchange, int error, const char *message) {
    exchange->failure = error;
    exchange->failure_message = message;
}

/* The server has said that it did nothing of it. */
static bool was_refused(const imagine_http_exchange_t *exchange) {
    const shard_t *shard = exchange->shard;
    for (size_t i = 0; exchange->stream != 0 && i < GOAWAYS_KEPT && i < shard->goaway_count; i++) {
        const goaway_t *goaway = &shard->goaways[i];
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

static void end(imagine_http_exchange_t *exchange, int error, const char *message) {
    const imagine_http_handler_t *handler = exchange->handler;
    void *user = exchange->user;
    imagine_http_end_t result = {.size = sizeof(result), .error = error};
    result.was_sent = error == 0 || may_have_left(exchange) ? 1 : 0;
    result.message = error == 0 ? NULL : message;
    discard(exchange);
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
    case CURLE_OPERATION_TIMEDOUT: /* the only limit that curl knows of is that for connecting */
        *out_message = "no connection in time";
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

/* curl is done with it. */
static void finish(imagine_http_exchange_t *exchange, CURLcode code) {
    const char *message = exchange->failure_message;
    int error = exchange->failure;
    if (error == 0)
        error = read_result(exchange, code, &message);
    end(exchange, error, message);
}

/* ---- limits ------------------------------------------------------------------------------- */

static void watch_limits(imagine_http_exchange_t *exchange) {
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
    watch_limits(exchange);
}

/* Bytes went: the alarm is left alone, and sees how things stand when it is due. */
static void touch(imagine_http_exchange_t *exchange) {
    exchange->limits.active_at_ms = imi_uv_now_ms();
    exchange->late_at_ms = 0;
}

/* A limit counts when it is still passed after events were looked for once more: when the loop was
 * held up, the bytes may lie in the socket. */
static void on_limit(imi_alarm_t *alarm) {
    imagine_http_exchange_t *exchange = IMI_CONTAINER(alarm, imagine_http_exchange_t, alarm);
    uint64_t turn_at_ms = uv_now(exchange->http->uv->loop); /* changes when events are looked for */
    char message[MESSAGE_SIZE];
    if (imi_uv_now_ms() < imi_limits_due_at_ms(&exchange->limits)) {
        watch_limits(exchange);
    } else if (exchange->late_at_ms == 0 || exchange->late_at_ms == turn_at_ms) {
        exchange->late_at_ms = turn_at_ms;
        imi_alarm_set(exchange->http->uv, alarm, 1);
    } else {
        imi_limits_explain(&exchange->limits, message, sizeof(message));
        end(exchange, IMAGINE_ETIMEDOUT, message);
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
    if (imi_watch_begin(&exchange->http->watches, fd) != 0) {
        close(fd);
        return CURL_SOCKET_BAD;
    }
    return fd;
}

static int on_close_socket(void *user, curl_socket_t fd) {
    imi_http_t *http = user;
    imi_watch_end(&http->watches, fd);
    return close(fd);
}

static CURLcode on_ssl_context(CURL *easy, void *context, void *user) {
    imi_http_t *http = user;
    (void)easy;
    return http->is_tls_unverified || imi_trust_apply(http->trust, context, imi_uv_now_ms())
               ? CURLE_OK
               : CURLE_SSL_CACERT_BADFILE;
}

static int on_watch_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *socket_user) {
    shard_t *shard = user;
    int events = 0;
    (void)easy;
    (void)socket_user;
    if (what == CURL_POLL_REMOVE) {
        imi_watch_clear(&shard->http->watches, fd);
        return 0;
    }
    if ((what & CURL_POLL_IN) != 0)
        events |= IMI_WATCH_READABLE;
    if ((what & CURL_POLL_OUT) != 0)
        events |= IMI_WATCH_WRITABLE;
    /* Without memory the exchange runs into its limits: an error here would break all others. */
    (void)imi_watch_set(&shard->http->watches, fd, events, shard);
    return 0;
}

static void call_soon(shard_t *shard) {
    imi_list_remove(&shard->due_node);
    imi_list_append(&shard->http->due, &shard->due_node);
    imi_uv_wake(shard->http->uv);
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *user) {
    shard_t *shard = user;
    imi_uv_t *uv = shard->http->uv;
    (void)multi;
    if (shard->exchange_count == 0)
        return 0; /* the alarm waits for the time to close */
    if (timeout_ms > 0)
        imi_alarm_set(uv, &shard->alarm, (uint64_t)timeout_ms);
    else
        imi_alarm_cancel(uv, &shard->alarm);
    if (timeout_ms == 0)
        call_soon(shard);
    return 0;
}

/* An attempt before this one failed without an answer. Was it carried out for certain not? */
static bool may_repeat(const imagine_http_exchange_t *exchange) {
    long sent_size = 0;
    if (was_refused(exchange))
        return true;
    curl_easy_getinfo(exchange->easy, CURLINFO_REQUEST_SIZE, &sent_size);
    if (sent_size == 0)
        return true;
    return !exchange->is_body_copied && exchange->handed_size < exchange->body_size;
}

static int on_debug(CURL *easy, curl_infotype type, char *text, size_t size, void *user) {
    imagine_http_exchange_t *exchange = user;
    int64_t number = 0;
    goaway_t *goaway = NULL;
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
        goaway = &exchange->shard->goaways[exchange->shard->goaway_count++ % GOAWAYS_KEPT];
        *goaway = (goaway_t){exchange->connection, number};
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

static size_t on_send(char *out, size_t unit_size, size_t unit_count, void *user) {
    imagine_http_exchange_t *exchange = user;
    size_t capacity = unit_size * unit_count;
    size_t size = 0;
    if (is_over(exchange))
        return CURL_READFUNC_ABORT;
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
    touch(exchange);
    if (exchange->handed_size == exchange->body_size && exchange->limits.phase == IMI_SENDING)
        enter(exchange, IMI_WAITING);
    return size;
}

/* Back to the beginning before a repeated attempt: on_request_begins does it, or refuses. */
static int on_rewind(void *user, curl_off_t offset, int origin) {
    (void)user;
    return offset == 0 && origin == SEEK_SET ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_CANTSEEK;
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
    imi_mem_free(NULL, headers);
    imi_head_reset(&exchange->head);
    curl_easy_getinfo(exchange->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &size);
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
    touch(exchange);
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
    touch(exchange);
    exchange->received_size += size;
    if (exchange->response_size_max != 0 && exchange->received_size > exchange->response_size_max) {
        set_failure(exchange, IMAGINE_ETOOLARGE, "answer larger than allowed");
        return 0;
    }
    if (exchange->handler->on_body != NULL)
        exchange->handler->on_body(data, size, exchange->user);
    return is_over(exchange) ? 0 : size;
}

/* ---- shards ------------------------------------------------------------------------------- */

/* After curl has returned: what was cancelled inside goes, what is done is told. */
static void settle(shard_t *shard) {
    CURLMsg *message = NULL;
    int left_count = 0;
    while (!imi_list_is_empty(&shard->dropped))
        discard(IMI_CONTAINER(shard->dropped.next, imagine_http_exchange_t, node));
    while (shard->multi != NULL &&
           (message = curl_multi_info_read(shard->multi, &left_count)) != NULL) {
        CURLcode code = message->data.result; /* the message goes when the handle is removed */
        void *exchange = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &exchange);
        finish(exchange, code);
    }
}

static void run(shard_t *shard, curl_socket_t fd, int events) {
    int running_count = 0;
    shard->is_running = true;
    curl_multi_socket_action(shard->multi, fd, events, &running_count);
    shard->is_running = false;
    settle(shard);
}

static void on_event(void *owner, int fd, int events) {
    int flags = 0;
    if ((events & IMI_WATCH_READABLE) != 0)
        flags |= CURL_CSELECT_IN;
    if ((events & IMI_WATCH_WRITABLE) != 0)
        flags |= CURL_CSELECT_OUT;
    if ((events & IMI_WATCH_BROKEN) != 0)
        flags |= CURL_CSELECT_ERR;
    run(owner, fd, flags);
}

static void close_shard(shard_t *shard) {
    shard->goaway_count = 0; /* numbers of connections begin anew */
    curl_multi_cleanup(shard->multi);
    shard->multi = NULL;
}

static void on_shard_due(imi_alarm_t *alarm) {
    shard_t *shard = IMI_CONTAINER(alarm, shard_t, alarm);
    if (shard->exchange_count == 0)
        close_shard(shard);
    else
        run(shard, CURL_SOCKET_TIMEOUT, 0);
}

static bool open_shard(shard_t *shard) {
    CURLM *multi = shard->multi;
    if (multi != NULL)
        return true;
    multi = curl_multi_init();
    if (multi == NULL)
        return false;
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_watch_socket);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, shard);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, shard);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_KEPT_MAX);
    shard->multi = multi;
    return true;
}

/* The first that is not full. */
static shard_t *choose_shard(imi_http_t *http, const imagine_http_exchange_t *exchange) {
    if (exchange->guard != NULL)
        return &http->guarded;
    while (http->first_open < SHARD_COUNT &&
           http->shards[http->first_open].exchange_count >= SHARD_FULL)
        http->first_open++;
    if (http->first_open < SHARD_COUNT)
        return &http->shards[http->first_open];
    return &http->shards[http->next_full++ % SHARD_COUNT];
}

static void begin(imagine_http_exchange_t *exchange) {
    shard_t *shard = choose_shard(exchange->http, exchange);
    if (!open_shard(shard)) {
        end(exchange, IMAGINE_ENOMEM, "out of memory");
        return;
    }
    if (shard->exchange_count++ == 0)
        imi_alarm_cancel(shard->http->uv, &shard->alarm);
    call_soon(shard);
    exchange->shard = shard;
    if (curl_multi_add_handle(shard->multi, exchange->easy) != CURLM_OK)
        end(exchange, IMAGINE_ENOMEM, "out of memory");
}

static void resume(imagine_http_exchange_t *exchange) {
    shard_t *shard = exchange->shard;
    exchange->is_held = false;
    shard->is_running = true; /* on_body is called inside */
    curl_easy_pause(exchange->easy, CURLPAUSE_CONT);
    shard->is_running = false;
    if (exchange->failure != 0 && !exchange->is_cancelled)
        finish(exchange, CURLE_WRITE_ERROR); /* curl itself notices with the next bytes only */
    settle(shard);
}

/* Takes what is in a list now: what is added meanwhile waits for the next turn. */
static void take_all(imi_list_t *list, imi_list_t *out) {
    imi_list_init(out);
    if (imi_list_is_empty(list))
        return;
    imi_list_append(list, out); /* join the ring, then take the old end out of it */
    imi_list_remove(list);
}

void imi_http_work(imi_http_t *http) {
    imi_list_t batch;
    take_all(&http->resuming, &batch);
    while (!imi_list_is_empty(&batch)) {
        imagine_http_exchange_t *exchange =
            IMI_CONTAINER(batch.next, imagine_http_exchange_t, node);
        imi_list_remove(&exchange->node);
        resume(exchange);
    }
    take_all(&http->starting, &batch);
    while (!imi_list_is_empty(&batch)) {
        imagine_http_exchange_t *exchange =
            IMI_CONTAINER(batch.next, imagine_http_exchange_t, node);
        imi_list_remove(&exchange->node);
        begin(exchange);
    }
    take_all(&http->due, &batch);
    while (!imi_list_is_empty(&batch)) {
        shard_t *shard = IMI_CONTAINER(batch.next, shard_t, due_node);
        imi_list_remove(&shard->due_node);
        run(shard, CURL_SOCKET_TIMEOUT, 0);
    }
}

/* ---- easy handles ------------------------------------------------------------------------- */

/* Everything that is the same for all exchanges. 0 or an error of curl's. */
static int set_constants(const imi_http_t *http, CURL *easy) {
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
    err |= (int)curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long)CONNECTION_IDLE_MAX_S);
    if (http->trust != NULL) {
        err |= (int)curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
        err |= (int)curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_ssl_context);
        err |= (int)curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, http);
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
    err |= (int)curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    err |= (int)curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
    err |= (int)curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, http);
    err |= (int)curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_request_begins);
    err |= (int)curl_easy_setopt(easy, CURLOPT_DEBUGFUNCTION, on_debug);
    err |= (int)curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_send);
    err |= (int)curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_rewind);
    err |= (int)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_head_line);
    err |= (int)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body_piece);
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

/* Guarded handles have options of their own. And curl counts repeated attempts over the life of a
 * handle, and gives up after five. */
static void give_easy(imi_http_t *http, CURL *easy, const imagine_http_exchange_t *exchange) {
    if (exchange->guard == NULL && exchange->attempt_count <= 1 &&
        http->easy_kept_count < EASY_KEPT_MAX)
        http->easy_kept[http->easy_kept_count++] = easy;
    else
        curl_easy_cleanup(easy);
}

static void discard(imagine_http_exchange_t *exchange) {
    imi_http_t *http = exchange->http;
    shard_t *shard = exchange->shard;
    imi_uv_t *uv = http->uv;
    imi_list_remove(&exchange->node);
    imi_alarm_reset(uv, &exchange->alarm);
    if (shard != NULL) {
        curl_multi_remove_handle(shard->multi, exchange->easy);
        if (shard->index < http->first_open)
            http->first_open = shard->index;
        if (--shard->exchange_count == 0) {
            imi_list_remove(&shard->due_node);
            imi_alarm_set(uv, &shard->alarm, CONNECTION_IDLE_MAX_S * 1000);
        }
    }
    give_easy(http, exchange->easy, exchange);
    imi_head_reset(&exchange->head);
    imi_mem_free(NULL, exchange);
    imi_uv_release(uv);
}

/* ---- starting ----------------------------------------------------------------------------- */

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
        request->header_count > HEADERS_SENT_MAX || (request->body == NULL && request->body_count))
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

static imagine_http_exchange_t *allocate(const imagine_http_request_t *request, uint64_t body_size,
                                         size_t host_size, writer_t *out) {
    size_t node_count = request->header_count + EXTRA_HEADERS;
    size_t size = node_count * sizeof(struct curl_slist) + EXTRA_TEXT_SIZE + host_size + 1 +
                  (body_size <= BODY_COPIED_MAX ? (size_t)body_size : 0) + 1;
    imagine_http_exchange_t *exchange = NULL;
    for (size_t i = 0; i < request->header_count; i++)
        size += strlen(request->headers[i].name) + strlen(request->headers[i].value) + 3;
    exchange = imi_mem_alloc(NULL, sizeof(*exchange) + size);
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
    err |= (int)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                                 (long)exchange->limits.connect_timeout_ms);
    err |= (int)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, put_headers(writer, request, has_body));
    if (has_body)
        err |= set_body(exchange, request, writer);
    else
        err |= (int)curl_easy_setopt(
            easy, exchange->is_head_request ? CURLOPT_NOBODY : CURLOPT_HTTPGET, 1L);
    err |= (int)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST,
                                 strcmp(method, natural) == 0 ? NULL : method);
    err |= (int)curl_easy_setopt(easy, CURLOPT_PRIVATE, exchange);
    err |= (int)curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, exchange);
    err |= (int)curl_easy_setopt(easy, CURLOPT_PREREQDATA, exchange);
    err |= (int)curl_easy_setopt(easy, CURLOPT_VERBOSE, is_https ? 1L : 0L);
    err |= (int)curl_easy_setopt(easy, CURLOPT_DEBUGDATA, exchange);
    err |= (int)curl_easy_setopt(easy, CURLOPT_READDATA, exchange);
    err |= (int)curl_easy_setopt(easy, CURLOPT_SEEKDATA, exchange);
    err |= (int)curl_easy_setopt(easy, CURLOPT_HEADERDATA, exchange);
    err |= (int)curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange);
    return err == 0 ? 0 : IMAGINE_ENOMEM;
}

static void fill(imagine_http_exchange_t *exchange, const imagine_http_request_t *request,
                 uint64_t body_size) {
    imi_list_init(&exchange->node);
    imi_head_init(&exchange->head);
    exchange->connection = -1;
    exchange->body = request->body;
    exchange->body_count = request->body_count;
    exchange->body_size = body_size;
    exchange->is_body_copied = body_size <= BODY_COPIED_MAX;
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

int imi_http_start(void *context, const imagine_http_request_t *given,
                   const imagine_http_handler_t *handler, void *user,
                   imagine_http_exchange_t **out) {
    imi_uv_t *uv = context;
    imi_http_t *http = uv->http;
    imagine_http_request_t request;
    imagine_http_exchange_t *exchange = NULL;
    writer_t writer;
    imi_url_t url;
    uint64_t body_size = 0;
    *out = NULL;
    if (!imi_uv_take_struct(&request, sizeof(request), given) || !is_valid_request(&request) ||
        !imi_url_parse(imi_slice_of(request.url), &url))
        return IMAGINE_EINVAL;
    body_size = size_of_body(&request);
    exchange = allocate(&request, body_size, url.host.size, &writer);
    if (exchange == NULL)
        return IMAGINE_ENOMEM;
    fill(exchange, &request, body_size);
    exchange->http = http;
    exchange->handler = handler;
    exchange->user = user;
    exchange->easy = take_easy(http, request.guard != NULL);
    if (exchange->easy == NULL || imi_alarm_init(uv, &exchange->alarm, on_limit) != 0) {
        if (exchange->easy != NULL)
            give_easy(http, exchange->easy, exchange);
        imi_mem_free(NULL, exchange);
        return IMAGINE_ENOMEM;
    }
    imi_uv_hold(uv);
    exchange->host = put_text(&writer, url.host.data, url.host.size);
    if (set_options(exchange, &request, url.is_https, &writer) != 0) {
        discard(exchange);
        return IMAGINE_ENOMEM;
    }
    imi_list_append(&http->starting, &exchange->node);
    watch_limits(exchange);
    imi_uv_wake(uv);
    *out = exchange;
    return 0;
}

void imi_http_cancel(void *context, imagine_http_exchange_t *exchange) {
    shard_t *shard = exchange->shard;
    (void)context;
    assert(!exchange->is_cancelled);
    if (shard == NULL || !shard->is_running) {
        discard(exchange);
        return;
    }
    exchange->is_cancelled = true;
    imi_list_remove(&exchange->node);
    imi_list_append(&shard->dropped, &exchange->node);
    imi_alarm_cancel(exchange->http->uv, &exchange->alarm);
}

void imi_http_pause(void *context, imagine_http_exchange_t *exchange, int32_t is_paused) {
    imi_uv_t *uv = context;
    if (exchange->limits.is_paused == (is_paused != 0))
        return;
    exchange->limits.is_paused = is_paused != 0;
    if (exchange->shard == NULL)
        return;
    touch(exchange);
    watch_limits(exchange);
    if (!exchange->is_held)
        return;
    imi_list_remove(&exchange->node);
    if (!exchange->limits.is_paused) {
        imi_list_append(&uv->http->resuming, &exchange->node);
        imi_uv_wake(uv);
    }
}

/* ---- opening and closing ------------------------------------------------------------------ */

static uv_once_t curl_once = UV_ONCE_INIT;
static CURLcode curl_state;

/* Never undone: other users of curl in the process may not know of us. */
static void init_curl(void) {
    curl_state = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static int open_shards(imi_http_t *http) {
    for (size_t i = 0; i <= SHARD_COUNT; i++) {
        shard_t *shard = i == SHARD_COUNT ? &http->guarded : &http->shards[i];
        shard->http = http;
        shard->index = i;
        imi_list_init(&shard->due_node);
        imi_list_init(&shard->dropped);
        if (imi_alarm_init(http->uv, &shard->alarm, on_shard_due) != 0)
            return IMAGINE_ENOMEM;
    }
    return 0;
}

/* Whom we trust, and the name that we go by. */
static int take_texts(imi_http_t *http, const imagine_io_uv_options_t *options) {
    const curl_version_info_data *curl = curl_version_info(CURLVERSION_NOW);
    const char *ca_file = options->ca_file;
    const char *user_agent = options->user_agent;
    if (ca_file != NULL && access(ca_file, R_OK) != 0)
        return IMAGINE_EINVAL;
    if (ca_file == NULL)
        ca_file = curl->cainfo; /* the system's */
    if (user_agent == NULL)
        user_agent = "libimagine/" IMAGINE_VERSION;
    http->is_tls_unverified = options->verify_tls < 0;
    http->user_agent = imi_mem_strdup(NULL, user_agent);
    if (ca_file != NULL) {
        http->ca_file = imi_mem_strdup(NULL, ca_file);
        if (http->ca_file == NULL)
            return IMAGINE_ENOMEM;
        if (imi_trust_fits(curl->ssl_version)) {
            http->trust = imi_trust_new(ca_file);
            if (http->trust == NULL)
                return IMAGINE_ENOMEM;
        }
    }
    return http->user_agent == NULL ? IMAGINE_ENOMEM : 0;
}

int imi_http_new(imi_http_t **out, imi_uv_t *uv, const imagine_io_uv_options_t *options) {
    imi_http_t *http = NULL;
    int err = 0;
    *out = NULL;
    uv_once(&curl_once, init_curl);
    if (curl_state != CURLE_OK)
        return IMAGINE_EIO;
    http = imi_mem_zalloc(NULL, sizeof(*http));
    if (http == NULL)
        return IMAGINE_ENOMEM;
    http->uv = uv;
    imi_watches_init(&http->watches, uv, on_event);
    imi_list_init(&http->due);
    imi_list_init(&http->starting);
    imi_list_init(&http->resuming);
    err = open_shards(http);
    if (err == 0)
        err = take_texts(http, options);
    http->share = curl_share_init();
    if (err == 0 && http->share == NULL)
        err = IMAGINE_ENOMEM;
    if (err != 0) {
        imi_http_free(http);
        return err;
    }
    curl_share_setopt(http->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
    curl_share_setopt(http->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    *out = http;
    return 0;
}

void imi_http_free(imi_http_t *http) {
    if (http == NULL)
        return;
    for (size_t i = 0; i <= SHARD_COUNT; i++) {
        shard_t *shard = i == SHARD_COUNT ? &http->guarded : &http->shards[i];
        assert(shard->exchange_count == 0);
        imi_alarm_cancel(http->uv, &shard->alarm);
        if (shard->multi != NULL)
            close_shard(shard);
    }
    while (http->easy_kept_count > 0)
        curl_easy_cleanup(http->easy_kept[--http->easy_kept_count]);
    curl_share_cleanup(http->share);
    imi_watches_reset(&http->watches);
    imi_trust_free(http->trust);
    imi_mem_free(NULL, http->ca_file);
    imi_mem_free(NULL, http->user_agent);
    imi_mem_free(NULL, http);
}
