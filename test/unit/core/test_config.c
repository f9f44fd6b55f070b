/* test_config.c: settings applied to a client that is open, and to several that work together. */
#include "imagine.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <uv.h>

#include "imagine/io.h"
#include "imagine/provider.h"
#include "imagine/storage.h"

#include "../../support/check_main.h"
#include "../../support/tcp_server.h"
#include "../../support/virtual_io.h"

/* Applies CA_FILE; the error, and the message to free with imagine_free(). */
static int apply_ca_file(imagine_t *im, const char *file, char **out_message) {
    imagine_settings_t *settings = NULL;
    int err;
    ck_assert_int_eq(imagine_settings_open(&settings), 0);
    ck_assert_int_eq(imagine_settings_set(settings, "CA_FILE", file), 0);
    err = imagine_configure(im, settings, out_message);
    imagine_settings_close(settings);
    return err;
}

START_TEST(certificates_to_trust_are_taken_from_a_file_that_has_some) {
    static const char *const files[] = {"/nowhere/ca.pem", "/", "/dev/null"};
    imagine_t *im = NULL;
    char *message = NULL;
    ck_assert_int_eq(imagine_open(&im, NULL), 0);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        ck_assert_int_eq(apply_ca_file(im, files[i], &message), IMAGINE_EINVAL);
        ck_assert_str_eq(message, "CA_FILE: no PEM file of certificates");
        imagine_free(message);
    }
    ck_assert_int_eq(apply_ca_file(im, tcp_server_certificate_file(), &message), 0);
    ck_assert_ptr_null(message);
    imagine_close(im, NULL, NULL);
}
END_TEST

static void on_closed(void *user) {
    *(bool *)user = true;
}

START_TEST(a_hosts_own_io_decides_by_itself_whom_to_trust) {
    virtual_io_t *world = virtual_io_open();
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    imagine_t *im = NULL;
    char *message = NULL;
    bool is_closed = false;
    options.io = virtual_io_table(world);
    ck_assert_int_eq(imagine_open(&im, &options), 0);
    ck_assert_int_eq(apply_ca_file(im, tcp_server_certificate_file(), &message), IMAGINE_ENOTSUP);
    ck_assert_str_eq(message, "CA_FILE: the host's own io decides whom to trust");
    imagine_free(message);
    ck_assert_int_eq(apply_ca_file(im, NULL, &message), 0);
    imagine_close(im, on_closed, &is_closed);
    while (!is_closed && virtual_io_step(world))
        continue;
    ck_assert(is_closed);
    virtual_io_close(world);
}
END_TEST

/* ---- several clients ---------------------------------------------------------------------------
 */

/* Of "NAME=value;NAME=value". */
static imagine_settings_t *settings_of(const char *text) {
    imagine_settings_t *settings = NULL;
    char *copy = strdup(text), *rest = copy, *pair;
    ck_assert_ptr_nonnull(copy);
    ck_assert_int_eq(imagine_settings_open(&settings), 0);
    while ((pair = strsep(&rest, ";")) != NULL) {
        char *value = strchr(pair, '=');
        if (value == NULL)
            continue;
        *value = '\0';
        ck_assert_int_eq(imagine_settings_set(settings, pair, value + 1), 0);
    }
    free(copy);
    return settings;
}

#define CREW_SIZE 3
typedef struct member {
    uv_loop_t loop;
    uv_thread_t thread;
    imagine_t *im;
    /* Its thread's alone, until that is joined. */
    size_t asked_count, ended_count, fault_count;
    bool is_closed;
    char task_state[16];
} member_t;

static member_t crew[CREW_SIZE];

static void crew_open(void) {
    for (size_t i = 0; i < CREW_SIZE; i++) {
        imagine_options_t options = IMAGINE_OPTIONS_INIT;
        crew[i] = (member_t){0};
        ck_assert_int_eq(uv_loop_init(&crew[i].loop), 0);
        options.loop = &crew[i].loop;
        ck_assert_int_eq(imagine_open(&crew[i].im, &options), 0);
    }
}

static int crew_configure(const char *text, char **out_message) {
    imagine_t *ims[CREW_SIZE];
    imagine_settings_t *settings = settings_of(text);
    for (size_t i = 0; i < CREW_SIZE; i++)
        ims[i] = crew[i].im;
    int err = imagine_configure_all(ims, CREW_SIZE, settings, out_message);
    imagine_settings_close(settings);
    return err;
}

