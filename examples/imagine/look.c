/* look.c: the commands that look around: models, tokens. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "exit_code.h"
#include "say.h"

#define COLUMNS_MAX 8

/* ---- a table -----------------------------------------------------------------------------------
 */

typedef struct table {
    size_t column_count, cell_count, capacity;
    char **cells;   /* row by row, the head first */
    bool is_broken; /* no memory */
} table_t;

static size_t character_count(const char *text) {
    size_t count = 0;
    for (; *text != '\0'; text++)
        count += (*text & 0xc0) != 0x80;
    return count;
}

static void put_cell(table_t *table, const char *text) {
    if (table->cell_count == table->capacity) {
        size_t capacity = table->capacity * 2 + 64;
        char **cells = realloc(table->cells, capacity * sizeof(*cells));
        if (cells == NULL) {
            table->is_broken = true;
            return;
        }
        table->cells = cells;
        table->capacity = capacity;
    }
    table->cells[table->cell_count] = plain_text(text);
    table->is_broken |= table->cells[table->cell_count++] == NULL;
}

static void print_table(const table_t *table) {
    size_t widths[COLUMNS_MAX] = {0}, columns = table->column_count;
    for (size_t i = 0; i < table->cell_count; i++) {
        size_t width = character_count(table->cells[i]);
        if (width > widths[i % columns])
            widths[i % columns] = width;
    }
    for (size_t i = 0; i < table->cell_count; i++) {
        bool is_last = i % columns == columns - 1;
        fputs(table->cells[i], stdout);
        if (is_last)
            putchar('\n');
        else
            printf("%*s", (int)(widths[i % columns] - character_count(table->cells[i]) + 2), "");
    }
}

static void free_table(table_t *table) {
    for (size_t i = 0; i < table->cell_count; i++)
        free(table->cells[i]);
    free(table->cells);
}

/* Prints it, and gives its memory back. */
static int finish_table(app_t *app, table_t *table) {
    int code = table->is_broken ? say_failure(app, IMAGINE_ENOMEM, NULL) : CODE_OK;
    if (code == CODE_OK)
        print_table(table);
    free_table(table);
    return code;
}

/* ---- models ------------------------------------------------------------------------------------
 */

static void join_types(const char *model, size_t model_size, char *out, size_t capacity) {
    size_t count = imagine_json_count(model, model_size, "type"), size = 0;
    out[0] = '\0';
    for (size_t i = 0; i < count && size < capacity; i++) {
        char path[32];
        snprintf(path, sizeof(path), "type[%zu]", i);
        char *type = imagine_json_text(model, model_size, path);
        size += (size_t)snprintf(out + size, capacity - size, "%s%s", i > 0 ? "," : "",
                                 type != NULL ? type : "");
        imagine_free(type);
    }
}

/* All words of the command line stand somewhere in it. */
static bool is_asked_for(const app_t *app, const char *id, const char *types, const char *name) {
    for (size_t i = 0; i < app->options.word_count; i++) {
        const char *word = app->options.words[i];
        if (strstr(id, word) == NULL && strstr(types, word) == NULL && strstr(name, word) == NULL)
            return false;
    }
    return true;
}

static bool serves_now(const char *now, const char *id) {
    char *quoted = imagine_json_quote(id, strlen(id));
    bool is_there = quoted != NULL && strstr(now, quoted) != NULL;
    imagine_free(quoted);
    return is_there;
}

/* A row for a model, or its JSON. `now`: those that can serve; NULL: all of these can. */
static void put_model(const app_t *app, table_t *table, const char *model, size_t model_size,
                      const char *now, size_t *count) {
    char *id = imagine_json_text(model, model_size, "id");
    char *name = imagine_json_text(model, model_size, "name");
    char types[128];
    join_types(model, model_size, types, sizeof(types));
    if (id != NULL && is_asked_for(app, id, types, name != NULL ? name : "")) {
        if (app->options.is_json) {
            printf("%s%.*s", *count > 0 ? ",\n " : "", (int)model_size, model);
        } else {
            put_cell(table, id);
            put_cell(table, types);
            if (now != NULL)
                put_cell(table, serves_now(now, id) ? "yes" : "no");
            put_cell(table, name);
        }
        (*count)++;
    }
    imagine_free(id);
    imagine_free(name);
}

