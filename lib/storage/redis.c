/* redis.c: "redis://" and "rediss://", by hiredis' asynchronous half on the client's loop.
 *
 *   resting --> resolving --> connecting --> greeting (AUTH, SELECT) --> ready
 *      ^            |             |              |                         |
 *      '------------+-------------+--------------+--- anything goes wrong -'
 *
 * One connection asks, a second one listens to what others change. What is asked goes out at once,
 * many commands on the way together; Redis answers in their order. Each has 250 ms, also for
 * waiting until there is a connection: then the connection is given up, because a late answer must
 * not be taken for another one's. While it rests, everything fails at once, and the caller goes on
 * from memory. A write to a connection that the server has closed raises SIGPIPE, for hiredis calls
 * write(): a host ignores that signal (imagine/storage.h says so, imagine-server does). */
#include <fcntl.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "storage/drivers.h"
#include "storage/queue.h"
#include "storage/redis_tls.h"
#include "storage/redis_url.h"
#include "wire/map.h"
#include "wire/str.h"

#define PATIENCE_MS 250
#define LIST_PATIENCE_MS 5000
#define END_MS 5000 /* however much is on its way */
#define LATE_MS 20  /* a timer that is later was held up by us, not by the server */
#define CONNECT_MS 2000
#define REST_MIN_MS 50
#define REST_MAX_MS 5000
#define DEAF_MAX_MS 1000 /* what others change is to be known within a second */
#define LOG_REPEAT_MS 60000
#define REASON_SIZE 160
#define WATCHED_SIZE 64
#define ID_SIZE 16
#define SCAN_COUNT "16"                                  /* values may be a MiB each */
#define KEY_SIZE (IMAGINE_STORAGE_KEY_SIZE_MAX + 64 + 1) /* with the prefix */

typedef enum stage { RESTING, RESOLVING, CONNECTING, GREETING, READY } stage_t;

typedef struct redis redis_t;

typedef struct socket {
    uv_poll_t poll;
    redisAsyncContext *hiredis;
    redis_t *redis;
    int events;
} socket_t;

typedef struct link {
    redis_t *redis;
    stage_t stage;
    bool is_listener;
    bool is_heard; /* a listener: it has been accepted as one */
    redisAsyncContext *hiredis;
    struct ssl_st *session;   /* hiredis'; NULL: no TLS */
    uv_getaddrinfo_t *lookup; /* under way; NULL: none */
    imagine_timer_t *timer;   /* of a rest, or the end of patience with a connection */
    uint32_t failures;        /* in a row; also which of the host's addresses is next */
} link_t;

/* An operation on its way. */
typedef struct job {
    imi_list_t node; /* in redis->jobs */
    redis_t *redis;
    imi_storage_operation_t *operation;
    uint64_t deadline_ms;
    uint64_t end_ms; /* no excuse counts from here on */
    bool is_sent;
    imi_map_t seen;    /* list: keys that were told; SCAN may repeat some */
    char cursor[24];   /* list: where the next SCAN goes on */
    redisReply *names; /* list: of the page that is being read */
} job_t;

struct redis {
    imi_storage_queue_t queue; /* first, see queue.h */
    imi_arena_t arena;
    imi_redis_url_t url;
    imi_redis_tls_t *tls; /* NULL: none */
    link_t asks, hears;
    imi_list_t jobs; /* oldest first */
    imagine_timer_t *turn, *patience;
    char watched[WATCHED_SIZE]; /* "": nothing */
    imagine_storage_changed_cb on_changed;
    void *watch_user;
    char id[ID_SIZE + 1]; /* of ours, in what we tell others */
    uint64_t logged_at_ms;
    bool has_logged;
    bool has_opened, is_lost; /* as the log says */
    size_t handle_count;      /* sockets and lookups that libuv still has */
    bool is_finishing;
    uint64_t heard_at_ms; /* of the server, anything */
};

static const char add_script[] =
    "local e=redis.call('EXISTS',KEYS[1]) redis.call('INCRBY',KEYS[1],ARGV[1]) "
    "if e==0 and ARGV[2]~='0' then redis.call('PEXPIRE',KEYS[1],ARGV[2]) end "
    "return redis.call('GET',KEYS[1])"; /* as text: a Lua number has 53 bits */
static const char swap_script[] =
    "local v=redis.call('GET',KEYS[1]) "
    "if ARGV[1]=='0' then if v then return 0 end elseif v~=ARGV[2] then return 0 end "
    "if ARGV[3]=='0' then redis.call('DEL',KEYS[1]) "
    "elseif ARGV[5]=='0' then redis.call('SET',KEYS[1],ARGV[4]) "
    "else redis.call('SET',KEYS[1],ARGV[4],'PX',ARGV[5]) end return 1";

static void begin(link_t *link);
static void give_up(link_t *link, const char *reason);
static void send_waiting(redis_t *redis);
static void schedule(redis_t *redis);
static void finish_if_done(redis_t *redis);

static uint64_t now_ms(const redis_t *redis) {
    return redis->queue.io->now_ms(redis->queue.io->context);
}

