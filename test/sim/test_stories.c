/* test_stories.c: what happens to a request, step by step, asserted as the trace that an operator
 * would read too. Times are simulated; the wall clock starts at 16:00 in Beijing. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sim.h"
#include "support/check_main.h"

#define PICTURE "{\"data\":[{\"url\":\"https://cdn.test/1.png\"}]}"
#define HOUR_MS (60 * 60 * 1000)

static sim_t *open_gitee(const char *tokens) {
    sim_t *sim = sim_open(1);
    ck_assert_int_eq(imagine_set_tokens(sim->im, "gitee", tokens), 0);
    return sim;
}

/* ---- rotation ---------------------------------------------------------------------------------
 */

START_TEST(an_exhausted_token_is_set_aside_and_the_next_one_serves) {
    sim_t *sim = open_gitee("first,second");
    sim_reply(sim, 40, 429, "{\"message\":\"quota exceeded\"}");
    sim_reply(sim, 900, 200, PICTURE);
    sim_request_t *request = sim_generate(sim, "gitee/z-image-turbo");
    sim_expect(sim, "[   0] r1 request action=generate model=gitee/z-image-turbo\n"
                    "[   0] r1 http.start token=#1 POST /v1/images/generations\n"
                    "[  40] r1 http.refused status=429 reason=IMAGINE_EQUOTA\n"
                    "[  40] r1 token.exhausted token=#1 until=2026-01-08T16:00:00Z\n"
                    "[  40] r1 http.start token=#2 POST /v1/images/generations\n"
                    "[ 940] r1 done status=IMAGINE_OK attempts=2\n");
    ck_assert_str_eq(request->url, "https://cdn.test/1.png");
    sim_close(sim);
}
END_TEST

START_TEST(a_new_request_does_not_try_the_exhausted_token_again) {
    sim_t *sim = open_gitee("first,second");
    sim_reply(sim, 1, 402, "{}");
    sim_reply(sim, 1, 200, PICTURE);
    sim_reply(sim, 1, 200, PICTURE);
    sim_generate(sim, "gitee/z-image-turbo");
    sim_run(sim, 10);
    sim_forget_trace(sim);
    sim_generate(sim, "gitee/z-image-turbo");
    sim_run(sim, 10);
    ck_assert_ptr_nonnull(strstr(sim->trace, "http.start token=#2"));
    ck_assert_ptr_null(strstr(sim->trace, "token=#1"));
    sim_close(sim);
}
END_TEST

START_TEST(when_all_are_exhausted_the_answer_says_when_the_first_one_is_back) {
    sim_t *sim = open_gitee("first,second");
    sim_reply(sim, 10, 429, "{\"message\":\"quota\"}");
    sim_reply(sim, 10, 429, "{\"message\":\"Quota\"}");
    sim_request_t *request = sim_generate(sim, "gitee/z-image-turbo");
    sim_run(sim, 100);
    ck_assert_int_eq(request->status, IMAGINE_EEXHAUSTED);
    ck_assert_int_eq(request->http_status, 429);
    ck_assert_str_eq(request->message, "error_gitee_token_exhausted");
    /* 16:00 in Beijing: eight hours until the new day, less what has passed. */
    ck_assert_uint_eq(request->retry_after_ms, 8 * HOUR_MS - 20);
    sim_close(sim);
}
END_TEST

START_TEST(a_pool_of_many_is_walked_to_its_last_healthy_token) {
    char tokens[4096] = "";
    sim_t *sim;
    sim_request_t *request;
    for (int i = 0; i < 100; i++)
        snprintf(tokens + strlen(tokens), sizeof(tokens) - strlen(tokens), "token-%d,", i);
    sim = open_gitee(tokens);
    for (int i = 0; i < 99; i++)
        sim_reply(sim, 1, 429, "{\"message\":\"insufficient_quota\"}");
    sim_reply(sim, 1, 200, PICTURE);
    request = sim_generate(sim, "gitee/z-image-turbo");
    sim_run(sim, 1000);
    ck_assert_int_eq(request->status, 0);
    sim_close(sim);
}
END_TEST

START_TEST(without_a_token_the_caller_is_told_that_one_is_needed) {
    sim_t *sim = sim_open(1);
    sim_request_t *request = sim_generate(sim, "gitee/z-image-turbo");
    sim_run(sim, 1);
    ck_assert_int_eq(request->status, IMAGINE_ENOTOKEN);
    ck_assert_str_eq(request->message, "error_gitee_token_required");
    ck_assert_int_eq(request->http_status, 503);
    sim_close(sim);
}
END_TEST

/* ---- cool-down --------------------------------------------------------------------------------
 */

static const struct {
    const char *name, *headers, *body;
    uint64_t cooling_ms;
} cooling_cases[] = {
    {"seconds", "Retry-After: 3", "{}", 3000},
    {"decimals", "Retry-After: 1.5", "{}", 1500},
    {"an HTTP date", "Retry-After: Thu, 08 Jan 2026 08:00:20 GMT", "{}", 19900},
    {"milliseconds", "retry-after-ms: 2500", "{}", 2500},
    {"RetryInfo", NULL,
     "{\"error\":{\"code\":429,\"message\":\"slow\",\"status\":\"RESOURCE_EXHAUSTED\",\"details\":["
     "{"
     "\"@type\":\"type.googleapis.com/google.rpc.QuotaFailure\",\"violations\":[{\"quotaId\":"
     "\"GenerateRequestsPerMinutePerProject\"}]},{\"@type\":\"type.googleapis.com/"
     "google.rpc.RetryInfo\",\"retryDelay\":\"7s\"}]}}",
     7000},
    {"in words", NULL, "{\"message\":\"Too many requests, try again in 20s\"}", 20000},
    {"nothing said", NULL, "{\"message\":\"Too many requests\"}", 5000},
};

