/* openai_compat.c: texts and pictures on the wire as OpenAI's first interface had them:
 *   POST {model, messages, stream}  -> choices[0].message.content and usage, or a stream of events
 *                                      with the next piece in choices[0].delta.content, then [DONE]
 *   pictures                        -> data[i].url or data[i].b64_json, revised_prompt
 * The system message is ours, from the catalogue; a model that has nothing to say gives the prompt
 * back, so that a caller who chains text and picture always has one. */
#include "providers/openai_compat.h"

#include <string.h>

#include "providers/picture_size.h"

#define PICTURES_MAX 10 /* as many as a caller can ask for */

/* ---- texts ------------------------------------------------------------------------------------
 */

typedef struct chat { /* the state of a call that streams */
    imagine_response_cb on_written;
    bool has_begun, is_withheld;
    const char *usage;
} chat_t;

static void on_event(imagine_call_t *call, const char *name, const imagine_http_response_t *event);

static void put_message(imagine_body_t *body, const char *role, const char *content) {
    imagine_body_open_object(body, NULL);
    imagine_body_put_text(body, "role", role);
    imagine_body_put_text(body, "content", content);
    imagine_body_close(body);
}

static imagine_body_t *question(imagine_call_t *call) {
    const imagine_params_t *params = imagine_call_params(call);
    const char *instruction = imagine_call_option(call, "instruction");
    const char *temperature = imagine_call_option(call, "temperature");
    int64_t max_tokens = imagine_call_option_int(call, "max_tokens", 0);
    imagine_body_t *body = imagine_body_json(call);
    imagine_body_put_text(body, "model", imagine_call_model(call));
    imagine_body_open_array(body, "messages");
    if (instruction != NULL)
        put_message(body, "system", instruction);
    put_message(body, "user", params->prompt);
    imagine_body_close(body);
    imagine_body_put_bool(body, "stream", imagine_call_wants_pieces(call));
    if (params->has_temperature)
        imagine_body_put_number(body, "temperature", params->temperature);
    else if (temperature != NULL)
        imagine_body_put_json(body, "temperature", temperature);
    if (params->max_tokens != 0)
        max_tokens = params->max_tokens;
    if (max_tokens > 0)
        imagine_body_put_int(body, "max_tokens", max_tokens);
    return body;
}

void imi_openai_compat_text(imagine_call_t *call, const char *url, int32_t auth,
                            imagine_response_cb on_written) {
    imagine_call_request_t request = {.size = sizeof(request)};
    chat_t *chat = NULL;
    request.url = url;
    request.body = question(call);
    request.auth = auth;
    request.limit = IMAGINE_LIMIT_TEXT;
    if (imagine_call_wants_pieces(call) != 0) {
        chat = imagine_call_alloc(call, sizeof(*chat));
        if (chat != NULL)
            chat->on_written = on_written;
    }
    imagine_call_set_state(call, chat);
    if (imagine_call_wants_pieces(call) != 0)
        imagine_call_events(call, &request, on_event, on_written);
    else
        imagine_call_http(call, &request, on_written);
}

bool imi_openai_compat_is_blank(const char *text) {
    return text == NULL || text[strspn(text, " \t\r\n")] == '\0';
}

bool imi_openai_compat_has_error(const imagine_http_response_t *response) {
    const char *error = imagine_response_json(response, "error");
    return error != NULL && strcmp(error, "null") != 0;
}

static const char *finish_reason(const imagine_http_response_t *response) {
    return imagine_response_string(response, "choices[0].finish_reason");
}

static bool is_withheld(const imagine_http_response_t *response) {
    const char *finish = finish_reason(response);
    return finish != NULL && strcmp(finish, "content_filter") == 0;
}

const char *imi_openai_compat_usage(const imagine_http_response_t *response) {
    const char *usage = imagine_response_json(response, "usage");
    return usage != NULL && usage[0] == '{' ? usage : NULL;
}

