/* test_webhooks.c: how the outcome of a job reaches its receiver, in the simulated world: receivers
 * that are down, slow, dead or forbidden, restarts at any moment, and what is promised all the
 * same.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/client.h"
#include "core/webhook.h"
#include "sim/sim.h"
#include "support/check_main.h"
#include "wire/json.h"
#include "wire/sha256.h"
#include "wire/url.h"

#define SECOND_MS UINT64_C(1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS (60 * MINUTE_MS)
#define POSTS_MAX 20000
#define BODY                                                                                       \
    "{\"taskId\":\"t\",\"provider\":\"gitee\",\"status\":\"completed\",\"result\":{\"url\":\"u\"}" \
    "}"
#define SECRET "plain secret!"

/* ---- receivers ---------------------------------------------------------------------------------
 */

/* One try, as it reached the wire. */
typedef struct post {
    char url[128];
    char id[96];
    uint64_t at_ms;
    bool was_accepted; /* the receiver will say 200 */
} post_t;

static post_t posts[POSTS_MAX];
static size_t post_count;
static size_t in_flight_max;

/* Scripts what this try meets. True: it will be accepted. */
typedef bool (*receiver_t)(sim_t *sim, const imagine_http_request_t *request);
static receiver_t receiver;
static int (*start_exchange)(void *context, const imagine_http_request_t *request,
                             const imagine_http_handler_t *handler, void *user,
                             imagine_http_exchange_t **out);

static const char *header(const imagine_http_request_t *request, const char *name) {
    for (size_t i = 0; i < request->header_count; i++)
        if (strcmp(request->headers[i].name, name) == 0)
            return request->headers[i].value;
    return NULL;
}

static void check_signature(const imagine_http_request_t *request) {
    const char *got = header(request, "x-webhook-signature");
    uint8_t digest[IMI_SHA256_SIZE];
    char hex[2 * IMI_SHA256_SIZE + 1], expected[96];
    if (got == NULL)
        return;
    imi_hmac_sha256(digest, SECRET, strlen(SECRET), request->body->data, request->body->size);
    imi_hex(hex, digest, sizeof(digest));
    snprintf(expected, sizeof(expected), "sha256=%s", hex);
    ck_assert_str_eq(got, expected);
}

static size_t count_in_flight(const sim_t *sim) {
    return sim->im->webhooks->in_flight;
}

static int on_start(void *context, const imagine_http_request_t *request,
                    const imagine_http_handler_t *handler, void *user,
                    imagine_http_exchange_t **out) {
    sim_t *sim = context;
    post_t *post = &posts[post_count];
    ck_assert_uint_lt(post_count, POSTS_MAX);
    ck_assert_str_eq(request->method, "POST");
    ck_assert_str_eq(header(request, "content-type"), "application/json");
    ck_assert_ptr_nonnull(request->guard);
    ck_assert_uint_eq(request->body_count, 1);
    check_signature(request);
    snprintf(post->url, sizeof(post->url), "%s", request->url);
    snprintf(post->id, sizeof(post->id), "%s", header(request, "webhook-id"));
    post->at_ms = sim->now_ms;
    post->was_accepted = receiver(sim, request);
    post_count++;
    if (count_in_flight(sim) + 1 > in_flight_max)
        in_flight_max = count_in_flight(sim) + 1;
    return start_exchange(context, request, handler, user, out);
}

static sim_t *open_world(uint64_t seed, receiver_t with) {
    sim_t *sim = sim_open(seed);
    start_exchange = sim->io.http_start;
    sim->io.http_start = on_start;
    receiver = with;
    return sim;
}

static sim_t *open_first_world(uint64_t seed, receiver_t with) {
    post_count = in_flight_max = 0;
    return open_world(seed, with);
}

static bool accepts(sim_t *sim, const imagine_http_request_t *request) {
    (void)request;
    sim_reply(sim, 30, 204, "");
    return true;
}

static bool is_down(sim_t *sim, const imagine_http_request_t *request) {
    (void)request;
    sim_break(sim, 30, IMAGINE_ECONNECT, false);
    return false;
}

static bool never_answers(sim_t *sim, const imagine_http_request_t *request) {
    (void)request;
    sim_stall(sim);
    return false;
}

static uint64_t up_at_ms;
static bool is_down_until(sim_t *sim, const imagine_http_request_t *request) {
    return sim->now_ms < up_at_ms ? is_down(sim, request) : accepts(sim, request);
}

/* ---- looking -----------------------------------------------------------------------------------
 */

