/* log.h: what the library says, through the io table alone. Lines are "event key=value …"; a token
 * is its fingerprint, and what strangers wrote is cleaned before it comes here. */
#ifndef IMI_CORE_LOG_H
#define IMI_CORE_LOG_H

#include <stdint.h>

#include "imagine.h"

#define IMI_LOG_LINE_SIZE_MAX 1024 /* longer lines are cut */

/* Costs one comparison when the level is not wanted. */
void imi_log(imagine_t *im, int32_t level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* "[ms] r<request> event …", at level trace; see imi_trace() in request.h. */
void imi_log_trace(imagine_t *im, uint32_t request_number, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
