/* test_classify.c: every row of "why a token failed", in the shapes that providers really answer.
 */
#include "core/classify.h"

#include <string.h>

#include "wire/str.h"

#include "../../support/check_main.h"
#include "../../support/failing_mem.h"

#define NOW_UNIX_MS INT64_C(1767830400000) /* 2026-01-08T00:00:00Z */
#define SECOND_MS 1000u
#define HOUR_MS (3600 * SECOND_MS)

static imi_arena_t arena;

static void set_up(void) {
    imi_arena_init(&arena, NULL, 0);
}

static void tear_down(void) {
    imi_arena_reset(&arena);
}

static imagine_verdict_t classify(int32_t status, const char *body, const imagine_header_t *headers,
                                  size_t header_count, const char *prompt) {
    imagine_http_response_t response = {.size = sizeof(response), .status = status};
    imagine_verdict_t verdict = {.size = sizeof(verdict)};
    response.body = body;
    response.body_size = body != NULL ? strlen(body) : 0;
    response.headers = headers;
    response.header_count = header_count;
    imi_classify(&verdict, &arena, &response, prompt, NOW_UNIX_MS);
    ck_assert_ptr_nonnull(verdict.message);
    ck_assert_uint_le(strlen(verdict.message), 600);
    return verdict;
}

/* ---- whose fault ------------------------------------------------------------------------------
 */

#define GEMINI(details)                                                                          \
    "{\"error\":{\"code\":429,\"message\":\"You exceeded your current quota, please check your " \
    "plan and billing details.\",\"status\":\"RESOURCE_EXHAUSTED\",\"details\":[" details "]}}"
#define QUOTA_FAILURE(id)                                                                       \
    "{\"@type\":\"type.googleapis.com/google.rpc.QuotaFailure\",\"violations\":[{"              \
    "\"quotaMetric\":\"generativelanguage.googleapis.com/generate_requests\",\"quotaId\":\"" id \
    "\"}]}"
#define RETRY_INFO(delay) \
    "{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":\"" delay "\"}"