static void on_event(imagine_call_t *call, const char *name, const imagine_http_response_t *event) {
    chat_t *chat = imagine_call_state(call);
    const char *usage;
    chat->has_begun = true;
    if (strcmp(event->body, "[DONE]") == 0) {
        chat->on_written(call, event);
        return;
    }
    if (strcmp(name, "error") == 0 || imi_openai_compat_has_error(event)) {
        imagine_call_fail_response(call, event, 0);
        return;
    }
    imagine_call_delta_at(call, event, "choices[0].delta.content");
    if (imagine_response_count(event, "choices") > 0 && finish_reason(event) == NULL)
        return;
    chat->is_withheld |= is_withheld(event);
    usage = imi_openai_compat_usage(event); /* some tell it behind the last choice */
    if (usage != NULL)
        chat->usage = usage;
}

static void fail_withheld(imagine_call_t *call) {
    imagine_call_fail(call, IMAGINE_ECONTENT, "the provider's content filter withheld the text");
}

static void end_stream(imagine_call_t *call, const chat_t *chat) {
    imagine_result_t result = {.size = sizeof(result)};
    if (chat->is_withheld) {
        fail_withheld(call);
        return;
    }
    result.text = imagine_call_params(call)->prompt; /* counts only if no piece came */
    result.usage_json = chat->usage;
    imagine_call_succeed(call, &result);
}

void imi_openai_compat_on_written(imagine_call_t *call, const imagine_http_response_t *response) {
    const chat_t *chat = imagine_call_state(call);
    imagine_result_t result = {.size = sizeof(result)};
    const char *refusal;
    if (chat != NULL && chat->has_begun) {
        end_stream(call, chat);
        return;
    }
    if (imagine_response_json(response, "choices[0].message") == NULL) {
        if (imi_openai_compat_has_error(response))
            imagine_call_fail_response(call, response, 0); /* a refusal dressed as a 200 */
        else
            imagine_call_fail(call, IMAGINE_EPROTOCOL, "an answer without choices[0].message");
        return;
    }
    if (is_withheld(response)) {
        fail_withheld(call);
        return;
    }
    result.text = imagine_response_string(response, "choices[0].message.content");
    refusal = imagine_response_string(response, "choices[0].message.refusal");
    if (imi_openai_compat_is_blank(result.text) && !imi_openai_compat_is_blank(refusal)) {
        imagine_call_fail(call, IMAGINE_ECONTENT, refusal);
        return;
    }
    if (imi_openai_compat_is_blank(result.text))
        result.text = imagine_call_params(call)->prompt;
    result.usage_json = imi_openai_compat_usage(response);
    imagine_call_succeed(call, &result);
}

/* ---- pictures ---------------------------------------------------------------------------------
 */

static const char *picture_at(imagine_call_t *call, const imagine_http_response_t *response,
                              size_t index) {
    const char *url =
        imagine_response_string(response, imagine_call_printf(call, "data[%zu].url", index));
    if (!imi_openai_compat_is_blank(url))
        return url;
    return imagine_response_data_url(response,
                                     imagine_call_printf(call, "data[%zu].b64_json", index), NULL);
}

bool imi_openai_compat_read_pictures(imagine_call_t *call, const imagine_http_response_t *response,
                                     imagine_result_t *out) {
    size_t count = imagine_response_count(response, "data");
    /* First of all: a picture that is alone overwrites what lies around it. */
    out->revised_prompt = imagine_response_string(response, "data[0].revised_prompt");
    if (imi_openai_compat_is_blank(out->revised_prompt))
        out->revised_prompt = NULL;
    for (size_t i = 0; i < count && i < PICTURES_MAX; i++) {
        const char *url = picture_at(call, response, i);
        if (url == NULL)
            continue;
        imagine_call_picture(call, out->url); /* the one before */
        out->url = url;
    }
    if (out->url != NULL)
        imi_picture_size_of_data_url(out->url, &out->width, &out->height);
    else if (imi_openai_compat_has_error(response))
        imagine_call_fail_response(call, response, 0);
    else
        imagine_call_fail(call, IMAGINE_EPROTOCOL, "an answer without data[0].url or b64_json");
    return out->url != NULL;
}

void imi_openai_compat_on_pictured(imagine_call_t *call, const imagine_http_response_t *response) {
    imagine_result_t result = {.size = sizeof(result)};
    if (imi_openai_compat_read_pictures(call, response, &result))
        imagine_call_succeed(call, &result);
}
