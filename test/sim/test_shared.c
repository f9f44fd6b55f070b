/* test_shared.c: two instances on one storage, each in a world of its own whose clocks go together:
 * what one learns the other knows, and each piece of work is done by one of them, whatever happens
 * to the other. _i: does the storage tell of changes? */
#include <stdio.h>
#include <string.h>

#include "sim/sim.h"
#include "support/check_main.h"

#define DONE "{\"task_status\":\"SUCCEED\",\"output_images\":[\"https://c.t/1\"]}"
#define PENDING "{\"task_status\":\"PROCESSING\"}"
static const char job[] = "{\"model\":\"modelscope/flux-2\",\"prompt\":\"a cat\",\"async\":true}";
static const char told_job[] =
    "{\"model\":\"modelscope/flux-2\",\"prompt\":\"a cat\",\"async\":true,"
    "\"webhookUrl\":\"https://hooks.test/in\"}";

typedef struct pair {
    sim_store_t *store;
    sim_t *a, *b;
} pair_t;

static sim_t *open_one(sim_store_t *store, uint64_t seed) {
    sim_t *sim = sim_open(seed);
    ck_assert_int_eq(imagine_set_tokens(sim->im, "gitee", "first-secret,second-secret"), 0);
    ck_assert_int_eq(imagine_set_tokens(sim->im, "modelscope", "other-secret"), 0);
    sim_attach_store(sim, store);
    return sim;
}

static pair_t open_pair(bool tells) {
    pair_t pair = {.store = sim_store_new()};
    sim_store_share(pair.store, tells);
    pair.a = open_one(pair.store, 1);
    pair.b = open_one(pair.store, 2);
    sim_run(pair.a, 10);
    sim_run(pair.b, 10);
    return pair;
}

static void close_pair(pair_t *pair) {
    ck_assert(!sim_store_contains(pair->store, "secret"));
    sim_close(pair->a);
    sim_close(pair->b);
    sim_store_free(pair->store);
}

/* Time passes for both; NULL: for the one that lives. */
static void run(sim_t *a, sim_t *b, uint64_t ms) {
    for (uint64_t at = 0; at < ms; at += 5) {
        if (a != NULL)
            sim_run(a, 5);
        if (b != NULL)
            sim_run(b, 5);
    }
}

/* One that was stopped for a while goes on: its clock has not stopped. */
static void wake(sim_t *ghost, const sim_t *other) {
    ghost->now_ms = other->now_ms;
    ghost->unix_ms = other->unix_ms;
}

static sim_request_t *ask(sim_t *sim, const char *action, const char *task_id) {
    char body[128];
    snprintf(body, sizeof(body), "{\"taskId\":\"%s\"}", task_id);
    sim_request_t *question = sim_start(sim, action, body);
    sim_run(sim, 50);
    ck_assert_int_eq(question->done_count, 1);
    return question;
}

static size_t count(const char *text, const char *word) {
    size_t found = 0;
    for (const char *at = text; at != NULL && (at = strstr(at, word)) != NULL; at++)
        found++;
    return found;
}

/* ---- tokens ------------------------------------------------------------------------------------
 */

static void exhaust(sim_t *sim) {
    sim_reply(sim, 10, 429,
              "{\"error\":{\"code\":\"quota_exceeded\",\"message\":\"daily quota\"}}");
    sim_reply(sim, 10, 200, "{\"data\":[{\"url\":\"https://cdn.test/1.png\"}]}");
    ck_assert_ptr_nonnull(sim_generate(sim, "gitee/z-image-turbo"));
    sim_run(sim, 100);
}

