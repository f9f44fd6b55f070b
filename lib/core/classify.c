/* classify.c: why did it fail, and whose fault is it? The first row that fits decides:
 *   401                                            the token is not valid
 *   402                                            its quota is spent
 *   400 403 429, and a 2xx that holds an error:
 *     QuotaFailure with a limit of 0               not in the plan
 *     QuotaFailure of a day                        quota; of a minute: rate
 *     a code for content, quota, rate, token       that
 *     words for content or quota in the reason     that
 *   429 rate, 403 not in the plan, other 4xx the request, all else the provider
 * 422 is the request's or the content's. A page of HTML comes from something in front of the
 * provider: unless its status alone says enough, that is the provider's fault.
 *
 * A word proves nothing when the prompt holds it too: the answer may only quote the prompt, in
 * whole or in part, and whoever writes prompts must not be able to set tokens aside. */
#include "core/classify.h"

#include <string.h>

#include "wire/json.h"
#include "wire/time.h"

enum {
    MESSAGE_SIZE_MAX = 500,
    EXCERPT_SIZE_MAX = 200,      /* of a page that was meant for a person with a browser */
    WORDS_SIZE_MAX = 4096,       /* of a reason that is searched for words */
    REASON_SIZE_MAX = 64 * 1024, /* longer texts in an answer are no reasons */
    CODES_MAX = 16,
    DETAILS_MAX = 32, /* of error.details that are looked at */
    JSON_DEPTH_MAX = 64
};
#define RETRY_MAX_MS (INT64_C(30) * 24 * 60 * 60 * 1000)

/* Lower case. Gitee and ModelScope say it in Chinese too: allowance, balance, quota, arrears. */
static const char *const quota_words[] = {"quota", "credit", "arrearage", "exhausted", "bill",
                                          "额度",  "余额",   "配额",      "欠费"};
/* Of a Space that fails: its own texts are too various for more. */
static const char *const space_quota_words[] = {"quota", "credit"};
static const char *const content_words[] = {"content policy", "safety system", "moderation",
                                            "nsfw"};
static const char *const quota_codes[] = {"quota", "credit", "arrearage", "bill", "exhausted"};
static const char *const rate_codes[] = {"rate_limit", "ratelimit", "too_many_requests",
                                         "toomanyrequests"};
static const char *const token_codes[] = {"invalid_api_key", "api_key_invalid", "unauthenticated",
                                          "authentication_error"};
static const char *const content_codes[] = {"content_policy", "content_filter", "moderation",
                                            "safety",         "prohibited",     "blocklist",
                                            "sensitive",      "nsfw",           "inspection"};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

typedef struct answer {
    imi_arena_t *arena;
    const imagine_http_response_t *response;
    const char *prompt; /* NULL: none */
    imi_slice_t body;   /* of an array, its first item: some answer a list of one error */
    bool is_json, is_html;
    int status; /* as sent; of a 2xx, as its body tells; 0: it does not */
    imi_slice_t codes[CODES_MAX];
    size_t code_count;
    const char *reason; /* the provider's own words; NULL: none */
    bool has_day_quota, has_minute_quota, has_model_quota, has_zero_quota;
    int64_t retry_delay_ms; /* RetryInfo's; 0: none */
} answer_t;

/* ---- words and codes --------------------------------------------------------------------------
 */

static bool is_ascii_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_letter(char c) {
    return is_ascii_letter(c) || (unsigned char)c >= 0x80;
}

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool begins_with(const char *text, const char *word) {
    while (*word != '\0' && lower(*text) == *word) {
        text++;
        word++;
    }
    return *word == '\0';
}

/* Does the prompt hold the letters of this word in a row, whatever else stands between them? Who
 * quotes may have dropped or escaped that. */
static bool is_in_prompt(const char *prompt, const char *word) {
    for (; prompt != NULL && *prompt != '\0'; prompt++) {
        const char *at = prompt, *letter = word;
        if (lower(*prompt) != *word)
            continue;
        while (*at != '\0' && *letter != '\0') {
            if (!is_letter(*letter))
                letter++;
            else if (!is_letter(*at))
                at++;
            else if (lower(*at++) != *letter++)
                break;
            else if (*letter == '\0')
                return true;
        }
    }
    return false;
}

/* At the beginning of a word, where the script has words. */
static bool has_word(const char *text, const char *word) {
    for (const char *at = text; *at != '\0'; at++) {
        if (at > text && is_ascii_letter(at[-1]) && is_ascii_letter(*word))
            continue;
        if (begins_with(at, word) && !begins_with(at, "billion") && !begins_with(at, "billboard"))
            return true;
    }
    return false;
}

static bool says(const char *reason, const char *prompt, const char *const words[], size_t count) {
    for (size_t i = 0; reason != NULL && i < count; i++)
        if (has_word(reason, words[i]) && !is_in_prompt(prompt, words[i]))
            return true;
    return false;
}

