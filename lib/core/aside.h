/* aside.h: the pictures of a call's answers that were put aside into files while they came, because
 * they will be hosted. In the answer is their beginning; who reads one there gets a data: address
 * that holds no more, which stands for the file. It never leaves the core: delivery.c makes an
 * address of the file, or a whole data: one. */
#ifndef IMI_CORE_ASIDE_H
#define IMI_CORE_ASIDE_H

#include <stdbool.h>

#include "core/call.h"
#include "core/spool.h"
#include "wire/str.h"

#define IMI_ASIDE_PICTURES_MAX 10 /* of one call; further ones are kept in memory */

/* An exchange of the call begins. Its pictures are put aside if the call wants that. */
void imi_aside_begin(imagine_call_t *call);
/* Is this value, raw and in the answer, the beginning of one? */
bool imi_aside_holds(const imagine_call_t *call, imi_slice_t value);
/* `url` stands for it from now on. */
void imi_aside_name(imagine_call_t *call, imi_slice_t value, const char *url);
/* What an address stands for. NULL: for itself. */
imi_spool_t *imi_aside_find(const imagine_call_t *call, const char *url);
/* Does the call's result hold such an address? */
bool imi_aside_is_in_result(const imagine_call_t *call);
/* All files go. */
void imi_aside_reset(imagine_call_t *call);

#endif
