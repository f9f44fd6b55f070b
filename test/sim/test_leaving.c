/* test_leaving.c: what becomes of work that was paid for when its caller has left: a task that the
 * request's own id finds, in the simulated world. */
#include <stdio.h>
#include <string.h>

#include "sim/sim.h"
#include "support/check_main.h"

#define ID "Order_4711-a-long-one"
#define PICTURE(N) "{\"data\":[{\"url\":\"https://cdn.test/" N ".png\"}]}"
#define CREATED "{\"task_id\":\"theirs\"}"
#define DONE "{\"task_status\":\"SUCCEED\",\"output_images\":[\"https://c.test/1\"]}"

static sim_t *open_world(void) {
    sim_t *sim = sim_open(1);
    ck_assert_int_eq(imagine_set_tokens(sim->im, "gitee", "first-secret,second-secret"), 0);
    ck_assert_int_eq(imagine_set_tokens(sim->im, "modelscope", "other-secret"), 0);
    return sim;
}

static sim_request_t *start(sim_t *sim, const char *model, uint32_t count, uint32_t timeout_ms) {
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    params.model = model;
    params.prompt = "a cat";
    params.count = count;
    params.timeout_ms = timeout_ms;
    params.id = ID;
    return sim_start_params(sim, &params);
}

static const char *told_task(const sim_request_t *request) {
    return imagine_request_result(request->request)->task_id;
}

/* How the task of this id stands: its JSON; NULL: there is none. */
static const char *look(sim_t *sim, const char *id) {
    char body[128];
    sim_request_t *question;
    snprintf(body, sizeof(body), "{\"taskId\":\"%s\"}", id);
    question = sim_start(sim, "task-status", body);
    sim_run(sim, 1000);
    ck_assert_int_eq(question->done_count, 1);
    return question->status == 0
               ? imagine_result_json(imagine_request_result(question->request), NULL)
               : NULL;
}

static void expect_task(sim_t *sim, const char *id, const char *json) {
    const char *found = look(sim, id);
    ck_assert_msg(found != NULL && strcmp(found, json) == 0, "%s: %s", id,
                  found != NULL ? found : "not found");
}

START_TEST(what_goes_on_without_its_caller_is_found_by_the_requests_id) { /* _i: how they leave */
    sim_t *sim = open_world();
    sim_request_t *request;
    sim_reply(sim, 9000, 200, PICTURE("1"));
    request = start(sim, "gitee/z-image-turbo", 1, _i == 0 ? 2000 : 0);
    sim_run(sim, 2000);
    if (_i == 1)
        imagine_cancel(request->request);
    sim_run(sim, 1);
    ck_assert_int_eq(request->status, _i == 0 ? IMAGINE_ETIMEDOUT : IMAGINE_ECANCELED);
    ck_assert_str_eq(told_task(request), ID);
    expect_task(sim, ID, "{\"status\":\"processing\"}");
    sim_run(sim, 8000);
    for (int i = 0; i < 2; i++) /* the same each time */
        expect_task(sim, ID, "{\"status\":\"success\",\"url\":\"https://cdn.test/1.png\"}");
    sim_run(sim, 24 * 60 * 60 * 1000);
    ck_assert_ptr_null(look(sim, ID));
    sim_close(sim);
}
END_TEST

START_TEST(a_late_failure_is_told_with_its_reason) {
    sim_t *sim = open_world();
    sim_reply(sim, 9000, 422, "{\"message\":\"not this\"}");
    start(sim, "gitee/z-image-turbo", 1, 2000);
    sim_run(sim, 10000);
    expect_task(sim, ID, "{\"status\":\"failed\",\"error\":\"not this\"}");
    sim_close(sim);
}
END_TEST

START_TEST(what_never_reached_a_provider_leaves_nothing) {
    sim_t *sim = open_world();
    sim_request_t *request;
    for (int i = 0; i < 3; i++)
        sim_break(sim, 1, IMAGINE_ECONNECT, false);
    request = start(sim, "gitee/z-image-turbo", 1, 0);
    sim_run(sim, 50); /* in the pause before it is sent again */
    imagine_cancel(request->request);
    sim_run(sim, 1000);
    ck_assert_int_eq(request->status, IMAGINE_ECANCELED);
    ck_assert_ptr_null(told_task(request));
    ck_assert_ptr_null(look(sim, ID));
    sim_close(sim);
}
END_TEST

START_TEST(without_an_id_the_result_tells_one_of_ours) {
    sim_t *sim = open_world();
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    sim_request_t *request;
    params.model = "gitee/z-image-turbo";
    params.prompt = "a cat";
    params.timeout_ms = 2000;
    sim_reply(sim, 3000, 200, PICTURE("1"));
    request = sim_start_params(sim, &params);
    sim_run(sim, 10000);
    ck_assert_ptr_nonnull(told_task(request));
    ck_assert_uint_eq(strlen(told_task(request)), 32);
    expect_task(sim, told_task(request),
                "{\"status\":\"success\",\"url\":\"https://cdn.test/1.png\"}");
    sim_close(sim);
}
END_TEST

