/* embed_gateway.c: the HTTP API of imagine-server inside a program of your own, on its libuv loop.
 * The gateway knows the API and imagine_http1_… knows HTTP/1.1: a host carries bytes between them
 * and its sockets, and that is all of this file. A program that has an HTTP server already hands
 * its requests to imagine_gateway_begin() instead.
 *
 *   GITEE_TOKENS=token-a,token-b ./embed_gateway 3000
 *   curl http://127.0.0.1:3000/api/v1/models */
#include <imagine.h>
#include <imagine/gateway.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#define PIECES_MAX 16

typedef struct connection {
    uv_tcp_t tcp;
    uv_shutdown_t shutdown;
    imagine_http1_t *http1;
} connection_t;

static imagine_gateway_t *gateway;

static void on_gone(uv_handle_t *handle) {
    connection_t *connection = handle->data;
    imagine_http1_close(connection->http1); /* cancels the request that it had, if any */
    free(connection);
}

/* ---- what a connection asks of its socket ------------------------------------------------------
 */

static void close_socket(void *user) {
    connection_t *connection = user;
    if (!uv_is_closing((uv_handle_t *)&connection->tcp))
        uv_close((uv_handle_t *)&connection->tcp, on_gone);
}

static void on_written(uv_write_t *write, int status) {
    connection_t *connection = write->data;
    free(write);
    if (status == 0)
        imagine_http1_sent(connection->http1);
    else
        close_socket(connection);
}

static int32_t send_pieces(const imagine_slice_t *pieces, size_t piece_count, void *user) {
    connection_t *connection = user;
    uv_write_t *write = calloc(1, sizeof(*write));
    uv_buf_t buffers[PIECES_MAX]; /* libuv copies these, and what they refer to stays valid */
    size_t count = piece_count <= PIECES_MAX ? piece_count : 0;
    for (size_t i = 0; i < count; i++)
        buffers[i] = uv_buf_init((char *)pieces[i].data, (unsigned)pieces[i].size);
    if (write != NULL)
        write->data = connection;
    if (write == NULL || count == 0 ||
        uv_write(write, (uv_stream_t *)&connection->tcp, buffers, (unsigned)count, on_written) !=
            0) {
        free(write);
        close_socket(connection);
    }
    return 0; /* not yet: on_written() tells */
}

static void on_received(uv_stream_t *tcp, ssize_t size, const uv_buf_t *buffer) {
    connection_t *connection = tcp->data;
    if (size > 0)
        imagine_http1_receive(connection->http1, buffer->base, (size_t)size);
    else if (size < 0)
        close_socket(connection); /* the other end has left */
}

static void give_buffer(uv_handle_t *handle, size_t size, uv_buf_t *buffer) {
    static char page[64 * 1024]; /* one for all connections: it is read before it is used again */
    (void)handle, (void)size;
    *buffer = uv_buf_init(page, sizeof(page));
}

static void pause_socket(int32_t is_paused, void *user) {
    connection_t *connection = user;
    if (is_paused)
        uv_read_stop((uv_stream_t *)&connection->tcp);
    else
        uv_read_start((uv_stream_t *)&connection->tcp, give_buffer, on_received);
}

static void shut_socket(void *user) {
    connection_t *connection = user;
    uv_shutdown(&connection->shutdown, (uv_stream_t *)&connection->tcp, NULL);
}

static const imagine_http1_stream_t stream = {.size = sizeof(stream),
                                              .send = send_pieces,
                                              .pause = pause_socket,
                                              .shut = shut_socket,
                                              .close = close_socket};

/* ---- listening ---------------------------------------------------------------------------------
 */

static void on_connection(uv_stream_t *listener, int status) {
    connection_t *connection = status == 0 ? calloc(1, sizeof(*connection)) : NULL;
    struct sockaddr_storage address;
    int size = sizeof(address);
    char peer[64] = "";
    if (connection == NULL)
        return;
    uv_tcp_init(listener->loop, &connection->tcp);
    connection->tcp.data = connection;
    if (uv_accept(listener, (uv_stream_t *)&connection->tcp) == 0 &&
        uv_tcp_getpeername(&connection->tcp, (struct sockaddr *)&address, &size) == 0)
        uv_ip_name((struct sockaddr *)&address, peer, sizeof(peer));
    if (imagine_http1_open(&connection->http1, gateway, peer, &stream, connection) == 0)
        pause_socket(0, connection);
    else
        close_socket(connection);
}

int main(int argc, char **argv) {
    uv_loop_t *loop = uv_default_loop();
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    imagine_settings_t *settings = NULL;
    imagine_t *im = NULL;
    uv_tcp_t listener;
    struct sockaddr_in address;
    char *message = NULL;
    options.loop = loop;
    int err = imagine_open(&im, &options);
    if (err == 0)
        err = imagine_settings_open(&settings);
    if (err == 0)
        err = imagine_settings_read_env(settings); /* the same names as the server's */
    if (err == 0)
        err = imagine_configure(im, settings, &message);
    if (err == 0)
        err = imagine_gateway_open(&gateway, im, settings, &message);
    if (err != 0) {
        fprintf(stderr, "%s\n", message != NULL ? message : imagine_strerror(err));
        return 1;
    }
    imagine_settings_close(settings);

    /* Without a port, or with 0, the system chooses a free one. */
    uv_ip4_addr("127.0.0.1", argc > 1 ? (int)strtol(argv[1], NULL, 10) : 0, &address);
    uv_tcp_init(loop, &listener);
    uv_tcp_bind(&listener, (struct sockaddr *)&address, 0);
    err = uv_listen((uv_stream_t *)&listener, 512, on_connection);
    if (err != 0) {
        fprintf(stderr, "cannot listen: %s\n", uv_strerror(err));
        return 1;
    }
    uv_tcp_getsockname(&listener, (struct sockaddr *)&address, &(int){sizeof(address)});
    printf("http://127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    /* Until it is killed. Who wants to end in good order closes listener and connections, then the
     * gateway, then the client, and lets the loop run empty. */
    return uv_run(loop, UV_RUN_DEFAULT);
}
