/* upstash.c: "upstash:https://:token@host", Upstash Redis over its REST interface.
 *
 * What waits goes out as one POST /pipeline, [["SET", …], …], and comes back as one answer,
 * [{"result": …} or {"error": …}, …] in the same order. One pipeline is under way at a time, so
 * that operations happen in the order in which they were asked for; a list has its turn alone:
 *
 *   SCAN from cursor to cursor, each key noted once --> MGET, some at a time --> a page of each
 *
 * `add` and `swap` are scripts (EVAL), which Redis carries out as one step. Sums travel as text: a
 * number of Lua has 53 bits.
 *
 * JSON carries text, and values are bytes. A value that is text is kept as it is, so that `add`
 * and people can read it; any other one, and a text that could be taken for one, as "base64:" and
 * its base64. The same value always looks the same, which `swap` compares. The service's own
 * Upstash-Encoding: base64 would help in one direction only. */
#include <inttypes.h>
#include <string.h>

#include "storage/drivers.h"
#include "storage/rest.h"
#include "wire/base64.h"
#include "wire/json.h"
#include "wire/map.h"
#include "wire/str.h"

#define BATCH_COUNT_MAX 100
#define BATCH_SIZE_MAX (1024u * 1024) /* but for one large value alone */
/* The answers to these may be large; the others are short. */
#define BATCH_GET_COUNT_MAX 32
#define ANSWER_SIZE_MAX (64u * 1024 * 1024)
#define ANSWER_DEPTH_MAX 4 /* [{"result": ["0", ["key"]]}] */
#define SCAN_COUNT "1000"
#define SCAN_ROUNDS_MAX 100000
#define SCAN_KEYS_MAX 1000000
#define CURSOR_SIZE_MAX 32
#define PAGE_COUNT 512 /* keys per MGET: half as many after an answer that was too large */
#define KEY_SIZE_MAX (2 * IMAGINE_STORAGE_KEY_SIZE_MAX) /* with our prefix */
#define MARK "base64:"

#define ADD_SCRIPT                                                                 \
    "local made = redis.call('EXISTS', KEYS[1]) == 0 "                             \
    "redis.call('INCRBY', KEYS[1], ARGV[1]) "                                      \
    "if made and ARGV[2] ~= '0' then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end " \
    "return redis.call('GET', KEYS[1])"

/* ARGV: is something expected, what; is it to be set, to what, its time to live. */
#define SWAP_SCRIPT                                                   \
    "local old = redis.call('GET', KEYS[1]) "                         \
    "if ARGV[1] == '0' then if old then return 0 end "                \
    "elseif not old or old ~= ARGV[2] then return 0 end "             \
    "if ARGV[3] == '0' then redis.call('DEL', KEYS[1]) "              \
    "elseif ARGV[5] == '0' then redis.call('SET', KEYS[1], ARGV[4]) " \
    "else redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[5]) end "    \
    "return 1"

typedef struct upstash {
    imi_rest_t rest; /* first, see rest.h */
    imi_rest_call_t call;
    imi_list_t batch; /* the operations that the call performs */
    /* A list, while it is under way: */
    imi_storage_operation_t *list;
    char cursor[CURSOR_SIZE_MAX + 1];
    size_t scan_rounds;
    imi_map_t keys;
    size_t position;   /* in keys: up to here they were delivered */
    size_t page_count; /* how many the call asks for */
    size_t page_count_max;
} upstash_t;

static void pump(imi_rest_t *rest);
static void abandon(imi_rest_t *rest);
static void reset(imi_rest_t *rest);
static size_t start_batch(upstash_t *upstash, size_t count_max);
static void put_command(upstash_t *upstash, imi_json_writer_t *writer,
                        const imi_storage_operation_t *operation);
static void on_batch_done(imi_rest_call_t *call, int status);
static void end_batch(upstash_t *upstash, int status);
static void start_list(upstash_t *upstash);
static int scan(upstash_t *upstash);
static void on_scanned(imi_rest_call_t *call, int status);
static int fetch(upstash_t *upstash);
static void on_fetched(imi_rest_call_t *call, int status);
static void end_list(upstash_t *upstash, int status);