START_TEST(what_one_learns_of_a_token_the_other_knows_within_a_second) {
    pair_t pair = open_pair(_i == 1);
    imagine_token_stats_t stats = {.size = sizeof(stats)};
    run(pair.a, pair.b, 1000);
    exhaust(pair.a);
    ck_assert(sim_store_has(pair.store, "live/token/gitee/"));
    if (_i == 0) { /* hears of it when there is work */
        run(NULL, pair.b, 1000);
        sim_reply(pair.b, 10, 200, "{\"data\":[{\"url\":\"https://cdn.test/1.png\"}]}");
        sim_generate(pair.b, "gitee/z-image-turbo");
    }
    run(NULL, pair.b, 200);
    ck_assert_int_eq(imagine_token_stats(pair.b->im, "gitee", &stats), 0);
    ck_assert_uint_eq(stats.exhausted, 1);
    ck_assert_uint_eq(stats.active, 1);
    close_pair(&pair);
}
END_TEST

START_TEST(a_provider_that_fails_is_spared_by_both) {
    pair_t pair = open_pair(_i == 1);
    for (int i = 0; i < 5; i++) {
        sim_reply(pair.a, 10, 500, "down");
        sim_generate(pair.a, "gitee/z-image-turbo");
        run(pair.a, pair.b, 2000);
    }
    ck_assert_int_eq(imagine_breaker_state(pair.a->im, "gitee"), IMAGINE_BREAKER_OPEN);
    if (_i == 0) {
        sim_start(pair.b, "task-status", "{\"taskId\":\"0123456789abcdef\"}");
        run(NULL, pair.b, 100);
    }
    ck_assert_int_eq(imagine_breaker_state(pair.b->im, "gitee"), IMAGINE_BREAKER_OPEN);
    run(pair.a, pair.b, 60000);
    sim_reply(pair.a, 10, 200, "{\"data\":[{\"url\":\"https://cdn.test/1.png\"}]}");
    sim_generate(pair.a, "gitee/z-image-turbo");
    run(pair.a, pair.b, 100);
    ck_assert_int_eq(imagine_breaker_state(pair.a->im, "gitee"), IMAGINE_BREAKER_CLOSED);
    close_pair(&pair);
}
END_TEST

/* ---- jobs --------------------------------------------------------------------------------------
 */

static void expect_state(sim_t *sim, const char *task_id, const char *state) {
    sim_request_t *question = ask(sim, "task-status", task_id);
    ck_assert_int_eq(question->status, 0);
    ck_assert_str_eq(question->task_state, state);
}

START_TEST(a_job_of_one_is_answered_by_the_other_and_read_by_one_alone) {
    pair_t pair = open_pair(_i == 1);
    sim_reply(pair.a, 10, 200, "{\"task_id\":\"theirs\"}");
    for (int i = 0; i < 2; i++)
        sim_reply(pair.a, 10, 200, PENDING);
    sim_reply(pair.a, 10, 200, DONE);
    sim_request_t *request = sim_start(pair.a, "generate", job);
    run(pair.a, pair.b, 500);
    expect_state(pair.b, request->task_id, "processing");
    run(pair.a, pair.b, 30000);
    expect_state(pair.a, request->task_id, "success");
    expect_state(pair.b, request->task_id, "success");
    ck_assert(pair.b->trace == NULL || strstr(pair.b->trace, "/v1/tasks/") == NULL);
    ck_assert(!sim_store_has(pair.store, "run/"));
    ck_assert(!sim_store_has(pair.store, "live/peer/"));
    close_pair(&pair);
}
END_TEST

START_TEST(work_of_one_that_dies_is_taken_over_and_its_ghost_writes_nothing) {
    pair_t pair = open_pair(_i == 1);
    uint64_t began_ms;
    sim_reply(pair.a, 10, 200, "{\"task_id\":\"theirs\"}");
    for (int i = 0; i < 20; i++)
        sim_reply(pair.a, 10, 200, PENDING);
    sim_request_t *request = sim_start(pair.a, "generate", job);
    run(pair.a, pair.b, 2000);
    sim_reply(pair.b, 10, 200, DONE);
    began_ms = pair.b->now_ms;
    while (pair.b->trace == NULL || strstr(pair.b->trace, "/v1/tasks/theirs") == NULL) {
        if (_i == 0) /* only then does it look around */
            expect_state(pair.b, request->task_id, "processing");
        run(NULL, pair.b, 500);
        ck_assert_msg(pair.b->now_ms - began_ms < 20000, "nobody took it over:\n%s", pair.b->log);
    }
    run(NULL, pair.b, 1000);
    expect_state(pair.b, request->task_id, "success");
    wake(pair.a, pair.b);
    run(pair.a, pair.b, 2000);
    sim_forget_trace(pair.a);
    run(pair.a, pair.b, 60000);
    ck_assert(pair.a->trace == NULL || strstr(pair.a->trace, "/v1/tasks/") == NULL);
    ck_assert_ptr_nonnull(strstr(pair.a->log, "store.lost"));
    expect_state(pair.b, request->task_id, "success");
    expect_state(pair.a, request->task_id, "success");
    ck_assert(!sim_store_has(pair.store, "run/"));
    close_pair(&pair);
}
END_TEST

