/* test_ffi.c: what a binding gives and gets as JSON. The bindings' own tests in test/languages/
 * show it whole. */
#include "imagine/ffi.h"

#include <stdio.h>
#include <string.h>

#include "support/check_main.h"

static const struct {
    const char *json;
    int err;
    const char *message;
} openings[] = {
    {NULL, 0, NULL},
    {"{}", 0, NULL},
    {"{\"manual\":true,\"logLevel\":\"trace\",\"timeoutMs\":1000,\"inFlightMax\":2,"
     "\"responseSizeMax\":1000000,\"userAgent\":\"me\",\"verifyTls\":false,"
     "\"allowPrivateHosts\":\"127.0.0.1\"}",
     0, NULL},
    {"", IMAGINE_EINVAL, "no JSON object"},
    {"[]", IMAGINE_EINVAL, "no JSON object"},
    {"{\"manual\":1}", IMAGINE_EINVAL, "manual"},
    {"{\"colour\":\"red\"}", IMAGINE_EINVAL, "colour"},
    {"{\"logLevel\":\"loud\"}", IMAGINE_EINVAL, "logLevel"},
    {"{\"timeoutMs\":-1}", IMAGINE_EINVAL, "timeoutMs"},
    {"{\"timeoutMs\":4294967296}", IMAGINE_EINVAL, "timeoutMs"},
    {"{\"caFile\":\"/nowhere\"}", IMAGINE_EINVAL, ""},
};
#define OPENING_COUNT ((int)(sizeof(openings) / sizeof(openings[0])))

START_TEST(options_are_json) { /* _i walks openings */
    imagine_t *im = NULL;
    char *message = NULL;
    int err = imagine_open_json(&im, openings[_i].json, NULL, NULL, &message);
    ck_assert_int_eq(err, openings[_i].err);
    ck_assert_int_eq(im != NULL, err == 0);
    ck_assert_int_eq(message != NULL, err != 0);
    if (message != NULL)
        ck_assert_msg(strstr(message, openings[_i].message) != NULL, "%s", message);
    imagine_free(message);
    imagine_close(im, NULL, NULL);
}
END_TEST

/* ---- a provider --------------------------------------------------------------------------------
 */

static const char *const results[] = {
    "{\"url\":\"data:,a\",\"width\":7,\"height\":8}",
    "{\"urls\":[\"data:,a\",\"data:,b\",\"data:,c\"]}",
    "{\"text\":\"hello\",\"usage\":{\"total_tokens\":3}}",
};
static char params_json[1024];

static void run_action(imagine_call_t *call) {
    const char *const *result = imagine_call_user(call);
    snprintf(params_json, sizeof(params_json), "%s", imagine_call_params_json(call));
    imagine_call_succeed_json(call, *result);
}

static void ask_nothing(imagine_call_t *call) {
    imagine_call_http_json(call, imagine_call_user(call), NULL);
}

static imagine_t *open_manual(void) {
    imagine_t *im = NULL;
    ck_assert_int_eq(imagine_open_json(&im, "{\"manual\":true}", NULL, NULL, NULL), 0);
    return im;
}

static const char mine[] =
    "{\"name\":\"mine\",\"actions\":[\"generate\",\"text\"],\"tokenOptional\":true,"
    "\"catalogue\":{\"models\":[{\"key\":\"one\",\"type\":[\"text2image\"],\"count_max\":3},"
    "{\"key\":\"two\",\"type\":[\"text2text\"]}]}}";

static imagine_request_t *ask(imagine_t *im, const char *action, const char *json) {
    imagine_request_t *request = NULL;
    ck_assert_int_eq(imagine_submit(im, action, json, strlen(json), NULL, NULL, &request), 0);
    ck_assert_int_eq(imagine_wait(request, 10000), 0);
    return request;
}

static const char picture[] = "{\"model\":\"mine/one\",\"prompt\":\"a \\\"cat\\\"\",\"seed\":5,"
                              "\"n\":3,\"negativePrompt\":\"dogs\"}";