static bool has_code(const answer_t *answer, const char *const codes[], size_t count) {
    for (size_t k = 0; k < answer->code_count; k++)
        for (size_t i = 0; i < count; i++)
            if (imi_text_has_nocase(answer->codes[k], codes[i]))
                return true;
    return false;
}

/* ---- reading the answer -----------------------------------------------------------------------
 */

static imi_slice_t header(const imagine_http_response_t *response, const char *name) {
    for (size_t i = 0; i < response->header_count; i++)
        if (imi_text_equals_nocase(response->headers[i].name, name))
            return imi_slice_trim(imi_slice_of(response->headers[i].value));
    return (imi_slice_t){NULL, 0};
}

/* A code is one word: what has blanks is a sentence, and may quote. */
static void add_code(answer_t *answer, imi_slice_t value) {
    imi_slice_t code = imi_json_plain_text(value);
    if (code.size > 0 && code.size <= 128 && memchr(code.data, ' ', code.size) == NULL &&
        answer->code_count < CODES_MAX)
        answer->codes[answer->code_count++] = code;
}

static void read_violation(answer_t *answer, imi_slice_t violation) {
    imi_slice_t id = imi_json_plain_text(imi_json_get(violation, "quotaId"));
    imi_slice_t limit = imi_json_plain_text(imi_json_get(violation, "quotaValue"));
    answer->has_day_quota |= imi_text_has_nocase(id, "perday");
    answer->has_minute_quota |= imi_text_has_nocase(id, "perminute");
    answer->has_model_quota |= imi_text_has_nocase(id, "permodel");
    answer->has_zero_quota |= imi_slice_equals(limit, "0");
}

/* google.rpc's details: QuotaFailure, RetryInfo, ErrorInfo. */
static void read_details(answer_t *answer) {
    imi_json_cursor_t details = imi_json_walk(imi_json_get(answer->body, "error.details"));
    imi_slice_t detail, violation;
    for (int i = 0; i < DETAILS_MAX && imi_json_next_item(&details, &detail); i++) {
        imi_json_cursor_t violations = imi_json_walk(imi_json_get(detail, "violations"));
        int64_t delay_ms = 0;
        for (int k = 0; k < DETAILS_MAX && imi_json_next_item(&violations, &violation); k++)
            read_violation(answer, violation);
        if (imi_time_parse_seconds(imi_json_plain_text(imi_json_get(detail, "retryDelay")),
                                   &delay_ms) &&
            delay_ms > answer->retry_delay_ms)
            answer->retry_delay_ms = delay_ms;
        add_code(answer, imi_json_get(detail, "reason"));
    }
}

static void read_codes(answer_t *answer) {
    static const char *const paths[] = {"error.code", "error.status", "error.type",
                                        "code",       "status",       "type",
                                        "error_code", "errors.code",  "errors[0].code"};
    static const char *const numbers[] = {"error.code", "code", "status_code", "statusCode",
                                          "error.status"};
    for (size_t i = 0; i < COUNT(paths); i++)
        add_code(answer, imi_json_get(answer->body, paths[i]));
    if (answer->status < 200 || answer->status > 299)
        return;
    answer->status = 0;
    for (size_t i = 0; i < COUNT(numbers) && answer->status == 0; i++) {
        int64_t number = 0;
        if (imi_json_whole_number(imi_json_get(answer->body, numbers[i]), &number) &&
            number >= 400 && number <= 599)
            answer->status = (int)number;
    }
}

static const char *reason_in_json(const answer_t *answer) {
    static const char *const paths[] = {"message",           "error.message", "errors.message",
                                        "errors[0].message", "error",         "detail",
                                        "detail[0].msg",     "messege",       ""};
    for (size_t i = 0; i < COUNT(paths); i++) {
        imi_slice_t value = imi_json_get(answer->body, paths[i]);
        size_t size = 0;
        const char *text =
            value.size <= REASON_SIZE_MAX ? imi_json_text(answer->arena, value, &size) : NULL;
        if (text != NULL && size > 0)
            return imi_text_clean(answer->arena, text, size, WORDS_SIZE_MAX);
    }
    return NULL;
}

static bool is_html(const answer_t *answer) {
    imi_slice_t type = header(answer->response, "content-type");
    return !answer->is_json &&
           (imi_text_has_nocase(type, "text/html") ||
            (answer->body.size > 1 && answer->body.data[0] == '<' &&
             (answer->body.data[1] == '!' || is_ascii_letter(answer->body.data[1]))));
}

static bool slice_begins_with(imi_slice_t text, const char *word) {
    size_t size = strlen(word);
    return text.size >= size && imi_slice_equals_nocase((imi_slice_t){text.data, size}, word);
}

