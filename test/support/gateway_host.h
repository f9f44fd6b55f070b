/* gateway_host.h: a gateway with a client in a world without time, and what a host sees of it.
 *
 * Provider "test" needs no token; "needy" has the same code and needs one. The prompt says what
 * happens: "wait" answers after a second, "paid" likewise, but has reached the provider, "long"
 * with a data: address of 8000 bytes, "fail ECONTENT" fails with that error, anything else succeeds
 * at once. A text of "pieces 3" comes in three pieces, one of "broken 3" fails after them. */
#ifndef IMI_TEST_GATEWAY_HOST_H
#define IMI_TEST_GATEWAY_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imagine/gateway.h"
#include "support/virtual_io.h"
#include "wire/mem.h"

#define GATEWAY_HOST_HEADERS_MAX 32
#define GATEWAY_HOST_BODY_MAX 65536

typedef struct gateway_host {
    virtual_io_t *virtual;
    imagine_t *im;
    imagine_gateway_t *gateway;
} gateway_host_t;

/* settings: "NAME=value;NAME=value", applied to client, gateway and the log's level; NULL: none. 0,
 * or the error of imi_gateway_open() (then `gateway` is NULL, and the rest still has to be closed).
 */
int gateway_host_open(gateway_host_t *host, const imi_mem_t *mem, const char *settings);
/* Aborts if the client does not come to its end. */
void gateway_host_close(gateway_host_t *host);

/* One request as the host sees it. */
typedef struct visit {
    gateway_host_t *host;
    imagine_exchange_t *exchange; /* NULL once released */
    bool releases_in_head;        /* set before: what an impatient host does inside its functions */
    bool releases_in_end;
    bool aborts_in_head;

    unsigned head_count, end_count;
    int32_t status, wants_close;
    int64_t content_length;
    char headers[4096]; /* "Name: value\n" … */
    char body[GATEWAY_HOST_BODY_MAX];
    size_t body_size;
    const void *last_piece;
} visit_t;

/* header lines: "Name: value\nName: value"; a line "peer: 192.0.2.1" says where the request comes
 * from (else 127.0.0.1). 0 or the error of imagine_gateway_begin(). */
int visit_begin(visit_t *visit, gateway_host_t *host, const char *method, const char *target,
                const char *header_lines);
/* The body in pieces of so many bytes (0: whole), then the end of the request. */
void visit_send(visit_t *visit, const char *body, size_t body_size, size_t piece_size);
/* Lets time pass until there is an answer. */
void visit_wait(visit_t *visit);
void visit_release(visit_t *visit);
/* All of it; a Content-Length is added where a body comes without one. */
void visit_make(visit_t *visit, gateway_host_t *host, const char *method, const char *target,
                const char *header_lines, const char *body);

#endif
