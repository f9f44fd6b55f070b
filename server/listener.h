/* listener.h: TCP under the HTTP connections of a gateway. */
#ifndef IMAGINE_SERVER_LISTENER_H
#define IMAGINE_SERVER_LISTENER_H

#include <imagine/gateway.h>
#include <uv.h>

typedef struct listener listener_t;

/* port "0": any free one. Connections beyond connections_max wait in the backlog. Returns NULL, or
 * why not: one line that names the setting. */
const char *listener_open(listener_t **out, uv_loop_t *loop, imagine_gateway_t *gateway,
                          const char *host, const char *port, unsigned connections_max);
int listener_port(const listener_t *listener);
void listener_stop(listener_t *listener);  /* takes no more connections; those it has go on */
void listener_close(listener_t *listener); /* cuts them, and turns the loop until all is gone */

#endif
