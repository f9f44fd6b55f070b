/* listener.h: TCP under the HTTP connections of a gateway. */
#ifndef IMAGINE_SERVER_LISTENER_H
#define IMAGINE_SERVER_LISTENER_H

#include <imagine/gateway.h>
#include <uv.h>

typedef struct listener listener_t;

/* On HOST and PORT, for MAX_CONNECTIONS at once. 0, or an error and *out_message: why, to free. */
int listener_open(listener_t **out, uv_loop_t *loop, imagine_gateway_t *gateway,
                  const imagine_settings_t *settings, int *out_port, char **out_message);
void listener_stop(listener_t *listener);  /* takes no more connections; those it has go on */
void listener_close(listener_t *listener); /* cuts them, and turns the loop until all is gone */

#endif
