/* action.h: the routes that ask the library to do something, and what became of it. */
#ifndef IMI_GATEWAY_ACTION_H
#define IMI_GATEWAY_ACTION_H

#include "imagine/gateway.h"

void imi_action_carry_out(imagine_exchange_t *exchange);
void imi_action_task_status(imagine_exchange_t *exchange);
void imi_action_cancel_task(imagine_exchange_t *exchange);

#endif
