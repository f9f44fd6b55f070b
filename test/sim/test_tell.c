/* test_tell.c: a job's webhook reaches the queue whatever refuses it on the way, in this life or in
 * the next one. What the queue makes of it: test_webhooks.c. */
#include <stdio.h>
#include <string.h>

#include "core/client.h"
#include "core/webhook.h"
#include "sim/sim.h"
#include "support/check_main.h"

#define MINUTE_MS UINT64_C(60000)
#define HOUR_MS (60 * MINUTE_MS)
#define PICTURE "{\"data\":[{\"url\":\"https://cdn.test/1.png\"}]}"
static const char job[] = "{\"model\":\"gitee/z-image-turbo\",\"prompt\":\"a cat\",\"async\":true,"
                          "\"webhookUrl\":\"https://hooks.test/in\"}";

/* ---- the world ---------------------------------------------------------------------------------
 */

static size_t post_count, taken_count; /* webhooks: tried, and taken by their receiver */
static char webhook_id[96];            /* of the first of them; the others have the same */
static bool is_receiver_up;
static int (*start_exchange)(void *context, const imagine_http_request_t *request,
                             const imagine_http_handler_t *handler, void *user,
                             imagine_http_exchange_t **out);

static int on_start(void *context, const imagine_http_request_t *request,
                    const imagine_http_handler_t *handler, void *user,
                    imagine_http_exchange_t **out) {
    sim_t *sim = context;
    if (strstr(request->url, "hooks.test") == NULL) {
        sim_reply(sim, 10, 200, PICTURE);
    } else {
        for (size_t i = 0; i < request->header_count; i++) {
            if (strcmp(request->headers[i].name, "webhook-id") != 0)
                continue;
            if (post_count == 0)
                snprintf(webhook_id, sizeof(webhook_id), "%s", request->headers[i].value);
            ck_assert_str_eq(request->headers[i].value, webhook_id);
        }
        post_count++;
        taken_count += is_receiver_up;
        sim_reply(sim, 10, is_receiver_up ? 204 : 503, "");
    }
    return start_exchange(context, request, handler, user, out);
}

static void enter(sim_t *sim) {
    start_exchange = sim->io.http_start;
    sim->io.http_start = on_start;
    imagine_set_tokens(sim->im, "gitee", "first-secret");
}

static sim_t *open_world(sim_store_t *store) {
    sim_t *sim = sim_open(1);
    enter(sim);
    post_count = taken_count = 0;
    is_receiver_up = true;
    if (store != NULL)
        sim_attach_store(sim, store);
    sim_run(sim, 10);
    return sim;
}

/* What the store has now is what the next life finds, two hours later. */
static sim_t *crash(sim_t *sim, sim_store_t *store) {
    int64_t unix_ms = sim->unix_ms + 2 * (int64_t)HOUR_MS;
    sim_store_set_mode(store, SIM_STORE_SILENT);
    sim_close(sim);
    sim_store_set_mode(store, SIM_STORE_UP);
    sim = sim_open(2);
    enter(sim);
    sim_set_unix_ms(sim, unix_ms);
    sim_attach_store(sim, store);
    return sim;
}

static void fill_queue(sim_t *sim) {
    sim->im->webhooks->size += IMI_WEBHOOKS_SIZE_MAX;
}

static void drain_queue(sim_t *sim) {
    sim->im->webhooks->size -= IMI_WEBHOOKS_SIZE_MAX;
}

static size_t count_lines(const sim_t *sim, const char *part) {
    size_t count = 0;
    for (const char *at = sim->log; at != NULL && (at = strstr(at, part)) != NULL; at++)
        count++;
    return count;
}

/* The task that the webhook was about has come to what it was told. */
static void expect_success(sim_t *sim) {
    char body[160];
    snprintf(body, sizeof(body), "{\"taskId\":\"%s\"}", webhook_id + strlen("msg_"));
    sim_request_t *question = sim_start(sim, "task-status", body);
    sim_run(sim, 1000);
    ck_assert_str_eq(question->task_state, "success");
}

/* ---- a queue that refuses ----------------------------------------------------------------------
 */

START_TEST(a_queue_that_was_full_gets_it_later) {
    sim_t *sim = open_world(NULL);
    fill_queue(sim);
    sim_start(sim, "generate", job);
    sim_run(sim, HOUR_MS);
    ck_assert_uint_eq(post_count, 0);
    ck_assert_uint_ge(count_lines(sim, "webhook.put_off"), 10);
    ck_assert_uint_le(count_lines(sim, "webhook.put_off"), 20); /* the pauses grow */
    drain_queue(sim);
    sim_run(sim, 5 * MINUTE_MS);
    ck_assert_uint_eq(taken_count, 1);
    sim_run(sim, 20 * HOUR_MS);
    ck_assert_uint_eq(post_count, 1);
    ck_assert_uint_eq(sim->timer_count, 0);
    expect_success(sim);
    sim_close(sim);
}
END_TEST

START_TEST(a_queue_that_stays_full_for_a_day_is_told_of) {
    sim_t *sim = open_world(NULL);
    fill_queue(sim);
    sim_start(sim, "generate", job);
    sim_run(sim, 25 * HOUR_MS);
    ck_assert_uint_eq(count_lines(sim, "webhook.lost"), 1);
    ck_assert_uint_eq(sim->timer_count, 0);
    drain_queue(sim);
    sim_close(sim);
}
END_TEST

