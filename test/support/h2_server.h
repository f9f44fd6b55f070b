/* h2_server.h: an HTTP/2 server for tests: node, with the certificate of tcp_server.h. Paths as
 * there (/ok, /echo, /late/250, /silent, /cut, /size/1000, /status/302), and:
 *
 *   /sessions       how many connections there were so far
 *   /refused/NAME   REFUSED_STREAM for the first request of that name, 200 for the next
 *   /leaving/NAME   GOAWAY for all from the first request of that name on, 200 for the next
 *   /unended        200, "hello" with its length, and the stream stays open
 *   /broken         the stream is reset with INTERNAL_ERROR */
#ifndef IMI_TEST_H2_SERVER_H
#define IMI_TEST_H2_SERVER_H

#include <stdbool.h>

/* False when there is no node here. Ends with the process. */
bool h2_server_open(void);
/* base + path: in a ring of buffers, good for the next few calls. */
const char *h2_server_url(const char *path);

#endif
