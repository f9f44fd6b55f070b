/* text.c: the command text: pieces go to standard output as they come. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "exit_code.h"
#include "input.h"
#include "loop.h"
#include "output.h"
#include "say.h"

typedef struct stream {
    app_t *app;
    imagine_request_t *request;
    bool has_begun, has_failed; /* to be written */
    char last;
} stream_t;

static void on_piece(const char *text, size_t text_size, void *user) {
    stream_t *stream = user;
    if (text_size == 0 || stream->has_failed)
        return;
    if (!stream->has_begun) {
        say_progress(stream->app, "%s", "");
        stream->app->is_terminal = false; /* from here on the line is the text's */
    }
    stream->has_begun = true;
    stream->last = text[text_size - 1];
    if (output_all(STDOUT_FILENO, text, text_size) != 0) {
        stream->has_failed = true;
        imagine_cancel(stream->request);
    }
}

static void tell_json(const app_t *app, const imagine_result_t *result, int64_t took_ms) {
    json_text(stdout, "{", "text", result->text);
    json_text(stdout, ",", "model", app_model_name(app, result->model));
    if (result->usage_json != NULL)
        printf(",\"usage\":%s", result->usage_json);
    printf(",\"attempts\":%" PRIu32 ",\"ms\":%" PRId64 "}\n", result->attempts, took_ms);
}

static int write_text(app_t *app, const char *prompt) {
    imagine_params_t params = app->options.params;
    stream_t stream = {.app = app, .last = '\n'};
    const imagine_result_t *result;
    int64_t began_ms = loop_now_ms();
    int code = 0, err;
    params.model = app->model;
    params.prompt = prompt;
    params.on_piece = app->options.is_json ? NULL : on_piece;
    err = imagine_text(app->im, &params, NULL, &stream, &stream.request);
    if (err != 0)
        return say_failure(app, err, NULL);
    result = wait_for(app, stream.request, "writing with");
    if (stream.last != '\n' && !stream.has_failed)
        stream.has_failed = output_all(STDOUT_FILENO, "\n", 1) != 0;
    if (stream.has_failed)
        code = say_failure(app, IMAGINE_EIO, "standard output: it cannot be written");
    else if (result->status != 0)
        code = tell_end(app, result);
    else if (app->options.is_json)
        tell_json(app, result, loop_now_ms() - began_ms);
    imagine_request_release(stream.request);
    return code;
}

int run_text(app_t *app) {
    char *prompt = NULL;
    int code = app_open(app);
    if (code == 0)
        code = input_prompt(app, &prompt);
    if (code == 0)
        code = app_choose_model(app, app->options.command->type);
    if (code == 0)
        code = write_text(app, prompt);
    free(prompt);
    return code;
}
