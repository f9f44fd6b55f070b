/* test_jobs.c: any action as a job, in the simulated world: who is answered when, what a restart
 * finds, what a cancel does. */
#include <stdio.h>
#include <string.h>

#include "core/client.h"
#include "core/keyring.h"
#include "imagine/provider.h"
#include "sim/sim.h"
#include "support/check_main.h"

#define PICTURE "{\"data\":[{\"url\":\"https://cdn.test/1.png\"}]}"
static const char job[] =
    "{\"model\":\"gitee/z-image-turbo\",\"prompt\":\"a cat\",\"seed\":5,\"async\":true}";
static const char scope_job[] =
    "{\"model\":\"modelscope/flux-2\",\"prompt\":\"a cat\",\"async\":true}";
static const char space_job[] =
    "{\"model\":\"huggingface/z-image-turbo\",\"prompt\":\"a cat\",\"async\":true}";

static sim_t *open_world(void) {
    sim_t *sim = sim_open(1);
    ck_assert_int_eq(imagine_set_tokens(sim->im, "gitee", "first-secret"), 0);
    ck_assert_int_eq(imagine_set_tokens(sim->im, "modelscope", "other-secret"), 0);
    return sim;
}

static const imagine_result_t *result_of(const sim_request_t *request) {
    return imagine_request_result(request->request);
}

static sim_request_t *ask(sim_t *sim, const char *action, const char *task_id) {
    char body[128];
    snprintf(body, sizeof(body), "{\"taskId\":\"%s\"}", task_id);
    sim_request_t *question = sim_start(sim, action, body);
    sim_run(sim, 1);
    ck_assert_int_eq(question->done_count, 1);
    return question;
}

START_TEST(the_caller_gets_an_id_and_the_task_the_whole_result) {
    sim_t *sim = open_world();
    sim_reply(sim, 3000, 200, PICTURE);
    sim_request_t *request = sim_start(sim, "generate", job), *question;
    sim_run(sim, 1);
    ck_assert_int_eq(request->status, 0);
    ck_assert_int_eq(request->http_status, 202);
    ck_assert_uint_eq(strlen(request->task_id), 32);
    ck_assert_ptr_nonnull(
        strstr(imagine_result_json(result_of(request), NULL), "\"status\":\"processing\""));
    question = ask(sim, "task-status", request->task_id);
    ck_assert_str_eq(imagine_result_json(result_of(question), NULL), "{\"status\":\"processing\"}");
    sim_run(sim, 5000);
    for (int i = 0; i < 2; i++) { /* the same each time */
        question = ask(sim, "task-status", request->task_id);
        ck_assert_str_eq(
            imagine_result_json(result_of(question), NULL),
            "{\"status\":\"success\",\"url\":\"https://cdn.test/1.png\",\"width\":2048,"
            "\"height\":2048,\"seed\":5,\"steps\":9}");
        ck_assert_str_eq(result_of(question)->url, "https://cdn.test/1.png");
    }
    sim_close(sim);
}
END_TEST

START_TEST(bad_input_is_told_at_once) {
    sim_t *sim = open_world();
    sim_request_t *request =
        sim_start(sim, "generate", "{\"model\":\"gitee/flux-2\",\"async\":true}");
    sim_run(sim, 1);
    ck_assert_int_eq(request->http_status, 400);
    sim_close(sim);
}
END_TEST

START_TEST(who_waits_a_moment_gets_a_quick_result) { /* _i: is it quick? */
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    sim_t *sim = open_world();
    params.model = "gitee/z-image-turbo";
    params.prompt = "a cat";
    params.is_job = 1;
    params.job_wait_ms = 2000;
    sim_reply(sim, _i == 1 ? 1000 : 3000, 200, PICTURE);
    sim_request_t *request = sim_start_params(sim, &params);
    sim_run(sim, 1999);
    ck_assert_int_eq(request->done_count, _i);
    sim_run(sim, 10);
    ck_assert_int_eq(request->http_status, _i == 1 ? 200 : 202);
    ck_assert_str_eq(request->url, _i == 1 ? "https://cdn.test/1.png" : "");
    sim_close(sim);
}
END_TEST

