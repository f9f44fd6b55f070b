/* storage_script.c: reads stories, asks, and writes down what comes back. */
#include "support/storage_script.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failing_mem.h"
#include "imagine/storage.h"
#include "script_io.h"
#include "storage/drivers.h"
#include "wire/buf.h"
#include "wire/str.h"

#define STORIES_MAX 64
#define LETS_MAX 8
#define STEPS_MAX 1000000
#define WORDS_MAX 5
#define PIECE_SIZE_MAX 40

typedef struct story {
    char *name, *url;
    imi_buf_t operations, script, transcript;
} story_t;

static story_t stories[STORIES_MAX];
static size_t story_count;

typedef struct player {
    imagine_io_t io; /* the script's, but for what follows */
    script_io_t *script;
    bool is_hanging;
    size_t hanging_count; /* requests that are not answered */
    imagine_storage_t *storage;
    const imagine_storage_driver_t *driver;
    void *self;
    imi_buf_t transcript;
    size_t asked_count, ended_count, closed_count;
    bool is_over; /* of a wait */
} player_t;

typedef struct answer {
    player_t *player;
    imi_buf_t text; /* "get k:", and the entries of a list */
    bool has_ended;
} answer_t;

static player_t *current; /* the log's and the exchanges' context is the script */
static char hanging;

static int http_start(void *context, const imagine_http_request_t *request,
                      const imagine_http_handler_t *handler, void *user,
                      imagine_http_exchange_t **out) {
    if (!current->is_hanging)
        return script_io_table(current->script)->http_start(context, request, handler, user, out);
    current->hanging_count++;
    *out = (imagine_http_exchange_t *)&hanging;
    return 0;
}

static void http_cancel(void *context, imagine_http_exchange_t *exchange) {
    if (exchange == (imagine_http_exchange_t *)&hanging)
        current->hanging_count--;
    else
        script_io_table(current->script)->http_cancel(context, exchange);
}

static void log_line(void *context, int32_t level, const char *line) {
    (void)context;
    imi_buf_printf(&current->transcript, "log %d %s\n", (int)level, line);
}

/* ---- ends ---- */

static void put_escaped(imi_buf_t *out, const char *data, size_t size) {
    for (size_t i = 0; i < size; i++)
        imi_buf_printf(out, data[i] > ' ' && data[i] < 0x7f ? "%c" : "%%%02X",
                       (unsigned char)data[i]);
}

static void end(answer_t *answer, int status, const void *value, size_t value_size) {
    player_t *player = answer->player;
    imi_buf_t *out = &player->transcript;
    ck_assert_msg(!answer->has_ended, "%s ended twice", answer->text.data);
    answer->has_ended = true;
    player->ended_count++;
    imi_buf_append(out, answer->text.data, answer->text.size);
    if (status != 0) {
        imi_buf_printf(out, " %s", imagine_err_name(status) + strlen("IMAGINE_"));
    } else if (value != NULL) {
        imi_buf_append_text(out, value_size == 0 ? " (empty)" : " ");
        put_escaped(out, value, value_size);
    }
    imi_buf_append_byte(out, '\n');
    imi_buf_reset(&answer->text);
    free(answer);
}

static void on_done(int status, void *user) {
    end(user, status, "ok", 2);
}

static void on_get(int status, const void *value, size_t value_size, void *user) {
    end(user, status, value, value_size);
}

static void on_add(int status, int64_t value, void *user) {
    char text[32];
    int size = snprintf(text, sizeof(text), "%" PRId64, value);
    end(user, status, text, (size_t)size);
}

static int compare_entries(const void *a, const void *b) {
    return strcmp(((const imagine_storage_entry_t *)a)->key,
                  ((const imagine_storage_entry_t *)b)->key);
}

static void on_list(int status, const imagine_storage_entry_t *entries, size_t entry_count,
                    int32_t is_last, void *user) {
    answer_t *answer = user;
    imagine_storage_entry_t *sorted = calloc(entry_count + 1, sizeof(*sorted));
    ck_assert_ptr_nonnull(sorted);
    if (entry_count > 0)
        memcpy(sorted, entries, entry_count * sizeof(*sorted));
    qsort(sorted, entry_count, sizeof(*sorted), compare_entries);
    for (size_t i = 0; i < entry_count; i++) {
        imi_buf_printf(&answer->text, " %s=", sorted[i].key);
        put_escaped(&answer->text, sorted[i].value, sorted[i].value_size);
    }
    free(sorted);
    if (is_last != 0)
        end(answer, status, NULL, 0);
}

static void on_closed(void *user) {
    player_t *player = user;
    player->closed_count++;
}

/* ---- asking ---- */

static void run(player_t *player, const bool *is_over) {
    for (size_t i = 0; i < STEPS_MAX; i++)
        if ((is_over != NULL && *is_over) || !script_io_step(player->script))
            return;
    ck_abort_msg("it never comes to rest");
}

static void on_waited(void *user) {
    player_t *player = user;
    player->is_over = true;
}

