/* openai_compat.h: what half of the providers speak as OpenAI does: chat completions, whole or in
 * pieces, and pictures by address or as base64. */
#ifndef IMI_PROVIDERS_OPENAI_COMPAT_H
#define IMI_PROVIDERS_OPENAI_COMPAT_H

#include <stdint.h>

#include "imagine/provider.h"

/* The text action: posts the catalogue's "instruction" and the prompt to `url`. A whole answer goes
 * to `on_written`: the function below, or the provider's own, which ends with it. */
void imi_openai_compat_text(imagine_call_t *call, const char *url, int32_t auth,
                            imagine_response_cb on_written);
/* Ends the call with what the model wrote. */
void imi_openai_compat_on_written(imagine_call_t *call, const imagine_http_response_t *response);

/* The end of a stream, or a whole answer although a stream was asked for: `on_written` gets the
 * latter. */
void imi_openai_compat_end_stream(imagine_call_t *call, const imagine_http_response_t *response,
                                  imagine_response_cb on_written);

/* Ends the call with data[].url or data[].b64_json, however many there are, and the first one's
 * revised_prompt. */
void imi_openai_compat_on_pictured(imagine_call_t *call, const imagine_http_response_t *response);

#endif