static void stop_timer(redis_t *redis, imagine_timer_t **timer) {
    if (*timer != NULL)
        redis->queue.io->timer_cancel(redis->queue.io->context, *timer);
    *timer = NULL;
}

static void log_line(const redis_t *redis, int32_t level, const char *event, const char *reason) {
    const imagine_io_t *io = redis->queue.io;
    char line[REASON_SIZE + 128], said[REASON_SIZE];
    if (io->log == NULL)
        return;
    snprintf(said, sizeof(said), "%s", reason != NULL ? reason : "");
    imi_text_make_quotable(said); /* who is at the other end may be anybody */
    snprintf(line, sizeof(line), "%s driver=redis host=%.60s%s%s%s", event, redis->url.host,
             reason != NULL ? " reason=\"" : "", said, reason != NULL ? "\"" : "");
    io->log(io->context, level, line);
}

/* Once a minute, whatever the reason: a full server words its no to a script otherwise than to a
 * SET, and each would be news after the other. Nor does it begin anew with every connection: one
 * that is lost as soon as something is asked would be told again and again. */
static bool may_complain(redis_t *redis) {
    if (redis->has_logged && now_ms(redis) - redis->logged_at_ms < LOG_REPEAT_MS)
        return false;
    redis->has_logged = true;
    redis->logged_at_ms = now_ms(redis);
    return true;
}

static void complain(redis_t *redis, const char *reason) {
    if (!may_complain(redis))
        return;
    redis->is_lost = true;
    log_line(redis, IMAGINE_LOG_WARN, "store.lost", reason);
}

/* What was lost aloud is found aloud. */
static void rejoice(redis_t *redis) {
    if (!redis->has_opened || redis->is_lost)
        log_line(redis, IMAGINE_LOG_INFO, "store.opened", NULL);
    redis->has_opened = true;
    redis->is_lost = false;
}

/* ---- hiredis on libuv --------------------------------------------------------------------------
 */

static void on_ready(uv_poll_t *poll, int status, int events) {
    socket_t *socket = poll->data;
    redisAsyncContext *hiredis = socket->hiredis;
    (void)status; /* hiredis finds out by reading */
    if (status < 0)
        events = UV_READABLE;
    if ((events & UV_READABLE) != 0) {
        socket->redis->heard_at_ms = now_ms(socket->redis);
        redisAsyncHandleRead(hiredis);
    }
    if ((events & UV_WRITABLE) != 0 && !uv_is_closing((uv_handle_t *)poll))
        redisAsyncHandleWrite(hiredis);
}

static void set_events(socket_t *socket, int events) {
    if (socket->events == events)
        return;
    socket->events = events;
    if (events == 0)
        uv_poll_stop(&socket->poll);
    else
        uv_poll_start(&socket->poll, events, on_ready);
}

static void add_read(void *data) {
    set_events(data, ((socket_t *)data)->events | UV_READABLE);
}

static void stop_read(void *data) {
    set_events(data, ((socket_t *)data)->events & ~UV_READABLE);
}

static void add_write(void *data) {
    set_events(data, ((socket_t *)data)->events | UV_WRITABLE);
}

static void stop_write(void *data) {
    set_events(data, ((socket_t *)data)->events & ~UV_WRITABLE);
}

static void on_socket_closed(uv_handle_t *handle) {
    socket_t *socket = handle->data;
    redis_t *redis = socket->redis;
    imi_mem_free(redis->queue.mem, socket);
    redis->handle_count--;
    finish_if_done(redis);
}

/* hiredis closes the descriptor after this. */
static void clean_up(void *data) {
    socket_t *socket = data;
    uv_close((uv_handle_t *)&socket->poll, on_socket_closed);
}

static int attach(link_t *link) {
    redis_t *redis = link->redis;
    redisAsyncContext *hiredis = link->hiredis;
    socket_t *socket = imi_mem_zalloc(redis->queue.mem, sizeof(*socket));
    if (socket == NULL)
        return IMAGINE_ENOMEM;
    (void)fcntl(hiredis->c.fd, F_SETFD, FD_CLOEXEC); /* which hiredis forgets */
    /* Who only listens says nothing, and would never learn that a router has forgotten it. */
    if (redisEnableKeepAlive(&hiredis->c) != REDIS_OK ||
        uv_poll_init(redis->queue.io->loop, &socket->poll, hiredis->c.fd) != 0) {
        imi_mem_free(redis->queue.mem, socket);
        return IMAGINE_EIO;
    }
    uv_unref((uv_handle_t *)&socket->poll); /* what waits has a timer, which counts */
    socket->poll.data = socket;
    socket->redis = redis;
    socket->hiredis = hiredis;
    redis->handle_count++;
    hiredis->ev.data = socket;
    hiredis->ev.addRead = add_read;
    hiredis->ev.delRead = stop_read;
    hiredis->ev.addWrite = add_write;
    hiredis->ev.delWrite = stop_write;
    hiredis->ev.cleanup = clean_up;
    return 0;
}

/* ---- a connection ------------------------------------------------------------------------------
 */