START_TEST(a_rate_answer_cools_the_token_for_as_long_as_it_says) {
    sim_t *sim = open_gitee("only");
    sim_request_t *request;
    sim_reply_with(sim, 100, 429, cooling_cases[_i].headers, cooling_cases[_i].body);
    request = sim_generate(sim, "gitee/z-image-turbo");
    sim_run(sim, 100);
    ck_assert_msg(request->status == IMAGINE_EEXHAUSTED, "%s", cooling_cases[_i].name);
    ck_assert_msg(request->retry_after_ms == cooling_cases[_i].cooling_ms,
                  "%s: %" PRIu64 " instead of %" PRIu64, cooling_cases[_i].name,
                  request->retry_after_ms, cooling_cases[_i].cooling_ms);
    sim_run(sim, cooling_cases[_i].cooling_ms);
    sim_reply(sim, 1, 200, PICTURE);
    request = sim_generate(sim, "gitee/z-image-turbo");
    sim_run(sim, 10);
    ck_assert_msg(request->status == 0, "%s: cool again, but not used", cooling_cases[_i].name);
    sim_close(sim);
}
END_TEST

START_TEST(a_request_that_may_wait_gets_the_first_token_that_recovers) {
    sim_t *sim = open_gitee("only");
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    sim_request_t *request;
    params.model = "gitee/z-image-turbo";
    params.prompt = "a cat";
    params.wait_ms = 10000;
    sim_reply_with(sim, 10, 429, "Retry-After: 4", "{}");
    sim_reply(sim, 10, 200, PICTURE);
    request = sim_start_params(sim, &params);
    sim_expect(sim, "[   0] r1 request action=generate model=gitee/z-image-turbo\n"
                    "[   0] r1 http.start token=#1 POST /v1/images/generations\n"
                    "[  10] r1 http.refused status=429 reason=IMAGINE_ERATE\n"
                    "[  10] r1 token.cooling token=#1 until=2026-01-08T08:00:04Z\n"
                    "[  10] r1 token.wait ms=4000\n"
                    "[4010] r1 http.start token=#1 POST /v1/images/generations\n"
                    "[4020] r1 done status=IMAGINE_OK attempts=2\n");
    ck_assert_int_eq(request->status, 0);
    sim_close(sim);
}
END_TEST

/* ---- bad tokens, plans, request faults ---------------------------------------------------------
 */

START_TEST(a_refused_token_is_invalid_and_probed_an_hour_later) {
    sim_t *sim = open_gitee("bad,good");
    imagine_token_stats_t stats = {.size = sizeof(stats)};
    sim_reply(sim, 1, 401, "{\"message\":\"invalid token\"}");
    sim_reply(sim, 1, 200, PICTURE);
    sim_request_t *request = sim_generate(sim, "gitee/z-image-turbo");
    sim_run(sim, 10);
    ck_assert_int_eq(request->status, 0);
    imagine_token_stats(sim->im, "gitee", &stats);
    ck_assert_uint_eq(stats.invalid, 1);
    ck_assert_uint_eq(stats.active, 1);
    ck_assert_uint_eq(stats.total, 2);
    sim_run(sim, HOUR_MS);
    sim_reply(sim, 500, 200, PICTURE);
    sim_reply(sim, 1, 200, PICTURE);
    sim_generate(sim, "gitee/z-image-turbo");
    sim_generate(sim, "gitee/z-image-turbo");
    sim_run(sim, 1000);
    imagine_token_stats(sim->im, "gitee", &stats);
    ck_assert_uint_eq(stats.invalid, 0);
    ck_assert_uint_eq(stats.active, 2);
    sim_close(sim);
}
END_TEST

START_TEST(a_token_without_the_plan_is_passed_over_for_that_model_only) {
    sim_t *sim = open_gitee("only");
    sim_request_t *request;
    sim_reply(sim, 1, 403, "{\"message\":\"model not available\"}");
    request = sim_generate(sim, "gitee/flux-2");
    sim_run(sim, 10);
    ck_assert_int_eq(request->status, IMAGINE_EEXHAUSTED);
    ck_assert_uint_eq(request->retry_after_ms, HOUR_MS);
    sim_reply(sim, 1, 200, PICTURE);
    request = sim_generate(sim, "gitee/z-image-turbo");
    sim_run(sim, 10);
    ck_assert_int_eq(request->status, 0);
    sim_close(sim);
}
END_TEST

static const struct {
    int status, error, http_status;
    const char *body;
} fault_cases[] = {
    {400, IMAGINE_EREJECTED, 400, "{\"message\":\"width is odd\"}"},
    {404, IMAGINE_EREJECTED, 400, "{\"message\":\"no such model\"}"},
    {413, IMAGINE_EREJECTED, 413, "{\"message\":\"too large\"}"},
    {422, IMAGINE_EREJECTED, 422, "{\"message\":\"cannot\"}"},
    {400, IMAGINE_ECONTENT, 422,
     "{\"error\":{\"message\":\"unsafe\",\"code\":\"content_policy_violation\"}}"},
};

START_TEST(a_fault_of_the_request_is_told_and_touches_neither_token_nor_breaker) {
    sim_t *sim = open_gitee("only,other");
    imagine_token_stats_t stats = {.size = sizeof(stats)};
    for (int i = 0; i < 8; i++) {
        sim_request_t *request;
        sim_reply(sim, 1, fault_cases[_i].status, fault_cases[_i].body);
        request = sim_generate(sim, "gitee/z-image-turbo");
        sim_run(sim, 10);
        ck_assert_int_eq(request->status, fault_cases[_i].error);
        ck_assert_int_eq(request->http_status, fault_cases[_i].http_status);
        ck_assert_ptr_nonnull(strstr(fault_cases[_i].body, request->message));
    }
    imagine_token_stats(sim->im, "gitee", &stats);
    ck_assert_uint_eq(stats.active, 2);
    ck_assert_int_eq(imagine_breaker_state(sim->im, "gitee"), IMAGINE_BREAKER_CLOSED);
    sim_close(sim);
}
END_TEST

/* ---- breaker ----------------------------------------------------------------------------------
 */

