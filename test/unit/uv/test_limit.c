/* test_limit.c: which limit ends an exchange, and when, in every phase. */
#include "uv/limit.h"

#include "support/check_main.h"

enum { STARTED = 1000, CONNECTED = 1500, ACTIVE = 1800 };

static const struct {
    const char *name;
    imi_phase_t phase;
    uint32_t connect_ms, first_byte_ms, stall_ms, all_ms;
    bool is_paused;
    uint64_t due_at_ms;
    const char *text;
} limit_cases[] = {
    {"no limit at all", IMI_CONNECTING, 0, 0, 0, 0, false, UINT64_MAX, "no limit of 0 ms"},
    {"connecting", IMI_CONNECTING, 700, 1, 1, 9000, false, 1700, "no connection within 700 ms"},
    {"connected", IMI_WAITING, 700, 0, 0, 0, false, UINT64_MAX, "no limit of 0 ms"},
    {"all of it, first", IMI_CONNECTING, 700, 1, 1, 600, false, 1600, "not done within 600 ms"},
    {"waiting", IMI_WAITING, 1, 400, 1, 9000, false, 1900, "no answer within 400 ms"},
    {"waiting without a limit", IMI_WAITING, 1, 0, 1, 9000, false, 10000,
     "not done within 9000 ms"},
    {"sending stalls", IMI_SENDING, 1, 400, 50, 0, false, 1850,
     "silence for 50 ms inside the request's body"},
    {"sending for too long", IMI_SENDING, 1, 400, 5000, 0, false, 1900, "no answer within 400 ms"},
    {"receiving stalls", IMI_RECEIVING, 1, 1, 50, 9000, false, 1850,
     "silence for 50 ms inside the answer"},
    {"receiving, paused", IMI_RECEIVING, 1, 1, 50, 9000, true, 10000, "not done within 9000 ms"},
    {"the longest span", IMI_RECEIVING, 0, 0, UINT32_MAX, 0, false, 1800 + (uint64_t)UINT32_MAX,
     "silence for 4294967295 ms inside the answer"},
};

START_TEST(the_tightest_limit_of_the_phase_counts) { /* _i walks limit_cases */
    imi_limits_t limits = {.started_at_ms = STARTED,
                           .connected_at_ms = CONNECTED,
                           .active_at_ms = ACTIVE,
                           .connect_timeout_ms = limit_cases[_i].connect_ms,
                           .first_byte_timeout_ms = limit_cases[_i].first_byte_ms,
                           .stall_timeout_ms = limit_cases[_i].stall_ms,
                           .timeout_ms = limit_cases[_i].all_ms,
                           .phase = limit_cases[_i].phase,
                           .is_paused = limit_cases[_i].is_paused};
    char text[96];
    ck_assert_msg(imi_limits_due_at_ms(&limits) == limit_cases[_i].due_at_ms, "%s: %llu",
                  limit_cases[_i].name, (unsigned long long)imi_limits_due_at_ms(&limits));
    imi_limits_explain(&limits, text, sizeof(text));
    ck_assert_str_eq(text, limit_cases[_i].text);
}
END_TEST

static Suite *uv_limit_suite(void) {
    Suite *suite = suite_create("uv/limit");
    TCase *tests = tcase_create("limits");
    tcase_add_loop_test(tests, the_tightest_limit_of_the_phase_counts, 0,
                        sizeof(limit_cases) / sizeof(limit_cases[0]));
    suite_add_tcase(suite, tests);
    return suite;
}

IMI_CHECK_MAIN(uv_limit_suite)
