/* http1.c: HTTP/1.1 (RFC 9112) over a byte stream of the host's: one connection.
 *
 * What comes in and what goes out are two state machines, for an answer may begin before the
 * request's body is whole:
 *   input   HEAD -> (FIXED | CHUNKED) -> WHOLE
 *   output  NONE -> (SENDING | STREAMING) -> SENT
 * STREAMING: the pieces of an answer whose length is not known go out as chunks as they come; what
 * comes while others are leaving waits, and when too much of it does, the gateway is told to pause.
 * WHOLE and SENT together end a request, and the next head may begin. DROPPING: the connection ends
 * behind this answer, and what still comes is read for a while, since closing with unread bytes
 * would make the other end's system throw the answer away.
 *
 * advance() does whatever is possible now; everything that happens ends in it. With TLS_CERT set,
 * a session of TLS stands between the stream and all that. */
#include "imagine/gateway.h"

#include <string.h>

#include "gateway/answer.h"
#include "gateway/exchange.h"
#include "gateway/gateway.h"
#include "gateway/head.h"
#include "gateway/http1_chunks.h"
#include "gateway/http1_head.h"
#include "gateway/route.h"
#include "wire/buf.h"
#include "wire/time.h"
#include "wire/tls.h"

enum {
    HEAD_SIZE_MAX = IMI_HEAD_SIZE_MAX + IMI_TARGET_SIZE_MAX + 64, /* request line and headers */
    AHEAD_SIZE_MAX = 256 * 1024, /* what the host hands over at once, behind a request */
    PLAIN_SIZE = 16 * 1024,      /* a record of TLS */
    PIECES_MAX = IMAGINE_HTTP1_PIECES_MAX - 1, /* of an answer's body */
    ANSWER_HEAD_SIZE = 768,                    /* as a rule; it may be more */
    HEAD_TIME_MS = 30000,           /* for a head, from its first byte (or the connection) on */
    IDLE_TIME_MS = 75000,           /* between two requests */
    DROP_TIME_MS = 5000,            /* of DROPPING */
    SEND_RATE_MIN = 16,             /* bytes a millisecond, else the answer is given up */
    STREAM_WAITING_MAX = 64 * 1024, /* of a stream, behind what is leaving */
    PEER_SIZE = 64,
};

enum input { HEAD, FIXED, CHUNKED, WHOLE, DROPPING };
enum output { NONE, SENDING, STREAMING, SENT };

/* Bytes of TLS that have not left yet. */
typedef struct sealed {
    struct sealed *next;
    char data[];
} sealed_t;

struct imagine_http1 {
    imagine_gateway_t *gateway;
    const imagine_http1_stream_t *stream;
    void *user;
    imi_tls_t *tls;   /* NULL: plain */
    sealed_t *sealed; /* the first one to leave */
    enum input input;
    enum output output;
    bool is_fresh; /* no request was answered yet */
    bool is_http10;
    bool keeps_alive;
    bool is_answered; /* by the gateway */
    bool is_advancing;
    bool is_paused;
    bool is_closed; /* the stream was told so */
    uint32_t sends_open;
    uint64_t body_left; /* FIXED */
    imi_http1_chunks_t chunks;
    imi_slice_t data; /* what came and was not read yet, while advance() runs */
    imi_buf_t head;   /* a request's head as far as it came, then the answer's */
    imi_buf_t ahead;  /* what came behind the request that is in flight */
    imagine_exchange_t *exchange;
    const imagine_gateway_answer_t *answer;
    imagine_slice_t pieces[PIECES_MAX + 1]; /* the answer: its head, its body */
    size_t piece_count;                     /* of its body */
    imi_buf_t leaving, waiting;             /* of a stream */
    uint64_t stream_left;                   /* of one whose size was told */
    bool has_paused;                        /* the gateway, since too much waits */
    imagine_timer_t *timer;
    uint64_t timer_at_ms;    /* may be earlier than the deadline */
    uint64_t deadline_at_ms; /* UINT64_MAX: none */
    char peer[PEER_SIZE];
};