static const struct {
    const char *name;
    int32_t status;
    const char *body;
    int32_t reason;
    int32_t is_for_model;
} rows[] = {
    /* quota spent */
    {"402", 402, "{\"message\":\"pay\"}", IMAGINE_EQUOTA, 0},
    {"402 as a page", 402, "<html><body>Payment Required</body></html>", IMAGINE_EQUOTA, 0},
    {"OpenAI", 429,
     "{\"error\":{\"message\":\"You exceeded your current quota\",\"type\":\"insufficient_quota\","
     "\"param\":null,\"code\":\"insufficient_quota\"}}",
     IMAGINE_EQUOTA, 0},
    {"429 quota, as a code", 429, "{\"code\":\"InsufficientQuota\"}", IMAGINE_EQUOTA, 0},
    {"403 quota, as a code", 403, "{\"error\":{\"code\":\"quota_exceeded\"}}", IMAGINE_EQUOTA, 0},
    {"400 quota, as a type", 400, "{\"error\":{\"type\":\"insufficient_quota\"}}", IMAGINE_EQUOTA,
     0},
    {"Gitee, in words", 429, "{\"message\":\"Quota exceeded\"}", IMAGINE_EQUOTA, 0},
    {"403, in words", 403, "{\"message\":\"your QUOTA is used up\"}", IMAGINE_EQUOTA, 0},
    {"400, in words", 400, "{\"message\":\"no quota left\"}", IMAGINE_EQUOTA, 0},
    {"credit", 429, "{\"message\":\"Insufficient credits\"}", IMAGINE_EQUOTA, 0},
    {"arrearage, as a code", 400, "{\"code\":\"Arrearage\",\"message\":\"Access denied\"}",
     IMAGINE_EQUOTA, 0},
    {"arrearage, in words", 403, "{\"message\":\"in arrearage\"}", IMAGINE_EQUOTA, 0},
    {"bill", 403, "{\"message\":\"unpaid bill\"}", IMAGINE_EQUOTA, 0},
    {"billing", 403, "{\"message\":\"check billing details\"}", IMAGINE_EQUOTA, 0},
    {"billing, as a code", 400, "{\"error\":{\"code\":\"billing_hard_limit_reached\"}}",
     IMAGINE_EQUOTA, 0},
    {"exhausted", 429, "{\"message\":\"resource has been exhausted\"}", IMAGINE_EQUOTA, 0},
    {"Gitee, in Chinese", 429, "{\"message\":\"您的免费额度已用完\"}", IMAGINE_EQUOTA, 0},
    {"balance, in Chinese", 403, "{\"message\":\"API余额不足\"}", IMAGINE_EQUOTA, 0},
    {"a bare text", 429, "Daily quota reached", IMAGINE_EQUOTA, 0},
    {"ModelScope", 429, "{\"errors\":{\"message\":\"You have exceeded today's quota\"}}",
     IMAGINE_EQUOTA, 0},
    {"ModelsLab's spelling", 429, "{\"status\":\"error\",\"messege\":\"out of credits\"}",
     IMAGINE_EQUOTA, 0},
    {"Grok", 429,
     "{\"code\":\"Some resource has been exhausted\",\"error\":\"Your team has used all available "
     "credits\"}",
     IMAGINE_EQUOTA, 0},
    {"error as a text", 403, "{\"error\":\"insufficient_quota\"}", IMAGINE_EQUOTA, 0},
    {"Gemini, a day", 429, GEMINI(QUOTA_FAILURE("GenerateRequestsPerDayPerProject-FreeTier")),
     IMAGINE_EQUOTA, 0},
    {"Gemini, a day and a model", 429,
     GEMINI(QUOTA_FAILURE("GenerateRequestsPerDayPerProjectPerModel-FreeTier")), IMAGINE_EQUOTA, 1},
    {"Gemini, a day and a minute", 429,
     GEMINI(QUOTA_FAILURE("RequestsPerMinute") "," QUOTA_FAILURE("RequestsPerDay")), IMAGINE_EQUOTA,
     0},
    {"Gemini without details", 429, GEMINI(""), IMAGINE_EQUOTA, 0},
    {"Gemini in a list", 429, "[" GEMINI(QUOTA_FAILURE("RequestsPerDay")) "]", IMAGINE_EQUOTA, 0},
    /* rate */
    {"429", 429, "{\"message\":\"slow down\"}", IMAGINE_ERATE, 0},
    {"429 with nothing", 429, "", IMAGINE_ERATE, 0},
    {"429 without a body", 429, NULL, IMAGINE_ERATE, 0},
    {"429 as a page", 429, "<html><h1>429 quota</h1></html>", IMAGINE_ERATE, 0},
    {"OpenAI's rate", 429,
     "{\"error\":{\"message\":\"Rate limit reached. Visit your billing page\",\"type\":\"tokens\","
     "\"code\":\"rate_limit_exceeded\"}}",
     IMAGINE_ERATE, 0},
    {"a rate with 403", 403, "{\"error\":{\"code\":\"rate_limit_exceeded\"}}", IMAGINE_ERATE, 0},
    {"a rate with 400", 400, "{\"code\":\"RateLimitExceeded\"}", IMAGINE_ERATE, 0},
    {"Gemini, a minute", 429,
     GEMINI(QUOTA_FAILURE("GenerateRequestsPerMinutePerProjectPerModel") "," RETRY_INFO("12s")),
     IMAGINE_ERATE, 0},
    {"a billion is no bill", 429, "{\"message\":\"one of a billion billboards\"}", IMAGINE_ERATE,
     0},
    {"accredited is no credit", 429, "{\"message\":\"not accredited\"}", IMAGINE_ERATE, 0},
    /* bad token */
    {"401", 401, "{\"message\":\"no\"}", IMAGINE_ETOKEN, 0},
    {"401 that speaks of quota", 401, "{\"message\":\"no quota for strangers\"}", IMAGINE_ETOKEN,
     0},
    {"401 as a page", 401, "<!doctype html><p>Sign in", IMAGINE_ETOKEN, 0},
    {"Gemini's bad key", 400,
     "{\"error\":{\"code\":400,\"message\":\"API key not valid\",\"status\":\"INVALID_ARGUMENT\","
     "\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\",\"reason\":"
     "\"API_KEY_INVALID\"}]}}",
     IMAGINE_ETOKEN, 0},
    /* not in the plan */
    {"403", 403, "{\"message\":\"forbidden\"}", IMAGINE_EPLAN, 1},
    {"403 with nothing", 403, "", IMAGINE_EPLAN, 1},
    {"Gemini, limit 0", 429,
     "{\"error\":{\"code\":429,\"message\":\"Quota exceeded for metric: x, limit: 0, model: y\","
     "\"status\":\"RESOURCE_EXHAUSTED\",\"details\":[" QUOTA_FAILURE("RequestsPerDay") "]}}",
     IMAGINE_EPLAN, 1},
    {"Gemini, limit 0 as a value", 429,
     GEMINI("{\"violations\":[{\"quotaId\":\"RequestsPerDay\",\"quotaValue\":\"0\"}]}"),
     IMAGINE_EPLAN, 1},
    {"Gemini, another limit", 429,
     "{\"error\":{\"status\":\"RESOURCE_EXHAUSTED\",\"message\":\"limit: 05\"}}", IMAGINE_EQUOTA,
     0},
    /* the request's fault */
    {"400", 400, "{\"message\":\"steps must be a number\"}", IMAGINE_EREJECTED, 0},
    {"404", 404, "{\"message\":\"no such model\"}", IMAGINE_EREJECTED, 0},
    {"404 speaks of quota", 404, "{\"message\":\"no quota\"}", IMAGINE_EREJECTED, 0},
    {"405", 405, "", IMAGINE_EREJECTED, 0},
    {"409", 409, "{}", IMAGINE_EREJECTED, 0},
    {"410", 410, "{}", IMAGINE_EREJECTED, 0},
    {"413", 413, "", IMAGINE_EREJECTED, 0},
    {"413 of nginx", 413, "<html><h1>413 Request Entity Too Large</h1></html>", IMAGINE_EREJECTED,
     0},
    {"415", 415, "", IMAGINE_EREJECTED, 0},
    {"422", 422, "{\"detail\":[{\"msg\":\"field required\",\"type\":\"missing\"}]}",
     IMAGINE_EREJECTED, 0},
    {"OpenAI's safety", 400,
     "{\"error\":{\"message\":\"rejected by the safety system\",\"type\":\"image_generation_user_"
     "error\",\"code\":\"moderation_blocked\"}}",
     IMAGINE_ECONTENT, 0},
    {"a content policy", 400, "{\"error\":{\"code\":\"content_policy_violation\"}}",
     IMAGINE_ECONTENT, 0},
    {"a type for safety", 403, "{\"error\":{\"type\":\"safety_error\"}}", IMAGINE_ECONTENT, 0},
    {"an inspection", 400, "{\"code\":\"DataInspectionFailed\"}", IMAGINE_ECONTENT, 0},
    {"safety with 422", 422, "{\"error\":{\"code\":\"content_filter\"}}", IMAGINE_ECONTENT, 0},
    {"safety in words", 400, "{\"message\":\"This breaks our content policy.\"}", IMAGINE_ECONTENT,
     0},
    /* the provider's fault */
    {"408", 408, "", IMAGINE_EUPSTREAM, 0},
    {"500", 500, "{\"message\":\"quota service is down\"}", IMAGINE_EUPSTREAM, 0},
    {"502", 502, "<html>Bad Gateway</html>", IMAGINE_EUPSTREAM, 0},
    {"503", 503, "no queue", IMAGINE_EUPSTREAM, 0},
    {"504", 504, NULL, IMAGINE_EUPSTREAM, 0},
    {"599", 599, "{", IMAGINE_EUPSTREAM, 0},
    {"a redirect that leads nowhere", 302, "", IMAGINE_EUPSTREAM, 0},
    {"a sleeping Space", 404, "<!DOCTYPE html><title>Sleeping</title>", IMAGINE_EUPSTREAM, 0},
    {"a wall in front of it", 403, "<html>Attention Required! | quota</html>", IMAGINE_EUPSTREAM,
     0},
    {"a page for 400", 400, "<HTML><body>Bad Request", IMAGINE_EUPSTREAM, 0},
    /* a 2xx that holds an error */
    {"200 as a page", 200, "<html>Your space is sleeping</html>", IMAGINE_EPROTOCOL, 0},
    {"200 with nothing", 200, "", IMAGINE_EPROTOCOL, 0},
    {"200 cut", 200, "{\"message\":\"quot", IMAGINE_EPROTOCOL, 0},
    {"200 and a reason", 200, "{\"status\":\"error\",\"message\":\"model is loading\"}",
     IMAGINE_EUPSTREAM, 0},
    {"200 and quota", 200, "{\"status\":\"error\",\"message\":\"out of credits\"}", IMAGINE_EQUOTA,
     0},
    {"200 and a status of its own", 200, "{\"error\":{\"code\":429,\"message\":\"slow\"}}",
     IMAGINE_ERATE, 0},
    {"200 and 401 inside", 200, "{\"code\":401,\"message\":\"bad\"}", IMAGINE_ETOKEN, 0},
    {"200 and a rate", 200, "{\"error\":{\"code\":\"rate_limit_exceeded\"}}", IMAGINE_ERATE, 0},
};

