/* sim_chaos.c: a provider that does whatever the seed says, and remembers what it promised: which
 * tokens it declared spent, and which work it took on. */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim_private.h"

#define TOKENS_MAX 64
#define TOKEN_SIZE 40

typedef struct sim_chaos {
    struct {
        char token[TOKEN_SIZE];
        int64_t spent_until_unix_ms; /* told so, in an answer that has arrived */
    } tokens[TOKENS_MAX];
    size_t token_count;
    bool *was_taken_on; /* by the number in its prompt */
    bool taken[SIM_REQUESTS_MAX + 1];
} sim_chaos_t;

void sim_chaos(sim_t *sim) {
    sim->is_chaos = true;
    sim->chaos = calloc(1, sizeof(*sim->chaos));
    ck_assert_ptr_nonnull(sim->chaos);
    sim->chaos->was_taken_on = sim->chaos->taken;
}

void sim_chaos_join(sim_t *sim, const sim_t *first) {
    sim_chaos(sim);
    sim->chaos->was_taken_on = first->chaos->taken;
}

void sim_chaos_next_life(sim_t *sim, const sim_t *former) {
    sim_chaos(sim);
    *sim->chaos = *former->chaos;
    sim->chaos->was_taken_on = sim->chaos->taken;
}

void sim_chaos_free(sim_t *sim) {
    free(sim->chaos);
}

static bool has(const char *url, const char *part) {
    return strstr(url, part) != NULL;
}

/* What a good provider would answer there. */
static sim_reply_t *good_reply(const imagine_http_request_t *request, uint64_t delay_ms) {
    const char *url = request->url, *body = "{\"data\":[{\"url\":\"https://cdn.test/1.png\"}]}";
    const char *headers = "Content-Type: application/json";
    bool is_post = strcmp(request->method, "POST") == 0;
    if (has(url, "modelscope") && is_post && has(url, "/images/")) {
        body = "{\"task_id\":\"upstream-task\"}";
    } else if (has(url, "/tasks/")) {
        body = "{\"task_status\":\"SUCCEED\",\"output_images\":[\"https://cdn.test/2.png\"]}";
    } else if (has(url, "/async/videos")) {
        body = "{\"task_id\":\"upstream-video\"}";
    } else if (has(url, "/task/")) {
        body = "{\"status\":\"success\",\"output\":{\"file_url\":\"https://cdn.test/v.mp4\"}}";
    } else if (has(url, "/chat/completions") || has(url, "/openai")) {
        body = "{\"choices\":[{\"message\":{\"content\":\"a better prompt\"}}]}";
    } else if (has(url, "/gradio_api/call/") && is_post) {
        body = "{\"event_id\":\"event\"}";
    } else if (has(url, "/gradio_api/call/")) {
        headers = "Content-Type: text/event-stream";
        body = "event: heartbeat\ndata: null\n\nevent: complete\r\ndata: "
               "[{\"url\":\"https://cdn.test/3.png\"}, 7]\r\n\r\n";
    }
    return sim_reply_new(delay_ms, 200, headers, body);
}

static size_t token_index(sim_t *sim, const imagine_http_request_t *request) {
    sim_chaos_t *chaos = sim->chaos;
    for (size_t i = 0; i < request->header_count; i++) {
        const char *value = request->headers[i].value;
        if (strcmp(request->headers[i].name, "Authorization") != 0)
            continue;
        for (size_t k = 0; k < chaos->token_count; k++)
            if (strcmp(chaos->tokens[k].token, value) == 0)
                return k;
        ck_assert_uint_lt(chaos->token_count, TOKENS_MAX);
        snprintf(chaos->tokens[chaos->token_count].token, TOKEN_SIZE, "%s", value);
        return chaos->token_count++;
    }
    return SIZE_MAX;
}

/* The number of the request whose work this would create; 0: it creates none. */
static size_t creates(const imagine_http_request_t *request) {
    size_t number = 0;
    if (strcmp(request->method, "POST") != 0 || has(request->url, "/upload"))
        return 0;
    for (size_t i = 0; i < request->body_count; i++) {
        char *text = strndup(request->body[i].data, request->body[i].size), *at;
        ck_assert_ptr_nonnull(text);
        at = strstr(text, "prompt-");
        if (at != NULL)
            number = (size_t)strtoul(at + strlen("prompt-"), NULL, 10);
        free(text);
    }
    return number <= SIM_REQUESTS_MAX ? number : 0;
}

/* The token counts as spent when the answer that says so has arrived whole, not before: nobody
 * knows what an answer said that was not waited for. */
