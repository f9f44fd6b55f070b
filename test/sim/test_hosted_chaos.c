/* test_hosted_chaos.c: hundreds of worlds with a bucket and a receiver of webhooks, both of which
 * fail as they like, with cancels and restarts. Beside what sim.h lists:
 *   - no job is lost, and who asks for it to the end hears the same as the receiver;
 *   - the receiver of every job that has ended is told, if it is up in the end; never before the
 *     end, never of two ends;
 *   - what cannot be hosted is the provider's own result: nothing fails because of it.
 * A failure prints its seed: SIM_SEED=<seed> SIM_ROUNDS=1 repeats that world alone. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/sim.h"
#include "support/check_main.h"

#define ROUNDS 300
#define ROUNDS_A_TEST 30 /* a forked test each */
#define REQUESTS 30
#define MINUTE_MS UINT64_C(60000)
#define HOUR_MS (60 * MINUTE_MS)
#define BYTES "................................................................"

static const char bytes[] = "\x89PNG\r\n\x1a\n" BYTES; /* enough of a picture to be known as one */

typedef struct told {
    char task_id[64], status[16];
    size_t count;
} told_t;

/* ---- the bucket, the provider's pictures, the receiver
 * -------------------------------------------
 */

static told_t told[SIM_REQUESTS_MAX];
static size_t told_count;
static int64_t hooks_up_unix_ms;
static bool bucket_fails; /* in this world it has moods, else it works */
static size_t hosted_count;
static int (*start_exchange)(void *context, const imagine_http_request_t *request,
                             const imagine_http_handler_t *handler, void *user,
                             imagine_http_exchange_t **out);

static void fail_somehow(sim_t *sim) {
    uint64_t delay_ms = sim_random(sim) % 2000;
    switch (sim_random(sim) % 5) {
    case 0:
        sim_reply(sim, delay_ms, 503, "<Error><Code>SlowDown</Code></Error>");
        break;
    case 1:
        sim_reply(sim, delay_ms, 403, "<Error><Code>AccessDenied</Code></Error>");
        break;
    case 2:
        sim_break(sim, delay_ms, IMAGINE_ECONNECT, false);
        break;
    case 3:
        sim_break(sim, delay_ms, IMAGINE_EPROTOCOL, true);
        break;
    default:
        sim_stall(sim);
    }
}

/* The text behind "name":" of a body in pieces. */
static void read_member(char *out, size_t size, const imagine_http_request_t *request,
                        const char *name) {
    char body[4096], wanted[32], *at;
    size_t length = 0;
    for (size_t i = 0; i < request->body_count; i++) {
        ck_assert_uint_lt(length + request->body[i].size, sizeof(body));
        memcpy(body + length, request->body[i].data, request->body[i].size);
        length += request->body[i].size;
    }
    body[length] = '\0';
    snprintf(wanted, sizeof(wanted), "\"%s\":\"", name);
    at = strstr(body, wanted);
    ck_assert_msg(at != NULL, "%s is not in %s", name, body);
    at += strlen(wanted);
    snprintf(out, size, "%.*s", (int)strcspn(at, "\""), at);
}

static void be_told(sim_t *sim, const imagine_http_request_t *request) {
    told_t news = {.count = 1}, *at = told;
    read_member(news.task_id, sizeof(news.task_id), request, "taskId");
    read_member(news.status, sizeof(news.status), request, "status");
    while (at < told + told_count && strcmp(at->task_id, news.task_id) != 0)
        at++;
    if (at == told + told_count) {
        told[told_count++] = news;
    } else {
        at->count++;
        ck_assert_msg(strcmp(at->status, news.status) == 0,
                      "seed %" PRIu64 ": %s was told %s and %s", sim->seed, at->task_id, at->status,
                      news.status);
    }
    sim_reply(sim, sim_random(sim) % 500, 200, "");
}

