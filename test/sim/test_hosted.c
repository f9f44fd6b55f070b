/* test_hosted.c: a result that is at hand and on its way to the bucket when something ends it: it
 * is kept as the provider gave it. What a bucket may answer: test/unit/core/test_hosting.c. */
#include <stdio.h>
#include <string.h>

#include "sim/sim.h"
#include "support/check_main.h"

#define TWO_HOURS_MS UINT64_C(7200000)
#define PICTURE "{\"data\":[{\"url\":\"https://cdn.test/1.png\"}]}"
static const char job[] =
    "{\"model\":\"gitee/z-image-turbo\",\"prompt\":\"a cat\",\"seed\":5,\"async\":true,"
    "\"webhookUrl\":\"https://hooks.test/in\"}";
static const char video[] = "{\"model\":\"gitee/wan2.2-i2v\",\"prompt\":\"a cat\"}";
/* Enough of a picture to be known as one. */
static const char bytes[] = "\x89PNG\r\n\x1a\n"
                            "................................................................";

/* ---- the world ---------------------------------------------------------------------------------
 */

typedef enum stage { AT_DOWNLOAD, AT_BUCKET, STAGE_COUNT } stage_t;
static stage_t stage; /* what never ends */
static uint64_t done_at_ms;
static size_t post_count; /* of webhooks */
static size_t make_count; /* of requests that would be paid for */
static int (*start_exchange)(void *context, const imagine_http_request_t *request,
                             const imagine_http_handler_t *handler, void *user,
                             imagine_http_exchange_t **out);

static void script(sim_t *sim, const imagine_http_request_t *request) {
    bool is_post = strcmp(request->method, "POST") == 0;
    if (strstr(request->url, "hooks.test") != NULL) {
        post_count++;
        sim_reply(sim, 10, 200, "");
    } else if (strstr(request->url, "s3.test") != NULL) {
        sim_stall(sim);
    } else if (strstr(request->url, "cdn.test") != NULL) {
        if (stage == AT_DOWNLOAD)
            sim_stall(sim);
        else
            sim_reply_with(sim, 10, 200, "Content-Length: 72", bytes);
    } else if (is_post && strstr(request->url, "/videos") != NULL) {
        make_count++;
        sim_reply(sim, 10, 200, "{\"task_id\":\"theirs\"}");
    } else if (is_post) {
        make_count++;
        sim_reply(sim, 10, 200, PICTURE);
    } else if (sim->now_ms < done_at_ms) {
        sim_reply(sim, 10, 200, "{\"status\":\"in_progress\"}");
    } else {
        sim_reply(sim, 10, 200,
                  "{\"status\":\"success\",\"output\":{\"file_url\":\"https://cdn.test/v.mp4\"}}");
    }
}

static int on_start(void *context, const imagine_http_request_t *request,
                    const imagine_http_handler_t *handler, void *user,
                    imagine_http_exchange_t **out) {
    script(context, request);
    return start_exchange(context, request, handler, user, out);
}

static sim_t *open_world(uint64_t seed) {
    static const char *const names[][2] = {{"S3_ENDPOINT", "https://s3.test"},
                                           {"S3_ACCESS_KEY_ID", "id"},
                                           {"S3_SECRET_ACCESS_KEY", "s3-secret"},
                                           {"S3_BUCKET_NAME", "box"},
                                           {"GITEE_TOKENS", "first-secret"}};
    sim_t *sim = sim_open(seed);
    imagine_settings_t *settings = NULL;
    start_exchange = sim->io.http_start;
    sim->io.http_start = on_start;
    ck_assert_int_eq(imagine_settings_open(&settings), 0);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        ck_assert_int_eq(imagine_settings_set(settings, names[i][0], names[i][1]), 0);
    ck_assert_int_eq(imagine_configure(sim->im, settings, NULL), 0);
    imagine_settings_close(settings);
    return sim;
}

static void expect_success(sim_t *sim, const char *task_id, const char *url) {
    char body[128];
    snprintf(body, sizeof(body), "{\"taskId\":\"%s\"}", task_id);
    sim_request_t *question = sim_start(sim, "task-status", body);
    sim_run(sim, 1000);
    ck_assert_str_eq(question->task_state, "success");
    ck_assert_str_eq(question->url, url);
}

