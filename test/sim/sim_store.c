/* sim_store.c: a storage driver in simulated time: with a delay, away (refuses at once), or silent
 * (takes everything and never answers until it is closed). */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "imagine/storage.h"
#include "sim_private.h"

#define ENTRIES_MAX 256

struct sim_store {
    struct {
        char key[IMAGINE_STORAGE_KEY_SIZE_MAX + 1];
        char *value;
        size_t value_size;
        int64_t expires_unix_ms; /* 0: never */
    } entries[ENTRIES_MAX];
    size_t count;
    sim_store_mode_t mode;
    uint64_t delay_ms;
    bool is_shared, tells;
    struct link *links;  /* those that watch */
    struct news *news;   /* on the way to them */
    const char *refused; /* NULL: none */
};

/* One open connection to the store: what a client owns. */
typedef struct link {
    sim_t *sim;
    sim_store_t *store;
    struct link *next;
    imagine_storage_changed_cb on_changed; /* NULL: does not watch */
    void *watch_user;
    char watched[32];
    struct operation *operations; /* under way */
} link_t;

typedef enum kind { GET, SET, REMOVE, LIST, ADD, SWAP } kind_t;

typedef struct operation {
    struct operation *next;
    link_t *link;
    sim_event_t *event; /* NULL: the store is silent */
    kind_t kind;
    char key[IMAGINE_STORAGE_KEY_SIZE_MAX + 1];
    char *value; /* swap: NULL: to be removed */
    size_t value_size;
    char *expected; /* NULL: nothing */
    size_t expected_size;
    uint64_t ttl_ms;
    imagine_storage_done_cb on_done;
    imagine_storage_get_cb on_get;
    imagine_storage_list_cb on_list;
    imagine_storage_add_cb on_added;
    int64_t amount;
    void *user;
} operation_t;

static size_t find(sim_store_t *store, const char *key, int64_t unix_ms) {
    for (size_t i = 0; i < store->count; i++)
        if (strcmp(store->entries[i].key, key) == 0 &&
            (store->entries[i].expires_unix_ms == 0 || store->entries[i].expires_unix_ms > unix_ms))
            return i;
    return SIZE_MAX;
}

static void erase(sim_store_t *store, const char *key) {
    for (size_t i = 0; i < store->count; i++)
        if (strcmp(store->entries[i].key, key) == 0) {
            free(store->entries[i].value);
            store->entries[i] = store->entries[--store->count];
            return;
        }
}

static void put(sim_store_t *store, operation_t *operation) {
    size_t index;
    erase(store, operation->key);
    ck_assert_uint_lt(store->count, ENTRIES_MAX);
    index = store->count++;
    memcpy(store->entries[index].key, operation->key, sizeof(operation->key));
    store->entries[index].value = operation->value;
    store->entries[index].value_size = operation->value_size;
    store->entries[index].expires_unix_ms =
        operation->ttl_ms == 0 ? 0 : operation->link->sim->unix_ms + (int64_t)operation->ttl_ms;
    operation->value = NULL;
}

static void answer_list(operation_t *operation, int status) {
    sim_store_t *store = operation->link->store;
    imagine_storage_entry_t entries[ENTRIES_MAX];
    size_t count = 0;
    for (size_t i = 0; status == 0 && i < store->count; i++)
        if (strncmp(store->entries[i].key, operation->key, strlen(operation->key)) == 0 &&
            find(store, store->entries[i].key, operation->link->sim->unix_ms) != SIZE_MAX)
            entries[count++] = (imagine_storage_entry_t){
                store->entries[i].key, store->entries[i].value, store->entries[i].value_size};
    operation->on_list(status, entries, count, 1, operation->user);
}

typedef struct news {
    struct news *next;
    sim_store_t *store;
    link_t *link;
    char key[IMAGINE_STORAGE_KEY_SIZE_MAX + 1];
} news_t;

static void on_news(void *user) {
    news_t *news = user, **at = &news->store->news;
    while (*at != news)
        at = &(*at)->next;
    *at = news->next;
    for (link_t *link = news->store->links; link != NULL; link = link->next)
        if (link == news->link) {
            link->on_changed(news->key[0] != '\0' ? news->key : NULL, link->watch_user);
            break;
        }
    free(news);
}

