/* server.h: an imagine-server instead of the providers. */
#ifndef SERVER_H
#define SERVER_H

#include <stdbool.h>

#include "app.h"

#define SERVER_PREFIX "server/" /* in front of a server's model ids, for the library */

/* Registers app->server as a provider. 0, or the exit code: what is wrong was said. */
int server_attach(app_t *app);
/* The JSON at a path of the server; *out is to be freed with imagine_free(). Likewise. */
int server_get(app_t *app, const char *path, char **out);
/* The server's name of the video that is under way; "": none. */
const char *server_task(void);
/* The next video is that one, which the server has under way. False: no name is that long. */
bool server_set_task(const char *id);

#endif