static void enqueue(sim_t *sim, const char *task_id, const char *url) {
    ck_assert_int_eq(imi_webhook_enqueue(sim->im, url, BODY, strlen(BODY), task_id), 0);
}

/* Member `name` of webhook `index` in the list, as JSON. */
static void expect_member(sim_t *sim, int index, const char *name, const char *json) {
    char *list = imagine_webhooks(sim->im), path[64];
    imi_slice_t value;
    ck_assert_ptr_nonnull(list);
    snprintf(path, sizeof(path), "[%d].%s", index, name);
    value = imi_json_get(imi_slice_of(list), path);
    ck_assert_msg(imi_slice_equals(value, json), "%s should be %s in %s", path, json, list);
    imagine_free(list);
}

static size_t count_accepted(const char *id) {
    size_t count = 0;
    for (size_t i = 0; i < post_count; i++)
        if (posts[i].was_accepted && (id == NULL || strcmp(posts[i].id, id) == 0))
            count++;
    return count;
}

/* ---- tries -------------------------------------------------------------------------------------
 */

START_TEST(it_arrives_once_and_is_not_sent_again) {
    sim_t *sim = open_first_world(1, accepts);
    enqueue(sim, "a", "https://hooks.test/in?key=private");
    sim_run(sim, 24 * HOUR_MS);
    ck_assert_uint_eq(post_count, 1);
    ck_assert_str_eq(posts[0].url, "https://hooks.test/in?key=private");
    ck_assert_str_eq(posts[0].id, "msg_a");
    ck_assert_uint_eq(posts[0].at_ms, 0);
    sim_close(sim);
}
END_TEST

START_TEST(a_receiver_that_was_down_for_an_hour_gets_it) { /* _i: seed */
    sim_t *sim = open_first_world((uint64_t)_i + 1, is_down_until);
    up_at_ms = HOUR_MS;
    enqueue(sim, "a", "https://hooks.test/in");
    sim_run(sim, HOUR_MS - 1);
    expect_member(sim, 0, "state", "\"pending\"");
    expect_member(sim, 0, "lastError", "\"broken by the simulator\"");
    expect_member(sim, 0, "lastStatus", "null");
    sim_run(sim, 2 * HOUR_MS);
    ck_assert_uint_eq(count_accepted("msg_a"), 1);
    ck_assert(posts[post_count - 1].was_accepted);
    for (size_t i = 0; i < post_count; i++)
        ck_assert_str_eq(posts[i].id, "msg_a");
    expect_member(sim, 0, "state", "\"delivered\"");
    expect_member(sim, 0, "lastStatus", "204");
    expect_member(sim, 0, "lastError", "null");
    expect_member(sim, 0, "nextAt", "null");
    sim_close(sim);
}
END_TEST

START_TEST(ten_tries_with_growing_pauses_take_about_two_hours) { /* _i: seed */
    sim_t *sim = open_first_world((uint64_t)_i + 1, is_down);
    uint64_t former_ms = 0;
    enqueue(sim, "a", "https://hooks.test/in");
    sim_run(sim, 20 * HOUR_MS);
    ck_assert_uint_eq(post_count, 10);
    for (size_t i = 1; i < post_count; i++) {
        uint64_t pause_ms = posts[i].at_ms - posts[i - 1].at_ms;
        ck_assert_uint_gt(pause_ms, former_ms);
        former_ms = pause_ms;
    }
    ck_assert_uint_ge(posts[9].at_ms, 90 * MINUTE_MS);
    ck_assert_uint_le(posts[9].at_ms, 150 * MINUTE_MS);
    expect_member(sim, 0, "state", "\"failed\"");
    expect_member(sim, 0, "tries", "10");
    ck_assert_ptr_nonnull(strstr(sim->log, "webhook.failed id=msg_a host=hooks.test tries=10"));
    sim_close(sim);
}
END_TEST

START_TEST(what_failed_together_does_not_come_back_together) {
    sim_t *sim = open_first_world(1, is_down);
    uint64_t first_ms = UINT64_MAX, last_ms = 0;
    for (int i = 0; i < 4; i++) {
        char task_id[8];
        snprintf(task_id, sizeof(task_id), "t%d", i);
        enqueue(sim, task_id, "https://hooks.test/in");
    }
    sim_run(sim, 15 * SECOND_MS);
    ck_assert_uint_eq(post_count, 8);
    for (size_t i = 4; i < 8; i++) {
        first_ms = posts[i].at_ms < first_ms ? posts[i].at_ms : first_ms;
        last_ms = posts[i].at_ms > last_ms ? posts[i].at_ms : last_ms;
    }
    ck_assert_uint_gt(last_ms - first_ms, 100);
    sim_close(sim);
}
END_TEST

