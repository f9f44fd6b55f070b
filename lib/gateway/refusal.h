/* refusal.h: why the gateway answers a request itself instead of carrying it out. */
#ifndef IMI_GATEWAY_REFUSAL_H
#define IMI_GATEWAY_REFUSAL_H

#include <stdint.h>

typedef struct imi_refusal {
    int32_t status;      /* HTTP */
    int32_t code;        /* IMAGINE_E… */
    const char *error;   /* short; clients compare it */
    const char *message; /* one line for a person */
} imi_refusal_t;

#endif