static void on_rest_over(void *user) {
    link_t *link = user;
    redis_t *redis = link->redis;
    link->timer = NULL;
    if (link->is_listener && redis->asks.stage == READY && !redis->queue.is_closing)
        redis->on_changed(NULL, redis->watch_user); /* who cannot listen has to look */
    begin(link);
}

static void rest(link_t *link) {
    redis_t *redis = link->redis;
    const imagine_io_t *io = redis->queue.io;
    uint64_t pause_ms = (uint64_t)REST_MIN_MS << (link->failures < 7 ? link->failures : 7);
    uint64_t pause_max_ms = link->is_listener ? DEAF_MAX_MS : REST_MAX_MS;
    uint8_t dice = 0;
    stop_timer(redis, &link->timer);
    link->stage = RESTING;
    link->is_heard = false;
    if (redis->queue.is_closing)
        return;
    if (pause_ms > pause_max_ms)
        pause_ms = pause_max_ms;
    (void)io->random(io->context, &dice, sizeof(dice)); /* those who lost it together come apart */
    link->failures++;
    if (io->timer_start(io->context, pause_ms + pause_ms * dice / 1024, on_rest_over, link,
                        &link->timer) != 0)
        link->timer = NULL; /* the next operation begins */
}

/* Every callback of its commands runs inside, with no reply. */
static void give_up(link_t *link, const char *reason) {
    redisAsyncContext *hiredis = link->hiredis;
    link->hiredis = NULL;
    if (reason != NULL && !link->is_listener)
        complain(link->redis, reason);
    rest(link);
    if (hiredis != NULL)
        redisAsyncFree(hiredis);
    schedule(link->redis); /* what still waits fails */
}

static void on_impatient(void *user) {
    link_t *link = user;
    link->timer = NULL;
    give_up(link, "the server does not answer");
}

static void complain_of_end(link_t *link, const redisAsyncContext *hiredis, int status) {
    redis_t *redis = link->redis;
    const char *reason =
        link->session != NULL ? imi_redis_tls_refusal(redis->tls, link->session) : NULL;
    if (reason == NULL)
        reason = status == REDIS_OK ? "the server closed the connection" : hiredis->errstr;
    complain(redis, reason);
}

/* This user may not listen. hiredis ends the connection over it, or hands the answer on: that is a
 * matter of its version. */
static void complain_of_deafness(redis_t *redis, const char *reason) {
    if (may_complain(redis))
        log_line(redis, IMAGINE_LOG_WARN, "store.deaf", reason);
}

static void on_disconnected(const redisAsyncContext *hiredis, int status) {
    link_t *link = hiredis->data;
    if (link->hiredis != hiredis)
        return;           /* given up by us */
    link->hiredis = NULL; /* hiredis frees it */
    if (!link->redis->queue.is_closing && !link->is_listener)
        complain_of_end(link, hiredis, status);
    else if (link->stage == READY && !link->is_heard && status != REDIS_OK)
        complain_of_deafness(link->redis, hiredis->errstr);
    rest(link);
    schedule(link->redis);
}

static void on_connected(const redisAsyncContext *hiredis, int status) {
    link_t *link = hiredis->data;
    if (status == REDIS_OK || link->hiredis != hiredis)
        return;
    link->hiredis = NULL; /* hiredis frees it */
    if (!link->is_listener)
        complain(link->redis, hiredis->errstr);
    rest(link);
    schedule(link->redis);
}

static void on_message(redisAsyncContext *hiredis, void *reply, void *user);

/* The answer to the last word of the greeting. */
static void on_greeted(redisAsyncContext *hiredis, void *reply, void *user) {
    link_t *link = user;
    redis_t *redis = link->redis;
    const redisReply *answer = reply;
    if (answer == NULL || link->hiredis != hiredis)
        return;
    if (answer->type == REDIS_REPLY_ERROR) {
        give_up(link, answer->str);
        return;
    }
    stop_timer(redis, &link->timer);
    link->stage = READY;
    if (!link->is_listener) {
        link->failures = 0;
        rejoice(redis);
        schedule(redis);
    } else {
        char channel[KEY_SIZE];
        snprintf(channel, sizeof(channel), "%schanges", redis->url.prefix);
        if (redisAsyncCommand(hiredis, on_message, link, "SUBSCRIBE %s", channel) != REDIS_OK)
            give_up(link, "out of memory");
    }
}

/* A wrong password or database is told by its own answer; the one behind it ends the greeting. */
static void on_word(redisAsyncContext *hiredis, void *reply, void *user) {
    link_t *link = user;
    const redisReply *answer = reply;
    if (answer != NULL && link->hiredis == hiredis && answer->type == REDIS_REPLY_ERROR)
        give_up(link, answer->str);
}

