/* listener.c: TCP by libuv under the HTTP connections of a gateway.
 *
 * A connection reads into one buffer that all of them share, and writes at once as much as its
 * socket takes; only a rest that does not fit is queued. It goes on reading while its request is
 * worked on, and so notices at no cost that its peer has left. */
#include "listener.h"

#include <malloc.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define BACKLOG 4096
#define CROWD 64           /* connections; when so many have left, memory is given back, … */
#define TRIM_AFTER_MS 8000 /* … but not before their providers' idle connections went, too */

struct listener {
    uv_tcp_t tcp;
    imagine_gateway_t *gateway;
    bool is_full; /* one more connection is here already and waits */
    unsigned connections_max, connection_count;
    uv_timer_t trim;
    char input[64 * 1024];
};

typedef struct connection {
    uv_tcp_t tcp; /* first: a pointer to one is a pointer to the other */
    listener_t *listener;
    imagine_http1_t *http1;
} connection_t;

static void on_connection(uv_stream_t *stream, int status);

static void on_trim(uv_timer_t *timer) {
    malloc_trim(0);
    (void)timer;
}

static void on_closed(uv_handle_t *handle) {
    connection_t *connection = (connection_t *)handle;
    listener_t *listener = connection->listener;
    imagine_http1_close(connection->http1);
    free(connection);
    if (listener->connection_count-- == CROWD)
        uv_timer_start(&listener->trim, on_trim, TRIM_AFTER_MS, 0);
    if (listener->is_full && !uv_is_closing((uv_handle_t *)&listener->tcp))
        on_connection((uv_stream_t *)&listener->tcp, 0);
}

static void close_connection(void *user) {
    if (!uv_is_closing(user))
        uv_close(user, on_closed);
}

static void on_written(uv_write_t *write, int status) {
    connection_t *connection = (connection_t *)write->handle;
    free(write);
    if (status < 0)
        close_connection(connection);
    else
        imagine_http1_sent(connection->http1);
}

static int32_t on_send(const imagine_slice_t *pieces, size_t piece_count, void *user) {
    uv_buf_t buffers[IMAGINE_HTTP1_PIECES_MAX], *first = buffers, *end = buffers;
    if (uv_is_closing(user))
        return 0;
    for (size_t i = 0; i < piece_count; i++)
        *end++ = uv_buf_init((char *)pieces[i].data, (unsigned)pieces[i].size);
    int written = uv_try_write(user, first, (unsigned)(end - first));
    size_t left = written > 0 ? (size_t)written : 0;
    for (; first < end && left >= first->len; first++)
        left -= first->len;
    if (first == end)
        return 1;
    first->base += left;
    first->len -= left;
    uv_write_t *write = written >= 0 || written == UV_EAGAIN ? malloc(sizeof(*write)) : NULL;
    if (write == NULL || uv_write(write, user, first, (unsigned)(end - first), on_written) != 0) {
        free(write);
        close_connection(user);
    }
    return 0;
}

static void on_alloc(uv_handle_t *handle, size_t wanted, uv_buf_t *buffer) {
    listener_t *listener = ((connection_t *)handle)->listener;
    *buffer = uv_buf_init(listener->input, sizeof(listener->input));
    (void)wanted;
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer) {
    if (size < 0)
        close_connection(stream);
    else if (size > 0)
        imagine_http1_receive(((connection_t *)stream)->http1, buffer->base, (size_t)size);
}

static void on_pause(int32_t is_paused, void *user) {
    if (is_paused)
        uv_read_stop(user);
    else if (!uv_is_closing(user))
        uv_read_start(user, on_alloc, on_read);
}

static const imagine_http1_stream_t http1_stream = {
    .size = sizeof(http1_stream), .send = on_send, .pause = on_pause, .close = close_connection};

static void on_connection(uv_stream_t *stream, int status) {
    listener_t *listener = (listener_t *)stream;
    struct sockaddr_storage address;
    char peer[64];
    bool has_room = status == 0 && listener->connection_count < listener->connections_max;
    connection_t *connection = has_room ? calloc(1, sizeof(*connection)) : NULL;
    listener->is_full = connection == NULL;
    if (connection == NULL)
        return;
    connection->listener = listener;
    connection->tcp.data = listener;
    uv_tcp_init(stream->loop, &connection->tcp);
    listener->connection_count++;
    if (uv_accept(stream, (uv_stream_t *)connection) != 0 ||
        uv_tcp_nodelay(&connection->tcp, 1) != 0 ||
        uv_tcp_getpeername(&connection->tcp, (struct sockaddr *)&address,
                           &(int){sizeof(address)}) != 0 ||
        uv_ip_name((struct sockaddr *)&address, peer, sizeof(peer)) != 0 ||
        imagine_http1_open(&connection->http1, listener->gateway, peer, &http1_stream,
                           connection) != 0 ||
        uv_read_start((uv_stream_t *)connection, on_alloc, on_read) != 0)
        close_connection(connection); /* it has left again, or there is no memory */
}

int listener_open(listener_t **out, uv_loop_t *loop, imagine_gateway_t *gateway,
                  const imagine_settings_t *settings, int *out_port, char **out_message) {
    const char *host = imagine_settings_get(settings, "HOST");
    const char *port = imagine_settings_get(settings, "PORT");
    struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM}, *address = NULL;
    struct sockaddr_in6 bound = {.sin6_port = 0}; /* at the same place as IPv4's */
    listener_t *listener = *out = calloc(1, sizeof(*listener));
    if (listener == NULL)
        return IMAGINE_ENOMEM;
    listener->gateway = gateway;
    listener->connections_max = (unsigned)imagine_settings_get_int(settings, "MAX_CONNECTIONS");
    uv_tcp_init(loop, &listener->tcp);
    uv_timer_init(loop, &listener->trim);
    int err = getaddrinfo(host, port, &hints, &address);
    const char *why = gai_strerror(err);
    if (err == 0) {
        err = uv_tcp_bind(&listener->tcp, address->ai_addr, 0);
        if (err == 0)
            err = uv_listen((uv_stream_t *)&listener->tcp, BACKLOG, on_connection);
        why = err == 0 ? "" : uv_strerror(err); /* of 0 it would allocate a text */
        freeaddrinfo(address);
    }
    uv_tcp_getsockname(&listener->tcp, (struct sockaddr *)&bound, &(int){sizeof(bound)});
    *out_port = ntohs(bound.sin6_port);
    if (err == 0)
        return 0;
    if (asprintf(out_message, "HOST, PORT: %s, %s: %s", host, port, why) < 0)
        *out_message = NULL;
    listener_close(listener);
    return IMAGINE_EIO;
}

void listener_stop(listener_t *listener) {
    if (!uv_is_closing((uv_handle_t *)&listener->tcp))
        uv_close((uv_handle_t *)&listener->tcp, NULL);
}

static void close_ours(uv_handle_t *handle, void *user) {
    if (handle->data == user)
        close_connection(handle);
}

void listener_close(listener_t *listener) {
    uv_loop_t *loop = listener->tcp.loop;
    listener_stop(listener);
    uv_close((uv_handle_t *)&listener->trim, NULL);
    uv_walk(loop, close_ours, listener);
    do /* everything that closes does so in one turn */
        uv_run(loop, UV_RUN_NOWAIT);
    while (listener->connection_count > 0);
    free(listener);
}
