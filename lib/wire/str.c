/* str.c: slices, numbers, UTF-8 and percent encoding, by ASCII's rules in every locale.
 *
 * Numbers go through strtod and snprintf, which know the locale's decimal point. They never get to
 * use it: we read "3.14" as "314e-2", and of what "%e" writes we take only the digits. */
#include "wire/str.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 767 significant digits decide how any decimal rounds to a double; of more we only need to know
 * whether one of them is not zero. */
enum { DIGIT_COUNT_MAX = 768, DIGIT_COUNT_SHORTEST = 17 };

static const char hex_digits[] = "0123456789abcdef";
static const char hex_digits_upper[] = "0123456789ABCDEF"; /* RFC 3986, section 2.1 */

static char to_lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

imi_slice_t imi_slice_of(const char *text) {
    return (imi_slice_t){text, text == NULL ? 0 : strlen(text)};
}

bool imi_slice_equals(imi_slice_t slice, const char *text) {
    size_t size = strlen(text);
    return slice.data != NULL && slice.size == size && memcmp(slice.data, text, size) == 0;
}

static bool has_nocase_at(const char *data, const char *text, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (to_lower(data[i]) != to_lower(text[i]))
            return false;
    }
    return true;
}

bool imi_slice_equals_nocase(imi_slice_t slice, const char *text) {
    return slice.data != NULL && slice.size == strlen(text) &&
           has_nocase_at(slice.data, text, slice.size);
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

imi_slice_t imi_slice_trim(imi_slice_t slice) {
    while (slice.size != 0 && is_blank(slice.data[0])) {
        slice.data++;
        slice.size--;
    }
    while (slice.size != 0 && is_blank(slice.data[slice.size - 1]))
        slice.size--;
    return slice;
}

bool imi_slice_split(imi_slice_t *rest, char separator, imi_slice_t *out) {
    const char *found = NULL;
    if (rest->size == 0)
        return false;
    found = memchr(rest->data, separator, rest->size);
    *out = (imi_slice_t){rest->data, found == NULL ? rest->size : (size_t)(found - rest->data)};
    rest->data += found == NULL ? out->size : out->size + 1;
    rest->size -= found == NULL ? out->size : out->size + 1;
    return true;
}

bool imi_text_equals_nocase(const char *a, const char *b) {
    return imi_slice_equals_nocase(imi_slice_of(a), b);
}

bool imi_text_has_nocase(imi_slice_t text, const char *needle) {
    size_t size = strlen(needle);
    for (size_t i = 0; size <= text.size && i <= text.size - size; i++) {
        if (has_nocase_at(text.data + i, needle, size))
            return true;
    }
    return false;
}

bool imi_text_starts_with(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool imi_parse_int64(imi_slice_t text, int64_t *out) {
    bool is_negative = text.size != 0 && text.data[0] == '-';
    uint64_t limit = is_negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
    uint64_t value = 0;
    if (text.size == (is_negative ? 1 : 0))
        return false;
    for (size_t i = is_negative ? 1 : 0; i < text.size; i++) {
        uint64_t digit = (uint64_t)(text.data[i] - '0');
        if (!is_digit(text.data[i]) || value > (limit - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    /* Negated without leaving the range of either type, INT64_MIN included. */
    *out = is_negative && value != 0 ? -(int64_t)(value - 1) - 1 : (int64_t)value;
    return true;
}

static size_t digit_run(imi_slice_t text, size_t at) {
    size_t begin = at;
    while (at < text.size && is_digit(text.data[at]))
        at++;
    return at - begin;
}

size_t imi_number_size(imi_slice_t text) {
    size_t at = text.size != 0 && text.data[0] == '-' ? 1 : 0;
    size_t run = digit_run(text, at);
    if (run == 0)
        return 0;
    at += text.data[at] == '0' ? 1 : run;
    if (at < text.size && text.data[at] == '.') {
        run = digit_run(text, at + 1);
        if (run == 0)
            return 0;
        at += 1 + run;
    }
    if (at < text.size && (text.data[at] == 'e' || text.data[at] == 'E')) {
        at++;
        if (at < text.size && (text.data[at] == '+' || text.data[at] == '-'))
            at++;
        run = digit_run(text, at);
        if (run == 0)
            return 0;
        at += run;
    }
    return at;
}

/* A decimal number, digits * 10^exponent, its sign aside. */
typedef struct decimal {
    char digits[DIGIT_COUNT_MAX + 1];
    int count;
    int64_t exponent;
} decimal_t;

static void add_digit(decimal_t *decimal, char digit) {
    if (decimal->count == 0 && digit == '0')
        return;
    if (decimal->count < DIGIT_COUNT_MAX) {
        decimal->digits[decimal->count++] = digit;
        return;
    }
    decimal->exponent++;
    if (digit != '0' && decimal->digits[DIGIT_COUNT_MAX - 1] == '0')
        decimal->digits[DIGIT_COUNT_MAX - 1] = '1'; /* tells "more" from "exactly half" */
}

/* Takes a number apart that is known to be one. */
static void read_decimal(imi_slice_t text, decimal_t *out) {
    /* Larger than any text is long: digits and exponent may cancel each other out. */
    const int64_t exponent_max = INT64_MAX / 100;
    bool is_fraction = false;
    bool is_negative = false;
    int64_t exponent = 0;
    size_t at = text.data[0] == '-' ? 1 : 0;
    out->count = 0;
    out->exponent = 0;
    for (; at < text.size && (is_digit(text.data[at]) || text.data[at] == '.'); at++) {
        if (text.data[at] == '.') {
            is_fraction = true;
            continue;
        }
        out->exponent -= is_fraction ? 1 : 0;
        add_digit(out, text.data[at]);
    }
    for (; at < text.size; at++) {
        if (text.data[at] == '-')
            is_negative = true;
        else if (is_digit(text.data[at]) && exponent < exponent_max)
            exponent = exponent * 10 + (text.data[at] - '0');
    }
    out->exponent += is_negative ? -exponent : exponent;
}

static double decimal_to_double(const decimal_t *decimal) {
    const int64_t exponent_limit = 9999; /* past any double, whatever the digits */
    char text[DIGIT_COUNT_MAX + 16];
    int64_t exponent = decimal->exponent;
    if (decimal->count == 0)
        return 0;
    if (exponent > exponent_limit)
        exponent = exponent_limit;
    if (exponent < -exponent_limit)
        exponent = -exponent_limit;
    snprintf(text, sizeof(text), "%.*se%d", decimal->count, decimal->digits, (int)exponent);
    return strtod(text, NULL);
}

/* Most numbers have so few digits that both halves and their product or quotient are exact or
 * rounded once (Clinger, 1990). False: not that simple. */
static bool short_decimal_to_double(const decimal_t *decimal, double *out) {
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    int64_t value = 0;
    if (FLT_EVAL_METHOD != 0 || decimal->count > DBL_DIG || decimal->exponent < -22 ||
        decimal->exponent > 22)
        return false;
    for (int i = 0; i < decimal->count; i++)
        value = value * 10 + (decimal->digits[i] - '0');
    *out = decimal->exponent < 0 ? (double)value / powers[-decimal->exponent]
                                 : (double)value * powers[decimal->exponent];
    return true;
}

bool imi_parse_double(imi_slice_t text, double *out) {
    decimal_t decimal;
    double value = 0;
    if (text.size == 0 || imi_number_size(text) != text.size)
        return false;
    read_decimal(text, &decimal);
    if (!short_decimal_to_double(&decimal, &value))
        value = decimal_to_double(&decimal);
    if (isinf(value))
        return false;
    *out = text.data[0] == '-' ? -value : value;
    return true;
}

/* The `count` digits nearest to the value, zeros at the end left out. */
static void round_to_digits(double value, int count, decimal_t *out) {
    char text[DIGIT_COUNT_SHORTEST + 16]; /* "d,ddde-308"; a decimal point may take some bytes */
    size_t at = 0;
    int written = snprintf(text, sizeof(text), "%.*e", count - 1, value);
    out->count = 0;
    out->exponent = 0;
    for (; written > 0 && text[at] != 'e'; at++) {
        if (is_digit(text[at]))
            out->digits[out->count++] = text[at];
    }
    out->exponent = strtol(text + at + 1, NULL, 10) - (out->count - 1);
    while (out->count > 1 && out->digits[out->count - 1] == '0') {
        out->count--;
        out->exponent++;
    }
}

/* Below a power of two doubles lie closer together than above it. So there the nearest text of 16
 * digits may belong to the neighbour below, while the next one up is still ours. */
static bool next_one_up(double value, decimal_t *out) {
    decimal_t full;
    int last = DIGIT_COUNT_SHORTEST - 2;
    round_to_digits(value, DIGIT_COUNT_SHORTEST, &full);
    if (full.count != DIGIT_COUNT_SHORTEST || full.digits[last] == '9')
        return false;
    full.digits[last]++;
    full.count--;
    full.exponent++;
    if (decimal_to_double(&full) > value || decimal_to_double(&full) < value)
        return false;
    *out = full;
    return true;
}

/* 15 digits are never too many for a normal number that was written with 15; the others (which are
 * less exact than that) are tried from one digit on. */
static void shortest_decimal(double value, decimal_t *out) {
    for (int count = value < DBL_MIN ? 1 : DBL_DIG; count < DIGIT_COUNT_SHORTEST; count++) {
        double back = 0;
        round_to_digits(value, count, out);
        back = decimal_to_double(out);
        if (back >= value && back <= value)
            return;
    }
    if (!next_one_up(value, out))
        round_to_digits(value, DIGIT_COUNT_SHORTEST, out);
}

/* As JavaScript does: plain from 1e-6 up to 1e21, with an exponent beyond. */
size_t imi_format_double(char out[32], double value) {
    decimal_t decimal;
    const char *sign = signbit(value) ? "-" : "";
    int point = 0; /* digits before the decimal point */
    int size = 0;
    if (!isfinite(value)) {
        memcpy(out, "null", 5);
        return 4;
    }
    shortest_decimal(fabs(value), &decimal);
    point = decimal.count + (int)decimal.exponent;
    if (point > 21 || point < -5)
        size = snprintf(out, 32, "%s%c%s%.*se%+d", sign, decimal.digits[0],
                        decimal.count > 1 ? "." : "", decimal.count - 1, decimal.digits + 1,
                        point - 1);
    else if (point <= 0)
        size =
            snprintf(out, 32, "%s0.%.*s%.*s", sign, -point, "00000", decimal.count, decimal.digits);
    else if (point < decimal.count)
        size = snprintf(out, 32, "%s%.*s.%.*s", sign, point, decimal.digits, decimal.count - point,
                        decimal.digits + point);
    else
        size = snprintf(out, 32, "%s%.*s%.*s", sign, decimal.count, decimal.digits,
                        point - decimal.count, "00000000000000000000");
    return size < 0 ? 0 : (size_t)size;
}

void imi_hex(char *out, const void *data, size_t size) {
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++) {
        *out++ = hex_digits[bytes[i] >> 4];
        *out++ = hex_digits[bytes[i] & 15];
    }
    *out = '\0';
}

size_t imi_utf8_next(const char *data, size_t size, bool *is_valid) {
    const unsigned char *bytes = (const unsigned char *)data;
    unsigned char first = bytes[0];
    unsigned char second_min = 0x80, second_max = 0xBF;
    size_t needed = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    *is_valid = first < 0x80;
    if (first < 0xC2 || first > 0xF4) /* ASCII, or what begins no character */
        return 1;
    if (first == 0xE0)
        second_min = 0xA0; /* below: a longer form than needed */
    else if (first == 0xED)
        second_max = 0x9F; /* above: surrogates */
    else if (first == 0xF0)
        second_min = 0x90;
    else if (first == 0xF4)
        second_max = 0x8F; /* above: past U+10FFFF */
    if (size < 2 || bytes[1] < second_min || bytes[1] > second_max)
        return 1;
    for (size_t i = 2; i < needed; i++) {
        if (i >= size || (bytes[i] & 0xC0) != 0x80)
            return i;
    }
    *is_valid = true;
    return needed;
}

/* How many bytes at the front are ASCII, to the next multiple of 8 below. */
static size_t ascii_run(const char *data, size_t size) {
    size_t at = 0;
    for (; size - at >= 8; at += 8) {
        uint64_t word = 0;
        memcpy(&word, data + at, 8);
        if ((word & UINT64_C(0x8080808080808080)) != 0)
            break;
    }
    return at;
}

bool imi_utf8_valid(const char *data, size_t size) {
    size_t at = 0;
    while (at < size) {
        bool is_valid = true;
        if ((data[at] & 0x80) == 0)
            at += ascii_run(data + at, size - at);
        if (at < size)
            at += imi_utf8_next(data + at, size - at, &is_valid);
        if (!is_valid)
            return false;
    }
    return true;
}

static bool is_unreserved(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

int imi_percent_encode(imi_buf_t *out, const char *text, bool keep_slashes) {
    imi_buf_reserve(out, strlen(text));
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (is_unreserved(*text) || (keep_slashes && *text == '/')) {
            imi_buf_append_byte(out, *text);
        } else {
            const char escape[] = {'%', hex_digits_upper[byte >> 4], hex_digits_upper[byte & 15]};
            imi_buf_append(out, escape, sizeof(escape));
        }
    }
    return out->error;
}

static int hex_value(char c) {
    if (is_digit(c))
        return c - '0';
    c = to_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool imi_percent_decode_bytes(void *out, size_t *out_size, imi_slice_t text, bool plus_is_space) {
    char *to = out;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c == '%') {
            int high = text.size - i > 2 ? hex_value(text.data[i + 1]) : -1;
            int low = high < 0 ? -1 : hex_value(text.data[i + 2]);
            if (low < 0)
                return false;
            c = (char)(unsigned char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        *to++ = c;
    }
    *out_size = (size_t)(to - (char *)out);
    return true;
}

char *imi_percent_decode(imi_arena_t *arena, imi_slice_t text, bool plus_is_space) {
    char *out = imi_arena_alloc(arena, text.size + 1);
    size_t size = 0;
    if (out == NULL || !imi_percent_decode_bytes(out, &size, text, plus_is_space) ||
        memchr(out, '\0', size) != NULL)
        return NULL;
    out[size] = '\0';
    return out;
}

bool imi_equals_constant_time(const void *a, size_t a_size, const void *b, size_t b_size) {
    const volatile unsigned char *left = a, *right = b;
    unsigned char difference = 0;
    if (a_size != b_size)
        return false;
    for (size_t i = 0; i < a_size; i++)
        difference |= left[i] ^ right[i];
    return difference == 0;
}

/* C0, DEL, C1, and the two separators that end a line for many readers. */
static bool is_control(const char *data, size_t size) {
    unsigned char first = (unsigned char)data[0];
    if (size == 1)
        return first < 0x20 || first == 0x7F;
    return (size == 2 && first == 0xC2 && (unsigned char)data[1] < 0xA0) ||
           (size == 3 &&
            (memcmp(data, "\xE2\x80\xA8", 3) == 0 || memcmp(data, "\xE2\x80\xA9", 3) == 0));
}

char *imi_text_clean(imi_arena_t *arena, const char *data, size_t size, size_t size_max) {
    size_t room = size < size_max / 3 ? size * 3 : size_max; /* U+FFFD for one byte takes three */
    char *out = imi_arena_alloc(arena, room + 1);
    size_t out_size = 0;
    bool is_gap = false;
    if (out == NULL)
        return NULL;
    for (size_t at = 0, step = 0; at < size; at += step) {
        bool is_valid = true;
        const char *from = data + at;
        size_t from_size = step = imi_utf8_next(from, size - at, &is_valid);
        if (!is_valid) {
            from = "\xEF\xBF\xBD";
            from_size = 3;
        } else if (is_control(from, step)) {
            is_gap = true;
            continue;
        }
        is_gap = is_gap && out_size != 0 && out[out_size - 1] != ' ' && from[0] != ' ';
        if (from_size + (is_gap ? 1 : 0) > room - out_size)
            break;
        if (is_gap)
            out[out_size++] = ' ';
        memcpy(out + out_size, from, from_size);
        out_size += from_size;
        is_gap = false;
    }
    out[out_size] = '\0';
    return out;
}

void imi_text_make_quotable(char *text) {
    for (char *c = text; *c != '\0'; c++)
        if (*c == '"')
            *c = '\'';
        else if (*c == '\\' && c[1] == '\0') /* it would take the closing quote with it */
            *c = '/';
        else if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
}