/* Behind the next '>' or, of a script or style, behind its end. */
static imi_slice_t skip_tag(imi_slice_t page) {
    const char *end = slice_begins_with(page, "<script")  ? "</script"
                      : slice_begins_with(page, "<style") ? "</style"
                      : slice_begins_with(page, "<!--")   ? "-->"
                                                          : ">";
    while (page.size > 0 && !slice_begins_with(page, end)) {
        page.data++;
        page.size--;
    }
    while (page.size > 0 && *page.data++ != '>')
        page.size--;
    if (page.size > 0)
        page.size--;
    return page;
}

/* What a person would read of the page. */
static const char *excerpt(const answer_t *answer) {
    imi_slice_t page = answer->body;
    char *out = NULL;
    size_t size = 0;
    if (page.size > REASON_SIZE_MAX)
        page.size = REASON_SIZE_MAX;
    out = imi_arena_alloc(answer->arena, page.size + 1);
    if (out == NULL)
        return NULL;
    while (page.size > 0) {
        char c = *page.data;
        if (c == '<') {
            page = skip_tag(page);
            c = ' ';
        } else {
            page.data++;
            page.size--;
        }
        if ((unsigned char)c > ' ')
            out[size++] = c;
        else if (size > 0 && out[size - 1] != ' ')
            out[size++] = ' ';
    }
    if (size > 0 && out[size - 1] == ' ')
        size--;
    return imi_text_clean(answer->arena, out, size, EXCERPT_SIZE_MAX);
}

static void read_answer(answer_t *answer) {
    const imagine_http_response_t *response = answer->response;
    imi_slice_t first;
    answer->status = response->status;
    if (response->body != NULL)
        answer->body = imi_slice_trim((imi_slice_t){response->body, response->body_size});
    answer->is_json = imi_json_valid(answer->body, JSON_DEPTH_MAX, NULL);
    answer->is_html = is_html(answer);
    if (answer->is_json) {
        first = imi_json_get(answer->body, "[0]");
        if (first.data != NULL)
            answer->body = first;
        read_codes(answer);
        read_details(answer);
        answer->reason = reason_in_json(answer);
    } else if (!answer->is_html && answer->body.size > 0) {
        answer->reason =
            imi_text_clean(answer->arena, answer->body.data, answer->body.size, WORDS_SIZE_MAX);
    }
}

/* ---- the table --------------------------------------------------------------------------------
 */

static bool has_zero_limit(const answer_t *answer) {
    const char *at = answer->reason != NULL ? strstr(answer->reason, "limit: 0") : NULL;
    if (answer->has_zero_quota)
        return true;
    return at != NULL && strchr("0123456789.", at[8]) == NULL &&
           !is_in_prompt(answer->prompt, "limit");
}

/* What a status between "your fault" and "our fault" means; 0: nothing says so. */
static int reason_inside(const answer_t *answer, int32_t *out_is_for_model) {
    bool is_gemini_quota = answer->has_day_quota || answer->has_minute_quota;
    if ((is_gemini_quota || has_code(answer, (const char *const[]){"resource_exhausted"}, 1)) &&
        has_zero_limit(answer))
        return IMAGINE_EPLAN;
    *out_is_for_model = answer->has_day_quota && answer->has_model_quota;
    if (is_gemini_quota)
        return answer->has_day_quota ? IMAGINE_EQUOTA : IMAGINE_ERATE;
    if (has_code(answer, content_codes, COUNT(content_codes)))
        return IMAGINE_ECONTENT;
    if (has_code(answer, quota_codes, COUNT(quota_codes)))
        return IMAGINE_EQUOTA;
    if (has_code(answer, rate_codes, COUNT(rate_codes)))
        return IMAGINE_ERATE;
    if (has_code(answer, token_codes, COUNT(token_codes)))
        return IMAGINE_ETOKEN;
    if (says(answer->reason, answer->prompt, content_words, COUNT(content_words)))
        return IMAGINE_ECONTENT;
    if (says(answer->reason, answer->prompt, quota_words, COUNT(quota_words)))
        return IMAGINE_EQUOTA;
    return 0;
}

