/* tcp_server.h: a real HTTP/1.1 server for tests, on a free port of 127.0.0.1, with one thread per
 * connection. What it does is chosen by the path:
 *
 *   /ok             200, "hello", X-Twice: one, X-Twice: two
 *   /echo           200, the request as it came: its head, then its body
 *   /status/404     that status; a 3xx has a Location
 *   /late/250       200 after so many ms
 *   /silent         reads the request, answers never
 *   /deaf           reads the head, but nothing of the body
 *   /half           head and 5 of 10 bytes, then silence
 *   /half-head      the status line, then silence
 *   /cut            head and 5 of 10 bytes, then the end of the connection
 *   /reset, /close  reads the request, then resets or closes
 *   /size/100000    so many bytes, Content-Length told before
 *   /chunks/100000  so many bytes, chunked
 *   /bytewise       as /ok, chunked, in packets of one byte
 *   /interim        103, then 200
 *   /garbage        no HTTP
 *   /headers/300    so many headers
 *   /folded         a header that goes on in the next line
 *   /bye            200, then closes the connection although it seemed to stay open
 *   /once           the first request of a connection: 200; the second: reads it and closes */
#ifndef IMI_TEST_TCP_SERVER_H
#define IMI_TEST_TCP_SERVER_H

#include <stdbool.h>
#include <stddef.h>

typedef struct tcp_server tcp_server_t;

typedef enum tcp_server_mode {
    TCP_SERVER_PLAIN,
    TCP_SERVER_TLS,
    TCP_SERVER_RESETS, /* every connection, as soon as it is made */
    TCP_SERVER_MUTE,   /* accepts, and says nothing: no TLS handshake either */
} tcp_server_mode_t;

/* Aborts the test when it cannot. */
tcp_server_t *tcp_server_open(tcp_server_mode_t mode);
void tcp_server_close(tcp_server_t *server); /* ends its connections, waits for its threads */

/* base + path: in a ring of buffers, good for the next few calls. */
const char *tcp_server_url(const tcp_server_t *server, const char *path);
int tcp_server_port(const tcp_server_t *server);
unsigned tcp_server_connections(tcp_server_t *server); /* made so far */
unsigned tcp_server_requests(tcp_server_t *server);    /* read as a whole so far */

/* A self-signed certificate for 127.0.0.1 and localhost, made at the first call, for the life of
 * the process: paths of PEM files. */
const char *tcp_server_certificate_file(void);
const char *tcp_server_key_file(void);

/* A port where nobody listens. */
int tcp_server_free_port(void);

#endif
