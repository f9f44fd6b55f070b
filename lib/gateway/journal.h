/* journal.h: the line that each request leaves in the log. */
#ifndef IMI_GATEWAY_JOURNAL_H
#define IMI_GATEWAY_JOURNAL_H

#include "gateway/exchange.h"

void imi_journal_write(const imagine_exchange_t *exchange);

#endif