void sim_chaos_delivered(sim_t *sim, const sim_reply_t *reply) {
    int64_t day_ms = 24 * 60 * 60 * 1000, offset_ms = 8 * 60 * 60 * 1000;
    if (reply->spends_token != 0) /* every cloud of the chaos keeps Beijing days, or longer ones */
        sim->chaos->tokens[reply->spends_token - 1].spent_until_unix_ms =
            ((sim->unix_ms + offset_ms) / day_ms + 1) * day_ms - offset_ms;
}

static sim_reply_t *failing_reply(sim_t *sim, uint64_t delay_ms, size_t token, bool *out_may_run) {
    static const char *const spent[] = {"{\"message\":\"daily quota exceeded\"}",
                                        "{\"error\":{\"code\":\"insufficient_quota\"}}",
                                        "{\"errors\":{\"message\":\"credit exhausted\"}}"};
    sim_reply_t *reply;
    *out_may_run = false;
    switch (sim_random(sim) % 14) {
    case 0:
    case 1:
        reply = sim_reply_new(delay_ms, sim_random(sim) % 2 == 0 ? 429 : 402, NULL,
                              spent[sim_random(sim) % 3]);
        reply->spends_token = token != SIZE_MAX ? token + 1 : 0;
        return reply;
    case 2:
        return sim_reply_new(delay_ms, 429, "Retry-After: 3", "{\"message\":\"slow down\"}");
    case 3:
        return sim_reply_new(delay_ms, 429, NULL, "{\"message\":\"too many requests\"}");
    case 4:
        return sim_reply_new(delay_ms, 401, NULL, "{\"message\":\"no\"}");
    case 5:
        return sim_reply_new(delay_ms, 403, NULL, "{\"message\":\"not for you\"}");
    case 6:
        return sim_reply_new(delay_ms, 400, NULL, "{\"message\":\"bad size\"}");
    case 7:
        return sim_reply_new(delay_ms, 503, NULL, "<html>busy</html>");
    case 8:
        *out_may_run = true;
        return sim_reply_new(delay_ms, 502, NULL, "bad gateway");
    case 9:
        *out_may_run = true;
        return sim_reply_new(delay_ms, 200, NULL, "{\"data\":[{\"url\":");
    case 10:
        reply = sim_reply_new(delay_ms, 0, NULL, NULL);
        reply->error = IMAGINE_ECONNECT;
        return reply;
    case 11:
        *out_may_run = true;
        reply = sim_reply_new(delay_ms, 0, NULL, NULL);
        reply->error = IMAGINE_EPROTOCOL;
        reply->was_sent = true;
        return reply;
    case 12:
        *out_may_run = true;
        reply = sim_reply_new(delay_ms, 200, NULL, "{\"data\":[{\"url\":\"https://cdn.test/");
        reply->error = IMAGINE_EPROTOCOL;
        reply->was_sent = true;
        reply->cut_at = 10;
        return reply;
    default:
        *out_may_run = true;
        reply = sim_reply_new(0, 0, NULL, NULL);
        reply->is_stalled = true;
        return reply;
    }
}

sim_reply_t *sim_chaos_reply(sim_t *sim, const imagine_http_request_t *request) {
    sim_chaos_t *chaos = sim->chaos;
    uint64_t delay_ms = sim_random(sim) % 4000;
    size_t token = token_index(sim, request), number = creates(request);
    bool may_run = true;
    sim_reply_t *reply;
    if (token != SIZE_MAX && number != 0)
        ck_assert_msg(chaos->tokens[token].spent_until_unix_ms <= sim->unix_ms,
                      "seed %" PRIu64 ": a spent token was used again", sim->seed);
    if (number != 0)
        ck_assert_msg(!chaos->was_taken_on[number],
                      "seed %" PRIu64 ": work was asked for twice: prompt %zu", sim->seed, number);
    if (sim_random(sim) % 100 < 55)
        reply = good_reply(request, delay_ms);
    else
        reply = failing_reply(sim, delay_ms, token, &may_run);
    if (sim_random(sim) % 3 == 0)
        reply->piece_size = 1 + sim_random(sim) % 9;
    if (sim_random(sim) % 8 == 0)
        reply->piece_delay_ms = sim_random(sim) % 20;
    if (number != 0 && may_run)
        chaos->was_taken_on[number] = true;
    return reply;
}

void sim_chaos_done(sim_t *sim, sim_request_t *request, const imagine_result_t *result) {
    (void)request;
    if (result->status == 0 && result->url != NULL)
        ck_assert_msg(strncmp(result->url, "https://cdn.test/", 17) == 0 ||
                          strncmp(result->url, "https://s3.test/", 16) == 0,
                      "seed %" PRIu64 ": %s", sim->seed, result->url);
    if (result->status != 0)
        ck_assert_msg(result->message != NULL, "seed %" PRIu64 ": a failure without a message",
                      sim->seed);
}