static int greet(link_t *link) {
    const imi_redis_url_t *url = &link->redis->url;
    redisAsyncContext *hiredis = link->hiredis;
    int err = REDIS_OK;
    link->stage = GREETING;
    if (url->password != NULL && url->user != NULL)
        err |= redisAsyncCommand(hiredis, on_word, link, "AUTH %s %s", url->user, url->password);
    else if (url->password != NULL)
        err |= redisAsyncCommand(hiredis, on_word, link, "AUTH %s", url->password);
    if (url->database != 0)
        err |= redisAsyncCommand(hiredis, on_word, link, "SELECT %d", url->database);
    err |= redisAsyncCommand(hiredis, on_greeted, link, "PING");
    return err;
}

/* A name may have several addresses ("localhost" is ::1 and 127.0.0.1), and the server need not
 * listen on the first: each try is the next one's. */
static const struct addrinfo *choose(const link_t *link, const struct addrinfo *found) {
    const struct addrinfo *at = found;
    uint32_t count = 0;
    for (; at != NULL; at = at->ai_next)
        count++;
    at = found;
    for (uint32_t i = count > 0 ? link->failures % count : 0; i > 0; i--)
        at = at->ai_next;
    return at;
}

static void on_resolved(uv_getaddrinfo_t *lookup, int status, struct addrinfo *found) {
    link_t *link = lookup->data;
    redis_t *redis = link->redis;
    const struct addrinfo *chosen = choose(link, found);
    char address[64] = "";
    const char *reason = NULL;
    imi_mem_free(redis->queue.mem, lookup);
    link->lookup = NULL;
    redis->handle_count--;
    if (chosen != NULL)
        uv_ip_name(chosen->ai_addr, address, sizeof(address));
    uv_freeaddrinfo(found);
    if (redis->is_finishing) {
        finish_if_done(redis);
        return;
    }
    if (status != 0 || address[0] == '\0') {
        give_up(link, "the host's name leads nowhere");
        return;
    }
    link->hiredis = redisAsyncConnect(address, redis->url.port);
    if (link->hiredis == NULL || link->hiredis->err != 0) {
        give_up(link, link->hiredis != NULL ? link->hiredis->errstr : "out of memory");
        return;
    }
    link->hiredis->data = link;
    link->session = NULL;
    link->stage = CONNECTING;
    if (redis->tls != NULL)
        reason =
            imi_redis_tls_begin(redis->tls, &link->hiredis->c, redis->url.host, &link->session);
    if (reason != NULL)
        give_up(link, reason);
    else if (attach(link) != 0 ||
             redisAsyncSetDisconnectCallback(link->hiredis, on_disconnected) != 0 ||
             redisAsyncSetConnectCallback(link->hiredis, on_connected) != 0 || greet(link) != 0)
        give_up(link, "out of memory");
}

static void begin(link_t *link) {
    redis_t *redis = link->redis;
    const imagine_io_t *io = redis->queue.io;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    uv_getaddrinfo_t *lookup = imi_mem_zalloc(redis->queue.mem, sizeof(*lookup));
    if (lookup == NULL ||
        io->timer_start(io->context, CONNECT_MS, on_impatient, link, &link->timer) != 0) {
        imi_mem_free(redis->queue.mem, lookup);
        link->timer = NULL;
        rest(link);
        return;
    }
    lookup->data = link;
    link->stage = RESOLVING;
    if (uv_getaddrinfo(io->loop, lookup, on_resolved, redis->url.host, NULL, &hints) != 0) {
        imi_mem_free(redis->queue.mem, lookup);
        rest(link);
        return;
    }
    link->lookup = lookup;
    redis->handle_count++;
}

/* ---- what others change ------------------------------------------------------------------------
 */

static void on_message(redisAsyncContext *hiredis, void *reply, void *user) {
    link_t *link = user;
    redis_t *redis = link->redis;
    const redisReply *answer = reply, *text;
    if (answer == NULL || link->hiredis != hiredis || redis->queue.is_closing)
        return;
    if (answer->type == REDIS_REPLY_ERROR) {
        complain_of_deafness(redis, answer->str);
        give_up(link, NULL);
        return;
    }
    if (answer->type != REDIS_REPLY_ARRAY || answer->elements != 3)
        return;
    if (strcmp(answer->element[0]->str, "subscribe") == 0) {
        link->is_heard = true;
        link->failures = 0;
        redis->on_changed(NULL, redis->watch_user); /* until now it heard nothing */
        return;
    }
    text = answer->element[2];
    if (text->type == REDIS_REPLY_STRING && text->len > ID_SIZE + 1 &&
        strncmp(text->str, redis->id, ID_SIZE) != 0)
        redis->on_changed(text->str + ID_SIZE + 1, redis->watch_user);
}

static int redis_watch(void *self, const char *prefix, imagine_storage_changed_cb changed,
                       void *user) {
    redis_t *redis = self;
    if (redis->queue.io == NULL || changed == NULL || strlen(prefix) >= WATCHED_SIZE)
        return IMAGINE_EINVAL;
    memcpy(redis->watched, prefix, strlen(prefix) + 1);
    redis->on_changed = changed;
    redis->watch_user = user;
    begin(&redis->hears);
    return 0;
}