START_TEST(what_a_full_queue_refused_is_told_by_the_next_life) {
    sim_store_t *store = sim_store_new();
    sim_t *sim = open_world(store);
    fill_queue(sim);
    sim_start(sim, "generate", job);
    sim_run(sim, MINUTE_MS);
    drain_queue(sim);
    sim = crash(sim, store);
    sim_run(sim, 1000);
    ck_assert_uint_eq(taken_count, 1);
    expect_success(sim);
    sim = crash(sim, store);
    sim_run(sim, HOUR_MS);
    ck_assert_uint_eq(post_count, 1);
    sim_close(sim);
    sim_store_free(store);
}
END_TEST

/* ---- a store that refuses ----------------------------------------------------------------------
 */

START_TEST(what_the_store_refused_is_told_by_the_next_life) { /* _i: was it delivered before? */
    sim_store_t *store = sim_store_new();
    sim_t *sim = open_world(store);
    sim_store_refuse(store, "webhook/");
    is_receiver_up = _i == 1;
    sim_start(sim, "generate", job);
    sim_run(sim, 10000);
    ck_assert_uint_eq(taken_count, (size_t)_i);
    sim = crash(sim, store);
    sim_store_refuse(store, NULL);
    is_receiver_up = true;
    sim_run(sim, MINUTE_MS);
    ck_assert_uint_eq(taken_count, (size_t)_i + 1); /* rather twice than never */
    expect_success(sim);
    sim_close(sim);
    sim_store_free(store);
}
END_TEST

START_TEST(a_store_that_takes_it_at_last_ends_it) {
    sim_store_t *store = sim_store_new();
    sim_t *sim = open_world(store);
    sim_store_refuse(store, "webhook/");
    sim_start(sim, "generate", job);
    sim_run(sim, 2000);
    ck_assert(sim_store_contains(store, "\"told\":false"));
    sim_store_refuse(store, NULL);
    sim_run(sim, 10000);
    ck_assert(sim_store_contains(store, "\"told\":true"));
    sim = crash(sim, store);
    sim_store_refuse(store, "webhook/"); /* it is the task's own record that says so */
    sim_run(sim, HOUR_MS);
    ck_assert_uint_eq(post_count, 1);
    sim_close(sim);
    sim_store_free(store);
}
END_TEST

START_TEST(a_crash_at_any_moment_tells_it_all_the_same) { /* _i: after so many ms, the store slow */
    sim_store_t *store = sim_store_new();
    sim_t *sim = open_world(store);
    sim_store_set_delay(store, 3);
    is_receiver_up = false;
    sim_start(sim, "generate", job);
    sim_run(sim, (uint64_t)_i);
    ck_assert(_i < 3 || sim_store_has(store, "task/"));
    sim = crash(sim, store);
    is_receiver_up = true;
    sim_run(sim, HOUR_MS);
    ck_assert_uint_eq(taken_count, sim_store_has(store, "task/"));
    sim_close(sim);
    sim_store_free(store);
}
END_TEST

/* ---- memory that runs out ----------------------------------------------------------------------
 */

START_TEST(whichever_allocation_fails_whoever_got_an_id_is_told) {
    bool has_failed = true;
    is_receiver_up = true;
    for (size_t n = 1; has_failed; n++) {
        sim_t *sim = sim_open_failing(1, n);
        sim_request_t *request;
        if (sim == NULL)
            continue;
        enter(sim);
        post_count = taken_count = 0;
        request = sim_start(sim, "generate", job);
        sim_run(sim, HOUR_MS);
        if (request != NULL && request->http_status == 202)
            ck_assert_msg(taken_count == 1, "allocation %zu: told %zu times\n%s", n, taken_count,
                          sim->log);
        has_failed = sim->mem.has_failed;
        sim_close(sim);
    }
}
END_TEST

START_TEST(whichever_allocation_fails_the_next_life_knows) {
    bool has_failed = true;
    for (size_t n = 1; has_failed; n++) {
        sim_store_t *store = sim_store_new();
        sim_t *sim = sim_open_failing(1, n);
        sim_request_t *request;
        bool was_accepted;
        if (sim == NULL) {
            sim_store_free(store);
            continue;
        }
        enter(sim);
        sim_attach_store(sim, store);
        is_receiver_up = false;
        post_count = taken_count = 0;
        sim_run(sim, 10);
        request = sim_start(sim, "generate", job);
        sim_run(sim, 10000);
        /* A task whose very first record could not be written is known to this life alone. */
        was_accepted =
            request != NULL && request->http_status == 202 && sim_store_has(store, "task/");
        has_failed = sim->mem.has_failed;
        sim = crash(sim, store);
        is_receiver_up = true;
        sim_run(sim, HOUR_MS);
        ck_assert_msg(!was_accepted || taken_count == 1, "allocation %zu: told %zu times", n,
                      taken_count);
        sim_close(sim);
        sim_store_free(store);
    }
}
END_TEST

static Suite *tell_suite(void) {
    Suite *suite = suite_create("tell");
    TCase *tcase = tcase_create("tell");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_queue_that_was_full_gets_it_later);
    tcase_add_test(tcase, a_queue_that_stays_full_for_a_day_is_told_of);
    tcase_add_test(tcase, what_a_full_queue_refused_is_told_by_the_next_life);
    tcase_add_loop_test(tcase, what_the_store_refused_is_told_by_the_next_life, 0, 2);
    tcase_add_test(tcase, a_store_that_takes_it_at_last_ends_it);
    tcase_add_loop_test(tcase, a_crash_at_any_moment_tells_it_all_the_same, 0, 40);
    tcase_add_test(tcase, whichever_allocation_fails_whoever_got_an_id_is_told);
    tcase_add_test(tcase, whichever_allocation_fails_the_next_life_knows);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(tell_suite)