START_TEST(an_id_that_is_taken_stays_with_its_task) {
    sim_t *sim = open_world();
    sim_request_t *second;
    sim_reply(sim, 3000, 200, PICTURE("1"));
    start(sim, "gitee/z-image-turbo", 1, 2000);
    sim_run(sim, 10000);
    sim_reply(sim, 3000, 200, PICTURE("2"));
    second = start(sim, "gitee/z-image-turbo", 1, 2000);
    sim_run(sim, 10000);
    expect_task(sim, ID, "{\"status\":\"success\",\"url\":\"https://cdn.test/1.png\"}");
    ck_assert_str_ne(told_task(second), ID);
    expect_task(sim, told_task(second),
                "{\"status\":\"success\",\"url\":\"https://cdn.test/2.png\"}");
    sim_close(sim);
}
END_TEST

static const char *const bad_ids[] = {
    "", "too-short", "sixteen-but-a/sl", "sixteen but blank",
    "0123456789012345678901234567890123456789012345678901234567890123456789"};

START_TEST(an_id_that_is_none_is_refused) { /* _i walks bad_ids */
    sim_t *sim = open_world();
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    sim_request_t *request;
    params.model = "gitee/z-image-turbo";
    params.prompt = "a cat";
    params.id = bad_ids[_i];
    request = sim_start_params(sim, &params);
    sim_run(sim, 1);
    ck_assert_msg(request->status == IMAGINE_EINVAL && strstr(request->message, "id ") != NULL,
                  "\"%s\": %s", bad_ids[_i], request->message);
    sim_close(sim);
}
END_TEST

START_TEST(a_video_whose_caller_left_before_it_had_an_id_is_found) {
    sim_t *sim = open_world();
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    imagine_request_t *request;
    params.model = "gitee/wan2.2-i2v";
    params.prompt = "waves";
    params.id = ID;
    sim_reply(sim, 500, 200, CREATED);
    sim_reply(sim, 10, 200, "{\"status\":\"success\",\"output\":{\"file_url\":\"https://c.t/v\"}}");
    ck_assert_int_eq(imagine_video(sim->im, &params, NULL, NULL, &request), 0);
    sim_run(sim, 100);
    imagine_cancel(request);
    sim_run(sim, 100);
    ck_assert_str_eq(imagine_request_result(request)->task_id, ID);
    imagine_request_release(request);
    sim_run(sim, 60000);
    expect_task(sim, ID, "{\"status\":\"success\",\"url\":\"https://c.t/v\"}");
    sim_close(sim);
}
END_TEST

START_TEST(a_jobs_id_is_the_requests) {
    sim_t *sim = open_world();
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    sim_request_t *request;
    params.model = "gitee/z-image-turbo";
    params.prompt = "a cat";
    params.is_job = 1;
    params.id = ID;
    sim_reply(sim, 500, 200, PICTURE("1"));
    request = sim_start_params(sim, &params);
    sim_run(sim, 1000);
    ck_assert_str_eq(request->task_id, ID);
    ck_assert_ptr_nonnull(strstr(look(sim, ID), "\"status\":\"success\""));
    sim_close(sim);
}
END_TEST

START_TEST(each_picture_of_several_is_found) { /* _i: the first one was there already */
    sim_t *sim = open_world();
    sim_request_t *request;
    sim_reply(sim, _i == 1 ? 10 : 4000, 200, PICTURE("1"));
    sim_reply(sim, 5000, 200, PICTURE("2"));
    request = start(sim, "gitee/z-image-turbo", 2, 0);
    sim_run(sim, 1000);
    imagine_cancel(request->request);
    sim_run(sim, 10000);
    ck_assert_int_eq(request->status, IMAGINE_ECANCELED);
    ck_assert_str_eq(told_task(request), ID);
    expect_task(sim, ID, "{\"status\":\"success\",\"url\":\"https://cdn.test/1.png\"}");
    expect_task(sim, ID "-2", "{\"status\":\"success\",\"url\":\"https://cdn.test/2.png\"}");
    sim_close(sim);
}
END_TEST

START_TEST(a_result_that_was_only_to_be_downloaded_is_kept) {
    sim_t *sim = open_world();
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    sim_request_t *request;
    params.model = "gitee/z-image-turbo";
    params.prompt = "a cat";
    params.want_bytes = 1;
    params.id = ID;
    sim_reply(sim, 10, 200, PICTURE("1"));
    sim_stall(sim); /* the download */
    request = sim_start_params(sim, &params);
    sim_run(sim, 100);
    imagine_cancel(request->request);
    sim_run(sim, 100);
    ck_assert_int_eq(request->status, IMAGINE_ECANCELED);
    expect_task(sim, ID, "{\"status\":\"success\",\"url\":\"https://cdn.test/1.png\"}");
    sim_close(sim);
}
END_TEST