static int on_start(void *context, const imagine_http_request_t *request,
                    const imagine_http_handler_t *handler, void *user,
                    imagine_http_exchange_t **out) {
    sim_t *sim = context;
    if (strstr(request->url, "hooks.test") != NULL) {
        if (sim->unix_ms < hooks_up_unix_ms)
            fail_somehow(sim);
        else
            be_told(sim, request);
    } else if (strstr(request->url, "s3.test") != NULL) {
        bool is_down = bucket_fails && sim_random(sim) % 2 == 0;
        hosted_count += !is_down;
        if (is_down)
            fail_somehow(sim);
        else
            sim_reply(sim, sim_random(sim) % 1000, 200, "");
    } else if (strstr(request->url, "cdn.test") != NULL) {
        if (sim_random(sim) % 6 == 0)
            fail_somehow(sim);
        else
            sim_reply_with(sim, sim_random(sim) % 1000, 200, "Content-Length: 72", bytes);
    }
    return start_exchange(context, request, handler, user, out);
}

/* ---- a world ------------------------------------------------------------------------------------
 */

static void begin(sim_t *sim, sim_store_t *store) {
    static const char *const names[][2] = {
        {"S3_ENDPOINT", "https://s3.test"},          {"S3_ACCESS_KEY_ID", "id"},
        {"S3_SECRET_ACCESS_KEY", "bucket-secret"},   {"S3_BUCKET_NAME", "box"},
        {"GITEE_TOKENS", "alpha-1,alpha-2,alpha-3"}, {"MODELSCOPE_TOKENS", "beta-1,beta-2"},
        {"WEBHOOK_SECRET", "signing-secret"}};
    imagine_settings_t *settings = NULL;
    start_exchange = sim->io.http_start;
    sim->io.http_start = on_start;
    ck_assert_int_eq(imagine_settings_open(&settings), 0);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        ck_assert_int_eq(imagine_settings_set(settings, names[i][0], names[i][1]), 0);
    ck_assert_int_eq(imagine_configure(sim->im, settings, NULL), 0);
    imagine_settings_close(settings);
    sim_attach_store(sim, store);
    sim_run(sim, 10);
}

static void start_one(sim_t *sim) {
    static const char *const models[] = {"gitee/z-image-turbo", "modelscope/flux-2",
                                         "huggingface/z-image-turbo"};
    bool is_video = sim_random(sim) % 5 == 0, is_job = sim_random(sim) % 4 != 0;
    char body[256];
    snprintf(body, sizeof(body), "{\"model\":\"%s\",\"prompt\":\"prompt-%zu.\"%s%s%s}",
             is_video ? "gitee/wan2.2-i2v" : models[sim_random(sim) % 3], sim->request_count + 1,
             is_job && !is_video ? ",\"async\":true" : "",
             is_job || is_video ? ",\"webhookUrl\":\"https://hooks.test/in\"" : "",
             !is_video && sim_random(sim) % 3 == 0 ? ",\"response_format\":\"url\"" : "");
    sim_start(sim, is_video ? "video" : "generate", body);
}

static void give_up(sim_t *sim, const sim_request_t *request) {
    char body[128];
    snprintf(body, sizeof(body), "{\"taskId\":\"%s\"}", request->task_id);
    if (request->task_id[0] != '\0')
        sim_start(sim, "task-cancel", body);
}

static sim_t *next_life(sim_t *sim, sim_store_t *store) {
    sim_t *next = sim_open(sim->seed + 1);
    sim_chaos_next_life(next, sim);
    sim_set_unix_ms(next, sim->unix_ms);
    sim_close(sim);
    begin(next, store);
    return next;
}

static const told_t *told_of(const char *task_id) {
    for (size_t i = 0; i < told_count; i++)
        if (strcmp(told[i].task_id, task_id) == 0)
            return &told[i];
    return NULL;
}

