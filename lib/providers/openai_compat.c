/* openai_compat.c: POST {model, messages, stream:false} -> choices[0].message.content and usage.
 * The system message is ours, from the catalogue; a model that has nothing to say gives the prompt
 * back, so that a caller who chains text and picture always has one. */
#include "providers/openai_compat.h"

#include <stdbool.h>
#include <string.h>

static void put_message(imagine_body_t *body, const char *role, const char *content) {
    imagine_body_open_object(body, NULL);
    imagine_body_put_text(body, "role", role);
    imagine_body_put_text(body, "content", content);
    imagine_body_close(body);
}

void imi_openai_compat_text(imagine_call_t *call, const char *url, int32_t auth,
                            imagine_response_cb on_written) {
    const imagine_params_t *params = imagine_call_params(call);
    const char *instruction = imagine_call_option(call, "instruction");
    const char *temperature = imagine_call_option(call, "temperature");
    int64_t max_tokens = imagine_call_option_int(call, "max_tokens", 0);
    imagine_call_request_t request = {.size = sizeof(request)};
    imagine_body_t *body = imagine_body_json(call);
    imagine_body_put_text(body, "model", imagine_call_model(call));
    imagine_body_open_array(body, "messages");
    if (instruction != NULL)
        put_message(body, "system", instruction);
    put_message(body, "user", params->prompt);
    imagine_body_close(body);
    imagine_body_put_bool(body, "stream", 0);
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
    imagine_call_http(call, &request, on_written);
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