START_TEST(a_slow_receiver_has_ten_seconds) {
    sim_t *sim = open_first_world(1, never_answers);
    enqueue(sim, "a", "https://hooks.test/in");
    sim_run(sim, 10 * SECOND_MS - 1);
    expect_member(sim, 0, "tries", "0");
    sim_run(sim, 1);
    expect_member(sim, 0, "tries", "1");
    expect_member(sim, 0, "lastError", "\"no answer in time\"");
    receiver = accepts;
    sim_run(sim, 10 * SECOND_MS);
    expect_member(sim, 0, "state", "\"delivered\"");
    expect_member(sim, 0, "tries", "2");
    sim_close(sim);
}
END_TEST

START_TEST(the_time_limit_is_a_setting) {
    sim_t *sim = open_first_world(1, never_answers);
    imagine_settings_t *settings = NULL;
    ck_assert_int_eq(imagine_settings_open(&settings), 0);
    ck_assert_int_eq(imagine_settings_set(settings, "TIMEOUT_WEBHOOK_MS", "300"), 0);
    ck_assert_int_eq(imagine_configure(sim->im, settings, NULL), 0);
    imagine_settings_close(settings);
    enqueue(sim, "a", "https://hooks.test/in");
    sim_run(sim, 300);
    expect_member(sim, 0, "tries", "1");
    sim_close(sim);
}
END_TEST

/* ---- answers -----------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    int status;
    const char *headers;
    uint64_t after_min_ms, after_max_ms; /* of the next try; 0: there is none */
    const char *state, *error;
} answers[] = {
    {"a created is a success", 201, NULL, 0, 0, "\"delivered\"", "null"},
    {"gone ends it", 410, NULL, 0, 0, "\"failed\"", "\"the receiver answered 410\""},
    {"an error is tried again", 500, NULL, 4000, 6000, "\"pending\"",
     "\"the receiver answered 500\""},
    {"so is a refusal", 401, NULL, 4000, 6000, "\"pending\"", "\"the receiver answered 401\""},
    {"a redirect is not followed", 302, "Location: https://other.test/", 4000, 6000, "\"pending\"",
     "\"the receiver answered 302: redirects are not followed\""},
    {"a wish for later is granted", 503, "Retry-After: 1200", 1200000, 1200000, "\"pending\"",
     "\"the receiver answered 503\""},
    {"but for an hour at most", 429, "Retry-After: 86400", 3600000, 3600000, "\"pending\"",
     "\"the receiver answered 429\""},
    {"and not for sooner", 503, "retry-after: 1", 4000, 6000, "\"pending\"",
     "\"the receiver answered 503\""},
    {"a date is one too", 503, "Retry-After: Thu, 08 Jan 2026 08:10:00 GMT", 599000, 600000,
     "\"pending\"", "\"the receiver answered 503\""},
};

static bool answers_once(sim_t *sim, const imagine_http_request_t *request) {
    (void)request;
    ck_assert_str_eq(request->url, "https://hooks.test/in");
    if (post_count == 0)
        sim_reply_with(sim, 0, answers[sim->seed].status, answers[sim->seed].headers, "{}");
    else
        sim_reply(sim, 0, 200, "");
    return false;
}

START_TEST(what_a_receiver_answers_decides) { /* _i walks answers */
    sim_t *sim = open_first_world((uint64_t)_i, answers_once);
    enqueue(sim, "a", "https://hooks.test/in");
    sim_run(sim, 1);
    expect_member(sim, 0, "state", answers[_i].state);
    expect_member(sim, 0, "lastError", answers[_i].error);
    sim_run(sim, 12 * HOUR_MS);
    ck_assert_msg(post_count == (answers[_i].after_max_ms > 0 ? 2 : 1), "%s: %zu tries",
                  answers[_i].name, post_count);
    if (post_count == 2) {
        ck_assert_msg(posts[1].at_ms >= answers[_i].after_min_ms &&
                          posts[1].at_ms <= answers[_i].after_max_ms,
                      "%s: again after %" PRIu64 " ms", answers[_i].name, posts[1].at_ms);
        expect_member(sim, 0, "state", "\"delivered\"");
    }
    sim_close(sim);
}
END_TEST

/* As a real io does: the guard is asked for what the name resolves to. */
static const char *resolved;
static bool is_guarded(sim_t *sim, const imagine_http_request_t *request) {
    imi_url_t url;
    char host[64];
    int err;
    ck_assert(imi_url_parse(imi_slice_of(request->url), &url));
    snprintf(host, sizeof(host), "%.*s", (int)url.host.size, url.host.data);
    err = request->guard(host, resolved, request->guard_user);
    if (err != 0)
        sim_break(sim, 5, err, false);
    else
        sim_reply(sim, 5, 500, "");
    return false;
}

