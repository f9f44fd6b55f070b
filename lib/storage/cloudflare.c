/* cloudflare.c: "cloudflare:https://:token@…/accounts/<id>/storage/kv/namespaces/<id>", Workers KV
 * over Cloudflare's REST interface.
 *
 * It has no atomic step and shows others a change up to a minute late. So this driver has no
 * `swap`, and its `add` reads and writes: right while one process alone adds, and kept for that;
 * whoever counts or locks across processes must look at the flags, which lack
 * IMAGINE_STORAGE_IS_ATOMIC.
 *
 * Up to CALLS_MAX operations are under way at once, never two on one key, and a list alone:
 *
 *   a page of names --> those whose record came along, then the others one by one --> next page
 *
 * A record is what is kept under a name: "1 <expires, Unix ms, or 0> <size of the key>\n", the key,
 * the value. The service counts times to live in seconds, and from 60 on: the record knows better.
 * A small one is put into the name's metadata too, where a list shows it without a request for
 * each. Records that are not ours are passed over by lists.
 *
 * A name is the key behind our prefix, with =XX for bytes that a name may not hold or another
 * program might change. One that is too long ends with "=~" and a hash; the key is in the record.
 */
#include <inttypes.h>
#include <string.h>

#include "storage/drivers.h"
#include "storage/rest.h"
#include "wire/base64.h"
#include "wire/json.h"
#include "wire/multipart.h"
#include "wire/sha256.h"
#include "wire/str.h"

#define CALLS_MAX 6 /* at once */
#define LOOK_MAX 64 /* past so many that must wait for their key */
#define NAME_SIZE_MAX 512
#define NAME_STEM_SIZE 440 /* of a name with a hash */
#define NAME_MARK "=~"
#define TTL_MIN_S 60
#define METADATA_SIZE_MAX 1024
#define METADATA_FRAME_SIZE 8 /* {"v":""} */
#define RECORD_HEAD_SIZE_MAX 64
#define RECORD_SIZE_MAX \
    (RECORD_HEAD_SIZE_MAX + IMAGINE_STORAGE_KEY_SIZE_MAX + IMAGINE_STORAGE_VALUE_SIZE_MAX)
#define SHORT_ANSWER_SIZE_MAX (64 * 1024)
#define PAGE_ANSWER_SIZE_MAX (16 * 1024 * 1024)
#define PAGE_COUNT 1000
#define PAGES_MAX 10000
#define ANSWER_DEPTH_MAX 32
#define KEY_NOT_FOUND 10009 /* of the error codes that come with a 404, the harmless one */

enum { READ, READ_TO_ADD, WRITE, REMOVE, LIST_PAGE, LIST_READ };

typedef struct slot {
    imi_rest_call_t call; /* first */
    int step;
    imi_storage_operation_t *operation; /* NULL: free */
    const char *name;                   /* LIST_READ: of what */
    imi_arena_t arena;
} slot_t;

typedef struct cloudflare {
    imi_rest_t rest; /* first, see rest.h */
    slot_t slots[CALLS_MAX];
    /* A list, while it is under way: */
    imi_storage_operation_t *list;
    int list_status;
    size_t pages;
    imi_buf_t cursor; /* percent-encoded; empty: there is no further page */
    imi_arena_t page;
    const char **names; /* of this page, whose records are still to be read */
    size_t name_count, name_at;
} cloudflare_t;

/* A view into somebody's bytes. */
typedef struct record {
    int64_t expires_unix_ms;
    imi_slice_t key, value;
} record_t;

static void pump(imi_rest_t *rest);
static void abandon(imi_rest_t *rest);
static void reset(imi_rest_t *rest);
static void start_operation(slot_t *slot, imi_storage_operation_t *operation);
static void on_done(imi_rest_call_t *call, int status);
static void start_list(cloudflare_t *cloudflare, imi_storage_operation_t *operation);
static void on_page(slot_t *slot, int status);
static void on_listed_record(slot_t *slot, int status);
static void go_on_listing(cloudflare_t *cloudflare);

