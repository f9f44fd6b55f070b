/* json_check.c: imi_json_valid. Looks at every byte once, eight at a time where a string is plain.
 *
 *   value --> next                       what may come; '{' and '[' go one container deeper,
 *   key or end --> value --> next        '}' and ']' come back to "next"
 *   item or end --> next
 *   next --','--> key (in an object) or value (in an array)
 *
 * `at` always stands on the first byte that was not accepted. */
#include "wire/json.h"
#include "wire/json_scan.h"

typedef struct check {
    const char *at;
    const char *end;
    int depth;
    uint64_t is_object[IMI_JSON_DEPTH_MAX / 64]; /* one bit per container around `at` */
} check_t;

static bool check_string(check_t *check) {
    check->at++;
    for (;;) {
        bool is_valid = true;
        char decoded[4];
        size_t decoded_size = 0, step = 0;
        check->at += imi_json_plain_run(check->at, (size_t)(check->end - check->at));
        if (check->at == check->end)
            return false;
        if (*check->at == '"') {
            check->at++;
            return true;
        }
        if (*check->at == '\\')
            step = imi_json_read_escape(check->at, check->end, decoded, &decoded_size);
        else if ((*check->at & 0x80) != 0)
            step = imi_utf8_next(check->at, (size_t)(check->end - check->at), &is_valid);
        if (step == 0 || !is_valid)
            return false;
        check->at += step;
    }
}

static bool is_in_object(const check_t *check) {
    int top = check->depth - 1;
    return (check->is_object[top / 64] >> (top % 64) & 1) != 0;
}

static bool check_open(check_t *check, int depth_max) {
    uint64_t bit = UINT64_C(1) << (check->depth % 64);
    uint64_t *bits = NULL;
    if (check->depth >= depth_max)
        return false;
    bits = &check->is_object[check->depth / 64];
    *bits = *check->at == '{' ? *bits | bit : *bits & ~bit;
    check->depth++;
    check->at++;
    return true;
}

static bool check_scalar(check_t *check) {
    size_t size = 0;
    if (*check->at == '"')
        return check_string(check);
    size = imi_json_scalar_size(check->at, check->end);
    check->at += size;
    return size != 0;
}

static bool check_key(check_t *check) {
    if (*check->at != '"' || !check_string(check))
        return false;
    check->at = imi_json_skip_space(check->at, check->end);
    if (check->at == check->end || *check->at != ':')
        return false;
    check->at++;
    return true;
}

static bool check_document(check_t *check, int depth_max) {
    enum { WANT_VALUE, WANT_ITEM_OR_END, WANT_KEY, WANT_KEY_OR_END, WANT_NEXT } want = WANT_VALUE;
    for (;;) {
        char c = '\0';
        check->at = imi_json_skip_space(check->at, check->end);
        if (check->at == check->end)
            return want == WANT_NEXT && check->depth == 0;
        c = *check->at;
        if ((want == WANT_ITEM_OR_END && c == ']') || (want == WANT_KEY_OR_END && c == '}'))
            want = WANT_NEXT; /* which closes what was just opened */
        switch (want) {
        case WANT_VALUE:
        case WANT_ITEM_OR_END:
            if (c == '{' || c == '[') {
                if (!check_open(check, depth_max))
                    return false;
                want = c == '{' ? WANT_KEY_OR_END : WANT_ITEM_OR_END;
                break;
            }
            if (!check_scalar(check))
                return false;
            want = WANT_NEXT;
            break;
        case WANT_KEY:
        case WANT_KEY_OR_END:
            if (!check_key(check))
                return false;
            want = WANT_VALUE;
            break;
        case WANT_NEXT:
            if (check->depth == 0)
                return false;
            if (c == ',')
                want = is_in_object(check) ? WANT_KEY : WANT_VALUE;
            else if (c == (is_in_object(check) ? '}' : ']'))
                check->depth--;
            else
                return false;
            check->at++;
            break;
        }
    }
}

bool imi_json_valid(imi_slice_t document, int depth_max, size_t *out_at) {
    check_t check = {.at = document.data};
    bool is_valid = false;
    if (document.data != NULL) {
        check.end = document.data + document.size;
        is_valid =
            check_document(&check, depth_max < IMI_JSON_DEPTH_MAX ? depth_max : IMI_JSON_DEPTH_MAX);
    }
    if (out_at != NULL)
        *out_at = (size_t)(check.at - document.data);
    return is_valid;
}
