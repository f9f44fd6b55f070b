/* result.h: the result as the JSON that the HTTP API answers, and its bytes. */
#ifndef IMI_CORE_RESULT_H
#define IMI_CORE_RESULT_H

#include "core/request.h"

/* The request that a result lies in. */
imagine_request_t *imi_result_request(const imagine_result_t *result);
void imi_result_reset(imagine_request_t *request);
/* What the call brought, as a task keeps it: JSON to free with imi_mem_free(). NULL: no memory. */
char *imi_result_outcome(imagine_request_t *request);

#endif