static int reason_of(const answer_t *answer, int32_t *out_is_for_model) {
    bool is_success = answer->response->status >= 200 && answer->response->status <= 299;
    int reason = 0;
    switch (answer->status) {
    case 401:
        return IMAGINE_ETOKEN;
    case 402:
        return IMAGINE_EQUOTA;
    case 0: /* a 2xx that tells no status of its own */
    case 400:
    case 403:
    case 429:
        reason = reason_inside(answer, out_is_for_model);
        if (reason != 0)
            return reason;
        break;
    case 422:
        if (has_code(answer, content_codes, COUNT(content_codes)) ||
            says(answer->reason, answer->prompt, content_words, COUNT(content_words)))
            return IMAGINE_ECONTENT;
        return IMAGINE_EREJECTED;
    case 413:
    case 414:
        return IMAGINE_EREJECTED;
    default:
        break;
    }
    if (answer->status == 429)
        return IMAGINE_ERATE;
    if (is_success && !answer->is_json)
        return IMAGINE_EPROTOCOL;
    if (answer->is_html)
        return IMAGINE_EUPSTREAM;
    if (answer->status == 403)
        return IMAGINE_EPLAN;
    if (answer->status == 408 || answer->status == 425 || answer->status == 407)
        return IMAGINE_EUPSTREAM;
    return answer->status >= 400 && answer->status <= 499 ? IMAGINE_EREJECTED : IMAGINE_EUPSTREAM;
}

/* ---- when to come back ------------------------------------------------------------------------
 */

static uint64_t held(int64_t ms) {
    return ms <= 0 ? 0 : (uint64_t)(ms < RETRY_MAX_MS ? ms : RETRY_MAX_MS);
}

/* "try again in 20s", unless it may be the prompt that says so. */
static uint64_t retry_after_in_text(const char *text, const char *prompt) {
    static const char *const phrases[] = {"again in", "again after", "retry in", "retry after"};
    int64_t ms = 0;
    for (size_t i = 0; i < COUNT(phrases); i++)
        if (is_in_prompt(prompt, phrases[i]))
            return 0;
    return text != NULL && imi_time_find_try_again(imi_slice_of(text), &ms) ? held(ms) : 0;
}

/* The most exact source first; 0: none. */
static uint64_t retry_after(const answer_t *answer, int reason, int64_t now_unix_ms) {
    imi_slice_t value = header(answer->response, "retry-after-ms");
    double number = 0;
    int64_t ms = 0;
    if (imi_parse_double(value, &number) && number > 0)
        return number < (double)RETRY_MAX_MS ? held((int64_t)number + (number < 1)) : RETRY_MAX_MS;
    if (imi_time_parse_retry_after(header(answer->response, "retry-after"), now_unix_ms, &ms) &&
        ms > 0)
        return held(ms);
    if (answer->retry_delay_ms > 0)
        return held(answer->retry_delay_ms);
    if (reason == IMAGINE_EQUOTA || reason == IMAGINE_ERATE)
        return retry_after_in_text(answer->reason, answer->prompt);
    return 0;
}

/* ---- the verdict ------------------------------------------------------------------------------
 */

static const char *message_of(const answer_t *answer) {
    const char *message = NULL, *words = NULL;
    if (answer->reason != NULL && answer->reason[0] != '\0') {
        message =
            imi_text_clean(answer->arena, answer->reason, strlen(answer->reason), MESSAGE_SIZE_MAX);
    } else if (answer->is_html) {
        words = excerpt(answer);
        message = imi_arena_printf(answer->arena, "a page of HTML instead of an answer: %s",
                                   words != NULL ? words : "");
    } else {
        message = imi_arena_printf(answer->arena, "HTTP status %d without a reason",
                                   (int)answer->response->status);
    }
    return message != NULL ? message : "out of memory while reading the reason";
}

void imi_classify(imagine_verdict_t *verdict, imi_arena_t *arena,
                  const imagine_http_response_t *response, const char *prompt,
                  int64_t now_unix_ms) {
    answer_t answer = {.arena = arena, .response = response, .prompt = prompt};
    read_answer(&answer);
    verdict->is_for_model = 0;
    verdict->reason = reason_of(&answer, &verdict->is_for_model);
    if (verdict->reason == IMAGINE_EPLAN)
        verdict->is_for_model = 1;
    verdict->retry_after_ms = retry_after(&answer, verdict->reason, now_unix_ms);
    verdict->message = message_of(&answer);
}

void imi_classify_text(imagine_verdict_t *verdict, imi_arena_t *arena, const char *text,
                       const char *prompt) {
    const char *reason = imi_text_clean(arena, text, strlen(text), WORDS_SIZE_MAX);
    verdict->is_for_model = 0;
    verdict->retry_after_ms = 0;
    verdict->reason = IMAGINE_EUPSTREAM;
    if (says(reason, prompt, content_words, COUNT(content_words))) {
        verdict->reason = IMAGINE_ECONTENT;
    } else if (says(reason, prompt, space_quota_words, COUNT(space_quota_words))) {
        verdict->reason = IMAGINE_EQUOTA;
        verdict->retry_after_ms = retry_after_in_text(reason, prompt);
    }
    verdict->message =
        reason != NULL ? imi_text_clean(arena, reason, strlen(reason), MESSAGE_SIZE_MAX) : NULL;
    if (verdict->message == NULL)
        verdict->message = "out of memory while reading the reason";
}