/* "": anything may have changed. */
static void tell(link_t *link, const char *key) {
    news_t *news = calloc(1, sizeof(*news));
    ck_assert_ptr_nonnull(news);
    news->link = link;
    news->store = link->store;
    news->next = news->store->news;
    news->store->news = news;
    snprintf(news->key, sizeof(news->key), "%s", key);
    sim_event_add(link->sim, link->store->delay_ms, on_news, news);
}

static void tell_others(const operation_t *operation) {
    for (link_t *link = operation->link->store->links; link != NULL; link = link->next)
        if (link != operation->link &&
            strncmp(operation->key, link->watched, strlen(link->watched)) == 0)
            tell(link, operation->key);
}

static int64_t add_now(sim_store_t *store, operation_t *operation) {
    size_t index = find(store, operation->key, operation->link->sim->unix_ms);
    int64_t sum = operation->amount;
    char text[32];
    if (index != SIZE_MAX) {
        int64_t left_ms = store->entries[index].expires_unix_ms - operation->link->sim->unix_ms;
        snprintf(text, sizeof(text), "%.*s", (int)store->entries[index].value_size,
                 store->entries[index].value);
        sum += strtoll(text, NULL, 10);
        operation->ttl_ms = store->entries[index].expires_unix_ms == 0 ? 0 : (uint64_t)left_ms;
    }
    operation->value_size = (size_t)snprintf(text, sizeof(text), "%" PRId64, sum);
    operation->value = strdup(text);
    ck_assert_ptr_nonnull(operation->value);
    put(store, operation);
    return sum;
}

static int swap_now(sim_store_t *store, operation_t *operation) {
    size_t index = find(store, operation->key, operation->link->sim->unix_ms);
    bool is_expected = index == SIZE_MAX
                           ? operation->expected == NULL
                           : operation->expected != NULL &&
                                 store->entries[index].value_size == operation->expected_size &&
                                 memcmp(store->entries[index].value, operation->expected,
                                        operation->expected_size) == 0;
    if (!is_expected)
        return IMAGINE_ENOTFOUND;
    if (operation->value != NULL)
        put(store, operation);
    else
        erase(store, operation->key);
    return 0;
}

/* Carries it out (status 0) or fails it, and tells. */
static void conclude(operation_t *operation, int status) {
    link_t *link = operation->link;
    sim_store_t *store = link->store;
    operation_t **place = &link->operations;
    size_t index;
    while (*place != operation)
        place = &(*place)->next;
    *place = operation->next;
    switch (operation->kind) {
    case GET:
        index = status == 0 ? find(store, operation->key, link->sim->unix_ms) : SIZE_MAX;
        if (index == SIZE_MAX)
            operation->on_get(status != 0 ? status : IMAGINE_ENOTFOUND, NULL, 0, operation->user);
        else
            operation->on_get(0, store->entries[index].value, store->entries[index].value_size,
                              operation->user);
        break;
    case SET:
        if (status == 0)
            put(store, operation);
        operation->on_done(status, operation->user);
        break;
    case REMOVE:
        if (status == 0)
            erase(store, operation->key);
        operation->on_done(status, operation->user);
        break;
    case LIST:
        answer_list(operation, status);
        break;
    case ADD:
        operation->on_added(status, status == 0 ? add_now(store, operation) : 0, operation->user);
        break;
    case SWAP:
        if (status == 0)
            status = swap_now(store, operation);
        operation->on_done(status, operation->user);
        break;
    }
    if (status == 0 && operation->kind != GET && operation->kind != LIST)
        tell_others(operation);
    free(operation->expected);
    free(operation->value);
    free(operation);
}

static void on_due(void *user) {
    operation_t *operation = user;
    const sim_store_t *store = operation->link->store;
    bool is_refused = store->refused != NULL &&
                      strncmp(operation->key, store->refused, strlen(store->refused)) == 0;
    operation->event = NULL;
    conclude(operation, is_refused || store->mode == SIM_STORE_AWAY ? IMAGINE_EIO : 0);
}

