/* test_transcripts.c: plays the transcripts beside this file (*.txt) against the whole client: the
 * requests that a provider must send, what it is answered, and what the caller gets. Each story
 * runs with whole answers, with answers byte by byte, and with each of its allocations failing.
 *
 *     == name of the story
 *     tokens gitee t1,t2          settings; also: base PROVIDER ADDRESS, catalogue {…}
 *     image cat.png               a picture of the caller's, under this file name
 *     cancel 1500                 the task that comes of it is given up so many ms later
 *     stream                      the caller wants the text in pieces
 *     generate {"model": …}       the action and its parameters, as in the HTTP API
 *     > …                         the script: test/support/script_io.h
 *     = {"url": …}                the caller's answer, as the HTTP API gives it; a task's id reads
 *                                 "*"; or IMAGINE_E… and the message
 *     = pieces ["A ", "cat"]      of a text, in their order
 *     = task {"status": …}        what task-status says in the end
 */
#include <cjson/cJSON.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "imagine.h"
#include "support/check_main.h"
#include "support/failing_mem.h"
#include "support/script_io.h"

#define FOLDER "test/unit/providers/" /* tests run in the repository's root */
#define STORIES_MAX 500
#define IMAGES_MAX 4
#define STEPS_MAX 200000     /* a story that takes more does not end */
#define ALLOCATIONS_MAX 5000 /* a story has some hundreds */

typedef struct story {
    char name[160]; /* file and title */
    char *setup;    /* lines before the action */
    char *action;   /* "generate {…}" */
    char *script;
    char *result, *pieces, *task_result; /* behind "= "; NULL: not told */
} story_t;

static story_t stories[STORIES_MAX];
static int story_count;

/* ---- reading ----------------------------------------------------------------------------------
 */

/* Reading comes before the tests, where Check cannot fail. */
static void require(bool is_true, const char *what) {
    if (is_true)
        return;
    fprintf(stderr, "test_transcripts: %s\n", what);
    exit(EXIT_FAILURE);
}

static void append_line(char **text, const char *line) {
    size_t old_size = *text != NULL ? strlen(*text) : 0, line_size = strlen(line);
    char *grown = realloc(*text, old_size + line_size + 2);
    require(grown != NULL, "out of memory");
    memcpy(grown + old_size, line, line_size);
    memcpy(grown + old_size + line_size, "\n", 2);
    *text = grown;
}

static bool is_action(const char *line) {
    static const char *const actions[] = {"generate ", "edit ", "text ", "video ", "upscaler "};
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
        if (strncmp(line, actions[i], strlen(actions[i])) == 0)
            return true;
    return false;
}

static void read_line(story_t *story, const char *line) {
    if (line[0] == '>' || line[0] == '<')
        append_line(&story->script, line);
    else if (strncmp(line, "= task ", 7) == 0)
        story->task_result = strdup(line + 7);
    else if (strncmp(line, "= pieces ", 9) == 0)
        story->pieces = strdup(line + 9);
    else if (strncmp(line, "= ", 2) == 0)
        story->result = strdup(line + 2);
    else if (is_action(line))
        story->action = strdup(line);
    else
        append_line(&story->setup, line);
}

static void read_file(const char *name) {
    char path[300], line[65536];
    FILE *file;
    story_t *story = NULL;
    snprintf(path, sizeof(path), FOLDER "%s", name);
    file = fopen(path, "r");
    require(file != NULL, path);
    while (fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '#' || line[0] == '\0')
            continue;
        if (strncmp(line, "== ", 3) == 0) {
            require(story_count < STORIES_MAX, "too many stories");
            story = &stories[story_count++];
            snprintf(story->name, sizeof(story->name), "%s: %.90s", name, line + 3);
            append_line(&story->setup, "");
            append_line(&story->script, "");
            story->script[0] = '\0';
        } else {
            require(story != NULL, "a line before the first story");
            read_line(story, line);
        }
    }
    fclose(file);
}

