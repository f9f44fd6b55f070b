/* http_shard.c: multi handles, "shards", and the libuv loop that drives them.
 *
 * Many transfers are spread over many handles; few stay on the first, where they share connections.
 * For curl walks a handle's connections for every transfer. And when an HTTP/2 connection is full
 * (a hundred streams), it makes a new connection for every further transfer that starts before the
 * next one is up; for the first connection of a handle alone, they all wait. So a shard is full at
 * a hundred. One that had nothing to do for as long as a connection may be kept is closed; those
 * that only a crowd needs are closed soon, for ten thousand idle connections hold 90 MiB.
 * Exchanges with a guard have a handle of their own.
 *
 * curl forbids adding and removing transfers inside its callbacks. A cancel there leaves the
 * exchange, mute, in `dropped` until curl has returned. */
#include "uv/http_parts.h"

#include "uv/io.h"
#include "wire/assert.h"

enum {
    SHARD_FULL = 100,           /* exchanges in one shard before the next one is used */
    CROWD_IDLE_MS = 5000,       /* how long shards but the first keep their connections */
    CONNECTIONS_KEPT_MAX = 256, /* in one shard; well above what is in use, or curl closes early */
};

static int on_watch_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *socket_user) {
    imi_shard_t *shard = user;
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

static void call_soon(imi_shard_t *shard) {
    imi_list_remove(&shard->due_node);
    imi_list_append(&shard->http->due, &shard->due_node);
    imi_uv_wake(shard->http->uv);
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *user) {
    imi_shard_t *shard = user;
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

/* After curl has returned: what was cancelled inside goes, what is done is told. */
static void settle(imi_shard_t *shard) {
    CURLMsg *message = NULL;
    int left_count = 0;
    while (!imi_list_is_empty(&shard->dropped))
        imi_exchange_discard(IMI_CONTAINER(shard->dropped.next, imagine_http_exchange_t, node));
    while (shard->multi != NULL &&
           (message = curl_multi_info_read(shard->multi, &left_count)) != NULL) {
        CURLcode code = message->data.result; /* the message goes when the handle is removed */
        void *exchange = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &exchange);
        imi_exchange_finish(exchange, code);
    }
}

static void run(imi_shard_t *shard, curl_socket_t fd, int events) {
    int running_count = 0;
    shard->is_running = true;
    curl_multi_socket_action(shard->multi, fd, events, &running_count);
    shard->is_running = false;
    settle(shard);
}

void imi_shard_on_event(void *owner, int fd, int events) {
    int flags = 0;
    if ((events & IMI_WATCH_READABLE) != 0)
        flags |= CURL_CSELECT_IN;
    if ((events & IMI_WATCH_WRITABLE) != 0)
        flags |= CURL_CSELECT_OUT;
    if ((events & IMI_WATCH_BROKEN) != 0)
        flags |= CURL_CSELECT_ERR;
    run(owner, fd, flags);
}

void imi_shard_run(imi_shard_t *shard) {
    run(shard, CURL_SOCKET_TIMEOUT, 0);
}

static void close_multi(imi_shard_t *shard) {
    shard->goaway_count = 0; /* numbers of connections begin anew */
    curl_multi_cleanup(shard->multi);
    shard->multi = NULL;
}

static void on_shard_due(imi_alarm_t *alarm) {
    imi_shard_t *shard = IMI_CONTAINER(alarm, imi_shard_t, alarm);
    if (shard->exchange_count == 0)
        close_multi(shard);
    else
        run(shard, CURL_SOCKET_TIMEOUT, 0);
}

int imi_shard_init(imi_shard_t *shard, imi_http_t *http, size_t index) {
    shard->http = http;
    shard->index = index;
    imi_list_init(&shard->due_node);
    imi_list_init(&shard->dropped);
    return imi_alarm_init(http->uv, &shard->alarm, on_shard_due);
}

void imi_shard_reset(imi_shard_t *shard) {
    if (shard->http == NULL)
        return; /* opening failed before it */
    IMI_ASSERT(shard->exchange_count == 0);
    imi_alarm_cancel(shard->http->uv, &shard->alarm);
    if (shard->multi != NULL)
        close_multi(shard);
}

static bool open_multi(imi_shard_t *shard) {
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
static imi_shard_t *choose_shard(imi_http_t *http, const imagine_http_exchange_t *exchange) {
    if (exchange->guard != NULL)
        return &http->guarded;
    while (http->first_open < IMI_SHARD_COUNT &&
           http->shards[http->first_open].exchange_count >= SHARD_FULL)
        http->first_open++;
    if (http->first_open < IMI_SHARD_COUNT)
        return &http->shards[http->first_open];
    return &http->shards[http->next_full++ % IMI_SHARD_COUNT];
}

void imi_shard_begin(imagine_http_exchange_t *exchange) {
    imi_shard_t *shard = choose_shard(exchange->http, exchange);
    if (!open_multi(shard)) {
        imi_exchange_end(exchange, IMAGINE_ENOMEM, "out of memory");
        return;
    }
    if (shard->exchange_count++ == 0)
        imi_alarm_cancel(shard->http->uv, &shard->alarm);
    call_soon(shard);
    exchange->shard = shard;
    if (curl_multi_add_handle(shard->multi, exchange->easy) != CURLM_OK)
        imi_exchange_end(exchange, IMAGINE_ENOMEM, "out of memory");
}

/* Of a transfer that shares its HTTP/2 connection, curl 7.88 forgets the bytes that it kept back
 * while we were paused: the handle would give them to its next exchange, and never frees them. Only
 * to go on rids it of them. */
static void drop_held(imagine_http_exchange_t *exchange) {
    exchange->is_cancelled = true; /* on_body_piece refuses them */
    exchange->shard->is_running = true;
    curl_easy_pause(exchange->easy, CURLPAUSE_CONT);
    exchange->shard->is_running = false;
}

void imi_shard_leave(imagine_http_exchange_t *exchange) {
    imi_http_t *http = exchange->http;
    imi_shard_t *shard = exchange->shard;
    if (shard == NULL)
        return;
    if (exchange->is_held)
        drop_held(exchange);
    for (uint32_t i = 0; i < exchange->opened_count && i < IMI_OPENED_KEPT; i++)
        imi_watch_give_up(&http->watches, exchange->opened[i], exchange);
    curl_multi_remove_handle(shard->multi, exchange->easy);
    if (shard->index < http->first_open)
        http->first_open = shard->index;
    if (--shard->exchange_count > 0)
        return;
    imi_list_remove(&shard->due_node);
    imi_alarm_set(http->uv, &shard->alarm,
                  shard->index == 0 ? IMI_CONNECTION_IDLE_MAX_S * 1000 : CROWD_IDLE_MS);
}

void imi_shard_resume(imagine_http_exchange_t *exchange) {
    imi_shard_t *shard = exchange->shard;
    exchange->is_held = false;
    exchange->is_starved = false;
    shard->is_running = true; /* on_body is called inside */
    curl_easy_pause(exchange->easy, CURLPAUSE_CONT);
    shard->is_running = false;
    /* Of what on_body_piece refused just now curl itself would tell with the next bytes only. */
    if (exchange->failure != 0 && !exchange->is_cancelled)
        imi_exchange_finish(exchange, CURLE_WRITE_ERROR);
    settle(shard);
}
