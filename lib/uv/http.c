/* http.c: the way in to HTTP exchanges, which curl carries out (http_parts.h).
 *
 * An exchange is made ready in http_start and waits in `starting` for the next turn of the loop,
 * because nothing may complete inside the call that starts it, and because the call may stand
 * inside a callback of curl's, where no transfer can be added. Going on after a pause waits
 * likewise. */
#include "uv/http.h"

#include "uv/http_parts.h"
#include "uv/io.h"
#include "wire/assert.h"
#include "wire/mem.h"

/* Takes what is in a list now: what is added meanwhile waits for the next turn. */
static void take_all(imi_list_t *list, imi_list_t *out) {
    imi_list_init(out);
    if (imi_list_is_empty(list))
        return;
    imi_list_append(list, out); /* join the ring, then take the old end out of it */
    imi_list_remove(list);
}

bool imi_http_work(imi_http_t *http) {
    bool was_busy = imi_http_has_work(http);
    imi_list_t batch;
    take_all(&http->resuming, &batch);
    while (!imi_list_is_empty(&batch)) {
        imagine_http_exchange_t *exchange =
            IMI_CONTAINER(batch.next, imagine_http_exchange_t, node);
        imi_list_remove(&exchange->node);
        imi_shard_resume(exchange);
    }
    take_all(&http->starting, &batch);
    while (!imi_list_is_empty(&batch)) {
        imagine_http_exchange_t *exchange =
            IMI_CONTAINER(batch.next, imagine_http_exchange_t, node);
        imi_list_remove(&exchange->node);
        imi_shard_begin(exchange);
    }
    take_all(&http->due, &batch);
    while (!imi_list_is_empty(&batch)) {
        imi_shard_t *shard = IMI_CONTAINER(batch.next, imi_shard_t, due_node);
        imi_list_remove(&shard->due_node);
        imi_shard_run(shard);
    }
    return was_busy;
}

bool imi_http_has_work(const imi_http_t *http) {
    return !imi_list_is_empty(&http->resuming) || !imi_list_is_empty(&http->starting) ||
           !imi_list_is_empty(&http->due);
}

static uv_once_t curl_once = UV_ONCE_INIT;
static CURLcode curl_state;