START_TEST(a_failure_goes_to_the_right_place) { /* _i walks rows */
    imagine_verdict_t verdict = classify(rows[_i].status, rows[_i].body, NULL, 0, "a cat");
    ck_assert_msg(verdict.reason == rows[_i].reason, "%s: %s", rows[_i].name,
                  imagine_err_name(verdict.reason));
    ck_assert_msg(verdict.is_for_model == rows[_i].is_for_model, "%s: is_for_model %d",
                  rows[_i].name, verdict.is_for_model);
}
END_TEST

/* ---- an echo of the prompt --------------------------------------------------------------------
 */

static const struct {
    const char *name;
    int32_t status;
    const char *prompt, *body;
    int32_t reason;
} echoes[] = {
    {"the whole prompt", 400, "a quota of cats", "{\"message\":\"bad prompt: a quota of cats\"}",
     IMAGINE_EREJECTED},
    {"a part of it", 400, "my credit card, exhausted, in oil",
     "{\"message\":\"bad prompt: my credit c…\"}", IMAGINE_EREJECTED},
    {"in other letters", 400, "The QuOtA", "{\"message\":\"the quota\"}", IMAGINE_EREJECTED},
    {"as a bare text", 400, "a bill", "bad prompt: a bill", IMAGINE_EREJECTED},
    {"escaped", 400, "a \"quota\"", "{\"message\":\"\\u0061 \\\"\\u0071uota\\\"\"}",
     IMAGINE_EREJECTED},
    {"cleaned by the provider", 400, "quo\xe2\x80\x8bta", "{\"message\":\"quo\\u200bta\"}",
     IMAGINE_EREJECTED},
    {"without what stood between", 400, "q-u-o-t-a", "{\"message\":\"quota\"}", IMAGINE_EREJECTED},
    {"403", 403, "exhausted runner", "{\"message\":\"no: exhausted runner\"}", IMAGINE_EPLAN},
    {"429", 429, "exhausted runner", "{\"message\":\"wait: exhausted runner\"}", IMAGINE_ERATE},
    {"safety", 400, "the content policy", "{\"message\":\"the content policy\"}",
     IMAGINE_EREJECTED},
    {"in Chinese", 400, "额度", "{\"message\":\"额度\"}", IMAGINE_EREJECTED},
    {"a limit of nought", 429, "limit: 0",
     "{\"error\":{\"status\":\"RESOURCE_EXHAUSTED\",\"message\":\"limit: 0\"}}", IMAGINE_EQUOTA},
    {"another word tells", 429, "my credit card", "{\"message\":\"credit card: quota exceeded\"}",
     IMAGINE_EQUOTA},
    {"a code is no echo", 429, "a quota",
     "{\"error\":{\"code\":\"insufficient_quota\",\"message\":\"a quota\"}}", IMAGINE_EQUOTA},
    {"an empty prompt", 429, "", "{\"message\":\"quota\"}", IMAGINE_EQUOTA},
    {"letters that stand apart", 429, "quiet otters at tea", "{\"message\":\"quota\"}",
     IMAGINE_EQUOTA},
};