static int start(void *self, const imagine_io_t *io) {
    int err = imi_rest_start(self, io);
    if (err == 0 && io->log != NULL)
        io->log(io->context, IMAGINE_LOG_INFO,
                "storage.weak driver=cloudflare atomic=0 visible_after_s=60 "
                "reason=\"limits are counted and work is claimed by each process alone\"");
    return err;
}

static const imi_rest_kind_t kind = {.name = "cloudflare",
                                     .scheme = "cloudflare:",
                                     .pump = pump,
                                     .abandon = abandon,
                                     .reset = reset};

static const imagine_storage_driver_t cloudflare_driver = {
    .size = sizeof(imagine_storage_driver_t),
    .name = "cloudflare",
    .flags = IMAGINE_STORAGE_IS_SHARED,
    .start = start,
    .get = imi_storage_queue_get,
    .set = imi_storage_queue_set,
    .remove = imi_storage_queue_remove,
    .add = imi_storage_queue_add,
    .list = imi_storage_queue_list,
    .close = imi_rest_close,
};

int imi_cloudflare_open(const imi_mem_t *mem, const char *url,
                        const imagine_storage_driver_t **out_driver, void **out_self,
                        const char **out_reason) {
    static const char folder[] = "/storage/kv/namespaces/";
    const char *place = strstr(url, folder);
    if (strstr(url, "/accounts/") == NULL || place == NULL ||
        strchr("/?#", place[strlen(folder)]) != NULL) { /* or nothing: its NUL is found, too */
        *out_reason = "the address must end with /accounts/<id>/storage/kv/namespaces/<id>";
        return IMAGINE_EINVAL;
    }
    cloudflare_t *cloudflare = imi_mem_zalloc(mem, sizeof(*cloudflare));
    if (cloudflare == NULL)
        return IMAGINE_ENOMEM;
    int err = imi_rest_init(&cloudflare->rest, mem, &kind, url, out_reason);
    if (err != 0) {
        imi_mem_free(mem, cloudflare);
        return err;
    }
    for (size_t i = 0; i < CALLS_MAX; i++) {
        imi_rest_call_init(&cloudflare->slots[i].call, &cloudflare->rest, on_done);
        imi_arena_init(&cloudflare->slots[i].arena, mem, 0);
    }
    imi_buf_init(&cloudflare->cursor, mem, 0);
    imi_arena_init(&cloudflare->page, mem, 0);
    *out_driver = &cloudflare_driver;
    *out_self = cloudflare;
    return 0;
}

static cloudflare_t *owner_of(const slot_t *slot) {
    return (cloudflare_t *)slot->call.rest;
}

static void free_slot(slot_t *slot) {
    imi_rest_call_reset(&slot->call);
    imi_arena_reset(&slot->arena);
    slot->operation = NULL;
}

static void reset(imi_rest_t *rest) {
    cloudflare_t *cloudflare = (cloudflare_t *)rest;
    for (size_t i = 0; i < CALLS_MAX; i++)
        free_slot(&cloudflare->slots[i]);
    imi_buf_reset(&cloudflare->cursor);
    imi_arena_reset(&cloudflare->page);
}

static slot_t *find_slot(cloudflare_t *cloudflare) {
    for (size_t i = 0; i < CALLS_MAX; i++)
        if (cloudflare->slots[i].operation == NULL)
            return &cloudflare->slots[i];
    return NULL;
}

/* ---- what may start ---- */

static bool has_key_of(const imi_storage_operation_t *a, const imi_storage_operation_t *b) {
    return a->key_size == b->key_size && memcmp(a->key, b->key, a->key_size) == 0;
}