/* Nobody waits for it: who is not there looks again when they are back. */
static void tell_others(redis_t *redis, const imi_storage_operation_t *operation) {
    if (redis->watched[0] != '\0' && imi_text_starts_with(operation->key, redis->watched) &&
        redis->asks.hiredis != NULL)
        (void)redisAsyncCommand(redis->asks.hiredis, NULL, NULL, "PUBLISH %schanges %s:%s",
                                redis->url.prefix, redis->id, operation->key);
}

/* ---- operations --------------------------------------------------------------------------------
 */

static void job_end(job_t *job, int status) {
    imi_storage_operation_t *operation = job->operation;
    redis_t *redis = job->redis;
    imi_list_remove(&job->node);
    imi_map_reset(&job->seen);
    if (job->names != NULL)
        freeReplyObject(job->names);
    imi_mem_free(redis->queue.mem, job);
    if (status != 0)
        imi_storage_operation_clear(operation);
    operation->status = status;
    imi_storage_operation_end(operation);
}

/* What an answer that says no means. */
static int error_of(redis_t *redis, const redisReply *answer) {
    const char *text = answer->str;
    if (strstr(text, "not an integer") != NULL || strstr(text, "overflow") != NULL ||
        imi_text_starts_with(text, "WRONGTYPE"))
        return IMAGINE_EINVAL;
    if (imi_text_starts_with(text, "MOVED") || imi_text_starts_with(text, "ASK") ||
        imi_text_starts_with(text, "CROSSSLOT") || imi_text_starts_with(text, "CLUSTER"))
        complain(redis, "this is a Redis Cluster: one server is supported");
    else if (imi_text_starts_with(text, "READONLY"))
        complain(redis, "this Redis server is a read-only replica: name the one that takes writes");
    else
        complain(redis, text);
    return IMAGINE_EIO;
}

static int take_value(job_t *job, const redisReply *answer) {
    imi_storage_operation_t *operation = job->operation;
    char *copy;
    if (answer->type == REDIS_REPLY_NIL)
        return IMAGINE_ENOTFOUND;
    if (answer->type != REDIS_REPLY_STRING)
        return IMAGINE_EIO;
    copy = imi_arena_strndup(&operation->answer, answer->str, answer->len);
    operation->value = copy;
    operation->value_size = answer->len;
    return copy != NULL ? 0 : IMAGINE_ENOMEM;
}

static int take_sum(job_t *job, const redisReply *answer) {
    return answer->type == REDIS_REPLY_STRING &&
                   imi_parse_int64((imi_slice_t){answer->str, answer->len}, &job->operation->amount)
               ? 0
               : IMAGINE_EIO;
}

static void on_answer(redisAsyncContext *hiredis, void *reply, void *user) {
    job_t *job = user;
    redis_t *redis = job->redis;
    const redisReply *answer = reply;
    int kind = job->operation->kind, status = 0;
    (void)hiredis;
    if (answer == NULL)
        status = now_ms(redis) >= job->deadline_ms ? IMAGINE_ETIMEDOUT : IMAGINE_EIO;
    else if (answer->type == REDIS_REPLY_ERROR)
        status = error_of(redis, answer);
    else if (kind == IMI_STORAGE_GET)
        status = take_value(job, answer);
    else if (kind == IMI_STORAGE_ADD)
        status = take_sum(job, answer);
    else if (kind == IMI_STORAGE_SWAP)
        status = answer->integer == 1 ? 0 : IMAGINE_ENOTFOUND;
    job_end(job, status);
    finish_if_done(redis);
}

/* One command of `count` words. */
static int command(job_t *job, redisCallbackFn *done, int count, const char *const *words,
                   const size_t *sizes) {
    return redisAsyncCommandArgv(job->redis->asks.hiredis, done, job, count, (const char **)words,
                                 sizes) == REDIS_OK
               ? 0
               : IMAGINE_ENOMEM;
}

static int scan(job_t *job);

/* Nobody waits for a list, and a page of it may be large. */
static void set_deadline(job_t *job) {
    job->deadline_ms = job->end_ms = now_ms(job->redis) + LIST_PATIENCE_MS;
}

static int add_entry(job_t *job, const char *key, const redisReply *value) {
    imi_storage_operation_t *operation = job->operation;
    size_t at = operation->entry_count;
    char *value_copy = imi_arena_strndup(&operation->answer, value->str, value->len);
    char *key_copy = imi_arena_strdup(&operation->answer, key);
    if (value_copy == NULL || key_copy == NULL)
        return IMAGINE_ENOMEM;
    operation->entries[at] = (imagine_storage_entry_t){key_copy, value_copy, value->len};
    operation->entry_count++;
    return 0;
}

