/* time.h: instants and spans as texts. All instants are Unix milliseconds; nothing here reads a
 * clock or the machine's time zone. */
#ifndef IMI_WIRE_TIME_H
#define IMI_WIRE_TIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/str.h"

#define IMI_TIME_TEXT_SIZE 32

/* "2026-01-08T16:00:00.000Z"; has_ms false: without ".000". Out of years 0…9999: held to them. */
void imi_time_format(char out[IMI_TIME_TEXT_SIZE], int64_t unix_ms, bool has_ms);
/* ISO 8601: a date ("2026-01-08", midnight UTC) or date and time with optional seconds, fraction
 * and zone (Z, +hh:mm, -hhmm; none: UTC). Checks the calendar. */
bool imi_time_parse(imi_slice_t text, int64_t *out_unix_ms);
/* The three forms of an HTTP date (RFC 9110, section 5.6.7). */
bool imi_time_parse_http(imi_slice_t text, int64_t *out_unix_ms);
void imi_time_format_http(char out[IMI_TIME_TEXT_SIZE], int64_t unix_ms); /* IMF-fixdate */

/* Retry-After: seconds, with or without decimals, or an HTTP date; as milliseconds from now (0 for
 * a past date), held to 30 days. */
bool imi_time_parse_retry_after(imi_slice_t value, int64_t now_unix_ms, int64_t *out_ms);
/* A span as protobuf JSON writes it: "3.5s", "45s". Held to 30 days. */
bool imi_time_parse_seconds(imi_slice_t text, int64_t *out_ms);
/* Finds "try again in …" or "retry in …" (or "after" for "in") in free text, case ignored, and
 * reads what follows: "1:02:03", "12:30" (minutes), "20s", "1.5 s", "350ms", "2m30s", "6 minutes",
 * "1 hour", "1h2m", "1 day, 2:03:04". A number without a unit is none. Held to 30 days. */
bool imi_time_find_try_again(imi_slice_t text, int64_t *out_ms);

/* The next midnight after now in a zone of fixed offset (480: Beijing). */
int64_t imi_time_next_midnight(int64_t now_unix_ms, int offset_minutes);
/* The same in US Pacific time with its daylight saving rule (since 2007: second Sunday of March to
 * first Sunday of November, 2:00 local). */
int64_t imi_time_next_midnight_pacific(int64_t now_unix_ms);

#endif
