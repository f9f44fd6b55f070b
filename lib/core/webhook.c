/* webhook.c: see webhook.h.
 *
 *   enqueued -> ready -> in flight -> delivered (2xx)
 *      ^          ^          |-----> failed (410, an address that is refused, the tenth try)
 *   loaded        +-- due <--+ anything else
 *
 * One that is due becomes ready: it stands in the line of its host. Hosts that have one ready and
 * fewer than four in flight take turns for the 64 places, so that a dead host fills four of them
 * and delays nobody else. What is in the store says "pending" until the end is known: a process
 * that dies in between leaves the rest to the next one. */
#include "core/webhook.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/client.h"
#include "core/log.h"
#include "core/peers.h"
#include "core/secret.h"
#include "core/sync.h"
#include "core/webhook_record.h"
#include "wire/json.h"
#include "wire/time.h"
#include "wire/url.h"
#include "wire/urlcheck.h"

#define KEPT_MS (24 * 60 * 60 * 1000)
#define RETRY_AFTER_MAX_MS (60 * 60 * 1000)
#define ANSWER_SIZE_MAX (64 * 1024) /* nobody reads it; to its end the connection can be kept */

/* Behind each failed try but the last: five seconds for a hiccup, an hour's rest for an outage, two
 * hours in all. A fifth more or less, so that what failed together does not come back together. */
static const uint32_t pauses_s[IMI_WEBHOOK_TRIES_MAX - 1] = {5,   15,   45,   120, 300,
                                                             600, 1200, 1800, 3000};
#define JITTER_PARTS 5

struct imi_webhook_host {
    imi_list_t link;    /* in imi_webhooks_t.ready, while it has one waiting and a place free */
    imi_list_t waiting; /* webhooks that are ready */
    uint32_t in_flight;
    size_t count; /* webhooks that point here */
    char name[];  /* lower case */
};

static void begin_tries(imagine_t *im);
static int start_try(imi_webhook_t *webhook);
static void on_head(const imagine_http_head_t *head, void *user);
static void on_body(const void *data, size_t data_size, void *user);
static void on_end(const imagine_http_end_t *end, void *user);
static void judge(imi_webhook_t *webhook, int error, const char *message);

static const imagine_http_handler_t handler = {
    .size = sizeof(handler), .on_head = on_head, .on_body = on_body, .on_end = on_end};

/* ---- what there is -----------------------------------------------------------------------------
 */

/* The host of a fine address: http or https, no user info. */
static bool read_host(const char *url, imi_slice_t *out) {
    imi_url_t parts;
    if (url == NULL || strlen(url) > IMI_WEBHOOK_URL_SIZE_MAX ||
        !imi_url_parse(imi_slice_of(url), &parts) || parts.has_userinfo)
        return false;
    *out = parts.host;
    return true;
}