START_TEST(a_job_waits_for_a_token_that_cools) {
    sim_t *sim = open_world();
    sim_reply_with(sim, 10, 429, "Retry-After: 60\n", "{\"message\":\"slow down\"}");
    sim_reply(sim, 10, 200, PICTURE);
    sim_request_t *request = sim_start(sim, "generate", job);
    sim_run(sim, 70 * 1000);
    ck_assert_str_eq(ask(sim, "task-status", request->task_id)->task_state, "success");
    sim_close(sim);
}
END_TEST

/* Ends one life in the middle of a job and begins the next. */
static sim_t *next_life(sim_t *sim, sim_store_t *store, char task_id[64],
                        const sim_request_t *request) {
    snprintf(task_id, 64, "%s", request->task_id);
    sim_close(sim);
    ck_assert(!sim_store_contains(store, "secret"));
    return open_world();
}

START_TEST(what_may_have_been_carried_out_is_not_repeated_by_the_next_life) {
    sim_store_t *store = sim_store_new();
    sim_t *sim = open_world();
    char task_id[64];
    sim_attach_store(sim, store);
    sim_run(sim, 10);
    sim_stall(sim);
    sim_request_t *request = sim_start(sim, "generate", job);
    sim_run(sim, 100);
    sim = next_life(sim, store, task_id, request);
    sim_attach_store(sim, store);
    sim_run(sim, 1000);
    ck_assert(sim->trace == NULL || strstr(sim->trace, "http.start") == NULL);
    sim_request_t *question = ask(sim, "task-status", task_id);
    ck_assert_str_eq(question->task_state, "failed");
    ck_assert_ptr_nonnull(strstr(result_of(question)->message, "restart"));
    sim_close(sim);
    sim_store_free(store);
}
END_TEST

START_TEST(what_the_provider_has_an_id_for_is_read_on_by_the_next_life) {
    sim_store_t *store = sim_store_new();
    sim_t *sim = open_world();
    char task_id[64];
    sim_attach_store(sim, store);
    sim_run(sim, 10);
    sim_reply(sim, 10, 200, "{\"task_id\":\"theirs\"}");
    sim_request_t *request = sim_start(sim, "generate", scope_job);
    sim_run(sim, 500);
    sim = next_life(sim, store, task_id, request);
    sim_reply(sim, 10, 200, "{\"task_status\":\"SUCCEED\",\"output_images\":[\"https://c.t/1\"]}");
    sim_attach_store(sim, store);
    sim_run(sim, 10000);
    ck_assert_ptr_nonnull(strstr(sim->trace, "GET /v1/tasks/theirs"));
    sim_request_t *question = ask(sim, "task-status", task_id);
    ck_assert_str_eq(question->task_state, "success");
    ck_assert_str_eq(question->url, "https://c.t/1");
    sim_close(sim);
    sim_store_free(store);
}
END_TEST

#define EVENTS "Content-Type: text/event-stream"
/* Leaving a Space's event may cancel the work: some Spaces still have it, some do not. */
START_TEST(an_event_of_a_space_is_read_on_by_the_next_life) { /* _i: is it still there? */
    sim_store_t *store = sim_store_new();
    sim_t *sim = open_world();
    char task_id[64];
    sim_attach_store(sim, store);
    sim_run(sim, 10);
    sim_reply(sim, 10, 200, "{\"event_id\":\"theirs\"}");
    sim_stall(sim);
    sim_request_t *request = sim_start(sim, "generate", space_job);
    sim_run(sim, 500);
    sim = next_life(sim, store, task_id, request);
    if (_i == 1)
        sim_reply_with(sim, 10, 200, EVENTS,
                       "event: complete\ndata: [{\"url\":\"https://c.t/1\"}]\n\n");
    else
        sim_reply(sim, 10, 404, "{\"detail\":\"Event not found\"}");
    sim_attach_store(sim, store);
    sim_run(sim, 10000);
    ck_assert_ptr_nonnull(strstr(sim->trace, "GET /gradio_api/call/generate_image/theirs"));
    ck_assert_ptr_null(strstr(sim->trace, "POST"));
    sim_request_t *question = ask(sim, "task-status", task_id);
    ck_assert_str_eq(question->task_state, _i == 1 ? "success" : "failed");
    if (_i == 1)
        ck_assert_str_eq(question->url, "https://c.t/1");
    else
        ck_assert_ptr_nonnull(strstr(result_of(question)->message, "the Space has lost the work"));
    sim_close(sim);
    sim_store_free(store);
}
END_TEST