static void wait_for(player_t *player, uint64_t ms) {
    imagine_timer_t *timer = NULL;
    player->is_over = false;
    ck_assert_int_eq(player->io.timer_start(player->io.context, ms, on_waited, player, &timer), 0);
    run(player, &player->is_over);
}

static void close_storage(player_t *player) {
    if (player->storage != NULL)
        imagine_storage_close(player->storage, on_closed, player);
    player->storage = NULL;
}

/* Decoded in place; returns the size. */
static size_t decode(char *word) {
    size_t size = 0;
    if (strcmp(word, "\"\"") == 0)
        word[0] = '\0';
    ck_assert(imi_percent_decode_bytes(word, &size, imi_slice_of(word), false));
    word[size] = '\0';
    return size;
}

static uint64_t number(const char *text) {
    return text == NULL ? 0 : strtoull(text, NULL, 10);
}

static int ask(player_t *player, answer_t *answer, char **words, const size_t *sizes) {
    const imagine_storage_driver_t *driver = player->driver;
    void *self = player->self;
    const char *verb = words[0];
    if (strcmp(verb, "get") == 0)
        return driver->get(self, words[1], on_get, answer);
    if (strcmp(verb, "set") == 0)
        return driver->set(self, words[1], words[2], sizes[2], number(words[3]), on_done, answer);
    if (strcmp(verb, "remove") == 0)
        return driver->remove(self, words[1], on_done, answer);
    if (strcmp(verb, "add") == 0)
        return driver->add(self, words[1], strtoll(words[2], NULL, 10), number(words[3]), on_add,
                           answer);
    if (strcmp(verb, "list") == 0)
        return driver->list(self, words[1] == NULL ? "" : words[1], on_list, answer);
    ck_assert_str_eq(verb, "swap");
    bool is_made = strcmp(words[2], "-") == 0, is_removed = strcmp(words[3], "-") == 0;
    return driver->swap(self, words[1], is_made ? NULL : words[2], is_made ? 0 : sizes[2],
                        is_removed ? NULL : words[3], is_removed ? 0 : sizes[3], number(words[4]),
                        on_done, answer);
}

static void perform(player_t *player, imi_slice_t line) {
    char text[4096], *words[WORDS_MAX] = {NULL};
    size_t sizes[WORDS_MAX] = {0}, count = 0;
    (void)snprintf(text, sizeof(text), "%.*s", (int)line.size, line.data);
    for (char *word = text; word != NULL && count < WORDS_MAX; count++) {
        char *space = strchr(word, ' ');
        if (space != NULL)
            *space++ = '\0';
        words[count] = word;
        word = space;
    }
    for (size_t i = 1; i < count; i++)
        sizes[i] = decode(words[i]);
    if (strcmp(words[0], "run") == 0) {
        run(player, NULL);
    } else if (strcmp(words[0], "wait") == 0) {
        wait_for(player, number(words[1]));
    } else if (strcmp(words[0], "hang") == 0) {
        player->is_hanging = true;
    } else if (strcmp(words[0], "close") == 0) {
        close_storage(player);
    } else {
        answer_t *answer = calloc(1, sizeof(*answer));
        ck_assert_ptr_nonnull(answer);
        answer->player = player;
        imi_buf_init(&answer->text, NULL, 0);
        imi_buf_printf(&answer->text, "%s %s:", words[0], count > 1 ? words[1] : "");
        int err = ask(player, answer, words, sizes);
        player->asked_count++;
        if (err != 0)
            end(answer, err, NULL, 0);
    }
}

/* What happened; to free(). With an allocator of its own the script may be left early. */
static char *play(const imi_mem_t *mem, const story_t *story, size_t piece_size) {
    player_t player = {.script = script_io_open(story->script.data, piece_size)};
    imi_slice_t lines = {story->operations.data, story->operations.size}, line;
    current = &player;
    imi_buf_init(&player.transcript, NULL, 0);
    player.io = *script_io_table(player.script);
    player.io.http_start = http_start;
    player.io.http_cancel = http_cancel;
    player.io.log = log_line;
    int err = imi_storage_open(mem, &player.storage, story->url, NULL);
    if (err == 0) {
        player.driver = imagine_storage_driver(player.storage, &player.self);
        ck_assert_int_eq(player.driver->start(player.self, &player.io), 0);
        while (imi_slice_split(&lines, '\n', &line))
            perform(&player, line);
        close_storage(&player);
        run(&player, NULL);
        ck_assert_uint_eq(player.closed_count, 1);
    } else {
        imi_buf_printf(&player.transcript, "open: %s\n", imagine_err_name(err));
    }
    ck_assert_uint_eq(player.ended_count, player.asked_count);
    ck_assert_uint_eq(player.hanging_count, 0);
    const char *complaint = script_io_complaint(player.script);
    if (mem == NULL && complaint != NULL)
        imi_buf_printf(&player.transcript, "%s\n", complaint);
    script_io_close(player.script);
    return imi_buf_take(&player.transcript, NULL);
}

