/* time.c: instants and spans as texts, by arithmetic of our own: the C library's reads the
 * machine's time zone and locale. Dates are Gregorian, years 0 to 9999. A wait that somebody asks
 * of us is rounded up to the millisecond, so that we never come back too early, and held to 30
 * days. */
#include "wire/time.h"

#include <stdio.h>
#include <string.h>

#define SECOND_MS INT64_C(1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)
#define DAYS_IN_400_YEARS INT64_C(146097)
#define SPAN_MAX_MS (30 * DAY_MS)
#define UNIX_MS_MIN (INT64_C(-719528) * DAY_MS)           /* 0000-01-01 */
#define UNIX_MS_MAX ((INT64_C(2932896) + 1) * DAY_MS - 1) /* 9999-12-31, its last */

static const char *const month_names[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
static const char *const day_names[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char *const day_tails[] = {"day", "day", "sday", "nesday", "rsday", "day", "urday"};

/* ---- the calendar ------------------------------------------------------------------------------
 */

typedef struct civil {
    int64_t year;
    int64_t month, day; /* from 1 */
    int64_t hour, minute, second, ms;
} civil_t;

static int64_t divide_down(int64_t value, int64_t by) {
    return value / by - (value % by < 0 ? 1 : 0);
}

static bool is_leap(int64_t year) {
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int64_t days_in_month(int64_t year, int64_t month) {
    static const int64_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && is_leap(year) ? 1 : 0);
}

/* Days from 1970-01-01 to the first of January of a year. */
static int64_t days_to_year(int64_t year) {
    int64_t before = year - 1; /* counts leap days of full years; year 0 has its own at -1 */
    return 365 * (year - 1970) + divide_down(before, 4) - divide_down(before, 100) +
           divide_down(before, 400) - (1969 / 4 - 1969 / 100 + 1969 / 400);
}

static int64_t days_from_civil(int64_t year, int64_t month, int64_t day) {
    int64_t days = days_to_year(year) + day - 1;
    for (int64_t m = 1; m < month; m++)
        days += days_in_month(year, m);
    return days;
}

static int64_t unix_ms_from_civil(const civil_t *civil) {
    return days_from_civil(civil->year, civil->month, civil->day) * DAY_MS + civil->hour * HOUR_MS +
           civil->minute * MINUTE_MS + civil->second * SECOND_MS + civil->ms;
}

static bool is_in_calendar(const civil_t *civil) {
    return civil->month >= 1 && civil->month <= 12 && civil->day >= 1 &&
           civil->day <= days_in_month(civil->year, civil->month) && civil->hour <= 23 &&
           civil->minute <= 59 && civil->second <= 60; /* 60: a leap second, the next one to us */
}

static int64_t clamp(int64_t value, int64_t min, int64_t max) {
    return value < min ? min : value > max ? max : value;
}

static civil_t civil_from_unix_ms(int64_t unix_ms) {
    int64_t days = divide_down(unix_ms, DAY_MS);
    int64_t ms = unix_ms - days * DAY_MS;
    civil_t civil = {.year = 1969 + divide_down(days * 400, DAYS_IN_400_YEARS), .month = 1};
    while (days_to_year(civil.year + 1) <= days) /* the guess is early, by two years at most */
        civil.year++;
    days -= days_to_year(civil.year);
    for (; days >= days_in_month(civil.year, civil.month); civil.month++)
        days -= days_in_month(civil.year, civil.month);
    civil.day = days + 1;
    civil.hour = ms / HOUR_MS;
    civil.minute = ms % HOUR_MS / MINUTE_MS;
    civil.second = ms % MINUTE_MS / SECOND_MS;
    civil.ms = ms % SECOND_MS;
    return civil;
}

/* 0: Sunday. */
static int64_t weekday(int64_t days) {
    return days + 4 - 7 * divide_down(days + 4, 7);
}

/* ---- writing -----------------------------------------------------------------------------------
 */

void imi_time_format(char out[IMI_TIME_TEXT_SIZE], int64_t unix_ms, bool has_ms) {
    civil_t civil = civil_from_unix_ms(clamp(unix_ms, UNIX_MS_MIN, UNIX_MS_MAX));
    int size = snprintf(out, IMI_TIME_TEXT_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d", (int)civil.year,
                        (int)civil.month, (int)civil.day, (int)civil.hour, (int)civil.minute,
                        (int)civil.second);
    size_t at = size < 0 ? 0 : (size_t)size;
    if (has_ms)
        snprintf(out + at, IMI_TIME_TEXT_SIZE - at, ".%03dZ", (int)civil.ms);
    else
        snprintf(out + at, IMI_TIME_TEXT_SIZE - at, "Z");
}

void imi_time_format_http(char out[IMI_TIME_TEXT_SIZE], int64_t unix_ms) {
    int64_t held_ms = clamp(unix_ms, UNIX_MS_MIN, UNIX_MS_MAX);
    civil_t civil = civil_from_unix_ms(held_ms);
    snprintf(out, IMI_TIME_TEXT_SIZE, "%s, %02d %s %04d %02d:%02d:%02d GMT",
             day_names[weekday(divide_down(held_ms, DAY_MS))], (int)civil.day,
             month_names[civil.month - 1], (int)civil.year, (int)civil.hour, (int)civil.minute,
             (int)civil.second);
}

/* ---- reading: what stands at the front of a text -----------------------------------------------
 */

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static imi_slice_t take(imi_slice_t *rest, size_t size) {
    imi_slice_t taken = {rest->data, size};
    rest->data += size;
    rest->size -= size;
    return taken;
}

static bool take_any(imi_slice_t *rest, const char *chars) {
    if (rest->size == 0 || rest->data[0] == '\0' || strchr(chars, rest->data[0]) == NULL)
        return false;
    take(rest, 1);
    return true;
}

static void skip_spaces(imi_slice_t *rest) {
    while (take_any(rest, " \t"))
        ;
}

static bool take_text(imi_slice_t *rest, const char *text) {
    size_t size = strlen(text);
    if (rest->size < size || !imi_slice_equals_nocase((imi_slice_t){rest->data, size}, text))
        return false;
    take(rest, size);
    return true;
}

/* Exactly so many digits. */
static bool take_digits(imi_slice_t *rest, size_t count, int64_t *out) {
    int64_t value = 0;
    if (rest->size < count)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!is_digit(rest->data[i]))
            return false;
        value = value * 10 + (rest->data[i] - '0');
    }
    take(rest, count);
    *out = value;
    return true;
}