static int by_name(const void *a, const void *b) {
    return strcmp(a, b);
}

static void read_transcripts(void) {
    char names[16][64];
    size_t count = 0;
    DIR *folder = opendir(FOLDER);
    require(folder != NULL, FOLDER " is not here: run it in the repository's root");
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        size_t size = strlen(entry->d_name);
        if (size > 4 && size < sizeof(names[0]) && count < 16 &&
            strcmp(entry->d_name + size - 4, ".txt") == 0)
            memcpy(names[count++], entry->d_name, size + 1);
    }
    closedir(folder);
    qsort(names, count, sizeof(names[0]), by_name);
    for (size_t i = 0; i < count; i++)
        read_file(names[i]);
}

/* ---- playing ----------------------------------------------------------------------------------
 */

typedef struct player {
    const story_t *story;
    script_io_t *script;
    imagine_t *im;
    imagine_image_t images[IMAGES_MAX];
    char filenames[IMAGES_MAX][64];
    size_t image_count;
    bool cancels_task;
    int cancel_after_ms;
    bool is_stream;
    cJSON *pieces;
    int done_count, closed_count;
    char *answer; /* of the last request, as a result line has it */
    char task_id[200];
} player_t;

static void apply_setting(player_t *player, const char *line) {
    char first[64] = "", second[400] = "";
    if (sscanf(line, "tokens %63s %399s", first, second) == 2) {
        imagine_set_tokens(player->im, first, second);
    } else if (sscanf(line, "base %63s %399s", first, second) == 2) {
        imagine_set_api_base(player->im, first, second);
    } else if (strncmp(line, "catalogue ", 10) == 0) {
        imagine_set_catalogue(player->im, line + 10, strlen(line + 10), NULL);
    } else if (sscanf(line, "cancel %d", &player->cancel_after_ms) == 1) {
        player->cancels_task = true;
    } else if (strcmp(line, "stream") == 0) {
        player->is_stream = true;
    } else if (sscanf(line, "image %63s", first) == 1) {
        imagine_image_t *image = &player->images[player->image_count];
        snprintf(player->filenames[player->image_count], sizeof(player->filenames[0]), "%s", first);
        image->size = sizeof(*image);
        image->data = script_picture(&image->data_size);
        image->filename = player->filenames[player->image_count++];
    } else {
        ck_assert_msg(line[0] == '\0', "%s: a line that says nothing: %s", player->story->name,
                      line);
    }
}

static void apply_settings(player_t *player) {
    char line[65536];
    for (const char *at = player->story->setup; *at != '\0';) {
        size_t size = strcspn(at, "\n");
        ck_assert_uint_lt(size, sizeof(line));
        memcpy(line, at, size);
        line[size] = '\0';
        apply_setting(player, line);
        at += size + (at[size] == '\n');
    }
}

/* The answer as the HTTP API has it, the task's id hidden; failures by name. */
static void on_done(int status, const imagine_result_t *result, void *user) {
    player_t *player = user;
    size_t size = 0;
    char line[2048];
    player->done_count++;
    ck_assert_int_eq(status, result->status);
    free(player->answer);
    player->answer = NULL;
    if (status != 0) {
        snprintf(line, sizeof(line), "%s %s", imagine_err_name(status),
                 result->message != NULL ? result->message : "");
        player->answer = strdup(line);
        return;
    }
    if (result->task_id != NULL && player->task_id[0] == '\0')
        snprintf(player->task_id, sizeof(player->task_id), "%s", result->task_id);
    const char *json = imagine_result_json(result, &size);
    player->answer = json != NULL ? strndup(json, size) : NULL;
}

static void on_piece(const char *text, size_t text_size, void *user) {
    player_t *player = user;
    char *copy = strndup(text, text_size);
    ck_assert_int_eq(player->done_count, 0);
    ck_assert(cJSON_AddItemToArray(player->pieces, cJSON_CreateString(copy)));
    free(copy);
}

