/* inspect.h: the routes that answer at once, from what the client knows. */
#ifndef IMI_GATEWAY_INSPECT_H
#define IMI_GATEWAY_INSPECT_H

#include "imagine/gateway.h"

void imi_inspect_health(imagine_exchange_t *exchange);
void imi_inspect_models(imagine_exchange_t *exchange);
void imi_inspect_all_models(imagine_exchange_t *exchange);
void imi_inspect_tokens(imagine_exchange_t *exchange);
void imi_inspect_all_tokens(imagine_exchange_t *exchange);
void imi_inspect_reset_tokens(imagine_exchange_t *exchange);
void imi_inspect_clean_up_storage(imagine_exchange_t *exchange);
void imi_inspect_metrics(imagine_exchange_t *exchange);

#endif