static void member_close(member_t *member) {
    imagine_close(member->im, on_closed, &member->is_closed);
    uv_run(&member->loop, UV_RUN_DEFAULT);
    member->fault_count += !member->is_closed || uv_loop_close(&member->loop) != 0;
}

static void crew_close(void) {
    for (size_t i = 0; i < CREW_SIZE; i++)
        member_close(&crew[i]);
    for (size_t i = 0; i < CREW_SIZE; i++)
        ck_assert_uint_eq(crew[i].fault_count, 0);
}

static void on_got(int status, const void *value, size_t value_size, void *user) {
    ck_assert_int_eq(status, 0);
    ck_assert_uint_eq(value_size, 3);
    ck_assert_mem_eq(value, "yes", 3);
    *(bool *)user = true;
}

static void on_set(int status, void *user) {
    ck_assert_int_eq(status, 0);
    *(bool *)user = true;
}

START_TEST(several_share_what_one_alone_would_not_even_keep) {
    const imagine_storage_driver_t *drivers[CREW_SIZE];
    void *selves[CREW_SIZE];
    bool is_set = false, is_got = false;
    crew_open();
    ck_assert_int_eq(crew_configure("STATE_FILE=:memory:", NULL), 0);
    for (size_t i = 0; i < CREW_SIZE; i++) {
        drivers[i] = imagine_client_storage(crew[i].im, &selves[i]);
        ck_assert_ptr_nonnull(drivers[i]);
        ck_assert_str_eq(drivers[i]->name, "memory");
        ck_assert_uint_ne(drivers[i]->flags & IMAGINE_STORAGE_IS_SHARED, 0);
    }
    ck_assert_int_eq(drivers[0]->set(selves[0], "test/a", "yes", 3, 0, on_set, &is_set), 0);
    while (!is_set)
        uv_run(&crew[0].loop, UV_RUN_ONCE);
    ck_assert_int_eq(drivers[2]->get(selves[2], "test/a", on_got, &is_got), 0);
    while (!is_got)
        uv_run(&crew[2].loop, UV_RUN_ONCE);
    crew_close();
}
END_TEST

START_TEST(one_alone_keeps_nothing_and_starts_no_thread) {
    imagine_settings_t *settings = settings_of("STATE_FILE=:memory:");
    void *self;
    crew_open();
    ck_assert_int_eq(imagine_configure_all(&crew[0].im, 1, settings, NULL), 0);
    ck_assert_ptr_null(imagine_client_storage(crew[0].im, &self));
    imagine_settings_close(settings);
    crew_close();
}
END_TEST

static const struct {
    const char *settings;
    int err;
    const char *message;
} refusals[] = {
    {"STATE_FILE=/dev/null/state.db", IMAGINE_EIO, "STATE_FILE: /dev/null/state.db: "},
    {"REDIS_URL=ftp://127.0.0.1", IMAGINE_ENOTSUP, "REDIS_URL: "},
    {"CF_ACCOUNT_ID=a;CF_KV_NAMESPACE_ID=n;CF_API_TOKEN=t", IMAGINE_ENOTSUP,
     "CF_ACCOUNT_ID: several clients cannot share this storage: set WORKERS to 1"},
    {"CATALOGUE=/nowhere/catalogue.json", IMAGINE_EIO, "CATALOGUE: "},
    {"CA_FILE=/nowhere/ca.pem", IMAGINE_EINVAL, "CA_FILE: no PEM file of certificates"},
};

START_TEST(what_is_wrong_for_several_is_told_once_and_leaves_nothing) { /* _i walks refusals */
    char *message = NULL;
    crew_open();
    int err = crew_configure(refusals[_i].settings, &message);
    ck_assert_msg(err == refusals[_i].err && message != NULL &&
                      strncmp(message, refusals[_i].message, strlen(refusals[_i].message)) == 0,
                  "%s: %d %s", refusals[_i].settings, err, message != NULL ? message : "(null)");
    imagine_free(message);
    crew_close();
}
END_TEST