static int show_models(app_t *app, const char *models, const char *now) {
    table_t table = {.column_count = now != NULL ? 4 : 3};
    size_t size = strlen(models), count = imagine_json_count(models, size, ""), shown = 0;
    put_cell(&table, "MODEL");
    put_cell(&table, "CAN");
    if (now != NULL)
        put_cell(&table, "NOW");
    put_cell(&table, "NAME");
    if (app->options.is_json)
        putchar('[');
    for (size_t i = 0; i < count; i++) {
        char path[32];
        size_t model_size = 0;
        snprintf(path, sizeof(path), "[%zu]", i);
        const char *model = imagine_json_value(models, size, path, &model_size);
        if (model != NULL)
            put_model(app, &table, model, model_size, now, &shown);
    }
    if (!app->options.is_json)
        return finish_table(app, &table);
    puts("]");
    free_table(&table); /* only the head is there */
    return CODE_OK;
}

int run_models(app_t *app) {
    char *models = NULL, *now = NULL;
    int code = app_open(app);
    if (code == 0)
        code = app_models(app, app->options.shows_all, &models);
    if (code == 0 && app->options.shows_all)
        code = app_models(app, false, &now);
    if (code == 0)
        code = show_models(app, models, now);
    imagine_free(models);
    imagine_free(now);
    return code;
}

/* ---- tokens ------------------------------------------------------------------------------------
 */

static void put_count(table_t *table, const char *json, size_t size, const char *name) {
    char text[32];
    double number = 0;
    imagine_json_number(json, size, name, &number);
    snprintf(text, sizeof(text), "%.0f", number);
    put_cell(table, text);
}

static void put_text(table_t *table, const char *json, size_t size, const char *name) {
    char *text = imagine_json_text(json, size, name);
    put_cell(table, text != NULL ? text : "-");
    imagine_free(text);
}

static void put_tokens(table_t *table, const char *provider, const char *stats, size_t size) {
    size_t count = imagine_json_count(stats, size, "tokens");
    for (size_t i = 0; i < count; i++) {
        char path[32];
        size_t token_size = 0;
        snprintf(path, sizeof(path), "tokens[%zu]", i);
        const char *token = imagine_json_value(stats, size, path, &token_size);
        if (token == NULL)
            continue;
        put_cell(table, provider);
        put_text(table, token, token_size, "fingerprint");
        put_text(table, token, token_size, "state");
        put_text(table, token, token_size, "until");
        put_count(table, token, token_size, "inFlight");
        put_count(table, token, token_size, "served");
        put_count(table, token, token_size, "failed");
    }
}

static bool is_named(const app_t *app, const char *provider) {
    for (size_t i = 0; i < app->options.word_count; i++)
        if (strcmp(app->options.words[i], provider) == 0)
            return true;
    return app->options.word_count == 0;
}

/* Providers that have tokens, or those that were named. */
static int show_tokens(app_t *app, const char *tokens) {
    static const char *const head[] = {"PROVIDER",  "TOKEN",  "STATE", "UNTIL",
                                       "IN FLIGHT", "SERVED", "FAILED"};
    table_t table = {.column_count = sizeof(head) / sizeof(head[0])};
    size_t size = strlen(tokens), found_count = 0;
    char *name;
    for (size_t i = 0; i < table.column_count; i++)
        put_cell(&table, head[i]);
    for (size_t i = 0; (name = imagine_json_name(tokens, size, "", i)) != NULL; i++) {
        size_t stats_size = 0;
        const char *stats = imagine_json_value(tokens, size, name, &stats_size);
        if (stats != NULL && is_named(app, name)) {
            found_count++;
            put_tokens(&table, name, stats, stats_size);
        }
        imagine_free(name);
    }
    if (found_count < app->options.word_count) {
        free_table(&table);
        return say_failure(app, IMAGINE_EPROVIDER, "there is no such provider");
    }
    return finish_table(app, &table);
}

int run_tokens(app_t *app) {
    char *tokens = NULL;
    int code = app_open(app);
    if (code == 0)
        code = app_tokens(app, &tokens);
    if (code == 0 && app->options.is_json)
        puts(tokens);
    else if (code == 0)
        code = show_tokens(app, tokens);
    imagine_free(tokens);
    return code;
}