static bool must_wait(cloudflare_t *cloudflare, const imi_storage_operation_t *operation) {
    for (size_t i = 0; i < CALLS_MAX; i++)
        if (cloudflare->slots[i].operation != NULL &&
            has_key_of(cloudflare->slots[i].operation, operation))
            return true;
    for (const imi_list_t *node = cloudflare->rest.queue.operations.next; node != &operation->node;
         node = node->next) /* all in front of it wait themselves */
        if (has_key_of(IMI_CONTAINER(node, imi_storage_operation_t, node), operation))
            return true;
    return false;
}

static void pump(imi_rest_t *rest) {
    cloudflare_t *cloudflare = (cloudflare_t *)rest;
    imi_storage_queue_t *queue = &rest->queue;
    size_t left = queue->count; /* what callbacks ask for has its own turn */
    int refusal = imi_rest_refusal(rest);
    for (; refusal != 0 && left > 0; left--)
        imi_rest_end(imi_storage_queue_pop(queue), refusal);

    imi_list_t *node = queue->operations.next;
    for (size_t looked = 0; left > 0 && looked < LOOK_MAX && cloudflare->list == NULL; left--) {
        imi_storage_operation_t *operation = IMI_CONTAINER(node, imi_storage_operation_t, node);
        slot_t *slot = find_slot(cloudflare);
        bool is_list = operation->kind == IMI_STORAGE_LIST;
        if (slot == NULL || (is_list && rest->call_count > 0))
            return; /* a list waits for all before it, and all behind it wait for the list */
        node = node->next;
        if (!is_list && must_wait(cloudflare, operation)) {
            looked++;
            continue;
        }
        imi_storage_queue_take(queue, operation);
        if (is_list)
            start_list(cloudflare, operation);
        else
            start_operation(slot, operation);
    }
}

static void end_list(cloudflare_t *cloudflare, int status) {
    imi_storage_operation_t *list = cloudflare->list;
    cloudflare->list = NULL;
    imi_buf_reset(&cloudflare->cursor);
    imi_arena_reset(&cloudflare->page);
    imi_rest_end(list, status);
}

static void abandon(imi_rest_t *rest) {
    cloudflare_t *cloudflare = (cloudflare_t *)rest;
    for (size_t i = 0; i < CALLS_MAX; i++) {
        imi_storage_operation_t *operation = cloudflare->slots[i].operation;
        free_slot(&cloudflare->slots[i]);
        if (operation != NULL && operation != cloudflare->list)
            imi_rest_end(operation, IMAGINE_ECLOSED);
    }
    if (cloudflare->list != NULL)
        end_list(cloudflare, IMAGINE_ECLOSED);
}

/* ---- names ---- */

/* Escapes prefix and key; `out` has room for three times as much. */
static size_t escape(char *out, const imi_rest_t *rest, const char *key, size_t key_size) {
    static const char digits[] = "0123456789ABCDEF";
    const imi_slice_t parts[] = {{rest->prefix, rest->prefix_size}, {key, key_size}};
    size_t size = 0;
    for (size_t part = 0; part < 2; part++)
        for (size_t i = 0; i < parts[part].size; i++) {
            unsigned char c = (unsigned char)parts[part].data[i];
            /* "." and ".." alone are no names. */
            if (c > 0x20 && c < 0x7f && c != '=' && (c != '.' || size > 0)) {
                out[size++] = (char)c;
                continue;
            }
            out[size++] = '=';
            out[size++] = digits[c >> 4];
            out[size++] = digits[c & 15];
        }
    return size;
}

#define ESCAPED_SIZE_MAX (3 * 2 * IMAGINE_STORAGE_KEY_SIZE_MAX)

