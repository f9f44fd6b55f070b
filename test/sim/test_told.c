/* test_told.c: what callers, operators and a provider's own code are told of a failure: which token
 * it was, and why. */
#include <stdio.h>
#include <string.h>

#include "imagine/provider.h"
#include "sim.h"
#include "support/check_main.h"
#include "wire/sha256.h"
#include "wire/str.h"

#define PICTURE "{\"data\":[{\"url\":\"https://cdn.test/1.png\"}]}"

static sim_t *open_gitee(const char *tokens) {
    sim_t *sim = sim_open(1);
    ck_assert_int_eq(imagine_set_tokens(sim->im, "gitee", tokens), 0);
    return sim;
}

static const char *fingerprint_of(const char *token) {
    static char text[2 * IMI_SHA256_SIZE + 1];
    uint8_t digest[IMI_SHA256_SIZE];
    imi_sha256(digest, token, strlen(token));
    imi_hex(text, digest, 6);
    return text;
}

static void expect_token(const sim_request_t *request, const char *token) {
    const imagine_result_t *result = imagine_request_result(request->request);
    ck_assert_ptr_nonnull(result);
    ck_assert_str_eq(result->token != NULL ? result->token : "none", fingerprint_of(token));
}

/* ---- the token ---------------------------------------------------------------------------------
 */

START_TEST(a_canceled_request_names_the_token_that_was_asked) {
    sim_t *sim = open_gitee("first,second");
    sim_reply(sim, 10, 429, "{\"message\":\"quota\"}");
    sim_stall(sim);
    sim_request_t *request = sim_generate(sim, "gitee/z-image-turbo");
    sim_run(sim, 20);
    imagine_cancel(request->request);
    sim_run(sim, 0);
    ck_assert_int_eq(request->status, IMAGINE_ECANCELED);
    expect_token(request, "second");
    sim_close(sim);
}
END_TEST

START_TEST(so_does_one_that_took_too_long) {
    sim_t *sim = open_gitee("first");
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    params.model = "gitee/z-image-turbo";
    params.prompt = "a cat";
    params.timeout_ms = 100;
    sim_stall(sim);
    sim_request_t *request = sim_start_params(sim, &params);
    sim_run(sim, 200);
    ck_assert_int_eq(request->status, IMAGINE_ETIMEDOUT);
    expect_token(request, "first");
    sim_close(sim);
}
END_TEST

START_TEST(an_accepted_video_names_its_token) {
    sim_t *sim = open_gitee("first");
    sim_reply(sim, 10, 200, "{\"task_id\":\"theirs\"}");
    sim_request_t *request =
        sim_start(sim, "video",
                  "{\"model\":\"gitee/wan2.2-i2v\",\"prompt\":\"waves\",\"imageUrl\":"
                  "\"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQV"
                  "R4nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg==\"}");
    sim_run(sim, 100);
    ck_assert_int_eq(request->status, 0);
    ck_assert_str_ne(request->task_id, "");
    expect_token(request, "first");
    sim_close(sim);
}
END_TEST

START_TEST(without_any_token_none_is_named) {
    sim_t *sim = sim_open(1);
    sim_request_t *request = sim_generate(sim, "gitee/z-image-turbo");
    sim_run(sim, 10);
    ck_assert_int_eq(request->status, IMAGINE_ENOTOKEN);
    ck_assert_ptr_null(imagine_request_result(request->request)->token);
    sim_close(sim);
}
END_TEST

/* ---- the log -----------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    int status;
    const char *body, *event, *reason;
} reason_cases[] = {
    {"a bad token", 401, "{\"message\":\"Your API key is disabled\"}", "token.invalid ",
     " reason=\"Your API key is disabled\"\n"},
    {"quota", 402, "{\"message\":\"Quota of \\\"free\\\" is spent\"}", "token.exhausted ",
     " reason=\"Quota of 'free' is spent\"\n"},
    {"rate", 429, "{\"message\":\"slow down\"}", "token.cooling ", " reason=\"slow down\"\n"},
    {"plan", 403, "{\"message\":\"members only\"}", "token.no_plan ", " reason=\"members only\"\n"},
    {"the prompt, quoted", 429, "{\"message\":\"too often: prompt-1.\"}", "token.cooling ",
     " reason=\"too often: *********\"\n"},
    {"the token itself", 401, "{\"message\":\"only-token is none\"}", "token.invalid ",
     " reason=\"********** is none\"\n"},
};
#define REASON_CASE_COUNT ((int)(sizeof(reason_cases) / sizeof(reason_cases[0])))

START_TEST(the_log_says_why_a_token_was_set_aside) { /* _i walks reason_cases */
    sim_t *sim = open_gitee("only-token");
    const char *line;
    sim_reply(sim, 10, reason_cases[_i].status, reason_cases[_i].body);
    sim_request_t *request = sim_generate(sim, "gitee/z-image-turbo");
    sim_run(sim, 100);
    ck_assert_int_eq(request->status, IMAGINE_EEXHAUSTED); /* what clients compare stays as it is */
    ck_assert_str_eq(request->message, "error_gitee_token_exhausted");
    line = strstr(sim->log, reason_cases[_i].event);
    ck_assert_msg(line != NULL && strstr(line, reason_cases[_i].reason) != NULL, "%s: %s",
                  reason_cases[_i].name, sim->log);
    sim_close(sim);
}
END_TEST