/* A quota that the event tells of is another token's turn, though the work had an id. */
START_TEST(a_space_whose_event_says_no_leaves_the_job_to_the_next_token) {
    sim_t *sim = open_world();
    ck_assert_int_eq(imagine_set_tokens(sim->im, "huggingface", "h1,h2"), 0);
    sim_reply(sim, 10, 200, "{\"event_id\":\"e1\"}");
    sim_reply_with(sim, 10, 200, EVENTS, "event: error\ndata: \"GPU quota exceeded\"\n\n");
    sim_reply(sim, 10, 200, "{\"event_id\":\"e2\"}");
    sim_reply_with(sim, 10, 200, EVENTS,
                   "event: complete\ndata: [{\"url\":\"https://c.t/2\"}]\n\n");
    sim_request_t *request = sim_start(sim, "generate", space_job);
    sim_run(sim, 10000);
    sim_request_t *question = ask(sim, "task-status", request->task_id);
    ck_assert_str_eq(question->task_state, "success");
    ck_assert_str_eq(question->url, "https://c.t/2");
    sim_close(sim);
}
END_TEST

/* The next life has no token for the provider, or another one: the task has brought its own. */
static const struct {
    const char *keys, *next_keys, *next_tokens;
    bool is_tampered, goes_on;
} sealed_cases[] = {
    {"first key", "first key", "another-secret", .goes_on = true},
    {"first key", "new key, first key", "another-secret", .goes_on = true},
    {"first key", "new key", "another-secret", .goes_on = false},
    {"first key", NULL, "another-secret", .goes_on = false},
    {NULL, "first key", "another-secret", .goes_on = false},
    {"first key", "first key", "another-secret", .is_tampered = true},
    {NULL, NULL, "other-secret", .goes_on = true},
};

START_TEST(a_task_brings_its_token_sealed) { /* _i walks sealed_cases */
    sim_store_t *store = sim_store_new();
    sim_t *sim = open_world();
    char task_id[64];
    ck_assert_int_eq(imi_keyring_set(sim->im, sealed_cases[_i].keys), 0);
    sim_attach_store(sim, store);
    sim_run(sim, 10);
    sim_reply(sim, 10, 200, "{\"task_id\":\"theirs\"}");
    sim_request_t *request = sim_start(sim, "generate", scope_job);
    sim_run(sim, 500);
    ck_assert(!sim_store_contains(store, "other-secret"));
    ck_assert(sim_store_contains(store, "\"sealed\":\"v1.") == (sealed_cases[_i].keys != NULL));
    if (sealed_cases[_i].is_tampered)
        sim_store_replace(store, "\"sealed\":\"v1.", "\"sealed\":\"v1.AAAA");
    sim = next_life(sim, store, task_id, request);
    ck_assert_int_eq(imi_keyring_set(sim->im, sealed_cases[_i].next_keys), 0);
    ck_assert_int_eq(imagine_set_tokens(sim->im, "modelscope", sealed_cases[_i].next_tokens), 0);
    sim_reply(sim, 10, 200, "{\"task_status\":\"SUCCEED\",\"output_images\":[\"https://c.t/1\"]}");
    sim_attach_store(sim, store);
    sim_run(sim, 10000);
    sim_request_t *question = ask(sim, "task-status", task_id);
    ck_assert_str_eq(question->task_state, sealed_cases[_i].goes_on ? "success" : "processing");
    ck_assert(!sim_store_contains(store, "other-secret"));
    if (sealed_cases[_i].goes_on) { /* what has ended needs no token any more */
        sim_run(sim, 1000);
        ck_assert(!sim_store_contains(store, "\"sealed\":\"v1."));
    } else if (sealed_cases[_i].keys != NULL && sealed_cases[_i].next_keys != NULL) {
        ck_assert_ptr_nonnull(strstr(sim->log, "seal.broken"));
    }
    sim_close(sim);
    sim_store_free(store);
}
END_TEST

START_TEST(an_outcome_is_told_by_the_next_life_too) {
    sim_store_t *store = sim_store_new();
    sim_t *sim = open_world();
    char task_id[64];
    sim_attach_store(sim, store);
    sim_run(sim, 10);
    sim_reply(sim, 10, 200, PICTURE);
    sim_request_t *request = sim_start(sim, "generate", job);
    sim_run(sim, 500);
    sim = next_life(sim, store, task_id, request);
    sim_attach_store(sim, store);
    sim_run(sim, 100);
    sim_request_t *question = ask(sim, "task-status", task_id);
    ck_assert_str_eq(question->task_state, "success");
    ck_assert_str_eq(question->url, "https://cdn.test/1.png");
    sim_close(sim);
    sim_store_free(store);
}
END_TEST

