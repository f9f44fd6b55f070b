/* commands.h: what the program can do, and what commands have in common. */
#ifndef COMMANDS_H
#define COMMANDS_H

#include "app.h"

/* Each returns the exit code; what is wrong was said. */
int run_generate(app_t *app);
int run_edit(app_t *app);
int run_upscale(app_t *app);
int run_text(app_t *app);
int run_video(app_t *app);
int run_task(app_t *app);
int run_batch(app_t *app);
int run_models(app_t *app);
int run_tokens(app_t *app);

/* Waits for the end, with a line of progress; the first signal cancels. Never NULL. */
const imagine_result_t *wait_for(app_t *app, imagine_request_t *request, const char *what);
/* Writes what a result brought, and tells. Returns the exit code. */
int deliver(app_t *app, const imagine_result_t *result, int64_t took_ms);
/* A task that nobody wants any more: its provider is told where it can be. NULL: there is none. */
void give_up(app_t *app, const char *task_id);
/* The time that it takes to tell them. */
void say_farewell(app_t *app);
/* Tells why there is none, and gives up what a signal has left. Returns the exit code. */
int tell_end(app_t *app, const imagine_result_t *result);

#endif
