/* batch.h: more pictures than the provider makes at once: one request inside for each part of them,
 * all at the same time, over the token pool. The request outside ends with the last of them. */
#ifndef IMI_CORE_BATCH_H
#define IMI_CORE_BATCH_H

#include <stdbool.h>

#include "core/request.h"

/* Does it ask for more than one call can bring? */
bool imi_batch_is_needed(const imagine_request_t *request);
/* Starts the parts; the request ends by itself. */
void imi_batch_start(imagine_request_t *request);
/* The request ends early: parts that have not reached a provider go, the others become tasks. */
void imi_batch_cancel(imagine_request_t *request);
/* Nobody wants any of it: all parts end, and those that have reached a provider tell it. */
void imi_batch_give_up(imagine_request_t *request);
/* Time is up: true if there are pictures, which the request has ended with. */
bool imi_batch_settle(imagine_request_t *request);
/* What parts have brought, which nobody is told any more, becomes tasks, too. */
void imi_batch_keep(imagine_request_t *request);
/* The first of these tasks. NULL: there is none. */
const char *imi_batch_task_id(const imagine_request_t *request);
void imi_batch_free(imagine_request_t *request);

#endif