START_TEST(a_cancel_at_any_time_leaves_a_task_that_failed) { /* _i: after so many ms */
    sim_t *sim = open_world();
    sim_reply(sim, 3, 200, "{\"task_id\":\"theirs\"}");
    sim_reply(sim, 10, 200, "{\"task_status\":\"SUCCEED\",\"output_images\":[\"https://c.t/1\"]}");
    sim_request_t *request = sim_start(sim, "generate", scope_job);
    sim_run(sim, (uint64_t)_i);
    sim_request_t *question = ask(sim, "task-cancel", request->task_id);
    ck_assert_str_eq(question->task_state, "failed");
    ck_assert_str_eq(result_of(question)->message, "canceled");
    sim_run(sim, 20000);
    ck_assert_str_eq(ask(sim, "task-status", request->task_id)->task_state, "failed");
    sim_close(sim);
}
END_TEST

START_TEST(a_cancel_comes_too_late_for_what_has_ended) {
    sim_t *sim = open_world();
    sim_reply(sim, 10, 200, PICTURE);
    sim_request_t *request = sim_start(sim, "generate", job);
    sim_run(sim, 500);
    ck_assert_str_eq(ask(sim, "task-cancel", request->task_id)->task_state, "success");
    sim_close(sim);
}
END_TEST

START_TEST(a_job_of_three_pictures_brings_three) {
    sim_t *sim = open_world();
    for (int i = 0; i < 3; i++)
        sim_reply(sim, 10, 200, PICTURE);
    sim_request_t *request =
        sim_start(sim, "generate",
                  "{\"model\":\"gitee/z-image-turbo\",\"prompt\":\"a\",\"n\":3,\"async\":true}");
    sim_run(sim, 500);
    sim_request_t *question = ask(sim, "task-status", request->task_id);
    ck_assert_uint_eq(result_of(question)->url_count, 3);
    ck_assert_ptr_nonnull(strstr(imagine_result_json(result_of(question), NULL), "\"images\":["));
    sim_close(sim);
}
END_TEST

/* A provider that can be told: it takes work on under an id, is polled, and hears of a cancel. */
static void drop(imagine_call_t *call, const imagine_http_response_t *response) {
    (void)response;
    imagine_call_fail(call, IMAGINE_ECANCELED, NULL);
}

static void cancel_own(imagine_call_t *call) {
    imagine_call_request_t request = {.size = sizeof(request), .method = "POST"};
    request.url =
        imagine_call_url(call, imagine_call_concat(call, "/cancel/", imagine_call_task_id(call)));
    imagine_call_http(call, &request, drop);
}

static void poll_own(imagine_call_t *call);

static void on_own_polled(imagine_call_t *call, const imagine_http_response_t *response) {
    imagine_result_t result = {.size = sizeof(result)};
    result.url = imagine_response_string(response, "url");
    if (result.url != NULL)
        imagine_call_succeed(call, &result);
    else
        imagine_call_poll(call, poll_own);
}

static void poll_own(imagine_call_t *call) {
    imagine_call_request_t request = {.size = sizeof(request)};
    request.url =
        imagine_call_url(call, imagine_call_concat(call, "/piece/", imagine_call_task_id(call)));
    imagine_call_http(call, &request, on_own_polled);
}

static void on_own_taken(imagine_call_t *call, const imagine_http_response_t *response) {
    imagine_call_task(call, imagine_response_string(response, "id"), 10);
    imagine_call_poll(call, poll_own);
}

static void generate_own(imagine_call_t *call) {
    imagine_call_request_t request = {.size = sizeof(request), .method = "POST"};
    request.url = imagine_call_url(call, "/piece");
    imagine_call_http(call, &request, on_own_taken);
}

static const imagine_provider_t own = {
    .size = sizeof(own),
    .name = "own",
    .catalogue = "{\"api_base\":\"https://own.test\"}",
    .generate = generate_own,
    .resume = poll_own,
    .cancel = cancel_own,
};