static void on_closed(void *user) {
    ((player_t *)user)->closed_count++;
}

static void run_until(player_t *player, const int *count, int wanted) {
    for (int i = 0; *count < wanted; i++) {
        ck_assert_msg(i < STEPS_MAX, "%s: does not end", player->story->name);
        ck_assert_msg(
            script_io_step(player->script), "%s: nothing goes on: %s", player->story->name,
            script_io_complaint(player->script) != NULL ? script_io_complaint(player->script)
                                                        : "(no complaint)");
    }
    ck_assert_int_eq(*count, wanted);
}

/* false: the client would not take it (out of memory). */
static bool submit(player_t *player) {
    const char *line = player->story->action, *json = strchr(line, ' ') + 1;
    char action[16];
    imagine_form_t form = {.size = sizeof(form)};
    snprintf(action, sizeof(action), "%.*s", (int)strcspn(line, " "), line);
    form.action = action;
    form.json = json;
    form.json_size = strlen(json);
    form.images = player->images;
    form.image_count = player->image_count;
    form.on_piece = player->is_stream ? on_piece : NULL;
    return imagine_submit_form(player->im, &form, on_done, player, NULL) == 0;
}

static bool ask_task(player_t *player) {
    return imagine_task_status(player->im, player->task_id, on_done, player, NULL) == 0;
}

/* Asks for the task until it is over. false: the client would not take a question. */
static bool follow_task(player_t *player) {
    for (int i = 0; i < STEPS_MAX; i++) {
        int wanted = player->done_count + 1;
        if (!ask_task(player))
            return false;
        run_until(player, &player->done_count, wanted);
        if (player->answer == NULL || strstr(player->answer, "\"processing\"") == NULL)
            return true;
        script_io_step(player->script);
    }
    ck_abort_msg("%s: the task does not end", player->story->name);
}

/* Gives the task up and waits until the provider was told. false: the client would not. */
static bool cancel_task(player_t *player) {
    const imagine_io_t *io = script_io_table(player->script);
    uint64_t cancel_at_ms = io->now_ms(io->context) + (uint64_t)player->cancel_after_ms;
    int wanted = player->done_count + 1, steps = 0;
    while (io->now_ms(io->context) < cancel_at_ms && script_io_step(player->script))
        ck_assert_msg(++steps < STEPS_MAX, "%s: does not end", player->story->name);
    if (imagine_task_cancel(player->im, player->task_id, on_done, player, NULL) != 0)
        return false;
    run_until(player, &player->done_count, wanted);
    while (script_io_step(player->script))
        ck_assert_msg(++steps < STEPS_MAX, "%s: does not end", player->story->name);
    return true;
}

static void check_answer(const player_t *player, const char *wanted) {
    cJSON *wanted_json = cJSON_Parse(wanted);
    cJSON *json = player->answer != NULL ? cJSON_Parse(player->answer) : NULL;
    cJSON *task_id = cJSON_GetObjectItem(json, "taskId");
    bool is_same = player->answer != NULL && strcmp(player->answer, wanted) == 0;
    if (task_id != NULL)
        cJSON_SetValuestring(task_id, "*");
    if (wanted_json != NULL && json != NULL)
        is_same = cJSON_Compare(wanted_json, json, true);
    cJSON_Delete(wanted_json);
    cJSON_Delete(json);
    ck_assert_msg(is_same, "%s: the caller got\n%s\ninstead of\n%s", player->story->name,
                  player->answer, wanted);
}

static void check_pieces(const player_t *player) {
    cJSON *wanted = cJSON_Parse(player->story->pieces != NULL ? player->story->pieces : "[]");
    char *got = cJSON_PrintUnformatted(player->pieces);
    ck_assert_msg(cJSON_Compare(wanted, player->pieces, true), "%s: the pieces\n%s\ninstead of\n%s",
                  player->story->name, got, player->story->pieces);
    free(got);
    cJSON_Delete(wanted);
}

