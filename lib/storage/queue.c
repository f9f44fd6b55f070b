/* queue.c: from the call to the callback, without the part in between.
 *
 *   ask: check, copy, append, wake the driver --> the driver pops, performs --> end: call back,
 * free
 *
 * The clock is read once per operation, when it is asked for. */
#include "storage/queue.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "wire/str.h"

typedef struct bytes {
    const void *data; /* NULL: none */
    size_t size;
} bytes_t;

#define NOTHING ((bytes_t){NULL, 0})

static int ask(imi_storage_queue_t *queue, int kind, const char *key, bytes_t value,
               bytes_t expected, imi_storage_operation_t **out);
static int submit(imi_storage_queue_t *queue, imi_storage_operation_t *operation, uint64_t ttl_ms);

void imi_storage_queue_init(imi_storage_queue_t *queue, const imi_mem_t *mem,
                            int (*wake)(imi_storage_queue_t *queue)) {
    *queue = (imi_storage_queue_t){.mem = mem, .wake = wake};
    imi_list_init(&queue->operations);
}

int imi_storage_queue_get(void *self, const char *key, imagine_storage_get_cb done, void *user) {
    imi_storage_queue_t *queue = self;
    imi_storage_operation_t *operation = NULL;
    int err = done == NULL ? IMAGINE_EINVAL
                           : ask(queue, IMI_STORAGE_GET, key, NOTHING, NOTHING, &operation);
    if (err != 0)
        return err;
    operation->callback.get = done;
    operation->user = user;
    return submit(queue, operation, 0);
}

int imi_storage_queue_set(void *self, const char *key, const void *value, size_t value_size,
                          uint64_t ttl_ms, imagine_storage_done_cb done, void *user) {
    imi_storage_queue_t *queue = self;
    imi_storage_operation_t *operation = NULL;
    int err = done == NULL ? IMAGINE_EINVAL
                           : ask(queue, IMI_STORAGE_SET, key, (bytes_t){value, value_size}, NOTHING,
                                 &operation);
    if (err != 0)
        return err;
    operation->callback.done = done;
    operation->user = user;
    return submit(queue, operation, ttl_ms);
}

int imi_storage_queue_remove(void *self, const char *key, imagine_storage_done_cb done,
                             void *user) {
    imi_storage_queue_t *queue = self;
    imi_storage_operation_t *operation = NULL;
    int err = done == NULL ? IMAGINE_EINVAL
                           : ask(queue, IMI_STORAGE_REMOVE, key, NOTHING, NOTHING, &operation);
    if (err != 0)
        return err;
    operation->callback.done = done;
    operation->user = user;
    return submit(queue, operation, 0);
}

int imi_storage_queue_add(void *self, const char *key, int64_t amount, uint64_t ttl_ms,
                          imagine_storage_add_cb done, void *user) {
    imi_storage_queue_t *queue = self;
    imi_storage_operation_t *operation = NULL;
    int err = done == NULL ? IMAGINE_EINVAL
                           : ask(queue, IMI_STORAGE_ADD, key, NOTHING, NOTHING, &operation);
    if (err != 0)
        return err;
    operation->callback.add = done;
    operation->user = user;
    operation->amount = amount;
    return submit(queue, operation, ttl_ms);
}

int imi_storage_queue_list(void *self, const char *prefix, imagine_storage_list_cb done,
                           void *user) {
    imi_storage_queue_t *queue = self;
    imi_storage_operation_t *operation = NULL;
    int err = done == NULL ? IMAGINE_EINVAL
                           : ask(queue, IMI_STORAGE_LIST, prefix, NOTHING, NOTHING, &operation);
    if (err != 0)
        return err;
    operation->callback.list = done;
    operation->user = user;
    return submit(queue, operation, 0);
}

int imi_storage_queue_swap(void *self, const char *key, const void *expected, size_t expected_size,
                           const void *value, size_t value_size, uint64_t ttl_ms,
                           imagine_storage_done_cb done, void *user) {
    imi_storage_queue_t *queue = self;
    imi_storage_operation_t *operation = NULL;
    int err = done == NULL ? IMAGINE_EINVAL
                           : ask(queue, IMI_STORAGE_SWAP, key, (bytes_t){value, value_size},
                                 (bytes_t){expected, expected_size}, &operation);
    if (err != 0)
        return err;
    operation->callback.done = done;
    operation->user = user;
    operation->is_removal = value == NULL;
    return submit(queue, operation, ttl_ms);
}

static int ask(imi_storage_queue_t *queue, int kind, const char *key, bytes_t value,
               bytes_t expected, imi_storage_operation_t **out) {
    size_t key_size = 0;
    if (queue->io == NULL || imi_storage_check_key(key, kind == IMI_STORAGE_LIST, &key_size) != 0)
        return IMAGINE_EINVAL;
    if ((value.data == NULL && value.size > 0) || (expected.data == NULL && expected.size > 0))
        return IMAGINE_EINVAL;
    if (value.size > IMAGINE_STORAGE_VALUE_SIZE_MAX ||
        expected.size > IMAGINE_STORAGE_VALUE_SIZE_MAX)
        return IMAGINE_ETOOLARGE;
    if (queue->is_closing)
        return IMAGINE_ECLOSED;

    imi_storage_operation_t *operation =
        imi_mem_alloc(queue->mem, sizeof(*operation) + key_size + 1 + value.size + expected.size);
    if (operation == NULL)
        return IMAGINE_ENOMEM;
    char *value_copy = operation->data + key_size + 1, *expected_copy = value_copy + value.size;
    *operation = (imi_storage_operation_t){.mem = queue->mem,
                                           .kind = kind,
                                           .key = operation->data,
                                           .key_size = key_size,
                                           .value = value_copy,
                                           .value_size = value.size,
                                           .expected = expected.data == NULL ? NULL : expected_copy,
                                           .expected_size = expected.size};
    memcpy(operation->data, key, key_size + 1);
    if (value.size > 0)
        memcpy(value_copy, value.data, value.size);
    if (expected.size > 0)
        memcpy(expected_copy, expected.data, expected.size);
    imi_arena_init(&operation->answer, queue->mem, 0);
    *out = operation;
    return 0;
}

