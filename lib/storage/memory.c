/* memory.c: "memory:", a storage that lives as long as the process.
 *
 * What is asked waits in the queue until the next turn of the loop, where one timer performs all of
 * it in order: so nothing calls back inside the call, and a list sees no change while it runs.
 * Expired values leave at the next turn that has something to do; until then they cost memory, but
 * nobody can see them. */
#include <string.h>

#include "storage/drivers.h"
#include "storage/queue.h"
#include "wire/heap.h"
#include "wire/map.h"

/* Keys and values together; a `set` or `add` past it ends with IMAGINE_ETOOLARGE. The library keeps
 * some hundred bytes per token and some KiB per task, so this only stops a leak. */
#define STORED_SIZE_MAX (256u * 1024 * 1024)
#define PAGE_COUNT 64 /* entries per call of a list's callback */

typedef struct item {
    imi_heap_node_t expiry; /* first, see item_of(); in no heap when the item is for ever */
    int64_t expires_unix_ms;
    size_t key_size, value_size;
    char *value;
    char key[];
} item_t;

typedef struct memory {
    imi_storage_queue_t queue; /* first, see queue.h */
    imi_map_t items;
    imi_heap_t expiries;
    size_t stored_size;
    imagine_timer_t *timer; /* runs while something waits */
    bool is_running;        /* inside run() */
} memory_t;

static int wake(imi_storage_queue_t *queue);
static void run(void *user);
static void perform(memory_t *memory, imi_storage_operation_t *operation);
static void finish(memory_t *memory);

static int memory_start(void *self, const imagine_io_t *io) {
    memory_t *memory = self;
    uint64_t seed[2] = {0, 0};
    if (io == NULL || io->timer_start == NULL || io->unix_ms == NULL || io->random == NULL)
        return IMAGINE_ENOTSUP;
    int err = io->random(io->context, seed, sizeof(seed));
    if (err != 0)
        return err;
    imi_map_init(&memory->items, memory->queue.mem, seed);
    memory->queue.io = io;
    return 0;
}

static void memory_close(void *self, imagine_closed_cb closed, void *user) {
    memory_t *memory = self;
    memory->queue.is_closing = true;
    memory->queue.closed = closed;
    memory->queue.closed_user = user;
    if (memory->is_running)
        return; /* run() ends with it */
    /* Without a start, or without memory for a timer, there is no later to wait for. */
    if (memory->queue.io == NULL || wake(&memory->queue) != 0)
        finish(memory);
}

static const imagine_storage_driver_t memory_driver = {
    .size = sizeof(imagine_storage_driver_t),
    .name = "memory",
    .flags = IMAGINE_STORAGE_IS_ATOMIC,
    .start = memory_start,
    .get = imi_storage_queue_get,
    .set = imi_storage_queue_set,
    .remove = imi_storage_queue_remove,
    .add = imi_storage_queue_add,
    .list = imi_storage_queue_list,
    .close = memory_close,
    .swap = imi_storage_queue_swap,
};

int imi_memory_open(const imi_mem_t *mem, const char *url,
                    const imagine_storage_driver_t **out_driver, void **out_self,
                    const char **out_reason) {
    if (strcmp(url, "memory:") != 0) {
        *out_reason = "nothing may follow memory:";
        return IMAGINE_EINVAL;
    }
    memory_t *memory = imi_mem_zalloc(mem, sizeof(*memory));
    if (memory == NULL)
        return IMAGINE_ENOMEM;
    imi_storage_queue_init(&memory->queue, mem, wake);
    imi_map_init(&memory->items, mem, NULL);
    imi_heap_init(&memory->expiries, mem);
    *out_driver = &memory_driver;
    *out_self = memory;
    return 0;
}

static int wake(imi_storage_queue_t *queue) {
    memory_t *memory = (memory_t *)queue;
    if (memory->timer != NULL)
        return 0;
    return queue->io->timer_start(queue->io->context, 0, run, memory, &memory->timer);
}

/* ---- one turn ---- */

static item_t *item_of(imi_heap_node_t *node) {
    return (item_t *)node;
}

static void drop(memory_t *memory, item_t *item) {
    if (item == NULL)
        return;
    imi_heap_remove(&memory->expiries, &item->expiry);
    memory->stored_size -= item->key_size + item->value_size;
    imi_mem_free(memory->queue.mem, item->value);
    imi_mem_free(memory->queue.mem, item);
}

static void drop_expired(memory_t *memory, int64_t now_unix_ms) {
    imi_heap_node_t *node = NULL;
    while ((node = imi_heap_first(&memory->expiries)) != NULL && node->key <= now_unix_ms) {
        item_t *item = item_of(node);
        imi_map_remove(&memory->items, item->key, item->key_size);
        drop(memory, item);
    }
}

static void run(void *user) {
    memory_t *memory = user;
    memory->timer = NULL;
    memory->is_running = true;
    /* What callbacks ask for now waits for the next turn. */
    for (size_t left = memory->queue.count; left > 0; left--) {
        imi_storage_operation_t *operation = imi_storage_queue_pop(&memory->queue);
        drop_expired(memory, operation->asked_unix_ms);
        perform(memory, operation);
        imi_storage_operation_end(operation);
    }
    memory->is_running = false;
    if (memory->queue.is_closing && memory->queue.count == 0)
        finish(memory);
}

