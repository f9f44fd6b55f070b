/* test_time.c: dates against the C library's calendar, the waits that providers ask for, and
 * midnights around both switches of daylight saving time. */
#include "wire/time.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../support/check_main.h"
#include "../../support/random.h"

#define COUNT_OF(table) ((int)(sizeof(table) / sizeof((table)[0])))
#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define NEVER INT64_C(-1) /* in a column of spans: it is refused */

static int64_t instant(const char *text) {
    int64_t unix_ms = 0;
    ck_assert_msg(imi_time_parse(imi_slice_of(text), &unix_ms), "%s", text);
    return unix_ms;
}

static void check_instant(int64_t got, const char *expected, const char *what) {
    char text[IMI_TIME_TEXT_SIZE];
    imi_time_format(text, got, true);
    ck_assert_msg(strcmp(text, expected) == 0, "%s: got %s", what, text);
}

/* ---- instants ----------------------------------------------------------------------------------
 */

static const struct {
    int64_t unix_ms;
    const char *text, *text_with_ms, *http;
} format_cases[] = {
    {0, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z", "Thu, 01 Jan 1970 00:00:00 GMT"},
    {-1, "1969-12-31T23:59:59Z", "1969-12-31T23:59:59.999Z", "Wed, 31 Dec 1969 23:59:59 GMT"},
    {INT64_C(784111777000), "1994-11-06T08:49:37Z", "1994-11-06T08:49:37.000Z",
     "Sun, 06 Nov 1994 08:49:37 GMT"},
    {INT64_C(951782400001), "2000-02-29T00:00:00Z", "2000-02-29T00:00:00.001Z",
     "Tue, 29 Feb 2000 00:00:00 GMT"},
    {INT64_C(1767888000000), "2026-01-08T16:00:00Z", "2026-01-08T16:00:00.000Z",
     "Thu, 08 Jan 2026 16:00:00 GMT"},
    {INT64_C(253402300799999), "9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999Z",
     "Fri, 31 Dec 9999 23:59:59 GMT"},
    {INT64_C(253402300800000), "9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999Z",
     "Fri, 31 Dec 9999 23:59:59 GMT"},
    {INT64_MAX, "9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999Z",
     "Fri, 31 Dec 9999 23:59:59 GMT"},
    {INT64_C(-62167219200000), "0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000Z",
     "Sat, 01 Jan 0000 00:00:00 GMT"},
    {INT64_MIN, "0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000Z",
     "Sat, 01 Jan 0000 00:00:00 GMT"},
};

START_TEST(an_instant_is_written_in_three_ways) { /* _i walks format_cases */
    char text[IMI_TIME_TEXT_SIZE];
    imi_time_format(text, format_cases[_i].unix_ms, false);
    ck_assert_str_eq(text, format_cases[_i].text);
    imi_time_format(text, format_cases[_i].unix_ms, true);
    ck_assert_str_eq(text, format_cases[_i].text_with_ms);
    imi_time_format_http(text, format_cases[_i].unix_ms);
    ck_assert_str_eq(text, format_cases[_i].http);
}
END_TEST

START_TEST(the_c_librarys_calendar_agrees) { /* _i: one seed per round */
    uint64_t dice = (uint64_t)_i;
    for (size_t i = 0; i < 20000; i++) {
        /* years 0 to 9999 */
        int64_t seconds =
            (int64_t)random_below(&dice, UINT64_C(315569520000)) - INT64_C(62167219200);
        char text[IMI_TIME_TEXT_SIZE], expected[80];
        int64_t back = 0;
        time_t at = (time_t)seconds;
        struct tm tm;
        ck_assert_ptr_nonnull(gmtime_r(&at, &tm));
        snprintf(expected, sizeof(expected), "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900,
                 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
        imi_time_format(text, seconds * SECOND, false);
        ck_assert_str_eq(text, expected);
        ck_assert(imi_time_parse(imi_slice_of(text), &back) && back == seconds * SECOND);
        imi_time_format_http(text, seconds * SECOND);
        ck_assert(imi_time_parse_http(imi_slice_of(text), &back) && back == seconds * SECOND);
        strftime(expected, sizeof(expected), "%a, %d %b", &tm); /* the C locale's */
        ck_assert_msg(strncmp(text, expected, strlen(expected)) == 0, "%s: %s", text, expected);
    }
}
END_TEST

START_TEST(every_day_of_800_years_is_read_back) {
    int64_t expected = instant("1600-01-01");
    for (int year = 1600; year < 2400; year++) {
        for (int month = 1; month <= 12; month++) {
            for (int day = 1; day <= 32; day++) {
                char text[16];
                int64_t got = 0;
                snprintf(text, sizeof(text), "%04d-%02d-%02d", year, month, day);
                if (!imi_time_parse(imi_slice_of(text), &got)) {
                    ck_assert_int_ge(day, 29);
                    break;
                }
                ck_assert_msg(got == expected, "%s", text);
                expected += DAY;
            }
        }
    }
    ck_assert_int_eq(expected, instant("2400-01-01"));
}
END_TEST

static const struct {
    const char *text, *expected; /* NULL: refused */
} iso_cases[] = {
    {"2026-01-08", "2026-01-08T00:00:00.000Z"},
    {"2026-01-08T16:05", "2026-01-08T16:05:00.000Z"},
    {"2026-01-08T16:05:06", "2026-01-08T16:05:06.000Z"},
    {"2026-01-08t16:05:06z", "2026-01-08T16:05:06.000Z"},
    {"2026-01-08 16:05:06Z", "2026-01-08T16:05:06.000Z"},
    {"2026-01-08T16:05:06.7Z", "2026-01-08T16:05:06.700Z"},
    {"2026-01-08T16:05:06,78Z", "2026-01-08T16:05:06.780Z"},
    {"2026-01-08T16:05:06.789123456Z", "2026-01-08T16:05:06.789Z"},
    {"2026-01-08T16:05:06.9999999999999999999999999Z", "2026-01-08T16:05:06.999Z"},
    {"2026-01-08T16:05:06+08:00", "2026-01-08T08:05:06.000Z"},
    {"2026-01-08T16:05:06-0730", "2026-01-08T23:35:06.000Z"},
    {"2026-01-08T16:05:06+08", "2026-01-08T08:05:06.000Z"},
    {"2026-01-08T16:05Z", "2026-01-08T16:05:00.000Z"},
    {"2026-01-08T16:05+00:00", "2026-01-08T16:05:00.000Z"},
    {"2026-01-01T00:00:00+23:59", "2025-12-31T00:01:00.000Z"},
    {"2024-02-29", "2024-02-29T00:00:00.000Z"},
    {"2000-02-29", "2000-02-29T00:00:00.000Z"},
    {"2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z"},
    {"0000-01-01", "0000-01-01T00:00:00.000Z"},
    {"0000-02-29", "0000-02-29T00:00:00.000Z"},
    {"9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"},
    {"1900-02-29", NULL},
    {"2023-02-29", NULL},
    {"2026-13-01", NULL},
    {"2026-00-01", NULL},
    {"2026-01-00", NULL},
    {"2026-01-32", NULL},
    {"2026-04-31", NULL},
    {"2026-01-08T24:00:00Z", NULL},
    {"2026-01-08T16:60:00Z", NULL},
    {"2026-01-08T16:05:61Z", NULL},
    {"2026-01-08T16:05:06+24:00", NULL},
    {"2026-01-08T16:05:06+08:60", NULL},
    {"2026-01-08T16:05:06+8:00", NULL},
    {"2026-01-08T16:05:06+08:", NULL},
    {"2026-01-08T16:05:06+08:0", NULL},
    {"2026-01-08T16:05:06.Z", NULL},
    {"2026-01-08T16:05:06 Z", NULL},
    {"2026-01-08T16:05:06ZZ", NULL},
    {"2026-01-08T16:05:", NULL},
    {"2026-01-08T16:", NULL},
    {"2026-01-08T16", NULL},
    {"2026-01-08T", NULL},
    {"2026-01-08Z", NULL},
    {"2026-01-8", NULL},
    {"2026-01", NULL},
    {"20260108", NULL},
    {"+2026-01-08", NULL},
    {" 2026-01-08", NULL},
    {"2026-01-08 ", NULL},
    {"12026-01-08", NULL},
    {"2026-0x-08", NULL},
    {"", NULL},
    {NULL, NULL},
};

START_TEST(iso_dates_are_read) { /* _i walks iso_cases */
    imi_slice_t text = imi_slice_of(iso_cases[_i].text);
    int64_t got = 0;
    bool is_read = imi_time_parse(text, &got);
    ck_assert_msg(is_read == (iso_cases[_i].expected != NULL), "%s", text.data);
    if (is_read)
        check_instant(got, iso_cases[_i].expected, text.data);
}
END_TEST

static const struct {
    const char *text, *expected; /* NULL: refused */
} http_cases[] = {
    {"Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37.000Z"},
    {"Sunday, 06-Nov-94 08:49:37 GMT", "1994-11-06T08:49:37.000Z"},
    {"Sun Nov  6 08:49:37 1994", "1994-11-06T08:49:37.000Z"},
    {"Sun Nov 16 08:49:37 1994", "1994-11-16T08:49:37.000Z"},
    {"sun, 06 nov 1994 08:49:37 gmt", "1994-11-06T08:49:37.000Z"},
    {"Wed, 21-Oct-26 07:28:00 GMT", "2026-10-21T07:28:00.000Z"},
    {"Wednesday, 21-Oct-70 07:28:00 GMT", "1970-10-21T07:28:00.000Z"},
    {"Wednesday, 21-Oct-69 07:28:00 GMT", "2069-10-21T07:28:00.000Z"},
    {"Thu, 31 Dec 1998 23:59:60 GMT", "1999-01-01T00:00:00.000Z"},
    {"Sun, 06 Nov 1994 08:49:37 UTC", NULL},
    {"Sun, 06 Nov 1994 08:49:37", NULL},
    {"Sun, 06 Nov 1994 08:49:37 GMT+1", NULL},
    {"Sun, 6 Nov 1994 08:49:37 GMT", NULL},
    {"Sun, 06-Nov-1994 08:49:37 GMT", NULL},
    {"Sun, 06 Nov-94 08:49:37 GMT", NULL},
    {"Sun, 31 Nov 1994 08:49:37 GMT", NULL},
    {"Sun, 06 Foo 1994 08:49:37 GMT", NULL},
    {"Sun, 06 Nov 1994 24:49:37 GMT", NULL},
    {"Sun, 06 Nov 1994 08:49 GMT", NULL},
    {"Sunny, 06 Nov 1994 08:49:37 GMT", NULL},
    {"06 Nov 1994 08:49:37 GMT", NULL},
    {"Sun Nov 6 08:49:37 1994", NULL},
    {"Sun Nov  6 08:49:37 94", NULL},
    {"Sun Nov  6 08:49:37 1994 GMT", NULL},
    {"1994-11-06T08:49:37Z", NULL},
    {"Sun", NULL},
    {"", NULL},
    {NULL, NULL},
};

START_TEST(http_dates_are_read_in_three_forms) { /* _i walks http_cases */
    imi_slice_t text = imi_slice_of(http_cases[_i].text);
    int64_t got = 0;
    bool is_read = imi_time_parse_http(text, &got);
    ck_assert_msg(is_read == (http_cases[_i].expected != NULL), "%s", text.data);
    if (is_read)
        check_instant(got, http_cases[_i].expected, text.data);
}
END_TEST

START_TEST(a_text_cut_off_anywhere_is_read_within_its_bounds) {
    static const char *const texts[] = {"2026-01-08T16:05:06.789+08:00",
                                        "Sun, 06 Nov 1994 08:49:37 GMT",
                                        "Sunday, 06-Nov-94 08:49:37 GMT",
                                        "Sun Nov  6 08:49:37 1994",
                                        "Please try again in 1 day, 2:03:04.5 or so",
                                        "12.345s"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        for (size_t size = 0; size <= strlen(texts[i]); size++) {
            char *exact = malloc(size + 1);
            int64_t out = 0;
            ck_assert_ptr_nonnull(exact);
            memcpy(exact + 1, texts[i], size); /* the last byte is the block's last */
            imi_time_parse((imi_slice_t){exact + 1, size}, &out);
            imi_time_parse_http((imi_slice_t){exact + 1, size}, &out);
            imi_time_parse_retry_after((imi_slice_t){exact + 1, size}, 0, &out);
            imi_time_parse_seconds((imi_slice_t){exact + 1, size}, &out);
            imi_time_find_try_again((imi_slice_t){exact + 1, size}, &out);
            free(exact);
        }
    }
}
END_TEST

/* ---- spans -------------------------------------------------------------------------------------
 */

static const struct {
    const char *value;
    int64_t ms; /* from 1994-11-06T08:49:37.250Z on */
} retry_cases[] = {
    {"120", 120 * SECOND},
    {"0", 0},
    {" 5 ", 5 * SECOND},
    {"007", 7 * SECOND},
    {"1.5", 1500},
    {"0.25", 250},
    {"0.0001", 1}, /* rounded up: not a moment too early */
    {"1.0000", 1000},
    {"1.9999", 2000},
    {"2592000", 30 * DAY},
    {"2592001", 30 * DAY},
    {"99999999999999999999999999", 30 * DAY},
    {"Sun, 06 Nov 1994 08:49:38 GMT", 750},
    {"Sun, 06 Nov 1994 09:49:37 GMT", HOUR - 250},
    {"Sunday, 06-Nov-94 08:50:37 GMT", MINUTE - 250},
    {"Sun Nov  6 08:50:37 1994", MINUTE - 250},
    {"Sun, 06 Nov 1994 08:49:37 GMT", 0},
    {"Tue, 06 Nov 1990 08:49:37 GMT", 0},
    {"Fri, 31 Dec 9999 23:59:59 GMT", 30 * DAY},
    {"-1", NEVER},
    {"+1", NEVER},
    {"1e3", NEVER},
    {"1.", NEVER},
    {".5", NEVER},
    {"1,5", NEVER},
    {"5s", NEVER},
    {"soon", NEVER},
    {"", NEVER},
    {NULL, NEVER},
};

START_TEST(retry_after_is_seconds_or_a_date) { /* _i walks retry_cases */
    int64_t now = instant("1994-11-06T08:49:37.250Z"), ms = 0;
    bool is_read = imi_time_parse_retry_after(imi_slice_of(retry_cases[_i].value), now, &ms);
    ck_assert_msg(is_read == (retry_cases[_i].ms != NEVER), "%s", retry_cases[_i].value);
    ck_assert_msg(!is_read || ms == retry_cases[_i].ms, "%s: %" PRId64, retry_cases[_i].value, ms);
}
END_TEST

START_TEST(retry_after_bears_any_clock) {
    int64_t ms = 0;
    imi_slice_t date = IMI_SLICE("Sun, 06 Nov 1994 08:49:37 GMT");
    ck_assert(imi_time_parse_retry_after(date, INT64_MIN, &ms) && ms == 30 * DAY);
    ck_assert(imi_time_parse_retry_after(date, INT64_MAX, &ms) && ms == 0);
}
END_TEST

static const struct {
    const char *text;
    int64_t ms;
} seconds_cases[] = {
    {"3.5s", 3500},
    {"45s", 45 * SECOND},
    {"0s", 0},
    {"34.074824224s", 34075},
    {"0.000000001s", 1},
    {"1.999999999s", 2000},
    {"315576000000s", 30 * DAY},
    {"3.5S", 3500},
    {"3.5", NEVER},
    {"s", NEVER},
    {"-1s", NEVER},
    {"1.s", NEVER},
    {"1 s", NEVER},
    {"1ss", NEVER},
    {" 1s", NEVER},
    {"1m", NEVER},
    {"", NEVER},
    {NULL, NEVER},
};

START_TEST(protobufs_seconds) { /* _i walks seconds_cases */
    int64_t ms = 0;
    bool is_read = imi_time_parse_seconds(imi_slice_of(seconds_cases[_i].text), &ms);
    ck_assert_msg(is_read == (seconds_cases[_i].ms != NEVER), "%s", seconds_cases[_i].text);
    ck_assert_msg(!is_read || ms == seconds_cases[_i].ms, "%s: %" PRId64, seconds_cases[_i].text,
                  ms);
}
END_TEST

static const struct {
    const char *text;
    int64_t ms;
} again_cases[] = {
    /* as providers write it */
    {"You have exceeded your GPU quota (60s requested vs. 0s left). Try again in 1:02:03",
     HOUR + 2 * MINUTE + 3 * SECOND},
    {"quota (60s left vs. 90s requested). Please retry in 23:59:59.", DAY - SECOND},
    {"Try again in 1 day, 2:03:04", DAY + 2 * HOUR + 3 * MINUTE + 4 * SECOND},
    {"Rate limit reached. Please try again in 20s. Visit https://a.test/1s", 20 * SECOND},
    {"on tokens per min. Please try again in 6ms.", 6},
    {"Please try again in 1m26.4s.", MINUTE + 26400},
    {"Please try again in 7m12s", 7 * MINUTE + 12 * SECOND},
    {"Please retry in 34.074824224s.", 34075},
    {"Please retry after 6 seconds.", 6 * SECOND},
    {"Too many requests; try again after 5 minutes!", 5 * MINUTE},
    /* every form that the header names */
    {"try again in 12:30", 12 * MINUTE + 30 * SECOND},
    {"try again in 1.5 s", 1500},
    {"try again in 350ms", 350},
    {"try again in 2m30s", 2 * MINUTE + 30 * SECOND},
    {"try again in 6 minutes", 6 * MINUTE},
    {"try again in 1 hour", HOUR},
    {"try again in 1h2m", HOUR + 2 * MINUTE},
    /* and some others */
    {"TRY AGAIN IN 5 SECS", 5 * SECOND},
    {"try again in  \t5 sec", 5 * SECOND},
    {"try again in 2 hrs 5 mins", 2 * HOUR + 5 * MINUTE},
    {"try again in 1 hour and 5 minutes", HOUR + 5 * MINUTE},
    {"try again in 1 hour, 5 minutes, and 7 seconds", HOUR + 5 * MINUTE + 7 * SECOND},
    {"try again in 1.5 hours", 90 * MINUTE},
    {"try again in 2 days", 2 * DAY},
    {"try again in 0:00:07", 7 * SECOND},
    {"try again in 0:07.5", 7 * SECOND}, /* the clock ends at the minutes' seconds */
    {"try again in 0:00:07.5", 7500},
    {"try again in 100:00:00", 100 * HOUR},
    {"try again in 1:02:03, please", HOUR + 2 * MINUTE + 3 * SECOND},
    {"try again in 20s, 3 tries are left", 20 * SECOND},
    {"try again in 20s and 3 more", 20 * SECOND},
    {"try again in 0s", 0},
    {"try again in 0.1ms", 1},
    {"try again in 40 days", 30 * DAY},
    {"try again in 99999999999999999999 hours", 30 * DAY},
    {"try again in 99999999999999999999:00:00", 30 * DAY},
    {"try again in a while. You may retry in 5s", 5 * SECOND},
    {"try again in try again in 5s", 5 * SECOND},
    {"try again in 20 tries or retry after 1s", SECOND},
    /* not a span */
    {"try again in a few minutes", NEVER},
    {"try again in 5", NEVER},
    {"try again in 5 million", NEVER},
    {"try again in 5 meters", NEVER},
    {"try again in 1.2.3 s", NEVER},
    {"try again in .5 s", NEVER},
    {"try again in -5 s", NEVER},
    {"try again in 1:75", NEVER},
    {"try again in 1:2", NEVER},
    {"try again in 1.5:00", NEVER},
    {"try again in", NEVER},
    {"try again", NEVER},
    {"in 20s", NEVER},
    {"20s", NEVER},
    {"", NEVER},
    {NULL, NEVER},
};

START_TEST(try_again_is_found_in_free_text) { /* _i walks again_cases */
    int64_t ms = NEVER;
    bool is_found = imi_time_find_try_again(imi_slice_of(again_cases[_i].text), &ms);
    ck_assert_msg(is_found == (again_cases[_i].ms != NEVER), "%s", again_cases[_i].text);
    ck_assert_msg(ms == again_cases[_i].ms, "%s: %" PRId64, again_cases[_i].text, ms);
}
END_TEST

/* ---- midnights ---------------------------------------------------------------------------------
 */

static const struct {
    const char *now;
    int offset_minutes;
    const char *midnight;
} midnight_cases[] = {
    {"2026-01-08T15:59:59.999Z", 480, "2026-01-08T16:00:00.000Z"},
    {"2026-01-08T16:00:00Z", 480, "2026-01-09T16:00:00.000Z"}, /* the next one, not this one */
    {"2026-01-08T16:00:00.001Z", 480, "2026-01-09T16:00:00.000Z"},
    {"2026-12-31T23:00:00Z", 480, "2027-01-01T16:00:00.000Z"},
    {"2026-01-08T00:00:00Z", 0, "2026-01-09T00:00:00.000Z"},
    {"2026-01-08T23:59:59.999Z", 0, "2026-01-09T00:00:00.000Z"},
    {"2026-01-08T07:00:00Z", -480, "2026-01-08T08:00:00.000Z"},
    {"2026-01-08T18:29:00Z", 330, "2026-01-08T18:30:00.000Z"},
    {"1969-12-31T12:00:00Z", 480, "1969-12-31T16:00:00.000Z"},
    {"1969-12-30T23:00:00Z", 0, "1969-12-31T00:00:00.000Z"},
};

START_TEST(the_next_midnight_of_a_fixed_offset) { /* _i walks midnight_cases */
    check_instant(
        imi_time_next_midnight(instant(midnight_cases[_i].now), midnight_cases[_i].offset_minutes),
        midnight_cases[_i].midnight, midnight_cases[_i].now);
}
END_TEST

static const struct {
    const char *now, *midnight;
} pacific_cases[] = {
    {"2026-01-08T07:59:59.999Z", "2026-01-08T08:00:00.000Z"}, /* winter: UTC-8 */
    {"2026-01-08T08:00:00Z", "2026-01-09T08:00:00.000Z"},
    {"2026-07-08T06:59:59.999Z", "2026-07-08T07:00:00.000Z"}, /* summer: UTC-7 */
    {"2026-07-08T07:00:00Z", "2026-07-09T07:00:00.000Z"},
    /* 2026-03-08, 2:00 becomes 3:00 at 10:00 UTC: a day of 23 hours */
    {"2026-03-07T12:00:00Z", "2026-03-08T08:00:00.000Z"},
    {"2026-03-08T07:59:59.999Z", "2026-03-08T08:00:00.000Z"},
    {"2026-03-08T08:00:00Z", "2026-03-09T07:00:00.000Z"},
    {"2026-03-08T09:59:59.999Z", "2026-03-09T07:00:00.000Z"},
    {"2026-03-08T10:00:00Z", "2026-03-09T07:00:00.000Z"},
    {"2026-03-09T06:59:59.999Z", "2026-03-09T07:00:00.000Z"},
    {"2026-03-09T07:00:00Z", "2026-03-10T07:00:00.000Z"},
    /* 2026-11-01, 2:00 becomes 1:00 at 9:00 UTC: a day of 25 hours */
    {"2026-10-31T12:00:00Z", "2026-11-01T07:00:00.000Z"},
    {"2026-11-01T06:59:59.999Z", "2026-11-01T07:00:00.000Z"},
    {"2026-11-01T07:00:00Z", "2026-11-02T08:00:00.000Z"},
    {"2026-11-01T08:59:59.999Z", "2026-11-02T08:00:00.000Z"},
    {"2026-11-01T09:00:00Z", "2026-11-02T08:00:00.000Z"},
    {"2026-11-02T07:59:59.999Z", "2026-11-02T08:00:00.000Z"},
    {"2026-11-02T08:00:00Z", "2026-11-03T08:00:00.000Z"},
    /* the switches fall on other dates in other years */
    {"2027-03-14T09:00:00Z", "2027-03-15T07:00:00.000Z"},
    {"2027-03-13T09:00:00Z", "2027-03-14T08:00:00.000Z"},
    {"2027-11-07T08:00:00Z", "2027-11-08T08:00:00.000Z"},
    {"2027-11-06T08:00:00Z", "2027-11-07T07:00:00.000Z"},
    {"2020-03-01T12:00:00Z", "2020-03-02T08:00:00.000Z"}, /* the first of March is a Sunday */
    {"2020-11-01T12:00:00Z", "2020-11-02T08:00:00.000Z"},
    /* New Year's Eve there is New Year here */
    {"2027-01-01T07:59:00Z", "2027-01-01T08:00:00.000Z"},
    {"2026-12-31T23:59:00Z", "2027-01-01T08:00:00.000Z"},
};

START_TEST(the_next_pacific_midnight) { /* _i walks pacific_cases */
    check_instant(imi_time_next_midnight_pacific(instant(pacific_cases[_i].now)),
                  pacific_cases[_i].midnight, pacific_cases[_i].now);
}
END_TEST

/* With the rule written out, as every C library takes it without its table of zones. */
START_TEST(the_c_librarys_pacific_time_agrees) {
    setenv("TZ", "PST8PDT,M3.2.0/2,M11.1.0/2", 1);
    tzset();
    for (int64_t now = instant("2007-01-01"); now < instant("2040-01-01");
         now += 6 * HOUR + 1234567) {
        int64_t midnight = imi_time_next_midnight_pacific(now);
        time_t at = (time_t)(midnight / SECOND), before = (time_t)(now / SECOND);
        struct tm tm, tm_before;
        ck_assert_ptr_nonnull(localtime_r(&at, &tm));
        ck_assert_ptr_nonnull(localtime_r(&before, &tm_before));
        ck_assert_msg(midnight > now && midnight - now <= 25 * HOUR && midnight % SECOND == 0,
                      "%" PRId64, now);
        ck_assert_msg(tm.tm_hour == 0 && tm.tm_min == 0 && tm.tm_sec == 0, "%" PRId64, now);
        ck_assert_msg(tm.tm_yday == tm_before.tm_yday + 1 || tm.tm_yday == 0, "%" PRId64, now);
    }
}
END_TEST

START_TEST(midnights_bear_any_clock) {
    ck_assert_int_gt(imi_time_next_midnight_pacific(INT64_MAX), 0);
    ck_assert_int_lt(imi_time_next_midnight_pacific(INT64_MIN), 0);
    ck_assert_int_gt(imi_time_next_midnight(INT64_MAX, 480), 0);
    ck_assert_int_lt(imi_time_next_midnight(INT64_MIN, -480), 0);
}
END_TEST

static Suite *time_suite(void) {
    Suite *suite = suite_create("time");
    TCase *tcase = tcase_create("instants");
    tcase_add_loop_test(tcase, an_instant_is_written_in_three_ways, 0, COUNT_OF(format_cases));
    tcase_add_loop_test(tcase, the_c_librarys_calendar_agrees, 0, 3);
    tcase_add_test(tcase, every_day_of_800_years_is_read_back);
    tcase_add_loop_test(tcase, iso_dates_are_read, 0, COUNT_OF(iso_cases));
    tcase_add_loop_test(tcase, http_dates_are_read_in_three_forms, 0, COUNT_OF(http_cases));
    tcase_add_test(tcase, a_text_cut_off_anywhere_is_read_within_its_bounds);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("spans");
    tcase_add_loop_test(tcase, retry_after_is_seconds_or_a_date, 0, COUNT_OF(retry_cases));
    tcase_add_test(tcase, retry_after_bears_any_clock);
    tcase_add_loop_test(tcase, protobufs_seconds, 0, COUNT_OF(seconds_cases));
    tcase_add_loop_test(tcase, try_again_is_found_in_free_text, 0, COUNT_OF(again_cases));
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("midnights");
    tcase_add_loop_test(tcase, the_next_midnight_of_a_fixed_offset, 0, COUNT_OF(midnight_cases));
    tcase_add_loop_test(tcase, the_next_pacific_midnight, 0, COUNT_OF(pacific_cases));
    tcase_add_test(tcase, the_c_librarys_pacific_time_agrees);
    tcase_add_test(tcase, midnights_bear_any_clock);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(time_suite)
