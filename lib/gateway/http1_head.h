/* http1_head.h: the text of an HTTP/1.1 request's head, taken apart (RFC 9112, sections 3 and 5).
 */
#ifndef IMI_GATEWAY_HTTP1_HEAD_H
#define IMI_GATEWAY_HTTP1_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/refusal.h"
#include "imagine/gateway.h"

enum { IMI_HTTP1_HEADERS_MAX = 100 };

/* What framing depends on stands beside the request. Whether the values are sound, and do not
 * contradict each other, is judged with the rest of the head (head.h). */
typedef struct imi_http1_head {
    imagine_gateway_request_t request; /* but for `peer` */
    imagine_header_t headers[IMI_HTTP1_HEADERS_MAX];
    bool is_http10;
    bool keeps_alive;
    bool is_chunked;
    bool expects_continue;
    bool has_length;
    uint64_t length; /* of the body; 0: none, or chunked */
} imi_http1_head_t;

/* `text` is the head with the empty line behind it; it is cut into pieces that the request refers
 * to. NULL, or why it is no request. */
const imi_refusal_t *imi_http1_head_parse(imi_http1_head_t *head, char *text, size_t size);

/* False: whatever comes behind it, `text` will be no head, so nobody has to wait for its end: the
 * caller begins with TLS, say, or ends its lines with a line feed alone. The first `known_size`
 * bytes passed before. */
bool imi_http1_head_may_go_on(const char *text, size_t size, size_t known_size);

extern const imi_refusal_t imi_http1_malformed_head;
extern const imi_refusal_t imi_http1_large_head;

#endif
