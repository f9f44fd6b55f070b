/* webhooks.h: what became of the webhooks, and a second chance for one: the administrator's. */
#ifndef IMI_GATEWAY_WEBHOOKS_H
#define IMI_GATEWAY_WEBHOOKS_H

#include "imagine/gateway.h"

void imi_webhooks_answer_list(imagine_exchange_t *exchange);
void imi_webhooks_answer_redeliver(imagine_exchange_t *exchange);

#endif
