/* hearsay.c: knows the words of curl 7.88:
 *
 *   Connected to example.com (192.0.2.1) port 443 (#7)
 *   Re-using existing connection #7 with host example.com
 *   Using Stream ID: 201 (easy handle 0x55979b706cf0)
 *   recveived GOAWAY, error=0, last_stream=199
 *   REFUSED_STREAM, retrying a fresh connect */
#include "uv/hearsay.h"

#include <stdbool.h>
#include <string.h>

enum { DIGITS_MAX = 18 }; /* no overflow */

static bool starts_with(const char *text, size_t size, const char *start) {
    size_t start_size = strlen(start);
    return size >= start_size && memcmp(text, start, start_size) == 0;
}

/* The number behind the first occurrence of `mark`. */
static bool number_behind(const char *text, size_t size, const char *mark, int64_t *out) {
    const char *found = memmem(text, size, mark, strlen(mark));
    const char *end = text + size;
    const char *digits = found == NULL ? end : found + strlen(mark);
    int count = 0;
    *out = 0;
    for (const char *c = digits; c < end && *c >= '0' && *c <= '9'; c++) {
        if (++count > DIGITS_MAX)
            return false;
        *out = *out * 10 + (*c - '0');
    }
    return count > 0;
}

imi_hearsay_topic_t imi_hearsay_read(const char *text, size_t size, int64_t *out_number) {
    *out_number = 0;
    if (starts_with(text, size, "Connected to "))
        return number_behind(text, size, " (#", out_number) ? IMI_HEARSAY_CONNECTION
                                                            : IMI_HEARSAY_NOTHING;
    if (starts_with(text, size, "Re-using existing connection "))
        return number_behind(text, size, " #", out_number) ? IMI_HEARSAY_CONNECTION
                                                           : IMI_HEARSAY_NOTHING;
    if (starts_with(text, size, "Using Stream ID: "))
        return number_behind(text, size, ": ", out_number) ? IMI_HEARSAY_STREAM
                                                           : IMI_HEARSAY_NOTHING;
    if (starts_with(text, size, "recveived GOAWAY") || starts_with(text, size, "received GOAWAY"))
        return number_behind(text, size, " last_stream=", out_number) ? IMI_HEARSAY_GOAWAY
                                                                      : IMI_HEARSAY_NOTHING;
    return starts_with(text, size, "REFUSED_STREAM") ? IMI_HEARSAY_REFUSED : IMI_HEARSAY_NOTHING;
}