START_TEST(the_breaker_opens_probes_and_closes) {
    sim_t *sim = open_gitee("only");
    sim_request_t *request, *other;
    for (int i = 0; i < 5; i++) {
        sim_reply(sim, 1, 500, "{\"message\":\"boom\"}");
        request = sim_generate(sim, "gitee/z-image-turbo");
        sim_run(sim, 10);
        ck_assert_int_eq(request->status, IMAGINE_EUPSTREAM);
        ck_assert_int_eq(request->http_status, 502);
    }
    request = sim_generate(sim, "gitee/z-image-turbo");
    sim_run(sim, 1);
    ck_assert_int_eq(request->status, IMAGINE_EBREAKER);
    ck_assert_int_eq(request->http_status, 503);
    ck_assert_str_eq(request->message, "Circuit breaker is OPEN for provider: gitee");
    ck_assert_uint_gt(request->retry_after_ms, 59000);
    sim_run(sim, 60000);
    sim_reply(sim, 100, 200, PICTURE); /* the probe; the other one does not pass meanwhile */
    request = sim_generate(sim, "gitee/z-image-turbo");
    other = sim_generate(sim, "gitee/z-image-turbo");
    sim_run(sim, 1);
    ck_assert_int_eq(other->status, IMAGINE_EBREAKER);
    sim_run(sim, 200);
    ck_assert_int_eq(request->status, 0);
    ck_assert_int_eq(imagine_breaker_state(sim->im, "gitee"), IMAGINE_BREAKER_CLOSED);
    sim_close(sim);
}
END_TEST

START_TEST(quota_answers_never_open_the_breaker) {
    sim_t *sim = open_gitee("1111,2222,3333,4444,5555,6666,7777");
    for (int i = 0; i < 7; i++)
        sim_reply(sim, 1, 429, "{\"message\":\"quota\"}");
    sim_generate(sim, "gitee/z-image-turbo");
    sim_run(sim, 100);
    ck_assert_int_eq(imagine_breaker_state(sim->im, "gitee"), IMAGINE_BREAKER_CLOSED);
    sim_close(sim);
}
END_TEST

/* The create went well; it is the reading that the token is refused for. */
static const struct {
    const char *name, *provider, *model;
    const char *created; /* the answer to the create */
    int status;          /* of every reading */
    const char *refusal;
    int reading_count; /* until the request gives up */
    uint32_t exhausted, invalid;
} reading_cases[] = {
    {"a stream of events, quota", "huggingface", "huggingface/z-image", "{\"event_id\":\"e1\"}",
     429, "{\"message\":\"quota exceeded\"}", 1, 6, 0},
    {"a poll, the token", "modelscope", "modelscope/flux-2", "{\"task_id\":\"t\"}", 401,
     "{\"message\":\"invalid token\"}", 3, 0, 6},
};

START_TEST(a_reading_refused_for_its_token_moves_the_token_and_never_the_breaker) {
    sim_t *sim = sim_open(1);
    imagine_token_stats_t stats = {.size = sizeof(stats)};
    const char *name = reading_cases[_i].name;
    imagine_set_tokens(sim->im, reading_cases[_i].provider, "1111,2222,3333,4444,5555,6666");
    for (int i = 0; i < 6; i++) { /* five faults of the provider's would open the breaker */
        sim_request_t *request;
        sim_reply(sim, 1, 200, reading_cases[_i].created);
        for (int reading = 0; reading < reading_cases[_i].reading_count; reading++)
            sim_reply(sim, 1, reading_cases[_i].status, reading_cases[_i].refusal);
        request = sim_generate(sim, reading_cases[_i].model);
        sim_run(sim, 30000);
        ck_assert_msg(request->status == IMAGINE_EUPSTREAM, "%s: %s", name,
                      imagine_err_name(request->status));
        ck_assert_msg(imagine_breaker_state(sim->im, reading_cases[_i].provider) ==
                          IMAGINE_BREAKER_CLOSED,
                      "%s: the breaker opened after %d", name, i + 1);
    }
    imagine_token_stats(sim->im, reading_cases[_i].provider, &stats);
    ck_assert_msg(stats.exhausted == reading_cases[_i].exhausted, "%s", name);
    ck_assert_msg(stats.invalid == reading_cases[_i].invalid, "%s", name);
    sim_close(sim);
}
END_TEST

/* ---- repeating --------------------------------------------------------------------------------
 */

START_TEST(what_never_ran_is_repeated_twice_and_no_more) {
    sim_t *sim = open_gitee("only");
    sim_request_t *request;
    for (int i = 0; i < 3; i++)
        sim_break(sim, 1, IMAGINE_ECONNECT, false);
    request = sim_generate(sim, "gitee/z-image-turbo");
    sim_run(sim, 60000);
    ck_assert_int_eq(request->status, IMAGINE_ECONNECT);
    ck_assert_int_eq(request->http_status, 502);
    sim_close(sim);
}
END_TEST

START_TEST(what_may_have_run_is_never_repeated) {
    static const int errors[] = {IMAGINE_ETIMEDOUT, IMAGINE_EPROTOCOL, IMAGINE_ECONNECT};
    sim_t *sim = open_gitee("one,two");
    sim_request_t *request;
    sim_break(sim, 1, errors[_i], true);
    request = sim_generate(sim, "gitee/z-image-turbo");
    sim_run(sim, 60000);
    ck_assert_int_eq(request->status, errors[_i]);
    sim_close(sim);
}
END_TEST

START_TEST(a_busy_answer_is_repeated) {
    sim_t *sim = open_gitee("only");
    sim_request_t *request;
    sim_reply(sim, 1, 503, "busy");
    sim_reply(sim, 1, 503, "busy");
    sim_reply(sim, 1, 200, PICTURE);
    request = sim_generate(sim, "gitee/z-image-turbo");
    sim_run(sim, 60000);
    ck_assert_int_eq(request->status, 0);
    sim_close(sim);
}
END_TEST

/* ---- deadline and cancel -----------------------------------------------------------------------
 */

