/* exchange.h: one HTTP exchange from address to whole answer: redirects followed, credentials left
 * behind where they lead to another host, the answer collected up to its limit, or read as a stream
 * of events. What the answer means is the caller's business. */
#ifndef IMI_CORE_EXCHANGE_H
#define IMI_CORE_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imagine/io.h"
#include "wire/arena.h"
#include "wire/buf.h"
#include "wire/sse.h"

#define IMI_REDIRECTS_MAX 5
#define IMI_EVENT_SIZE_MAX (32u * 1024 * 1024) /* a picture may come inside an event */

typedef struct imi_exchange imi_exchange_t;
/* Once, never inside imi_exchange_start, not after imi_exchange_reset. */
typedef void (*imi_exchange_cb)(imi_exchange_t *exchange);
/* Returns false to hear no more events. May reset the exchange, then it returns false. */
typedef bool (*imi_exchange_event_cb)(imi_exchange_t *exchange, const imi_sse_event_t *event);
/* Status and headers of the answer are there by then. May reset the exchange. */
typedef void (*imi_exchange_piece_cb)(imi_exchange_t *exchange, const void *data, size_t size);

struct imi_exchange {
    /* set by the caller before the start; texts must live as long as the exchange */
    imagine_t *im;
    imi_arena_t *arena; /* the answer's headers and redirected addresses are put there */
    void *user;
    const char *method;
    const char *url;
    const imagine_header_t *headers;
    size_t header_count;
    size_t secret_header_count; /* the last ones of them stay with the first host */
    const imagine_slice_t *body;
    size_t body_count;
    uint32_t timeout_ms;
    uint32_t stall_timeout_ms;
    uint64_t response_size_max;
    imi_exchange_cb on_done;
    imi_exchange_event_cb
        on_event; /* not NULL: a 200 of type text/event-stream is read as events */
    imi_exchange_piece_cb on_piece; /* not NULL: a 200's body is handed over; none is kept */
    bool is_guarded; /* an address that a stranger gave, or that a provider's answer holds */
    struct imi_divert *divert; /* not NULL: takes the pictures out of a JSON answer with a 2xx */

    /* the answer */
    int error; /* 0, or IMAGINE_E… */
    int32_t status;
    bool was_sent;
    const char *message; /* in the arena */
    const imagine_header_t *answer_headers;
    size_t answer_header_count;
    imi_buf_t answer; /* NUL-terminated */

    /* private */
    imagine_http_exchange_t *http;
    imi_sse_t sse;
    bool is_stream;
    bool is_redirected;
    bool is_diverted;
    uint32_t redirect_count;
    bool *was_reset; /* tells a callback's caller that the exchange went away under it */
};

/* 0 or an error; then nothing was started. A running exchange must not move in memory. */
int imi_exchange_start(imi_exchange_t *exchange);
/* Stop and go on reading the answer. */
void imi_exchange_pause(imi_exchange_t *exchange, bool is_paused);
/* A running one ends so, inside this call; on one that has ended it does nothing. `message` is
 * static. */
void imi_exchange_fail(imi_exchange_t *exchange, int error, const char *message);
/* The value of a header of the answer, the name in any case; NULL: none. */
const char *imi_exchange_header(const imi_exchange_t *exchange, const char *name);
/* Cancels if it is running, frees the answer. */
void imi_exchange_reset(imi_exchange_t *exchange);

#endif
