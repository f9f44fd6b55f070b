/* listener.c: TCP by libuv under the HTTP connections of a gateway.
 *
 * A connection reads into one buffer that all of them share, and writes at once as much as its
 * socket takes; only a rest that does not fit is queued. It goes on reading while its request is
 * worked on, and so notices at no cost that its peer has left.
 *
 * Listeners of several threads share a port by SO_REUSEPORT: each has a socket and a backlog. That
 * would also let a second server share it unnoticed, so the first one of them tries without. */
#include "imagine/gateway.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "wire/list.h"

#define BACKLOG 4096
#define INPUT_SIZE (64 * 1024)

struct imagine_listener {
    uv_tcp_t tcp;
    imagine_gateway_t *gateway;
    uv_idle_t anchor; /* never runs; open until imagine_listener_close(), also when stopped */
    bool is_shared;   /* the port: others listen on it, too */
    bool is_full;     /* one more connection is here already and waits */
    unsigned connections_max, connection_count;
    unsigned handle_count; /* tcp, anchor, and one for each connection */
    imi_list_t connections;
    imagine_closed_cb closed;
    void *user;
    char input[INPUT_SIZE];
};

typedef struct connection {
    uv_tcp_t tcp; /* first: a pointer to one is a pointer to the other */
    uv_shutdown_t shutdown;
    imi_list_t link; /* in listener->connections */
    imagine_listener_t *listener;
    imagine_http1_t *http1;
} connection_t;

static void on_connection(uv_stream_t *stream, int status);

static void on_handle_closed(imagine_listener_t *listener) {
    imagine_closed_cb closed = listener->closed;
    void *user = listener->user;
    if (--listener->handle_count > 0)
        return;
    free(listener);
    if (closed != NULL)
        closed(user);
}

static void on_closed(uv_handle_t *handle) {
    connection_t *connection = (connection_t *)handle;
    imagine_listener_t *listener = connection->listener;
    imagine_http1_close(connection->http1);
    imi_list_remove(&connection->link);
    free(connection);
    listener->connection_count--;
    if (listener->is_full && !uv_is_closing((uv_handle_t *)&listener->tcp))
        on_connection((uv_stream_t *)&listener->tcp, 0);
    on_handle_closed(listener);
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
    imagine_listener_t *listener = ((connection_t *)handle)->listener;
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

static void on_shut(void *user) {
    connection_t *connection = user;
    if (!uv_is_closing(user))
        uv_shutdown(&connection->shutdown, user, NULL);
}

static const imagine_http1_stream_t http1_stream = {.size = sizeof(http1_stream),
                                                    .send = on_send,
                                                    .pause = on_pause,
                                                    .shut = on_shut,
                                                    .close = close_connection};

static void on_connection(uv_stream_t *stream, int status) {
    imagine_listener_t *listener = (imagine_listener_t *)stream;
    struct sockaddr_storage address;
    char peer[64];
    bool has_room = status == 0 && listener->connection_count < listener->connections_max;
    connection_t *connection = has_room ? calloc(1, sizeof(*connection)) : NULL;
    listener->is_full = connection == NULL;
    if (connection == NULL)
        return;
    connection->listener = listener;
    imi_list_append(&listener->connections, &connection->link);
    uv_tcp_init(stream->loop, &connection->tcp);
    listener->connection_count++;
    listener->handle_count++;
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

static void on_tcp_closed(uv_handle_t *handle) {
    on_handle_closed((imagine_listener_t *)handle);
}

static void on_anchor_closed(uv_handle_t *handle) {
    on_handle_closed(handle->data);
}

/* ---- opening ---- */

/* 0, or libuv's error. */
static int make_socket(int family, int option, int *out) {
    *out = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*out >= 0 && setsockopt(*out, SOL_SOCKET, option, &(int){1}, sizeof(int)) == 0)
        return 0;
    int err = uv_translate_sys_error(errno);
    if (*out >= 0)
        close(*out);
    return err;
}

/* Nobody else listens there. */
static int try_alone(const struct sockaddr *address, socklen_t address_size) {
    int fd = -1, err = make_socket(address->sa_family, SO_REUSEADDR, &fd);
    if (err != 0)
        return err;
    err = bind(fd, address, address_size) == 0 ? 0 : uv_translate_sys_error(errno);
    close(fd);
    return err;
}

static int share_port(imagine_listener_t *listener, int family) {
    int fd = -1, err = make_socket(family, SO_REUSEPORT, &fd);
    if (err != 0)
        return err;
    err = uv_tcp_open(&listener->tcp, fd);
    if (err != 0)
        close(fd);
    return err;
}

static int listen_at(imagine_listener_t *listener, const struct sockaddr *address) {
    int err = listener->is_shared ? share_port(listener, address->sa_family) : 0;
    if (err == 0)
        err = uv_tcp_bind(&listener->tcp, address, 0);
    return err == 0 ? uv_listen((uv_stream_t *)&listener->tcp, BACKLOG, on_connection) : err;
}

/* NULL, or why not. */
static const char *listen_on(imagine_listener_t *listener, const char *host, const char *port) {
    struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM}, *address = NULL;
    int err = getaddrinfo(host, port, &hints, &address);
    if (err != 0)
        return gai_strerror(err);
    if (listener->is_shared)
        err = try_alone(address->ai_addr, address->ai_addrlen);
    if (err == 0)
        err = listen_at(listener, address->ai_addr);
    freeaddrinfo(address);
    return err == 0 ? NULL : uv_strerror(err); /* of 0 it would allocate a text */
}

