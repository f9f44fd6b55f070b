/* openai_compat.h: the chat-completions protocol, which half of the providers speak. */
#ifndef IMI_PROVIDERS_OPENAI_COMPAT_H
#define IMI_PROVIDERS_OPENAI_COMPAT_H

#include <stdint.h>

#include "imagine/provider.h"

/* The text action: posts the catalogue's "instruction" and the prompt to `url`. The answer goes to
 * `on_written`: the function below, or the provider's own, which ends with it. */
void imi_openai_compat_text(imagine_call_t *call, const char *url, int32_t auth,
                            imagine_response_cb on_written);
/* Ends the call with what the model wrote. */
void imi_openai_compat_on_written(imagine_call_t *call, const imagine_http_response_t *response);

#endif