static void on_values(redisAsyncContext *hiredis, void *reply, void *user) {
    job_t *job = user;
    redis_t *redis = job->redis;
    const redisReply *values = reply, *names = job->names;
    imi_storage_operation_t *operation = job->operation;
    size_t prefix_size = strlen(redis->url.prefix);
    int status = 0;
    (void)hiredis;
    if (values == NULL)
        status = IMAGINE_EIO;
    else if (values->type != REDIS_REPLY_ARRAY || values->elements != names->elements)
        status = values->type == REDIS_REPLY_ERROR ? error_of(redis, values) : IMAGINE_EIO;
    else
        operation->entries =
            imi_arena_alloc(&operation->answer, values->elements * sizeof(*operation->entries));
    if (status == 0 && operation->entries == NULL)
        status = IMAGINE_ENOMEM;
    for (size_t i = 0; status == 0 && i < values->elements; i++)
        if (values->element[i]->type == REDIS_REPLY_STRING && names->element[i]->str != NULL)
            status = add_entry(job, names->element[i]->str + prefix_size, values->element[i]);
    if (status == 0 && strcmp(job->cursor, "0") != 0) {
        imi_storage_operation_deliver(operation);
        status = scan(job);
        if (status == 0)
            return;
    }
    job_end(job, status);
    finish_if_done(redis);
}

/* Those that SCAN has not told before. */
static int read_values(job_t *job, redisReply *page) {
    const imi_mem_t *mem = job->redis->queue.mem;
    const char **words = imi_mem_zalloc(mem, (page->elements + 1) * sizeof(*words));
    size_t *sizes = imi_mem_zalloc(mem, (page->elements + 1) * sizeof(*sizes)), count = 0;
    int err = words != NULL && sizes != NULL ? 0 : IMAGINE_ENOMEM;
    for (size_t i = 0; err == 0 && i < page->elements; i++) {
        redisReply *name = page->element[i];
        if (imi_map_get(&job->seen, name->str, name->len) != NULL)
            continue;
        if (imi_map_set(&job->seen, name->str, name->len, job) != 0)
            err = IMAGINE_ENOMEM;
        page->element[i] = page->element[count];
        page->element[count++] = name;
        words[count] = name->str;
        sizes[count] = name->len;
    }
    if (err == 0 && count > 0) {
        words[0] = "MGET";
        sizes[0] = 4;
        err = command(job, on_values, (int)count + 1, words, sizes);
    }
    for (size_t i = count; i < page->elements; i++)
        freeReplyObject(page->element[i]);
    page->elements = count;
    imi_mem_free(mem, words);
    imi_mem_free(mem, sizes);
    return err;
}

static void on_page(redisAsyncContext *hiredis, void *reply, void *user) {
    job_t *job = user;
    redis_t *redis = job->redis;
    redisReply *answer = reply;
    int status = 0;
    (void)hiredis;
    if (answer == NULL)
        status = now_ms(redis) >= job->deadline_ms ? IMAGINE_ETIMEDOUT : IMAGINE_EIO;
    else if (answer->type != REDIS_REPLY_ARRAY || answer->elements != 2 ||
             answer->element[0]->len >= sizeof(job->cursor))
        status = answer->type == REDIS_REPLY_ERROR ? error_of(redis, answer) : IMAGINE_EIO;
    if (status == 0) {
        memcpy(job->cursor, answer->element[0]->str, answer->element[0]->len + 1);
        if (job->names != NULL)
            freeReplyObject(job->names);
        job->names = answer->element[1]; /* ours: the values come beside their names */
        answer->elements = 1;
        set_deadline(job);
        status = read_values(job, job->names);
        if (status == 0 && job->names->elements > 0)
            return;
        if (status == 0 && strcmp(job->cursor, "0") != 0) {
            status = scan(job);
            if (status == 0)
                return;
        }
    }
    job_end(job, status);
    finish_if_done(redis);
}

/* In a glob, these four mean something. */
static void put_pattern(char out[2 * KEY_SIZE], const char *prefix, const char *text) {
    size_t size = 0;
    for (int part = 0; part < 2; part++)
        for (const char *c = part == 0 ? prefix : text; *c != '\0'; c++) {
            if (strchr("*?[]\\", *c) != NULL)
                out[size++] = '\\';
            out[size++] = *c;
        }
    out[size++] = '*';
    out[size] = '\0';
}

static int scan(job_t *job) {
    char pattern[2 * KEY_SIZE];
    const char *words[] = {"SCAN", job->cursor, "MATCH", pattern, "COUNT", SCAN_COUNT};
    put_pattern(pattern, job->redis->url.prefix, job->operation->key);
    set_deadline(job);
    return command(job, on_page, 6, words, NULL);
}