START_TEST(the_deadline_ends_a_request_and_its_work_goes_on) {
    sim_t *sim = open_gitee("only");
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    imagine_token_stats_t stats = {.size = sizeof(stats)};
    sim_request_t *request;
    params.model = "gitee/z-image-turbo";
    params.prompt = "a cat";
    params.timeout_ms = 2000;
    sim_reply(sim, 5000, 200, PICTURE);
    request = sim_start_params(sim, &params);
    sim_run(sim, 2000);
    ck_assert_int_eq(request->status, IMAGINE_ETIMEDOUT);
    ck_assert_int_eq(request->http_status, 504);
    sim_run(sim, 4000);
    ck_assert_ptr_nonnull(strstr(sim->log, "task.ended"));
    imagine_token_stats(sim->im, "gitee", &stats);
    ck_assert_uint_eq(stats.active, 1);
    sim_close(sim);
}
END_TEST

/* Step _i of a request that rotates once, polls, and succeeds. */
START_TEST(a_cancel_at_any_step_ends_the_request_once) {
    sim_t *sim = sim_open(1);
    sim_request_t *request;
    imagine_set_tokens(sim->im, "modelscope", "first,second");
    sim_reply(sim, 10, 429, "{\"errors\":{\"message\":\"quota\"}}");
    sim_reply(sim, 10, 200, "{\"task_id\":\"t\"}");
    sim_reply(sim, 10, 200, "{\"task_status\":\"PROCESSING\"}");
    sim_reply(sim, 10, 200,
              "{\"task_status\":\"SUCCEED\",\"output_images\":[\"https://c.test/1\"]}");
    request = sim_generate(sim, "modelscope/flux-2");
    for (int i = 0; i < _i; i++)
        sim_step(sim);
    if (request->done_count == 0) {
        imagine_cancel(request->request);
        ck_assert_int_eq(request->done_count, 0);
        sim_run(sim, 0);
        ck_assert_int_eq(request->done_count, 1);
        ck_assert_int_eq(request->status, IMAGINE_ECANCELED);
    } else {
        imagine_cancel(request->request);
        ck_assert_int_eq(request->status, 0);
    }
    sim_run(sim, 60000);
    sim_close(sim);
}
END_TEST

START_TEST(closing_at_any_step_ends_every_request_first) {
    sim_t *sim = open_gitee("first,second");
    sim_reply(sim, 10, 429, "{\"message\":\"quota\"}");
    sim_reply(sim, 10, 200, PICTURE);
    sim_reply(sim, 10, 200, PICTURE);
    sim_generate(sim, "gitee/z-image-turbo");
    sim_generate(sim, "gitee/z-image-turbo");
    for (int i = 0; i < _i; i++)
        sim_step(sim);
    sim_close(sim);
}
END_TEST

/* ---- quota days -------------------------------------------------------------------------------
 */

static const struct {
    const char *zone;
    const char *quota;
    int64_t now_unix_ms, until_unix_ms;
} day_cases[] = {
    {"UTC", "{\"reset\":\"day\",\"zone\":\"+00:00\"}", INT64_C(1767913199000),
     INT64_C(1767916800000)},
    {"Beijing", "{\"reset\":\"day\",\"zone\":\"+08:00\"}", INT64_C(1767887999000),
     INT64_C(1767888000000)},
    {"Pacific", "{\"reset\":\"day\",\"zone\":\"pacific\"}", INT64_C(1767945599000),
     INT64_C(1767945600000)},
};

START_TEST(a_spent_token_is_back_with_the_providers_new_day) {
    sim_t *sim = open_gitee("only");
    sim_request_t *request;
    char document[256], *message = NULL;
    uint64_t left_ms = (uint64_t)(day_cases[_i].until_unix_ms - day_cases[_i].now_unix_ms);
    snprintf(document, sizeof(document), "{\"providers\":{\"gitee\":{\"quota\":%s}}}",
             day_cases[_i].quota);
    ck_assert_msg(imagine_set_catalogue(sim->im, document, strlen(document), &message) == 0, "%s",
                  message);
    sim_set_unix_ms(sim, day_cases[_i].now_unix_ms);
    sim_reply(sim, 0, 429, "{\"message\":\"quota\"}");
    request = sim_generate(sim, "gitee/z-image-turbo");
    sim_run(sim, 0);
    ck_assert_msg(request->retry_after_ms == left_ms, "%s: %" PRIu64, day_cases[_i].zone,
                  request->retry_after_ms);
    sim_run(sim, left_ms - 1);
    request = sim_generate(sim, "gitee/z-image-turbo");
    sim_run(sim, 0);
    ck_assert_int_eq(request->status, IMAGINE_EEXHAUSTED);
    sim_run(sim, 1);
    sim_reply(sim, 0, 200, PICTURE);
    request = sim_generate(sim, "gitee/z-image-turbo");
    sim_run(sim, 0);
    ck_assert_int_eq(request->status, 0);
    sim_close(sim);
}
END_TEST

/* ---- the store --------------------------------------------------------------------------------
 */

START_TEST(an_exhausted_token_is_remembered_by_the_next_life) {
    sim_store_t *store = sim_store_new();
    sim_t *sim = open_gitee("first-secret,second-secret");
    sim_request_t *request;
    sim_attach_store(sim, store);
    sim_reply(sim, 10, 429, "{\"message\":\"quota\"}");
    sim_reply(sim, 10, 200, PICTURE);
    sim_generate(sim, "gitee/z-image-turbo");
    sim_run(sim, 1000);
    sim_close(sim);
    ck_assert(sim_store_has(store, "live/token/gitee/"));
    ck_assert(!sim_store_contains(store, "secret"));
    sim = open_gitee("first-secret,second-secret");
    sim_attach_store(sim, store);
    sim_reply(sim, 10, 200, PICTURE);
    request = sim_generate(sim, "gitee/z-image-turbo");
    sim_run(sim, 1000);
    ck_assert_int_eq(request->status, 0);
    ck_assert_ptr_nonnull(strstr(sim->trace, "http.start token=#2"));
    ck_assert_ptr_null(strstr(sim->trace, "token=#1"));
    sim_close(sim);
    sim_store_free(store);
}
END_TEST