static imagine_listener_t *listener_new(imagine_gateway_t *gateway, uv_loop_t *loop) {
    imagine_listener_t *listener = calloc(1, sizeof(*listener));
    if (listener == NULL)
        return NULL;
    listener->gateway = gateway;
    imi_list_init(&listener->connections);
    uv_tcp_init(loop, &listener->tcp);
    uv_idle_init(loop, &listener->anchor);
    listener->anchor.data = listener;
    listener->handle_count = 2;
    return listener;
}

int32_t imagine_listener_count(const imagine_settings_t *settings) {
    int64_t count = imagine_settings_get_int(settings, "WORKERS");
    if (count == 0)
        count = uv_available_parallelism();
    return count > IMAGINE_LISTENERS_MAX ? IMAGINE_LISTENERS_MAX : (int32_t)count;
}

int imagine_listener_open(imagine_listener_t **out, imagine_gateway_t *gateway, void *loop,
                          const imagine_settings_t *settings, int32_t *out_port,
                          char **out_message) {
    const char *host = imagine_settings_get(settings, "HOST");
    const char *port = imagine_settings_get(settings, "PORT");
    unsigned count = (unsigned)imagine_listener_count(settings);
    unsigned connections_max = (unsigned)imagine_settings_get_int(settings, "MAX_CONNECTIONS");
    struct sockaddr_in6 bound = {.sin6_port = 0}; /* at the same place as IPv4's */
    imagine_listener_t *listener = listener_new(gateway, loop);
    *out = NULL;
    if (listener == NULL)
        return IMAGINE_ENOMEM;
    listener->is_shared = count > 1;
    listener->connections_max = (connections_max + count - 1) / count;
    const char *why = listen_on(listener, host, port);
    if (why != NULL) {
        if (out_message != NULL &&
            asprintf(out_message, "HOST, PORT: %s, %s: %s", host, port, why) < 0)
            *out_message = NULL;
        imagine_listener_close(listener, NULL, NULL);
        return IMAGINE_EIO;
    }
    uv_tcp_getsockname(&listener->tcp, (struct sockaddr *)&bound, &(int){sizeof(bound)});
    if (out_port != NULL)
        *out_port = ntohs(bound.sin6_port);
    *out = listener;
    return 0;
}

int imagine_listener_join(imagine_listener_t **out, const imagine_listener_t *first,
                          imagine_gateway_t *gateway, void *loop, char **out_message) {
    struct sockaddr_storage address;
    imagine_listener_t *listener = listener_new(gateway, loop);
    *out = NULL;
    if (listener == NULL)
        return IMAGINE_ENOMEM;
    listener->is_shared = true;
    listener->connections_max = first->connections_max;
    int err = uv_tcp_getsockname(&first->tcp, (struct sockaddr *)&address, &(int){sizeof(address)});
    if (err == 0)
        err = listen_at(listener, (struct sockaddr *)&address);
    if (err != 0) {
        if (out_message != NULL && asprintf(out_message, "WORKERS: %s", uv_strerror(err)) < 0)
            *out_message = NULL;
        imagine_listener_close(listener, NULL, NULL);
        return IMAGINE_EIO;
    }
    *out = listener;
    return 0;
}

void imagine_listener_stop(imagine_listener_t *listener) {
    if (!uv_is_closing((uv_handle_t *)&listener->tcp))
        uv_close((uv_handle_t *)&listener->tcp, on_tcp_closed);
}

void imagine_listener_close(imagine_listener_t *listener, imagine_closed_cb closed, void *user) {
    if (listener == NULL)
        return;
    listener->closed = closed;
    listener->user = user;
    imagine_listener_stop(listener);
    for (imi_list_t *at = listener->connections.next; at != &listener->connections; at = at->next)
        close_connection(IMI_CONTAINER(at, connection_t, link));
    uv_close((uv_handle_t *)&listener->anchor, on_anchor_closed);
}