static const imi_rest_kind_t kind = {
    .name = "upstash", .scheme = "upstash:", .pump = pump, .abandon = abandon, .reset = reset};

static const imagine_storage_driver_t upstash_driver = {
    .size = sizeof(imagine_storage_driver_t),
    .name = "upstash",
    .flags = IMAGINE_STORAGE_IS_SHARED | IMAGINE_STORAGE_IS_ATOMIC,
    .start = imi_rest_start,
    .get = imi_storage_queue_get,
    .set = imi_storage_queue_set,
    .remove = imi_storage_queue_remove,
    .add = imi_storage_queue_add,
    .list = imi_storage_queue_list,
    .close = imi_rest_close,
    .swap = imi_storage_queue_swap,
};

int imi_upstash_open(const imi_mem_t *mem, const char *url,
                     const imagine_storage_driver_t **out_driver, void **out_self,
                     const char **out_reason) {
    upstash_t *upstash = imi_mem_zalloc(mem, sizeof(*upstash));
    if (upstash == NULL)
        return IMAGINE_ENOMEM;
    int err = imi_rest_init(&upstash->rest, mem, &kind, url, out_reason);
    if (err != 0) {
        imi_mem_free(mem, upstash);
        return err;
    }
    imi_rest_call_init(&upstash->call, &upstash->rest, NULL);
    imi_list_init(&upstash->batch);
    imi_map_init(&upstash->keys, mem, NULL);
    *out_driver = &upstash_driver;
    *out_self = upstash;
    return 0;
}

static void reset(imi_rest_t *rest) {
    upstash_t *upstash = (upstash_t *)rest;
    imi_rest_call_reset(&upstash->call);
    imi_map_reset(&upstash->keys);
}

static imi_storage_operation_t *first_of(const imi_list_t *list) {
    return imi_list_is_empty(list) ? NULL
                                   : IMI_CONTAINER(list->next, imi_storage_operation_t, node);
}

static void pump(imi_rest_t *rest) {
    upstash_t *upstash = (upstash_t *)rest;
    size_t left = rest->queue.count; /* what callbacks ask for has its own turn */
    int refusal = imi_rest_refusal(rest);
    for (; refusal != 0 && left > 0; left--)
        imi_rest_end(imi_storage_queue_pop(&rest->queue), refusal);
    /* What cannot be started ends at once, and the next one gets its chance. */
    while (left > 0 && rest->call_count == 0)
        if (first_of(&rest->queue.operations)->kind == IMI_STORAGE_LIST) {
            start_list(upstash);
            left--;
        } else {
            left -= start_batch(upstash, left);
        }
}

static void abandon(imi_rest_t *rest) {
    upstash_t *upstash = (upstash_t *)rest;
    imi_rest_call_reset(&upstash->call);
    end_batch(upstash, IMAGINE_ECLOSED);
    if (upstash->list != NULL)
        end_list(upstash, IMAGINE_ECLOSED);
}

static void begin_call(upstash_t *upstash, imi_json_writer_t *writer,
                       void (*on_done)(imi_rest_call_t *call, int status)) {
    imi_rest_call_t *call = &upstash->call;
    imi_rest_call_reset(call);
    imi_rest_call_init(call, &upstash->rest, on_done);
    call->method = "POST";
    call->content_type = "application/json";
    call->answer_size_max = ANSWER_SIZE_MAX;
    call->is_repeatable = true;
    imi_buf_printf(&call->url, "%s/pipeline", upstash->rest.base);
    imi_json_begin(writer, &call->body);
    imi_json_open_array(writer, NULL);
}

/* The answers of a pipeline one by one; false when it is none. */
static bool read_answers(const imi_rest_call_t *call, imi_json_cursor_t *out) {
    imi_slice_t document = {call->answer.data, call->answer.size};
    if (document.data == NULL || !imi_json_valid(document, ANSWER_DEPTH_MAX, NULL) ||
        imi_json_type(document) != IMI_JSON_ARRAY) {
        imi_rest_complain(call->rest, call->http_status, document); /* a page of HTML, mostly */
        return false;
    }
    *out = imi_json_walk(document);
    return true;
}

/* What became of one command: 0 and its result, or an error, which is logged unless the operation
 * itself was wrong. */