START_TEST(an_address_that_the_guard_refuses_fails_for_good) {
    sim_t *sim = open_first_world(1, is_guarded);
    resolved = "169.254.169.254";
    enqueue(sim, "a", "https://rebound.test/latest?token=private");
    sim_run(sim, 23 * HOUR_MS);
    ck_assert_uint_eq(post_count, 1);
    expect_member(sim, 0, "state", "\"failed\"");
    expect_member(sim, 0, "tries", "1");
    expect_member(sim, 0, "url", "\"https://rebound.test/latest\"");
    expect_member(sim, 0, "lastError", "\"the address leads to a host that is not public\"");
    ck_assert_ptr_null(strstr(sim->log, "private"));
    sim_close(sim);
}
END_TEST

START_TEST(the_guard_is_asked_at_every_try) {
    sim_t *sim = open_first_world(1, is_guarded);
    resolved = "93.184.216.34";
    enqueue(sim, "a", "https://rebound.test/in");
    sim_run(sim, 1 * SECOND_MS);
    expect_member(sim, 0, "state", "\"pending\"");
    resolved = "127.0.0.1";
    sim_run(sim, 10 * SECOND_MS);
    ck_assert_uint_eq(post_count, 2);
    expect_member(sim, 0, "state", "\"failed\"");
    sim_close(sim);
}
END_TEST

START_TEST(a_private_host_that_is_listed_is_fine) {
    sim_t *sim = open_first_world(1, is_guarded);
    const char *bad;
    resolved = "10.0.0.7";
    ck_assert_int_eq(imi_client_allow_hosts(sim->im, "hooks.lan", &bad), 0);
    enqueue(sim, "a", "http://hooks.lan/in");
    sim_run(sim, 1 * SECOND_MS);
    expect_member(sim, 0, "lastStatus", "500");
    sim_close(sim);
}
END_TEST

/* ---- many --------------------------------------------------------------------------------------
 */

static bool only_the_good_one_answers(sim_t *sim, const imagine_http_request_t *request) {
    if (strstr(request->url, "good.test") != NULL)
        return accepts(sim, request);
    sim_stall(sim);
    return false;
}

START_TEST(a_thousand_for_a_dead_host_do_not_delay_those_for_a_good_one) {
    sim_t *sim = open_first_world(1, only_the_good_one_answers);
    char task_id[16];
    for (int i = 0; i < 1000; i++) {
        snprintf(task_id, sizeof(task_id), "dead%d", i);
        enqueue(sim, task_id, i % 2 == 0 ? "https://dead.test/in" : "https://DEAD.test:444/in");
    }
    for (int i = 0; i < 10; i++) {
        snprintf(task_id, sizeof(task_id), "good%d", i);
        enqueue(sim, task_id, "https://good.test/in");
    }
    ck_assert_uint_eq(count_in_flight(sim), 8); /* four each */
    sim_run(sim, 1 * SECOND_MS);
    ck_assert_uint_eq(count_accepted(NULL), 10);
    sim_run(sim, 10 * HOUR_MS);
    ck_assert_uint_le(in_flight_max, 8);
    enqueue(sim, "late", "https://good.test/in");
    sim_run(sim, 1 * SECOND_MS);
    ck_assert_uint_eq(count_accepted("msg_late"), 1);
    sim_close(sim);
}
END_TEST

START_TEST(hosts_take_turns_for_the_64_places) {
    sim_t *sim = open_first_world(1, only_the_good_one_answers);
    char task_id[16], url[64];
    for (int i = 0; i < 1000; i++) {
        snprintf(task_id, sizeof(task_id), "dead%d", i);
        snprintf(url, sizeof(url), "https://dead%d.test/in", i % 20);
        enqueue(sim, task_id, url);
    }
    enqueue(sim, "good", "https://good.test/in");
    for (int i = 0; i < 200; i++) { /* hosts that come later wait behind it */
        snprintf(task_id, sizeof(task_id), "later%d", i);
        snprintf(url, sizeof(url), "https://dead%d.test/in", 20 + i % 20);
        enqueue(sim, task_id, url);
    }
    sim_run(sim, 1 * SECOND_MS);
    ck_assert_uint_eq(count_in_flight(sim), IMI_WEBHOOKS_IN_FLIGHT_MAX);
    sim_run(sim, 10 * SECOND_MS); /* the first places become free */
    ck_assert_uint_eq(count_accepted("msg_good"), 1);
    sim_run(sim, 5 * HOUR_MS);
    ck_assert_uint_eq(in_flight_max, IMI_WEBHOOKS_IN_FLIGHT_MAX);
    sim_close(sim);
}
END_TEST