START_TEST(results_are_json) {
    imagine_t *im = open_manual();
    const char *chosen = results[0];
    ck_assert_int_eq(imagine_register_json(im, mine, run_action, &chosen), 0);
    imagine_request_t *request = ask(im, "generate", "{\"model\":\"mine/one\",\"prompt\":\"x\"}");
    const imagine_result_t *result = imagine_request_result(request);
    ck_assert_int_eq(imagine_result_status(result), 0);
    ck_assert_int_eq(imagine_result_http_status(result), 200);
    ck_assert_ptr_null(imagine_result_message(result));
    ck_assert_str_eq(result->url, "data:,a");
    ck_assert_uint_eq(result->width, 7);
    imagine_request_release(request);

    chosen = results[1];
    request = ask(im, "generate", picture);
    result = imagine_request_result(request);
    ck_assert_uint_eq(result->url_count, 3);
    ck_assert_str_eq(result->urls[0], "data:,a");
    ck_assert_str_eq(result->urls[2], "data:,c");
    ck_assert_msg(strstr(params_json, "\"prompt\":\"a \\\"cat\\\"\",\"negativePrompt\":\"dogs\"") &&
                      strstr(params_json, "\"seed\":5") && strstr(params_json, "\"n\":3") &&
                      strstr(params_json, "\"images\":[]"),
                  "%s", params_json);
    imagine_request_release(request);

    chosen = results[2];
    request = ask(im, "text", "{\"model\":\"mine/two\",\"prompt\":\"x\"}");
    ck_assert_str_eq(imagine_request_result(request)->text, "hello");
    ck_assert_str_eq(imagine_request_result(request)->usage_json, "{\"total_tokens\":3}");
    imagine_request_release(request);
    imagine_close(im, NULL, NULL);
}
END_TEST

START_TEST(what_is_no_object_fails_the_call) { /* _i: of a result, of a request */
    static const char bad[] = "[]";
    const char *chosen = bad;
    imagine_t *im = open_manual();
    ck_assert_int_eq(_i == 0 ? imagine_register_json(im, mine, run_action, &chosen)
                             : imagine_register_json(im, mine, ask_nothing, (void *)bad),
                     0);
    imagine_request_t *request = ask(im, "generate", "{\"model\":\"mine/one\",\"prompt\":\"x\"}");
    const imagine_result_t *result = imagine_request_result(request);
    ck_assert_int_eq(imagine_result_status(result), IMAGINE_EPROTOCOL);
    ck_assert_ptr_nonnull(strstr(imagine_result_message(result), "JSON object"));
    ck_assert_uint_eq(imagine_result_retry_after_ms(result), 0);
    ck_assert_ptr_null(imagine_result_task_id(result));
    imagine_request_release(request);
    imagine_close(im, NULL, NULL);
}
END_TEST

static const struct {
    const char *json;
    int err;
} registrations[] = {
    {"[]", IMAGINE_EINVAL},
    {"{}", IMAGINE_EINVAL},
    {"{\"name\":\"x\",\"actions\":[\"dance\"]}", IMAGINE_EINVAL},
    {"{\"name\":\"X y\",\"actions\":[\"generate\"]}", IMAGINE_EINVAL},
    {"{\"name\":\"gitee\",\"actions\":[\"generate\"]}", IMAGINE_EEXIST},
    {"{\"name\":\"x\",\"actions\":[\"generate\"],\"catalogue\":{\"models\":7}}", IMAGINE_EINVAL},
};
#define REGISTRATION_COUNT ((int)(sizeof(registrations) / sizeof(registrations[0])))

START_TEST(bad_providers_are_refused) { /* _i walks registrations */
    imagine_t *im = open_manual();
    ck_assert_int_eq(imagine_register_json(im, registrations[_i].json, run_action, NULL),
                     registrations[_i].err);
    imagine_close(im, NULL, NULL);
}
END_TEST

static Suite *ffi(void) {
    Suite *suite = suite_create("ffi");
    TCase *tcase = tcase_create("ffi");
    tcase_add_loop_test(tcase, options_are_json, 0, OPENING_COUNT);
    tcase_add_test(tcase, results_are_json);
    tcase_add_loop_test(tcase, what_is_no_object_fails_the_call, 0, 2);
    tcase_add_loop_test(tcase, bad_providers_are_refused, 0, REGISTRATION_COUNT);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(ffi)
