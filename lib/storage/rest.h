/* rest.h: the half that the drivers over HTTP (upstash, cloudflare) share: their address, their
 * turns, and one exchange with what its failures mean.
 *
 *   ask --> queue --(a turn)--> pump: the driver starts calls --> on_done --> the next turn
 *
 * A service that says 429 is left alone until its Retry-After: what is asked for meanwhile ends
 * with IMAGINE_ERATE. A call that may be repeated is, once, when nothing usable came back. */
#ifndef IMI_STORAGE_REST_H
#define IMI_STORAGE_REST_H

#include <stdbool.h>

#include "storage/queue.h"
#include "wire/buf.h"
#include "wire/str.h"

typedef struct imi_rest imi_rest_t;
typedef struct imi_rest_call imi_rest_call_t;

typedef struct imi_rest_kind {
    const char *name;   /* of the driver */
    const char *scheme; /* of its addresses: "upstash:" */
    /* Takes operations from the queue, and performs or ends them; but not more than there are when
     * it begins. Those that it ends at once are told so by imi_rest_refusal(). */
    void (*pump)(imi_rest_t *rest);
    /* Ends what is under way with IMAGINE_ECLOSED. */
    void (*abandon)(imi_rest_t *rest);
    /* Frees what the driver has beside this. */
    void (*reset)(imi_rest_t *rest);
} imi_rest_kind_t;

struct imi_rest {
    imi_storage_queue_t queue; /* first, see queue.h; this is first in the driver's self */
    const imi_rest_kind_t *kind;
    char *base;          /* "https://host/path", without a slash at the end */
    char *authorization; /* "Bearer <token>" */
    char *prefix;        /* in front of every key; "" for none */
    size_t prefix_size;
    imagine_timer_t *turn;
    imagine_timer_t *deadline; /* of closing */
    bool is_in_turn;
    bool is_hurried;          /* closing took too long */
    size_t call_count;        /* under way */
    uint64_t rested_until_ms; /* after a 429; 0: never told so */
    bool has_logged;
    uint64_t logged_at_ms;
};

/* One exchange. Set `url`, `body` and what stands before them, then start; everything stays until
 * on_done. */
struct imi_rest_call {
    imi_rest_t *rest;
    const char *method;
    const char *content_type; /* NULL: none */
    bool is_repeatable;       /* being carried out twice does no harm */
    bool is_absence_fine;     /* 404 is IMAGINE_ENOTFOUND and not worth a line in the log */
    size_t answer_size_max;
    imi_buf_t url, body;
    /* On the loop's thread, once for every accepted start. 0: `answer` came with a 2xx. Else
     * IMAGINE_ENOTFOUND (404), ETOKEN (401, 403), ERATE (429), EIO (any other status), or as in
     * imagine_http_end_t. It may start the call again. */
    void (*on_done)(imi_rest_call_t *call, int status);

    imi_buf_t answer;
    int32_t http_status;
    int64_t retry_after_ms; /* -1: not told */
    imagine_slice_t slice;  /* the body, as long as it is sent */
    bool was_repeated;
    bool is_under_way;
    imagine_http_exchange_t *exchange;
    imagine_timer_t *timer; /* before the repetition */
};

/* From an address of this kind. 0, IMAGINE_EINVAL with a reason, IMAGINE_ENOMEM: then nothing is
 * left of it. The kind's abandon and reset may run only after it succeeded. */
int imi_rest_init(imi_rest_t *rest, const imi_mem_t *mem, const imi_rest_kind_t *kind,
                  const char *url, const char **out_reason);

/* For the driver's table. */
int imi_rest_start(void *self, const imagine_io_t *io);
void imi_rest_close(void *self, imagine_closed_cb closed, void *user);

/* Why nothing may be started now, and the operation is to end at once; 0: it may be started. */
int imi_rest_refusal(const imi_rest_t *rest);

/* Ends it with this status. */
void imi_rest_end(imi_storage_operation_t *operation, int status);

void imi_rest_call_init(imi_rest_call_t *call, imi_rest_t *rest,
                        void (*on_done)(imi_rest_call_t *call, int status));
/* Cancelled if it is under way; then the call is as new. */
void imi_rest_call_reset(imi_rest_call_t *call);
/* 0, or an error: then on_done never runs. */
int imi_rest_call_start(imi_rest_call_t *call);

/* A warning with the reason, which may be a stranger's text; at most one a minute. */
void imi_rest_complain(imi_rest_t *rest, int32_t http_status, imi_slice_t reason);

/* Milliseconds that are left of an operation's time to live; 0: it is for ever. */
int64_t imi_rest_ttl_ms(const imi_rest_t *rest, int64_t expires_unix_ms);

#endif