static void make_name(char out[NAME_SIZE_MAX + 1], const imi_rest_t *rest, const char *key,
                      size_t key_size) {
    char escaped[ESCAPED_SIZE_MAX];
    size_t size = escape(escaped, rest, key, key_size);
    if (size > NAME_SIZE_MAX) {
        uint8_t hash[IMI_SHA256_SIZE];
        imi_sha256(hash, escaped, size);
        memcpy(escaped + NAME_STEM_SIZE, NAME_MARK, strlen(NAME_MARK));
        imi_hex(escaped + NAME_STEM_SIZE + strlen(NAME_MARK), hash, sizeof(hash));
        size = NAME_STEM_SIZE + strlen(NAME_MARK) + 2 * sizeof(hash);
    }
    memcpy(out, escaped, size);
    out[size] = '\0';
}

/* ---- records ---- */

static void put_record(imi_buf_t *out, const record_t *record) {
    bool is_mortal = record->expires_unix_ms != IMI_STORAGE_FOREVER;
    imi_buf_printf(out, "1 %" PRId64 " %zu\n", is_mortal ? record->expires_unix_ms : 0,
                   record->key.size);
    imi_buf_append(out, record->key.data, record->key.size);
    imi_buf_append(out, record->value.data, record->value.size);
}

/* False: it is none of ours. */
static bool read_record(imi_slice_t bytes, record_t *out) {
    const char *line_end = bytes.size == 0 ? NULL : memchr(bytes.data, '\n', bytes.size);
    imi_slice_t version, expires, size_text;
    int64_t size = 0;
    if (line_end == NULL)
        return false;
    imi_slice_t head = {bytes.data, (size_t)(line_end - bytes.data)};
    imi_slice_t rest = {line_end + 1, bytes.size - head.size - 1};
    if (!imi_slice_split(&head, ' ', &version) || !imi_slice_equals(version, "1") ||
        !imi_slice_split(&head, ' ', &expires) ||
        !imi_parse_int64(expires, &out->expires_unix_ms) ||
        !imi_slice_split(&head, ' ', &size_text) || !imi_parse_int64(size_text, &size) ||
        head.size > 0 || out->expires_unix_ms < 0 || size < 1 ||
        size > IMAGINE_STORAGE_KEY_SIZE_MAX || (size_t)size > rest.size)
        return false;
    if (out->expires_unix_ms == 0)
        out->expires_unix_ms = IMI_STORAGE_FOREVER;
    out->key = (imi_slice_t){rest.data, (size_t)size};
    out->value = (imi_slice_t){rest.data + size, rest.size - (size_t)size};
    return true;
}

/* ---- requests ---- */

/* Its address may be gone on with; imi_rest_call_start() is the caller's. `name` NULL: no value's.
 */
static void begin_call(slot_t *slot, int step, const char *method, const char *name) {
    imi_rest_call_t *call = &slot->call;
    imi_rest_call_reset(call);
    slot->step = step;
    call->method = method;
    call->content_type = NULL;
    call->is_repeatable = true; /* carried out twice, each leaves behind what it would have once */
    call->is_absence_fine = step != LIST_PAGE && step != WRITE;
    call->answer_size_max = step == LIST_PAGE                 ? PAGE_ANSWER_SIZE_MAX
                            : step == WRITE || step == REMOVE ? SHORT_ANSWER_SIZE_MAX
                                                              : RECORD_SIZE_MAX;
    imi_buf_append_text(&call->url, call->rest->base);
    imi_buf_append_text(&call->url, name == NULL ? "/keys" : "/values/");
    if (name != NULL)
        imi_percent_encode(&call->url, name, false);
}