START_TEST(an_echo_of_the_prompt_proves_nothing) { /* _i walks echoes */
    imagine_verdict_t verdict =
        classify(echoes[_i].status, echoes[_i].body, NULL, 0, echoes[_i].prompt);
    ck_assert_msg(verdict.reason == echoes[_i].reason, "%s: %s", echoes[_i].name,
                  imagine_err_name(verdict.reason));
}
END_TEST

START_TEST(an_echo_sets_no_delay) {
    imagine_verdict_t verdict = classify(429, "{\"message\":\"bad prompt: Try again in 99:00:00\"}",
                                         NULL, 0, "try again in 99:00:00");
    ck_assert_int_eq(verdict.reason, IMAGINE_ERATE);
    ck_assert_uint_eq(verdict.retry_after_ms, 0);
    imi_classify_text(&verdict, &arena, "GPU quota. Retry in 99:00:00", "please retry in a minute");
    ck_assert_int_eq(verdict.reason, IMAGINE_EQUOTA);
    ck_assert_uint_eq(verdict.retry_after_ms, 0);
}
END_TEST

/* Every prompt made of the words that are looked for, quoted anywhere in an answer. */
START_TEST(no_prompt_can_set_a_token_aside) {
    static const char *const words[] = {"quota",     "insufficient_quota",
                                        "credit",    "arrearage",
                                        "exhausted", "billing",
                                        "bill",      "额度",
                                        "余额",      "CREDITS",
                                        "欠费"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        for (size_t k = 0; k < sizeof(words) / sizeof(words[0]); k++) {
            const char *prompt = imi_arena_printf(&arena, "a %s and %s", words[i], words[k]);
            const char *shapes[] = {
                imi_arena_printf(&arena, "{\"message\":\"bad: %s\"}", prompt),
                imi_arena_printf(&arena, "{\"error\":{\"message\":\"%s\"}}", prompt),
                imi_arena_printf(&arena, "{\"error\":\"%s\"}", words[k]),
                imi_arena_printf(&arena, "{\"detail\":\"%s…\"}", words[i]),
                imi_arena_printf(&arena, "%s", prompt),
            };
            for (size_t n = 0; n < sizeof(shapes) / sizeof(shapes[0]); n++) {
                imagine_verdict_t verdict = classify(400, shapes[n], NULL, 0, prompt);
                ck_assert_msg(verdict.reason == IMAGINE_EREJECTED, "%s: %s", shapes[n],
                              imagine_err_name(verdict.reason));
                imi_classify_text(&verdict, &arena, shapes[n], prompt);
                ck_assert_int_eq(verdict.reason, IMAGINE_EUPSTREAM);
            }
        }
}
END_TEST

/* ---- when to come back ------------------------------------------------------------------------
 */

static const struct {
    const char *name, *header, *value, *body;
    uint64_t retry_after_ms;
} delays[] = {
    {"none", NULL, NULL, "", 0},
    {"seconds", "Retry-After", "20", "", 20 * SECOND_MS},
    {"decimals", "retry-after", "1.5", "", 1500},
    {"a date", "Retry-After", "Thu, 08 Jan 2026 00:01:00 GMT", "", 60 * SECOND_MS},
    {"a date in the past", "Retry-After", "Wed, 07 Jan 2026 00:01:00 GMT", "", 0},
    {"blanks", "RETRY-AFTER", " 3 ", "", 3 * SECOND_MS},
    {"nought", "Retry-After", "0", "", 0},
    {"nonsense", "Retry-After", "soon", "", 0},
    {"negative", "Retry-After", "-5", "", 0},
    {"a year: a month", "Retry-After", "31536000", "", 720 * HOUR_MS},
    {"milliseconds", "retry-after-ms", "250", "", 250},
    {"less than one", "retry-after-ms", "0.2", "", 1},
    {"milliseconds without end", "retry-after-ms", "1e300", "", 720 * HOUR_MS},
    {"milliseconds that are none", "retry-after-ms", "x", "", 0},
    {"RetryInfo", NULL, NULL, GEMINI(QUOTA_FAILURE("PerMinute") "," RETRY_INFO("3.5s")), 3500},
    {"RetryInfo with milliseconds", NULL, NULL, GEMINI(RETRY_INFO("45.123s")), 45123},
    {"a header wins over RetryInfo", "Retry-After", "7", GEMINI(RETRY_INFO("45s")), 7 * SECOND_MS},
    {"in words", NULL, NULL, "{\"message\":\"Please try again in 20s.\"}", 20 * SECOND_MS},
    {"in words, hours", NULL, NULL, "{\"message\":\"Try again in 1:02:03\"}", 3723 * SECOND_MS},
    {"in words, retry", NULL, NULL, "{\"error\":{\"message\":\"retry after 350ms\"}}", 350},
    {"in words, with a header", "Retry-After", "9", "{\"message\":\"try again in 20s\"}",
     9 * SECOND_MS},
};

START_TEST(the_provider_says_when_to_come_back) { /* _i walks delays */
    imagine_header_t header = {delays[_i].header, delays[_i].value};
    imagine_verdict_t verdict =
        classify(429, delays[_i].body, &header, delays[_i].header != NULL, "a cat");
    ck_assert_msg(verdict.retry_after_ms == delays[_i].retry_after_ms, "%s: %llu ms",
                  delays[_i].name, (unsigned long long)verdict.retry_after_ms);
}
END_TEST

/* ---- the message ------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    int32_t status;
    const char *body, *message;
} messages[] = {
    {"message", 400, "{\"message\":\"no\"}", "no"},
    {"error.message", 400, "{\"error\":{\"message\":\"no\"}}", "no"},
    {"errors.message", 400, "{\"errors\":{\"message\":\"no\"}}", "no"},
    {"errors[0].message", 400, "{\"errors\":[{\"code\":1,\"message\":\"no\"}]}", "no"},
    {"error", 400, "{\"code\":\"x\",\"error\":\"no\"}", "no"},
    {"detail", 400, "{\"detail\":\"no\"}", "no"},
    {"detail[0].msg", 422, "{\"detail\":[{\"loc\":[\"body\"],\"msg\":\"no\"}]}", "no"},
    {"messege", 400, "{\"messege\":\"no\"}", "no"},
    {"a JSON text", 400, "\"no\"", "no"},
    {"the text itself", 400, "  no\r\n", "no"},
    {"message wins", 400, "{\"error\":{\"message\":\"b\"},\"message\":\"a\"}", "a"},
    {"an empty one does not", 400, "{\"error\":{\"message\":\"b\"},\"message\":\"\"}", "b"},
    {"not a text", 400, "{\"message\":{\"prompt\":\"required\"}}",
     "HTTP status 400 without a reason"},
    {"none", 500, "{}", "HTTP status 500 without a reason"},
    {"empty", 503, "", "HTTP status 503 without a reason"},
    {"control characters", 400, "{\"message\":\"a\\u0000\\n\\tb\\u001b[31m\"}", NULL},
    {"a page", 502,
     "<!DOCTYPE html><html><head><title>Asleep</title><style>p{color:red}</style><script>var a = "
     "'<p>';</script></head><!-- x > y --><body>\n <h1>This  Space</h1>\tsleeps</body></html>",
     "a page of HTML instead of an answer: Asleep This Space sleeps"},
    {"a page that is cut", 502, "<html><body>One<scr", "a page of HTML instead of an answer: One"},
};

START_TEST(the_reason_is_found) { /* _i walks messages */
    imagine_verdict_t verdict = classify(messages[_i].status, messages[_i].body, NULL, 0, "a cat");
    if (messages[_i].message != NULL)
        ck_assert_msg(strcmp(verdict.message, messages[_i].message) == 0, "%s: %s",
                      messages[_i].name, verdict.message);
    for (const char *at = verdict.message; *at != '\0'; at++)
        ck_assert((unsigned char)*at >= ' ' && *at != 0x7f);
}
END_TEST

