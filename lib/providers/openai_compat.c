/* openai_compat.c: POST {model, messages, stream} -> choices[0].message.content and usage, or, when
 * the caller wants pieces, events of choices[0].delta.content until "[DONE]". The system message is
 * ours, from the catalogue; a model that has nothing to say gives the prompt back, so that a caller
 * who chains text and picture always has one. */
#include "providers/openai_compat.h"

#include <stdbool.h>
#include <string.h>

static void put_message(imagine_body_t *body, const char *role, const char *content) {
    imagine_body_open_object(body, NULL);
    imagine_body_put_text(body, "role", role);
    imagine_body_put_text(body, "content", content);
    imagine_body_close(body);
}

static void on_piece(imagine_call_t *call, const char *name, const imagine_http_response_t *data);
static void on_stream_ended(imagine_call_t *call, const imagine_http_response_t *response);

/* What a stream leaves for its end. */
typedef struct writing {
    imagine_response_cb on_written;
} writing_t;

void imi_openai_compat_text(imagine_call_t *call, const char *url, int32_t auth,
                            imagine_response_cb on_written) {
    const imagine_params_t *params = imagine_call_params(call);
    const char *instruction = imagine_call_option(call, "instruction");
    const char *temperature = imagine_call_option(call, "temperature");
    int64_t max_tokens = imagine_call_option_int(call, "max_tokens", 0);
    imagine_call_request_t request = {.size = sizeof(request)};
    imagine_body_t *body = imagine_body_json(call);
    writing_t *writing = imagine_call_alloc(call, sizeof(*writing));
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
    request.url = url;
    request.body = body;
    request.auth = auth;
    request.limit = IMAGINE_LIMIT_TEXT;
    if (writing == NULL || !imagine_call_wants_pieces(call)) {
        imagine_call_http(call, &request, on_written);
        return;
    }
    writing->on_written = on_written;
    imagine_call_set_state(call, writing);
    imagine_call_events(call, &request, on_piece, on_stream_ended);
}

static void on_piece(imagine_call_t *call, const char *name, const imagine_http_response_t *data) {
    imagine_result_t result = {.size = sizeof(result)};
    (void)name;
    result.text = imagine_call_params(call)->prompt; /* counts only if nothing was written */
    if (strcmp(data->body, "[DONE]") == 0)
        imagine_call_succeed(call, &result);
    else if (imagine_response_count(data, "choices") == 0 &&
             imagine_response_json(data, "error") != NULL)
        imagine_call_fail_response(call, data, 0);
    else
        imagine_call_delta_at(call, data, "choices[0].delta.content");
}

static void on_stream_ended(imagine_call_t *call, const imagine_http_response_t *response) {
    const writing_t *writing = imagine_call_state(call);
    imi_openai_compat_end_stream(call, response, writing->on_written);
}

void imi_openai_compat_end_stream(imagine_call_t *call, const imagine_http_response_t *response,
                                  imagine_response_cb on_written) {
    imagine_result_t result = {.size = sizeof(result)};
    if (response->body_size > 0) { /* no stream, although one was asked for */
        on_written(call, response);
        return;
    }
    result.text = imagine_call_params(call)->prompt; /* counts only if nothing was written */
    imagine_call_succeed(call, &result);
}

static bool is_blank(const char *text) {
    return text == NULL || text[strspn(text, " \t\r\n")] == '\0';
}

void imi_openai_compat_on_written(imagine_call_t *call, const imagine_http_response_t *response) {
    imagine_result_t result = {.size = sizeof(result)};
    if (imagine_response_json(response, "choices[0].message") == NULL) {
        if (imagine_response_json(response, "error") != NULL)
            imagine_call_fail_response(call, response, 0); /* a refusal dressed as a 200 */
        else
            imagine_call_fail(call, IMAGINE_EPROTOCOL, "an answer without choices[0].message");
        return;
    }
    result.text = imagine_response_string(response, "choices[0].message.content");
    if (is_blank(result.text))
        result.text = imagine_call_params(call)->prompt;
    result.usage_json = imagine_response_json(response, "usage");
    imagine_call_succeed(call, &result);
}

/* ---- pictures ----------------------------------------------------------------------------------
 */

static const char *picture_at(imagine_call_t *call, const imagine_http_response_t *response,
                              size_t index) {
    const char *path = imagine_call_printf(call, "data[%zu].url", index), *url;
    if (path == NULL)
        return NULL;
    url = imagine_response_string(response, path);
    if (url != NULL)
        return url;
    path = imagine_call_printf(call, "data[%zu].b64_json", index);
    return path != NULL ? imagine_response_data_url(response, path, "image/png") : NULL;
}

void imi_openai_compat_on_pictured(imagine_call_t *call, const imagine_http_response_t *response) {
    size_t count = imagine_response_count(response, "data");
    imagine_result_t result = {.size = sizeof(result)};
    /* Each look at the answer passes over the pictures in it; those that come as base64 bring no
     * revised prompt. */
    for (size_t i = 0; i + 1 < count; i++)
        imagine_call_picture(call, picture_at(call, response, i));
    if (count > 0)
        result.url = picture_at(call, response, count - 1);
    if (result.url != NULL && strncmp(result.url, "data:", 5) != 0)
        result.revised_prompt = imagine_response_string(response, "data[0].revised_prompt");
    if (result.url != NULL)
        imagine_call_succeed(call, &result);
    else if (imagine_response_json(response, "error") != NULL)
        imagine_call_fail_response(call, response, 0);
    else
        imagine_call_fail(call, IMAGINE_EPROTOCOL, "an answer without data[0].url or b64_json");
}