START_TEST(the_newest_200_are_shown) {
    sim_t *sim = open_first_world(1, is_down);
    char task_id[16], *list;
    imi_json_cursor_t cursor;
    imi_slice_t item;
    size_t count = 0;
    for (int i = 0; i < 250; i++) {
        snprintf(task_id, sizeof(task_id), "%d", i);
        enqueue(sim, task_id, "https://hooks.test/in");
        sim_run(sim, 1);
    }
    list = imagine_webhooks(sim->im);
    cursor = imi_json_walk(imi_slice_of(list));
    while (imi_json_next_item(&cursor, &item)) {
        snprintf(task_id, sizeof(task_id), "\"%zu\"", 249 - count++);
        ck_assert(imi_slice_equals(imi_json_get(item, "taskId"), task_id));
    }
    ck_assert_uint_eq(count, 200);
    imagine_free(list);
    sim_close(sim);
}
END_TEST

/* ---- once more ---------------------------------------------------------------------------------
 */

START_TEST(an_administrator_sends_it_again_under_its_id) {
    sim_t *sim = open_first_world(1, is_down);
    enqueue(sim, "a", "https://hooks.test/in");
    sim_run(sim, 5 * HOUR_MS);
    expect_member(sim, 0, "state", "\"failed\"");
    ck_assert_int_eq(imagine_webhook_redeliver(sim->im, "msg_b"), IMAGINE_ENOTFOUND);
    ck_assert_int_eq(imagine_webhook_redeliver(sim->im, NULL), IMAGINE_EINVAL);
    ck_assert_int_eq(imagine_webhook_redeliver(sim->im, "msg_a"), 0);
    ck_assert_int_eq(imagine_webhook_redeliver(sim->im, "msg_a"), 0); /* under way: no second one */
    ck_assert_uint_eq(post_count, 11);
    sim_run(sim, 1 * SECOND_MS);
    expect_member(sim, 0, "state", "\"pending\"");
    expect_member(sim, 0, "tries", "1");
    receiver = accepts;
    ck_assert_int_eq(imagine_webhook_redeliver(sim->im, "msg_a"), 0); /* need not wait */
    sim_run(sim, 1 * SECOND_MS);
    expect_member(sim, 0, "state", "\"delivered\"");
    ck_assert_uint_eq(post_count, 12);
    ck_assert_int_eq(imagine_webhook_redeliver(sim->im, "msg_a"), 0); /* also what has arrived */
    sim_run(sim, 24 * HOUR_MS);
    ck_assert_uint_eq(post_count, 13);
    for (size_t i = 0; i < post_count; i++)
        ck_assert_str_eq(posts[i].id, "msg_a");
    sim_close(sim);
}
END_TEST

START_TEST(a_task_that_ends_twice_tells_it_once) {
    sim_t *sim = open_first_world(1, accepts);
    enqueue(sim, "a", "https://hooks.test/in");
    enqueue(sim, "a", "https://hooks.test/in");
    sim_run(sim, 1 * SECOND_MS);
    enqueue(sim, "a", "https://hooks.test/in");
    sim_run(sim, HOUR_MS);
    ck_assert_uint_eq(post_count, 1);
    sim_close(sim);
}
END_TEST

START_TEST(what_has_ended_is_forgotten_after_a_day) {
    sim_t *sim = open_first_world(1, accepts);
    enqueue(sim, "a", "https://hooks.test/in");
    sim_run(sim, 24 * HOUR_MS);
    expect_member(sim, 0, "state", "\"delivered\"");
    sim_run(sim, 1 * SECOND_MS);
    ck_assert_int_eq(imagine_webhook_redeliver(sim->im, "msg_a"), IMAGINE_ENOTFOUND);
    sim_close(sim);
}
END_TEST

/* ---- restarts ----------------------------------------------------------------------------------
 */

/* The process ends, after `down_ms` another one begins with the same store. */
static sim_t *restart(sim_t *sim, sim_store_t *store, uint64_t down_ms, uint64_t seed) {
    int64_t unix_ms = sim->unix_ms + (int64_t)down_ms;
    receiver_t with = receiver;
    sim_close(sim);
    sim_store_set_mode(store, SIM_STORE_UP);
    sim = open_world(seed, with);
    sim_set_unix_ms(sim, unix_ms);
    sim_attach_store(sim, store);
    sim_run(sim, 1);
    return sim;
}