static int read_answer(upstash_t *upstash, imi_json_cursor_t *answers, imi_slice_t *out_result) {
    imi_slice_t answer, error;
    if (!imi_json_next_item(answers, &answer) || imi_json_type(answer) != IMI_JSON_OBJECT)
        return IMAGINE_EPROTOCOL;
    *out_result = imi_json_get(answer, "result");
    error = imi_json_get(answer, "error");
    if (imi_json_type(error) != IMI_JSON_STRING)
        return out_result->data == NULL ? IMAGINE_EPROTOCOL : 0;
    /* What Redis itself says, and what the service's limits say. */
    if (imi_text_has_nocase(error, "not an integer") || imi_text_has_nocase(error, "overflow") ||
        imi_text_has_nocase(error, "wrongtype"))
        return IMAGINE_EINVAL;
    imi_rest_complain(&upstash->rest, upstash->call.http_status,
                      (imi_slice_t){error.data + 1, error.size - 2});
    if (imi_text_has_nocase(error, "size exceeded"))
        return IMAGINE_ETOOLARGE;
    return imi_text_has_nocase(error, "limit exceeded") ? IMAGINE_ERATE : IMAGINE_EIO;
}

/* ---- keys and values ---- */

static void put_key(upstash_t *upstash, imi_json_writer_t *writer, const char *key,
                    size_t key_size) {
    char full[KEY_SIZE_MAX];
    size_t prefix_size = upstash->rest.prefix_size;
    memcpy(full, upstash->rest.prefix, prefix_size);
    memcpy(full + prefix_size, key, key_size);
    imi_json_put_slice(writer, NULL, (imi_slice_t){full, prefix_size + key_size});
}

static bool is_kept_as_text(const char *data, size_t size) {
    if (size >= strlen(MARK) && memcmp(data, MARK, strlen(MARK)) == 0)
        return false;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)data[i] < 0x20 && data[i] != '\t' && data[i] != '\n' && data[i] != '\r')
            return false;
    return imi_utf8_valid(data, size);
}

static void put_value(imi_json_writer_t *writer, const void *value, size_t size) {
    if (is_kept_as_text(value, size))
        imi_json_put_slice(writer, NULL, (imi_slice_t){value, size});
    else
        imi_json_put_base64(writer, NULL, MARK, value, size);
}

/* IMAGINE_EPROTOCOL for what we never wrote, and is no value therefore. */
static int read_value(imi_arena_t *arena, imi_slice_t result, const void **out, size_t *out_size) {
    size_t size = 0;
    if (imi_json_type(result) != IMI_JSON_STRING ||
        memmem(result.data, result.size, "\\u0000", 6) != NULL)
        return IMAGINE_EPROTOCOL;
    char *text = imi_json_text(arena, result, &size);
    if (text == NULL)
        return IMAGINE_ENOMEM;
    if (size >= strlen(MARK) && memcmp(text, MARK, strlen(MARK)) == 0) {
        imi_slice_t inside = {text + strlen(MARK), size - strlen(MARK)};
        text += strlen(MARK);
        if (!imi_base64_decode(text, &size, inside))
            return IMAGINE_EPROTOCOL;
    }
    *out = text;
    *out_size = size;
    return 0;
}

/* ---- a batch ---- */

static size_t start_batch(upstash_t *upstash, size_t count_max) {
    imi_storage_queue_t *queue = &upstash->rest.queue;
    imi_rest_call_t *call = &upstash->call;
    imi_json_writer_t writer;
    imi_storage_operation_t *operation = NULL;
    size_t count = 0, get_count = 0;
    begin_call(upstash, &writer, on_batch_done);
    while (count < count_max && count < BATCH_COUNT_MAX && get_count < BATCH_GET_COUNT_MAX &&
           (operation = first_of(&queue->operations)) != NULL &&
           operation->kind != IMI_STORAGE_LIST) {
        imi_json_writer_t writer_before = writer;
        size_t size_before = call->body.size;
        put_command(upstash, &writer, operation);
        bool has_room = call->body.error == 0 && call->body.size < BATCH_SIZE_MAX;
        if (!has_room && count > 0) { /* it comes first next time */
            writer = writer_before;
            call->body.size = size_before;
            call->body.error = 0;
            break;
        }
        if (operation->kind == IMI_STORAGE_ADD || operation->kind == IMI_STORAGE_SWAP)
            call->is_repeatable = false;
        get_count += operation->kind == IMI_STORAGE_GET;
        imi_list_append(&upstash->batch, &imi_storage_queue_pop(queue)->node);
        count++;
    }
    imi_json_close_array(&writer);
    int err = imi_rest_call_start(call);
    if (err != 0)
        end_batch(upstash, err);
    return count;
}

