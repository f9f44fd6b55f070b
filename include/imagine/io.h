/**
 * imagine/io.h: the library's only door to the world. A client does no input or output of its own:
 * it asks this table. libuv with curl-multi is one implementation (imagine_io_uv_open), a simulator
 * or a WebAssembly host can be others; the conformance test in test/support/io_conformance.h
 * runs on any of them.
 *
 * Two rules make everything else safe:
 *   1. Nothing completes inside the call that starts it. A start that fails returns the error and
 *      never calls back.
 *   2. After a cancel no callback of that exchange or timer runs.
 */
#ifndef IMAGINE_IO_H
#define IMAGINE_IO_H

#include "../imagine.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct imagine_http_exchange imagine_http_exchange_t; /* the implementation's own */
typedef struct imagine_timer imagine_timer_t;                 /* likewise */

/** Never grows. */
typedef struct imagine_header {
    const char *name;
    const char *value;
} imagine_header_t;

/**
 * Asked before a connection is made, for every address that the name resolved to and is about to be
 * used: 0 lets it pass, an error (IMAGINE_EADDRESS) ends the exchange with it.
 * @param host     as in the URL, without brackets
 * @param address  numeric
 */
typedef int (*imagine_http_guard_cb)(const char *host, const char *address, void *user);

/**
 * Gives the next bytes of a body that is not in memory as a whole. On the loop's thread, whenever
 * there is room for more, until body_size bytes have come; never inside http_start. May cancel and
 * start exchanges.
 * @return how many were written to `out`, at most `capacity`; 0: none at present, it is asked again
 *   after http_pause(…, 0); an error: the exchange ends with it
 */
typedef int64_t (*imagine_http_body_cb)(void *out, size_t capacity, void *user);

/** What to send. Everything is borrowed until the exchange has ended or was cancelled, but for
 * `url`, `method` and `headers`, which are copied. */
typedef struct imagine_http_request {
    size_t size;
    const char *method;              /* "GET", "POST" … */
    const char *url;                 /* http or https */
    const imagine_header_t *headers; /* at most 128. Host, Content-Length, Transfer-Encoding and
                                        Expect are the implementation's, and left out here */
    size_t header_count;
    const imagine_slice_t *body; /* sent one after the other; NULL: no body */
    size_t body_count;
    uint32_t connect_timeout_ms;    /* until connected, TLS included; 0: 10000 */
    uint32_t first_byte_timeout_ms; /* from then until the status line; 0: no limit of its own */
    uint32_t stall_timeout_ms;      /* longest silence inside a body, either way; 0: 30000 */
    uint32_t timeout_ms;            /* all of it; 0: no limit of its own */
    uint64_t response_size_max;     /* body bytes, else IMAGINE_ETOOLARGE; 0: no limit */
    imagine_http_guard_cb guard; /* NULL: connect wherever it leads. With a guard no proxy is used
                                    and no connection shared with exchanges without one */
    void *guard_user;
    imagine_http_body_cb body_read; /* instead of `body`; NULL: none. Such a request is repeated on
                                       another connection only while nothing of it was read */
    void *body_read_user;
    uint64_t body_size; /* of what body_read gives in all */
} imagine_http_request_t;

typedef struct imagine_http_head {
    size_t size;
    int32_t status;
    int32_t http_version;            /* 10, 11, 20 */
    const imagine_header_t *headers; /* in order, names as sent */
    size_t header_count;
} imagine_http_head_t;

typedef struct imagine_http_end {
    size_t size;
    int32_t error;       /* 0: the answer is complete. Else IMAGINE_ECONNECT (also names and TLS),
                            IMAGINE_ETIMEDOUT, IMAGINE_EPROTOCOL (cut or unreadable), IMAGINE_ETOOLARGE,
                            IMAGINE_EADDRESS, IMAGINE_ENOMEM */
    int32_t was_sent;    /* 0: provably not all of the request has left; 1: it may have */
    const char *message; /* one line, no secret, NULL when error is 0 */
} imagine_http_end_t;

/** All on the loop's thread; what they receive dies when they return. Cancelling and starting
 * exchanges inside them is fine. on_end is the last one and ends the exchange's life. Redirects are
 * not followed: the caller sees the 3xx. */
typedef struct imagine_http_handler {
    size_t size;
    void (*on_head)(const imagine_http_head_t *head, void *user);
    void (*on_body)(const void *data, size_t data_size, void *user);
    void (*on_end)(const imagine_http_end_t *end, void *user);
} imagine_http_handler_t;

typedef void (*imagine_timer_cb)(void *user);
/** See imagine_io_t.await. */
typedef int (*imagine_await_cb)(void *user);

/** Everything is required but http_pause, log and await, each of which may be NULL. */
struct imagine_io {
    size_t size;
    void *context; /* first argument of every function below */
    void *loop; /* uv_loop_t * where there is one, for storage drivers that need it; NULL: none */

