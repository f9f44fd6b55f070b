/* a4f.c: A4F, a gateway to many models in OpenAI's form: sizes as "WxH", several pictures at once,
 * a plain assistant for texts. */
#include "providers/builtin.h"
#include "providers/openai_compat.h"

static void generate(imagine_call_t *call) {
    const imagine_params_t *params = imagine_call_params(call);
    imagine_call_request_t request = {.size = sizeof(request)};
    imagine_body_t *body = imagine_body_json(call);
    imagine_body_put_text(body, "model", imagine_call_model(call));
    imagine_body_put_text(body, "prompt", params->prompt);
    imagine_body_put_int(body, "n", params->count);
    imagine_body_put_text(body, "size",
                          imagine_call_printf(call, "%ux%u", params->width, params->height));
    request.url = imagine_call_url(call, "/images/generations");
    request.body = body;
    request.has_json_pictures = 1;
    imagine_call_http(call, &request, imi_openai_compat_on_pictured);
}

static void text(imagine_call_t *call) {
    imi_openai_compat_text(call, imagine_call_url(call, "/chat/completions"), IMAGINE_AUTH_BEARER,
                           imi_openai_compat_on_written);
}

const imagine_provider_t imi_provider_a4f = {
    .size = sizeof(imi_provider_a4f),
    .name = "a4f",
    .generate = generate,
    .text = text,
};
