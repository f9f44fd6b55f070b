/* classify.h: why did it fail, and whose fault is it? Policy only: reads an answer, touches
 * nothing. Structured fields first (status, error.code, error.status, error.type, details), words
 * only in the text of an error answer, never in what echoes the prompt. The table is in the
 * providers' documentation ("Why a token failed"). */
#ifndef IMI_CORE_CLASSIFY_H
#define IMI_CORE_CLASSIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imagine/io.h"
#include "imagine/provider.h"
#include "wire/arena.h"

/* An error answer (any status; 2xx are judged by their body alone). The message is found in
 * "message", "error.message", "errors.message", "error", "detail", "messege" or the text itself (of
 * HTML: what it is, and 200 characters without tags), cleaned, at most 500 bytes, in the arena.
 * `prompt` (may be NULL) is what the answer may echo. */
void imi_classify(imagine_verdict_t *verdict, imi_arena_t *arena,
                  const imagine_http_response_t *response, const char *prompt, int64_t now_unix_ms);
/* Only a text, as an event of a stream brings it: EQUOTA with its "try again in …", or EUPSTREAM.
 */
void imi_classify_text(imagine_verdict_t *verdict, imi_arena_t *arena, const char *text,
                       const char *prompt);

#endif
