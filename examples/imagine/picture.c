/* picture.c: the commands that make one picture, or several of one prompt: generate, edit,
 * upscale. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "exit_code.h"
#include "input.h"
#include "loop.h"
#include "output.h"
#include "say.h"

#define TICK_MS 100      /* of progress */
#define IDLE_MS 60000    /* without it */
#define FAREWELL_MS 3000 /* to tell a provider that nobody wants its work any more */

const imagine_result_t *wait_for(app_t *app, imagine_request_t *request, const char *what) {
    int64_t began_ms = loop_now_ms();
    bool is_canceled = false;
    char time[32];
    while (imagine_request_result(request) == NULL) {
        if (loop_signal() != 0 && !is_canceled) {
            imagine_cancel(request);
            is_canceled = true;
        }
        loop_turn(app->im, app->is_terminal ? TICK_MS : IDLE_MS);
        say_progress(app, "%s %s  %s", is_canceled ? "canceling" : what,
                     app->model != NULL ? app_model_name(app, app->model) : "",
                     time_text(time, sizeof(time), loop_now_ms() - began_ms));
    }
    say_progress(app, "%s", "");
    return imagine_request_result(request);
}

/* ---- what came of it ---------------------------------------------------------------------------
 */

typedef struct file {
    char *name;
    const char *mime;
    size_t size;
} file_t;

static void tell_json(const app_t *app, const imagine_result_t *result, const file_t *files,
                      size_t file_count, int64_t took_ms) {
    printf("{\"files\":[");
    for (size_t i = 0; i < file_count; i++) {
        json_text(stdout, i > 0 ? ",{" : "{", "file", files[i].name);
        json_text(stdout, ",", "mime", files[i].mime);
        printf(",\"bytes\":%zu}", files[i].size);
    }
    printf("]");
    json_text(stdout, ",", "model",
              result->model != NULL ? app_model_name(app, result->model) : NULL);
    if (result->width != 0 && result->height != 0)
        printf(",\"width\":%" PRIu32 ",\"height\":%" PRIu32, result->width, result->height);
    if (result->has_seed != 0)
        printf(",\"seed\":%" PRId64, result->seed);
    if (result->steps != 0)
        printf(",\"steps\":%" PRIu32, result->steps);
    if (result->guidance > 0)
        printf(",\"guidance\":%.15g", result->guidance);
    json_text(stdout, ",", "revisedPrompt", result->revised_prompt);
    printf(",\"attempts\":%" PRIu32 ",\"ms\":%" PRId64 "}\n", result->attempts, took_ms);
}

static void tell_words(app_t *app, const imagine_result_t *result, const file_t *file,
                       int64_t took_ms) {
    char pixels[32] = "", seed[40] = "", size[32], time[32];
    if (result->width != 0 && result->height != 0)
        snprintf(pixels, sizeof(pixels), ", %" PRIu32 "x%" PRIu32, result->width, result->height);
    if (result->has_seed != 0)
        snprintf(seed, sizeof(seed), ", seed %" PRId64, result->seed);
    if (strcmp(file->name, "-") != 0)
        printf("%s\n", file->name);
    fflush(stdout);
    say_remark(app, "%s%s, %s%s, %s, %s", file->mime, pixels,
               size_text(size, sizeof(size), (double)file->size), seed,
               result->model != NULL ? app_model_name(app, result->model) : "",
               time_text(time, sizeof(time), took_ms));
}