START_TEST(a_restart_goes_on_where_it_was) {
    sim_store_t *store = sim_store_new();
    sim_t *sim = open_first_world(1, is_down);
    ck_assert_int_eq(imi_webhooks_set_secret(sim->im, SECRET), 0);
    sim_attach_store(sim, store);
    sim_run(sim, 10);
    enqueue(sim, "a", "https://hooks.test/in?key=private");
    sim_run(sim, 100 * SECOND_MS);
    ck_assert_uint_eq(post_count, 4);
    ck_assert(!sim_store_contains(store, SECRET));
    sim = restart(sim, store, 5 * SECOND_MS, 2);
    expect_member(sim, 0, "tries", "4"); /* its time has not come */
    receiver = accepts;
    sim = restart(sim, store, 200 * SECOND_MS, 3);
    sim_run(sim, 100);
    ck_assert_uint_eq(post_count, 5);
    expect_member(sim, 0, "tries", "5");
    expect_member(sim, 0, "state", "\"delivered\"");
    ck_assert_str_eq(posts[4].url, "https://hooks.test/in?key=private");
    ck_assert_str_eq(posts[4].id, "msg_a");
    sim = restart(sim, store, HOUR_MS, 4);
    expect_member(sim, 0, "state", "\"delivered\"");
    sim_run(sim, HOUR_MS);
    ck_assert_uint_eq(post_count, 5);
    ck_assert_int_eq(imagine_webhook_redeliver(sim->im, "msg_a"), 0);
    sim_run(sim, 1 * SECOND_MS);
    ck_assert_uint_eq(post_count, 6);
    sim = restart(sim, store, 25 * HOUR_MS, 5);
    ck_assert_int_eq(imagine_webhook_redeliver(sim->im, "msg_a"), IMAGINE_ENOTFOUND);
    sim_close(sim);
    sim_store_free(store);
}
END_TEST

START_TEST(a_try_that_a_restart_cut_is_made_again) {
    sim_store_t *store = sim_store_new();
    sim_t *sim = open_first_world(1, never_answers);
    sim_attach_store(sim, store);
    sim_run(sim, 10);
    enqueue(sim, "a", "https://hooks.test/in");
    sim_run(sim, 5 * SECOND_MS);
    sim = restart(sim, store, 1, 2);
    receiver = accepts;
    sim_run(sim, 1 * SECOND_MS);
    ck_assert_uint_eq(post_count, 2); /* the one that was cut, and this */
    sim_run(sim, 60 * SECOND_MS);
    expect_member(sim, 0, "state", "\"delivered\"");
    sim_close(sim);
    sim_store_free(store);
}
END_TEST

START_TEST(what_ends_while_we_close_is_delivered_by_the_next_process) {
    sim_store_t *store = sim_store_new();
    sim_t *sim = open_first_world(1, accepts);
    sim_attach_store(sim, store);
    sim_run(sim, 10);
    sim->im->is_closing = true; /* as inside imagine_close(), where requests end */
    enqueue(sim, "a", "https://hooks.test/in");
    sim->im->is_closing = false;
    ck_assert_uint_eq(post_count, 0);
    ck_assert_ptr_null(sim->im->webhooks->timer);
    sim = restart(sim, store, 1, 2);
    sim_run(sim, 1 * SECOND_MS);
    ck_assert_uint_eq(count_accepted("msg_a"), 1);
    sim_close(sim);
    sim_store_free(store);
}
END_TEST

static const char *expected_body;
static bool expects_body(sim_t *sim, const imagine_http_request_t *request) {
    ck_assert_uint_eq(request->body->size, strlen(expected_body));
    ck_assert_mem_eq(request->body->data, expected_body, strlen(expected_body));
    return is_down(sim, request);
}

START_TEST(a_body_too_large_for_the_store_is_told_as_the_task_is) {
    static char large[600 * 1024];
    sim_store_t *store = sim_store_new();
    sim_t *sim = open_first_world(1, expects_body);
    sim_attach_store(sim, store);
    sim_run(sim, 10);
    snprintf(large, sizeof(large),
             "{\"taskId\":\"a\",\"provider\":\"gitee\",\"status\":\"completed\",\"result\":\"");
    memset(large + strlen(large), 'x', sizeof(large) - strlen(large) - 3);
    memcpy(large + sizeof(large) - 3, "\"}", 3);
    expected_body = large;
    ck_assert_int_eq(
        imi_webhook_enqueue(sim->im, "https://hooks.test/in", large, strlen(large), "a"), 0);
    sim_run(sim, 1 * SECOND_MS);
    expected_body = "{\"taskId\":\"a\",\"provider\":\"gitee\",\"status\":\"failed\",\"error\":"
                    "\"the result was too large to be kept over a restart\"}";
    sim = restart(sim, store, 10 * SECOND_MS, 2);
    sim_run(sim, 1 * SECOND_MS);
    ck_assert_uint_eq(post_count, 2);
    sim_close(sim);
    sim_store_free(store);
}
END_TEST

