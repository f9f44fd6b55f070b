/* stream.c: a prompt rewritten by a model, printed as it comes. One thread, the program's own loop.
 *
 *   ./stream "a lighthouse in a storm"             huggingface/openai, which needs no token
 *   ./stream "a lighthouse in a storm" MODEL       any model of type text2text */
#include <imagine.h>
#include <stdio.h>
#include <uv.h>

static imagine_t *im;

static void on_piece(const char *text, size_t text_size, void *user) {
    fwrite(text, 1, text_size, stdout);
    fflush(stdout);
    (void)user;
}

static void on_done(int status, const imagine_result_t *result, void *user) {
    int *exit_code = user;
    if (status != 0)
        fprintf(stderr, "%s\n", result->message);
    else
        putchar('\n');
    *exit_code = status != 0;
    imagine_close(im, NULL, NULL); /* then the loop has nothing left to do, and ends */
}

int main(int argc, char **argv) {
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    int exit_code = 1;
    if (argc < 2) {
        fprintf(stderr, "usage: %s PROMPT [MODEL]\n", argv[0]);
        return 2;
    }
    options.loop = uv_default_loop();
    params.prompt = argv[1];
    params.model = argc > 2 ? argv[2] : "huggingface/openai";
    params.on_piece = on_piece;
    int err = imagine_open(&im, &options);
    if (err == 0)
        err = imagine_configure_env(im);
    if (err == 0)
        err = imagine_text(im, &params, on_done, &exit_code, NULL);
    if (err != 0) {
        fprintf(stderr, "%s\n", imagine_strerror(err));
        return 1;
    }
    uv_run(options.loop, UV_RUN_DEFAULT);
    return exit_code;
}