static void finish(memory_t *memory) {
    imagine_closed_cb closed = memory->queue.closed;
    void *user = memory->queue.closed_user;
    const imi_map_entry_t *entry = NULL;
    size_t position = 0;
    while (imi_map_next(&memory->items, &position, &entry))
        drop(memory, entry->value);
    imi_map_reset(&memory->items);
    imi_heap_reset(&memory->expiries);
    imi_mem_free(memory->queue.mem, memory);
    if (closed != NULL)
        closed(user);
}

/* ---- the operations ---- */

/* Either all of it happens or nothing: everything that can fail comes before the first change. */
static int put(memory_t *memory, const char *key, size_t key_size, const void *value,
               size_t value_size, int64_t expires_unix_ms) {
    const imi_mem_t *mem = memory->queue.mem;
    item_t *item = imi_map_get(&memory->items, key, key_size);
    size_t freed_size = item == NULL ? 0 : key_size + item->value_size;
    if (memory->stored_size - freed_size + key_size + value_size > STORED_SIZE_MAX)
        return IMAGINE_ETOOLARGE;
    if (imi_heap_reserve(&memory->expiries, memory->expiries.count + 1) != 0)
        return IMAGINE_ENOMEM;
    char *copy = imi_mem_alloc(mem, value_size + 1); /* one more, so that it is never nothing */
    if (copy == NULL)
        return IMAGINE_ENOMEM;
    memcpy(copy, value, value_size);

    if (item == NULL) {
        item = imi_mem_zalloc(mem, sizeof(*item) + key_size + 1);
        if (item == NULL || imi_map_set(&memory->items, key, key_size, item) != 0) {
            imi_mem_free(mem, item);
            imi_mem_free(mem, copy);
            return IMAGINE_ENOMEM;
        }
        memcpy(item->key, key, key_size);
        item->key_size = key_size;
    }
    imi_heap_remove(&memory->expiries, &item->expiry);
    imi_mem_free(mem, item->value);
    item->value = copy;
    item->value_size = value_size;
    item->expires_unix_ms = expires_unix_ms;
    memory->stored_size = memory->stored_size - freed_size + key_size + value_size;
    if (expires_unix_ms == IMI_STORAGE_FOREVER)
        return 0;
    return imi_heap_insert(&memory->expiries, &item->expiry, expires_unix_ms) == 0 ? 0
                                                                                   : IMAGINE_ENOMEM;
}

static int add(memory_t *memory, imi_storage_operation_t *operation) {
    const item_t *item = imi_map_get(&memory->items, operation->key, operation->key_size);
    int64_t expires_unix_ms = item == NULL ? operation->expires_unix_ms : item->expires_unix_ms;
    int64_t sum = operation->amount;
    char text[IMI_STORAGE_NUMBER_SIZE];
    if (item != NULL && imi_storage_sum(item->value, item->value_size, sum, &sum) != 0)
        return IMAGINE_EINVAL;
    size_t text_size = imi_storage_format(text, sum);
    operation->amount = sum;
    return put(memory, operation->key, operation->key_size, text, text_size, expires_unix_ms);
}

static int swap(memory_t *memory, const imi_storage_operation_t *operation) {
    const item_t *item = imi_map_get(&memory->items, operation->key, operation->key_size);
    if (!imi_storage_is_expected(operation, item == NULL ? NULL : item->value,
                                 item == NULL ? 0 : item->value_size))
        return IMAGINE_ENOTFOUND;
    if (!operation->is_removal)
        return put(memory, operation->key, operation->key_size, operation->value,
                   operation->value_size, operation->expires_unix_ms);
    drop(memory, imi_map_remove(&memory->items, operation->key, operation->key_size));
    return 0;
}

/* Pages but the last one go out at once; the last one is left for the end of the operation. The
 * entries borrow from the map, which does not change before that. */
static void list(memory_t *memory, imi_storage_operation_t *operation) {
    const imi_map_entry_t *entry = NULL;
    size_t position = 0;
    while (imi_map_next(&memory->items, &position, &entry)) {
        const item_t *item = entry->value;
        if (item->key_size < operation->key_size ||
            memcmp(item->key, operation->key, operation->key_size) != 0)
            continue;
        if (operation->entry_count == PAGE_COUNT)
            imi_storage_operation_deliver(operation);
        if (operation->entries == NULL)
            operation->entries =
                imi_arena_alloc(&operation->answer, PAGE_COUNT * sizeof(*operation->entries));
        if (operation->entries == NULL) {
            operation->status = IMAGINE_ENOMEM;
            return;
        }
        operation->entries[operation->entry_count++] = (imagine_storage_entry_t){
            .key = item->key, .value = item->value, .value_size = item->value_size};
    }
}

static void perform(memory_t *memory, imi_storage_operation_t *operation) {
    const item_t *item = NULL;
    switch (operation->kind) {
    case IMI_STORAGE_GET:
        item = imi_map_get(&memory->items, operation->key, operation->key_size);
        operation->status = item == NULL ? IMAGINE_ENOTFOUND : 0;
        if (item != NULL) { /* borrowed: only a later operation can change it */
            operation->value = item->value;
            operation->value_size = item->value_size;
        }
        break;
    case IMI_STORAGE_SET:
        operation->status = put(memory, operation->key, operation->key_size, operation->value,
                                operation->value_size, operation->expires_unix_ms);
        break;
    case IMI_STORAGE_REMOVE:
        drop(memory, imi_map_remove(&memory->items, operation->key, operation->key_size));
        break;
    case IMI_STORAGE_ADD:
        operation->status = add(memory, operation);
        break;
    case IMI_STORAGE_SWAP:
        operation->status = swap(memory, operation);
        break;
    default:
        list(memory, operation);
        break;
    }
}