static int start_operation(link_t *link, kind_t kind, const char *key, operation_t **out) {
    operation_t *operation = calloc(1, sizeof(*operation));
    ck_assert_ptr_nonnull(operation);
    ck_assert_uint_le(strlen(key), IMAGINE_STORAGE_KEY_SIZE_MAX);
    memcpy(operation->key, key, strlen(key) + 1);
    operation->link = link;
    operation->kind = kind;
    operation->next = link->operations;
    link->operations = operation;
    if (link->store->mode != SIM_STORE_SILENT)
        operation->event = sim_event_add(link->sim, link->store->delay_ms, on_due, operation);
    *out = operation;
    return 0;
}

static int start(void *self, const imagine_io_t *io) {
    ck_assert_ptr_eq(((link_t *)self)->sim, io->context);
    return 0;
}

static int get(void *self, const char *key, imagine_storage_get_cb done, void *user) {
    operation_t *operation;
    start_operation(self, GET, key, &operation);
    operation->on_get = done;
    operation->user = user;
    return 0;
}

static int set(void *self, const char *key, const void *value, size_t value_size, uint64_t ttl_ms,
               imagine_storage_done_cb done, void *user) {
    operation_t *operation;
    start_operation(self, SET, key, &operation);
    operation->value = malloc(value_size + 1);
    ck_assert_ptr_nonnull(operation->value);
    memcpy(operation->value, value, value_size);
    operation->value_size = value_size;
    operation->ttl_ms = ttl_ms;
    operation->on_done = done;
    operation->user = user;
    return 0;
}

static int remove_key(void *self, const char *key, imagine_storage_done_cb done, void *user) {
    operation_t *operation;
    start_operation(self, REMOVE, key, &operation);
    operation->on_done = done;
    operation->user = user;
    return 0;
}

static int add(void *self, const char *key, int64_t amount, uint64_t ttl_ms,
               imagine_storage_add_cb done, void *user) {
    operation_t *operation;
    start_operation(self, ADD, key, &operation);
    operation->amount = amount;
    operation->ttl_ms = ttl_ms;
    operation->on_added = done;
    operation->user = user;
    return 0;
}

static int list(void *self, const char *prefix, imagine_storage_list_cb done, void *user) {
    operation_t *operation;
    start_operation(self, LIST, prefix, &operation);
    operation->on_list = done;
    operation->user = user;
    return 0;
}

static int swap(void *self, const char *key, const void *expected, size_t expected_size,
                const void *value, size_t value_size, uint64_t ttl_ms, imagine_storage_done_cb done,
                void *user) {
    operation_t *operation;
    start_operation(self, SWAP, key, &operation);
    if (expected != NULL) {
        operation->expected = malloc(expected_size + 1);
        ck_assert_ptr_nonnull(operation->expected);
        memcpy(operation->expected, expected, expected_size);
        operation->expected_size = expected_size;
    }
    if (value != NULL) {
        operation->value = malloc(value_size + 1);
        ck_assert_ptr_nonnull(operation->value);
        memcpy(operation->value, value, value_size);
        operation->value_size = value_size;
    }
    operation->ttl_ms = ttl_ms;
    operation->on_done = done;
    operation->user = user;
    return 0;
}

static int watch(void *self, const char *prefix, imagine_storage_changed_cb changed, void *user) {
    link_t *link = self;
    snprintf(link->watched, sizeof(link->watched), "%s", prefix);
    link->on_changed = changed;
    link->watch_user = user;
    link->next = link->store->links;
    link->store->links = link;
    return 0;
}

typedef struct closing {
    link_t *link;
    imagine_closed_cb closed;
    void *user;
} closing_t;

static void on_close_due(void *user) {
    closing_t closing = *(closing_t *)user;
    free(user);
    while (closing.link->operations != NULL) {
        operation_t *operation = closing.link->operations;
        if (operation->event != NULL)
            sim_event_remove(closing.link->sim, operation->event);
        conclude(operation, IMAGINE_ECLOSED);
    }
    for (link_t **at = &closing.link->store->links; *at != NULL; at = &(*at)->next)
        if (*at == closing.link) {
            *at = closing.link->next;
            break;
        }
    free(closing.link);
    if (closing.closed != NULL)
        closing.closed(closing.user);
}