static void advance(imagine_http1_t *http1);
static void read_head(imagine_http1_t *http1);
static void read_fixed(imagine_http1_t *http1);
static void read_chunked(imagine_http1_t *http1);
static void refuse(imagine_http1_t *http1, const imi_refusal_t *refusal);
static void send_answer(imagine_http1_t *http1);
static void go_on_streaming(imagine_http1_t *http1);
static void finish_answer(imagine_http1_t *http1);

static const imi_refusal_t broken_chunk = {400, IMAGINE_EINVAL, "Bad Request",
                                           "the body's chunks are not well-formed"};
static const imi_refusal_t no_length = {411, IMAGINE_EINVAL, "Length Required",
                                        "a POST needs a Content-Length or a chunked body"};
static const imi_refusal_t long_target = {414, IMAGINE_ETOOLARGE, "URI Too Long",
                                          "the request's target is longer than 8 KiB"};
static const imi_refusal_t late_head = {408, IMAGINE_ETIMEDOUT, "Request Timeout",
                                        "the header did not arrive within 30 seconds"};

/* ---- time --------------------------------------------------------------------------------------
 */

static void on_timer(void *user);

static void start_timer(imagine_http1_t *http1, uint64_t delay_ms) {
    const imagine_io_t *io = http1->gateway->io;
    http1->timer_at_ms = io->now_ms(io->context) + delay_ms;
    if (io->timer_start(io->context, delay_ms, on_timer, http1, &http1->timer) != 0)
        http1->timer = NULL; /* the next deadline tries again */
}

/* The timer is left running: one start in a minute instead of some per request. */
static void set_deadline(imagine_http1_t *http1, uint64_t delay_ms) {
    const imagine_io_t *io = http1->gateway->io;
    http1->deadline_at_ms = io->now_ms(io->context) + delay_ms;
    if (http1->timer != NULL && http1->timer_at_ms > http1->deadline_at_ms) {
        io->timer_cancel(io->context, http1->timer);
        http1->timer = NULL;
    }
    if (http1->timer == NULL)
        start_timer(http1, delay_ms);
}

/* The gateway, or the library behind it, has a time limit for what comes now. */
static void clear_deadline(imagine_http1_t *http1) {
    http1->deadline_at_ms = UINT64_MAX;
}

/* ---- the stream --------------------------------------------------------------------------------
 */

static void close_stream(imagine_http1_t *http1) {
    if (http1->is_closed)
        return;
    http1->is_closed = true;
    clear_deadline(http1);
    http1->stream->close(http1->user);
}

static void pause_stream(imagine_http1_t *http1, bool is_paused) {
    if (http1->is_paused == is_paused || http1->is_closed)
        return;
    http1->is_paused = is_paused;
    http1->stream->pause(is_paused ? 1 : 0, http1->user);
}

static void drop_sealed(imagine_http1_t *http1) {
    sealed_t *first = http1->sealed;
    if (first != NULL)
        http1->sealed = first->next;
    imi_mem_free(http1->gateway->mem, first);
}

/* Hands on what TLS wants to say. */
static void send_sealed(imagine_http1_t *http1) {
    imi_slice_t output = imi_tls_output(http1->tls);
    sealed_t *sealed, **last = &http1->sealed;
    if (output.size == 0 || http1->is_closed)
        return;
    sealed = imi_mem_alloc(http1->gateway->mem, sizeof(*sealed) + output.size);
    if (sealed == NULL) {
        close_stream(http1);
        return;
    }
    sealed->next = NULL;
    memcpy(sealed->data, output.data, output.size);
    imi_tls_output_taken(http1->tls);
    if (http1->stream->send(&(imagine_slice_t){sealed->data, output.size}, 1, http1->user) != 0) {
        imi_mem_free(http1->gateway->mem, sealed);
        return;
    }
    while (*last != NULL)
        last = &(*last)->next;
    *last = sealed;
    http1->sends_open++;
}