START_TEST(a_store_attached_before_the_tokens_is_remembered_too) {
    sim_store_t *store = sim_store_new();
    sim_t *sim = open_gitee("first-secret,second-secret");
    sim_attach_store(sim, store);
    sim_reply(sim, 10, 429, "{\"message\":\"quota\"}");
    sim_reply(sim, 10, 200, PICTURE);
    sim_generate(sim, "gitee/z-image-turbo");
    sim_run(sim, 1000);
    sim_close(sim);
    sim = sim_open(1);
    sim_attach_store(sim, store);
    sim_run(sim, 100);
    imagine_set_tokens(sim->im, "gitee", "first-secret,second-secret");
    sim_reply(sim, 10, 200, PICTURE);
    sim_generate(sim, "gitee/z-image-turbo");
    sim_run(sim, 1000);
    ck_assert_ptr_null(strstr(sim->trace, "token=#1"));
    sim_close(sim);
    sim_store_free(store);
}
END_TEST

START_TEST(a_store_that_is_down_at_the_start_costs_250_ms_at_most) {
    static const sim_store_mode_t modes[] = {SIM_STORE_AWAY, SIM_STORE_SILENT};
    sim_store_t *store = sim_store_new();
    sim_t *sim = open_gitee("only");
    sim_request_t *request;
    sim_store_set_mode(store, modes[_i]);
    sim_attach_store(sim, store);
    sim_reply(sim, 10, 200, PICTURE);
    request = sim_generate(sim, "gitee/z-image-turbo");
    sim_run(sim, 1000);
    ck_assert_int_eq(request->status, 0);
    ck_assert_uint_le(request->done_at_ms, 260);
    sim_close(sim);
    sim_store_free(store);
}
END_TEST

START_TEST(what_a_store_missed_while_it_was_away_is_written_when_it_is_back) {
    sim_store_t *store = sim_store_new();
    sim_t *sim = open_gitee("first,second");
    sim_request_t *request;
    sim_attach_store(sim, store);
    sim_run(sim, 10);
    sim_store_set_mode(store, SIM_STORE_AWAY);
    sim_reply(sim, 10, 429, "{\"message\":\"quota\"}");
    sim_reply(sim, 10, 200, PICTURE);
    request = sim_generate(sim, "gitee/z-image-turbo");
    sim_run(sim, 100);
    ck_assert_int_eq(request->status, 0);
    ck_assert_uint_eq(sim_store_count(store), 0);
    sim_store_set_mode(store, SIM_STORE_UP);
    sim_run(sim, 6000);
    ck_assert(sim_store_has(store, "live/token/gitee/"));
    ck_assert_ptr_nonnull(strstr(sim->log, "store.back"));
    sim_close(sim);
    sim_store_free(store);
}
END_TEST

START_TEST(a_reset_is_remembered_too) {
    sim_store_t *store = sim_store_new();
    sim_t *sim = open_gitee("only");
    sim_attach_store(sim, store);
    sim_reply(sim, 10, 429, "{\"message\":\"quota\"}");
    sim_generate(sim, "gitee/z-image-turbo");
    sim_run(sim, 100);
    ck_assert_uint_eq(sim_store_count(store), 1);
    ck_assert_int_eq(imagine_token_reset(sim->im, "gitee"), 0);
    sim_run(sim, 100);
    ck_assert_uint_eq(sim_store_count(store), 0);
    sim_close(sim);
    sim_store_free(store);
}
END_TEST

/* ---- tasks ------------------------------------------------------------------------------------
 */

static const char video_body[] =
    "{\"model\":\"gitee/wan2.2-i2v\",\"prompt\":\"waves\","
    "\"imageUrl\":\"data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAA"
    "BQABpfZFQAAAAABJRU5ErkJggg==\"}";

static sim_request_t *ask(sim_t *sim, const char *task_id) {
    char body[128];
    sim_request_t *question;
    snprintf(body, sizeof(body), "{\"taskId\":\"%s\"}", task_id);
    question = sim_start(sim, "task-status", body);
    sim_run(sim, 1000);
    ck_assert_int_eq(question->done_count, 1);
    return question;
}

START_TEST(a_video_is_a_task_that_one_reader_polls_to_its_end) {
    sim_t *sim = open_gitee("only");
    sim_request_t *request, *question;
    sim_reply(sim, 10, 200, "{\"task_id\":\"theirs\"}");
    sim_reply(sim, 10, 200, "{\"status\":\"in_progress\"}");
    sim_reply(sim, 10, 500, "{\"message\":\"hiccup\"}"); /* one failed poll leaves it processing */
    sim_reply(sim, 10, 200,
              "{\"status\":\"success\",\"output\":{\"file_url\":\"https://c.test/v\"}}");
    request = sim_start(sim, "video", video_body);
    sim_run(sim, 100);
    ck_assert_int_eq(request->status, 0);
    ck_assert_uint_eq(strlen(request->task_id), 32);
    ck_assert_ptr_null(strstr(request->task_id, "theirs"));
    question = ask(sim, request->task_id);
    ck_assert_str_eq(question->task_state, "processing");
    sim_run(sim, 60000);
    for (int i = 0; i < 3; i++) {
        question = ask(sim, request->task_id);
        ck_assert_str_eq(question->task_state, "success");
        ck_assert_str_eq(question->url, "https://c.test/v");
        sim_run(sim, 5 * HOUR_MS);
    }
    sim_run(sim, 10 * HOUR_MS);
    question = ask(sim, request->task_id);
    ck_assert_int_eq(question->status, IMAGINE_ENOTFOUND);
    sim_close(sim);
}
END_TEST

static void keep_result(int status, const imagine_result_t *result, void *user) {
    const imagine_result_t **out = user;
    ck_assert_int_eq(status, result->status);
    ck_assert_ptr_null(*out); /* once */
    *out = result;
}

