/* test_crowd.c: one client with its private thread, used by sixteen threads of a host at once: who
 * asks, cancels, waits, lets go and looks around at random is called back exactly once for every
 * request. Runs under ThreadSanitizer too. CROWD_SEED=… repeats the dice of a run. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "imagine.h"
#include "imagine/provider.h"
#include "support/check_main.h"
#include "support/random.h"
#include "support/tcp_server.h"

enum {
    THREADS = 16,
    REQUESTS_EACH = 1000,
    AT_ONCE = 8, /* of one thread */
    WAIT_MS = 60000,
};

static imagine_t *im;
static tcp_server_t *server;
static uint64_t seed;

/* ---- a provider: the prompt is the path
 * ----------------------------------------------------------
 */

static void on_answer(imagine_call_t *call, const imagine_http_response_t *response) {
    imagine_result_t result = {.size = sizeof(result), .url = "https://pictures.test/a.png"};
    (void)response;
    imagine_call_succeed(call, &result);
}

static void generate(imagine_call_t *call) {
    const char *path = imagine_call_params(call)->prompt;
    imagine_result_t result = {.size = sizeof(result), .url = "https://pictures.test/b.png"};
    imagine_call_request_t get = {.size = sizeof(get)};
    if (strcmp(path, "at once") == 0) {
        imagine_call_succeed(call, &result);
        return;
    }
    get.url = imagine_call_url(call, path);
    imagine_call_http(call, &get, on_answer);
}

static const imagine_provider_t provider = {
    .size = sizeof(provider),
    .name = "crowd",
    .catalogue =
        "{\"api_base\": \"http://127.0.0.1\", \"models\": [{\"key\": \"m\", \"name\": \"M\","
        " \"type\": [\"text2image\"]}]}",
    .generate = generate,
};

static void setup(void) {
    const char *wanted = getenv("CROWD_SEED");
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    seed = wanted != NULL ? strtoull(wanted, NULL, 10) : (uint64_t)time(NULL);
    server = tcp_server_open(TCP_SERVER_PLAIN);
    options.allow_private_hosts = "127.0.0.1";
    ck_assert_int_eq(imagine_open(&im, &options), 0);
    ck_assert_int_eq(imagine_register_provider(im, &provider), 0);
    ck_assert_int_eq(imagine_set_api_base(im, "crowd", tcp_server_url(server, "")), 0);
    ck_assert_int_eq(imagine_set_tokens(im, "crowd", "one,two,three"), 0);
}

static void teardown(void) {
    tcp_server_close(server);
}

/* ---- a thread
 * ------------------------------------------------------------------------------------
 */

typedef struct ask {
    imagine_request_t *request;
    atomic_int done_count;
    atomic_int status;
    bool is_cancelled;
    bool is_left; /* nobody waited for it: the close may have ended it */
} ask_t;

typedef struct member {
    pthread_t thread;
    uint64_t dice;
    ask_t asks[REQUESTS_EACH];
    int accepted_count, cancelled_count;
    int mistake; /* the line where this one went wrong: Check's own asserts are for one thread */
} member_t;

#define EXPECT(condition)                         \
    do {                                          \
        if (!(condition) && member->mistake == 0) \
            member->mistake = __LINE__;           \
    } while (0)

static void on_done(int status, const imagine_result_t *result, void *user) {
    ask_t *ask = user;
    (void)result;
    atomic_store(&ask->status, status);
    atomic_fetch_add(&ask->done_count, 1);
}

static void begin(member_t *member, ask_t *ask) {
    static const char *const paths[] = {"at once", "/ok", "/late/3"};
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    int err;
    params.model = "crowd/m";
    params.prompt = paths[random_below(&member->dice, 3)];
    err = imagine_generate(im, &params, on_done, ask, &ask->request);
    EXPECT(err == 0 || err == IMAGINE_ECLOSED);
    EXPECT((err == 0) == (ask->request != NULL));
    member->accepted_count += err == 0;
}

static void cancel(member_t *member, ask_t *ask) {
    if (ask->request == NULL)
        return;
    imagine_cancel(ask->request);
    ask->is_cancelled = true;
    member->cancelled_count++;
}

static void look_around(member_t *member) {
    imagine_counters_t counters = {.size = sizeof(counters)};
    char *models = NULL;
    switch (random_below(&member->dice, 4)) {
    case 0:
        EXPECT(imagine_counters(im, &counters) == 0);
        break;
    case 1:
        models = imagine_models(im, 0);
        EXPECT(models != NULL && strstr(models, "crowd/m") != NULL);
        imagine_free(models);
        break;
    case 2:
        EXPECT(imagine_set_tokens(im, "crowd", "one,two,three") == 0);
        break;
    default:
        EXPECT(imagine_token_reset(im, "crowd") == 0);
    }
}

