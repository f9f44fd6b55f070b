/* test_log.c: lines as operators read them. */
#include "imagine.h"

#include <string.h>

#include "../../support/check_main.h"

#define UNIX_MS 1767888000123 /* 2026-01-08T16:00:00.123Z */
#define HEAD "{\"time\":\"2026-01-08T16:00:00.123Z\",\"level\":\"info\","

static const struct {
    const char *name, *line, *json; /* behind time and level */
} cases[] = {
    {"an event alone", "server.draining", "\"event\":\"server.draining\"}\n"},
    {"pairs", "request id=7 ms=12 reason=\"a b\"",
     "\"event\":\"request\",\"id\":\"7\",\"ms\":12,\"reason\":\"a b\"}\n"},
    {"a step of a request", "[   7] r12 http.start token=#1",
     "\"at_ms\":7,\"request\":12,\"event\":\"http.start\",\"token\":\"#1\"}\n"},
    {"a step long after the start", "[123456] r4294967295 done",
     "\"at_ms\":123456,\"request\":4294967295,\"event\":\"done\"}\n"},
    {"a number that is none", "request status=none ms=1s tries=",
     "\"event\":\"request\",\"status\":\"none\",\"ms\":\"1s\",\"tries\":\"\"}\n"},
    {"an id of digits", "request id=0123456789012345 status=499",
     "\"event\":\"request\",\"id\":\"0123456789012345\",\"status\":499}\n"},
    {"what only begins like a step", "[x] ready", "\"event\":\"[x] ready\"}\n"},
    {"words of a host's", "the door is open since=1",
     "\"event\":\"the door is open\",\"since\":\"1\"}\n"},
    {"words behind a pair", "http.start token=#1 POST /v1/x",
     "\"event\":\"http.start\",\"token\":\"#1\",\"text\":\"POST /v1/x\"}\n"},
    {"words between pairs", "a b=1 two words c=2",
     "\"event\":\"a\",\"b\":\"1\",\"text\":\"two words\",\"c\":\"2\"}\n"},
    {"pairs without an event", "a=1", "\"event\":\"\",\"a\":\"1\"}\n"},
    {"an empty value", "a b= c=\"\"", "\"event\":\"a\",\"b\":\"\",\"c\":\"\"}\n"},
    {"a quote that never ends", "a b=\"c d", "\"event\":\"a\",\"b\":\"c d\"}\n"},
    {"nothing", "", "\"event\":\"\"}\n"},
};

START_TEST(a_line_becomes_an_object_of_which_every_name_stands_once) { /* _i walks cases */
    char out[256];
    size_t size =
        imagine_log_format(out, sizeof(out), 1, UNIX_MS, IMAGINE_LOG_INFO, cases[_i].line);
    ck_assert_uint_eq(size, strlen(out));
    ck_assert_msg(strncmp(out, HEAD, strlen(HEAD)) == 0, "%s: %s", cases[_i].name, out);
    ck_assert_msg(strcmp(out + strlen(HEAD), cases[_i].json) == 0, "%s: %s", cases[_i].name, out);
}
END_TEST

START_TEST(as_text_a_line_is_kept_as_it_is) {
    char out[64];
    const char *line = "[   7] r12 http.start token=#1";
    size_t size = imagine_log_format(out, sizeof(out), 0, UNIX_MS, IMAGINE_LOG_TRACE, line);
    ck_assert_str_eq(out, "2026-01-08T16:00:00.123Z trace [   7] r12 http.start token=#1\n");
    ck_assert_uint_eq(size, strlen(out));
    size = imagine_log_format(out, 40, 0, UNIX_MS, IMAGINE_LOG_TRACE, line);
    ck_assert_str_eq(out, "2026-01-08T16:00:00.123Z trace [   7] \n"); /* 39 bytes and a NUL */
    ck_assert_uint_eq(size, 39);
    ck_assert_uint_eq(imagine_log_format(out, 1, 0, UNIX_MS, IMAGINE_LOG_TRACE, line), 0);
}
END_TEST

static Suite *log_suite(void) {
    Suite *suite = suite_create("log");
    TCase *tcase = tcase_create("log");
    tcase_add_loop_test(tcase, a_line_becomes_an_object_of_which_every_name_stands_once, 0,
                        sizeof(cases) / sizeof(cases[0]));
    tcase_add_test(tcase, as_text_a_line_is_kept_as_it_is);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(log_suite)