START_TEST(long_texts_are_cut) {
    char body[20000];
    imagine_verdict_t verdict;
    memset(body, 'x', sizeof(body));
    body[sizeof(body) - 1] = '\0';
    verdict = classify(500, body, NULL, 0, "a cat");
    ck_assert_uint_le(strlen(verdict.message), 500);
    ck_assert_uint_ge(strlen(verdict.message), 400);
    memcpy(body, "<html>", 6);
    verdict = classify(500, body, NULL, 0, "a cat");
    ck_assert_uint_le(strlen(verdict.message), 250);
    memcpy(body, "{\"message\":\"", 12);
    memcpy(body + 3000, " quota\"}", 9);
    verdict = classify(429, body, NULL, 0, "a cat");
    ck_assert_int_eq(verdict.reason, IMAGINE_EQUOTA);
    ck_assert_uint_le(strlen(verdict.message), 500);
}
END_TEST

START_TEST(bytes_that_are_no_text_are_read_all_the_same) {
    char body[256];
    imagine_http_response_t response = {.size = sizeof(response), .body = body};
    imagine_verdict_t verdict = {.size = sizeof(verdict)};
    for (int i = 0; i < 255; i++)
        body[i] = (char)(255 - i);
    body[255] = '\0';
    for (int32_t status = 100; status < 600; status++)
        for (size_t size = 0; size < 256; size += 51) {
            response.status = status;
            response.body_size = size;
            imi_classify(&verdict, &arena, &response, NULL, NOW_UNIX_MS);
            ck_assert_int_ne(verdict.reason, 0);
            ck_assert(imi_utf8_valid(verdict.message, strlen(verdict.message)));
        }
}
END_TEST

