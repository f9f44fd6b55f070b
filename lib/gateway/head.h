/* head.h: what the gateway wants to know of a request's head. */
#ifndef IMI_GATEWAY_HEAD_H
#define IMI_GATEWAY_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imagine/gateway.h"
#include "gateway/refusal.h"
#include "wire/str.h"

enum {
    IMI_HEAD_SIZE_MAX = 16 * 1024,  /* all headers as they stand on the wire */
    IMI_TARGET_SIZE_MAX = 8 * 1024, /* path and query */
};

/* The values refer to the request's headers, trimmed; absent slices for what was not sent. */
typedef struct imi_gateway_head {
    imi_slice_t accept;
    imi_slice_t authorization; /* empty, so of no known form, when it was sent twice */
    imi_slice_t content_type;
    bool is_compressed;     /* the body, says its Content-Encoding */
    imi_slice_t fetch_mode; /* Sec-Fetch-Mode */
    imi_slice_t if_none_match;
    imi_slice_t origin;
    imi_slice_t prefer; /* RFC 7240 */
    imi_slice_t range;
    int64_t content_length; /* -1: not told */
    bool is_chunked;
    bool is_forwarded; /* somebody between us and the caller says so */
} imi_gateway_head_t;

/* Reads all headers in one pass. NULL, or why the request cannot be taken: after that nobody knows
 * where it ends, so the connection has to go. */
const imi_refusal_t *imi_gateway_head_read(imi_gateway_head_t *head,
                                           const imagine_header_t *headers, size_t header_count);

/* Takes path and query out of a target; absolute addresses ("http://host/path") lose their front.
 * NULL, or why it is none. */
const imi_refusal_t *imi_gateway_target_read(imi_slice_t target, imi_slice_t *out_path,
                                             imi_slice_t *out_query);

/* The raw value of a query's first parameter of this name; absent when there is none. */
imi_slice_t imi_gateway_query_get(imi_slice_t query, const char *name);

#endif
