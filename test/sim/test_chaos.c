/* test_chaos.c: a thousand worlds in which anything may break at any time. What must hold is listed
 * in sim.h. A failure prints its seed: SIM_SEED=<seed> SIM_ROUNDS=1 repeats that world alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"
#include "support/check_main.h"

#define ROUNDS 1000
#define ROUNDS_A_TEST 50 /* a forked test each */
#define REQUESTS 60

static int round_count(void) {
    const char *rounds = getenv("SIM_ROUNDS");
    return rounds != NULL ? (int)strtol(rounds, NULL, 10) : ROUNDS;
}

static void start_one(sim_t *sim) {
    static const char *const models[] = {"gitee/z-image-turbo", "gitee/flux-2", "modelscope/flux-2",
                                         "huggingface/z-image-turbo", "huggingface/qwen-image"};
    static const char *const texts[] = {"gitee/qwen-3", "huggingface/openai-gpt-5-nano"};
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    char body[256];
    uint64_t dice = sim_random(sim) % 10;
    if (dice < 2) {
        snprintf(body, sizeof(body), "{\"model\":\"%s\",\"prompt\":\"prompt-%zu.\"}", texts[dice],
                 sim->request_count + 1);
        sim_start(sim, "text", body);
    } else if (dice == 2) {
        snprintf(body, sizeof(body), "{\"model\":\"gitee/wan2.2-i2v\",\"prompt\":\"prompt-%zu.\"}",
                 sim->request_count + 1);
        sim_start(sim, "video", body);
    } else {
        snprintf(body, sizeof(body), "prompt-%zu.", sim->request_count + 1);
        params.model = models[sim_random(sim) % 5];
        params.prompt = body;
        params.timeout_ms = sim_random(sim) % 4 == 0 ? 1 + (uint32_t)(sim_random(sim) % 20000) : 0;
        params.is_job = sim_random(sim) % 5 == 0;
        params.job_wait_ms = sim_random(sim) % 2 == 0 ? (uint32_t)(sim_random(sim) % 30000) : 0;
        params.wait_ms = sim_random(sim) % 2 == 0 ? (uint32_t)(sim_random(sim) % 60000) : 0;
        sim_start_params(sim, &params);
    }
}

static void give_up(sim_t *sim, const sim_request_t *request) {
    char body[128];
    snprintf(body, sizeof(body), "{\"taskId\":\"%s\"}", request->task_id);
    if (request->task_id[0] != '\0')
        sim_start(sim, "task-cancel", body);
}

/* No job is lost: whoever got an id finds out what became of it. */
static void every_task_has_ended(sim_t *sim) {
    size_t count = sim->request_count;
    for (size_t i = 0; i < count && sim->request_count < SIM_REQUESTS_MAX; i++) {
        char body[128];
        if (sim->requests[i].task_id[0] == '\0')
            continue;
        snprintf(body, sizeof(body), "{\"taskId\":\"%s\"}", sim->requests[i].task_id);
        sim_request_t *question = sim_start(sim, "task-status", body);
        if (question == NULL)
            continue;
        sim_run(sim, 2000);
        ck_assert_str_ne(question->task_state, "processing");
        /* The clock's jumps may have taken it over its 24 hours. */
        ck_assert(question->status == 0 || question->status == IMAGINE_ENOTFOUND);
    }
}

static void run_world(uint64_t seed) {
    sim_store_t *store = sim_store_new();
    sim_t *sim = sim_open(seed);
    sim_chaos(sim);
    imagine_set_tokens(sim->im, "gitee", "alpha-1,alpha-2,alpha-3,alpha-4");
    imagine_set_tokens(sim->im, "modelscope", "beta-1,beta-2@x,beta-3@x");
    if (sim_random(sim) % 2 == 0)
        imagine_set_tokens(sim->im, "huggingface", "gamma-1,gamma-2");
    if (sim_random(sim) % 3 != 0) {
        sim_store_set_mode(store, (sim_store_mode_t)(sim_random(sim) % 3));
        sim_store_set_delay(store, sim_random(sim) % 400);
        sim_attach_store(sim, store);
    }
    for (int i = 0; i < REQUESTS; i++) {
        start_one(sim);
        if (sim_random(sim) % 3 == 0)
            sim_run(sim, sim_random(sim) % 5000);
        if (sim_random(sim) % 6 == 0 && sim->request_count > 0)
            imagine_cancel(sim->requests[sim_random(sim) % sim->request_count].request);
        if (sim_random(sim) % 25 == 0 && sim->request_count > 0)
            give_up(sim, &sim->requests[sim_random(sim) % sim->request_count]);
        if (sim_random(sim) % 40 == 0)
            sim_store_set_mode(store, (sim_store_mode_t)(sim_random(sim) % 3));
        if (sim_random(sim) % 60 == 0) /* a jump forward; backward, quota days would come twice */
            sim_set_unix_ms(sim, sim->unix_ms + (int64_t)(sim_random(sim) % (9 * 60 * 60 * 1000)));
    }
    if (sim_random(sim) % 4 != 0) {
        sim_run(sim, 10 * 60 * 1000);
        ck_assert_msg(sim->done_count == sim->accepted_count, "seed %llu: %zu of %zu ended",
                      (unsigned long long)seed, sim->done_count, sim->accepted_count);
        sim_run(sim, 3 * 60 * 60 * 1000);
        every_task_has_ended(sim);
    }
    sim_close(sim);
    sim_store_free(store);
}

START_TEST(whatever_breaks_the_promises_hold) {
    int first = _i * ROUNDS_A_TEST;
    for (int round = first; round < first + ROUNDS_A_TEST && round < round_count(); round++)
        run_world(sim_seed(round));
}
END_TEST

static Suite *chaos(void) {
    Suite *suite = suite_create("chaos");
    TCase *tcase = tcase_create("chaos");
    tcase_set_timeout(tcase, 600);
    tcase_add_loop_test(tcase, whatever_breaks_the_promises_hold, 0,
                        (round_count() + ROUNDS_A_TEST - 1) / ROUNDS_A_TEST);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(chaos)