START_TEST(a_clock_that_was_wrong_does_not_hold_it_back_for_long) {
    sim_store_t *store = sim_store_new();
    sim_t *sim = open_first_world(1, is_down);
    sim_attach_store(sim, store);
    sim_run(sim, 10);
    sim_set_unix_ms(sim, SIM_START_UNIX_MS + 1000 * (int64_t)HOUR_MS);
    enqueue(sim, "a", "https://hooks.test/in");
    sim_run(sim, 1 * SECOND_MS);
    receiver = accepts;
    sim_set_unix_ms(sim, SIM_START_UNIX_MS);
    sim = restart(sim, store, 1, 2);
    sim_run(sim, HOUR_MS);
    ck_assert_uint_eq(count_accepted("msg_a"), 1);
    sim_close(sim);
    sim_store_free(store);
}
END_TEST

START_TEST(a_store_that_is_away_holds_nothing_up) {
    sim_store_t *store = sim_store_new();
    sim_t *sim = open_first_world(1, accepts);
    sim_store_set_mode(store, SIM_STORE_AWAY);
    sim_attach_store(sim, store);
    sim_run(sim, 10);
    enqueue(sim, "a", "https://hooks.test/in");
    sim_run(sim, 1 * SECOND_MS);
    ck_assert_uint_eq(count_accepted("msg_a"), 1);
    sim_close(sim);
    sim_store_free(store);
}
END_TEST

START_TEST(a_store_that_was_away_at_the_start_brings_them_later) {
    sim_store_t *store = sim_store_new();
    sim_t *sim = open_first_world(1, is_down);
    sim_attach_store(sim, store);
    sim_run(sim, 10);
    enqueue(sim, "a", "https://hooks.test/in");
    sim_run(sim, 1 * SECOND_MS);
    sim_close(sim);
    sim_store_set_mode(store, SIM_STORE_AWAY);
    sim = open_world(2, accepts);
    sim_attach_store(sim, store);
    sim_run(sim, MINUTE_MS);
    ck_assert_uint_eq(count_accepted("msg_a"), 0);
    sim_store_set_mode(store, SIM_STORE_UP);
    sim_run(sim, 10 * SECOND_MS);
    ck_assert_uint_eq(count_accepted("msg_a"), 1);
    sim_close(sim);
    sim_store_free(store);
}
END_TEST

/* ---- chaos -------------------------------------------------------------------------------------
 */

/* Until up_at_ms everything breaks in every way; from then on all is well. The time is that of the
 * wall, for it goes on over restarts. */
static int64_t well_at_unix_ms;
static bool breaks_somehow(sim_t *sim, const imagine_http_request_t *request) {
    char headers[64];
    if (sim->unix_ms >= well_at_unix_ms)
        return accepts(sim, request);
    switch (sim_random(sim) % 8) {
    case 0:
        return accepts(sim, request);
    case 1:
        return never_answers(sim, request);
    case 2:
        return is_down(sim, request);
    case 3:
        sim_reply_with(sim, sim_random(sim) % 12000, 302, "Location: /", "");
        return false;
    case 4:
        snprintf(headers, sizeof(headers), "Retry-After: %d", (int)(sim_random(sim) % 600));
        sim_reply_with(sim, sim_random(sim) % 500, 503, headers, "{}");
        return false;
    default:
        sim_reply(sim, sim_random(sim) % 15000, 500, "no");
        return false;
    }
}

#define CHAOS_COUNT 200

