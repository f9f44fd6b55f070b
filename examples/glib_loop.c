/* glib_loop.c: pictures inside a GLib main loop (GTK, GStreamer, GNOME), without a thread: a
 * GSource that watches the client's descriptor, and turns the client when it has something to do.
 *
 *   cc glib_loop.c $(pkg-config --cflags --libs libimagine glib-2.0) -o glib_loop
 *   ./glib_loop sample/waves "a quiet sea" "a storm" "low tide" */
#include <glib.h>
#include <imagine.h>
#include <stdio.h>

#define TICK_MS 20

typedef struct client_source {
    GSource source; /* first: GLib sees this part */
    imagine_t *im;
    gpointer tag; /* of the descriptor */
} client_source_t;

static gboolean prepare(GSource *source, gint *timeout_ms) {
    *timeout_ms = imagine_turn_wait_ms(((client_source_t *)source)->im);
    return *timeout_ms == 0;
}

static gboolean check(GSource *source) {
    client_source_t *client = (client_source_t *)source;
    return g_source_query_unix_fd(source, client->tag) != 0 ||
           imagine_turn_wait_ms(client->im) == 0;
}

static gboolean dispatch(GSource *source, GSourceFunc callback, gpointer user) {
    (void)callback;
    (void)user;
    imagine_turn(((client_source_t *)source)->im, 0);
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs functions = {.prepare = prepare, .check = check, .dispatch = dispatch};

static GMainLoop *loop;
static guint tick_count;
static int waiting_count, failure_count;

static gboolean on_tick(gpointer user) {
    (void)user;
    tick_count++; /* the host's own business */
    return G_SOURCE_CONTINUE;
}

static void on_done(int status, const imagine_result_t *result, void *user) {
    printf("%s: %.40s\n", (const char *)user, status == 0 ? result->url : result->message);
    failure_count += status != 0;
    if (--waiting_count == 0)
        g_main_loop_quit(loop);
}

int main(int argc, char **argv) {
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    client_source_t *client;
    imagine_t *im = NULL;

    if (argc < 3)
        return fprintf(stderr, "usage: %s MODEL PROMPT…\n", argv[0]), 2;
    options.is_manual = 1;
    if (imagine_open(&im, &options) != 0 || imagine_configure_env(im) != 0)
        return fprintf(stderr, "this cannot be set up\n"), 1;
    loop = g_main_loop_new(NULL, FALSE);
    client = (client_source_t *)g_source_new(&functions, sizeof(*client));
    client->im = im;
    client->tag = g_source_add_unix_fd(&client->source, imagine_turn_fd(im), G_IO_IN);
    g_source_attach(&client->source, NULL);
    g_timeout_add(TICK_MS, on_tick, NULL);

    for (int i = 2; i < argc; i++) {
        params.model = argv[1];
        params.prompt = argv[i];
        waiting_count += imagine_generate(im, &params, on_done, argv[i], NULL) == 0;
    }
    g_main_loop_run(loop);
    printf("%u ticks meanwhile\n", tick_count);

    g_source_destroy(&client->source); /* before the descriptor goes */
    g_source_unref(&client->source);
    imagine_close(im, NULL, NULL); /* turns until all is gone */
    g_main_loop_unref(loop);
    return failure_count == 0 ? 0 : 1;
}
