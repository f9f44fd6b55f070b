/* batch.c: the command batch: so many pictures at once, until all are there.
 *
 *   the next line --there before--> skipped
 *                 --a slot is free--> made --written--> done
 *                                          --later, or nobody is there, within --wait-->
 *                                            again, after a pause for all
 *                                          --it would fail for every line--> no more are begun
 *                                          --any other failure--> failed; the others go on
 *
 * A signal cancels what is under way. Nothing is written down about the run: the files are. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "batch_list.h"
#include "commands.h"
#include "exit_code.h"
#include "loop.h"
#include "output.h"
#include "say.h"

#define USUAL_WAIT_MS 120000
#define TRIES_MAX 20 /* of one line that is told to come again later */
#define DRAW_EVERY_MS 200
#define IDLE_MS 60000
#define LINE_SIZE 256

typedef struct batch batch_t;

/* One picture under way, or about to be tried again. */
typedef struct slot {
    batch_t *batch;
    const job_t *job;           /* NULL: free */
    imagine_request_t *request; /* NULL: waits for its next try */
    int64_t began_ms;
    unsigned tries;
} slot_t;

struct batch {
    app_t *app;
    batch_list_t list;
    slot_t *slots;
    size_t slot_count;
    size_t next; /* job */
    size_t before_count, made_count, failed_count;
    int64_t began_ms, pause_until_ms, drawn_at_ms;
    int64_t lost_at_ms; /* since then nothing has come from there; 0: all is well */
    int code;           /* of those that failed: all the same one, or CODE_MIXED */
    bool is_stopped;    /* no more are begun */
};

static void on_done(int status, const imagine_result_t *result, void *user);

/* ---- telling ----------------------------------------------------------------------------------
 */

static size_t remaining(const batch_t *batch) {
    return batch->list.count - batch->before_count - batch->made_count - batch->failed_count;
}

/* "37 of 100, 2 failed, 5 from before; 12.5 a minute, ready in 5 min 2 s (17:20)" */
static void total_line(const batch_t *batch, char *out, size_t capacity) {
    int64_t took_ms = loop_now_ms() - batch->began_ms;
    char failed[40] = "", before[40] = "", rest[96] = "", text[32], clock[16] = "";
    if (batch->failed_count > 0)
        snprintf(failed, sizeof(failed), ", %zu failed", batch->failed_count);
    if (batch->before_count > 0)
        snprintf(before, sizeof(before), ", %zu from before", batch->before_count);
    if (batch->made_count > 0 && took_ms > 0) {
        double per_ms = (double)batch->made_count / (double)took_ms;
        int64_t left_ms = (int64_t)((double)remaining(batch) / per_ms);
        time_t end = time(NULL) + (time_t)(left_ms / 1000);
        struct tm parts;
        if (localtime_r(&end, &parts) != NULL)
            strftime(clock, sizeof(clock), "%H:%M", &parts);
        if (remaining(batch) > 0)
            snprintf(rest, sizeof(rest), "; %.1f a minute, ready in %s (%s)", per_ms * 60000,
                     time_text(text, sizeof(text), left_ms), clock);
        else
            snprintf(rest, sizeof(rest), "; %.1f a minute, %s", per_ms * 60000,
                     time_text(text, sizeof(text), took_ms));
    }
    snprintf(out, capacity, "%zu of %zu%s%s%s", batch->made_count + batch->before_count,
             batch->list.count, failed, before, rest);
}

static void draw(batch_t *batch) {
    size_t line_count = 0, capacity = batch->slot_count + 1;
    int64_t now_ms = loop_now_ms();
    if (!batch->app->is_terminal || now_ms < batch->drawn_at_ms + DRAW_EVERY_MS)
        return;
    char(*lines)[LINE_SIZE] = calloc(capacity, sizeof(*lines));
    const char **pointers = calloc(capacity, sizeof(*pointers));
    for (size_t i = 0; lines != NULL && pointers != NULL && i < batch->slot_count; i++) {
        const slot_t *slot = &batch->slots[i];
        char time[32];
        if (slot->job == NULL)
            continue;
        snprintf(lines[line_count], LINE_SIZE, "  %4zu  %7s  %.200s", slot->job->line,
                 slot->request == NULL ? "waits"
                                       : time_text(time, sizeof(time), now_ms - slot->began_ms),
                 slot->job->prompt);
        pointers[line_count] = lines[line_count];
        line_count++;
    }
    if (lines != NULL && pointers != NULL) {
        total_line(batch, lines[line_count], LINE_SIZE);
        pointers[line_count] = lines[line_count];
        say_block(batch->app, pointers, line_count + 1);
    }
    batch->drawn_at_ms = now_ms;
    free(lines);
    free(pointers);
}