/* ---- stories -----------------------------------------------------------------------------------
 */

START_TEST(a_deadline_that_strikes_then_keeps_the_providers_own) { /* _i walks the stages */
    sim_t *sim = open_world(1);
    stage = (stage_t)_i;
    done_at_ms = TWO_HOURS_MS - 20000;
    sim_request_t *request = sim_start(sim, "video", video);
    sim_run(sim, TWO_HOURS_MS - 10);
    ck_assert_str_eq(request->task_state, "processing");
    ck_assert_ptr_nonnull(strstr(sim->trace, "/theirs"));
    ck_assert_uint_eq(sim->exchange_count, 1);
    sim_run(sim, 100);
    ck_assert_uint_eq(sim->exchange_count, 0);
    expect_success(sim, request->task_id, "https://cdn.test/v.mp4");
    sim_close(sim);
}
END_TEST

START_TEST(a_deadline_that_strikes_before_is_a_failure) {
    sim_t *sim = open_world(1);
    done_at_ms = 2 * TWO_HOURS_MS;
    sim_request_t *request = sim_start(sim, "video", video), *question;
    char body[128];
    sim_run(sim, TWO_HOURS_MS + 100);
    snprintf(body, sizeof(body), "{\"taskId\":\"%s\"}", request->task_id);
    question = sim_start(sim, "task-status", body);
    sim_run(sim, 10);
    ck_assert_str_eq(question->task_state, "failed");
    sim_close(sim);
}
END_TEST

START_TEST(a_bucket_that_fails_at_last_keeps_it_too) {
    sim_t *sim = open_world(1);
    stage = AT_BUCKET;
    done_at_ms = 0;
    sim_request_t *request = sim_start(sim, "video", video);
    sim_run(sim, 5 * 60 * 1000);
    ck_assert_ptr_nonnull(strstr(sim->log, "hosting.failed"));
    expect_success(sim, request->task_id, "https://cdn.test/v.mp4");
    sim_close(sim);
}
END_TEST

START_TEST(an_end_of_the_process_keeps_it_for_the_next_life) { /* _i: stages of a job, of a video */
    sim_store_t *store = sim_store_new();
    sim_t *sim = open_world(1);
    bool is_video = _i >= STAGE_COUNT;
    char task_id[64];
    stage = (stage_t)(_i % STAGE_COUNT);
    post_count = make_count = 0;
    done_at_ms = 0;
    sim_attach_store(sim, store);
    sim_run(sim, 10);
    sim_request_t *request =
        sim_start(sim, is_video ? "video" : "generate", is_video ? video : job);
    sim_run(sim, 5000);
    ck_assert_str_eq(request->task_state, "processing");
    ck_assert_uint_eq(sim->exchange_count, 1);
    snprintf(task_id, sizeof(task_id), "%s", request->task_id);
    sim_close(sim);
    ck_assert_uint_eq(post_count, 0);
    sim = open_world(2);
    sim_attach_store(sim, store);
    sim_run(sim, 60 * 1000);
    expect_success(sim, task_id, is_video ? "https://cdn.test/v.mp4" : "https://cdn.test/1.png");
    ck_assert_uint_eq(post_count, is_video ? 0 : 1);
    ck_assert_uint_eq(make_count, 1);
    sim_close(sim);
    sim_store_free(store);
}
END_TEST

static Suite *hosted_suite(void) {
    Suite *suite = suite_create("hosted");
    TCase *tcase = tcase_create("hosted");
    tcase_add_loop_test(tcase, a_deadline_that_strikes_then_keeps_the_providers_own, 0,
                        STAGE_COUNT);
    tcase_add_test(tcase, a_deadline_that_strikes_before_is_a_failure);
    tcase_add_test(tcase, a_bucket_that_fails_at_last_keeps_it_too);
    tcase_add_loop_test(tcase, an_end_of_the_process_keeps_it_for_the_next_life, 0,
                        2 * STAGE_COUNT);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(hosted_suite)
