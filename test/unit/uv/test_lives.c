/* test_lives.c: a client that is opened, used and closed a thousand times leaves nothing behind:
 * memory, threads, descriptors; whichever loop it runs on, and
 * whoever gives it memory. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
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

/* ---- memory
 * --------------------------------------------------------------------------------------
 */

typedef struct owner {
    atomic_size_t live_count, total_count;
    atomic_int strangers; /* blocks that another one had given */
} owner_t;

typedef struct head {
    _Alignas(max_align_t) owner_t *owner;
} head_t;

static void *resize_owned(void *user, void *pointer, size_t size) {
    owner_t *owner = user;
    head_t *old = pointer != NULL ? (head_t *)pointer - 1 : NULL, *block;
    if (old != NULL && old->owner != owner)
        atomic_fetch_add(&owner->strangers, 1);
    if (size == 0) {
        atomic_fetch_sub(&owner->live_count, old != NULL);
        free(old);
        return NULL;
    }
    block = realloc(old, sizeof(*block) + size);
    if (block == NULL)
        return NULL;
    block->owner = owner;
    atomic_fetch_add(&owner->live_count, old == NULL);
    atomic_fetch_add(&owner->total_count, 1);
    return block + 1;
}

START_TEST(two_clients_keep_their_memory_apart) {
    static owner_t owners[2];
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    imagine_t *ims[2] = {NULL};
    imagine_request_t *requests[2][8];
    params.model = "sample/waves";
    params.prompt = "a cat";
    params.width = params.height = 64;
    for (int i = 0; i < 2; i++) {
        imagine_options_t options = IMAGINE_OPTIONS_INIT;
        imagine_allocator_t allocator = {resize_owned, &owners[i]};
        options.allocator = &allocator;
        ck_assert_int_eq(imagine_open(&ims[i], &options), 0);
        ck_assert_int_eq(imagine_set_tokens(ims[i], "gitee", "one,two"), 0);
        ck_assert_int_eq(imagine_set_tokens(ims[i], "gitee", ""), 0);
    }
    for (int k = 0; k < 16; k++)
        ck_assert_int_eq(imagine_generate(ims[k % 2], &params, NULL, NULL, &requests[k % 2][k / 2]),
                         0);
    for (int k = 0; k < 16; k++) {
        ck_assert_int_eq(imagine_wait(requests[k % 2][k / 2], WAIT_MS), 0);
        ck_assert_int_eq(imagine_request_result(requests[k % 2][k / 2])->status, 0);
    }
    for (int i = 0; i < 2; i++) { /* one is released before, one after the end of its client */
        for (int k = 0; k < 8 && i == 0; k++)
            imagine_request_release(requests[i][k]);
        imagine_close(ims[i], NULL, NULL);
        for (int k = 0; k < 8 && i == 1; k++)
            imagine_request_release(requests[i][k]);
        ck_assert_int_eq(owners[i].strangers, 0);
        ck_assert_uint_eq(owners[i].live_count, 0);
        ck_assert_uint_gt(owners[i].total_count, 8);
    }
}
END_TEST

static Suite *lives_suite(void) {
    Suite *suite = suite_create("lives");
    TCase *tcase = tcase_create("lives");
    tcase_set_timeout(tcase, 300);
    tcase_add_loop_test(tcase, a_thousand_lives_leave_nothing, 0, PLACE_COUNT);
    tcase_add_test(tcase, two_clients_keep_their_memory_apart);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(lives_suite)
