/* base64.c: three bytes are four letters, four at a time where nothing odd stands between. */
#include "wire/base64.h"

#include <stdint.h>
#include <string.h>

/* What a byte means to the decoder: a value below 64, or one of these. */
enum { LB = 64 /* line break */, PD = 65 /* padding */, NO = 255 /* no letter */ };

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Both alphabets of RFC 4648: '-' and '_' are the URL's '+' and '/'. */
/* clang-format off */
static const uint8_t meanings[256] = {
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, LB, NO, NO, LB, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, 62, NO, 62, NO, 63,
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, NO, NO, NO, PD, NO, NO,
    NO,  0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14,
    15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, NO, NO, NO, NO, 63,
    NO, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
    41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
};
/* clang-format on */

size_t imi_base64_encoded_size(size_t data_size) {
    size_t groups = data_size / 3 + (data_size % 3 != 0);
    return groups > SIZE_MAX / 4 ? SIZE_MAX : groups * 4; /* more than any buffer holds */
}

int imi_base64_encode(imi_buf_t *out, const void *data, size_t size) {
    const unsigned char *from = data;
    char *to = NULL;
    int err = imi_buf_reserve(out, imi_base64_encoded_size(size));
    if (err != 0)
        return err;
    to = out->data + out->size;
    for (; size >= 3; size -= 3, from += 3, to += 4) {
        uint32_t group = (uint32_t)from[0] << 16 | (uint32_t)from[1] << 8 | from[2];
        to[0] = letters[group >> 18];
        to[1] = letters[group >> 12 & 63];
        to[2] = letters[group >> 6 & 63];
        to[3] = letters[group & 63];
    }
    if (size != 0) {
        uint32_t group = (uint32_t)from[0] << 16 | (size == 2 ? (uint32_t)from[1] << 8 : 0);
        to[0] = letters[group >> 18];
        to[1] = letters[group >> 12 & 63];
        to[2] = size == 2 ? letters[group >> 6 & 63] : '=';
        to[3] = '=';
        to += 4;
    }
    *to = '\0';
    out->size = (size_t)(to - out->data);
    return 0;
}

size_t imi_base64_decoded_size_max(size_t text_size) {
    return text_size / 4 * 3 + 3; /* a last group without padding counts as a whole one */
}

/* Whole groups of letters only; stops at the first that is not. */
static size_t decode_groups(unsigned char **to, const unsigned char *from, size_t size) {
    unsigned char *out = *to;
    size_t at = 0;
    for (; size - at >= 4; at += 4, out += 3) {
        uint32_t a = meanings[from[at]], b = meanings[from[at + 1]];
        uint32_t c = meanings[from[at + 2]], d = meanings[from[at + 3]];
        if ((a | b | c | d) >= 64)
            break;
        out[0] = (unsigned char)(a << 2 | b >> 4);
        out[1] = (unsigned char)(b << 4 | c >> 2);
        out[2] = (unsigned char)(c << 6 | d);
    }
    *to = out;
    return at;
}

/* What is left when the letters are over: nothing, or 2 or 3 of a group whose spare bits are zero,
 * with as much padding as makes four, or with none. */
static bool decode_tail(unsigned char **to, uint32_t group, int letter_count, int padding_count) {
    if (padding_count != 0 && letter_count + padding_count != 4)
        return false;
    switch (letter_count) {
    case 0:
        return padding_count == 0;
    case 2:
        *(*to)++ = (unsigned char)(group >> 4);
        return (group & 15) == 0;
    case 3:
        *(*to)++ = (unsigned char)(group >> 10);
        *(*to)++ = (unsigned char)(group >> 2);
        return (group & 3) == 0;
    default:
        return false;
    }
}

bool imi_base64_decode(void *out, size_t *out_size, imi_slice_t text) {
    const unsigned char *from = (const unsigned char *)text.data;
    unsigned char *to = out;
    uint32_t group = 0;
    int letter_count = 0, padding_count = 0;
    for (size_t at = 0; at < text.size;) {
        uint8_t meaning = 0;
        if (letter_count == 0 && padding_count == 0) {
            at += decode_groups(&to, from + at, text.size - at);
            if (at == text.size)
                break;
        }
        meaning = meanings[from[at++]];
        if (meaning == LB)
            continue;
        if (meaning == PD && padding_count < 2) {
            padding_count++;
            continue;
        }
        if (meaning >= 64 || padding_count != 0)
            return false;
        group = group << 6 | meaning;
        letter_count++;
        if (letter_count == 4) {
            *to++ = (unsigned char)(group >> 16);
            *to++ = (unsigned char)(group >> 8);
            *to++ = (unsigned char)group;
            group = 0;
            letter_count = 0;
        }
    }
    if (!decode_tail(&to, group, letter_count, padding_count))
        return false;
    *out_size = (size_t)(to - (unsigned char *)out);
    return true;
}