/* "12", "1.5": that many units, in ms and rounded up. Past 30 days it is 30 days. */
static bool take_decimal(imi_slice_t *rest, int64_t unit_ms, int64_t *out_ms) {
    int64_t whole = 0, ms = 0, part_ms = unit_ms * SECOND_MS; /* in thousandths */
    bool has_rest = false;
    if (rest->size == 0 || !is_digit(rest->data[0]))
        return false;
    for (; rest->size != 0 && is_digit(rest->data[0]); take(rest, 1))
        whole = clamp(whole * 10 + (rest->data[0] - '0'), 0, SPAN_MAX_MS);
    if (rest->size > 1 && rest->data[0] == '.' && is_digit(rest->data[1])) {
        take(rest, 1);
        for (; rest->size != 0 && is_digit(rest->data[0]); take(rest, 1)) {
            int64_t digit = rest->data[0] - '0';
            has_rest = has_rest || (digit != 0 && (part_ms < 10 || part_ms % 10 != 0));
            part_ms /= 10;
            ms += digit * part_ms;
        }
    }
    ms = ms / SECOND_MS + (has_rest || ms % SECOND_MS != 0 ? 1 : 0);
    *out_ms = clamp(whole, 0, SPAN_MAX_MS / unit_ms) * unit_ms + ms;
    *out_ms = clamp(*out_ms, 0, SPAN_MAX_MS);
    return true;
}