START_TEST(calls_that_make_no_sense_are_refused) {
    imagine_t *ims[IMAGINE_STORAGE_SHARES_MAX + 1] = {NULL};
    imagine_settings_t *settings = settings_of("STATE_FILE=:memory:");
    char *message = (char *)ims;
    crew_open();
    ims[0] = crew[0].im;
    ck_assert_int_eq(imagine_configure_all(NULL, 1, settings, NULL), IMAGINE_EINVAL);
    ck_assert_int_eq(imagine_configure_all(ims, 0, settings, NULL), IMAGINE_EINVAL);
    ck_assert_int_eq(imagine_configure_all(ims, 1, NULL, NULL), IMAGINE_EINVAL);
    ck_assert_int_eq(imagine_configure_all(ims, 2, settings, &message), IMAGINE_EINVAL);
    ck_assert_ptr_null(message);
    for (size_t i = 0; i <= IMAGINE_STORAGE_SHARES_MAX; i++)
        ims[i] = crew[0].im;
    ck_assert_int_eq(imagine_configure_all(ims, IMAGINE_STORAGE_SHARES_MAX + 1, settings, NULL),
                     IMAGINE_EINVAL);
    imagine_settings_close(settings);
    crew_close();
}
END_TEST

START_TEST(clients_without_a_loop_cannot_share) {
    virtual_io_t *world = virtual_io_open();
    imagine_settings_t *settings = settings_of("STATE_FILE=:memory:");
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    imagine_t *ims[2];
    char *message = NULL;
    bool are_closed[2] = {false, false};
    options.io = virtual_io_table(world);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(imagine_open(&ims[i], &options), 0);
    ck_assert_int_eq(imagine_configure_all(ims, 2, settings, &message), IMAGINE_ENOTSUP);
    ck_assert_str_eq(message,
                     "STATE_FILE: several clients cannot share this storage: set WORKERS to 1");
    imagine_free(message);
    imagine_settings_close(settings);
    for (int i = 0; i < 2; i++)
        imagine_close(ims[i], on_closed, &are_closed[i]);
    while (!(are_closed[0] && are_closed[1]) && virtual_io_step(world))
        continue;
    ck_assert(are_closed[0] && are_closed[1]);
    virtual_io_close(world);
}
END_TEST

/* ---- several clients, each on a thread of its own ----------------------------------------------
 */

#define ROUNDS 30 /* requests of each client, before all know what one has learned and after */
#define AT_ONCE 5 /* of these */
#define WAIT_MS 10000

static atomic_size_t spent_count; /* calls with the token that has no quota any more */
static size_t spent_count_then;
static uv_barrier_t all_here;
static char video_id[64];

static void crew_succeed(imagine_call_t *call) {
    imagine_result_t result = {.size = sizeof(result), .url = "https://cdn.test/1.png"};
    imagine_call_succeed(call, &result);
}

static void crew_generate(imagine_call_t *call) {
    if (strcmp(imagine_call_token(call), "spent") == 0) {
        atomic_fetch_add(&spent_count, 1);
        imagine_call_fail(call, IMAGINE_EQUOTA, "no quota is left");
    } else {
        imagine_call_sleep(call, 1, crew_succeed);
    }
}

static void crew_video(imagine_call_t *call) {
    imagine_call_task(call, "upstream/1", 1);
    imagine_call_sleep(call, 100, crew_succeed);
}

static const imagine_provider_t crew_provider = {
    .size = sizeof(crew_provider),
    .name = "crew",
    .catalogue = "{\"api_base\":\"https://api.test\",\"models\":["
                 "{\"key\":\"one\",\"name\":\"One\",\"type\":[\"text2image\",\"text2video\"]}]}",
    .generate = crew_generate,
    .video = crew_video,
};

static void on_ended(int status, const imagine_result_t *result, void *user) {
    member_t *member = user;
    member->ended_count++;
    member->fault_count += status != 0;
    if (result->task_state != NULL)
        (void)snprintf(member->task_state, sizeof(member->task_state), "%s", result->task_state);
    if (result->task_id != NULL && member == &crew[0] && video_id[0] == '\0')
        (void)snprintf(video_id, sizeof(video_id), "%s", result->task_id);
}

static void on_pause(uv_timer_t *timer) {
    (void)timer;
}

/* Turns the loop for a millisecond at most. */
static void member_turn(member_t *member) {
    uv_timer_t timer;
    uv_timer_init(&member->loop, &timer);
    uv_timer_start(&timer, on_pause, 1, 0);
    uv_run(&member->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&member->loop, UV_RUN_NOWAIT); /* it is on our stack */
}

static void member_wait(member_t *member, size_t left_count) {
    for (int i = 0; i < WAIT_MS && member->asked_count - member->ended_count > left_count; i++)
        member_turn(member);
    member->fault_count += member->asked_count - member->ended_count > left_count;
}

static void member_ask(member_t *member, bool is_video) {
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    params.model = "crew/one";
    params.prompt = "a cat";
    params.timeout_ms = WAIT_MS;
    int err = is_video ? imagine_video(member->im, &params, on_ended, member, NULL)
                       : imagine_generate(member->im, &params, on_ended, member, NULL);
    member->fault_count += err != 0;
    member->asked_count += err == 0;
}