START_TEST(a_job_is_canceled_by_whoever_is_asked) {
    pair_t pair = open_pair(_i == 1);
    sim_reply(pair.a, 10, 200, "{\"task_id\":\"theirs\"}");
    for (int i = 0; i < 20; i++)
        sim_reply(pair.a, 10, 200, PENDING);
    sim_request_t *request = sim_start(pair.a, "generate", job);
    run(pair.a, pair.b, 2000);
    expect_state(pair.b, request->task_id, "processing");
    sim_request_t *question = ask(pair.b, "task-cancel", request->task_id);
    ck_assert_str_eq(question->task_state, "failed");
    run(pair.a, pair.b, 5000);
    sim_forget_trace(pair.a);
    run(pair.a, pair.b, 60000);
    ck_assert(pair.a->trace == NULL || strstr(pair.a->trace, "/v1/tasks/") == NULL);
    expect_state(pair.a, request->task_id, "failed");
    expect_state(pair.b, request->task_id, "failed");
    close_pair(&pair);
}
END_TEST

START_TEST(a_store_that_was_away_or_emptied_takes_no_work_away) { /* and _i / 2: emptied */
    pair_t pair = open_pair(_i % 2 == 1);
    sim_reply(pair.a, 10, 200, "{\"task_id\":\"theirs\"}");
    for (int i = 0; i < 5; i++)
        sim_reply(pair.a, 10, 200, PENDING);
    sim_reply(pair.a, 10, 200, DONE);
    sim_request_t *request = sim_start(pair.a, "generate", job);
    run(pair.a, pair.b, 1000);
    if (_i < 2)
        sim_store_set_mode(pair.store, SIM_STORE_AWAY);
    else
        sim_store_empty(pair.store);
    run(pair.a, pair.b, 12000);
    sim_store_set_mode(pair.store, SIM_STORE_UP);
    run(pair.a, pair.b, 40000);
    expect_state(pair.a, request->task_id, "success");
    expect_state(pair.b, request->task_id, "success");
    ck_assert(pair.b->trace == NULL || strstr(pair.b->trace, "/v1/tasks/") == NULL);
    close_pair(&pair);
}
END_TEST

START_TEST(a_store_that_was_emptied_is_told_every_mark_again) { /* _i: does it tell of changes? */
    pair_t pair = open_pair(_i == 1);
    run(pair.a, pair.b, 1000);
    exhaust(pair.a);
    run(pair.a, pair.b, 2000);
    sim_store_empty(pair.store);
    ck_assert(!sim_store_has(pair.store, "live/token/gitee/"));
    for (int i = 0; i < 2 && _i == 0; i++) { /* notices when there is work */
        sim_reply(pair.a, 10, 200, "{\"data\":[{\"url\":\"https://cdn.test/1.png\"}]}");
        sim_generate(pair.a, "gitee/z-image-turbo");
        run(pair.a, pair.b, 1500);
    }
    run(pair.a, pair.b, 1000);
    ck_assert(sim_store_has(pair.store, "live/token/gitee/"));
    /* One that was reset while all is well stays so. */
    ck_assert_int_eq(imagine_token_reset(pair.a->im, "gitee"), 0);
    run(pair.a, pair.b, 2000);
    ck_assert(!sim_store_has(pair.store, "live/token/gitee/"));
    close_pair(&pair);
}
END_TEST

