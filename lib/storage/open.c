/* open.c: from an address to a driver, and the handle around either kind of driver. */
#include "imagine/storage.h"

#include <stdbool.h>
#include <string.h>

#include "storage/drivers.h"
#include "wire/buf.h"
#include "wire/mem.h"
#include "wire/str.h"

#define SCHEME_SIZE_MAX 16 /* of an unknown one, to be named in a message */

struct imagine_storage {
    const imi_mem_t *mem;
    imagine_storage_driver_t driver; /* its name is a copy of ours */
    void *self;
    imagine_closed_cb closed;
    void *closed_user;
};

/* All addresses that we know: a new driver is one more row. */
static const struct {
    const char *scheme;
    imi_storage_driver_open open;
} schemes[] = {
    {"memory:", imi_memory_open},   {"redis:", imi_redis_open},
    {"rediss:", imi_redis_open},    {"sqlite:", imi_sqlite_open},
    {"upstash:", imi_upstash_open}, {"cloudflare:", imi_cloudflare_open},
};
#define SCHEME_NAMES "memory:, redis:, rediss:, sqlite:, upstash:, cloudflare:"

static int fail(char **out_message, int err, const char *reason);
static int fail_scheme(char **out_message, const char *url);

int imagine_storage_open(imagine_storage_t **out, const char *url, char **out_message) {
    return imi_storage_open(NULL, out, url, out_message);
}

int imi_storage_open(const imi_mem_t *mem, imagine_storage_t **out, const char *url,
                     char **out_message) {
    const imagine_storage_driver_t *driver = NULL;
    void *self = NULL;
    const char *reason = NULL;
    imi_storage_driver_open open = NULL;
    if (out_message != NULL)
        *out_message = NULL;
    if (out == NULL)
        return IMAGINE_EINVAL;
    *out = NULL;
    for (size_t i = 0; url != NULL && i < sizeof(schemes) / sizeof(schemes[0]); i++)
        if (imi_text_starts_with(url, schemes[i].scheme))
            open = schemes[i].open;
    if (open == NULL)
        return fail_scheme(out_message, url);

    int err = open(mem, url, &driver, &self, &reason);
    if (err == 0) {
        err = imi_storage_new(mem, out, driver, self);
        if (err != 0)
            driver->close(self, NULL, NULL);
    }
    return fail(out_message, err, reason);
}

static int fail(char **out_message, int err, const char *reason) {
    if (out_message != NULL && reason != NULL)
        *out_message = imi_mem_strdup(NULL, reason);
    return err;
}

/* Only the scheme is repeated, and only what looks like one: the rest may hold a password. */
static int fail_scheme(char **out_message, const char *url) {
    const char *end = url == NULL ? NULL : strchr(url, ':');
    bool is_scheme = end != NULL && end > url && end - url <= SCHEME_SIZE_MAX;
    for (const char *c = url; is_scheme && c < end; c++)
        is_scheme = (*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '+' || *c == '-';
    if (!is_scheme)
        return fail(out_message, IMAGINE_EINVAL,
                    "the storage address must begin with one of " SCHEME_NAMES);

    imi_buf_t message;
    imi_buf_init(&message, NULL, 0);
    imi_buf_printf(&message, "no storage for %.*s: in this build, only for " SCHEME_NAMES,
                   (int)(end - url), url);
    if (out_message != NULL)
        *out_message = imi_buf_take(&message, NULL);
    imi_buf_reset(&message);
    return IMAGINE_ENOTSUP;
}

/* ---- the handle ---- */

int imagine_storage_new(imagine_storage_t **out, const imagine_storage_driver_t *driver,
                        void *self) {
    return imi_storage_new(NULL, out, driver, self);
}

int imi_storage_new(const imi_mem_t *mem, imagine_storage_t **out,
                    const imagine_storage_driver_t *driver, void *self) {
    imagine_storage_driver_t copy = {.size = sizeof(copy)};
    if (out == NULL)
        return IMAGINE_EINVAL;
    *out = NULL;
    if (driver == NULL || driver->size <= sizeof(driver->size))
        return IMAGINE_EINVAL;
    /* An older caller's table is shorter, the rest is NULL; a newer caller's may be longer as long
     * as we miss nothing by not knowing its end. */
    memcpy(&copy, driver, driver->size < sizeof(copy) ? driver->size : sizeof(copy));
    copy.size = sizeof(copy);
    for (size_t i = sizeof(copy); i < driver->size; i++)
        if (((const char *)driver)[i] != 0)
            return IMAGINE_EINVAL;
    if (copy.name == NULL || copy.start == NULL || copy.get == NULL || copy.set == NULL ||
        copy.remove == NULL || copy.add == NULL || copy.list == NULL || copy.close == NULL)
        return IMAGINE_EINVAL;

    imagine_storage_t *storage = imi_mem_zalloc(mem, sizeof(*storage));
    char *name = imi_mem_strdup(mem, copy.name);
    if (storage == NULL || name == NULL) {
        imi_mem_free(mem, storage);
        imi_mem_free(mem, name);
        return IMAGINE_ENOMEM;
    }
    storage->mem = mem;
    copy.name = name;
    storage->driver = copy;
    storage->self = self;
    *out = storage;
    return 0;
}

static void on_closed(void *user) {
    imagine_storage_t *storage = user;
    imagine_closed_cb closed = storage->closed;
    void *closed_user = storage->closed_user;
    imi_mem_free(storage->mem, (char *)storage->driver.name);
    imi_mem_free(storage->mem, storage);
    if (closed != NULL)
        closed(closed_user);
}

void imagine_storage_close(imagine_storage_t *storage, imagine_closed_cb closed, void *user) {
    if (storage == NULL) {
        if (closed != NULL)
            closed(user);
        return;
    }
    /* The table stays until the end: callbacks on the way there may still look at it. */
    storage->closed = closed;
    storage->closed_user = user;
    storage->driver.close(storage->self, on_closed, storage);
}

const imagine_storage_driver_t *imagine_storage_driver(const imagine_storage_t *storage,
                                                       void **out_self) {
    if (out_self != NULL)
        *out_self = storage->self;
    return &storage->driver;
}