/* ---- instants ----------------------------------------------------------------------------------
 */

/* "hh:mm", seconds and their fraction if they are there. */
static bool take_iso_time(imi_slice_t *rest, civil_t *civil) {
    if (!take_digits(rest, 2, &civil->hour) || !take_any(rest, ":") ||
        !take_digits(rest, 2, &civil->minute))
        return false;
    if (!take_any(rest, ":"))
        return true;
    if (!take_digits(rest, 2, &civil->second))
        return false;
    if (take_any(rest, ".,")) {
        int64_t unit = 100, digit = 0;
        if (rest->size == 0 || !is_digit(rest->data[0]))
            return false;
        for (; take_digits(rest, 1, &digit); unit /= 10)
            civil->ms += digit * unit;
    }
    return true;
}

static bool take_zone(imi_slice_t *rest, int64_t *out_ms) {
    int64_t sign = 1, hours = 0, minutes = 0;
    *out_ms = 0;
    if (rest->size == 0 || take_any(rest, "Zz"))
        return true;
    sign = rest->data[0] == '-' ? -1 : 1;
    if (!take_any(rest, "+-") || !take_digits(rest, 2, &hours))
        return false;
    if (take_any(rest, ":") || rest->size != 0) {
        if (!take_digits(rest, 2, &minutes))
            return false;
    }
    *out_ms = sign * (hours * HOUR_MS + minutes * MINUTE_MS);
    return hours <= 23 && minutes <= 59;
}

bool imi_time_parse(imi_slice_t text, int64_t *out_unix_ms) {
    civil_t civil = {0};
    int64_t zone_ms = 0;
    if (!take_digits(&text, 4, &civil.year) || !take_any(&text, "-") ||
        !take_digits(&text, 2, &civil.month) || !take_any(&text, "-") ||
        !take_digits(&text, 2, &civil.day))
        return false;
    if (text.size != 0 &&
        (!take_any(&text, "Tt ") || !take_iso_time(&text, &civil) || !take_zone(&text, &zone_ms)))
        return false;
    if (text.size != 0 || !is_in_calendar(&civil))
        return false;
    *out_unix_ms = unix_ms_from_civil(&civil) - zone_ms;
    return true;
}

static bool take_month(imi_slice_t *rest, int64_t *out) {
    for (size_t i = 0; i < sizeof(month_names) / sizeof(month_names[0]); i++) {
        if (take_text(rest, month_names[i])) {
            *out = (int64_t)i + 1;
            return true;
        }
    }
    return false;
}

/* Short or in full. Which day it was we know better from the date. */
static bool take_day_name(imi_slice_t *rest) {
    for (size_t i = 0; i < sizeof(day_names) / sizeof(day_names[0]); i++) {
        if (take_text(rest, day_names[i])) {
            take_text(rest, day_tails[i]);
            return true;
        }
    }
    return false;
}

static bool take_clock(imi_slice_t *rest, civil_t *civil) {
    return take_digits(rest, 2, &civil->hour) && take_any(rest, ":") &&
           take_digits(rest, 2, &civil->minute) && take_any(rest, ":") &&
           take_digits(rest, 2, &civil->second);
}

/* "06 Nov 1994 08:49:37 GMT", or with hyphens and two digits of the year, which are read as 1970 to
 * 2069 (the RFC's rule would need to know what year it is). */
static bool take_http_date(imi_slice_t *rest, civil_t *civil) {
    bool is_short = false;
    if (!take_digits(rest, 2, &civil->day))
        return false;
    is_short = take_any(rest, "-");
    if (!is_short && !take_any(rest, " "))
        return false;
    if (!take_month(rest, &civil->month) || !take_any(rest, is_short ? "-" : " ") ||
        !take_digits(rest, is_short ? 2 : 4, &civil->year))
        return false;
    if (is_short)
        civil->year += civil->year < 70 ? 2000 : 1900;
    return take_any(rest, " ") && take_clock(rest, civil) && take_text(rest, " GMT");
}