START_TEST(none_is_lost_and_none_is_never_delivered) { /* _i: seed */
    uint64_t seed = sim_seed(_i);
    sim_store_t *store = sim_store_new();
    sim_t *sim = open_first_world(seed, breaks_somehow);
    char task_id[16], url[64], *list;
    size_t delivered_count = 0, count = 0;
    imi_json_cursor_t cursor;
    imi_slice_t item;
    well_at_unix_ms = sim->unix_ms + 30 * (int64_t)MINUTE_MS;
    sim_store_set_delay(store, sim_random(sim) % 20);
    sim_attach_store(sim, store);
    sim_run(sim, 100);
    for (int i = 0; i < CHAOS_COUNT; i++) {
        snprintf(task_id, sizeof(task_id), "t%d", i);
        snprintf(url, sizeof(url), "https://host%d.test/in", (int)(sim_random(sim) % 30));
        sim_store_set_mode(store, sim_random(sim) % 8 == 0 ? SIM_STORE_AWAY : SIM_STORE_UP);
        enqueue(sim, task_id, url);
        sim_run(sim, sim_random(sim) % 8000);
        if (sim_random(sim) % 16 == 0) {
            sim_store_set_mode(store, SIM_STORE_UP);
            sim_run(sim, 6 * SECOND_MS); /* whatever was refused is asked for again by then */
            if (sim_random(sim) % 2 == 0)
                sim_store_set_mode(store, SIM_STORE_SILENT); /* nothing more is kept: a crash */
            sim_run(sim, sim_random(sim) % 3000);
            sim = restart(sim, store, sim_random(sim) % 20000, sim_random(sim));
        }
    }
    sim_store_set_mode(store, SIM_STORE_UP);
    sim_run(sim, 5 * HOUR_MS);
    for (int i = 0; i < CHAOS_COUNT; i++) {
        snprintf(task_id, sizeof(task_id), "msg_t%d", i);
        ck_assert_msg(count_accepted(task_id) >= 1, "seed %" PRIu64 ": %s never arrived", seed,
                      task_id);
    }
    list = imagine_webhooks(sim->im);
    cursor = imi_json_walk(imi_slice_of(list));
    for (; imi_json_next_item(&cursor, &item); count++)
        delivered_count += imi_slice_equals(imi_json_get(item, "state"), "\"delivered\"");
    ck_assert_uint_eq(count, CHAOS_COUNT);
    ck_assert_msg(delivered_count == CHAOS_COUNT, "seed %" PRIu64 ": %zu say so", seed,
                  delivered_count);
    ck_assert_uint_eq(count_in_flight(sim), 0);
    ck_assert_uint_eq(sim->timer_count, 0);
    imagine_free(list);
    sim_close(sim);
    sim_store_free(store);
}
END_TEST

static Suite *webhooks_suite(void) {
    Suite *suite = suite_create("sim/webhooks");
    TCase *tcase = tcase_create("webhooks");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, it_arrives_once_and_is_not_sent_again);
    tcase_add_loop_test(tcase, a_receiver_that_was_down_for_an_hour_gets_it, 0, 20);
    tcase_add_loop_test(tcase, ten_tries_with_growing_pauses_take_about_two_hours, 0, 20);
    tcase_add_test(tcase, what_failed_together_does_not_come_back_together);
    tcase_add_test(tcase, a_slow_receiver_has_ten_seconds);
    tcase_add_test(tcase, the_time_limit_is_a_setting);
    tcase_add_loop_test(tcase, what_a_receiver_answers_decides, 0,
                        (int)(sizeof(answers) / sizeof(answers[0])));
    tcase_add_test(tcase, an_address_that_the_guard_refuses_fails_for_good);
    tcase_add_test(tcase, the_guard_is_asked_at_every_try);
    tcase_add_test(tcase, a_private_host_that_is_listed_is_fine);
    tcase_add_test(tcase, a_thousand_for_a_dead_host_do_not_delay_those_for_a_good_one);
    tcase_add_test(tcase, hosts_take_turns_for_the_64_places);
    tcase_add_test(tcase, the_newest_200_are_shown);
    tcase_add_test(tcase, an_administrator_sends_it_again_under_its_id);
    tcase_add_test(tcase, a_task_that_ends_twice_tells_it_once);
    tcase_add_test(tcase, what_has_ended_is_forgotten_after_a_day);
    tcase_add_test(tcase, a_restart_goes_on_where_it_was);
    tcase_add_test(tcase, a_try_that_a_restart_cut_is_made_again);
    tcase_add_test(tcase, what_ends_while_we_close_is_delivered_by_the_next_process);
    tcase_add_test(tcase, a_body_too_large_for_the_store_is_told_as_the_task_is);
    tcase_add_test(tcase, a_clock_that_was_wrong_does_not_hold_it_back_for_long);
    tcase_add_test(tcase, a_store_that_is_away_holds_nothing_up);
    tcase_add_test(tcase, a_store_that_was_away_at_the_start_brings_them_later);
    tcase_add_loop_test(tcase, none_is_lost_and_none_is_never_delivered, 0, 40);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(webhooks_suite)