/* Waits as well, or lets it go on alone. */
static void let_go(member_t *member, ask_t *ask) {
    if (ask->request == NULL)
        return;
    if (random_below(&member->dice, 4) != 0) {
        EXPECT(imagine_wait(ask->request, WAIT_MS) == 0);
        EXPECT(atomic_load(&ask->done_count) == 1);
        EXPECT(imagine_request_result(ask->request) != NULL);
        EXPECT(imagine_request_result(ask->request)->status == atomic_load(&ask->status));
    } else {
        ask->is_left = true;
    }
    imagine_request_release(ask->request);
    ask->request = NULL;
}

/* Begun just now, or some requests ago. */
static ask_t *any_of_the_last(member_t *member, int i) {
    int at = i - (int)random_below(&member->dice, AT_ONCE);
    return &member->asks[at < 0 ? 0 : at < REQUESTS_EACH ? at : REQUESTS_EACH - 1];
}

static void *take_part(void *user) {
    member_t *member = user;
    for (int i = 0; i < REQUESTS_EACH + AT_ONCE; i++) {
        if (i < REQUESTS_EACH)
            begin(member, &member->asks[i]);
        if (random_below(&member->dice, 5) == 0)
            cancel(member, any_of_the_last(member, i));
        if (random_below(&member->dice, 50) == 0)
            look_around(member);
        if (i >= AT_ONCE)
            let_go(member, &member->asks[i - AT_ONCE]);
    }
    return NULL;
}

static member_t members[THREADS];

static void gather(void *(*routine)(void *)) {
    for (int i = 0; i < THREADS; i++) {
        members[i].dice = seed + (uint64_t)i;
        ck_assert_int_eq(pthread_create(&members[i].thread, NULL, routine, &members[i]), 0);
    }
}

static void disperse(void) {
    for (int i = 0; i < THREADS; i++) {
        pthread_join(members[i].thread, NULL);
        ck_assert_msg(members[i].mistake == 0, "line %d, CROWD_SEED=%llu", members[i].mistake,
                      (unsigned long long)seed);
    }
}

START_TEST(every_request_of_every_thread_calls_back_once) {
    int cancelled_count = 0, canceled_results = 0;
    gather(take_part);
    disperse();
    imagine_close(im, NULL, NULL);
    for (int i = 0; i < THREADS; i++) {
        ck_assert_int_eq(members[i].accepted_count, REQUESTS_EACH);
        cancelled_count += members[i].cancelled_count;
        for (int k = 0; k < REQUESTS_EACH; k++) {
            ask_t *ask = &members[i].asks[k];
            int status = atomic_load(&ask->status);
            ck_assert_int_eq(atomic_load(&ask->done_count), 1);
            ck_assert_msg(
                status == 0 || (status == IMAGINE_ECANCELED && (ask->is_cancelled || ask->is_left)),
                "%s, CROWD_SEED=%llu", imagine_err_name(status), (unsigned long long)seed);
            canceled_results += status == IMAGINE_ECANCELED;
        }
    }
    ck_assert_int_gt(cancelled_count, THREADS * REQUESTS_EACH / 10);
    ck_assert_int_gt(canceled_results, 0);
    ck_assert_uint_gt(tcp_server_requests(server), THREADS * REQUESTS_EACH / 4);
}
END_TEST

/* ---- closing while all of them are at it
 * ---------------------------------------------------------
 */

static atomic_int begun_count;

static void *keep_asking(void *user) {
    member_t *member = user;
    for (int i = 0; i < REQUESTS_EACH / 10; i++) {
        begin(member, &member->asks[i]);
        atomic_fetch_add(&begun_count, 1);
    }
    return NULL;
}

/* Closing is the last call of all: it waits for nobody but what is in flight. */
START_TEST(what_is_in_flight_at_the_close_is_called_back_before_it_returns) {
    gather(keep_asking);
    disperse();
    imagine_close(im, NULL, NULL);
    for (int i = 0; i < THREADS; i++)
        for (int k = 0; k < REQUESTS_EACH / 10; k++) {
            ask_t *ask = &members[i].asks[k];
            ck_assert_int_eq(atomic_load(&ask->done_count), 1);
            ck_assert_ptr_nonnull(imagine_request_result(ask->request));
            imagine_request_release(ask->request); /* after the close, as the header allows */
        }
    ck_assert_int_eq(atomic_load(&begun_count), THREADS * REQUESTS_EACH / 10);
}
END_TEST

static Suite *crowd_suite(void) {
    Suite *suite = suite_create("crowd");
    TCase *tcase = tcase_create("crowd");
    tcase_set_timeout(tcase, 240);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, every_request_of_every_thread_calls_back_once);
    tcase_add_test(tcase, what_is_in_flight_at_the_close_is_called_back_before_it_returns);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(crowd_suite)
