/* test_limit.c: fixed windows of a minute for each caller. */
#include "gateway/limit.h"

#include <stdio.h>

#include "../../support/check_main.h"
#include "../../support/failing_mem.h"

static const uint64_t seed[2] = {1, 2};

typedef struct answer {
    bool is_there;
    imi_limit_verdict_t verdict;
} answer_t;

static void on_decided(const imi_limit_verdict_t *verdict, void *user) {
    answer_t *answer = user;
    answer->is_there = verdict != NULL;
    if (verdict != NULL)
        answer->verdict = *verdict;
}

static answer_t ask(imi_limit_t *limit, imi_limit_kind_t kind, const char *peer, uint64_t now_ms) {
    answer_t answer = {0};
    imi_caller_t caller;
    imi_caller_find(&caller, NULL, peer, NULL, 0, false);
    imi_limit_count(limit, kind, &caller, now_ms, (int64_t)now_ms + 1000000, on_decided, &answer);
    return answer;
}

START_TEST(the_limit_is_reached_and_a_new_minute_begins) {
    imi_limit_t limit;
    answer_t answer;
    imi_limit_init(&limit, NULL, seed, 3, 0);
    for (uint32_t i = 0; i < 3; i++) {
        answer = ask(&limit, IMI_LIMIT_POST, "192.0.2.1", 5000 + i);
        ck_assert(!answer.verdict.is_over);
        ck_assert_uint_eq(answer.verdict.limit, 3);
        ck_assert_uint_eq(answer.verdict.remaining, 2 - i);
        ck_assert_int_eq(answer.verdict.reset_unix_ms, 1000000 + 5000 + 60000);
    }
    answer = ask(&limit, IMI_LIMIT_POST, "192.0.2.1", 64999);
    ck_assert(answer.verdict.is_over);
    ck_assert_uint_eq(answer.verdict.remaining, 0);
    ck_assert_uint_eq(answer.verdict.reset_ms, 1);
    answer = ask(&limit, IMI_LIMIT_POST, "192.0.2.1", 65000);
    ck_assert(!answer.verdict.is_over);
    ck_assert_uint_eq(answer.verdict.remaining, 2);
    ck_assert_int_eq(answer.verdict.reset_unix_ms, 1000000 + 65000 + 60000);
    imi_limit_reset(&limit);
}
END_TEST

START_TEST(callers_and_kinds_count_apart) {
    imi_limit_t limit;
    imi_limit_init(&limit, NULL, seed, 1, 2);
    ck_assert(!ask(&limit, IMI_LIMIT_POST, "192.0.2.1", 1).verdict.is_over);
    ck_assert(ask(&limit, IMI_LIMIT_POST, "192.0.2.1", 2).verdict.is_over);
    ck_assert(!ask(&limit, IMI_LIMIT_POST, "192.0.2.2", 3).verdict.is_over);
    ck_assert_uint_eq(ask(&limit, IMI_LIMIT_STATUS, "192.0.2.1", 4).verdict.remaining, 1);
    imi_limit_reset(&limit);
}
END_TEST

START_TEST(zero_is_no_limit) {
    imi_limit_t limit;
    imi_limit_init(&limit, NULL, seed, 0, 1);
    for (int i = 0; i < 100; i++)
        ck_assert(!ask(&limit, IMI_LIMIT_POST, "192.0.2.1", 1).is_there);
    ck_assert(!ask(&limit, IMI_LIMIT_NONE, "192.0.2.1", 1).is_there);
    ck_assert(ask(&limit, IMI_LIMIT_STATUS, "192.0.2.1", 1).is_there);
    imi_limit_reset(&limit);
}
END_TEST

static void peer_name(char out[32], unsigned number) {
    (void)snprintf(out, 32, "10.%u.%u.%u", number >> 16 & 255, number >> 8 & 255, number & 255);
}

START_TEST(the_table_is_bounded_and_the_oldest_leave_first) {
    imi_limit_t limit;
    char peer[32];
    imi_limit_init(&limit, NULL, seed, 1, 0);
    for (unsigned i = 0; i < IMI_LIMIT_CALLERS_MAX + 10; i++) {
        peer_name(peer, i);
        ck_assert(!ask(&limit, IMI_LIMIT_POST, peer, 1000 + i / 100).verdict.is_over);
    }
    ck_assert_uint_le(limit.windows.count, IMI_LIMIT_CALLERS_MAX);
    peer_name(peer, IMI_LIMIT_CALLERS_MAX);
    ck_assert_msg(ask(&limit, IMI_LIMIT_POST, peer, 2000).verdict.is_over,
                  "the young one is known");
    peer_name(peer, 0);
    ck_assert_msg(!ask(&limit, IMI_LIMIT_POST, peer, 2000).verdict.is_over, "the oldest is not");
    imi_limit_reset(&limit);
}
END_TEST

START_TEST(what_is_over_is_forgotten_while_others_come) {
    imi_limit_t limit;
    char peer[32];
    imi_limit_init(&limit, NULL, seed, 1, 0);
    for (unsigned i = 0; i < 1000; i++) {
        peer_name(peer, i);
        (void)ask(&limit, IMI_LIMIT_POST, peer, 1);
    }
    for (unsigned i = 1000; i < 1600; i++) {
        peer_name(peer, i);
        (void)ask(&limit, IMI_LIMIT_POST, peer, 100000);
    }
    ck_assert_uint_eq(limit.windows.count, 600);
    imi_limit_reset(&limit);
}
END_TEST

START_TEST(without_memory_nobody_is_turned_away) {
    bool has_failed = true;
    for (size_t fail_at = 1; has_failed; fail_at++) {
        failing_mem_t failing;
        imi_limit_t limit;
        failing_mem_init(&failing, fail_at);
        imi_limit_init(&limit, &failing.mem, seed, 5, 5);
        for (int i = 0; i < 3; i++)
            ck_assert(!ask(&limit, IMI_LIMIT_POST, "192.0.2.1", 1).verdict.is_over);
        has_failed = failing.has_failed;
        imi_limit_reset(&limit);
        ck_assert_uint_eq(failing.live_count, 0);
    }
}
END_TEST

static Suite *limit_suite(void) {
    Suite *suite = suite_create("gateway/limit");
    TCase *tcase = tcase_create("limit");
    tcase_add_test(tcase, the_limit_is_reached_and_a_new_minute_begins);
    tcase_add_test(tcase, callers_and_kinds_count_apart);
    tcase_add_test(tcase, zero_is_no_limit);
    tcase_add_test(tcase, the_table_is_bounded_and_the_oldest_leave_first);
    tcase_add_test(tcase, what_is_over_is_forgotten_while_others_come);
    tcase_add_test(tcase, without_memory_nobody_is_turned_away);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(limit_suite)