/* Plays a story to its end; with `allocator` (whose memory runs out somewhere) nothing but the
 * one answer and the clean end is demanded. */
static void play(const story_t *story, size_t piece_size, const imagine_allocator_t *allocator) {
    player_t player = {.story = story, .pieces = cJSON_CreateArray()};
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    const char *complaint;
    ck_assert_msg(story->action != NULL && story->result != NULL, "%s: incomplete", story->name);
    player.script = script_io_open(story->script, piece_size);
    options.io = script_io_table(player.script);
    options.allocator = allocator;
    if (imagine_open(&player.im, &options) == 0) {
        apply_settings(&player);
        if (submit(&player)) {
            run_until(&player, &player.done_count, 1);
            if (allocator == NULL) {
                check_answer(&player, story->result);
                check_pieces(&player);
            }
            if (player.task_id[0] != '\0' &&
                (player.cancels_task ? cancel_task(&player) : follow_task(&player)) &&
                allocator == NULL && story->task_result != NULL)
                check_answer(&player, story->task_result);
        }
        complaint = allocator == NULL ? script_io_complaint(player.script) : NULL;
        ck_assert_msg(complaint == NULL, "%s: %s", story->name, complaint);
        imagine_close(player.im, on_closed, &player);
        run_until(&player, &player.closed_count, 1);
    } else {
        ck_assert_ptr_nonnull(allocator);
    }
    script_io_close(player.script);
    free(player.answer);
    cJSON_Delete(player.pieces);
}

START_TEST(the_provider_speaks_as_written) { /* _i walks the stories */
    play(&stories[_i], 0, NULL);
}
END_TEST

START_TEST(it_understands_answers_that_come_byte_by_byte) {
    play(&stories[_i], 1, NULL);
}
END_TEST

/* ---- without memory ---------------------------------------------------------------------------
 */

/* Opening a client takes as many allocations in every story: the first one is enough to see each of
 * them fail. Of what follows each story tries every third, each its own third: the stories of a
 * provider go the same ways. */
static size_t allocations_to_open(void) {
    failing_mem_t failing;
    imagine_allocator_t allocator = {failing_mem_resize, &failing};
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    script_io_t *script = script_io_open("", 0);
    imagine_t *im = NULL;
    size_t count;
    failing_mem_init(&failing, 0);
    options.io = script_io_table(script);
    options.allocator = &allocator;
    ck_assert_int_eq(imagine_open(&im, &options), 0);
    count = failing.request_count;
    imagine_close(im, NULL, NULL);
    while (script_io_step(script))
        continue;
    script_io_close(script);
    return count;
}

START_TEST(it_ends_once_and_leaves_nothing_whichever_allocation_fails) {
    size_t n = _i == 0 ? 1 : allocations_to_open() + (size_t)_i % 3;
    for (; n < ALLOCATIONS_MAX; n += _i == 0 ? 1 : 3) {
        failing_mem_t failing;
        imagine_allocator_t allocator = {failing_mem_resize, &failing};
        failing_mem_init(&failing, n);
        play(&stories[_i], 0, &allocator);
        ck_assert_msg(failing.live_count == 0, "%s: request %zu for memory failed, %zu blocks left",
                      stories[_i].name, n, failing.live_count);
        if (!failing.has_failed)
            return;
    }
    ck_abort_msg("%s: takes too many allocations", stories[_i].name);
}
END_TEST

static Suite *transcripts_suite(void) {
    Suite *suite = suite_create("transcripts");
    TCase *tcase = tcase_create("transcripts");
    read_transcripts();
    require(story_count > 0, "no transcript in " FOLDER);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, the_provider_speaks_as_written, 0, story_count);
    tcase_add_loop_test(tcase, it_understands_answers_that_come_byte_by_byte, 0, story_count);
    tcase_add_loop_test(tcase, it_ends_once_and_leaves_nothing_whichever_allocation_fails, 0,
                        story_count);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(transcripts_suite)