static void tell_made(batch_t *batch, const slot_t *slot, const char *file, const char *mime,
                      const imagine_result_t *result) {
    int64_t took_ms = loop_now_ms() - slot->began_ms;
    char time[32];
    if (!batch->app->options.is_json) {
        say_remark(batch->app, "%zu/%zu  %s  %s", batch->made_count + batch->before_count,
                   batch->list.count, file, time_text(time, sizeof(time), took_ms));
        return;
    }
    printf("{\"line\":%zu", slot->job->line);
    json_text(stdout, ",", "prompt", slot->job->prompt);
    json_text(stdout, ",", "file", file);
    json_text(stdout, ",", "mime", mime);
    json_text(stdout, ",", "model", app_model_name(batch->app, result->model));
    if (result->has_seed != 0)
        printf(",\"seed\":%" PRId64, result->seed);
    printf(",\"attempts\":%" PRIu32 ",\"ms\":%" PRId64 "}\n", result->attempts, took_ms);
    fflush(stdout);
}

static void tell_failed(batch_t *batch, const slot_t *slot, int error, const char *message) {
    if (!batch->app->options.is_json) {
        say_remark(batch->app, "line %zu: %s", slot->job->line, message);
        return;
    }
    printf("{\"line\":%zu", slot->job->line);
    json_text(stdout, ",", "prompt", slot->job->prompt);
    json_text(stdout, ",", "error", imagine_err_name(error));
    json_text(stdout, ",", "message", message);
    printf("}\n");
    fflush(stdout);
}

static void tell_total(batch_t *batch) {
    char line[LINE_SIZE];
    total_line(batch, line, sizeof(line));
    say_progress(batch->app, "%s", "");
    if (batch->app->options.is_json)
        printf("{\"total\":%zu,\"made\":%zu,\"before\":%zu,\"failed\":%zu,\"left\":%zu,"
               "\"ms\":%" PRId64 "}\n",
               batch->list.count, batch->made_count, batch->before_count, batch->failed_count,
               remaining(batch), loop_now_ms() - batch->began_ms);
    else
        say_remark(batch->app, "%s", line);
    if (remaining(batch) + batch->failed_count > 0)
        say_remark(batch->app, "imagine: not all are there; the same command goes on from here");
}

/* ---- one picture ------------------------------------------------------------------------------
 */

static void fail(batch_t *batch, slot_t *slot, int error, const char *message) {
    int code = exit_code_of(error);
    batch->failed_count++;
    tell_failed(batch, slot, error, message);
    batch->code = batch->code == 0 || batch->code == code ? code : CODE_MIXED;
    slot->job = NULL;
}

static void start(batch_t *batch, slot_t *slot) {
    imagine_params_t params = batch->app->options.params;
    int err;
    params.model = batch->app->model;
    params.prompt = slot->job->prompt;
    params.want_bytes = 1;
    slot->tries++;
    slot->began_ms = loop_now_ms();
    err = imagine_generate(batch->app->im, &params, on_done, slot, &slot->request);
    if (err != 0) {
        fail(batch, slot, err, imagine_strerror(err));
        batch->is_stopped = true;
    }
}

/* 0, or an error that stops it all: the next picture could not be written, either. */
static int keep(batch_t *batch, slot_t *slot, const imagine_result_t *result) {
    const char *folder = batch->app->options.output, *mime = "";
    char stem[STEM_SIZE], path[NAME_SIZE];
    const void *data;
    size_t size;
    int err = imagine_result_bytes(result, &data, &size, &mime);
    if (err != 0) {
        fail(batch, slot, err == IMAGINE_ENOTFOUND ? IMAGINE_EPROTOCOL : err,
             "the result is no picture");
        return 0;
    }
    batch_list_stem(slot->job, stem);
    snprintf(path, sizeof(path), "%.3900s%s%s%s", folder,
             folder[strlen(folder) - 1] == '/' ? "" : "/", stem, output_extension(mime));
    err = output_file(path, data, size);
    if (err != 0) {
        char message[512];
        snprintf(message, sizeof(message), "%.400s: %s", path, strerror(err));
        fail(batch, slot, IMAGINE_EIO, message);
        return IMAGINE_EIO;
    }
    batch->made_count++;
    tell_made(batch, slot, path, mime, result);
    slot->job = NULL;
    return 0;
}

/* Would another prompt fare no better? */
static bool is_for_all(int error) {
    int code = exit_code_of(error);
    return code == CODE_UNKNOWN || code == CODE_TOKEN || code == CODE_LATER ||
           code == CODE_OUTPUT || error == IMAGINE_ECONNECT;
}

/* After 1, 2, 4, 8, 16, 16 … s. */
static uint64_t reconnect_ms(const slot_t *slot) {
    unsigned tries = slot->tries > 0 ? slot->tries - 1 : 0;
    return (uint64_t)1000 << (tries < 4 ? tries : 4);
}

