/* embed_gateway.c: the HTTP API of imagine-server inside a program of your own, on its libuv loop.
 * A program that has an HTTP server already needs no listener: it hands its requests to
 * imagine_gateway_begin() instead.
 *
 *   cc embed_gateway.c $(pkg-config --cflags --libs libimagine libuv) -o embed_gateway
 *   GITEE_TOKENS=token-a,token-b PORT=3000 ./embed_gateway
 *   curl http://127.0.0.1:3000/api/v1/models
 *
 * Ctrl-C ends it in good order: listener, gateway, client. */
#include <imagine.h>
#include <imagine/gateway.h>
#include <signal.h>
#include <stdio.h>
#include <uv.h>

static imagine_t *im;
static imagine_gateway_t *gateway;
static imagine_listener_t *listener;

static void on_listener_closed(void *user) {
    imagine_gateway_close(gateway);
    imagine_close(im, NULL, NULL);
    (void)user;
}

static void on_signal(uv_signal_t *handle, int number) {
    uv_close((uv_handle_t *)handle, NULL);
    imagine_listener_close(listener, on_listener_closed, NULL);
    (void)number;
}

int main(void) {
    uv_loop_t *loop = uv_default_loop();
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    imagine_settings_t *settings = NULL;
    uv_signal_t interrupt;
    char *message = NULL;
    int32_t port = 0;
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
    if (err == 0)
        err = imagine_listener_open(&listener, gateway, loop, settings, &port, &message);
    if (err != 0) {
        fprintf(stderr, "%s\n", message != NULL ? message : imagine_strerror(err));
        return 1;
    }
    imagine_settings_close(settings);
    printf("http://127.0.0.1:%d\n", port);
    fflush(stdout);

    uv_signal_init(loop, &interrupt);
    uv_signal_start(&interrupt, on_signal, SIGINT);
    return uv_run(loop, UV_RUN_DEFAULT);
}
