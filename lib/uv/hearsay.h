/* hearsay.h: what curl tells of HTTP/2 in its debug text and nowhere else.
 *
 * A server that closes a connection in good order, as nginx does after a thousand requests, says
 * which request was the last that it began (GOAWAY) and refuses those after it. These may be sent
 * again, and nothing else that was cut off may. Text that is not understood (of another version of
 * curl) tells nothing, and nothing is sent again. Of a single stream that is refused (RST_STREAM)
 * curl 7.88 tells only if the exchange had made the connection itself. */
#ifndef IMI_UV_HEARSAY_H
#define IMI_UV_HEARSAY_H

#include <stddef.h>
#include <stdint.h>

typedef enum imi_hearsay_topic {
    IMI_HEARSAY_NOTHING,
    IMI_HEARSAY_CONNECTION, /* the exchange is on the connection of this number */
    IMI_HEARSAY_STREAM,     /* and has this stream on it */
    IMI_HEARSAY_REFUSED,    /* the server refused the stream */
    IMI_HEARSAY_GOAWAY,     /* the server began no later stream of the connection than this one */
} imi_hearsay_topic_t;

imi_hearsay_topic_t imi_hearsay_read(const char *text, size_t size, int64_t *out_number);

#endif