/* "Nov  6 08:49:37 1994" */
static bool take_asctime(imi_slice_t *rest, civil_t *civil) {
    if (!take_month(rest, &civil->month) || !take_any(rest, " "))
        return false;
    if (!take_digits(rest, take_any(rest, " ") ? 1 : 2, &civil->day))
        return false;
    return take_any(rest, " ") && take_clock(rest, civil) && take_any(rest, " ") &&
           take_digits(rest, 4, &civil->year);
}

bool imi_time_parse_http(imi_slice_t text, int64_t *out_unix_ms) {
    civil_t civil = {0};
    bool is_read = false;
    if (!take_day_name(&text))
        return false;
    if (take_text(&text, ", "))
        is_read = take_http_date(&text, &civil);
    else if (take_any(&text, " "))
        is_read = take_asctime(&text, &civil);
    if (!is_read || text.size != 0 || !is_in_calendar(&civil))
        return false;
    *out_unix_ms = unix_ms_from_civil(&civil);
    return true;
}

/* ---- spans -------------------------------------------------------------------------------------
 */

bool imi_time_parse_retry_after(imi_slice_t value, int64_t now_unix_ms, int64_t *out_ms) {
    imi_slice_t rest = imi_slice_trim(value);
    int64_t at_ms = 0, now_ms = clamp(now_unix_ms, UNIX_MS_MIN, UNIX_MS_MAX);
    if (take_decimal(&rest, SECOND_MS, out_ms))
        return rest.size == 0;
    if (!imi_time_parse_http(rest, &at_ms))
        return false;
    *out_ms = clamp(at_ms - now_ms, 0, SPAN_MAX_MS);
    return true;
}

bool imi_time_parse_seconds(imi_slice_t text, int64_t *out_ms) {
    return take_decimal(&text, SECOND_MS, out_ms) && take_text(&text, "s") && text.size == 0;
}

static int64_t unit_ms_of(imi_slice_t name) {
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = {
        {"ms", 1},
        {"millisecond", 1},
        {"milliseconds", 1},
        {"s", SECOND_MS},
        {"sec", SECOND_MS},
        {"secs", SECOND_MS},
        {"second", SECOND_MS},
        {"seconds", SECOND_MS},
        {"m", MINUTE_MS},
        {"min", MINUTE_MS},
        {"mins", MINUTE_MS},
        {"minute", MINUTE_MS},
        {"minutes", MINUTE_MS},
        {"h", HOUR_MS},
        {"hr", HOUR_MS},
        {"hrs", HOUR_MS},
        {"hour", HOUR_MS},
        {"hours", HOUR_MS},
        {"d", DAY_MS},
        {"day", DAY_MS},
        {"days", DAY_MS},
    };
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (imi_slice_equals_nocase(name, units[i].name))
            return units[i].ms;
    }
    return 0;
}

/* "1:02:03" or "12:30" */
static bool take_clock_span(imi_slice_t *rest, int64_t *out_ms) {
    imi_slice_t at = *rest;
    int64_t first_ms = 0, second = 0, third_ms = 0;
    if (!take_decimal(&at, SECOND_MS, &first_ms) || first_ms % SECOND_MS != 0 ||
        !take_any(&at, ":") || !take_digits(&at, 2, &second) || second > 59)
        return false;
    if (at.size > 1 && at.data[0] == ':' && is_digit(at.data[1])) {
        take(&at, 1);
        if (!take_decimal(&at, SECOND_MS, &third_ms) || third_ms >= MINUTE_MS)
            return false;
        *out_ms = first_ms * 3600 + second * MINUTE_MS + third_ms;
    } else {
        *out_ms = first_ms * 60 + second * SECOND_MS;
    }
    *rest = at;
    return true;
}

