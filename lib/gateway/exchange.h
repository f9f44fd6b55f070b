/* exchange.h: one request and its answer.
 *
 *   begun -> (counted by the limiter) -> admitted -> (body comes in) -> whole -> carried out
 *         \-> refused                             \-> refused               \-> (library) ->
 * answered
 *
 * Admitted and whole may come in either order. After the answer pieces of a body are ignored.
 * Release ends it for the host; while the library still owes a callback, the memory waits for it.
 */
#ifndef IMI_GATEWAY_EXCHANGE_H
#define IMI_GATEWAY_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imagine/gateway.h"
#include "gateway/body.h"
#include "gateway/caller.h"
#include "gateway/gateway.h"
#include "gateway/limit.h"
#include "gateway/media.h"
#include "gateway/refusal.h"
#include "gateway/route.h"
#include "wire/buf.h"
#include "wire/list.h"

enum {
    IMI_EXCHANGE_HEADERS_MAX = 20,
    IMI_EXCHANGE_ID_SIZE = 16,
    IMI_EXCHANGE_DECIMAL_SIZE = 21,  /* any 64-bit number and a NUL */
    IMI_EXCHANGE_LOCATION_SIZE = 72, /* /api/v1/task-status?taskId= and an id of ours */
};

struct imagine_exchange {
    imagine_gateway_t *gateway; /* not to be used once released: it may be gone */
    const imi_mem_t *mem;
    const imagine_gateway_responder_t *responder;
    void *user;

    const imi_route_t *route;
    imi_method_t method;
    bool has_body; /* the head says that one comes */
    bool is_admitted;
    bool is_whole;
    bool is_counted; /* in gateway->work_count */
    bool is_pending; /* the library owes a callback */
    bool is_answered;
    bool wants_events; /* Accept: text/event-stream */
    bool wants_job;    /* Prefer: respond-async */
    uint32_t job_wait_ms;
    bool is_streaming; /* the answer has begun, and pieces of it follow */
    bool is_aborted;
    bool is_released;
    bool is_delivering; /* the host's functions are running */
    bool wants_close;
    bool is_not_modified;
    int64_t body_left; /* of a told length; negative: not told */

    imi_limit_ticket_t *ticket; /* the limiter's, while it is counting; NULL: it is not */
    imi_list_t awaited;         /* in gateway->awaited */
    uint64_t began_at_ms;
    uint64_t duration_ms; /* until the answer began */

    int32_t error;                /* IMAGINE_E… of the answer; 0: none */
    const char *reason;           /* for the log; of a refusal of our own; NULL: none */
    const imi_refusal_t *refusal; /* what the head alone gives reason for, told after the limiter */
    imi_gateway_body_t *body;
    const imi_static_file_t *file;
    imagine_request_t *request;
    imi_media_t *media; /* NULL: none, or over */
    imi_media_range_t range;
    char *lent; /* a text of the library's that is the answer; imagine_free() */
    imi_buf_t text;

    imagine_gateway_answer_t answer;
    imagine_header_t headers[IMI_EXCHANGE_HEADERS_MAX];
    char id[IMI_EXCHANGE_ID_SIZE + 1];
    char method_name[8]; /* cut; for the log */
    char limit_text[IMI_EXCHANGE_DECIMAL_SIZE];
    char remaining_text[IMI_EXCHANGE_DECIMAL_SIZE];
    char reset_text[IMI_EXCHANGE_DECIMAL_SIZE];
    char retry_text[IMI_EXCHANGE_DECIMAL_SIZE];
    char range_text[3 * IMI_EXCHANGE_DECIMAL_SIZE + sizeof("bytes -/")];
    char location[IMI_EXCHANGE_LOCATION_SIZE];

    size_t path_size;
    size_t query_size;
    char target[]; /* path and query without the '?', each with a NUL behind it */
};

static inline imi_slice_t imi_exchange_path(const imagine_exchange_t *exchange) {
    return (imi_slice_t){exchange->target, exchange->path_size};
}

static inline imi_slice_t imi_exchange_query(const imagine_exchange_t *exchange) {
    return (imi_slice_t){exchange->target + exchange->path_size + 1, exchange->query_size};
}

/* Instead of imagine_gateway_begin(), for a request whose head could not be read: it is refused
 * with this inside the call, and its connection has to go. */
int imi_exchange_refuse(imagine_gateway_t *gateway, const imi_refusal_t *refusal,
                        const imagine_gateway_responder_t *responder, void *user,
                        imagine_exchange_t **out);

/* A parameter of the query, percent-decoded once, in its place: each can be asked for once. NULL:
 * absent or empty, or, with *out_is_broken, an escape that is none or one for NUL. */
const char *imi_exchange_parameter(imagine_exchange_t *exchange, const char *name,
                                   bool *out_is_broken);

/* Route: static files. */
void imi_exchange_serve_file(imagine_exchange_t *exchange);

/* The answer has begun: nothing of the request is awaited any more. */
void imi_exchange_stop_waiting(imagine_exchange_t *exchange);
void imi_gateway_exchange_free(imagine_exchange_t *exchange);

#endif