/* What is spent, or cannot be reached, for now comes again, if that is worth the wait. */
static bool try_later(batch_t *batch, const slot_t *slot, const imagine_result_t *result) {
    uint64_t wait_ms = result->retry_after_ms, max_ms = batch->app->options.params.wait_ms;
    bool is_unreached = result->status == IMAGINE_ECONNECT;
    uint64_t lost_ms = 0;
    if (is_unreached)
        wait_ms = reconnect_ms(slot);
    if (is_unreached || result->status == IMAGINE_EBREAKER) {
        if (batch->lost_at_ms == 0)
            batch->lost_at_ms = loop_now_ms();
        lost_ms = (uint64_t)(loop_now_ms() - batch->lost_at_ms);
    }
    if ((exit_code_of(result->status) != CODE_LATER && !is_unreached) || wait_ms == 0 ||
        batch->is_stopped || lost_ms + wait_ms > max_ms || slot->tries >= TRIES_MAX)
        return false;
    if (loop_now_ms() + (int64_t)wait_ms > batch->pause_until_ms)
        batch->pause_until_ms = loop_now_ms() + (int64_t)wait_ms;
    return true;
}

static void on_done(int status, const imagine_result_t *result, void *user) {
    slot_t *slot = user;
    batch_t *batch = slot->batch;
    imagine_request_t *request = slot->request;
    slot->request = NULL;
    if (status == 0) {
        batch->lost_at_ms = 0;
        batch->is_stopped |= keep(batch, slot, result) != 0;
    } else if (loop_signal() != 0) {
        slot->job = NULL; /* it is left, as those that were not begun */
        if (result->task_id != NULL)
            imagine_task_cancel(batch->app->im, result->task_id, NULL, NULL, NULL);
    } else if (!try_later(batch, slot, result)) {
        batch->is_stopped |= is_for_all(status);
        fail(batch, slot, status, result->message);
    }
    imagine_request_release(request);
}

/* ---- all of them ------------------------------------------------------------------------------
 */

static const job_t *next_job(batch_t *batch) {
    while (batch->next < batch->list.count && batch->list.jobs[batch->next].is_made)
        batch->next++;
    return batch->next < batch->list.count ? &batch->list.jobs[batch->next++] : NULL;
}

/* Begins what can begin now. Returns how many slots are taken. */
static size_t fill(batch_t *batch) {
    bool may_start = !batch->is_stopped && loop_signal() == 0;
    bool is_pausing = loop_now_ms() < batch->pause_until_ms;
    size_t taken = 0;
    for (size_t i = 0; i < batch->slot_count; i++) {
        slot_t *slot = &batch->slots[i];
        if (!may_start && slot->request == NULL)
            slot->job = NULL;
        if (slot->job == NULL && may_start && !is_pausing) {
            slot->job = next_job(batch);
            slot->tries = 0;
        }
        if (slot->job != NULL && slot->request == NULL && may_start && !is_pausing)
            start(batch, slot);
        taken += slot->job != NULL;
    }
    return taken;
}

static void work(batch_t *batch) {
    bool is_canceled = false;
    while (fill(batch) > 0) {
        int64_t pause_ms = batch->pause_until_ms - loop_now_ms();
        int wait_ms = batch->app->is_terminal ? DRAW_EVERY_MS : IDLE_MS;
        if (pause_ms > 0 && pause_ms < wait_ms)
            wait_ms = (int)pause_ms;
        draw(batch);
        loop_turn(batch->app->im, wait_ms);
        if (loop_signal() == 0 || is_canceled)
            continue;
        is_canceled = true;
        for (size_t i = 0; i < batch->slot_count; i++)
            imagine_cancel(batch->slots[i].request);
    }
}

static int run(batch_t *batch) {
    size_t job_count = batch->app->options.job_count;
    for (size_t i = 0; i < batch->list.count; i++)
        batch->before_count += batch->list.jobs[i].is_made;
    batch->slot_count = job_count < remaining(batch) ? job_count : remaining(batch);
    batch->slots = calloc(batch->slot_count + 1, sizeof(*batch->slots));
    if (batch->slots == NULL)
        return say_failure(batch->app, IMAGINE_ENOMEM, NULL);
    for (size_t i = 0; i < batch->slot_count; i++)
        batch->slots[i].batch = batch;
    batch->began_ms = loop_now_ms();
    work(batch);
    if (loop_signal() != 0)
        say_farewell(batch->app);
    tell_total(batch);
    free(batch->slots);
    return loop_signal() != 0 ? CODE_SIGNAL + loop_signal() : batch->code;
}

int run_batch(app_t *app) {
    batch_t batch = {.app = app};
    int code = batch_list_open(&batch.list, app);
    if (app->options.params.wait_ms == 0 && !app->options.has_wait)
        app->options.params.wait_ms = USUAL_WAIT_MS;
    if (code == 0)
        code = app_open(app);
    if (code == 0)
        code = app_choose_model(app, app->options.command->type);
    if (code == 0)
        code = run(&batch);
    batch_list_close(&batch.list);
    return code;
}
