/* storage_script.c: reads lines, asks, and writes down what comes back. */
#include "support/storage_script.h"

#include <check.h>
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

#define STEPS_MAX 1000000
#define WORDS_MAX 5
#define PIECE_SIZE_MAX 40

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

static void end(answer_t *answer, int status, const void *value, size_t value_size) {
    player_t *player = answer->player;
    ck_assert_msg(!answer->has_ended, "%s ended twice", answer->text.data);
    answer->has_ended = true;
    player->ended_count++;
    imi_buf_append(&player->transcript, answer->text.data, answer->text.size);
    if (status != 0) {
        imi_buf_printf(&player->transcript, " %s\n", imagine_err_name(status) + strlen("IMAGINE_"));
    } else {
        if (value != NULL)
            imi_buf_append_byte(&player->transcript, ' ');
        for (size_t i = 0; i < value_size; i++)
            imi_buf_printf(
                &player->transcript,
                ((const char *)value)[i] > ' ' && ((const char *)value)[i] < 0x7f ? "%c" : "%%%02X",
                ((const unsigned char *)value)[i]);
        imi_buf_append_byte(&player->transcript, '\n');
    }
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
    for (size_t i = 0; i < entry_count; i++)
        imi_buf_printf(&answer->text, " %s=%.*s", sorted[i].key, (int)sorted[i].value_size,
                       (const char *)sorted[i].value);
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

char *storage_script_play(const imi_mem_t *mem, const char *url, const char *script,
                          const char *operations, size_t piece_size) {
    player_t player = {.script = script_io_open(script, piece_size)};
    imi_slice_t lines = imi_slice_of(operations), line;
    current = &player;
    imi_buf_init(&player.transcript, NULL, 0);
    player.io = *script_io_table(player.script);
    player.io.http_start = http_start;
    player.io.http_cancel = http_cancel;
    player.io.log = log_line;
    int err = imi_storage_open(mem, &player.storage, url, NULL);
    if (err == 0) {
        player.driver = imagine_storage_driver(player.storage, &player.self);
        ck_assert_int_eq(player.driver->start(player.self, &player.io), 0);
        while (imi_slice_split(&lines, '\n', &line))
            if (line.size > 0)
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

void storage_script_check(const storage_script_t *row) {
    for (size_t piece_size = 0; piece_size <= PIECE_SIZE_MAX; piece_size++) {
        char *transcript =
            storage_script_play(NULL, row->url, row->script, row->operations, piece_size);
        ck_assert_msg(strcmp(transcript, row->transcript) == 0,
                      "%s, in pieces of %zu:\n%s\ninstead of:\n%s", row->name, piece_size,
                      transcript, row->transcript);
        free(transcript);
    }
}

void storage_script_starve(const storage_script_t *row) {
    for (int is_lasting = 0; is_lasting < 2; is_lasting++) {
        bool has_failed = true;
        for (size_t n = 1; has_failed; n++) {
            failing_mem_t failing;
            failing_mem_init(&failing, n);
            failing.is_lasting = is_lasting != 0;
            free(storage_script_play(&failing.mem, row->url, row->script, row->operations, 0));
            ck_assert_uint_eq(failing.live_count, 0);
            has_failed = failing.has_failed;
        }
    }
}