    /**
     * Start an exchange. `handler` must outlive it. 0 or an error, then nothing was started.
     */
    int (*http_start)(void *context, const imagine_http_request_t *request,
                      const imagine_http_handler_t *handler, void *user,
                      imagine_http_exchange_t **out);
    void (*http_cancel)(void *context, imagine_http_exchange_t *exchange);
    /** Stop and go on reading the answer's body: back-pressure. May be called inside on_body. Going
     * on also asks body_read again where it had nothing to give. NULL: not supported, then
     * imagine_pause() does nothing, and results cannot be hosted. */
    void (*http_pause)(void *context, imagine_http_exchange_t *exchange, int32_t is_paused);

    /** Fires once, not before delay_ms have passed; delay 0: in the next turn of the loop. Of
     * two with the same delay the one that was started first fires first. */
    int (*timer_start)(void *context, uint64_t delay_ms, imagine_timer_cb on_timer, void *user,
                       imagine_timer_t **out);
    void (*timer_cancel)(void *context, imagine_timer_t *timer);

    uint64_t (*now_ms)(void *context); /* monotonic; may be cached for the turn of the loop */
    int64_t (*unix_ms)(void *context); /* wall clock */
    int (*random)(void *context, void *out,
                  size_t size); /* unpredictable bytes; 0 or IMAGINE_EIO */
    /** NULL: silent. With options.io this is the client's log, and options.log is not used; its
     * level is options.log_level all the same. */
    void (*log)(void *context, int32_t level, const char *line);

    /**
     * NULL when one thread does it all. Else: run `step` on the loop's thread, again after every
     * turn of the loop while it returns 0, and block the calling thread until it returns non-zero
     * or timeout_ms (negative: none) have passed. On the loop's thread itself `step` runs once, at
     * once.
     * @return 0, IMAGINE_ETIMEDOUT (step runs no more), IMAGINE_ECLOSED (likewise: the loop ended
     *   meanwhile), IMAGINE_EDEADLK (on the loop's thread, and step returned 0)
     */
    int (*await)(void *context, imagine_await_cb step, void *user, int64_t timeout_ms);
};

/* ---- the default implementation: libuv and curl-multi ------------------------------------------
 */

typedef struct imagine_io_uv_options {
    size_t size;
    void *loop;         /* uv_loop_t *, borrowed; NULL: a private thread with a loop of its own */
    imagine_log_cb log; /* NULL: silent */
    void *log_user;
    const char *ca_file;    /* PEM; copied; NULL: the system's bundle */
    int32_t verify_tls;     /* 0 or 1: yes, -1: no */
    int32_t is_manual;      /* 1: neither: imagine_io_uv_turn() runs it, on whichever one thread */
    const char *user_agent; /* copied; NULL: "libimagine/<version>" */
    const imagine_allocator_t *allocator; /* copied; NULL: the C library's */
} imagine_io_uv_options_t;

/**
 * Make the table that imagine_open() uses when it is given none. Proxies come from the environment,
 * as curl reads it (https_proxy, no_proxy …).
 * @return 0, IMAGINE_EINVAL (ca_file is no PEM file of certificates), IMAGINE_ENOMEM, IMAGINE_EIO
 */
IMAGINE_API int imagine_io_uv_open(imagine_io_t **out, const imagine_io_uv_options_t *options);
/**
 * Trust the certificates of another PEM bundle (copied: its name), for connections from now on.
 * Thread: the loop's.
 * @return 0, IMAGINE_EINVAL (it is none) or IMAGINE_ENOMEM: then nothing has changed
 */
IMAGINE_API int imagine_io_uv_trust(imagine_io_t *io, const char *ca_file);
/** imagine_turn() and its companions, of a table that was opened with is_manual. */
IMAGINE_API int imagine_io_uv_turn(imagine_io_t *io, int64_t timeout_ms);
IMAGINE_API int imagine_io_uv_turn_fd(const imagine_io_t *io);
IMAGINE_API int imagine_io_uv_turn_wait_ms(imagine_io_t *io);
IMAGINE_API int imagine_io_uv_turn_wake(imagine_io_t *io);
/**
 * All exchanges and timers must have ended or been cancelled. Frees its connections, ends the
 * private thread, then calls `closed` (may be NULL). On a private thread and called from another
 * one with `closed` NULL: returns when the thread is gone. With is_manual: returns when all is
 * gone, or, inside a callback, leaves that to the turn it was called in.
 */
IMAGINE_API void imagine_io_uv_close(imagine_io_t *io, imagine_closed_cb closed, void *user);

/** The table that a client uses. Belongs to the client (or to whoever gave it). */
IMAGINE_API const imagine_io_t *imagine_io(const imagine_t *im);

#ifdef __cplusplus
}
#endif

#endif