/* The request is the caller's; its result stands. */
static imagine_request_t *fetch_task(sim_t *sim, const char *task_id,
                                     const imagine_result_t **out) {
    imagine_request_t *request = NULL;
    *out = NULL;
    ck_assert_int_eq(imagine_task_result(sim->im, task_id, keep_result, out, &request), 0);
    sim_run(sim, 500);
    ck_assert_ptr_nonnull(*out);
    return request;
}

START_TEST(a_tasks_result_is_downloaded_once_it_is_there) {
    sim_t *sim = open_gitee("only");
    const imagine_result_t *result;
    imagine_request_t *fetched;
    const void *data = NULL;
    size_t size = 0;
    const char *mime = NULL;
    sim_reply(sim, 10, 200, "{\"task_id\":\"theirs\"}");
    sim_reply(sim, 10, 200,
              "{\"status\":\"success\",\"output\":{\"file_url\":\"https://c.test/v\"}}");
    sim_request_t *request = sim_start(sim, "video", video_body);
    sim_run(sim, 100);
    fetched = fetch_task(sim, request->task_id, &result);
    ck_assert_str_eq(result->task_state, "processing");
    ck_assert_int_eq(imagine_result_bytes(result, &data, &size, &mime), IMAGINE_ENOTFOUND);
    imagine_request_release(fetched);
    sim_run(sim, 30000);
    sim_reply(sim, 10, 404, "gone");
    fetched = fetch_task(sim, request->task_id, &result);
    ck_assert_int_eq(result->status, IMAGINE_EUPSTREAM);
    imagine_request_release(fetched);
    sim_reply(sim, 10, 200, "a film");
    fetched = fetch_task(sim, request->task_id, &result);
    ck_assert_int_eq(result->status, 0);
    ck_assert_str_eq(result->task_state, "success");
    ck_assert_int_eq(imagine_result_bytes(result, &data, &size, &mime), 0);
    ck_assert_uint_eq(size, 6);
    ck_assert_mem_eq(data, "a film", 6);
    imagine_request_release(fetched);
    fetched = fetch_task(sim, "no-such-task-0123456789", &result);
    ck_assert_int_eq(result->status, IMAGINE_ENOTFOUND);
    imagine_request_release(fetched);
    sim_close(sim);
}
END_TEST

START_TEST(a_failed_task_stays_failed_and_keeps_the_providers_reason) {
    sim_t *sim = open_gitee("only");
    sim_request_t *request, *question;
    sim_reply(sim, 10, 200, "{\"task_id\":\"theirs\"}");
    sim_reply(sim, 10, 200, "{\"status\":\"failure\",\"output\":{\"error\":\"too dark\"}}");
    request = sim_start(sim, "video", video_body);
    sim_run(sim, 60000);
    question = ask(sim, request->task_id);
    ck_assert_str_eq(question->task_state, "failed");
    ck_assert_str_eq(question->message, "too dark");
    ck_assert_int_eq(question->status, 0);
    sim_close(sim);
}
END_TEST

START_TEST(a_task_is_read_on_by_the_next_life_with_the_token_that_made_it) {
    sim_store_t *store = sim_store_new();
    sim_t *sim = open_gitee("other-secret,maker-secret");
    sim_request_t *request, *question;
    char task_id[64];
    sim_attach_store(sim, store);
    sim_reply(sim, 10, 429, "{\"message\":\"quota\"}"); /* so that the second token makes it */
    sim_reply(sim, 10, 200, "{\"task_id\":\"theirs\"}");
    request = sim_start(sim, "video", video_body);
    sim_run(sim, 500);
    ck_assert_int_eq(request->status, 0);
    ck_assert_uint_lt(strlen(request->task_id), sizeof(task_id));
    memcpy(task_id, request->task_id, strlen(request->task_id) + 1);
    sim_close(sim);
    ck_assert(!sim_store_contains(store, "secret"));
    sim = open_gitee("other-secret,maker-secret");
    sim_reply(sim, 10, 200,
              "{\"status\":\"success\",\"output\":{\"file_url\":\"https://c.test/v\"}}");
    sim_attach_store(sim, store);
    sim_run(sim, 10000);
    ck_assert_ptr_nonnull(strstr(sim->trace, "http.start token=#2 GET /api/v1/task/theirs"));
    question = ask(sim, task_id);
    ck_assert_str_eq(question->task_state, "success");
    sim_close(sim);
    sim_store_free(store);
}
END_TEST

START_TEST(an_unknown_task_is_not_found_even_if_the_store_is_silent) {
    sim_store_t *store = sim_store_new();
    sim_t *sim = sim_open(1);
    sim_request_t *question;
    sim_attach_store(sim, store);
    sim_run(sim, 1000);
    sim_store_set_mode(store, SIM_STORE_SILENT);
    question = ask(sim, "0123456789abcdef0123456789abcdef");
    ck_assert_int_eq(question->status, IMAGINE_ENOTFOUND);
    ck_assert_int_eq(question->http_status, 404);
    sim_close(sim);
    sim_store_free(store);
}
END_TEST

/* ---- parameters -------------------------------------------------------------------------------
 */