/* Each id that a caller got. */
static void check_task(sim_t *sim, const char *task_id) {
    const told_t *news = told_of(task_id);
    char body[128];
    snprintf(body, sizeof(body), "{\"taskId\":\"%.64s\"}", task_id);
    sim_request_t *question = sim_start(sim, "task-status", body);
    ck_assert_ptr_nonnull(question);
    sim_run(sim, 2000);
    ck_assert_msg(question->status == 0, "seed %" PRIu64 ": the job %s is lost", sim->seed,
                  task_id);
    ck_assert_msg(strcmp(question->task_state, "processing") != 0,
                  "seed %" PRIu64 ": the job %s never ends", sim->seed, task_id);
    const char *why = imagine_request_result(question->request)->message;
    ck_assert_msg(why == NULL || (strstr(why, "s3.test") == NULL && strstr(why, "Denied") == NULL &&
                                  strstr(why, "SlowDown") == NULL),
                  "seed %" PRIu64 ": the bucket failed %s: %s", sim->seed, task_id, why);
    ck_assert_msg(news != NULL, "seed %" PRIu64 ": nobody was told of %s", sim->seed, task_id);
    ck_assert_msg((strcmp(news->status, "completed") == 0) ==
                      (strcmp(question->task_state, "success") == 0),
                  "seed %" PRIu64 ": %s is %s, and was told %s", sim->seed, task_id,
                  question->task_state, news->status);
}

static void run_world(uint64_t seed) {
    sim_store_t *store = sim_store_new();
    sim_t *sim = sim_open(seed);
    char ids[REQUESTS][64];
    size_t id_count = 0;
    told_count = 0;
    sim_chaos(sim);
    bucket_fails = sim_random(sim) % 2 == 0;
    hooks_up_unix_ms = sim->unix_ms + (int64_t)(sim_random(sim) % HOUR_MS);
    sim_store_set_delay(store, sim_random(sim) % 100);
    begin(sim, store);
    for (int i = 0; i < REQUESTS; i++) {
        start_one(sim);
        if (sim_random(sim) % 3 == 0)
            sim_run(sim, sim_random(sim) % 4000);
        if (sim_random(sim) % 12 == 0)
            give_up(sim, &sim->requests[sim_random(sim) % sim->request_count]);
        if (sim_random(sim) % 12 == 0)
            imagine_cancel(sim->requests[sim_random(sim) % sim->request_count].request);
    }
    sim_run(sim, 500 + sim_random(sim) % 30000);
    for (size_t i = 0; i < sim->request_count && id_count < REQUESTS; i++)
        if (sim->requests[i].task_id[0] != '\0' && sim->requests[i].status == 0 &&
            strcmp(sim->requests[i].task_state, "processing") == 0)
            memcpy(ids[id_count++], sim->requests[i].task_id, sizeof(ids[0]));
    for (uint64_t lives = sim_random(sim) % 3; lives > 0; lives--) {
        sim = next_life(sim, store);
        sim_run(sim, sim_random(sim) % (10 * MINUTE_MS));
    }
    sim_run(sim, 6 * HOUR_MS);
    ck_assert_msg(sim->done_count == sim->accepted_count, "seed %" PRIu64 ": %zu of %zu ended",
                  seed, sim->done_count, sim->accepted_count);
    for (size_t i = 0; i < id_count; i++)
        check_task(sim, ids[i]);
    ck_assert(!sim_store_contains(store, "secret") && !sim_store_contains(store, "alpha-1"));
    sim_close(sim);
    sim_store_free(store);
}

static int round_count(void) {
    const char *rounds = getenv("SIM_ROUNDS");
    return rounds != NULL ? (int)strtol(rounds, NULL, 10) : ROUNDS;
}

START_TEST(whatever_bucket_and_receiver_do_no_job_is_lost) {
    int first = _i * ROUNDS_A_TEST;
    hosted_count = 0;
    for (int round = first; round < first + ROUNDS_A_TEST && round < round_count(); round++)
        run_world(sim_seed(round));
    ck_assert_uint_gt(hosted_count, 0);
}
END_TEST

static Suite *hosted_chaos(void) {
    Suite *suite = suite_create("hosted chaos");
    TCase *tcase = tcase_create("hosted chaos");
    tcase_set_timeout(tcase, 600);
    tcase_add_loop_test(tcase, whatever_bucket_and_receiver_do_no_job_is_lost, 0,
                        (round_count() + ROUNDS_A_TEST - 1) / ROUNDS_A_TEST);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(hosted_chaos)
