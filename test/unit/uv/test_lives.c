/* test_lives.c: a client that is opened, used and closed a thousand times leaves nothing behind:
 * memory, threads, descriptors; whichever loop it runs on. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "imagine.h"
#include "support/check_main.h"
#include "support/descriptors.h"

/* A sanitizer keeps freed memory back, and has its own way of finding leaks. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CAN_MEASURE_MEMORY 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CAN_MEASURE_MEMORY 0
#endif
#endif
#ifndef CAN_MEASURE_MEMORY
#define CAN_MEASURE_MEMORY 1
#endif

enum {
    LIVES = CAN_MEASURE_MEMORY ? 1000 : 300,
    WARM_LIVES = 100, /* before anything is counted: allocators and libraries settle */
    USED_EACH = 20,   /* every so many lives a picture is made */
    GROWTH_MAX_KIB = 768,
    WAIT_MS = 30000,
};

/* A line of /proc/self/status, as "VmRSS:". */
static long status_of(const char *name) {
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    long value = -1;
    ck_assert_ptr_nonnull(file);
    while (value < 0 && fgets(line, sizeof(line), file) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            ck_assert_int_eq(sscanf(line + strlen(name), "%ld", &value), 1);
    fclose(file);
    ck_assert_int_ge(value, 0);
    return value;
}

typedef enum place { PRIVATE_THREAD, HOST_LOOP, MANUAL, PLACE_COUNT } place_t;

static void count(void *user) {
    ++*(int *)user;
}

static int ended_count;

static void on_done(int status, const imagine_result_t *result, void *user) {
    (void)user;
    ck_assert_msg(status == 0, "%s", result->message);
    ended_count++;
}

static void live(place_t place, uv_loop_t *loop, bool is_used) {
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    imagine_request_t *request = NULL;
    imagine_t *im = NULL;
    int closed_count = 0;
    options.loop = place == HOST_LOOP ? loop : NULL;
    options.is_manual = place == MANUAL;
    ck_assert_int_eq(imagine_open(&im, &options), 0);
    params.model = "sample/waves";
    params.prompt = "a cat";
    params.width = params.height = 64;
    ended_count = 0;
    if (is_used) {
        ck_assert_int_eq(imagine_generate(im, &params, on_done, NULL, &request), 0);
        if (place != HOST_LOOP)
            ck_assert_int_eq(imagine_wait(request, WAIT_MS), 0);
        while (place == HOST_LOOP && ended_count == 0)
            uv_run(loop, UV_RUN_ONCE);
        ck_assert_int_eq(ended_count, 1);
        imagine_request_release(request);
    }
    imagine_close(im, place == HOST_LOOP ? count : NULL, &closed_count);
    if (place == HOST_LOOP)
        uv_run(loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(closed_count, place == HOST_LOOP);
}

START_TEST(a_thousand_lives_leave_nothing) { /* _i is the place */
    uv_loop_t loop;
    long rss_kib = 0, threads = 0;
    size_t descriptors = 0;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    for (int i = 0; i < LIVES; i++) {
        if (i == WARM_LIVES) {
            rss_kib = status_of("VmRSS:");
            threads = status_of("Threads:");
            descriptors = descriptors_count();
        }
        live((place_t)_i, &loop, i % USED_EACH == 0);
    }
    ck_assert_int_eq(status_of("Threads:"), threads);
    descriptors_expect(descriptors);
    if (CAN_MEASURE_MEMORY)
        ck_assert_int_lt(status_of("VmRSS:") - rss_kib, GROWTH_MAX_KIB);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}
END_TEST

static Suite *lives_suite(void) {
    Suite *suite = suite_create("lives");
    TCase *tcase = tcase_create("lives");
    tcase_set_timeout(tcase, 300);
    tcase_add_loop_test(tcase, a_thousand_lives_leave_nothing, 0, PLACE_COUNT);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(lives_suite)
