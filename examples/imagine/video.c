/* video.c: the commands video and task: the provider takes a video on, then its task is looked at
 * until it has ended. A signal gives the task up, and the provider is told where it can be; when
 * time is up the task goes on, and the command task fetches what came of it. */
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
#include "server.h"

#define LOOK_EVERY_MS 500 /* at what the library knows: no provider is asked */
#define REMARK_EVERY_MS 10000
#define USUAL_TIMEOUT_MS (30 * 60 * 1000)

static int64_t deadline_ms(const app_t *app) {
    uint32_t timeout_ms = app->options.params.timeout_ms;
    return loop_now_ms() + (timeout_ms != 0 ? timeout_ms : USUAL_TIMEOUT_MS);
}

static void tell_progress(app_t *app, const imagine_result_t *result, int64_t began_ms,
                          uint32_t predict_s, int64_t *remarked_at_ms) {
    char line[128], time[32], expected[48] = "", done[16] = "";
    const char *model = app->model != NULL ? app->model : result->model;
    int64_t now_ms = loop_now_ms();
    if (result->progress >= 0)
        snprintf(done, sizeof(done), "%.0f%% ", 100 * result->progress);
    if (result->queue_position > 0)
        snprintf(expected, sizeof(expected), ", %" PRIu32 " in front", result->queue_position);
    else if (predict_s > 0)
        snprintf(expected, sizeof(expected), " of about %" PRIu32 " s", predict_s);
    snprintf(line, sizeof(line), "waiting for %.40s  %s%s%s",
             model != NULL ? app_model_name(app, model) : "the task", done,
             time_text(time, sizeof(time), now_ms - began_ms), expected);
    say_progress(app, "%s", line);
    if (!app->is_terminal && now_ms - *remarked_at_ms >= REMARK_EVERY_MS) {
        say_remark(app, "%s", line);
        *remarked_at_ms = now_ms;
    }
}

/* It may be the download. */
static const imagine_result_t *settle(app_t *app, imagine_request_t *request) {
    while (imagine_request_result(request) == NULL) {
        if (loop_signal() != 0)
            imagine_cancel(request);
        loop_turn(app->im, LOOK_EVERY_MS);
    }
    return imagine_request_result(request);
}

/* Looks again and again until it has ended; the result's request, or NULL: `*out_code`. */
static imagine_request_t *watch(app_t *app, const char *task_id, uint32_t predict_s,
                                int *out_code) {
    int64_t began_ms = loop_now_ms(), until_ms = deadline_ms(app), remarked_at_ms = began_ms;
    int64_t look_at_ms = 0;
    while (loop_signal() == 0 && loop_now_ms() < until_ms) {
        imagine_request_t *request = NULL;
        const imagine_result_t *result;
        loop_turn(app->im, LOOK_EVERY_MS);
        if (loop_now_ms() < look_at_ms)
            continue;
        look_at_ms = loop_now_ms() + LOOK_EVERY_MS;
        int err = imagine_task_result(app->im, task_id, NULL, NULL, &request);
        if (err != 0) {
            *out_code = say_failure(app, err, NULL);
            return NULL;
        }
        result = settle(app, request);
        if (result->task_state == NULL || strcmp(result->task_state, "processing") != 0)
            return request;
        tell_progress(app, result, began_ms, predict_s, &remarked_at_ms);
        imagine_request_release(request);
    }
    say_progress(app, "%s", "");
    if (loop_signal() != 0) {
        give_up(app, task_id);
        say_remark(app, "imagine: canceled");
        *out_code = CODE_SIGNAL + loop_signal();
    } else {
        *out_code = say_unfinished(app, app->server != NULL ? server_task() : task_id);
    }
    return NULL;
}

static int finish(app_t *app, const imagine_result_t *result, int64_t took_ms) {
    say_progress(app, "%s", "");
    if (result->status != 0)
        return tell_end(app, result);
    if (strcmp(result->task_state, "success") != 0)
        return say_failure(app, IMAGINE_EUPSTREAM, result->message);
    return deliver(app, result, took_ms);
}

static int make(app_t *app, const char *prompt, const imagine_image_t *images) {
    imagine_params_t params = app->options.params;
    imagine_request_t *request = NULL, *ended = NULL;
    const imagine_result_t *result;
    int64_t began_ms = loop_now_ms();
    int code = 0, err;
    params.model = app->model;
    params.prompt = prompt;
    params.images = images;
    params.image_count = app->options.image_count;
    err = imagine_video(app->im, &params, NULL, NULL, &request);
    if (err != 0)
        return say_failure(app, err, NULL);
    result = wait_for(app, request, "asking for a video from");
    if (result->status != 0) {
        code = tell_end(app, result);
    } else {
        ended = watch(app, result->task_id, result->predict_s, &code);
        if (ended != NULL)
            code = finish(app, imagine_request_result(ended), loop_now_ms() - began_ms);
    }
    imagine_request_release(ended);
    imagine_request_release(request);
    return code;
}

static int follow(app_t *app) {
    app->model = strdup("server/task");
    if (app->model == NULL)
        return say_failure(app, IMAGINE_ENOMEM, NULL);
    if (!server_set_task(app->options.words[0]))
        return say_failure(app, IMAGINE_ENOTFOUND, NULL);
    return make(app, "its own", NULL);
}

int run_task(app_t *app) {
    int64_t began_ms = loop_now_ms();
    imagine_request_t *ended = NULL;
    int code = output_check(app);
    if (code == 0 && app->options.word_count != 1)
        code = say_failure(app, IMAGINE_EINVAL, "which task? one id is expected");
    if (code == 0)
        code = app_open(app);
    if (code == 0 && app->server != NULL) /* it knows the task, and we begin with it anew */
        return follow(app);
    if (code == 0)
        ended = watch(app, app->options.words[0], 0, &code);
    if (ended != NULL)
        code = finish(app, imagine_request_result(ended), loop_now_ms() - began_ms);
    imagine_request_release(ended);
    return code;
}

int run_video(app_t *app) {
    imagine_image_t images[IMAGES_MAX];
    const options_t *options = &app->options;
    bool has_words = options->word_count > 0 || options->image_count == 0;
    char *prompt = NULL;
    int code = output_check(app);
    if (code == 0)
        code = app_open(app);
    if (code == 0 && has_words) /* a picture alone will do */
        code = input_prompt(app, &prompt);
    if (code == 0)
        code = app_choose_model(app, options->image_count > 0 ? "image2video" : "text2video");
    if (code == 0) {
        code = input_pictures(app, images);
        if (code == 0) {
            code = make(app, prompt, images);
            input_release(app, images);
        }
    }
    free(prompt);
    return code;
}