static const struct {
    const char *name, *action, *body;
    int error;
    const char *message; /* what it must say */
} refused_cases[] = {
    {"broken", "generate", "{\"model\":", IMAGINE_EINVAL, "JSON"},
    {"no object", "generate", "[]", IMAGINE_EINVAL, "object"},
    {"no model", "generate", "{\"prompt\":\"x\"}", IMAGINE_EINVAL, "model"},
    {"empty model", "generate", "{\"model\":\"\",\"prompt\":\"x\"}", IMAGINE_EINVAL, "model"},
    {"climbing", "generate", "{\"model\":\"gitee/../x\",\"prompt\":\"x\"}", IMAGINE_EINVAL,
     "model"},
    {"query", "generate", "{\"model\":\"gitee/x?y\",\"prompt\":\"x\"}", IMAGINE_EINVAL, "model"},
    {"stranger", "generate", "{\"model\":\"acme/x\",\"prompt\":\"x\"}", IMAGINE_EPROVIDER,
     "Provider 'acme' is not supported. Available providers: gitee, huggingface, modelscope"},
    {"lacking", "upscaler", "{\"model\":\"gitee/flux-2\",\"imageUrl\":\"http://a.test/1\"}",
     IMAGINE_EACTION, "upscaler"},
    {"no prompt", "generate", "{\"model\":\"gitee/flux-2\"}", IMAGINE_EINVAL, "prompt"},
    {"blank prompt", "generate", "{\"model\":\"gitee/flux-2\",\"prompt\":\" \"}", IMAGINE_EINVAL,
     "prompt"},
    {"prompt type", "generate", "{\"model\":\"gitee/flux-2\",\"prompt\":7}", IMAGINE_EINVAL,
     "prompt"},
    {"steps text", "generate", "{\"model\":\"gitee/flux-2\",\"prompt\":\"x\",\"steps\":\"9\"}",
     IMAGINE_EINVAL, "steps"},
    {"steps half", "generate", "{\"model\":\"gitee/flux-2\",\"prompt\":\"x\",\"steps\":1.5}",
     IMAGINE_EINVAL, "steps"},
    {"steps zero", "generate", "{\"model\":\"gitee/flux-2\",\"prompt\":\"x\",\"steps\":0}",
     IMAGINE_EINVAL, "steps"},
    {"width", "generate", "{\"model\":\"gitee/flux-2\",\"prompt\":\"x\",\"width\":15}",
     IMAGINE_EINVAL, "width"},
    {"seed", "generate", "{\"model\":\"gitee/flux-2\",\"prompt\":\"x\",\"seed\":1.5}",
     IMAGINE_EINVAL, "seed"},
    {"n", "generate", "{\"model\":\"gitee/flux-2\",\"prompt\":\"x\",\"n\":11}", IMAGINE_EINVAL,
     "n"},
    {"duration", "video", "{\"model\":\"gitee/wan2.2-i2v\",\"prompt\":\"x\",\"duration\":61}",
     IMAGINE_EINVAL, "duration"},
    {"no image", "edit", "{\"model\":\"gitee/qwen-image-edit\",\"prompt\":\"x\"}", IMAGINE_EINVAL,
     "image"},
    {"file address", "upscaler", "{\"imageUrl\":\"file:///etc/passwd\"}", IMAGINE_EADDRESS,
     "imageUrl"},
    {"user info", "upscaler", "{\"imageUrl\":\"http://a:b@c.test/1.png\"}", IMAGINE_EADDRESS,
     "imageUrl"},
    {"no picture", "upscaler", "{\"imageUrl\":\"data:text/plain;base64,aGVsbG8=\"}",
     IMAGINE_EPICTURE, "imageUrl"},
};

START_TEST(bad_parameters_are_refused_by_name_before_any_provider_is_asked) {
    sim_t *sim = open_gitee("only");
    sim_request_t *request = sim_start(sim, refused_cases[_i].action, refused_cases[_i].body);
    sim_run(sim, 10);
    ck_assert_msg(request->status == refused_cases[_i].error, "%s: %s (%s)", refused_cases[_i].name,
                  imagine_err_name(request->status), request->message);
    ck_assert_msg(request->http_status == 400, "%s: %d", refused_cases[_i].name,
                  request->http_status);
    ck_assert_msg(strstr(request->message, refused_cases[_i].message) != NULL, "%s: %s",
                  refused_cases[_i].name, request->message);
    sim_close(sim);
}
END_TEST

START_TEST(a_key_has_200_bytes_besides_its_providers_name) {
    for (int size = 200; size <= 201; size++) {
        sim_t *sim = open_gitee("only");
        sim_request_t *request;
        char model[256] = "gitee/";
        memset(model + 6, 'k', (size_t)size);
        sim_reply(sim, 1, 200, "{\"data\":[{\"url\":\"https://c.test/1\"}]}");
        request = sim_generate(sim, model);
        sim_run(sim, 10);
        ck_assert_int_eq(request->status, size == 200 ? 0 : IMAGINE_EINVAL);
        sim_close(sim);
    }
}
END_TEST

START_TEST(a_secret_in_what_a_provider_says_is_masked) {
    sim_t *sim = open_gitee("top-secret-token,other-secret-token");
    sim_request_t *request;
    sim_reply(sim, 1, 400,
              "{\"message\":\"bad key top-secret-token\\nor other-secret-token\\u0007!\"}");
    request = sim_generate(sim, "gitee/z-image-turbo");
    sim_run(sim, 10);
    ck_assert_ptr_null(strstr(request->message, "secret"));
    ck_assert_ptr_nonnull(strstr(request->message, "bad key"));
    ck_assert_ptr_null(strchr(request->message, '\n'));
    ck_assert(sim->log == NULL || strstr(sim->log, "secret") == NULL);
    ck_assert_ptr_null(strstr(sim->trace, "secret"));
    sim_close(sim);
}
END_TEST

START_TEST(a_picture_by_address_is_fetched_and_checked_first) {
    sim_t *sim = open_gitee("only");
    sim_request_t *request;
    static const char body[] = "{\"model\":\"gitee/qwen-image-edit\",\"prompt\":\"x\","
                               "\"image\":\"http://pictures.test/1.png\"}";
    sim_reply(sim, 10, 404, "gone");
    request = sim_start(sim, "edit", body);
    sim_run(sim, 100);
    ck_assert_int_eq(request->status, IMAGINE_EPICTURE);
    ck_assert_ptr_nonnull(strstr(request->message, "404"));
    sim_reply(sim, 10, 200, "<html>no picture</html>");
    request = sim_start(sim, "edit", body);
    sim_run(sim, 100);
    ck_assert_int_eq(request->status, IMAGINE_EPICTURE);
    sim_reply(sim, 10, 200, "GIF89a the rest of a picture");
    sim_reply(sim, 10, 200, PICTURE);
    request = sim_start(sim, "edit", body);
    sim_run(sim, 100);
    ck_assert_int_eq(request->status, 0);
    ck_assert_int_eq(imagine_breaker_state(sim->im, "gitee"), IMAGINE_BREAKER_CLOSED);
    sim_close(sim);
}
END_TEST