/* ---- only a text ------------------------------------------------------------------------------
 */

static const struct {
    const char *text;
    int32_t reason;
    uint64_t retry_after_ms;
} texts[] = {
    {"You have exceeded your GPU quota (60s requested vs. 0s left). Try again in 5:12:09",
     IMAGINE_EQUOTA, 18729 * SECOND_MS},
    {"You have exceeded your free GPU quota", IMAGINE_EQUOTA, 0},
    {"CUDA memory exhausted", IMAGINE_EUPSTREAM, 0},
    {"NSFW content detected", IMAGINE_ECONTENT, 0},
    {"ZeroDivisionError, try again in 20s", IMAGINE_EUPSTREAM, 0},
    {"", IMAGINE_EUPSTREAM, 0},
};

START_TEST(a_text_tells_quota_from_a_fault) { /* _i walks texts */
    imagine_verdict_t verdict = {.size = sizeof(verdict)};
    imi_classify_text(&verdict, &arena, texts[_i].text, NULL);
    ck_assert_msg(verdict.reason == texts[_i].reason, "%s: %s", texts[_i].text,
                  imagine_err_name(verdict.reason));
    ck_assert_uint_eq(verdict.retry_after_ms, texts[_i].retry_after_ms);
    ck_assert_str_eq(verdict.message, texts[_i].text);
}
END_TEST