static void send_pieces(imagine_http1_t *http1, const imagine_slice_t *pieces, size_t count) {
    if (http1->tls == NULL) {
        http1->sends_open += http1->stream->send(pieces, count, http1->user) == 0;
        return;
    }
    for (size_t i = 0; i < count; i++)
        if (!imi_tls_write(http1->tls, pieces[i].data, pieces[i].size)) {
            close_stream(http1);
            return;
        }
    send_sealed(http1);
}

/* ---- the connection ----------------------------------------------------------------------------
 */

int imagine_http1_open(imagine_http1_t **out, imagine_gateway_t *gateway, const char *peer,
                       const imagine_http1_stream_t *stream, void *user) {
    imagine_http1_t *http1;
    *out = NULL;
    if (stream->size < sizeof(*stream) || strlen(peer) >= PEER_SIZE)
        return IMAGINE_EINVAL;
    http1 = imi_mem_zalloc(gateway->mem, sizeof(*http1));
    if (http1 == NULL)
        return IMAGINE_ENOMEM;
    http1->gateway = gateway;
    http1->stream = stream;
    http1->user = user;
    http1->is_fresh = true;
    memcpy(http1->peer, peer, strlen(peer) + 1);
    imi_buf_init(&http1->head, gateway->mem, 0);
    imi_buf_init(&http1->ahead, gateway->mem, AHEAD_SIZE_MAX);
    imi_buf_init(&http1->leaving, gateway->mem, 0);
    imi_buf_init(&http1->waiting, gateway->mem, 0);
    if (gateway->tls != NULL && (http1->tls = imi_tls_new(gateway->tls)) == NULL) {
        imi_mem_free(gateway->mem, http1);
        return IMAGINE_ENOMEM;
    }
    set_deadline(http1, HEAD_TIME_MS);
    *out = http1;
    return 0;
}

static void end_exchange(imagine_http1_t *http1) {
    imagine_exchange_t *exchange = http1->exchange;
    http1->exchange = NULL;
    if (exchange != NULL && !http1->is_answered)
        imagine_gateway_abort(exchange);
    imagine_gateway_release(exchange);
}

void imagine_http1_close(imagine_http1_t *http1) {
    const imagine_io_t *io;
    if (http1 == NULL)
        return;
    io = http1->gateway->io;
    http1->is_closed = true;
    if (http1->timer != NULL)
        io->timer_cancel(io->context, http1->timer);
    end_exchange(http1);
    while (http1->sealed != NULL)
        drop_sealed(http1);
    imi_tls_free(http1->tls);
    imi_buf_reset(&http1->head);
    imi_buf_reset(&http1->ahead);
    imi_buf_reset(&http1->leaving);
    imi_buf_reset(&http1->waiting);
    imi_mem_free(http1->gateway->mem, http1);
}

static bool is_over(const imagine_http1_t *http1) {
    return http1->is_closed || http1->input == DROPPING;
}

/* What cannot be read now waits for its turn, and the stream with it. */
static void keep_ahead(imagine_http1_t *http1) {
    if (http1->data.size > 0 && !is_over(http1)) {
        if (imi_buf_append(&http1->ahead, http1->data.data, http1->data.size) != 0)
            close_stream(http1);
        pause_stream(http1, true);
    }
    http1->data.size = 0;
}

static void receive_plain(imagine_http1_t *http1, const void *data, size_t size) {
    if (is_over(http1))
        return;
    http1->data = (imi_slice_t){data, size};
    if (http1->ahead.size == 0)
        advance(http1);
    keep_ahead(http1);
}

void imagine_http1_receive(imagine_http1_t *http1, const void *data, size_t data_size) {
    char plain[PLAIN_SIZE];
    int size = 0;
    if (http1->tls == NULL) {
        receive_plain(http1, data, data_size);
        return;
    }
    if (http1->is_closed)
        return;
    if (!imi_tls_feed(http1->tls, data, data_size)) {
        close_stream(http1);
        return;
    }
    while ((size = imi_tls_read(http1->tls, plain, sizeof(plain))) > 0)
        receive_plain(http1, plain, (size_t)size);
    send_sealed(http1); /* the handshake's, or the alert that says what is wrong */
    if (size < 0)
        close_stream(http1);
}