START_TEST(it_asks_and_reads_as_written) { /* _i walks stories */
    const story_t *story = &stories[_i];
    for (size_t piece_size = 0; piece_size <= PIECE_SIZE_MAX; piece_size++) {
        char *transcript = play(NULL, story, piece_size);
        ck_assert_msg(strcmp(transcript, story->transcript.data) == 0,
                      "%s, in pieces of %zu:\n%s\ninstead of:\n%s", story->name, piece_size,
                      transcript, story->transcript.data);
        free(transcript);
    }
}
END_TEST

START_TEST(without_memory_everything_still_ends) { /* _i walks stories */
    for (int is_lasting = 0; is_lasting < 2; is_lasting++) {
        bool has_failed = true;
        for (size_t n = 1; has_failed; n++) {
            failing_mem_t failing;
            failing_mem_init(&failing, n);
            failing.is_lasting = is_lasting != 0;
            free(play(&failing.mem, &stories[_i], 0));
            ck_assert_msg(failing.live_count == 0, "%s: allocation %zu: %zu blocks are left",
                          stories[_i].name, n, failing.live_count);
            has_failed = failing.has_failed;
        }
    }
}
END_TEST

/* ---- files ---- */

static void require(bool is_fine, const char *what) {
    if (is_fine)
        return;
    (void)fprintf(stderr, "storage_script: %s\n", what);
    abort();
}

/* The line with its lets filled in. */
static char *fill_in(const char *line, char *const names[], char *const texts[], size_t count) {
    imi_buf_t out;
    imi_buf_init(&out, NULL, 0);
    while (*line != '\0') {
        size_t i = 0, size = 0;
        for (; i < count; i++) {
            size = strlen(names[i]);
            if (line[0] == '{' && strncmp(line + 1, names[i], size) == 0 && line[size + 1] == '}')
                break;
        }
        if (i < count)
            imi_buf_append_text(&out, texts[i]);
        else
            imi_buf_append_byte(&out, *line);
        line += i < count ? size + 2 : 1;
    }
    return imi_buf_take(&out, NULL);
}

static void add_line(imi_buf_t *buf, const char *line) {
    imi_buf_append_text(buf, line);
    imi_buf_append_byte(buf, '\n');
}

static story_t *begin_story(const char *name, const char *url) {
    require(story_count < STORIES_MAX, "too many stories");
    story_t *story = &stories[story_count++];
    *story = (story_t){.name = strdup(name), .url = strdup(url)};
    imi_buf_t *const bufs[] = {&story->operations, &story->script, &story->transcript};
    for (size_t i = 0; i < 3; i++) {
        imi_buf_init(bufs[i], NULL, 0);
        require(imi_buf_append_text(bufs[i], "") == 0 && imi_buf_reserve(bufs[i], 1) == 0,
                "no memory");
        bufs[i]->data[0] = '\0';
    }
    return story;
}

static void read_line(char *raw, char **url, char *names[], char *texts[], size_t *let_count) {
    story_t *story = story_count == 0 ? NULL : &stories[story_count - 1];
    char *line = fill_in(raw, names, texts, *let_count);
    if (line[0] == '#') {
        (void)begin_story(line + 2, *url);
    } else if (line[0] == '@') {
        char **place = story == NULL ? url : &story->url;
        free(*place);
        *place = strdup(line + 2);
    } else if (story == NULL && strncmp(line, "let ", 4) == 0) {
        char *text = strchr(line + 4, ' ');
        require(text != NULL && *let_count < LETS_MAX, line);
        names[*let_count] = strndup(line + 4, (size_t)(text - line - 4));
        texts[(*let_count)++] = strdup(text + 1);
    } else if (story != NULL && line[0] != '\0') {
        require(strchr("$<>=", line[0]) != NULL, line);
        if (line[0] == '$')
            add_line(&story->operations, line + 2);
        else if (line[0] == '=')
            add_line(&story->transcript, line + 2);
        else
            add_line(&story->script, line);
    }
    free(line);
}

TCase *storage_script(const char *path) {
    FILE *file = fopen(path, "r");
    char *names[LETS_MAX], *texts[LETS_MAX], *line = NULL, *url = strdup("");
    size_t let_count = 0, capacity = 0;
    require(file != NULL, path);
    for (ssize_t size; (size = getline(&line, &capacity, file)) > 0;) {
        line[size - 1] = '\0'; /* the line feed */
        read_line(line, &url, names, texts, &let_count);
    }
    (void)fclose(file);
    free(line);
    free(url);
    for (size_t i = 0; i < let_count; i++) {
        free(names[i]);
        free(texts[i]);
    }
    require(story_count > 0, "no stories");
    TCase *tests = tcase_create("script");
    tcase_add_loop_test(tests, it_asks_and_reads_as_written, 0, (int)story_count);
    tcase_add_loop_test(tests, without_memory_everything_still_ends, 0, (int)story_count);
    return tests;
}
