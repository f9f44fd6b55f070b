/* test_breaker.c: when it opens, who may pass, and what brings it back. */
#include "core/breaker.h"

#include "imagine.h"

#include "../../support/check_main.h"

#define MINUTE_MS 60000u

static bool allows(imi_breaker_t *breaker, uint64_t now_ms) {
    bool is_probe = false;
    return imi_breaker_allow(breaker, now_ms, &is_probe);
}

/* Opens it by five faults at `now_ms`. */
static void open_at(imi_breaker_t *breaker, uint64_t now_ms) {
    imi_breaker_init(breaker);
    for (int i = 0; i < 5; i++)
        imi_breaker_failed(breaker, now_ms);
    ck_assert_int_eq(breaker->state, IMAGINE_BREAKER_OPEN);
}

/* Outcomes one second apart unless a digit says how many more seconds pass first. */
static const struct {
    const char *name, *outcomes; /* F: fault, S: success, a digit: that many times ten seconds */
    bool is_open;
} histories[] = {
    {"nothing happened", "", false},
    {"four in a row", "FFFF", false},
    {"five in a row", "FFFFF", true},
    {"five in a row, slowly", "F9F9F9F9F", true},
    {"a success between", "FFFFSFFFF", false},
    {"every other one", "FSFSFSFSFSFSFSFSFSFSFSFSFSFSFSFS", false},
    {"four of five: eleven among the last fourteen", "FFFFSFFFFSFFF", true},
    {"ten among them", "FFFFSFFFFSFF", false},
    {"two of three", "FFSFFSFFSFFSFFSFF", true},
    {"two of three, over minutes", "FF2SFF2SFF2SFF2SFF2SFF2SFF", false},
    {"old faults leave the window", "FFSFFSFFSFFSFFSSSSSSSSSSSSSSSSSSSSSFF", false},
};

START_TEST(it_opens_when_the_provider_keeps_failing) { /* _i walks histories */
    imi_breaker_t breaker;
    uint64_t now_ms = 5000;
    imi_breaker_init(&breaker);
    for (const char *at = histories[_i].outcomes; *at != '\0'; at++) {
        if (*at == 'F')
            imi_breaker_failed(&breaker, now_ms);
        else if (*at == 'S')
            imi_breaker_succeeded(&breaker, now_ms);
        else
            now_ms += (uint64_t)(*at - '0') * 10000;
        now_ms += 1000;
    }
    ck_assert_msg((breaker.state == IMAGINE_BREAKER_OPEN) == histories[_i].is_open, "%s: state %d",
                  histories[_i].name, breaker.state);
}
END_TEST

START_TEST(closed_it_lets_everyone_pass) {
    imi_breaker_t breaker;
    bool is_probe = true;
    imi_breaker_init(&breaker);
    for (int i = 0; i < 100; i++) {
        ck_assert(imi_breaker_allow(&breaker, 1, &is_probe));
        ck_assert(!is_probe);
    }
    ck_assert_uint_eq(imi_breaker_retry_after_ms(&breaker, 1), 0);
}
END_TEST

START_TEST(open_it_lets_nobody_pass_for_a_minute) {
    imi_breaker_t breaker;
    open_at(&breaker, 1000);
    ck_assert(!allows(&breaker, 1000));
    ck_assert_uint_eq(imi_breaker_retry_after_ms(&breaker, 1000), MINUTE_MS);
    ck_assert(!allows(&breaker, 1000 + MINUTE_MS - 1));
    ck_assert_uint_eq(imi_breaker_retry_after_ms(&breaker, 1000 + MINUTE_MS - 1), 1);
    ck_assert_uint_eq(imi_breaker_retry_after_ms(&breaker, 1000 + MINUTE_MS), 0);
    ck_assert(allows(&breaker, 1000 + MINUTE_MS));
}
END_TEST

START_TEST(the_change_is_reported_once) {
    imi_breaker_t breaker;
    imi_breaker_init(&breaker);
    for (int i = 0; i < 4; i++)
        ck_assert(!imi_breaker_failed(&breaker, 1));
    ck_assert(imi_breaker_failed(&breaker, 1));
    ck_assert(!imi_breaker_failed(&breaker, 2));
    ck_assert(!imi_breaker_succeeded(&breaker, 3)); /* began before it opened */
    ck_assert_int_eq(breaker.state, IMAGINE_BREAKER_OPEN);
    ck_assert_uint_eq(imi_breaker_retry_after_ms(&breaker, 1),
                      MINUTE_MS); /* nor was it prolonged */
}
END_TEST

START_TEST(exactly_one_probe_passes) {
    imi_breaker_t breaker;
    bool is_probe = false;
    open_at(&breaker, 0);
    ck_assert(imi_breaker_allow(&breaker, MINUTE_MS, &is_probe));
    ck_assert(is_probe);
    ck_assert_int_eq(breaker.state, IMAGINE_BREAKER_PROBING);
    for (uint64_t i = 0; i < 50; i++) {
        ck_assert(!imi_breaker_allow(&breaker, MINUTE_MS + i * 100000, &is_probe));
        ck_assert(!is_probe);
    }
    ck_assert_uint_gt(imi_breaker_retry_after_ms(&breaker, MINUTE_MS), 0);
}
END_TEST