static int submit(imi_storage_queue_t *queue, imi_storage_operation_t *operation, uint64_t ttl_ms) {
    size_t size =
        sizeof(*operation) + operation->key_size + operation->value_size + operation->expected_size;
    int64_t now_unix_ms = queue->io->unix_ms(queue->io->context);
    operation->asked_unix_ms = now_unix_ms;
    operation->expires_unix_ms = IMI_STORAGE_FOREVER;
    if (ttl_ms > 0 && ttl_ms < (uint64_t)INT64_MAX &&
        now_unix_ms < IMI_STORAGE_FOREVER - (int64_t)ttl_ms)
        operation->expires_unix_ms = now_unix_ms + (int64_t)ttl_ms;

    int err = IMAGINE_EBUSY;
    if (queue->count >= IMI_STORAGE_WAITING_COUNT_MAX ||
        size > IMI_STORAGE_WAITING_SIZE_MAX - queue->size)
        goto refuse;
    operation->waiting_size = size;
    imi_list_append(&queue->operations, &operation->node);
    queue->count++;
    queue->size += size;
    err = queue->wake(queue);
    if (err == 0)
        return 0;
    imi_storage_queue_take(queue, operation);
refuse:
    imi_mem_free(operation->mem, operation);
    return err;
}

imi_storage_operation_t *imi_storage_queue_pop(imi_storage_queue_t *queue) {
    if (imi_list_is_empty(&queue->operations))
        return NULL;
    imi_storage_operation_t *operation =
        IMI_CONTAINER(queue->operations.next, imi_storage_operation_t, node);
    imi_storage_queue_take(queue, operation);
    return operation;
}

void imi_storage_queue_take(imi_storage_queue_t *queue, imi_storage_operation_t *operation) {
    imi_list_remove(&operation->node);
    queue->count--;
    queue->size -= operation->waiting_size;
}

void imi_storage_operation_end(imi_storage_operation_t *operation) {
    bool has_answer = operation->status == 0;
    void *user = operation->user;
    switch (operation->kind) {
    case IMI_STORAGE_GET:
        operation->callback.get(operation->status, has_answer ? operation->value : NULL,
                                has_answer ? operation->value_size : 0, user);
        break;
    case IMI_STORAGE_ADD:
        operation->callback.add(operation->status, has_answer ? operation->amount : 0, user);
        break;
    case IMI_STORAGE_LIST:
        operation->callback.list(operation->status, has_answer ? operation->entries : NULL,
                                 has_answer ? operation->entry_count : 0, 1, user);
        break;
    default:
        operation->callback.done(operation->status, user);
        break;
    }
    imi_arena_reset(&operation->answer);
    imi_mem_free(operation->mem, operation);
}

void imi_storage_operation_deliver(imi_storage_operation_t *operation) {
    if (operation->entry_count > 0)
        operation->callback.list(0, operation->entries, operation->entry_count, 0, operation->user);
    imi_storage_operation_clear(operation);
}

void imi_storage_operation_clear(imi_storage_operation_t *operation) {
    imi_arena_reset(&operation->answer);
    operation->entries = NULL;
    operation->entry_count = 0;
    operation->status = 0;
    operation->is_done = false;
}

int imi_storage_sum(const void *value, size_t value_size, int64_t amount, int64_t *out) {
    int64_t number = 0;
    if (!imi_parse_int64((imi_slice_t){value, value_size}, &number) ||
        __builtin_add_overflow(number, amount, out))
        return IMAGINE_EINVAL;
    return 0;
}

bool imi_storage_is_expected(const imi_storage_operation_t *operation, const void *value,
                             size_t value_size) {
    if (value == NULL || operation->expected == NULL)
        return value == NULL && operation->expected == NULL;
    return value_size == operation->expected_size &&
           memcmp(value, operation->expected, value_size) == 0;
}

size_t imi_storage_format(char out[IMI_STORAGE_NUMBER_SIZE], int64_t number) {
    return (size_t)snprintf(out, IMI_STORAGE_NUMBER_SIZE, "%" PRId64, number);
}

int imi_storage_check_key(const char *key, bool is_prefix, size_t *out_size) {
    if (key == NULL)
        return IMAGINE_EINVAL;
    size_t size = strnlen(key, IMAGINE_STORAGE_KEY_SIZE_MAX + 1);
    if (size > IMAGINE_STORAGE_KEY_SIZE_MAX || (size == 0 && !is_prefix))
        return IMAGINE_EINVAL;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)key[i] < 0x20 || key[i] == 0x7f)
            return IMAGINE_EINVAL;
    if (!imi_utf8_valid(key, size))
        return IMAGINE_EINVAL;
    *out_size = size;
    return 0;
}