int deliver(app_t *app, const imagine_result_t *result, int64_t took_ms) {
    size_t count = result->url_count > 1 ? result->url_count : 1, written = 0;
    file_t *files = calloc(count, sizeof(*files));
    char name[NAME_SIZE];
    const void *data;
    int code = 0;
    if (files == NULL)
        return say_failure(app, IMAGINE_ENOMEM, NULL);
    for (; written < count && code == 0; written++) {
        file_t *file = &files[written];
        code = output_write(app, result, written, name);
        if (code != 0)
            break;
        file->name = strdup(name);
        if (file->name == NULL ||
            imagine_result_picture(result, written, &data, &file->size, &file->mime) != 0)
            code = say_failure(app, IMAGINE_ENOMEM, NULL);
        else if (!app->options.is_json)
            tell_words(app, result, file, took_ms);
    }
    if (code == 0 && app->options.is_json)
        tell_json(app, result, files, count, took_ms);
    for (size_t i = 0; i < count; i++)
        free(files[i].name);
    free(files);
    return code;
}

void give_up(app_t *app, const char *task_id) {
    if (task_id != NULL && imagine_task_cancel(app->im, task_id, NULL, NULL, NULL) == 0)
        say_farewell(app);
}

/* What is told to providers goes out in turns that nobody waits for. */
void say_farewell(app_t *app) {
    int64_t until_ms = loop_now_ms() + FAREWELL_MS;
    while (loop_now_ms() < until_ms && imagine_turn(app->im, 0) == 1)
        loop_turn(app->im, TICK_MS);
}

int tell_end(app_t *app, const imagine_result_t *result) {
    if (loop_signal() != 0) {
        give_up(app, result->task_id);
        say_remark(app, "imagine: canceled");
        return CODE_SIGNAL + loop_signal();
    }
    return say_result_failure(app, result);
}

/* ---- commands ----------------------------------------------------------------------------------
 */

typedef int start_cb(imagine_t *im, const imagine_params_t *params, imagine_done_cb done,
                     void *user, imagine_request_t **out);

static int make(app_t *app, start_cb *start, const char *prompt, const imagine_image_t *images) {
    imagine_params_t params = app->options.params;
    imagine_request_t *request = NULL;
    const imagine_result_t *result;
    int64_t began_ms = loop_now_ms();
    int code, err;
    params.model = app->model;
    params.prompt = prompt;
    params.images = images;
    params.image_count = app->options.image_count;
    params.want_bytes = params.count > 1 ? 0 : 1;
    params.response_format = params.count > 1 ? IMAGINE_FORMAT_DATA : IMAGINE_FORMAT_ANY;
    err = start(app->im, &params, NULL, NULL, &request);
    if (err != 0)
        return say_failure(app, err, NULL);
    result = wait_for(app, request, "making a picture with");
    code = result->status == 0 ? deliver(app, result, loop_now_ms() - began_ms)
                               : tell_end(app, result);
    imagine_request_release(request);
    return code;
}

static int run(app_t *app, start_cb *start, bool wants_prompt) {
    imagine_image_t images[IMAGES_MAX];
    char *prompt = NULL;
    int code = output_check(app);
    if (code == 0)
        code = app_open(app);
    if (code == 0 && wants_prompt)
        code = input_prompt(app, &prompt);
    if (code == 0)
        code = app_choose_model(app, app->options.command->type);
    if (code == 0) {
        code = input_pictures(app, images);
        if (code == 0) {
            code = make(app, start, prompt, images);
            input_release(app, images);
        }
    }
    free(prompt);
    return code;
}

int run_generate(app_t *app) {
    return run(app, imagine_generate, true);
}

int run_edit(app_t *app) {
    if (app->options.image_count == 0)
        return say_failure(app, IMAGINE_EINVAL, "a picture expected: -i FILE");
    return run(app, imagine_edit, true);
}

int run_upscale(app_t *app) {
    if (app->options.image_count == 0 && app->options.word_count == 1)
        app->options.images[app->options.image_count++] = app->options.words[0];
    else if (app->options.word_count > 0)
        return say_failure(app, IMAGINE_EINVAL, "one picture expected, and no words");
    if (app->options.image_count != 1)
        return say_failure(app, IMAGINE_EINVAL, "one picture expected: imagine upscale FILE");
    return run(app, imagine_upscale, false);
}