void imagine_http1_sent(imagine_http1_t *http1) {
    http1->sends_open--;
    drop_sealed(http1);
    if (http1->output == STREAMING && http1->sends_open == 0)
        go_on_streaming(http1);
    advance(http1);
}

static void begin_next(imagine_http1_t *http1) {
    http1->input = HEAD;
    http1->output = NONE;
    http1->is_answered = false;
    http1->is_fresh = false;
    http1->answer = NULL;
    http1->piece_count = 0;
    set_deadline(http1, IDLE_TIME_MS);
}

/* The answer was sent, and it was the last one. */
static void end_connection(imagine_http1_t *http1) {
    if (http1->tls != NULL) {
        imi_tls_end(http1->tls);
        send_sealed(http1);
    }
    if (http1->input == WHOLE && http1->data.size == 0 && http1->sends_open == 0) {
        close_stream(http1);
        return;
    }
    http1->input = DROPPING;
    if (http1->stream->shut != NULL)
        http1->stream->shut(http1->user);
    pause_stream(http1, false);
    set_deadline(http1, DROP_TIME_MS);
}

/* One step, or false when there is nothing to do but to wait. */
static bool step(imagine_http1_t *http1) {
    if (is_over(http1))
        return false;
    if (http1->is_answered && http1->output == NONE)
        send_answer(http1);
    else if (http1->output == SENDING && http1->sends_open == 0)
        finish_answer(http1);
    else if (http1->output == STREAMING && http1->is_answered && http1->sends_open == 0 &&
             http1->waiting.size == 0)
        finish_answer(http1);
    else if (http1->output == SENT && !http1->keeps_alive)
        end_connection(http1);
    else if (http1->output == SENT && http1->input == WHOLE)
        begin_next(http1);
    else if (http1->data.size == 0 || http1->input == WHOLE)
        return false;
    else if (http1->input == HEAD)
        read_head(http1);
    else if (http1->input == FIXED)
        read_fixed(http1);
    else
        read_chunked(http1);
    return true;
}

static void advance(imagine_http1_t *http1) {
    char *kept = NULL;
    if (http1->is_advancing)
        return;
    http1->is_advancing = true;
    while (step(http1))
        continue;
    if (http1->input == HEAD && http1->data.size == 0 && http1->ahead.size > 0) {
        kept = imi_buf_take(&http1->ahead, &http1->data.size);
        http1->data.data = kept;
        if (kept == NULL)
            close_stream(http1);
        while (step(http1))
            continue;
        keep_ahead(http1);
        imi_mem_free(http1->gateway->mem, kept);
        if (http1->ahead.size == 0)
            pause_stream(http1, false);
    }
    http1->is_advancing = false;
}

static void on_timer(void *user) {
    imagine_http1_t *http1 = user;
    const imagine_io_t *io = http1->gateway->io;
    uint64_t now_ms = io->now_ms(io->context);
    http1->timer = NULL;
    if (http1->deadline_at_ms == UINT64_MAX)
        return;
    if (now_ms < http1->deadline_at_ms) {
        start_timer(http1, http1->deadline_at_ms - now_ms);
        return;
    }
    clear_deadline(http1);
    if (http1->input == HEAD && (http1->is_fresh || http1->head.size > 0))
        refuse(http1, &late_head);
    else
        close_stream(http1);
}

/* ---- the gateway's side ------------------------------------------------------------------------
 */

static void begin_stream(imagine_http1_t *http1);
static void put_chunk(imagine_http1_t *http1, const void *data, size_t size);
static void end_chunks(imagine_http1_t *http1);

static void on_head(const imagine_gateway_answer_t *answer, void *user) {
    imagine_http1_t *http1 = user;
    http1->answer = answer;
    if (answer->is_stream != 0)
        begin_stream(http1);
}

static void on_body(const void *data, size_t data_size, void *user) {
    imagine_http1_t *http1 = user;
    if (http1->output == STREAMING)
        put_chunk(http1, data, data_size);
    else if (++http1->piece_count <= PIECES_MAX)
        http1->pieces[http1->piece_count] = (imagine_slice_t){data, data_size};
}