/* Never undone: other users of curl in the process may not know of us. */
static void init_curl(void) {
    curl_state = curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* Not before the first exchange: libcurl and what it sets up (OpenSSL, Kerberos …) take 2 MiB of
 * memory, and a client that only draws samples or waits for its first caller needs none of it. */
static int begin_with_curl(imi_http_t *http) {
    uv_once(&curl_once, init_curl);
    if (curl_state != CURLE_OK)
        return IMAGINE_EIO;
    http->share = curl_share_init();
    if (http->share == NULL)
        return IMAGINE_ENOMEM;
    curl_share_setopt(http->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
    curl_share_setopt(http->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    return 0;
}

int imi_http_start(void *context, const imagine_http_request_t *given,
                   const imagine_http_handler_t *handler, void *user,
                   imagine_http_exchange_t **out) {
    imi_uv_t *uv = context;
    imi_http_t *http = uv->http;
    imagine_http_request_t request;
    imagine_http_exchange_t *exchange = NULL;
    int err = 0;
    *out = NULL;
    if (!imi_uv_take_struct(&request, sizeof(request), given))
        return IMAGINE_EINVAL;
    if (http->share == NULL)
        err = begin_with_curl(http);
    if (err == 0)
        err = imi_exchange_new(&exchange, http, &request);
    if (err != 0)
        return err;
    exchange->handler = handler;
    exchange->user = user;
    imi_uv_hold(uv);
    imi_list_append(&http->starting, &exchange->node);
    imi_exchange_watch_limits(exchange);
    imi_uv_wake(uv);
    *out = exchange;
    return 0;
}

void imi_http_cancel(void *context, imagine_http_exchange_t *exchange) {
    imi_shard_t *shard = exchange->shard;
    (void)context;
    IMI_ASSERT(!exchange->is_cancelled);
    if (shard == NULL || !shard->is_running) {
        imi_exchange_discard(exchange);
        return;
    }
    exchange->is_cancelled = true;
    imi_list_remove(&exchange->node);
    imi_list_append(&shard->dropped, &exchange->node);
    imi_alarm_cancel(exchange->http->uv, &exchange->alarm);
}

void imi_http_pause(void *context, imagine_http_exchange_t *exchange, int32_t is_paused) {
    imi_uv_t *uv = context;
    bool is_fed = exchange->is_starved && is_paused == 0;
    if (exchange->limits.is_paused == (is_paused != 0) && !is_fed)
        return;
    exchange->limits.is_paused = is_paused != 0;
    if (exchange->shard == NULL)
        return;
    imi_exchange_touch(exchange);
    imi_exchange_watch_limits(exchange);
    if (!exchange->is_held && !is_fed)
        return;
    if (!exchange->is_starved) /* else what waits in `resuming` is for the body that is sent */
        imi_list_remove(&exchange->node);
    if (!exchange->limits.is_paused) {
        imi_list_remove(&exchange->node);
        imi_list_append(&uv->http->resuming, &exchange->node);
        imi_uv_wake(uv);
    }
}

/* ---- opening and closing ------------------------------------------------------------------ */

static int open_shards(imi_http_t *http) {
    for (size_t i = 0; i <= IMI_SHARD_COUNT; i++) {
        int err = imi_shard_init(i == IMI_SHARD_COUNT ? &http->guarded : &http->shards[i], http, i);
        if (err != 0)
            return err;
    }
    return 0;
}

static void drop_easies(imi_http_t *http) {
    while (http->easy_kept_count > 0)
        curl_easy_cleanup(http->easy_kept[--http->easy_kept_count]);
}

/* On a failure those that were trusted before still are. */
static int trust(imi_http_t *http, const char *ca_file) {
    const curl_version_info_data *curl = curl_version_info(CURLVERSION_NOW);
    char *own_file = imi_mem_strdup(http->uv->mem, ca_file);
    imi_trust_t *own_trust = NULL;
    if (own_file == NULL)
        return IMAGINE_ENOMEM;
    if (imi_trust_fits(curl->ssl_version)) {
        own_trust = imi_trust_new(http->uv->mem, ca_file);
        if (own_trust == NULL) {
            imi_mem_free(http->uv->mem, own_file);
            return IMAGINE_ENOMEM;
        }
    }
    imi_trust_free(http->trust);
    imi_mem_free(http->uv->mem, http->ca_file);
    http->trust = own_trust;
    http->ca_file = own_file;
    return 0;
}

int imi_http_trust(imi_http_t *http, const char *ca_file) {
    int err = imi_trust_has_certificate(ca_file) ? trust(http, ca_file) : IMAGINE_EINVAL;
    if (err == 0)
        drop_easies(http); /* each knows the file */
    return err;
}

/* Whom we trust, and the name that we go by. */
static int take_texts(imi_http_t *http, const imagine_io_uv_options_t *options) {
    const curl_version_info_data *curl = curl_version_info(CURLVERSION_NOW);
    const char *ca_file = options->ca_file;
    const char *user_agent = options->user_agent;
    if (ca_file != NULL && !imi_trust_has_certificate(ca_file))
        return IMAGINE_EINVAL;
    if (ca_file == NULL)
        ca_file = curl->cainfo; /* the system's */
    if (user_agent == NULL)
        user_agent = "libimagine/" IMAGINE_VERSION;
    http->is_tls_unverified = options->verify_tls < 0;
    http->user_agent = imi_mem_strdup(http->uv->mem, user_agent);
    if (http->user_agent == NULL)
        return IMAGINE_ENOMEM;
    return ca_file != NULL ? trust(http, ca_file) : 0;
}

int imi_http_new(imi_http_t **out, imi_uv_t *uv, const imagine_io_uv_options_t *options) {
    imi_http_t *http = NULL;
    int err = 0;
    *out = NULL;
    http = imi_mem_zalloc(uv->mem, sizeof(*http));
    if (http == NULL)
        return IMAGINE_ENOMEM;
    http->uv = uv;
    imi_watches_init(&http->watches, uv, imi_shard_on_event);
    imi_list_init(&http->due);
    imi_list_init(&http->starting);
    imi_list_init(&http->resuming);
    err = open_shards(http);
    if (err == 0)
        err = take_texts(http, options);
    if (err != 0) {
        imi_http_free(http);
        return err;
    }
    *out = http;
    return 0;
}

void imi_http_free(imi_http_t *http) {
    if (http == NULL)
        return;
    for (size_t i = 0; i < IMI_SHARD_COUNT; i++)
        imi_shard_reset(&http->shards[i]);
    imi_shard_reset(&http->guarded);
    drop_easies(http);
    curl_share_cleanup(http->share);
    imi_watches_reset(&http->watches);
    imi_trust_free(http->trust);
    imi_mem_free(http->uv->mem, http->ca_file);
    imi_mem_free(http->uv->mem, http->user_agent);
    imi_mem_free(http->uv->mem, http);
}
