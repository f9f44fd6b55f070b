/* http_parts.h: what the files http*.c share. They alone know curl.
 *
 *   http.c           the way in: start, cancel, pause; open and close
 *   http_request.c   from a request to an easy handle that is ready
 *   http_shard.c     multi handles: where exchanges run
 *   http_exchange.c  what happens to one exchange, until its end */
#ifndef IMI_UV_HTTP_PARTS_H
#define IMI_UV_HTTP_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <curl/curl.h>

#include "imagine/io.h"
#include "uv/head.h"
#include "uv/http.h"
#include "uv/limit.h"
#include "uv/timer.h"
#include "uv/trust.h"
#include "uv/watch.h"
#include "wire/list.h"
#include "wire/url.h"

enum {
    IMI_SHARD_COUNT = 128,
    IMI_OPENED_KEPT = 2,  /* sockets of one exchange: curl has one of each family connect at once */
    IMI_GOAWAYS_KEPT = 8, /* in one shard; they matter until their connection is closed */
    IMI_EASY_KEPT_MAX = 256,        /* unused easy handles, some 6 KiB each */
    IMI_CONNECTION_IDLE_MAX_S = 55, /* servers and balancers close after 60 and more, mostly */
};

typedef struct imi_goaway {
    int64_t connection;
    int64_t last_stream;
} imi_goaway_t;

typedef struct imi_shard {
    imi_list_t due_node; /* in http->due: curl wants to be called in this or the next turn */
    imi_http_t *http;
    CURLM *multi; /* NULL: closed */
    size_t index;
    size_t exchange_count;
    imi_alarm_t alarm; /* curl's; without exchanges: when to close the shard */
    imi_list_t dropped;
    imi_goaway_t goaways[IMI_GOAWAYS_KEPT]; /* a ring */
    size_t goaway_count;                    /* so far */
    bool is_running;                        /* inside curl */
} imi_shard_t;

struct imi_http {
    imi_uv_t *uv;
    CURLSH *share; /* names and TLS sessions, for all shards */
    imi_shard_t shards[IMI_SHARD_COUNT];
    imi_shard_t guarded;
    size_t first_open; /* all shards before this one are full */
    size_t next_full;  /* when all are, they take turns */
    imi_list_t due;    /* shards */
    imi_watches_t watches;
    imi_list_t starting;
    imi_list_t resuming;
    CURL *easy_kept[IMI_EASY_KEPT_MAX];
    size_t easy_kept_count;
    imi_trust_t *trust; /* NULL: curl's TLS is not OpenSSL, and gets the file: */
    char *ca_file;      /* NULL: curl's default */
    char *user_agent;
    bool is_tls_unverified;
};

struct imagine_http_exchange {
    imi_list_t node; /* in `starting`, in `resuming`, in a shard's `dropped`, or alone */
    imi_http_t *http;
    imi_shard_t *shard; /* NULL: not started yet */
    CURL *easy;
    const imagine_http_handler_t *handler;
    void *user;
    imi_alarm_t alarm; /* the next limit */
    imi_head_t head;
    imi_limits_t limits;
    uint64_t late_at_ms; /* turn in which a limit was found passed; 0: none was */
    uint64_t response_size_max;
    uint64_t received_size;
    uint64_t told_size; /* of the body, by the head; 0: nothing was told */
    const imagine_slice_t *body;
    size_t body_count;
    size_t body_index;  /* where handing over stands: this slice, */
    size_t body_offset; /* and so far in it */
    uint64_t body_size;
    uint64_t handed_size;           /* of a body that is not copied */
    imagine_http_body_cb body_read; /* NULL: the body is in the slices */
    void *body_read_user;
    imagine_http_guard_cb guard;
    void *guard_user;
    const char *host; /* for the guard */
    const char *failure_message;
    int64_t connection; /* of the last attempt; -1: not known */
    int64_t stream;     /* on it; 0: not known, or not HTTP/2 */
    uint32_t attempt_count;
    int failure; /* what we end it with, whatever curl makes of it */
    int open_errno;
    int opened[IMI_OPENED_KEPT]; /* a ring of its sockets, which may be closed by now */
    uint32_t opened_count;       /* so far */
    bool is_body_copied;
    bool is_head_request;
    bool is_head_done;
    bool is_cancelled;
    bool is_held;        /* curl keeps bytes back for us */
    bool is_starved;     /* curl waits for more of the body */
    bool was_asked;      /* the guard, about this exchange's own connection */
    bool was_refused;    /* the last attempt, by the server, which has done nothing */
    bool has_left;       /* an earlier attempt's request, as a whole */
    max_align_t block[]; /* header nodes, then texts and a small body */
};

/* ---- http_request.c ---- */

/* A new exchange with all that the request says. 0, IMAGINE_EINVAL, IMAGINE_ENOMEM. */
int imi_exchange_new(imagine_http_exchange_t **out, imi_http_t *http,
                     const imagine_http_request_t *request);
/* Frees what imi_exchange_new() made, and keeps the easy handle for the next one. */
void imi_exchange_free(imagine_http_exchange_t *exchange);

/* ---- http_shard.c ---- */

int imi_shard_init(imi_shard_t *shard, imi_http_t *http, size_t index); /* 0, IMAGINE_ENOMEM */
void imi_shard_reset(imi_shard_t *shard);
/* Finds a shard for the exchange and adds it. */
void imi_shard_begin(imagine_http_exchange_t *exchange);
void imi_shard_resume(imagine_http_exchange_t *exchange);
/* Takes it out again, if it is in one. */
void imi_shard_leave(imagine_http_exchange_t *exchange);
/* Has curl look at what is due. */
void imi_shard_run(imi_shard_t *shard);
/* imi_watch_cb; the owner is a shard. */
void imi_shard_on_event(void *owner, int fd, int events);

/* ---- http_exchange.c ---- */

/* Has curl call this file. 0 or an error of curl's. */
int imi_exchange_set_callbacks(imagine_http_exchange_t *exchange);
void imi_exchange_on_limit(imi_alarm_t *alarm);
/* Sets the alarm to the next limit. */
void imi_exchange_watch_limits(imagine_http_exchange_t *exchange);
/* Bytes went: the alarm is left alone, and sees how things stand when it is due. */
void imi_exchange_touch(imagine_http_exchange_t *exchange);
/* curl is done with it. */
void imi_exchange_finish(imagine_http_exchange_t *exchange, CURLcode code);
/* Tells the end, after which the exchange is gone. */
void imi_exchange_end(imagine_http_exchange_t *exchange, int error, const char *message);
/* Gone without a word. */
void imi_exchange_discard(imagine_http_exchange_t *exchange);

#endif