START_TEST(a_result_has_a_reason_that_may_be_logged) {
    sim_t *sim = open_gitee("only-token");
    sim_reply(sim, 10, 400, "{\"message\":\"prompt-1. is no prompt\"}");
    sim_reply(sim, 10, 200, PICTURE);
    sim_request_t *refused = sim_generate(sim, "gitee/z-image-turbo");
    sim_run(sim, 100);
    sim_request_t *unknown = sim_generate(sim, "private-name/model");
    sim_request_t *good = sim_generate(sim, "gitee/z-image-turbo");
    sim_run(sim, 100);
    ck_assert_str_eq(refused->message, "prompt-1. is no prompt");
    ck_assert_str_eq(imagine_request_result(refused->request)->log_reason,
                     "********* is no prompt");
    ck_assert_ptr_nonnull(strstr(unknown->message, "private-name"));
    ck_assert_str_eq(imagine_request_result(unknown->request)->log_reason, "no such provider");
    ck_assert_int_eq(good->status, 0);
    ck_assert_ptr_null(imagine_request_result(good->request)->log_reason);
    sim_close(sim);
}
END_TEST

/* ---- a provider of one's own -------------------------------------------------------------------
 */

static int explicit_reason;

static void on_answer(imagine_call_t *call, const imagine_http_response_t *response) {
    imagine_result_t result = {.size = sizeof(result)};
    result.url = imagine_response_string(response, "url");
    if (result.url != NULL)
        imagine_call_succeed(call, &result);
    else
        imagine_call_fail_response(call, response, explicit_reason);
}

static void generate(imagine_call_t *call) {
    static const imagine_header_t headers[] = {{"X-None", NULL}, {"X-Some", "1"}};
    imagine_call_request_t request = {.size = sizeof(request)};
    request.url = imagine_call_url(call, "/make");
    request.method = "POST";
    request.headers = headers;
    request.header_count = 2;
    imagine_call_http(call, &request, on_answer);
}

static void classify(imagine_call_t *call, const imagine_http_response_t *response,
                     imagine_verdict_t *verdict) {
    double seconds = 0;
    (void)call;
    if (imagine_response_number(response, "again_after_s", &seconds))
        verdict->retry_after_ms = (uint64_t)(1000 * seconds);
    verdict->is_for_model = imagine_response_string(response, "model") != NULL;
}

static sim_t *open_own(void) {
    static const imagine_provider_t provider = {
        .size = sizeof(provider),
        .name = "own",
        .catalogue = "{\"api_base\":\"https://own.test\",\"quota\":{\"reset\":\"rolling\"}}",
        .generate = generate,
        .classify = classify,
    };
    sim_t *sim = sim_open(1);
    explicit_reason = 0;
    ck_assert_int_eq(imagine_register_provider(sim->im, &provider), 0);
    ck_assert_int_eq(imagine_set_tokens(sim->im, "own", "first-token"), 0);
    return sim;
}

START_TEST(a_header_without_a_value_is_left_out) {
    sim_t *sim = open_own();
    sim_reply(sim, 1, 200, "{\"url\":\"https://cdn.test/1.png\"}");
    sim_request_t *request = sim_generate(sim, "own/any");
    sim_run(sim, 10);
    ck_assert_msg(request->status == 0, "%s", request->message);
    sim_close(sim);
}
END_TEST

START_TEST(classify_sharpens_what_a_200_says_too) {
    sim_t *sim = open_own();
    explicit_reason = IMAGINE_EQUOTA;
    sim_reply(sim, 10, 200,
              "{\"message\":\"enough for now\",\"again_after_s\":90,\"model\":\"a\"}");
    sim_reply(sim, 10, 200, "{\"url\":\"https://cdn.test/1.png\"}");
    sim_request_t *spent = sim_generate(sim, "own/a");
    sim_run(sim, 100);
    ck_assert_int_eq(spent->status, IMAGINE_EEXHAUSTED);
    ck_assert_uint_eq(spent->retry_after_ms, 90 * 1000);
    ck_assert_ptr_nonnull(strstr(sim->log, " reason=\"enough for now\"\n"));
    sim_request_t *other = sim_generate(sim, "own/b"); /* it was spent for the one model only */
    sim_run(sim, 100);
    ck_assert_int_eq(other->status, 0);
    sim_close(sim);
}
END_TEST

START_TEST(an_explicit_reason_keeps_the_providers_words) {
    sim_t *sim = open_own();
    explicit_reason = IMAGINE_ECONTENT;
    sim_reply(sim, 10, 200, "{\"message\":\"not for us\"}");
    sim_request_t *request = sim_generate(sim, "own/a");
    sim_run(sim, 100);
    ck_assert_int_eq(request->status, IMAGINE_ECONTENT);
    ck_assert_str_eq(request->message, "not for us");
    sim_close(sim);
}
END_TEST

static Suite *told_suite(void) {
    Suite *suite = suite_create("told");
    TCase *tcase = tcase_create("told");
    tcase_add_test(tcase, a_canceled_request_names_the_token_that_was_asked);
    tcase_add_test(tcase, so_does_one_that_took_too_long);
    tcase_add_test(tcase, an_accepted_video_names_its_token);
    tcase_add_test(tcase, without_any_token_none_is_named);
    tcase_add_loop_test(tcase, the_log_says_why_a_token_was_set_aside, 0, REASON_CASE_COUNT);
    tcase_add_test(tcase, a_result_has_a_reason_that_may_be_logged);
    tcase_add_test(tcase, a_header_without_a_value_is_left_out);
    tcase_add_test(tcase, classify_sharpens_what_a_200_says_too);
    tcase_add_test(tcase, an_explicit_reason_keeps_the_providers_words);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(told_suite)