static void on_end(void *user) {
    imagine_http1_t *http1 = user;
    http1->is_answered = true;
    if (http1->output == STREAMING)
        end_chunks(http1);
    advance(http1);
}

static const imagine_gateway_responder_t responder = {
    .size = sizeof(responder), .on_head = on_head, .on_body = on_body, .on_end = on_end};

/* There is no exchange yet, or it cannot be carried on. */
static void refuse(imagine_http1_t *http1, const imi_refusal_t *refusal) {
    http1->keeps_alive = false;
    if (http1->is_answered) { /* so this is about bytes behind the answer */
        close_stream(http1);
        return;
    }
    end_exchange(http1);
    if (imi_exchange_refuse(http1->gateway, refusal, &responder, http1, &http1->exchange) != 0)
        close_stream(http1); /* no memory, not even to say so */
}

/* ---- a request ---------------------------------------------------------------------------------
 */

static void skip(imagine_http1_t *http1, size_t size) {
    http1->data.data += size;
    http1->data.size -= size;
}

/* Copies the head, and not what is behind it. True when it is whole. */
static bool collect_head(imagine_http1_t *http1) {
    imi_buf_t *head = &http1->head;
    size_t old_size = head->size;
    size_t room = HEAD_SIZE_MAX - old_size;
    size_t size = http1->data.size < room ? http1->data.size : room;
    size_t from = old_size > 3 ? old_size - 3 : 0;
    const char *end = old_size == 0 ? memmem(http1->data.data, size, "\r\n\r\n", 4) : NULL;
    if (end != NULL)
        size = (size_t)(end - http1->data.data) + 4;
    if (imi_buf_append(head, http1->data.data, size) != 0) {
        close_stream(http1);
        return false;
    }
    if (end == NULL) {
        end = memmem(head->data + from, head->size - from, "\r\n\r\n", 4);
        if (end != NULL)
            size = (size_t)(end - head->data) + 4 - old_size;
    }
    skip(http1, size);
    head->size = old_size + size;
    return end != NULL;
}

static void body_is_whole(imagine_http1_t *http1) {
    http1->input = WHOLE;
    if (!http1->is_answered)
        imagine_gateway_finish(http1->exchange);
}

static void begin_request(imagine_http1_t *http1, imi_http1_head_t *head) {
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    static const imagine_slice_t go_on = {text, sizeof(text) - 1};
    http1->is_http10 = head->is_http10;
    http1->keeps_alive = head->keeps_alive;
    http1->body_left = head->length;
    http1->chunks = (imi_http1_chunks_t){.part = IMI_CHUNK_SIZE};
    http1->input = head->is_chunked ? CHUNKED : FIXED;
    head->request.peer = http1->peer;
    if (imagine_gateway_begin(http1->gateway, &head->request, &responder, http1,
                              &http1->exchange) != 0)
        close_stream(http1); /* no memory, not even to say so */
    else if (!head->is_chunked && head->length == 0)
        body_is_whole(http1);
    else if (head->expects_continue && !http1->is_answered)
        send_pieces(http1, &go_on, 1);
}

/* RFC 9110, section 15.5.12. Only where a POST is taken: elsewhere it is no matter of its body. */
static bool lacks_length(const imi_http1_head_t *head) {
    imi_slice_t path, query;
    return !head->has_length && !head->is_chunked && strcmp(head->request.method, "POST") == 0 &&
           imi_gateway_target_read(imi_slice_of(head->request.target), &path, &query) == NULL &&
           imi_route_takes(imi_route_find(path, IMI_POST), IMI_POST);
}