static int ask(job_t *job) {
    redis_t *redis = job->redis;
    imi_storage_operation_t *operation = job->operation;
    char key[KEY_SIZE], ttl[24] = "0", amount[24];
    const char *words[10];
    size_t sizes[10];
    int count = 0, err;
#define WORD(text, text_size) (words[count] = (text), sizes[count++] = (text_size))
    snprintf(key, sizeof(key), "%s%s", redis->url.prefix, operation->key);
    if (operation->expires_unix_ms != IMI_STORAGE_FOREVER)
        snprintf(ttl, sizeof(ttl), "%" PRId64,
                 operation->expires_unix_ms - operation->asked_unix_ms);
    switch (operation->kind) {
    case IMI_STORAGE_GET:
        WORD("GET", 3);
        WORD(key, strlen(key));
        break;
    case IMI_STORAGE_SET:
        WORD("SET", 3);
        WORD(key, strlen(key));
        WORD(operation->value, operation->value_size);
        if (strcmp(ttl, "0") != 0) {
            WORD("PX", 2);
            WORD(ttl, strlen(ttl));
        }
        break;
    case IMI_STORAGE_REMOVE:
        WORD("DEL", 3);
        WORD(key, strlen(key));
        break;
    case IMI_STORAGE_ADD:
        snprintf(amount, sizeof(amount), "%" PRId64, operation->amount);
        WORD("EVAL", 4);
        WORD(add_script, sizeof(add_script) - 1);
        WORD("1", 1);
        WORD(key, strlen(key));
        WORD(amount, strlen(amount));
        WORD(ttl, strlen(ttl));
        break;
    case IMI_STORAGE_SWAP:
        WORD("EVAL", 4);
        WORD(swap_script, sizeof(swap_script) - 1);
        WORD("1", 1);
        WORD(key, strlen(key));
        WORD(operation->expected != NULL ? "1" : "0", 1);
        WORD(operation->expected != NULL ? operation->expected : "", operation->expected_size);
        WORD(operation->is_removal ? "0" : "1", 1);
        WORD(operation->value, operation->value_size);
        WORD(ttl, strlen(ttl));
        break;
    default:
        memcpy(job->cursor, "0", 2);
        return scan(job);
    }
#undef WORD
    err = command(job, on_answer, count, words, sizes);
    if (err == 0 && operation->kind != IMI_STORAGE_GET)
        tell_others(redis, operation);
    return err;
}

/* ---- turns -------------------------------------------------------------------------------------
 */

static job_t *most_urgent(const redis_t *redis) {
    job_t *urgent = NULL;
    for (imi_list_t *node = redis->jobs.next; node != &redis->jobs; node = node->next) {
        job_t *job = IMI_CONTAINER(node, job_t, node);
        if (urgent == NULL || job->deadline_ms < urgent->deadline_ms)
            urgent = job;
    }
    return urgent;
}

static void on_patience_over(void *user);

static void set_patience(redis_t *redis) {
    const imagine_io_t *io = redis->queue.io;
    const job_t *job = redis->patience == NULL ? most_urgent(redis) : NULL;
    uint64_t now = now_ms(redis);
    if (job != NULL &&
        io->timer_start(io->context, job->deadline_ms > now ? job->deadline_ms - now : 0,
                        on_patience_over, redis, &redis->patience) != 0)
        redis->patience = NULL;
    if (imi_list_is_empty(&redis->jobs))
        stop_timer(redis, &redis->patience);
}

/* True: the server is answering, only not yet this one (much is on its way), or the timer came so
 * late that answers may lie in the socket, unread. Then all get a little more time, to a limit. */
static bool excuse(redis_t *redis, const job_t *urgent) {
    uint64_t now = now_ms(redis);
    bool is_answering = now - redis->heard_at_ms < PATIENCE_MS && urgent->is_sent;
    if (now >= urgent->end_ms || (!is_answering && now <= urgent->deadline_ms + LATE_MS))
        return false;
    for (imi_list_t *node = redis->jobs.next; node != &redis->jobs; node = node->next) {
        job_t *job = IMI_CONTAINER(node, job_t, node);
        if (job->deadline_ms < now + LATE_MS)
            job->deadline_ms = now + LATE_MS;
    }
    return true;
}

static void on_patience_over(void *user) {
    redis_t *redis = user;
    job_t *job = most_urgent(redis);
    redis->patience = NULL;
    if (job != NULL && job->deadline_ms <= now_ms(redis) && !excuse(redis, job)) {
        if (redis->asks.hiredis != NULL)
            give_up(&redis->asks, "the server does not answer"); /* ends all that were sent */
        while ((job = most_urgent(redis)) != NULL && job->deadline_ms <= now_ms(redis))
            job_end(job, IMAGINE_ETIMEDOUT);
    }
    set_patience(redis);
    finish_if_done(redis);
}

/* Everything new gets its deadline, and goes out if there is a connection; without one that is
 * coming, it fails. */
static void send_waiting(redis_t *redis) {
    imi_storage_operation_t *operation;
    imi_list_t *node;
    while ((operation = imi_storage_queue_pop(&redis->queue)) != NULL) {
        job_t *job = imi_mem_zalloc(redis->queue.mem, sizeof(*job));
        if (job == NULL) {
            operation->status = IMAGINE_ENOMEM;
            imi_storage_operation_end(operation);
            continue;
        }
        job->redis = redis;
        job->operation = operation;
        job->deadline_ms = now_ms(redis) + PATIENCE_MS;
        job->end_ms = now_ms(redis) + END_MS;
        imi_map_init(&job->seen, redis->queue.mem, NULL);
        imi_list_append(&redis->jobs, &job->node);
    }
    for (node = redis->jobs.next; node != &redis->jobs;) {
        job_t *job = IMI_CONTAINER(node, job_t, node);
        int err = 0;
        node = node->next;
        if (job->is_sent)
            continue;
        if (redis->asks.stage == READY) {
            job->is_sent = true;
            err = ask(job);
        } else if (redis->asks.stage == RESTING) {
            err = redis->queue.is_closing ? IMAGINE_ECLOSED : IMAGINE_EIO;
        }
        if (err != 0)
            job_end(job, err);
    }
    set_patience(redis);
}

