/* answer.h: how an answer is put together and handed to the host. Each exchange is answered once,
 * and whoever answers touches nothing of it afterwards. */
#ifndef IMI_GATEWAY_ANSWER_H
#define IMI_GATEWAY_ANSWER_H

#include <stdint.h>

#include "gateway/exchange.h"
#include "gateway/refusal.h"
#include "wire/str.h"

#define IMI_TYPE_JSON "application/json"

/* Adds a header; the texts must live as long as the exchange. */
void imi_answer_header(imagine_exchange_t *exchange, const char *name, const char *value);
/* Writes a decimal number and its NUL; returns `out`. */
const char *imi_decimal(char out[IMI_EXCHANGE_DECIMAL_SIZE], uint64_t value);
/* Retry-After in whole seconds, rounded up, at least 1. */
void imi_answer_retry_after(imagine_exchange_t *exchange, uint64_t delay_ms);

/* Sends pieces that live as long as the exchange. content_type NULL: there is no content. */
void imi_answer_send(imagine_exchange_t *exchange, int32_t status, const char *content_type,
                     const imagine_slice_t *pieces, size_t piece_count);
/* Sends what was written into exchange->text; without memory for it, says so. */
void imi_answer_send_text(imagine_exchange_t *exchange, int32_t status, const char *content_type);

/* {"error", "message", "code", "requestId"} */
void imi_answer_error(imagine_exchange_t *exchange, int32_t status, int32_t code, const char *error,
                      const char *message);
/* An answer in pieces, as they come: begin, any number of pieces (not kept), end. */
void imi_answer_begin_stream(imagine_exchange_t *exchange, const char *content_type);
/* Likewise one of a known size. */
void imi_answer_begin_file(imagine_exchange_t *exchange, int32_t status, const char *content_type,
                           uint64_t size);
void imi_answer_piece(imagine_exchange_t *exchange, const void *data, size_t size);
void imi_answer_end_stream(imagine_exchange_t *exchange);
void imi_answer_refuse(imagine_exchange_t *exchange, const imi_refusal_t *refusal);
/* What the library's error number says, for calls that failed at once. */
void imi_answer_failed_call(imagine_exchange_t *exchange, int err);

#endif
