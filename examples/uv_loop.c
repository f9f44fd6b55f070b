/* uv_loop.c: pictures on the program's own libuv loop, without a thread: beside a timer of its own,
 * which ticks on while providers work. When the last picture is there both are closed, and the loop
 * ends by itself.
 *
 *   cc uv_loop.c $(pkg-config --cflags --libs libimagine libuv) -o uv_loop
 *   ./uv_loop sample/waves "a quiet sea" "a storm" "low tide" */
#include <imagine.h>
#include <stdio.h>
#include <uv.h>

#define TICK_MS 20

static imagine_t *im;
static uv_timer_t ticker;
static int tick_count, waiting_count, failure_count;

static void on_tick(uv_timer_t *timer) {
    (void)timer;
    tick_count++; /* the host's own business */
}

static void on_closed(void *user) {
    (void)user;
    puts("the client is closed"); /* nothing of it is on the loop any more */
}

static void on_done(int status, const imagine_result_t *result, void *user) {
    printf("%s: %.40s\n", (const char *)user, status == 0 ? result->url : result->message);
    failure_count += status != 0;
    if (--waiting_count > 0)
        return;
    imagine_close(im, on_closed, NULL); /* inside its own callback: it ends in a later turn */
    uv_close((uv_handle_t *)&ticker, NULL);
}

int main(int argc, char **argv) {
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    uv_loop_t loop;

    if (argc < 3)
        return fprintf(stderr, "usage: %s MODEL PROMPT…\n", argv[0]), 2;
    if (uv_loop_init(&loop) != 0)
        return fprintf(stderr, "there is no loop\n"), 1;
    options.loop = &loop;
    if (imagine_open(&im, &options) != 0 || imagine_configure_env(im) != 0)
        return fprintf(stderr, "this cannot be set up\n"), 1;
    uv_timer_init(&loop, &ticker);
    uv_timer_start(&ticker, on_tick, TICK_MS, TICK_MS);

    for (int i = 2; i < argc; i++) {
        params.model = argv[1];
        params.prompt = argv[i];
        if (imagine_generate(im, &params, on_done, argv[i], NULL) != 0)
            return fprintf(stderr, "out of memory\n"), 1;
        waiting_count++; /* done never runs inside the call */
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    printf("%d ticks meanwhile\n", tick_count);
    return uv_loop_close(&loop) == 0 && failure_count == 0 ? 0 : 1; /* not with a handle left */
}