static void on_turn(void *user) {
    redis_t *redis = user;
    redis->turn = NULL;
    send_waiting(redis);
    finish_if_done(redis);
}

static void schedule(redis_t *redis) {
    const imagine_io_t *io = redis->queue.io;
    if (redis->turn == NULL && !redis->is_finishing &&
        io->timer_start(io->context, 0, on_turn, redis, &redis->turn) != 0)
        redis->turn = NULL;
}

static int wake(imi_storage_queue_t *queue) {
    redis_t *redis = (redis_t *)queue;
    schedule(redis);
    if (redis->turn == NULL)
        return IMAGINE_ENOMEM;
    if (redis->asks.stage == RESTING && redis->asks.timer == NULL)
        begin(&redis->asks); /* there was no memory for a timer */
    return 0;
}

/* ---- life -------------------------------------------------------------------------------------
 */

static int redis_start(void *self, const imagine_io_t *io) {
    redis_t *redis = self;
    uint8_t bytes[ID_SIZE / 2];
    if (io == NULL || io->loop == NULL || io->timer_start == NULL || io->now_ms == NULL ||
        io->unix_ms == NULL || io->random == NULL)
        return IMAGINE_ENOTSUP;
    if (io->random(io->context, bytes, sizeof(bytes)) != 0)
        return IMAGINE_EIO;
    imi_hex(redis->id, bytes, sizeof(bytes));
    redis->queue.io = io;
    begin(&redis->asks);
    return 0;
}

static void free_redis(redis_t *redis) {
    imagine_closed_cb closed = redis->queue.closed;
    void *user = redis->queue.closed_user;
    imi_redis_tls_close(redis->tls);
    imi_arena_reset(&redis->arena);
    imi_mem_free(redis->queue.mem, redis);
    if (closed != NULL)
        closed(user);
}

static void end_link(link_t *link) {
    redisAsyncContext *hiredis = link->hiredis;
    link->hiredis = NULL;
    stop_timer(link->redis, &link->timer);
    if (link->lookup != NULL)
        (void)uv_cancel((uv_req_t *)link->lookup);
    if (hiredis != NULL)
        redisAsyncFree(hiredis);
}

/* Closing ends when all is answered, and libuv has given every handle back. */
static void finish_if_done(redis_t *redis) {
    if (!redis->queue.is_closing || redis->queue.count > 0 || !imi_list_is_empty(&redis->jobs))
        return;
    if (!redis->is_finishing) {
        redis->is_finishing = true;
        stop_timer(redis, &redis->turn);
        stop_timer(redis, &redis->patience);
        redis->handle_count++; /* ours, while we are here */
        end_link(&redis->asks);
        end_link(&redis->hears);
        redis->handle_count--;
    }
    if (redis->handle_count == 0)
        free_redis(redis);
}

static void redis_close(void *self, imagine_closed_cb closed, void *user) {
    redis_t *redis = self;
    redis->queue.is_closing = true;
    redis->queue.closed = closed;
    redis->queue.closed_user = user;
    if (redis->queue.io == NULL)
        free_redis(redis);
    else
        schedule(redis);
}

static const imagine_storage_driver_t redis_driver = {
    .size = sizeof(imagine_storage_driver_t),
    .name = "redis",
    .flags = IMAGINE_STORAGE_IS_SHARED | IMAGINE_STORAGE_IS_ATOMIC,
    .start = redis_start,
    .get = imi_storage_queue_get,
    .set = imi_storage_queue_set,
    .remove = imi_storage_queue_remove,
    .add = imi_storage_queue_add,
    .list = imi_storage_queue_list,
    .close = redis_close,
    .swap = imi_storage_queue_swap,
    .watch = redis_watch,
};

int imi_redis_open(const imi_mem_t *mem, const char *url,
                   const imagine_storage_driver_t **out_driver, void **out_self,
                   const char **out_reason) {
    redis_t *redis;
    int err;
    redis = imi_mem_zalloc(mem, sizeof(*redis));
    if (redis == NULL)
        return IMAGINE_ENOMEM;
    imi_storage_queue_init(&redis->queue, mem, wake);
    imi_arena_init(&redis->arena, mem, 0);
    imi_list_init(&redis->jobs);
    redis->asks = (link_t){.redis = redis};
    redis->hears = (link_t){.redis = redis, .is_listener = true};
    err = imi_redis_url_parse(&redis->url, &redis->arena, url, out_reason);
    if (err == 0 && redis->url.is_tls)
        err = imi_redis_tls_open(mem, redis->url.ca_file, &redis->tls, out_reason);
    if (err != 0) {
        imi_arena_reset(&redis->arena);
        imi_mem_free(mem, redis);
        return err;
    }
    *out_driver = &redis_driver;
    *out_self = redis;
    return 0;
}