/* The record in call->body becomes a form: itself, and in base64 as the name's metadata. */
static int add_metadata(slot_t *slot) {
    imi_rest_call_t *call = &slot->call;
    const imagine_io_t *io = call->rest->queue.io;
    unsigned char random[16];
    imi_multipart_body_t form;
    imi_buf_t metadata, body;
    if (imi_base64_encoded_size(call->body.size) + METADATA_FRAME_SIZE > METADATA_SIZE_MAX)
        return 0;
    int err = io->random(io->context, random, sizeof(random));
    if (err != 0)
        return err;
    imi_buf_init(&metadata, call->rest->queue.mem, 0);
    imi_buf_init(&body, call->rest->queue.mem, 0);
    imi_buf_append_text(&metadata, "{\"v\":\"");
    imi_base64_encode(&metadata, call->body.data, call->body.size);
    imi_buf_append_text(&metadata, "\"}");
    err = metadata.error == 0 ? 0 : IMAGINE_ENOMEM;
    if (err == 0) {
        imi_multipart_body_init(&form, &slot->arena, random);
        imi_multipart_body_field(&form, "metadata", metadata.data);
        imi_multipart_body_file(&form, "value", NULL, NULL, call->body.data, call->body.size);
        imi_multipart_body_end(&form);
        for (size_t i = 0; form.error == 0 && i < form.slice_count; i++)
            imi_buf_append(&body, form.slices[i].data, form.slices[i].size);
        call->content_type = imi_multipart_body_content_type(&form);
        if (form.error != 0 || body.error != 0 || call->content_type == NULL) {
            err = IMAGINE_ENOMEM;
        } else {
            imi_buf_t record = call->body;
            call->body = body;
            body = record;
        }
    }
    imi_buf_reset(&metadata);
    imi_buf_reset(&body);
    return err;
}

static int start_write(slot_t *slot, imi_slice_t value, int64_t expires_unix_ms) {
    imi_rest_call_t *call = &slot->call;
    const imi_storage_operation_t *operation = slot->operation;
    const record_t record = {
        .expires_unix_ms = expires_unix_ms,
        .key = {operation->key, operation->key_size},
        .value = value,
    };
    char name[NAME_SIZE_MAX + 1];
    int64_t ttl_ms = imi_rest_ttl_ms(call->rest, expires_unix_ms);
    int64_t ttl_s = ttl_ms / 1000 + 1;
    make_name(name, call->rest, operation->key, operation->key_size);
    begin_call(slot, WRITE, "PUT", name);
    if (ttl_ms > 0)
        imi_buf_printf(&call->url, "?expiration_ttl=%" PRId64,
                       ttl_s < TTL_MIN_S ? TTL_MIN_S : ttl_s);
    put_record(&call->body, &record);
    call->content_type = "application/octet-stream";
    int err = call->body.error == 0 ? add_metadata(slot) : IMAGINE_ENOMEM;
    return err == 0 ? imi_rest_call_start(call) : err;
}

/* ---- get, set, remove, add ---- */

static void end_operation(slot_t *slot, int status) {
    imi_storage_operation_t *operation = slot->operation;
    imi_rest_end(operation, status); /* its answer may borrow from the slot */
    free_slot(slot);
}

static void start_operation(slot_t *slot, imi_storage_operation_t *operation) {
    int err = 0;
    slot->operation = operation;
    if (operation->kind == IMI_STORAGE_SET) {
        err = start_write(slot, (imi_slice_t){operation->value, operation->value_size},
                          operation->expires_unix_ms);
    } else {
        bool is_removal = operation->kind == IMI_STORAGE_REMOVE;
        char name[NAME_SIZE_MAX + 1];
        make_name(name, slot->call.rest, operation->key, operation->key_size);
        begin_call(slot,
                   is_removal                           ? REMOVE
                   : operation->kind == IMI_STORAGE_ADD ? READ_TO_ADD
                                                        : READ,
                   is_removal ? "DELETE" : "GET", name);
        err = imi_rest_call_start(&slot->call);
    }
    if (err != 0)
        end_operation(slot, err);
}

/* What an answer of the API itself says: 0, or an error that was logged. */
static int read_envelope(slot_t *slot, imi_slice_t *out) {
    imi_rest_call_t *call = &slot->call;
    bool is_success = false;
    *out = (imi_slice_t){call->answer.data, call->answer.size};
    if (out->data != NULL && imi_json_valid(*out, ANSWER_DEPTH_MAX, NULL) &&
        imi_json_bool(imi_json_get(*out, "success"), &is_success) && is_success)
        return 0;
    imi_rest_complain(call->rest, call->http_status, *out);
    return IMAGINE_EPROTOCOL;
}

