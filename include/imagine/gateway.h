/**
 * imagine/gateway.h: the HTTP API without sockets. Give it the requests that your own server
 * receives, and it tells what to answer: routes, authorization, limits, CORS, bodies, static
 * files, log lines. Or let the listener at the end of this file receive them.
 *
 * Every answer has an X-Request-Id: 16 random hex digits. Work that a provider took on goes on when
 * its caller leaves, and GET task-status finds it by that id for 24 h.
 *
 * Thread: the client's loop thread.
 */
#ifndef IMAGINE_GATEWAY_H
#define IMAGINE_GATEWAY_H

#include "../imagine.h"
#include "io.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct imagine_gateway imagine_gateway_t;
typedef struct imagine_exchange imagine_exchange_t; /* one request and its answer */

/**
 * Make a gateway for a client, with what `settings` say (API_TOKEN, ADMIN_TOKEN, ALLOWED_ORIGINS,
 * RATE_LIMIT, MAX_BODY_BYTES, WEB_ROOT …; NULL: all defaults). Files under WEB_ROOT are read now,
 * into memory; without WEB_ROOT there is no page, and `/` is a 404.
 * @param im  borrowed; must be closed after the gateway
 * @param out_message  NULL, or receives why it failed in one line, free with imagine_free()
 * @return 0, IMAGINE_EINVAL, IMAGINE_EIO (WEB_ROOT), IMAGINE_ENOMEM
 */
IMAGINE_API int imagine_gateway_open(imagine_gateway_t **out, imagine_t *im,
                                     const imagine_settings_t *settings, char **out_message);
/** All exchanges must have been released. NULL is fine. */
IMAGINE_API void imagine_gateway_close(imagine_gateway_t *gateway);
/**
 * Several gateways on threads of their own, each with a client and a loop, that are one server:
 * MAX_IN_FLIGHT is what all of them have, and GET /metrics tells their sums (of tokens and
 * breakers: what the client knows that answers). `first` and whoever joined it must not have a
 * thread of their own yet; gateways are closed in any order.
 * @return 0, IMAGINE_ENOMEM
 */
IMAGINE_API int imagine_gateway_join(imagine_gateway_t *gateway, imagine_gateway_t *first);
/** Shows the others what this one has counted so far. Call it before its loop waits; it costs less
 * than a microsecond. */
IMAGINE_API void imagine_gateway_publish(imagine_gateway_t *gateway);
/** From now on new requests are answered 503 (health: status "draining"); those in flight go on. */
IMAGINE_API void imagine_gateway_drain(imagine_gateway_t *gateway);
/** Exchanges begun and not yet released. */
IMAGINE_API size_t imagine_gateway_in_flight(const imagine_gateway_t *gateway);

/** A request's head. Everything is copied as far as it is needed later. */
typedef struct imagine_gateway_request {
    size_t size;
    const char *method;              /* "GET" */
    const char *target;              /* path and query as received: "/api/v1/models?x=1" */
    const imagine_header_t *headers; /* names in any case. A POST needs no Content-Length: where
                                        none came (HTTP/2) imagine_gateway_finish() ends its body */
    size_t header_count;
    const char *peer; /* numeric address of the other end, without port: "127.0.0.1", "::1" */
} imagine_gateway_request_t;

typedef struct imagine_gateway_answer {
    size_t size;
    int32_t status;
    int32_t wants_close;             /* 1: close the connection behind the answer: the rest of the
                                        request's body is not wanted */
    const imagine_header_t *headers; /* all but Content-Length, Date and Connection */
    size_t header_count;
    int64_t content_length; /* bytes that on_body brings (for HEAD: would bring); -1: not known yet,
                               a stream */
    int32_t is_stream;      /* 1: they come over time, as they are there */
    int32_t reserved;
} imagine_gateway_answer_t;

/**
 * Receives the answer: on_head, on_body any number of times, on_end; exactly once, unless the
 * exchange is aborted. These may run inside imagine_gateway_begin, _body and _finish (an early
 * refusal), or later, and may abort or release the exchange themselves. What they receive lives
 * until imagine_gateway_release(), but for the pieces of a stream, which die when on_body returns.
 * A stream that ends with fewer bytes than it told is broken: cut the connection.
 */
typedef struct imagine_gateway_responder {
    size_t size;
    void (*on_head)(const imagine_gateway_answer_t *answer, void *user);
    void (*on_body)(const void *data, size_t data_size, void *user);
    void (*on_end)(void *user);
} imagine_gateway_responder_t;

/**
 * A request's head has come.
 * @param responder  must outlive the exchange
 * @param out  yours until imagine_gateway_release(); set before the responder runs
 * @return 0, IMAGINE_EINVAL (a size that is none), or IMAGINE_ENOMEM: answer 503 yourself
 */
IMAGINE_API int imagine_gateway_begin(imagine_gateway_t *gateway,
                                      const imagine_gateway_request_t *request,
                                      const imagine_gateway_responder_t *responder, void *user,
                                      imagine_exchange_t **out);
/** A piece of the body has come; copied. After the answer pieces are ignored. */
IMAGINE_API void imagine_gateway_body(imagine_exchange_t *exchange, const void *data,
                                      size_t data_size);
/** The body is whole (also when there was none): now the request is carried out. */
IMAGINE_API void imagine_gateway_finish(imagine_exchange_t *exchange);
/** The host cannot send as fast as a stream's pieces come: fewer of them, down to none, until it
 * goes on (is_paused 0). Only streams listen. */
IMAGINE_API void imagine_gateway_pause(imagine_exchange_t *exchange, int32_t is_paused);
/** The other end has gone: nothing is answered any more. Work that no provider has begun is
 * canceled. Then release it. Harmless after the answer. */
