/* test_batch.c: more pictures than the provider makes at once, in the simulated world. */
#include <string.h>

#include "sim/sim.h"
#include "support/check_main.h"

#define PICTURE(N) "{\"data\":[{\"url\":\"https://cdn.test/" N ".png\"}]}"
static const char three[] =
    "{\"model\":\"gitee/z-image-turbo\",\"prompt\":\"a cat\",\"n\":3,\"seed\":2147483645}";

static sim_t *open_gitee(const char *tokens) {
    sim_t *sim = sim_open(1);
    ck_assert_int_eq(imagine_set_tokens(sim->im, "gitee", tokens), 0);
    return sim;
}

static const imagine_result_t *result_of(const sim_request_t *request) {
    return imagine_request_result(request->request);
}

START_TEST(the_parts_run_at_once_each_with_a_token_of_its_own) {
    sim_t *sim = open_gitee("a,b,c");
    sim_reply(sim, 30, 200, PICTURE("1"));
    sim_reply(sim, 10, 200, PICTURE("2"));
    sim_reply(sim, 20, 200, PICTURE("3"));
    sim_request_t *request = sim_start(sim, "generate", three);
    sim_expect(sim, "[   0] r1 request action=generate model=gitee/z-image-turbo\n"
                    "[   0] r1 batch.start pictures=3 parts=3\n"
                    "[   0] r2 request action=generate model=gitee/z-image-turbo\n"
                    "[   0] r2 http.start token=#1 POST /v1/images/generations\n"
                    "[   0] r3 request action=generate model=gitee/z-image-turbo\n"
                    "[   0] r3 http.start token=#2 POST /v1/images/generations\n"
                    "[   0] r4 request action=generate model=gitee/z-image-turbo\n"
                    "[   0] r4 http.start token=#3 POST /v1/images/generations\n"
                    "[  10] r3 done status=IMAGINE_OK attempts=1\n"
                    "[  20] r4 done status=IMAGINE_OK attempts=1\n"
                    "[  30] r2 done status=IMAGINE_OK attempts=1\n"
                    "[  30] r1 done status=IMAGINE_OK attempts=3\n");
    const imagine_result_t *result = result_of(request);
    ck_assert_uint_eq(result->url_count, 3);
    ck_assert_str_eq(result->urls[0], "https://cdn.test/1.png");
    ck_assert_str_eq(result->urls[1], "https://cdn.test/2.png");
    ck_assert_str_eq(result->urls[2], "https://cdn.test/3.png");
    ck_assert_str_eq(result->url, result->urls[0]);
    ck_assert_int_eq(result->seed, 2147483645);
    sim_close(sim);
}
END_TEST

START_TEST(those_that_came_are_the_answer_when_others_fail) {
    sim_t *sim = open_gitee("a");
    sim_reply(sim, 10, 200, PICTURE("1"));
    sim_reply(sim, 10, 422, "{\"message\":\"not this\"}");
    sim_reply(sim, 10, 200, PICTURE("3"));
    const imagine_result_t *result;
    sim_request_t *request = sim_start(sim, "generate", three);
    sim_run(sim, 1000);
    result = result_of(request);
    ck_assert_int_eq(result->status, 0);
    ck_assert_uint_eq(result->url_count, 2);
    ck_assert_str_eq(result->urls[1], "https://cdn.test/3.png");
    sim_close(sim);
}
END_TEST

START_TEST(when_all_fail_the_first_ones_reason_is_told) {
    sim_t *sim = open_gitee("a");
    for (int i = 0; i < 3; i++)
        sim_reply(sim, 10, 422, "{\"message\":\"not this\"}");
    sim_request_t *request = sim_start(sim, "generate", three);
    sim_run(sim, 1000);
    ck_assert_int_eq(request->http_status, 422);
    ck_assert_ptr_nonnull(strstr(request->message, "not this"));
    sim_close(sim);
}
END_TEST

START_TEST(a_spent_token_does_not_cost_a_picture) {
    sim_t *sim = open_gitee("a,b");
    sim_reply(sim, 10, 429, "{\"message\":\"quota exceeded\"}");
    for (int i = 0; i < 3; i++)
        sim_reply(sim, 20, 200, PICTURE("1"));
    sim_request_t *request = sim_start(sim, "generate", three);
    sim_run(sim, 1000);
    ck_assert_int_eq(request->status, 0);
    ck_assert_uint_eq(result_of(request)->url_count, 3);
    sim_close(sim);
}
END_TEST

