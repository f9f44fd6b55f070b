/* test_shared_chaos.c: worlds in which three instances share a storage, and any of them may be
 * stopped for good or for a while, while the provider does what it likes and the storage comes and
 * goes.
 *   - no job is lost: whoever got an id finds out what became of it, from anyone who lives;
 *   - everybody who lives answers the same;
 *   - no work is paid for twice, whoever asked for it;
 *   - in the end nobody holds work that has ended.
 * A failure prints its seed: SIM_SEED=<seed> SIM_ROUNDS=1 repeats that world alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"
#include "support/check_main.h"

#define ROUNDS 200
#define ROUNDS_A_TEST 20 /* a forked test each */
#define INSTANCES 3
#define JOBS 25
#define SETTLED_MS 8000 /* what was to be written has been, once the storage is up */

typedef struct world {
    sim_store_t *store;
    sim_t *sims[INSTANCES];
    bool is_stopped[INSTANCES];
    sim_request_t *jobs[JOBS];
    size_t job_count;
    uint64_t seed, random;
} world_t;

static int round_count(void) {
    const char *rounds = getenv("SIM_ROUNDS");
    return rounds != NULL ? (int)strtol(rounds, NULL, 10) : ROUNDS;
}

static uint64_t dice(world_t *world, uint64_t sides) {
    world->random = world->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (world->random >> 33) % sides;
}

/* Time passes for all that are not stopped, their clocks close together. */
static void run(world_t *world, uint64_t ms, uint64_t step_ms) {
    for (uint64_t at = 0; at < ms; at += step_ms)
        for (size_t i = 0; i < INSTANCES; i++)
            if (!world->is_stopped[i])
                sim_run(world->sims[i], step_ms);
}

static size_t any_living(world_t *world) {
    size_t i = (size_t)dice(world, INSTANCES);
    while (world->is_stopped[i])
        i = (i + 1) % INSTANCES;
    return i;
}

static size_t living_count(const world_t *world) {
    size_t count = 0;
    for (size_t i = 0; i < INSTANCES; i++)
        count += !world->is_stopped[i];
    return count;
}

static void begin_job(world_t *world) {
    static const char *const models[] = {"gitee/z-image-turbo", "modelscope/flux-2",
                                         "modelscope/flux-2", "huggingface/z-image-turbo"};
    sim_t *sim = world->sims[any_living(world)];
    char prompt[32];
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    snprintf(prompt, sizeof(prompt), "prompt-%zu.", world->job_count + 1);
    params.model = models[dice(world, 4)];
    params.prompt = prompt;
    params.is_job = 1;
    params.wait_ms = dice(world, 2) == 0 ? 60000 : 0;
    world->jobs[world->job_count] = sim_start_params(sim, &params);
    world->job_count += world->jobs[world->job_count] != NULL;
}

static sim_request_t *ask(world_t *world, size_t instance, const char *action, const char *id) {
    char body[128];
    sim_request_t *question;
    snprintf(body, sizeof(body), "{\"taskId\":\"%s\"}", id);
    question = sim_start(world->sims[instance], action, body);
    if (question != NULL)
        run(world, 2000, 100);
    return question;
}

static void cancel_one(world_t *world) {
    const sim_request_t *job =
        world->job_count > 0 ? world->jobs[dice(world, world->job_count)] : NULL;
    if (job != NULL && job->task_id[0] != '\0')
        (void)ask(world, any_living(world), "task-cancel", job->task_id);
}

/* A stopped process comes back late; what is said of its clock it sees at once. */
static void stop_or_wake(world_t *world) {
    size_t i = (size_t)dice(world, INSTANCES);
    if (!world->is_stopped[i] && living_count(world) > 1) {
        world->is_stopped[i] = true;
    } else if (world->is_stopped[i]) {
        const sim_t *other = world->sims[any_living(world)];
        world->is_stopped[i] = false;
        world->sims[i]->now_ms = other->now_ms;
        world->sims[i]->unix_ms = other->unix_ms;
    }
}