START_TEST(those_that_begin_together_find_no_storage_emptied) { /* _i: does it tell of changes? */
    pair_t pair = {.store = sim_store_new()};
    sim_store_share(pair.store, _i == 1);
    sim_store_set_delay(pair.store, 20); /* both have looked before the first one has written */
    pair.a = open_one(pair.store, 1);
    pair.b = open_one(pair.store, 2);
    for (int i = 0; i < 3; i++) {
        run(pair.a, pair.b, 1500);
        sim_reply(pair.b, 10, 200, "{\"data\":[{\"url\":\"https://cdn.test/1.png\"}]}");
        sim_generate(pair.b, "gitee/z-image-turbo"); /* it looks when there is work */
        sim_reply(pair.a, 10, 200, "{\"data\":[{\"url\":\"https://cdn.test/1.png\"}]}");
        sim_generate(pair.a, "gitee/z-image-turbo");
    }
    run(pair.a, pair.b, 1500);
    ck_assert(sim_store_has(pair.store, "live/epoch"));
    ck_assert(pair.a->log == NULL || strstr(pair.a->log, "store.emptied") == NULL);
    ck_assert(pair.b->log == NULL || strstr(pair.b->log, "store.emptied") == NULL);
    close_pair(&pair);
}
END_TEST

/* ---- webhooks ----------------------------------------------------------------------------------
 */

START_TEST(a_webhook_of_one_that_dies_is_told_by_the_other_once) {
    pair_t pair = open_pair(_i == 1);
    sim_reply(pair.a, 10, 200, "{\"task_id\":\"theirs\"}");
    sim_reply(pair.a, 10, 200, DONE);
    for (int i = 0; i < 10; i++)
        sim_reply(pair.a, 10, 503, "later");
    sim_request_t *request = sim_start(pair.a, "generate", told_job);
    for (int i = 0; i < 100 && strstr(pair.a->log, "task.ended") == NULL; i++)
        run(pair.a, pair.b, 100);
    ck_assert_ptr_nonnull(strstr(pair.a->log, "task.ended"));
    run(pair.a, pair.b, 100);
    sim_reply(pair.b, 10, 200, "thanks");
    for (int i = 0; i < 60; i++) {
        if (_i == 0)
            expect_state(pair.b, request->task_id, "success");
        run(NULL, pair.b, 500);
    }
    ck_assert_uint_eq(count(pair.b->log, "webhook.delivered"), 1);
    wake(pair.a, pair.b);
    run(pair.a, pair.b, 60000);
    ck_assert_uint_eq(count(pair.a->log, "webhook.delivered"), 0);
    ck_assert_ptr_nonnull(strstr(pair.a->log, "store.lost"));
    ck_assert(!sim_store_has(pair.store, "run/"));
    close_pair(&pair);
}
END_TEST

static Suite *shared_suite(void) {
    Suite *suite = suite_create("shared");
    TCase *tcase = tcase_create("shared");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, what_one_learns_of_a_token_the_other_knows_within_a_second, 0, 2);
    tcase_add_loop_test(tcase, a_provider_that_fails_is_spared_by_both, 0, 2);
    tcase_add_loop_test(tcase, a_job_of_one_is_answered_by_the_other_and_read_by_one_alone, 0, 2);
    tcase_add_loop_test(tcase, work_of_one_that_dies_is_taken_over_and_its_ghost_writes_nothing, 0,
                        2);
    tcase_add_loop_test(tcase, a_job_is_canceled_by_whoever_is_asked, 0, 2);
    tcase_add_loop_test(tcase, those_that_begin_together_find_no_storage_emptied, 0, 2);
    tcase_add_loop_test(tcase, a_store_that_was_emptied_is_told_every_mark_again, 0, 2);
    tcase_add_loop_test(tcase, a_store_that_was_away_or_emptied_takes_no_work_away, 0, 4);
    tcase_add_loop_test(tcase, a_webhook_of_one_that_dies_is_told_by_the_other_once, 0, 2);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(shared_suite)