static imi_webhook_host_t *find_host(imagine_t *im, imi_slice_t text) {
    imi_webhook_host_t *host = imi_mem_zalloc(&im->mem, sizeof(*host) + text.size + 1), *known;
    if (host == NULL)
        return NULL;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        host->name[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    known = imi_map_get(&im->webhooks->hosts, host->name, text.size);
    if (known != NULL) {
        imi_mem_free(&im->mem, host);
        return known;
    }
    imi_list_init(&host->link);
    imi_list_init(&host->waiting);
    if (imi_map_set(&im->webhooks->hosts, host->name, text.size, host) == 0)
        return host;
    imi_mem_free(&im->mem, host);
    return NULL;
}

static void release_host(imagine_t *im, imi_webhook_host_t *host) {
    if (host->count > 0)
        return;
    imi_list_remove(&host->link);
    imi_map_remove(&im->webhooks->hosts, host->name, strlen(host->name));
    imi_mem_free(&im->mem, host);
}

/* Takes it in. False: no memory, and it is gone. */
static bool add(imi_webhook_t *webhook) {
    imagine_t *im = webhook->im;
    imi_webhooks_t *all = im->webhooks;
    imi_webhook_host_t *host = NULL;
    imi_slice_t name;
    if (imi_heap_reserve(&all->due, all->by_id.count + 1) == 0 && read_host(webhook->url, &name))
        host = find_host(im, name);
    if (host != NULL && imi_map_set(&all->by_id, webhook->id, strlen(webhook->id), webhook) == 0) {
        webhook->host = host;
        host->count++;
        all->size += webhook->body_size;
        return true;
    }
    if (host != NULL)
        release_host(im, host);
    imi_webhook_free(webhook);
    return false;
}

/* One that has ended, to be looked at and sent again. */
static void keep(imi_webhook_t *webhook) {
    imi_webhooks_t *all = webhook->im->webhooks;
    imi_list_append(&all->ended, &webhook->link);
    all->ended_count++;
    all->ended_size += webhook->body_size;
}

static void unkeep(imi_webhook_t *webhook) {
    imi_webhooks_t *all = webhook->im->webhooks;
    imi_list_remove(&webhook->link);
    all->ended_count--;
    all->ended_size -= webhook->body_size;
}

static void forget(imi_webhook_t *webhook) {
    imagine_t *im = webhook->im;
    imi_webhooks_t *all = im->webhooks;
    unkeep(webhook);
    all->size -= webhook->body_size;
    imi_map_remove(&all->by_id, webhook->id, strlen(webhook->id));
    webhook->host->count--;
    release_host(im, webhook->host);
    imi_webhook_free(webhook);
}

/* Done whenever one comes or is asked for: no timer that wakes an idle process. */
static void forget_old(imagine_t *im) {
    imi_webhooks_t *all = im->webhooks;
    int64_t now_unix_ms = im->io->unix_ms(im->io->context);
    while (!imi_list_is_empty(&all->ended)) {
        imi_webhook_t *webhook = IMI_CONTAINER(all->ended.next, imi_webhook_t, link);
        if (now_unix_ms - webhook->ended_unix_ms < KEPT_MS &&
            all->ended_count <= IMI_WEBHOOKS_ENDED_MAX &&
            all->ended_size <= IMI_WEBHOOKS_ENDED_SIZE_MAX)
            return;
        forget(webhook);
    }
}

static bool has_room(const imi_webhooks_t *all, size_t body_size) {
    return all->by_id.count < IMI_WEBHOOKS_MAX && body_size <= IMI_WEBHOOKS_SIZE_MAX &&
           all->size <= IMI_WEBHOOKS_SIZE_MAX - body_size;
}

/* ---- when --------------------------------------------------------------------------------------
 */

static void on_timer(void *user);

/* Without memory for a timer, whatever comes next sets it. */
static void set_timer(imagine_t *im) {
    const imagine_io_t *io = im->io;
    imi_webhooks_t *all = im->webhooks;
    const imi_heap_node_t *first = imi_heap_first(&all->due);
    int64_t now_ms = (int64_t)imi_now_ms(im);
    uint64_t delay_ms;
    if (all->timer != NULL && (first == NULL || all->timer_at_ms != first->key)) {
        io->timer_cancel(io->context, all->timer);
        all->timer = NULL;
    }
    if (first == NULL || all->timer != NULL)
        return;
    delay_ms = first->key > now_ms ? (uint64_t)(first->key - now_ms) : 0;
    all->timer_at_ms = first->key;
    if (io->timer_start(io->context, delay_ms, on_timer, im, &all->timer) != 0) {
        all->timer = NULL;
        imi_log(im, IMAGINE_LOG_WARN, "webhook.no_timer");
    }
}

/* A host stands in the ring as long as it has something to send and may. */
static void queue_host(imagine_t *im, imi_webhook_host_t *host) {
    imi_list_remove(&host->link);
    if (!imi_list_is_empty(&host->waiting) && host->in_flight < IMI_WEBHOOKS_PER_HOST_MAX)
        imi_list_append(&im->webhooks->ready, &host->link);
}

static void make_ready(imi_webhook_t *webhook) {
    imi_heap_remove(&webhook->im->webhooks->due, &webhook->due);
    imi_list_append(&webhook->host->waiting, &webhook->link);
    if (imi_list_is_empty(&webhook->host->link)) /* else it keeps its turn */
        queue_host(webhook->im, webhook->host);
}

static void put_off(imi_webhook_t *webhook, int64_t delay_ms) {
    imagine_t *im = webhook->im;
    /* add() has made room. */
    (void)imi_heap_insert(&im->webhooks->due, &webhook->due, (int64_t)imi_now_ms(im) + delay_ms);
}

static void on_timer(void *user) {
    imagine_t *im = user;
    imi_webhooks_t *all = im->webhooks;
    int64_t now_ms = (int64_t)imi_now_ms(im);
    imi_heap_node_t *first;
    all->timer = NULL;
    while ((first = imi_heap_first(&all->due)) != NULL && first->key <= now_ms)
        make_ready(IMI_CONTAINER(first, imi_webhook_t, due));
    begin_tries(im);
}

/* ---- a try -------------------------------------------------------------------------------------
 */

/* As many as may begin; then waits for the next one. */
static void begin_tries(imagine_t *im) {
    imi_webhooks_t *all = im->webhooks;
    while (!im->is_closing && all->in_flight < IMI_WEBHOOKS_IN_FLIGHT_MAX &&
           !imi_list_is_empty(&all->ready)) {
        imi_webhook_host_t *host = IMI_CONTAINER(all->ready.next, imi_webhook_host_t, link);
        imi_webhook_t *webhook = IMI_CONTAINER(host->waiting.next, imi_webhook_t, link);
        int err;
        imi_list_remove(&webhook->link);
        webhook->status = 0;
        webhook->retry_after_ms = 0;
        err = start_try(webhook);
        if (err == 0) {
            host->in_flight++;
            all->in_flight++;
        } else {
            judge(webhook, err, NULL);
        }
        queue_host(im, host);
    }
    if (!im->is_closing)
        set_timer(im);
}

static int guard(const char *host, const char *address, void *user) {
    const imagine_t *im = user;
    bool is_allowed =
        imi_connection_is_allowed(im->allowed_hosts, imi_slice_of(host), imi_slice_of(address));
    return is_allowed ? 0 : IMAGINE_EADDRESS;
}

static int start_try(imi_webhook_t *webhook) {
    imagine_t *im = webhook->im;
    imagine_http_request_t request = {.size = sizeof(request)};
    imi_webhook_headers_t headers;
    int err = imi_webhook_sign(&headers, &im->mem, &im->webhooks->secret, webhook->id,
                               im->io->unix_ms(im->io->context),
                               (imi_slice_t){webhook->body, webhook->body_size});
    if (err != 0)
        return err;
    webhook->piece = (imagine_slice_t){webhook->body, webhook->body_size};
    request.method = "POST";
    request.url = webhook->url;
    request.headers = headers.headers;
    request.header_count = headers.count;
    request.body = &webhook->piece;
    request.body_count = 1;
    request.timeout_ms = im->limits.webhook_ms;
    request.response_size_max = ANSWER_SIZE_MAX;
    request.guard = guard;
    request.guard_user = im;
    return im->io->http_start(im->io->context, &request, &handler, webhook, &webhook->exchange);
}

static void on_head(const imagine_http_head_t *head, void *user) {
    imi_webhook_t *webhook = user;
    const imagine_io_t *io = webhook->im->io;
    int64_t delay_ms;
    webhook->status = head->status;
    for (size_t i = 0; i < head->header_count; i++)
        if (imi_text_equals_nocase(head->headers[i].name, "retry-after") &&
            imi_time_parse_retry_after(imi_slice_of(head->headers[i].value),
                                       io->unix_ms(io->context), &delay_ms))
            webhook->retry_after_ms =
                delay_ms < RETRY_AFTER_MAX_MS ? (uint64_t)delay_ms : RETRY_AFTER_MAX_MS;
}

static void on_body(const void *data, size_t data_size, void *user) {
    (void)data, (void)data_size, (void)user;
}

static void on_end(const imagine_http_end_t *end, void *user) {
    imi_webhook_t *webhook = user;
    imagine_t *im = webhook->im;
    imi_webhook_host_t *host = webhook->host;
    webhook->exchange = NULL;
    host->in_flight--;
    im->webhooks->in_flight--;
    judge(webhook, end->error, end->message);
    /* Whoever waits at this host may: it was full. One that has its turn already keeps it. */
    if (imi_list_is_empty(&host->link))
        queue_host(im, host);
    begin_tries(im);
}

/* ---- what came of it ---------------------------------------------------------------------------
 */

static void say_why(imi_webhook_t *webhook, int error, const char *message) {
    int status = webhook->last_status;
    char *out = webhook->last_error;
    size_t size = sizeof(webhook->last_error);
    if (status >= 300 && status < 400)
        snprintf(out, size, "the receiver answered %d: redirects are not followed", status);
    else if (status != 0)
        snprintf(out, size, "the receiver answered %d", status);
    else if (error == IMAGINE_EADDRESS)
        snprintf(out, size, "the address leads to a host that is not public");
    else
        snprintf(out, size, "%s", message != NULL ? message : imagine_strerror(error));
    imi_secrets_mask(webhook->im, out);
}

static int64_t pause_ms(const imi_webhook_t *webhook) {
    uint64_t pause = (uint64_t)pauses_s[webhook->tries - 1] * 1000, part = pause / JITTER_PARTS;
    pause = pause - part + imi_random64(webhook->im) % (2 * part + 1);
    return (int64_t)(pause > webhook->retry_after_ms ? pause : webhook->retry_after_ms);
}

static void set_key(char out[IMI_WEBHOOK_KEY_SIZE], const char *id) {
    snprintf(out, IMI_WEBHOOK_KEY_SIZE, IMI_WEBHOOK_KEY_PREFIX "%s", id);
}

static void on_settled(imagine_t *im, const char *key) {
    imi_peers_end(im, &imi_webhook_work, key + sizeof(IMI_WEBHOOK_KEY_PREFIX) - 1);
}

static void end(imi_webhook_t *webhook, imi_webhook_state_t state) {
    imagine_t *im = webhook->im;
    char key[IMI_WEBHOOK_KEY_SIZE];
    webhook->state = state;
    webhook->ended_unix_ms = im->io->unix_ms(im->io->context);
    keep(webhook);
    imi_webhook_save(webhook);
    set_key(key, webhook->id);
    imi_sync_disown(im, key, on_settled);
    imi_log(im, state == IMI_WEBHOOK_DELIVERED ? IMAGINE_LOG_INFO : IMAGINE_LOG_WARN,
            "webhook.%s id=%s host=%s tries=%" PRIu32 " status=%" PRId32,
            imi_webhook_state_name(state), webhook->id, webhook->host->name, webhook->tries,
            webhook->last_status);
}

/* The status is what counts: an answer that broke behind it was an answer. */
static void judge(imi_webhook_t *webhook, int error, const char *message) {
    imagine_t *im = webhook->im;
    int32_t status = webhook->status;
    int64_t delay_ms;
    webhook->tries++;
    webhook->last_status = status;
    webhook->last_error[0] = '\0';
    if (status >= 200 && status < 300) {
        end(webhook, IMI_WEBHOOK_DELIVERED);
        return;
    }
    say_why(webhook, error, message);
    if (status == 410 || (status == 0 && error == IMAGINE_EADDRESS) ||
        webhook->tries >= IMI_WEBHOOK_TRIES_MAX) {
        end(webhook, IMI_WEBHOOK_FAILED);
        return;
    }
    delay_ms = pause_ms(webhook);
    webhook->next_unix_ms = im->io->unix_ms(im->io->context) + delay_ms;
    put_off(webhook, delay_ms);
    imi_webhook_save(webhook);
    imi_log(im, IMAGINE_LOG_DEBUG,
            "webhook.waits id=%s host=%s tries=%" PRIu32 " status=%" PRId32 " ms=%" PRId64,
            webhook->id, webhook->host->name, webhook->tries, status, delay_ms);
}

/* ---- coming and going --------------------------------------------------------------------------
 */

/* Another instance sends it now. */
static void on_lost(imagine_t *im, const char *key) {
    imi_webhooks_t *all = im->webhooks;
    const char *id = key + sizeof(IMI_WEBHOOK_KEY_PREFIX) - 1;
    imi_webhook_t *webhook = imi_map_get(&all->by_id, id, strlen(id));
    if (webhook == NULL || webhook->state != IMI_WEBHOOK_PENDING)
        return;
    if (webhook->exchange != NULL) {
        im->io->http_cancel(im->io->context, webhook->exchange);
        webhook->host->in_flight--;
        all->in_flight--;
    }
    imi_heap_remove(&all->due, &webhook->due);
    imi_list_remove(&webhook->link);
    imi_peers_end(im, &imi_webhook_work, id);
    queue_host(im, webhook->host);
    all->size -= webhook->body_size;
    imi_map_remove(&all->by_id, webhook->id, strlen(webhook->id));
    webhook->host->count--;
    release_host(im, webhook->host);
    imi_webhook_free(webhook);
    begin_tries(im);
}

/* Without memory another instance might take it over too soon, and sends it as well. */
static void own(const imi_webhook_t *webhook, imi_slice_t stored) {
    char key[IMI_WEBHOOK_KEY_SIZE];
    set_key(key, webhook->id);
    if (imi_sync_own(webhook->im, key, stored, on_lost) != 0)
        imi_log(webhook->im, IMAGINE_LOG_WARN, "webhook.not_owned id=%s", webhook->id);
}

int imi_webhook_enqueue(imagine_t *im, const char *url, const char *body, size_t body_size,
                        const char *task_id) {
    char id[sizeof(IMI_WEBHOOK_ID_PREFIX) + IMI_WEBHOOK_TASK_ID_SIZE_MAX];
    imi_slice_t task = imi_slice_of(task_id), host;
    imi_slice_t json = imi_slice_trim((imi_slice_t){body, body_size});
    imi_webhook_t *webhook;
    forget_old(im);
    if (!imi_webhook_is_task_id(task) || !imi_json_valid(json, IMI_WEBHOOK_DEPTH_MAX, NULL))
        return IMAGINE_EINVAL;
    if (!read_host(url, &host))
        return IMAGINE_EADDRESS;
    snprintf(id, sizeof(id), IMI_WEBHOOK_ID_PREFIX "%s", task_id);
    if (imi_map_get(&im->webhooks->by_id, id, strlen(id)) != NULL)
        return 0;
    if (!has_room(im->webhooks, json.size)) {
        imi_log(im, IMAGINE_LOG_ERROR, "webhook.refused id=%s waiting=%zu", id,
                im->webhooks->by_id.count);
        return IMAGINE_EBUSY;
    }
    webhook = imi_webhook_new(im, task, url, json);
    if (webhook == NULL || !add(webhook))
        return IMAGINE_ENOMEM;
    webhook->next_unix_ms = webhook->created_unix_ms;
    imi_peers_begin(im, &imi_webhook_work, webhook->id);
    own(webhook, (imi_slice_t){NULL, 0});
    imi_webhook_save(webhook);
    make_ready(webhook);
    begin_tries(im);
    return 0;
}

/* NULL: it is known, none of ours, or there is no room. */
static imi_webhook_t *read_record(imagine_t *im, const char *key, imi_slice_t record) {
    imi_webhooks_t *all = im->webhooks;
    const char *id = key + sizeof(IMI_WEBHOOK_KEY_PREFIX) - 1;
    imi_webhook_t *webhook = NULL;
    if (!imi_text_starts_with(key, IMI_WEBHOOK_KEY_PREFIX) ||
        imi_map_get(&all->by_id, id, strlen(id)) != NULL)
        return NULL;
    if (has_room(all, record.size))
        webhook = imi_webhook_read(im, key, record);
    if (webhook != NULL)
        return webhook;
    imi_log(im, IMAGINE_LOG_WARN, "webhook.not_loaded");
    return NULL;
}

/* Takes it in, to go on with it if it is not over. False: no memory. */
static bool take_in(imi_webhook_t *webhook) {
    imagine_t *im = webhook->im;
    int64_t delay_ms;
    if (!add(webhook)) {
        imi_log(im, IMAGINE_LOG_WARN, "webhook.not_loaded");
        return false;
    }
    if (webhook->state != IMI_WEBHOOK_PENDING) {
        keep(webhook);
        forget_old(im);
        return true;
    }
    /* The clock may have been set meanwhile. */
    delay_ms = webhook->next_unix_ms - im->io->unix_ms(im->io->context);
    if (delay_ms > RETRY_AFTER_MAX_MS)
        delay_ms = RETRY_AFTER_MAX_MS;
    put_off(webhook, delay_ms > 0 ? delay_ms : 0);
    imi_log(im, IMAGINE_LOG_INFO, "webhook.resumed id=%s host=%s tries=%" PRIu32, webhook->id,
            webhook->host->name, webhook->tries);
    set_timer(im);
    return true;
}

void imi_webhook_load(imagine_t *im, const char *key, const void *value, size_t value_size) {
    imi_webhook_t *webhook = read_record(im, key, (imi_slice_t){value, value_size});
    if (webhook == NULL)
        return;
    if (webhook->state == IMI_WEBHOOK_PENDING && imi_sync_is_shared(im))
        imi_webhook_free(webhook); /* whoever has it goes on; if nobody does, peers.h finds it */
    else
        (void)take_in(webhook);
}

static void take_over(imagine_t *im, const char *id, imi_slice_t record) {
    char key[IMI_WEBHOOK_KEY_SIZE];
    imi_webhook_t *webhook;
    snprintf(key, sizeof(key), IMI_WEBHOOK_KEY_PREFIX "%s", id);
    webhook = read_record(im, key, record);
    if (webhook == NULL || !take_in(webhook) || webhook->state != IMI_WEBHOOK_PENDING)
        imi_peers_end(im, &imi_webhook_work, id);
    else
        own(webhook, record);
}

static void renew(imagine_t *im) {
    const imi_map_entry_t *entry;
    size_t position = 0;
    while (imi_map_next(&im->webhooks->by_id, &position, &entry)) {
        const imi_webhook_t *webhook = entry->value;
        if (webhook->state != IMI_WEBHOOK_PENDING)
            continue;
        imi_peers_note(im, &imi_webhook_work, webhook->id);
        imi_webhook_save(webhook);
    }
}

const imi_work_kind_t imi_webhook_work = {'w', IMI_WEBHOOK_KEY_PREFIX, take_over, renew};

static void init(imagine_t *im) {
    imi_webhooks_t *all = im->webhooks;
    imi_map_init(&all->by_id, &im->mem, im->seed);
    imi_map_init(&all->hosts, &im->mem, im->seed);
    imi_heap_init(&all->due, &im->mem);
    imi_list_init(&all->ready);
    imi_list_init(&all->ended);
}

void imi_webhooks_reset(imagine_t *im) {
    imi_webhooks_t *all = im->webhooks;
    const imi_map_entry_t *entry;
    size_t position = 0;
    if (all->timer != NULL)
        im->io->timer_cancel(im->io->context, all->timer);
    imi_heap_reset(&all->due);
    while (imi_map_next(&all->by_id, &position, &entry)) {
        imi_webhook_t *webhook = entry->value;
        if (webhook->exchange != NULL)
            im->io->http_cancel(im->io->context, webhook->exchange);
        imi_webhook_free(webhook);
    }
    position = 0;
    while (imi_map_next(&all->hosts, &position, &entry))
        imi_mem_free(&im->mem, entry->value);
    imi_map_reset(&all->by_id);
    imi_map_reset(&all->hosts);
    imi_webhook_secret_reset(&all->secret, &im->mem);
    *all = (imi_webhooks_t){0};
    init(im); /* a task may still end, and be told of when the store is read again */
}

int imi_webhooks_open(imagine_t *im) {
    im->webhooks = imi_mem_zalloc(&im->mem, sizeof(*im->webhooks));
    if (im->webhooks == NULL)
        return IMAGINE_ENOMEM;
    init(im);
    return 0;
}

void imi_webhooks_close(imagine_t *im) {
    if (im->webhooks != NULL)
        imi_webhooks_reset(im);
    imi_mem_free(&im->mem, im->webhooks);
    im->webhooks = NULL;
}

int imi_webhooks_set_secret(imagine_t *im, const char *text) {
    int err = text != NULL ? imi_secrets_add(im, text) : 0;
    return err != 0 ? err : imi_webhook_secret_set(&im->webhooks->secret, &im->mem, text);
}

/* ---- what administrators see -------------------------------------------------------------------
 */

typedef struct look {
    imagine_t *im;
    const char *id;
    char *text; /* malloc'ed: imagine_free() gives it back */
    int err;
} look_t;

/* The newest ones, newest first. */
static size_t find_newest(imagine_t *im, const imi_webhook_t *out[IMI_WEBHOOKS_SHOWN_MAX]) {
    const imi_map_entry_t *entry;
    size_t position = 0, count = 0;
    while (imi_map_next(&im->webhooks->by_id, &position, &entry)) {
        const imi_webhook_t *webhook = entry->value;
        size_t at = count;
        if (count == IMI_WEBHOOKS_SHOWN_MAX) {
            if (webhook->created_unix_ms <= out[count - 1]->created_unix_ms)
                continue;
            at--;
        } else {
            count++;
        }
        for (; at > 0 && out[at - 1]->created_unix_ms < webhook->created_unix_ms; at--)
            out[at] = out[at - 1];
        out[at] = webhook;
    }
    return count;
}

static int list_step(void *user) {
    look_t *look = user;
    const imi_webhook_t *newest[IMI_WEBHOOKS_SHOWN_MAX];
    imi_json_writer_t writer;
    size_t count;
    imi_buf_t buf;
    if (look->im->is_closing)
        return 1;
    forget_old(look->im);
    count = find_newest(look->im, newest);
    imi_buf_init(&buf, NULL, 0);
    imi_json_begin(&writer, &buf);
    imi_json_open_array(&writer, NULL);
    for (size_t i = 0; i < count; i++)
        imi_webhook_write(&writer, newest[i]);
    imi_json_close_array(&writer);
    look->text = imi_buf_take(&buf, NULL);
    return 1;
}

char *imagine_webhooks(imagine_t *im) {
    look_t look = {.im = im};
    (void)imi_run(im, list_step, &look);
    return look.text;
}

static int redeliver_step(void *user) {
    look_t *look = user;
    imagine_t *im = look->im;
    imi_webhook_t *webhook;
    look->err = im->is_closing ? IMAGINE_ECLOSED : 0;
    if (look->err != 0)
        return 1;
    forget_old(im);
    webhook = imi_map_get(&im->webhooks->by_id, look->id, strlen(look->id));
    if (webhook == NULL) {
        look->err = IMAGINE_ENOTFOUND;
        return 1;
    }
    if (webhook->state == IMI_WEBHOOK_PENDING && webhook->due.index == 0)
        return 1; /* it is on its way, or next in line */
    if (webhook->state != IMI_WEBHOOK_PENDING) {
        unkeep(webhook);
        webhook->state = IMI_WEBHOOK_PENDING;
        webhook->tries = 0;
        webhook->ended_unix_ms = 0;
        imi_peers_begin(im, &imi_webhook_work, webhook->id);
    }
    webhook->next_unix_ms = im->io->unix_ms(im->io->context);
    imi_webhook_save(webhook);
    imi_log(im, IMAGINE_LOG_INFO, "webhook.redelivered id=%s host=%s", webhook->id,
            webhook->host->name);
    make_ready(webhook);
    begin_tries(im);
    return 1;
}

int imagine_webhook_redeliver(imagine_t *im, const char *id) {
    look_t look = {.im = im, .id = id};
    int err = id == NULL ? IMAGINE_EINVAL : imi_run(im, redeliver_step, &look);
    return err != 0 ? err : look.err;
}