START_TEST(each_of_several_pictures_has_its_bytes) {
    static const char *const bodies[] = {"{\"data\":[{\"url\":\"data:image/png;base64,b25l\"}]}",
                                         "{\"data\":[{\"url\":\"data:image/png;base64,dHdv\"}]}",
                                         "{\"data\":[{\"url\":\"https://cdn.test/3.png\"}]}"};
    static const char *const wanted[] = {"one", "two"};
    sim_t *sim = open_gitee("a");
    const void *data = NULL;
    size_t size = 0;
    const char *mime = NULL;
    for (size_t i = 0; i < 3; i++)
        sim_reply(sim, 20 + i, 200, bodies[i]);
    sim_request_t *request = sim_start(sim, "generate", three);
    sim_run(sim, 1000);
    ck_assert_uint_eq(result_of(request)->url_count, 3);
    for (size_t i = 0; i < 2; i++) {
        ck_assert_int_eq(imagine_result_picture(result_of(request), i, &data, &size, &mime), 0);
        ck_assert_uint_eq(size, 3);
        ck_assert_mem_eq(data, wanted[i], 3);
        ck_assert_str_eq(mime, "image/png");
    }
    for (size_t i = 2; i < 4; i++) /* an address that was not downloaded; and none at all */
        ck_assert_int_eq(imagine_result_picture(result_of(request), i, &data, &size, &mime),
                         IMAGINE_ENOTFOUND);
    sim_close(sim);
}
END_TEST

START_TEST(a_deadline_brings_those_that_came) {
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    sim_t *sim = open_gitee("a,b");
    params.model = "gitee/z-image-turbo";
    params.prompt = "a cat";
    params.count = 2;
    params.timeout_ms = 500;
    sim_reply(sim, 10, 200, PICTURE("1"));
    sim_stall(sim);
    sim_request_t *request = sim_start_params(sim, &params);
    sim_run(sim, 1000);
    ck_assert_int_eq(request->status, 0);
    ck_assert_str_eq(request->url, "https://cdn.test/1.png");
    ck_assert_uint_eq(result_of(request)->url_count, 0);
    sim_close(sim);
}
END_TEST

START_TEST(a_cancel_ends_all_of_it_once) { /* _i: after so many ms */
    sim_t *sim = open_gitee("a,b,c");
    for (int i = 0; i < 3; i++)
        sim_reply(sim, 5 + (uint64_t)i, 200, PICTURE("1"));
    sim_request_t *request = sim_start(sim, "generate", three);
    sim_run(sim, (uint64_t)_i);
    imagine_cancel(request->request);
    sim_run(sim, 1000);
    ck_assert_int_eq(request->done_count, 1);
    ck_assert_int_eq(request->status, _i < 7 ? IMAGINE_ECANCELED : 0);
    sim_close(sim);
}
END_TEST

START_TEST(closing_ends_all_of_it_once) { /* _i: after so many ms */
    sim_t *sim = open_gitee("a,b,c");
    for (int i = 0; i < 3; i++)
        sim_reply(sim, 5, 200, PICTURE("1"));
    sim_start(sim, "generate", three);
    sim_run(sim, (uint64_t)_i);
    sim_close(sim);
}
END_TEST

static const char edit_two[] =
    "{\"model\":\"gitee/qwen-image-edit\",\"prompt\":\"a cat\",\"n\":2,\"image\":"
    "\"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9Q"
    "DwADhgGAWjR9awAAAABJRU5ErkJggg==\"}";

START_TEST(no_allocation_may_fail_badly) {
    bool has_failed = true;
    for (size_t n = 1; has_failed; n++) {
        sim_t *sim = sim_open_failing(1, n);
        if (sim == NULL)
            continue;
        imagine_set_tokens(sim->im, "gitee", "a,b");
        for (int i = 0; i < 5; i++)
            sim_reply(sim, 5, 200, PICTURE("1"));
        sim_start(sim, "generate", three);
        sim_start(sim, "edit", edit_two);
        sim_run(sim, 10000);
        has_failed = sim->mem.has_failed;
        sim_close(sim);
    }
}
END_TEST

static Suite *batch_suite(void) {
    Suite *suite = suite_create("batch");
    TCase *tcase = tcase_create("batch");
    tcase_add_test(tcase, the_parts_run_at_once_each_with_a_token_of_its_own);
    tcase_add_test(tcase, those_that_came_are_the_answer_when_others_fail);
    tcase_add_test(tcase, when_all_fail_the_first_ones_reason_is_told);
    tcase_add_test(tcase, a_spent_token_does_not_cost_a_picture);
    tcase_add_test(tcase, each_of_several_pictures_has_its_bytes);
    tcase_add_test(tcase, a_deadline_brings_those_that_came);
    tcase_add_loop_test(tcase, a_cancel_ends_all_of_it_once, 0, 9);
    tcase_add_loop_test(tcase, closing_ends_all_of_it_once, 0, 7);
    tcase_add_test(tcase, no_allocation_may_fail_badly);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(batch_suite)