START_TEST(without_memory_there_is_still_a_verdict) {
    failing_mem_t failing;
    imi_arena_t poor;
    imagine_verdict_t verdict = {.size = sizeof(verdict)};
    static const char *const bodies[] = {GEMINI(QUOTA_FAILURE("RequestsPerDay")),
                                         "<html><p>words</p></html>", "words", ""};
    for (size_t i = 0; i < 4; i++)
        for (size_t fail_at = 1; fail_at < 10; fail_at++) {
            imagine_http_response_t response = {
                .size = sizeof(response), .status = 429, .body = bodies[i]};
            response.body_size = strlen(bodies[i]);
            failing_mem_init(&failing, fail_at);
            imi_arena_init(&poor, &failing.mem, 16);
            imi_classify(&verdict, &poor, &response, "a cat", NOW_UNIX_MS);
            ck_assert(verdict.reason == IMAGINE_ERATE || verdict.reason == IMAGINE_EQUOTA);
            ck_assert_ptr_nonnull(verdict.message);
            imi_classify_text(&verdict, &poor, bodies[i], "a cat");
            ck_assert_ptr_nonnull(verdict.message);
            imi_arena_reset(&poor);
        }
}
END_TEST

static Suite *classify_suite(void) {
    Suite *suite = suite_create("core/classify");
    TCase *tcase = tcase_create("classify");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, a_failure_goes_to_the_right_place, 0,
                        (int)(sizeof(rows) / sizeof(rows[0])));
    tcase_add_loop_test(tcase, an_echo_of_the_prompt_proves_nothing, 0,
                        (int)(sizeof(echoes) / sizeof(echoes[0])));
    tcase_add_test(tcase, an_echo_sets_no_delay);
    tcase_add_test(tcase, no_prompt_can_set_a_token_aside);
    tcase_add_loop_test(tcase, the_provider_says_when_to_come_back, 0,
                        (int)(sizeof(delays) / sizeof(delays[0])));
    tcase_add_loop_test(tcase, the_reason_is_found, 0,
                        (int)(sizeof(messages) / sizeof(messages[0])));
    tcase_add_test(tcase, long_texts_are_cut);
    tcase_add_test(tcase, bytes_that_are_no_text_are_read_all_the_same);
    tcase_add_loop_test(tcase, a_text_tells_quota_from_a_fault, 0,
                        (int)(sizeof(texts) / sizeof(texts[0])));
    tcase_add_test(tcase, without_memory_there_is_still_a_verdict);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(classify_suite)