static void put_number(imi_json_writer_t *writer, int64_t number) {
    char text[IMI_STORAGE_NUMBER_SIZE];
    (void)imi_storage_format(text, number);
    imi_json_put_text(writer, NULL, text);
}

static void put_command(upstash_t *upstash, imi_json_writer_t *writer,
                        const imi_storage_operation_t *operation) {
    static const struct {
        const char *command, *script;
    } commands[] = {
        [IMI_STORAGE_GET] = {"GET", NULL},          [IMI_STORAGE_SET] = {"SET", NULL},
        [IMI_STORAGE_REMOVE] = {"DEL", NULL},       [IMI_STORAGE_ADD] = {"EVAL", ADD_SCRIPT},
        [IMI_STORAGE_SWAP] = {"EVAL", SWAP_SCRIPT},
    };
    int64_t ttl_ms = imi_rest_ttl_ms(&upstash->rest, operation->expires_unix_ms);
    imi_json_open_array(writer, NULL);
    imi_json_put_text(writer, NULL, commands[operation->kind].command);
    if (commands[operation->kind].script != NULL) {
        imi_json_put_text(writer, NULL, commands[operation->kind].script);
        imi_json_put_text(writer, NULL, "1");
    }
    put_key(upstash, writer, operation->key, operation->key_size);
    switch (operation->kind) {
    case IMI_STORAGE_SET:
        put_value(writer, operation->value, operation->value_size);
        if (ttl_ms > 0) {
            imi_json_put_text(writer, NULL, "PX");
            put_number(writer, ttl_ms);
        }
        break;
    case IMI_STORAGE_ADD:
        put_number(writer, operation->amount);
        put_number(writer, ttl_ms);
        break;
    case IMI_STORAGE_SWAP:
        imi_json_put_text(writer, NULL, operation->expected == NULL ? "0" : "1");
        put_value(writer, operation->expected == NULL ? "" : operation->expected,
                  operation->expected_size);
        imi_json_put_text(writer, NULL, operation->is_removal ? "0" : "1");
        put_value(writer, operation->value, operation->value_size);
        put_number(writer, ttl_ms);
        break;
    default:
        break;
    }
    imi_json_close_array(writer);
}

static void end_batch(upstash_t *upstash, int status) {
    imi_storage_operation_t *operation = NULL;
    while ((operation = first_of(&upstash->batch)) != NULL) {
        imi_list_remove(&operation->node);
        imi_rest_end(operation, status);
    }
}

static int read_operation(imi_storage_operation_t *operation, imi_slice_t result) {
    int64_t number = 0;
    switch (operation->kind) {
    case IMI_STORAGE_GET:
        if (imi_json_type(result) == IMI_JSON_NULL)
            return IMAGINE_ENOTFOUND;
        return read_value(&operation->answer, result, &operation->value, &operation->value_size);
    case IMI_STORAGE_ADD:
        return imi_parse_int64(imi_json_plain_text(result), &operation->amount) ? 0
                                                                                : IMAGINE_EPROTOCOL;
    case IMI_STORAGE_SWAP:
        if (!imi_json_whole_number(result, &number))
            return IMAGINE_EPROTOCOL;
        return number == 1 ? 0 : IMAGINE_ENOTFOUND;
    case IMI_STORAGE_REMOVE:
        return imi_json_whole_number(result, &number) ? 0 : IMAGINE_EPROTOCOL;
    default:
        return imi_slice_equals(imi_json_plain_text(result), "OK") ? 0 : IMAGINE_EPROTOCOL;
    }
}