/* A 404 says that the key is not there, or that it is no use to ask for any. */
static int read_absence(slot_t *slot) {
    imi_rest_call_t *call = &slot->call;
    imi_slice_t document = {call->answer.data, call->answer.size};
    int64_t code = KEY_NOT_FOUND;
    if (document.data == NULL || !imi_json_valid(document, ANSWER_DEPTH_MAX, NULL) ||
        !imi_json_whole_number(imi_json_get(document, "errors[0].code"), &code) ||
        code == KEY_NOT_FOUND)
        return IMAGINE_ENOTFOUND;
    imi_rest_complain(call->rest, call->http_status, document);
    return IMAGINE_EIO;
}

/* The record that was read. IMAGINE_ENOTFOUND: it has expired. IMAGINE_EPROTOCOL: it is a
 * stranger's. */
static int read_answer(slot_t *slot, record_t *out) {
    const imi_storage_operation_t *operation = slot->operation;
    imi_slice_t bytes = {slot->call.answer.data, slot->call.answer.size};
    if (!read_record(bytes, out) || out->key.size != operation->key_size ||
        memcmp(out->key.data, operation->key, operation->key_size) != 0)
        return IMAGINE_EPROTOCOL;
    return out->expires_unix_ms > operation->asked_unix_ms ? 0 : IMAGINE_ENOTFOUND;
}

static int write_sum(slot_t *slot, int status) {
    imi_storage_operation_t *operation = slot->operation;
    record_t record = {.expires_unix_ms = operation->expires_unix_ms};
    char text[IMI_STORAGE_NUMBER_SIZE];
    int64_t sum = operation->amount;
    if (status == 0)
        status = read_answer(slot, &record);
    if (status == IMAGINE_ENOTFOUND)
        record.expires_unix_ms = operation->expires_unix_ms;
    else if (status == 0)
        status = imi_storage_sum(record.value.data, record.value.size, sum, &sum);
    if (status != 0 && status != IMAGINE_ENOTFOUND)
        return status;
    operation->amount = sum;
    return start_write(slot, (imi_slice_t){text, imi_storage_format(text, sum)},
                       record.expires_unix_ms);
}

static void on_done(imi_rest_call_t *call, int status) {
    slot_t *slot = (slot_t *)call;
    imi_storage_operation_t *operation = slot->operation;
    imi_slice_t envelope;
    record_t record;
    if (status == IMAGINE_ENOTFOUND)
        status = call->is_absence_fine ? read_absence(slot) : IMAGINE_EIO;
    switch (slot->step) {
    case READ:
        if (status == 0)
            status = read_answer(slot, &record);
        if (status == 0) {
            operation->value = record.value.data;
            operation->value_size = record.value.size;
        }
        end_operation(slot, status);
        break;
    case READ_TO_ADD:
        status = write_sum(slot, status);
        if (status != 0)
            end_operation(slot, status);
        break;
    case LIST_PAGE:
        on_page(slot, status);
        break;
    case LIST_READ:
        on_listed_record(slot, status);
        break;
    default: /* removing what is not there succeeds */
        if (status == 0)
            status = read_envelope(slot, &envelope);
        end_operation(slot, status == IMAGINE_ENOTFOUND ? 0 : status);
        break;
    }
}

/* ---- list ---- */

static int start_page(cloudflare_t *cloudflare);

static void start_list(cloudflare_t *cloudflare, imi_storage_operation_t *operation) {
    cloudflare->list = operation;
    cloudflare->list_status = 0;
    cloudflare->pages = 0;
    int err = start_page(cloudflare);
    if (err != 0)
        end_list(cloudflare, err);
}