static sim_t *open_own_world(void) {
    sim_t *sim = sim_open(1);
    ck_assert_int_eq(imagine_register_provider(sim->im, &own), 0);
    ck_assert_int_eq(imagine_set_tokens(sim->im, "own", "a,b,c,d"), 0);
    return sim;
}

static const char own_job_of_four[] =
    "{\"model\":\"own/any\",\"prompt\":\"a\",\"n\":4,\"seed\":1,\"async\":true}";

START_TEST(each_part_of_a_job_that_is_given_up_tells_its_provider) {
    sim_t *sim = open_own_world();
    sim_reply(sim, 10, 200, "{\"id\":\"one\"}");   /* polled, and done */
    sim_reply(sim, 20, 200, "{\"id\":\"two\"}");   /* waits for its next poll */
    sim_stall(sim);                                /* may have been taken on: nobody knows its id */
    sim_break(sim, 1000, IMAGINE_ECONNECT, false); /* waits to be sent again: reached nobody */
    sim_reply(sim, 1, 200, "{\"url\":\"https://cdn.test/1.png\"}");
    sim_request_t *request = sim_start(sim, "generate", own_job_of_four);
    sim_run(sim, 1015);
    ck_assert_ptr_nonnull(strstr(sim->trace, "GET /piece/one"));
    ck_assert_uint_eq(sim->exchange_count, 1);
    sim_forget_trace(sim);
    for (int i = 0; i < 2; i++)
        sim_reply(sim, 5, 200, "{}");
    sim_request_t *question = ask(sim, "task-cancel", request->task_id);
    ck_assert_str_eq(result_of(question)->message, "canceled");
    ck_assert_uint_eq(sim->exchange_count, 2); /* those that tell it: their own are gone */
    ck_assert_ptr_nonnull(strstr(sim->trace, "r8 http.start token=#2 POST /cancel/two\n"));
    ck_assert_ptr_nonnull(strstr(sim->trace, "r9 http.start token=#3 POST /cancel/\n"));
    sim_run(sim, 24 * 60 * 60 * 1000);
    ck_assert_uint_eq(sim->im->counters.tasks, 0); /* and nothing of it is kept */
    ck_assert_uint_eq(sim->im->tasks.count, 1);
    sim_close(sim);
}
END_TEST

START_TEST(no_allocation_may_fail_badly_when_a_job_of_four_is_given_up) { /* _i: after so many ms */
    static const int after_ms[] = {1, 11, 1012};
    bool has_failed = true;
    for (size_t n = 1; has_failed; n++) {
        sim_t *sim = sim_open_failing(1, n);
        if (sim == NULL)
            continue;
        imagine_register_provider(sim->im, &own);
        imagine_set_tokens(sim->im, "own", "a,b,c,d");
        for (int i = 0; i < 4; i++)
            sim_reply(sim, 10 * (uint64_t)i + 5, 200, "{\"id\":\"t\"}");
        for (int i = 0; i < 12; i++) /* polls, and those who are told */
            sim_reply(sim, 5, 200, "{\"url\":\"https://cdn.test/1.png\"}");
        sim_request_t *request = sim_start(sim, "generate", own_job_of_four);
        sim_run(sim, (uint64_t)after_ms[_i]);
        if (request != NULL && request->task_id[0] != '\0') {
            char body[128];
            snprintf(body, sizeof(body), "{\"taskId\":\"%s\"}", request->task_id);
            sim_start(sim, "task-cancel", body);
        }
        sim_run(sim, 20000);
        has_failed = sim->mem.has_failed;
        sim_close(sim);
    }
}
END_TEST

START_TEST(a_text_is_a_job_too) {
    sim_t *sim = open_world();
    sim_reply(sim, 10, 200, "{\"choices\":[{\"message\":{\"content\":\"better\"}}]}");
    sim_request_t *request =
        sim_start(sim, "text", "{\"model\":\"gitee/qwen-3\",\"prompt\":\"a\",\"async\":true}");
    sim_run(sim, 500);
    ck_assert_str_eq(
        imagine_result_json(result_of(ask(sim, "task-status", request->task_id)), NULL),
        "{\"status\":\"success\",\"text\":\"better\"}");
    sim_close(sim);
}
END_TEST