static void on_batch_done(imi_rest_call_t *call, int status) {
    upstash_t *upstash = (upstash_t *)call->rest;
    imi_storage_operation_t *operation = NULL;
    imi_json_cursor_t answers;
    if (status == 0 && !read_answers(call, &answers))
        status = IMAGINE_EPROTOCOL;
    while (status == 0 && (operation = first_of(&upstash->batch)) != NULL) {
        imi_slice_t result;
        imi_list_remove(&operation->node);
        int err = read_answer(upstash, &answers, &result);
        imi_rest_end(operation, err != 0 ? err : read_operation(operation, result));
    }
    end_batch(upstash, status);
}

/* ---- a list ---- */

static void start_list(upstash_t *upstash) {
    const imagine_io_t *io = upstash->rest.queue.io;
    uint64_t seed[2] = {0, 0};
    upstash->list = imi_storage_queue_pop(&upstash->rest.queue);
    upstash->cursor[0] = '0';
    upstash->cursor[1] = '\0';
    upstash->scan_rounds = 0;
    upstash->position = 0;
    upstash->page_count_max = PAGE_COUNT;
    int err = io->random(io->context, seed, sizeof(seed));
    imi_map_init(&upstash->keys, upstash->rest.queue.mem, seed);
    if (err == 0)
        err = scan(upstash);
    if (err != 0)
        end_list(upstash, err);
}

static void end_list(upstash_t *upstash, int status) {
    imi_storage_operation_t *list = upstash->list;
    upstash->list = NULL;
    imi_rest_end(list, status); /* its entries borrow their keys */
    imi_map_reset(&upstash->keys);
}

static int scan(upstash_t *upstash) {
    imi_rest_call_t *call = &upstash->call;
    imi_storage_operation_t *list = upstash->list;
    imi_json_writer_t writer;
    char pattern[2 * KEY_SIZE_MAX + 1];
    const imi_slice_t parts[] = {{upstash->rest.prefix, upstash->rest.prefix_size},
                                 {list->key, list->key_size}};
    size_t size = 0;
    for (size_t part = 0; part < 2; part++)
        for (size_t i = 0; i < parts[part].size; i++) {
            char c = parts[part].data[i];
            if (strchr("*?[]\\", c) != NULL)
                pattern[size++] = '\\';
            pattern[size++] = c;
        }
    pattern[size++] = '*';

    begin_call(upstash, &writer, on_scanned);
    imi_json_open_array(&writer, NULL);
    imi_json_put_text(&writer, NULL, "SCAN");
    imi_json_put_text(&writer, NULL, upstash->cursor);
    imi_json_put_text(&writer, NULL, "MATCH");
    imi_json_put_slice(&writer, NULL, (imi_slice_t){pattern, size});
    imi_json_put_text(&writer, NULL, "COUNT");
    imi_json_put_text(&writer, NULL, SCAN_COUNT);
    imi_json_close_array(&writer);
    imi_json_close_array(&writer);
    return imi_rest_call_start(call);
}

/* A key that was found: without our prefix, into the map, unless it is a stranger's. */
static int note_key(upstash_t *upstash, imi_arena_t *arena, imi_slice_t item) {
    const imi_rest_t *rest = &upstash->rest;
    size_t size = 0, key_size = 0;
    if (imi_json_type(item) != IMI_JSON_STRING)
        return IMAGINE_EPROTOCOL;
    if (memmem(item.data, item.size, "\\u0000", 6) != NULL)
        return 0;
    char *text = imi_json_text(arena, item, &size);
    if (text == NULL)
        return IMAGINE_ENOMEM;
    text[size] = '\0';
    if (!imi_text_starts_with(text, rest->prefix) ||
        !imi_text_starts_with(text + rest->prefix_size, upstash->list->key) ||
        imi_storage_check_key(text + rest->prefix_size, false, &key_size) != 0)
        return 0;
    if (upstash->keys.count >= SCAN_KEYS_MAX)
        return IMAGINE_ETOOLARGE;
    return imi_map_set(&upstash->keys, text + rest->prefix_size, key_size, upstash) == 0
               ? 0
               : IMAGINE_ENOMEM;
}