static void read_head(imagine_http1_t *http1) {
    size_t known_size = http1->head.size;
    bool is_first = known_size == 0;
    while (is_first && http1->data.size > 0 &&
           (*http1->data.data == '\r' || *http1->data.data == '\n'))
        skip(http1, 1); /* RFC 9112, section 2.2: empty lines before a request are ignored */
    if (http1->data.size == 0)
        return;
    if (collect_head(http1)) {
        imi_http1_head_t head;
        const imi_refusal_t *refusal =
            imi_http1_head_parse(&head, http1->head.data, http1->head.size);
        clear_deadline(http1);
        if (refusal == NULL && lacks_length(&head))
            refusal = &no_length;
        if (refusal != NULL)
            refuse(http1, refusal);
        else
            begin_request(http1, &head);
        imi_buf_reset(&http1->head);
    } else if (http1->head.size == HEAD_SIZE_MAX) {
        bool has_line = memchr(http1->head.data, '\n', HEAD_SIZE_MAX) != NULL;
        refuse(http1, has_line ? &imi_http1_large_head : &long_target);
    } else if (!imi_http1_head_may_go_on(http1->head.data, http1->head.size, known_size)) {
        refuse(http1, &imi_http1_malformed_head);
    } else if (is_first && !http1->is_fresh) {
        set_deadline(http1, HEAD_TIME_MS);
    }
}

static void read_fixed(imagine_http1_t *http1) {
    const char *data = http1->data.data;
    size_t size = http1->data.size < http1->body_left ? http1->data.size : (size_t)http1->body_left;
    skip(http1, size);
    http1->body_left -= size;
    if (!http1->is_answered)
        imagine_gateway_body(http1->exchange, data, size);
    if (http1->body_left == 0)
        body_is_whole(http1);
}

static void read_chunked(imagine_http1_t *http1) {
    imi_slice_t piece;
    switch (imi_http1_chunks_read(&http1->chunks, &http1->data, &piece)) {
    case IMI_CHUNKS_MORE:
        if (piece.data != NULL && !http1->is_answered)
            imagine_gateway_body(http1->exchange, piece.data, piece.size);
        break;
    case IMI_CHUNKS_WHOLE:
        body_is_whole(http1);
        break;
    case IMI_CHUNKS_BROKEN:
        refuse(http1, &broken_chunk);
        break;
    }
}

/* ---- an answer ---------------------------------------------------------------------------------
 */