/* ---- memory runs out ---------------------------------------------------------------------------
 */

/* imagine.h promises about 3 KiB beside prompt, pictures and libcurl's part. */
START_TEST(a_waiting_request_costs_what_the_header_says) {
    sim_t *sim = open_gitee("a-token-of-some-length");
    size_t before, each;
    sim_stall(sim);
    sim_generate(sim, "gitee/z-image-turbo");
    before = sim->mem.live_size;
    for (int i = 0; i < 100; i++) {
        sim_stall(sim);
        sim_generate(sim, "gitee/z-image-turbo");
    }
    each = (sim->mem.live_size - before) / 100;
    ck_assert_msg(each <= 3072, "%zu bytes", each);
    sim_close(sim);
}
END_TEST

/* The n-th allocation fails, for every n: a rotation, a poll, a task and a close. */
START_TEST(no_allocation_may_fail_badly) {
    bool has_failed = true;
    for (size_t n = 1; has_failed; n++) {
        sim_t *sim = sim_open_failing(1, n);
        if (sim == NULL)
            continue;
        imagine_set_tokens(sim->im, "modelscope", "first,second");
        imagine_set_tokens(sim->im, "gitee", "third");
        sim->is_chaos = false;
        sim_reply(sim, 1, 429, "{\"errors\":{\"message\":\"quota\"}}");
        sim_reply(sim, 1, 200, "{\"task_id\":\"t\"}");
        sim_reply(sim, 1, 200,
                  "{\"task_status\":\"SUCCEED\",\"output_images\":[\"https://c.t/1\"]}");
        sim_generate(sim, "modelscope/flux-2");
        sim_run(sim, 10000);
        /* What is left of the script must not meet the next request. */
        for (int i = 0; i < 3; i++)
            sim_reply(sim, 1, 200,
                      "{\"task_id\":\"v\",\"status\":\"success\",\"output\":{\"file_url\":"
                      "\"https://c.t/v\"},\"task_status\":\"FAILED\"}");
        sim_start(sim, "video", video_body);
        sim_run(sim, 20000);
        has_failed = sim->mem.has_failed;
        sim_close(sim);
    }
}
END_TEST

static Suite *stories(void) {
    Suite *suite = suite_create("stories");
    TCase *tcase = tcase_create("stories");
    tcase_set_timeout(tcase, 300);
    tcase_add_test(tcase, an_exhausted_token_is_set_aside_and_the_next_one_serves);
    tcase_add_test(tcase, a_new_request_does_not_try_the_exhausted_token_again);
    tcase_add_test(tcase, when_all_are_exhausted_the_answer_says_when_the_first_one_is_back);
    tcase_add_test(tcase, a_pool_of_many_is_walked_to_its_last_healthy_token);
    tcase_add_test(tcase, without_a_token_the_caller_is_told_that_one_is_needed);
    tcase_add_loop_test(tcase, a_rate_answer_cools_the_token_for_as_long_as_it_says, 0, 7);
    tcase_add_test(tcase, a_request_that_may_wait_gets_the_first_token_that_recovers);
    tcase_add_test(tcase, a_refused_token_is_invalid_and_probed_an_hour_later);
    tcase_add_test(tcase, a_token_without_the_plan_is_passed_over_for_that_model_only);
    tcase_add_loop_test(tcase, a_fault_of_the_request_is_told_and_touches_neither_token_nor_breaker,
                        0, 5);
    tcase_add_test(tcase, the_breaker_opens_probes_and_closes);
    tcase_add_test(tcase, quota_answers_never_open_the_breaker);
    tcase_add_loop_test(
        tcase, a_reading_refused_for_its_token_moves_the_token_and_never_the_breaker, 0, 2);
    tcase_add_test(tcase, what_never_ran_is_repeated_twice_and_no_more);
    tcase_add_loop_test(tcase, what_may_have_run_is_never_repeated, 0, 3);
    tcase_add_test(tcase, a_busy_answer_is_repeated);
    tcase_add_test(tcase, the_deadline_ends_a_request_and_its_work_goes_on);
    tcase_add_loop_test(tcase, a_cancel_at_any_step_ends_the_request_once, 0, 16);
    tcase_add_loop_test(tcase, closing_at_any_step_ends_every_request_first, 0, 12);
    tcase_add_loop_test(tcase, a_spent_token_is_back_with_the_providers_new_day, 0, 3);
    tcase_add_test(tcase, an_exhausted_token_is_remembered_by_the_next_life);
    tcase_add_test(tcase, a_store_attached_before_the_tokens_is_remembered_too);
    tcase_add_loop_test(tcase, a_store_that_is_down_at_the_start_costs_250_ms_at_most, 0, 2);
    tcase_add_test(tcase, what_a_store_missed_while_it_was_away_is_written_when_it_is_back);
    tcase_add_test(tcase, a_reset_is_remembered_too);
    tcase_add_test(tcase, a_video_is_a_task_that_one_reader_polls_to_its_end);
    tcase_add_test(tcase, a_tasks_result_is_downloaded_once_it_is_there);
    tcase_add_test(tcase, a_failed_task_stays_failed_and_keeps_the_providers_reason);
    tcase_add_test(tcase, a_task_is_read_on_by_the_next_life_with_the_token_that_made_it);
    tcase_add_test(tcase, an_unknown_task_is_not_found_even_if_the_store_is_silent);
    tcase_add_loop_test(tcase, bad_parameters_are_refused_by_name_before_any_provider_is_asked, 0,
                        (int)(sizeof(refused_cases) / sizeof(refused_cases[0])));
    tcase_add_test(tcase, a_key_has_200_bytes_besides_its_providers_name);
    tcase_add_test(tcase, a_secret_in_what_a_provider_says_is_masked);
    tcase_add_test(tcase, a_picture_by_address_is_fetched_and_checked_first);
    tcase_add_test(tcase, a_waiting_request_costs_what_the_header_says);
    tcase_add_test(tcase, no_allocation_may_fail_badly);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(stories)