IMAGINE_API void imagine_gateway_abort(imagine_exchange_t *exchange);
/** The answer was sent, or the exchange aborted: frees it, and writes its log line. NULL is fine.
 */
IMAGINE_API void imagine_gateway_release(imagine_exchange_t *exchange);

/* ---- HTTP/1.1 over byte streams of your own ---------------------------------------------------
 */
/* For hosts that have no HTTP server: bytes in, bytes out. Framing, keep-alive, pipelining, time
 * limits, TLS (with TLS_CERT and TLS_KEY of the gateway's settings) and refusals are handled here;
 * sockets are the host's. */

typedef struct imagine_http1 imagine_http1_t; /* one connection */
#define IMAGINE_HTTP1_PIECES_MAX 24

/** What a connection asks of its stream. None of these may call back into the connection. */
typedef struct imagine_http1_stream {
    size_t size;
    /**
     * Send these, at most IMAGINE_HTTP1_PIECES_MAX, behind what was sent before. They stay valid
     * until they have left.
     * @return 1: they have left already. 0: imagine_http1_sent() will be called when they have,
     * once for each such call and in their order
     */
    int32_t (*send)(const imagine_slice_t *pieces, size_t piece_count, void *user);
    /** Hand over no more bytes until told to go on: back-pressure. */
    void (*pause)(int32_t is_paused, void *user);
    /** Send nothing more, but go on handing over what comes: half a close. NULL: not supported. */
    void (*shut)(void *user);
    /** Close the stream, and call imagine_http1_close() when it is gone. */
    void (*close)(void *user);
} imagine_http1_stream_t;

/**
 * A connection has been made.
 * @param peer    numeric address of the other end, copied
 * @param stream  must outlive the connection
 * @param out     yours until imagine_http1_close()
 * @return 0, IMAGINE_EINVAL, IMAGINE_ENOMEM
 */
IMAGINE_API int imagine_http1_open(imagine_http1_t **out, imagine_gateway_t *gateway,
                                   const char *peer, const imagine_http1_stream_t *stream,
                                   void *user);
/** Bytes have come; copied as far as they are needed later. */
IMAGINE_API void imagine_http1_receive(imagine_http1_t *http1, const void *data, size_t data_size);
/** What the first unfinished send() was given has left. */
IMAGINE_API void imagine_http1_sent(imagine_http1_t *http1);
/** The stream is gone, or its other end: ends the request in flight and frees the connection. All
 * must be closed before their gateway. NULL is fine. */
IMAGINE_API void imagine_http1_close(imagine_http1_t *http1);

/* ---- a listener --------------------------------------------------------------------------------
 */
/* For hosts that have no HTTP server but a libuv loop: the above over TCP, on that loop, without
 * a thread. imagine-server is a client, a gateway, and this. */

typedef struct imagine_listener imagine_listener_t;

/**
 * Listen on HOST and PORT (0: the system chooses a free one), for MAX_CONNECTIONS at once, or, with
 * WORKERS other than 1, for this one's part of them.
 * @param gateway      borrowed; must be closed after the listener's `closed`
 * @param loop         uv_loop_t *, the client's, borrowed until closed
 * @param settings     read during the call only
 * @param out_port     NULL, or receives the port it listens on
 * @param out_message  NULL, or receives why it failed in one line, free with imagine_free()
 * @return 0, IMAGINE_EIO (HOST, PORT), IMAGINE_ENOMEM
 */
IMAGINE_API int imagine_listener_open(imagine_listener_t **out, imagine_gateway_t *gateway,
                                      void *loop, const imagine_settings_t *settings,
                                      int32_t *out_port, char **out_message);
#define IMAGINE_LISTENERS_MAX 64
/** How many listeners the settings ask for: WORKERS, or what the machine can run at once. */
IMAGINE_API int32_t imagine_listener_count(const imagine_settings_t *settings);
/**
 * One more listener on the port of `first`, which WORKERS other than 1 must have opened: for a
 * gateway, a loop and a thread of its own. The kernel gives each new connection to one of them by a
 * hash of its addresses, whoever is busy: what waits for a loop that stands still waits until that
 * goes on. Before `first` has a thread of its own; closed in any order.
 * @return 0, IMAGINE_EIO, IMAGINE_ENOMEM
 */
IMAGINE_API int imagine_listener_join(imagine_listener_t **out, const imagine_listener_t *first,
                                      imagine_gateway_t *gateway, void *loop, char **out_message);
/** Take no more connections; those that are there go on. Harmless when repeated. */
IMAGINE_API void imagine_listener_stop(imagine_listener_t *listener);
/** Cut all connections; requests in flight are aborted.
 * Callback: `closed` (NULL: nobody asks) runs in a later turn of the loop, when all is gone. NULL
 * as listener is fine: then nothing happens. */
IMAGINE_API void imagine_listener_close(imagine_listener_t *listener, imagine_closed_cb closed,
                                        void *user);

/* ---- the process -------------------------------------------------------------------------------
 */

/**
 * Give back to the system what the whole process holds of memory and does not need now: what free()
 * has kept, and pages of code that only the start has touched (they come back by themselves where
 * they are run again). For a program that does little else than serve, as imagine-server: as the
 * first thing in main(), which spares it about 3 MB, and when it has become quiet. Takes a
 * millisecond or so, more after a crowd. Code that something has patched in memory becomes the
 * file's again; under a debugger, whose breakpoints are such patches, code stays.
 * Thread: any; when another thread is at it, it returns at once.
 */
IMAGINE_API void imagine_process_trim(void);

#ifdef __cplusplus
}
#endif

#endif