static const char *reason_of(int32_t status) {
    static const struct {
        int32_t status;
        const char *reason;
    } reasons[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return ""; /* a phrase is for people, and may be missing */
}

static void put_header(imi_buf_t *out, const char *name, const char *value) {
    imi_buf_append_text(out, name);
    imi_buf_append(out, ": ", 2);
    imi_buf_append_text(out, value);
    imi_buf_append(out, "\r\n", 2);
}

static void write_head(imagine_http1_t *http1) {
    const imagine_gateway_answer_t *answer = http1->answer;
    const imagine_io_t *io = http1->gateway->io;
    imi_buf_t *out = &http1->head;
    char text[IMI_TIME_TEXT_SIZE];
    imi_buf_clear(out);
    imi_buf_reserve(out, ANSWER_HEAD_SIZE);
    imi_buf_append(out, "HTTP/1.1 ", 9);
    imi_buf_append_text(out, imi_decimal(text, (uint64_t)answer->status));
    imi_buf_append_byte(out, ' ');
    imi_buf_append_text(out, reason_of(answer->status));
    imi_buf_append(out, "\r\n", 2);
    for (size_t i = 0; i < answer->header_count; i++)
        put_header(out, answer->headers[i].name, answer->headers[i].value);
    imi_time_format_http(text, io->unix_ms(io->context));
    put_header(out, "Date", text);
    if (answer->content_length < 0 && !http1->is_http10)
        put_header(out, "Transfer-Encoding", "chunked");
    else if (answer->content_length >= 0 && answer->status != 204 &&
             answer->status != 304) /* RFC 9110, section 8.6 */
        put_header(out, "Content-Length", imi_decimal(text, (uint64_t)answer->content_length));
    if (!http1->keeps_alive)
        put_header(out, "Connection", "close");
    else if (http1->is_http10)
        put_header(out, "Connection", "keep-alive");
    imi_buf_append(out, "\r\n", 2);
}

static void send_answer(imagine_http1_t *http1) {
    if (http1->answer->wants_close)
        http1->keeps_alive = false;
    http1->output = SENDING;
    write_head(http1);
    if (http1->head.error != 0 || http1->piece_count > PIECES_MAX) {
        close_stream(http1); /* no answer is better than a cut one */
        return;
    }
    http1->pieces[0] = (imagine_slice_t){http1->head.data, http1->head.size};
    set_deadline(http1, IDLE_TIME_MS + (uint64_t)http1->answer->content_length / SEND_RATE_MIN);
    send_pieces(http1, http1->pieces, http1->piece_count + 1);
}

/* ---- a stream ----------------------------------------------------------------------------------
 */

/* What waits leaves together; one send at a time, since its bytes have to stay where they are. */
static void go_on_streaming(imagine_http1_t *http1) {
    while (http1->sends_open == 0 && http1->waiting.size > 0 && !http1->is_closed) {
        imi_buf_t empty = http1->leaving;
        imagine_slice_t piece = {http1->waiting.data, http1->waiting.size};
        http1->leaving = http1->waiting;
        http1->waiting = empty;
        imi_buf_clear(&http1->waiting);
        set_deadline(http1, IDLE_TIME_MS);
        send_pieces(http1, &piece, 1);
    }
    if (http1->sends_open == 0)
        clear_deadline(http1); /* for what comes now the library has a time limit */
    if (http1->has_paused && http1->waiting.size == 0 && http1->exchange != NULL) {
        http1->has_paused = false;
        imagine_gateway_pause(http1->exchange, 0);
    }
}

static void stream_bytes(imagine_http1_t *http1) {
    if (http1->waiting.error != 0) {
        close_stream(http1);
        return;
    }
    go_on_streaming(http1);
    if (http1->waiting.size > STREAM_WAITING_MAX && !http1->has_paused) {
        http1->has_paused = true;
        imagine_gateway_pause(http1->exchange, 1);
    }
}

static void begin_stream(imagine_http1_t *http1) {
    if (http1->answer->wants_close || http1->is_http10)
        http1->keeps_alive = false;
    http1->output = STREAMING;
    http1->stream_left =
        http1->answer->content_length > 0 ? (uint64_t)http1->answer->content_length : 0;
    write_head(http1);
    if (http1->head.error != 0) {
        close_stream(http1);
        return;
    }
    imi_buf_append(&http1->waiting, http1->head.data, http1->head.size); /* with the first piece */
    imi_buf_reset(&http1->head);
}

static void put_chunk(imagine_http1_t *http1, const void *data, size_t size) {
    static const char digits[] = "0123456789abcdef";
    char length[2 * sizeof(size) + 2], *at = length + sizeof(length);
    imi_buf_t *out = &http1->waiting;
    size_t left = size;
    if (http1->is_http10 || http1->answer->content_length >= 0) {
        http1->stream_left -= http1->answer->content_length >= 0 ? size : 0;
        imi_buf_append(out, data, size);
        stream_bytes(http1);
        return;
    }
    *--at = '\n';
    *--at = '\r';
    for (; left > 0; left >>= 4)
        *--at = digits[left & 15];
    imi_buf_append(out, at, (size_t)(length + sizeof(length) - at));
    imi_buf_append(out, data, size);
    imi_buf_append(out, "\r\n", 2);
    stream_bytes(http1);
}

static void end_chunks(imagine_http1_t *http1) {
    if (http1->stream_left > 0) { /* shorter than told */
        close_stream(http1);
        return;
    }
    if (!http1->is_http10 && http1->answer->content_length < 0)
        imi_buf_append(&http1->waiting, "0\r\n\r\n", 5);
    stream_bytes(http1);
}

/* ---- its end -----------------------------------------------------------------------------------
 */

static void finish_answer(imagine_http1_t *http1) {
    end_exchange(http1);
    imi_buf_reset(&http1->leaving);
    imi_buf_reset(&http1->waiting);
    http1->has_paused = false;
    imi_buf_reset(&http1->head);
    http1->output = SENT;
    set_deadline(http1, IDLE_TIME_MS); /* for what is left of the request */
}
