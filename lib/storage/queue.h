/* queue.h: the half that our drivers share. It checks and copies what is asked of a storage, keeps
 * it in order until the driver performs it, and ends each operation once.
 *
 * The queue is the first member of a driver's `self`, so that the functions below stand in its
 * table as they are. */
#ifndef IMI_STORAGE_QUEUE_H
#define IMI_STORAGE_QUEUE_H

#include <stdbool.h>

#include "imagine/storage.h"
#include "wire/arena.h"
#include "wire/list.h"
#include "wire/mem.h"

/* An operation that would make more than this wait is refused with IMAGINE_EBUSY. */
#define IMI_STORAGE_WAITING_COUNT_MAX 65536
#define IMI_STORAGE_WAITING_SIZE_MAX (64u * 1024 * 1024)

#define IMI_STORAGE_NUMBER_SIZE 24    /* "-9223372036854775808" and a NUL */
#define IMI_STORAGE_FOREVER INT64_MAX /* an expires_unix_ms that never comes */

enum {
    IMI_STORAGE_GET,
    IMI_STORAGE_SET,
    IMI_STORAGE_REMOVE,
    IMI_STORAGE_ADD,
    IMI_STORAGE_LIST,
    IMI_STORAGE_SWAP,
};

typedef struct imi_storage_operation {
    imi_list_t node;
    const imi_mem_t *mem;
    int kind;
    size_t waiting_size; /* what the queue counts it as */
    void *owner;         /* the driver's note: whose it is */
    bool is_done;        /* likewise: nothing is left to perform */
    int status;          /* the driver's answer, and below what belongs to it */
    union {
        imagine_storage_get_cb get;
        imagine_storage_done_cb done; /* set, remove and swap */
        imagine_storage_add_cb add;
        imagine_storage_list_cb list;
    } callback;
    void *user;
    /* All times count from the moment of asking: how long the queue was changes nothing. */
    int64_t asked_unix_ms;
    int64_t expires_unix_ms;
    int64_t amount;    /* add: what to add; then the sum */
    const char *key;   /* list: the prefix */
    const void *value; /* set: what to keep; get: the answer; never NULL */
    size_t key_size, value_size;
    const void *expected; /* swap: NULL: that nothing is there */
    size_t expected_size;
    bool is_removal;                  /* swap: there is no new value */
    imagine_storage_entry_t *entries; /* list: the answer, or one page of it */
    size_t entry_count;
    imi_arena_t answer; /* what the answer is made of */
    char data[];        /* the copies of key, value and what is expected */
} imi_storage_operation_t;

typedef struct imi_storage_queue {
    const imi_mem_t *mem;
    const imagine_io_t *io; /* NULL until start */
    /* Called with the first operation in an empty queue, and with every later one; an error refuses
     * the operation that came last. */
    int (*wake)(struct imi_storage_queue *queue);
    imi_list_t operations;
    size_t count, size;
    bool is_closing;
    imagine_closed_cb closed;
    void *closed_user;
} imi_storage_queue_t;

void imi_storage_queue_init(imi_storage_queue_t *queue, const imi_mem_t *mem,
                            int (*wake)(imi_storage_queue_t *queue));

/* The driver's table. */
int imi_storage_queue_get(void *self, const char *key, imagine_storage_get_cb done, void *user);
int imi_storage_queue_set(void *self, const char *key, const void *value, size_t value_size,
                          uint64_t ttl_ms, imagine_storage_done_cb done, void *user);
int imi_storage_queue_remove(void *self, const char *key, imagine_storage_done_cb done, void *user);
int imi_storage_queue_add(void *self, const char *key, int64_t amount, uint64_t ttl_ms,
                          imagine_storage_add_cb done, void *user);
int imi_storage_queue_list(void *self, const char *prefix, imagine_storage_list_cb done,
                           void *user);
int imi_storage_queue_swap(void *self, const char *key, const void *expected, size_t expected_size,
                           const void *value, size_t value_size, uint64_t ttl_ms,
                           imagine_storage_done_cb done, void *user);

/* The oldest operation, which leaves the queue; NULL when there is none. */
imi_storage_operation_t *imi_storage_queue_pop(imi_storage_queue_t *queue);

/* Takes one out of the queue that need not be the oldest, nor be in its list any more: a driver may
 * keep it in another one meanwhile. */
void imi_storage_queue_take(imi_storage_queue_t *queue, imi_storage_operation_t *operation);

/* Tells the operation's callback and frees the operation. Whatever the callback does, the queue
 * itself may only go after this has returned. */
void imi_storage_operation_end(imi_storage_operation_t *operation);

/* A list's page that is not the last one; its entries are dropped. */
void imi_storage_operation_deliver(imi_storage_operation_t *operation);

/* Forgets the answer so far. */
void imi_storage_operation_clear(imi_storage_operation_t *operation);

/* What `add` makes of a value that is there: IMAGINE_EINVAL when it is no number or the sum is out
 * of range. */
int imi_storage_sum(const void *value, size_t value_size, int64_t amount, int64_t *out);

/* May a swap happen over this value? (NULL: there is none.) */
bool imi_storage_is_expected(const imi_storage_operation_t *operation, const void *value,
                             size_t value_size);

/* How `add` writes a number: decimal, as every driver does. Returns the length, the NUL not
 * counted.
 */
size_t imi_storage_format(char out[IMI_STORAGE_NUMBER_SIZE], int64_t number);

/* Printable UTF-8 within the limit? A prefix may be empty. 0 or IMAGINE_EINVAL. */
int imi_storage_check_key(const char *key, bool is_prefix, size_t *out_size);

#endif