static void close_link(void *self, imagine_closed_cb closed, void *user) {
    closing_t *closing = calloc(1, sizeof(*closing));
    ck_assert_ptr_nonnull(closing);
    *closing = (closing_t){self, closed, user};
    sim_event_add(((link_t *)self)->sim, 1, on_close_due, closing);
}

static const imagine_storage_driver_t driver = {.size = sizeof(driver),
                                                .name = "simulated",
                                                .start = start,
                                                .get = get,
                                                .set = set,
                                                .remove = remove_key,
                                                .add = add,
                                                .list = list,
                                                .close = close_link};

sim_store_t *sim_store_new(void) {
    sim_store_t *store = calloc(1, sizeof(*store));
    ck_assert_ptr_nonnull(store);
    return store;
}

void sim_store_free(sim_store_t *store) {
    for (size_t i = 0; i < store->count; i++)
        free(store->entries[i].value);
    while (store->news != NULL) { /* nobody was there any more to hear it */
        news_t *news = store->news;
        store->news = news->next;
        free(news);
    }
    free(store);
}

void sim_store_set_mode(sim_store_t *store, sim_store_mode_t mode) {
    store->mode = mode;
}

void sim_store_set_delay(sim_store_t *store, uint64_t delay_ms) {
    store->delay_ms = delay_ms;
}

void sim_store_share(sim_store_t *store, bool tells) {
    store->is_shared = true;
    store->tells = tells;
}

void sim_store_empty(sim_store_t *store) {
    while (store->count > 0)
        free(store->entries[--store->count].value);
    for (link_t *link = store->links; link != NULL; link = link->next)
        tell(link, "");
}

void sim_store_refuse(sim_store_t *store, const char *prefix) {
    store->refused = prefix;
}

size_t sim_store_count(const sim_store_t *store) {
    return store->count;
}

bool sim_store_has(const sim_store_t *store, const char *prefix) {
    for (size_t i = 0; i < store->count; i++)
        if (strncmp(store->entries[i].key, prefix, strlen(prefix)) == 0)
            return true;
    return false;
}

bool sim_store_contains(const sim_store_t *store, const char *text) {
    for (size_t i = 0; i < store->count; i++) {
        char *value = strndup(store->entries[i].value, store->entries[i].value_size);
        bool is_there = strstr(store->entries[i].key, text) != NULL ||
                        (value != NULL && strstr(value, text) != NULL);
        free(value);
        if (is_there)
            return true;
    }
    return false;
}

void sim_store_replace(sim_store_t *store, const char *text, const char *other) {
    for (size_t i = 0; i < store->count; i++) {
        char *value = strndup(store->entries[i].value, store->entries[i].value_size), *changed;
        char *at = strstr(value, text);
        size_t size = strlen(value) + strlen(other) + 1;
        if (at != NULL) {
            changed = malloc(size);
            ck_assert_ptr_nonnull(changed);
            snprintf(changed, size, "%.*s%s%s", (int)(at - value), value, other, at + strlen(text));
            free(store->entries[i].value);
            store->entries[i].value = changed;
            store->entries[i].value_size = strlen(changed);
            free(value);
            return;
        }
        free(value);
    }
    ck_abort_msg("nothing in the store holds %s", text);
}

void sim_attach_store(sim_t *sim, sim_store_t *store) {
    imagine_storage_t *storage = NULL;
    link_t *link = calloc(1, sizeof(*link));
    imagine_storage_driver_t chosen = driver;
    ck_assert_ptr_nonnull(link);
    link->sim = sim;
    link->store = store;
    if (store->is_shared) {
        chosen.flags = IMAGINE_STORAGE_IS_SHARED | IMAGINE_STORAGE_IS_ATOMIC;
        chosen.swap = swap;
        chosen.watch = store->tells ? watch : NULL;
    }
    ck_assert_int_eq(imagine_storage_new(&storage, &chosen, link), 0);
    int err = imagine_set_storage(sim->im, storage);
    ck_assert(err == 0 || (err == IMAGINE_ENOMEM && sim->mem.has_failed));
}