START_TEST(whoever_asked_is_told) { /* _i: does it succeed? */
    sim_t *sim = open_world();
    sim_reply(sim, 10, _i == 1 ? 200 : 422, _i == 1 ? PICTURE : "{\"message\":\"not this\"}");
    sim_reply(sim, 10, 200, "");
    sim_request_t *request =
        sim_start(sim, "generate",
                  "{\"model\":\"gitee/z-image-turbo\",\"prompt\":\"a\",\"async\":true,"
                  "\"webhookUrl\":\"https://hooks.test/x?secret=1\"}");
    sim_run(sim, 5000);
    ck_assert_int_eq(request->http_status, 202);
    char *outcomes = imagine_webhooks(sim->im);
    ck_assert_ptr_nonnull(strstr(outcomes, "\"state\":\"delivered\""));
    ck_assert_ptr_nonnull(strstr(outcomes, request->task_id));
    ck_assert_ptr_null(strstr(outcomes, "secret"));
    imagine_free(outcomes);
    sim_close(sim);
}
END_TEST

START_TEST(no_allocation_may_fail_badly) {
    bool has_failed = true;
    for (size_t n = 1; has_failed; n++) {
        sim_t *sim = sim_open_failing(1, n);
        if (sim == NULL)
            continue;
        imagine_set_tokens(sim->im, "gitee", "a,b");
        imagine_set_tokens(sim->im, "modelscope", "c");
        for (int i = 0; i < 3; i++)
            sim_reply(sim, 5, 200, PICTURE);
        sim_request_t *request = sim_start(sim, "generate", job);
        sim_run(sim, 10000);
        if (request != NULL && request->task_id[0] != '\0')
            sim_start(sim, "task-status", "{\"taskId\":\"0123456789abcdef0123456789abcdef\"}");
        for (int i = 0; i < 3; i++)
            sim_reply(sim, 5, 200,
                      "{\"task_id\":\"t\",\"task_status\":\"SUCCEED\",\"output_images\":[\"https://"
                      "c.t/1\"]}");
        request = sim_start(sim, "generate", scope_job);
        sim_run(sim, 500);
        if (request != NULL && request->task_id[0] != '\0') {
            char body[128];
            snprintf(body, sizeof(body), "{\"taskId\":\"%s\"}", request->task_id);
            sim_start(sim, "task-cancel", body);
        }
        sim_run(sim, 20000);
        has_failed = sim->mem.has_failed;
        sim_close(sim);
    }
}
END_TEST

static Suite *jobs_suite(void) {
    Suite *suite = suite_create("jobs");
    TCase *tcase = tcase_create("jobs");
    tcase_add_test(tcase, the_caller_gets_an_id_and_the_task_the_whole_result);
    tcase_add_test(tcase, bad_input_is_told_at_once);
    tcase_add_loop_test(tcase, who_waits_a_moment_gets_a_quick_result, 0, 2);
    tcase_add_test(tcase, a_job_waits_for_a_token_that_cools);
    tcase_add_test(tcase, what_may_have_been_carried_out_is_not_repeated_by_the_next_life);
    tcase_add_test(tcase, what_the_provider_has_an_id_for_is_read_on_by_the_next_life);
    tcase_add_loop_test(tcase, an_event_of_a_space_is_read_on_by_the_next_life, 0, 2);
    tcase_add_test(tcase, a_space_whose_event_says_no_leaves_the_job_to_the_next_token);
    tcase_add_loop_test(tcase, a_task_brings_its_token_sealed, 0,
                        (int)(sizeof(sealed_cases) / sizeof(sealed_cases[0])));
    tcase_add_test(tcase, an_outcome_is_told_by_the_next_life_too);
    tcase_add_loop_test(tcase, a_cancel_at_any_time_leaves_a_task_that_failed, 1, 8);
    tcase_add_test(tcase, a_cancel_comes_too_late_for_what_has_ended);
    tcase_add_test(tcase, a_job_of_three_pictures_brings_three);
    tcase_add_test(tcase, each_part_of_a_job_that_is_given_up_tells_its_provider);
    tcase_add_loop_test(tcase, no_allocation_may_fail_badly_when_a_job_of_four_is_given_up, 0, 3);
    tcase_add_test(tcase, a_text_is_a_job_too);
    tcase_add_loop_test(tcase, whoever_asked_is_told, 0, 2);
    tcase_add_test(tcase, no_allocation_may_fail_badly);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(jobs_suite)