START_TEST(a_good_probe_closes_it_and_forgets_the_past) {
    imi_breaker_t breaker;
    open_at(&breaker, 0);
    ck_assert(allows(&breaker, MINUTE_MS));
    ck_assert(imi_breaker_succeeded(&breaker, MINUTE_MS + 10));
    ck_assert_int_eq(breaker.state, IMAGINE_BREAKER_CLOSED);
    for (int i = 0; i < 4; i++)
        ck_assert(!imi_breaker_failed(&breaker, MINUTE_MS + 20));
    ck_assert(allows(&breaker, MINUTE_MS + 20));
}
END_TEST

START_TEST(a_bad_probe_opens_it_for_another_minute) {
    imi_breaker_t breaker;
    open_at(&breaker, 0);
    ck_assert(allows(&breaker, MINUTE_MS));
    ck_assert(imi_breaker_failed(&breaker, MINUTE_MS + 500));
    ck_assert_int_eq(breaker.state, IMAGINE_BREAKER_OPEN);
    ck_assert(!allows(&breaker, 2 * MINUTE_MS + 499));
    ck_assert(allows(&breaker, 2 * MINUTE_MS + 500));
}
END_TEST

START_TEST(a_probe_without_a_verdict_makes_room_for_the_next) {
    imi_breaker_t breaker;
    bool is_probe = false;
    open_at(&breaker, 0);
    ck_assert(allows(&breaker, MINUTE_MS));
    ck_assert(!allows(&breaker, MINUTE_MS));
    imi_breaker_forgotten(&breaker);
    ck_assert_uint_eq(imi_breaker_retry_after_ms(&breaker, MINUTE_MS), 0);
    ck_assert(imi_breaker_allow(&breaker, MINUTE_MS + 1, &is_probe));
    ck_assert(is_probe);
    ck_assert(!allows(&breaker, MINUTE_MS + 1));
}
END_TEST

/* What must hold whatever is reported in whatever order. */
START_TEST(at_most_one_probe_is_under_way_whatever_happens) { /* _i is the seed: Check names it when
                                                                 a round fails */
    imi_breaker_t breaker;
    uint64_t now_ms = 0, random = (uint64_t)_i * 2654435761u + 1;
    int probe_count = 0;
    imi_breaker_init(&breaker);
    for (int step = 0; step < 5000; step++) {
        bool is_probe = false;
        random = random * 6364136223846793005u + 1442695040888963407u;
        now_ms += (random >> 33) % 9000;
        switch (random >> 61) {
        case 0:
            imi_breaker_succeeded(&breaker, now_ms);
            probe_count = 0;
            break;
        case 1:
            imi_breaker_forgotten(&breaker);
            probe_count = 0;
            break;
        case 2:
        case 3:
            imi_breaker_failed(&breaker, now_ms);
            probe_count = 0;
            break;
        default:
            if (imi_breaker_allow(&breaker, now_ms, &is_probe))
                ck_assert_int_ne(breaker.state, IMAGINE_BREAKER_OPEN);
            probe_count += is_probe;
            ck_assert_int_le(probe_count, 1);
            ck_assert(breaker.state == IMAGINE_BREAKER_CLOSED || !is_probe || breaker.has_probe);
        }
        ck_assert_uint_le(breaker.window_count, 20);
        ck_assert_uint_le(imi_breaker_retry_after_ms(&breaker, now_ms), MINUTE_MS);
        if (breaker.state == IMAGINE_BREAKER_CLOSED)
            ck_assert_uint_lt(breaker.failures_in_row, 5);
    }
}
END_TEST

static Suite *breaker_suite(void) {
    Suite *suite = suite_create("core/breaker");
    TCase *tcase = tcase_create("breaker");
    tcase_add_loop_test(tcase, it_opens_when_the_provider_keeps_failing, 0,
                        (int)(sizeof(histories) / sizeof(histories[0])));
    tcase_add_test(tcase, closed_it_lets_everyone_pass);
    tcase_add_test(tcase, open_it_lets_nobody_pass_for_a_minute);
    tcase_add_test(tcase, the_change_is_reported_once);
    tcase_add_test(tcase, exactly_one_probe_passes);
    tcase_add_test(tcase, a_good_probe_closes_it_and_forgets_the_past);
    tcase_add_test(tcase, a_bad_probe_opens_it_for_another_minute);
    tcase_add_test(tcase, a_probe_without_a_verdict_makes_room_for_the_next);
    tcase_add_loop_test(tcase, at_most_one_probe_is_under_way_whatever_happens, 0, 10);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(breaker_suite)