/* "20s", "1.5 hours": a number and its unit. */
static bool take_unit_span(imi_slice_t *rest, int64_t *out_ms) {
    imi_slice_t number = *rest, at = *rest, name;
    int64_t unit_ms = 0;
    while (at.size != 0 && (is_digit(at.data[0]) || at.data[0] == '.'))
        take(&at, 1);
    skip_spaces(&at);
    name = (imi_slice_t){at.data, 0};
    for (; at.size != 0 && is_letter(at.data[0]); take(&at, 1))
        name.size++;
    unit_ms = unit_ms_of(name);
    if (unit_ms == 0 || !take_decimal(&number, unit_ms, out_ms))
        return false;
    skip_spaces(&number);
    if (number.data != name.data)
        return false; /* a number like 1.2.3 */
    *rest = at;
    return true;
}

/* What may stand between "1 day" and "2:03:04", or "1 hour" and "5 minutes". */
static void skip_joint(imi_slice_t *rest) {
    skip_spaces(rest);
    take_any(rest, ",");
    skip_spaces(rest);
    if (take_text(rest, "and "))
        skip_spaces(rest);
}

/* Units one after the other, a clock at the end; at least one of them. */
static bool read_span(imi_slice_t rest, int64_t *out_ms) {
    int64_t total_ms = 0, ms = 0;
    bool is_clock = false, has_any = false;
    skip_spaces(&rest);
    while (!is_clock) {
        is_clock = take_clock_span(&rest, &ms);
        if (!is_clock && !take_unit_span(&rest, &ms))
            break;
        total_ms = clamp(total_ms + ms, 0, SPAN_MAX_MS);
        has_any = true;
        skip_joint(&rest);
    }
    if (has_any)
        *out_ms = total_ms;
    return has_any;
}

bool imi_time_find_try_again(imi_slice_t text, int64_t *out_ms) {
    static const char *const phrases[] = {"try again in", "try again after", "retry in",
                                          "retry after"};
    for (; text.size != 0; take(&text, 1)) {
        for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++) {
            imi_slice_t rest = text;
            if (take_text(&rest, phrases[i]) && read_span(rest, out_ms))
                return true;
        }
    }
    return false;
}

/* ---- midnights ---------------------------------------------------------------------------------
 */

int64_t imi_time_next_midnight(int64_t now_unix_ms, int offset_minutes) {
    int64_t offset_ms = offset_minutes * MINUTE_MS;
    int64_t local_ms = clamp(now_unix_ms, UNIX_MS_MIN, UNIX_MS_MAX) + offset_ms;
    return (divide_down(local_ms, DAY_MS) + 1) * DAY_MS - offset_ms;
}

/* Days from 1970-01-01 to the first Sunday of a month. */
static int64_t first_sunday(int64_t year, int64_t month) {
    int64_t first = days_from_civil(year, month, 1);
    return first + (7 - weekday(first)) % 7;
}

static int pacific_offset_minutes(int64_t unix_ms) {
    enum { STANDARD = -8 * 60, DAYLIGHT = -7 * 60 };
    int64_t year = civil_from_unix_ms(unix_ms + STANDARD * MINUTE_MS).year;
    int64_t begin = (first_sunday(year, 3) + 7) * DAY_MS + (2 * 60 - STANDARD) * MINUTE_MS;
    int64_t end = first_sunday(year, 11) * DAY_MS + (2 * 60 - DAYLIGHT) * MINUTE_MS;
    return unix_ms >= begin && unix_ms < end ? DAYLIGHT : STANDARD;
}

/* A day of 23 or 25 hours has its switch behind its midnight: then the midnight that ends it
 * follows the offset of the new time. */
int64_t imi_time_next_midnight_pacific(int64_t now_unix_ms) {
    int64_t now_ms = clamp(now_unix_ms, UNIX_MS_MIN, UNIX_MS_MAX);
    int offset = pacific_offset_minutes(now_ms);
    int64_t midnight_ms = imi_time_next_midnight(now_ms, offset);
    return midnight_ms + (offset - pacific_offset_minutes(midnight_ms)) * MINUTE_MS;
}