static void member_ask_often(member_t *member) {
    for (int i = 0; i < ROUNDS; i++) {
        member_ask(member, false);
        member_wait(member, AT_ONCE - 1);
    }
    member_wait(member, 0);
}

static bool knows_the_spent_one(const member_t *member) {
    imagine_token_stats_t stats = {.size = sizeof(stats)};
    return imagine_token_stats(member->im, "crew", &stats) == 0 && stats.exhausted == 1;
}

static void watch_the_video(member_t *member) {
    for (int i = 0; i < WAIT_MS && strcmp(member->task_state, "success") != 0; i++) {
        int err = imagine_task_status(member->im, video_id, on_ended, member, NULL);
        member->fault_count += err != 0;
        member->asked_count += err == 0;
        member_wait(member, 0);
        member_turn(member);
    }
    member->fault_count += strcmp(member->task_state, "success") != 0;
}

static void member_live(void *user) {
    member_t *member = user;
    member_ask_often(member);
    for (int i = 0; i < WAIT_MS && !knows_the_spent_one(member); i++)
        member_turn(member);
    member->fault_count += !knows_the_spent_one(member);
    if (member == &crew[0]) {
        member_ask(member, true);
        member_wait(member, 0);
    }
    if (uv_barrier_wait(&all_here) > 0)
        spent_count_then = atomic_load(&spent_count);
    uv_barrier_wait(&all_here);
    member_ask_often(member);
    watch_the_video(member);
    member_close(member);
}

START_TEST(clients_on_threads_know_what_each_of_them_learns) { /* _i: where they keep it */
    static const char *const places[] = {":memory:", "/tmp/imagine-config-XXXXXX"};
    char file[64], text[128];
    (void)snprintf(file, sizeof(file), "%s", places[_i]);
    if (_i == 1)
        ck_assert_int_ge(close(mkstemp(file)), 0);
    (void)snprintf(text, sizeof(text), "STATE_FILE=%s", file);
    atomic_store(&spent_count, 0);
    video_id[0] = '\0';
    crew_open();
    for (size_t i = 0; i < CREW_SIZE; i++) {
        ck_assert_int_eq(imagine_register_provider(crew[i].im, &crew_provider), 0);
        ck_assert_int_eq(imagine_set_tokens(crew[i].im, "crew", "spent,fresh"), 0);
    }
    ck_assert_int_eq(crew_configure(text, NULL), 0);
    ck_assert_int_eq(uv_barrier_init(&all_here, CREW_SIZE), 0);
    for (size_t i = 0; i < CREW_SIZE; i++)
        ck_assert_int_eq(uv_thread_create(&crew[i].thread, member_live, &crew[i]), 0);
    for (size_t i = 0; i < CREW_SIZE; i++) {
        ck_assert_int_eq(uv_thread_join(&crew[i].thread), 0);
        ck_assert_uint_eq(crew[i].fault_count, 0);
        ck_assert_uint_eq(crew[i].ended_count, crew[i].asked_count);
    }
    uv_barrier_destroy(&all_here);
    ck_assert_uint_gt(spent_count_then, 0);
    ck_assert_uint_le(spent_count_then, CREW_SIZE * AT_ONCE); /* nobody asked it twice */
    ck_assert_uint_eq(atomic_load(&spent_count), spent_count_then);
    if (_i == 1)
        ck_assert_int_eq(remove(file), 0);
}
END_TEST

static Suite *config_suite(void) {
    Suite *suite = suite_create("config");
    TCase *tcase = tcase_create("certificates");
    tcase_add_test(tcase, certificates_to_trust_are_taken_from_a_file_that_has_some);
    tcase_add_test(tcase, a_hosts_own_io_decides_by_itself_whom_to_trust);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("several");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, several_share_what_one_alone_would_not_even_keep);
    tcase_add_test(tcase, one_alone_keeps_nothing_and_starts_no_thread);
    tcase_add_loop_test(tcase, what_is_wrong_for_several_is_told_once_and_leaves_nothing, 0,
                        sizeof(refusals) / sizeof(refusals[0]));
    tcase_add_test(tcase, calls_that_make_no_sense_are_refused);
    tcase_add_test(tcase, clients_without_a_loop_cannot_share);
    tcase_add_loop_test(tcase, clients_on_threads_know_what_each_of_them_learns, 0, 2);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(config_suite)
