/* call.h: one attempt with one token: the provider's steps, one after the other, and how it ended.
 */
#ifndef IMI_CORE_CALL_H
#define IMI_CORE_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "imagine/provider.h"
#include "core/exchange.h"
#include "core/pool.h"
#include "wire/arena.h"

/* What another library allocated for a call, see imagine_call_defer(). */
typedef struct imi_deferred {
    struct imi_deferred *next;
    void (*release)(void *user);
    void *user;
} imi_deferred_t;

/* One of several results, see imagine_call_picture(). */
typedef struct imi_picture {
    struct imi_picture *next;
    const char *url;
} imi_picture_t;

struct imagine_call {
    imagine_request_t *request; /* holds a reference */
    imagine_t *im;
    imi_arena_t arena;
    imi_token_t *token; /* NULL: none needed */

    /* the step under way; thousands of calls wait at once, so the small ones stand together */
    imi_exchange_t exchange;
    imagine_response_cb on_response;
    imagine_event_cb on_event;
    bool is_probe; /* of the breaker */
    bool has_exchange;
    bool is_repeatable;
    bool accepts_any_status;
    bool has_json_pictures;
    bool has_ended;
    uint32_t repeats;
    uint32_t polls;
    imagine_timer_t *timer;
    struct imi_upload *upload; /* of a picture, see imagine_call_host_images() */
    size_t upload_index;
    imagine_call_cb next;
    bool is_out_of_memory; /* a builder failed: the next step fails the call */
    bool is_in_step;
    bool keeps_answer;   /* kept_answer */
    bool is_indexed;     /* the answer, in `index` */
    bool has_streamed;   /* a piece of a text has come (stream.c) */
    bool has_lost_token; /* another call learned that the token is spent: the next one, please */
    bool is_token_fault; /* … of an end that reads as the provider's: see on_refused() */
    bool is_committed;   /* a provider took the work on, or may have */
    struct imi_aside *aside;      /* pictures that are in files; NULL: none */
    struct imi_json_index *index; /* NULL: no answer was large */
    imi_deferred_t *deferred;     /* newest first */
    struct imagine_body *bodies;  /* built so far; freed with the call */
    imi_buf_t kept_answer;        /* an answer that a result lies in */

    imi_buf_t streamed;           /* those that nobody wanted as they came */
    struct imi_picture *pictures; /* several results, newest first */
    size_t picture_count;

    const char *task_id;
    void *state;

    /* the end */
    int error;           /* 0, or IMAGINE_E… */
    int32_t http_status; /* of the answer that ended it; 0: none */
    const char *message;
    imagine_verdict_t verdict;
    imagine_result_t *result; /* of one that succeeded; in the arena */
};

/* An answer as the provider sees it. */
imagine_http_response_t imi_call_response(imagine_call_t *call);
/* What a step sends; body.c knows how. NULL body: nothing. 0 or IMAGINE_ENOMEM. */
int imi_body_finish(imagine_body_t *body, const imagine_slice_t **out_slices, size_t *out_count,
                    const char **out_content_type);
void imi_bodies_free(imagine_call_t *call);

/* Starts the provider's action, or goes on with a task when task_id is set. 0 or IMAGINE_ENOMEM.
 * The token is the call's from here on, also on failure. */
int imi_call_start(imagine_request_t *request, imi_token_t *token, bool is_probe,
                   imagine_call_cb action, const char *task_id);
/* The end, from inside a step; what comes first counts. */
void imi_call_end(imagine_call_t *call, int error, const char *message);
/* What the result's text is when the provider gave this one (NULL: it streamed). */
const char *imi_stream_finish(imagine_call_t *call, const char *text);
/* Delivers the pieces that came too early. */
void imi_stream_flush(imagine_call_t *call);
/* The request was paused or goes on: so does the exchange under way. */
void imi_stream_paused(imagine_call_t *call);
/* Has it reached a provider, so that its work may be paid for already? */
bool imi_call_has_reached(const imagine_call_t *call);
/* Stops whatever is under way; its token goes back. Nothing of it is reported. */
void imi_call_cancel(imagine_call_t *call);
/* Frees its memory; it has ended or was cancelled. */
void imi_call_free(imagine_call_t *call);

#endif