START_TEST(a_result_on_its_way_into_a_data_address_is_kept) {
    sim_t *sim = open_world();
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    sim_request_t *request;
    params.model = "gitee/z-image-turbo";
    params.prompt = "a cat";
    params.response_format = IMAGINE_FORMAT_DATA;
    params.id = ID;
    sim_reply(sim, 10, 200, PICTURE("1"));
    sim_reply(sim, 500, 200, "GIF89a the rest of a picture");
    request = sim_start_params(sim, &params);
    sim_run(sim, 100);
    imagine_cancel(request->request);
    sim_run(sim, 1000);
    ck_assert_int_eq(request->status, IMAGINE_ECANCELED);
    ck_assert_ptr_nonnull(strstr(look(sim, ID), "\"url\":\"data:image/gif;base64,"));
    sim_close(sim);
}
END_TEST

START_TEST(giving_it_up_stops_it) {
    sim_t *sim = open_world();
    sim_reply(sim, 9000, 200, PICTURE("1"));
    start(sim, "gitee/z-image-turbo", 1, 2000);
    sim_run(sim, 3000);
    sim_start(sim, "task-cancel", "{\"taskId\":\"" ID "\"}");
    sim_run(sim, 10000);
    expect_task(sim, ID, "{\"status\":\"failed\",\"error\":\"canceled\"}");
    sim_close(sim);
}
END_TEST

/* The process ends while it goes on. _i: 0, a provider that cannot be asked again; 1, one that has
 * an id for the work; 2, as 1, but the caller left before there was one. */
START_TEST(the_next_life_knows_of_it) {
    sim_store_t *store = sim_store_new();
    sim_t *sim = open_world();
    sim_attach_store(sim, store);
    sim_run(sim, 10);
    if (_i == 0) {
        sim_stall(sim);
        start(sim, "gitee/z-image-turbo", 1, 2000);
    } else {
        sim_reply(sim, _i == 1 ? 10 : 2500, 200, CREATED);
        for (int i = 0; i < 20; i++)
            sim_reply(sim, 10, 200, "{\"task_status\":\"PROCESSING\"}");
        start(sim, "modelscope/flux-2", 1, 2000);
    }
    sim_run(sim, 4000);
    sim_close(sim);
    ck_assert(!sim_store_contains(store, "secret"));
    sim = open_world();
    sim_reply(sim, 10, 200, DONE);
    sim_attach_store(sim, store);
    sim_run(sim, 10000);
    expect_task(sim, ID,
                _i == 0 ? "{\"status\":\"failed\",\"error\":\"interrupted by a restart: the "
                          "provider may have carried it out\"}"
                        : "{\"status\":\"success\",\"url\":\"https://c.test/1\"}");
    sim_close(sim);
    sim_store_free(store);
}
END_TEST

/* The n-th allocation fails, for every n. */
START_TEST(no_allocation_may_fail_badly) {
    bool has_failed = true;
    for (size_t n = 1; has_failed; n++) {
        sim_t *sim = sim_open_failing(1, n);
        if (sim == NULL)
            continue;
        imagine_set_tokens(sim->im, "gitee", "a,b");
        imagine_set_tokens(sim->im, "modelscope", "c");
        sim_reply(sim, 3000, 200, PICTURE("1"));
        sim_reply(sim, 3000, 200, PICTURE("2"));
        start(sim, "gitee/z-image-turbo", 2, 1000);
        sim_run(sim, 5000);
        for (int i = 0; i < 3; i++)
            sim_reply(sim, 100, 200,
                      "{\"task_id\":\"t\",\"task_status\":\"SUCCEED\",\"output_images\":[\"https://"
                      "c.t/1\"]}");
        start(sim, "modelscope/flux-2", 1, 50);
        sim_run(sim, 20000);
        has_failed = sim->mem.has_failed;
        sim_close(sim);
    }
}
END_TEST

static Suite *leaving_suite(void) {
    Suite *suite = suite_create("leaving");
    TCase *tcase = tcase_create("leaving");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, what_goes_on_without_its_caller_is_found_by_the_requests_id, 0, 2);
    tcase_add_test(tcase, a_late_failure_is_told_with_its_reason);
    tcase_add_test(tcase, what_never_reached_a_provider_leaves_nothing);
    tcase_add_test(tcase, without_an_id_the_result_tells_one_of_ours);
    tcase_add_test(tcase, an_id_that_is_taken_stays_with_its_task);
    tcase_add_loop_test(tcase, an_id_that_is_none_is_refused, 0,
                        (int)(sizeof(bad_ids) / sizeof(bad_ids[0])));
    tcase_add_test(tcase, a_video_whose_caller_left_before_it_had_an_id_is_found);
    tcase_add_test(tcase, a_jobs_id_is_the_requests);
    tcase_add_loop_test(tcase, each_picture_of_several_is_found, 0, 2);
    tcase_add_test(tcase, a_result_that_was_only_to_be_downloaded_is_kept);
    tcase_add_test(tcase, a_result_on_its_way_into_a_data_address_is_kept);
    tcase_add_test(tcase, giving_it_up_stops_it);
    tcase_add_loop_test(tcase, the_next_life_knows_of_it, 0, 3);
    tcase_add_test(tcase, no_allocation_may_fail_badly);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(leaving_suite)