static void disturb(world_t *world) {
    if (dice(world, 8) == 0)
        cancel_one(world);
    if (dice(world, 10) == 0) {
        sim_store_set_mode(world->store, SIM_STORE_AWAY);
        run(world, dice(world, 15000), 50);
        sim_store_set_mode(world->store, SIM_STORE_UP);
        run(world, SETTLED_MS, 50);
    }
    if (dice(world, 6) == 0) {
        run(world, SETTLED_MS, 50);
        stop_or_wake(world);
    }
}

static void look_at_the_end(world_t *world) {
    for (size_t i = 0; i < world->job_count; i++) {
        const char *id = world->jobs[i]->task_id;
        char state[16] = "";
        if (id[0] == '\0')
            continue;
        for (size_t k = 0; k < INSTANCES; k++) {
            const sim_request_t *question;
            if (world->is_stopped[k])
                continue;
            question = ask(world, k, "task-status", id);
            ck_assert_msg(question != NULL && question->done_count == 1 && question->status == 0,
                          "seed %llu: job %zu is lost", (unsigned long long)world->seed, i + 1);
            ck_assert_msg(strcmp(question->task_state, "processing") != 0,
                          "seed %llu: job %zu never ends", (unsigned long long)world->seed, i + 1);
            ck_assert_msg(state[0] == '\0' || strcmp(state, question->task_state) == 0,
                          "seed %llu: job %zu has two ends", (unsigned long long)world->seed,
                          i + 1);
            snprintf(state, sizeof(state), "%s", question->task_state);
        }
    }
    run(world, 6000, 100);
    ck_assert_msg(!sim_store_has(world->store, "run/"), "seed %llu: work is held that has ended",
                  (unsigned long long)world->seed);
}

static void run_world(uint64_t seed) {
    world_t world = {.store = sim_store_new(), .seed = seed, .random = seed};
    sim_store_share(world.store, dice(&world, 2) == 0);
    sim_store_set_delay(world.store, dice(&world, 100));
    for (size_t i = 0; i < INSTANCES; i++) {
        sim_t *sim = world.sims[i] = sim_open(seed * INSTANCES + i);
        if (i == 0)
            sim_chaos(sim);
        else
            sim_chaos_join(sim, world.sims[0]);
        imagine_set_tokens(sim->im, "gitee", "alpha-1,alpha-2,alpha-3,alpha-4");
        imagine_set_tokens(sim->im, "modelscope", "beta-1,beta-2,beta-3");
        sim_attach_store(sim, world.store);
    }
    run(&world, 500, 10);
    while (world.job_count < JOBS) {
        begin_job(&world);
        run(&world, dice(&world, 4000), 20);
        disturb(&world);
    }
    run(&world, SETTLED_MS, 50);
    for (size_t i = 0; i < INSTANCES; i++) /* some for good */
        if (world.is_stopped[i] && dice(&world, 2) == 0) {
            const sim_t *other = world.sims[any_living(&world)];
            world.is_stopped[i] = false;
            world.sims[i]->now_ms = other->now_ms;
            world.sims[i]->unix_ms = other->unix_ms;
        }
    run(&world, 3 * 60 * 60 * 1000, 500);
    look_at_the_end(&world);
    for (size_t i = 0; i < INSTANCES; i++)
        sim_close(world.sims[i]);
    sim_store_free(world.store);
}

START_TEST(whoever_dies_no_job_is_lost_and_none_is_paid_twice) {
    int first = _i * ROUNDS_A_TEST;
    for (int round = first; round < first + ROUNDS_A_TEST && round < round_count(); round++)
        run_world(sim_seed(round));
}
END_TEST

static Suite *shared_chaos(void) {
    Suite *suite = suite_create("shared chaos");
    TCase *tcase = tcase_create("shared chaos");
    tcase_set_timeout(tcase, 600);
    tcase_add_loop_test(tcase, whoever_dies_no_job_is_lost_and_none_is_paid_twice, 0,
                        (round_count() + ROUNDS_A_TEST - 1) / ROUNDS_A_TEST);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(shared_chaos)