static int read_scan(upstash_t *upstash) {
    imi_json_cursor_t answers, keys;
    imi_slice_t result, item;
    if (!read_answers(&upstash->call, &answers))
        return IMAGINE_EPROTOCOL;
    int err = read_answer(upstash, &answers, &result);
    if (err != 0)
        return err;
    imi_slice_t cursor = imi_json_plain_text(imi_json_get(result, "[0]"));
    imi_slice_t found = imi_json_get(result, "[1]");
    if (cursor.size == 0 || cursor.size > CURSOR_SIZE_MAX || imi_json_type(found) != IMI_JSON_ARRAY)
        return IMAGINE_EPROTOCOL;
    memcpy(upstash->cursor, cursor.data, cursor.size);
    upstash->cursor[cursor.size] = '\0';
    imi_arena_t arena;
    imi_arena_init(&arena, upstash->rest.queue.mem, 0);
    keys = imi_json_walk(found);
    while (err == 0 && imi_json_next_item(&keys, &item))
        err = note_key(upstash, &arena, item);
    imi_arena_reset(&arena);
    return err;
}

static void on_scanned(imi_rest_call_t *call, int status) {
    upstash_t *upstash = (upstash_t *)call->rest;
    if (status == 0)
        status = read_scan(upstash);
    bool is_complete = strcmp(upstash->cursor, "0") == 0;
    if (status == 0 && !is_complete && ++upstash->scan_rounds >= SCAN_ROUNDS_MAX)
        status = IMAGINE_EPROTOCOL;
    if (status == 0 && is_complete && upstash->keys.count == 0)
        end_list(upstash, 0);
    else if (status != 0 || (status = is_complete ? fetch(upstash) : scan(upstash)) != 0)
        end_list(upstash, status);
}

static int fetch(upstash_t *upstash) {
    imi_rest_call_t *call = &upstash->call;
    const imi_map_entry_t *entry = NULL;
    size_t position = upstash->position;
    imi_json_writer_t writer;
    begin_call(upstash, &writer, on_fetched);
    imi_json_open_array(&writer, NULL);
    imi_json_put_text(&writer, NULL, "MGET");
    for (upstash->page_count = 0; upstash->page_count < upstash->page_count_max &&
                                  imi_map_next(&upstash->keys, &position, &entry);
         upstash->page_count++)
        put_key(upstash, &writer, entry->key, entry->key_size);
    imi_json_close_array(&writer);
    imi_json_close_array(&writer);
    return imi_rest_call_start(call);
}

static int read_page(upstash_t *upstash) {
    imi_storage_operation_t *list = upstash->list;
    imi_json_cursor_t answers, values;
    imi_slice_t result, item;
    if (!read_answers(&upstash->call, &answers))
        return IMAGINE_EPROTOCOL;
    int err = read_answer(upstash, &answers, &result);
    if (err != 0)
        return err;
    values = imi_json_walk(result);
    list->entries = imi_arena_alloc(&list->answer, upstash->page_count * sizeof(*list->entries));
    if (list->entries == NULL)
        return IMAGINE_ENOMEM;
    for (size_t i = 0; i < upstash->page_count; i++) {
        const imi_map_entry_t *entry = NULL;
        imagine_storage_entry_t *out = &list->entries[list->entry_count];
        if (imi_json_type(result) != IMI_JSON_ARRAY || !imi_json_next_item(&values, &item))
            return IMAGINE_EPROTOCOL;
        (void)imi_map_next(&upstash->keys, &upstash->position, &entry);
        *out = (imagine_storage_entry_t){.key = entry->key};
        err = read_value(&list->answer, item, &out->value, &out->value_size);
        if (err == IMAGINE_ENOMEM)
            return err;
        list->entry_count += err == 0; /* else it has just gone, or was never ours */
    }
    return 0;
}

static void on_fetched(imi_rest_call_t *call, int status) {
    upstash_t *upstash = (upstash_t *)call->rest;
    const imi_map_entry_t *entry = NULL;
    if (status == IMAGINE_ETOOLARGE && upstash->page_count > 1) {
        upstash->page_count_max = upstash->page_count / 2;
        status = fetch(upstash);
        if (status != 0)
            end_list(upstash, status);
        return;
    }
    if (status == 0)
        status = read_page(upstash);
    size_t position = upstash->position;
    if (status == 0 && imi_map_next(&upstash->keys, &position, &entry)) {
        imi_storage_operation_deliver(upstash->list);
        status = fetch(upstash);
        if (status == 0)
            return;
    }
    end_list(upstash, status);
}