static int start_page(cloudflare_t *cloudflare) {
    slot_t *slot = &cloudflare->slots[0]; /* a list is alone */
    imi_buf_t *url = &slot->call.url;
    char prefix[ESCAPED_SIZE_MAX + 1];
    size_t size =
        escape(prefix, &cloudflare->rest, cloudflare->list->key, cloudflare->list->key_size);
    prefix[size < NAME_STEM_SIZE ? size : NAME_STEM_SIZE] = '\0';
    cloudflare->name_count = cloudflare->name_at = 0;
    imi_arena_reset(&cloudflare->page);
    begin_call(slot, LIST_PAGE, "GET", NULL);
    imi_buf_printf(url, "?limit=%d", PAGE_COUNT);
    if (prefix[0] != '\0') {
        imi_buf_append_text(url, "&prefix=");
        imi_percent_encode(url, prefix, false);
    }
    if (cloudflare->cursor.size > 0) {
        imi_buf_append_text(url, "&cursor=");
        imi_buf_append(url, cloudflare->cursor.data, cloudflare->cursor.size);
    }
    int err = imi_rest_call_start(&slot->call);
    if (err == 0)
        slot->operation = cloudflare->list;
    return err;
}

/* Is this the record of that name, and one that the list is to show? */
static bool is_wanted(const cloudflare_t *cloudflare, const char *name, const record_t *record) {
    const imi_storage_operation_t *list = cloudflare->list;
    char own_name[NAME_SIZE_MAX + 1];
    if (record->key.size < list->key_size ||
        memcmp(record->key.data, list->key, list->key_size) != 0 ||
        record->expires_unix_ms <= list->asked_unix_ms)
        return false;
    make_name(own_name, &cloudflare->rest, record->key.data, record->key.size);
    return strcmp(name, own_name) == 0;
}

/* The record's bytes stay until the entries are delivered; its key gets a NUL. */
static int add_entry(cloudflare_t *cloudflare, const record_t *record) {
    imi_storage_operation_t *list = cloudflare->list;
    char *key = imi_arena_strndup(&list->answer, record->key.data, record->key.size);
    if (key == NULL)
        return IMAGINE_ENOMEM;
    list->entries[list->entry_count++] = (imagine_storage_entry_t){
        .key = key, .value = record->value.data, .value_size = record->value.size};
    return 0;
}

/* A name and its metadata: at once an entry, or to be read, or nothing that we know. */
static int read_item(cloudflare_t *cloudflare, imi_slice_t item) {
    imi_arena_t *arena = &cloudflare->list->answer;
    imi_slice_t metadata = imi_json_plain_text(imi_json_get(item, "metadata.v"));
    imi_slice_t text = imi_json_get(item, "name");
    record_t record;
    size_t size = 0;
    if (imi_json_type(text) != IMI_JSON_STRING)
        return IMAGINE_EPROTOCOL;
    char *name = imi_json_text(&cloudflare->page, text, NULL);
    if (name == NULL)
        return memmem(text.data, text.size, "\\u0000", 6) != NULL ? 0 : IMAGINE_ENOMEM;
    if (metadata.data == NULL) {
        cloudflare->names[cloudflare->name_count++] = name;
        return 0;
    }
    char *bytes = imi_arena_alloc(arena, imi_base64_decoded_size_max(metadata.size) + 1);
    if (bytes == NULL)
        return IMAGINE_ENOMEM;
    if (!imi_base64_decode(bytes, &size, metadata) ||
        !read_record((imi_slice_t){bytes, size}, &record) || !is_wanted(cloudflare, name, &record))
        return 0;
    return add_entry(cloudflare, &record);
}

static int read_page(cloudflare_t *cloudflare, slot_t *slot) {
    imi_storage_operation_t *list = cloudflare->list;
    imi_slice_t document, item;
    size_t count = 0;
    int err = read_envelope(slot, &document);
    if (err != 0)
        return err;
    imi_slice_t found = imi_json_get(document, "result");
    imi_slice_t cursor = imi_json_get(document, "result_info.cursor");
    if (cursor.data == NULL) /* which of the two depends on whom one asks */
        cursor = imi_json_get(document, "result_info.cursors.after");
    if (imi_json_type(found) != IMI_JSON_ARRAY)
        return IMAGINE_EPROTOCOL;
    list->entries = imi_arena_alloc(&list->answer, PAGE_COUNT * sizeof(*list->entries));
    cloudflare->names = imi_arena_alloc(&cloudflare->page, PAGE_COUNT * sizeof(*cloudflare->names));
    if (list->entries == NULL || cloudflare->names == NULL)
        return IMAGINE_ENOMEM;
    imi_json_cursor_t items = imi_json_walk(found);
    while (err == 0 && imi_json_next_item(&items, &item))
        err = count++ < PAGE_COUNT ? read_item(cloudflare, item) : IMAGINE_EPROTOCOL;
    imi_buf_clear(&cloudflare->cursor);
    if (err == 0 && imi_json_type(cursor) == IMI_JSON_STRING) {
        const char *text = imi_json_text(&cloudflare->page, cursor, NULL);
        if (text == NULL || imi_percent_encode(&cloudflare->cursor, text, false) != 0)
            err = IMAGINE_ENOMEM;
    }
    return err;
}

static void on_page(slot_t *slot, int status) {
    cloudflare_t *cloudflare = owner_of(slot);
    if (status == 0)
        status = read_page(cloudflare, slot);
    free_slot(slot);
    if (status == 0 && ++cloudflare->pages >= PAGES_MAX)
        status = IMAGINE_ETOOLARGE;
    if (status == 0)
        imi_storage_operation_deliver(cloudflare->list);
    cloudflare->list_status = status;
    go_on_listing(cloudflare);
}

static void on_listed_record(slot_t *slot, int status) {
    cloudflare_t *cloudflare = owner_of(slot);
    imi_storage_operation_t *list = cloudflare->list;
    imi_slice_t bytes = {slot->call.answer.data, slot->call.answer.size};
    record_t record;
    if (status == 0 && read_record(bytes, &record) && is_wanted(cloudflare, slot->name, &record)) {
        list->entries = imi_arena_alloc(&list->answer, sizeof(*list->entries));
        status = list->entries == NULL ? IMAGINE_ENOMEM : add_entry(cloudflare, &record);
        if (status == 0 && cloudflare->list_status == 0)
            imi_storage_operation_deliver(list);
    }
    free_slot(slot);
    if (status != 0 && status != IMAGINE_ENOTFOUND) /* it may just have gone */
        cloudflare->list_status = status;
    go_on_listing(cloudflare);
}

static int start_reading(cloudflare_t *cloudflare, slot_t *slot) {
    slot->name = cloudflare->names[cloudflare->name_at++];
    begin_call(slot, LIST_READ, "GET", slot->name);
    int err = imi_rest_call_start(&slot->call);
    if (err == 0)
        slot->operation = cloudflare->list;
    return err;
}

/* After an error what is under way is waited for, and nothing more begun. */
static void go_on_listing(cloudflare_t *cloudflare) {
    slot_t *slot = NULL;
    while (cloudflare->list_status == 0 && cloudflare->name_at < cloudflare->name_count &&
           (slot = find_slot(cloudflare)) != NULL)
        cloudflare->list_status = start_reading(cloudflare, slot);
    if (cloudflare->rest.call_count > 0)
        return;
    if (cloudflare->list_status == 0 && cloudflare->cursor.size > 0)
        cloudflare->list_status = start_page(cloudflare);
    if (cloudflare->rest.call_count == 0)
        end_list(cloudflare, cloudflare->list_status);
}
