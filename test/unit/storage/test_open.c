/* test_open.c: addresses, and the handle around a driver. */
#include "../../support/check_main.h"

#include <stdbool.h>
#include <string.h>

#include "../../support/failing_mem.h"
#include "imagine/storage.h"
#include "storage/drivers.h"

/* ---- addresses ---- */

#define CLOUDFLARE "cloudflare:https://:token@api.test/client/v4/accounts/a/storage/kv/namespaces/n"

static char long_path[700], long_prefix[700], long_token[5000]; /* filled by the suite */

static const struct {
    const char *url;
    int err;
    const char *message; /* part of it; NULL: none */
} url_cases[] = {
    {"memory:", 0, NULL},
    {"sqlite:/tmp/never-opened.db", 0, NULL},
    {"sqlite:///tmp/never-opened.db", 0, NULL},
    {"sqlite:never-opened.db", 0, NULL},
    {"upstash:https://:to%2Fken@db.upstash.io", 0, NULL},
    {CLOUDFLARE, 0, NULL},
    {NULL, IMAGINE_EINVAL,
     "must begin with one of memory:, redis:, rediss:, sqlite:, upstash:, cloudflare:"},
    {"", IMAGINE_EINVAL, "must begin with"},
    {"/tmp/state.db", IMAGINE_EINVAL, "must begin with"},
    {"Memory:", IMAGINE_EINVAL, "must begin with"},
    {"memory:x", IMAGINE_EINVAL, "nothing may follow memory:"},
    {"sqlite:", IMAGINE_EINVAL, "needs the path"},
    {"sqlite:/tmp/", IMAGINE_EINVAL, "needs the path"},
    {"sqlite::memory:", IMAGINE_EINVAL, "memory:"},
    {"sqlite://host/state.db", IMAGINE_EINVAL, "no host"},
    {"sqlite:/tmp/a\nb", IMAGINE_EINVAL, "control character"},
    {long_path, IMAGINE_EINVAL, "too long"},
    {"carrierpigeon://user:sesame@host", IMAGINE_ENOTSUP, "no storage for carrierpigeon:"},
    {"sesame word:x", IMAGINE_EINVAL, "must begin with"},
    {"https-very-long-sesame-scheme:x", IMAGINE_EINVAL, "must begin with"},
    {":sesame", IMAGINE_EINVAL, "must begin with"},
    {"upstash:https://:t@h:8080/path/", 0, NULL},
    {"upstash:http://:t@[::1]:8080?prefix=a%20b:", 0, NULL},
    {"upstash:https://:t@h?prefix=", 0, NULL},
    {"upstash:", IMAGINE_EINVAL, "go on with https://"},
    {"upstash:rediss://:sesame@h", IMAGINE_EINVAL, "go on with https://"},
    {"upstash:https://h", IMAGINE_EINVAL, "the token must stand in front"},
    {"upstash:https://sesame@h", IMAGINE_EINVAL, "the token must stand in front"},
    {"upstash:https://:@h", IMAGINE_EINVAL, "the token must stand in front"},
    {"upstash:https://h/:sesame@", IMAGINE_EINVAL, "the token must stand in front"},
    {"upstash:https://:sesame%0d%0aX:@h", IMAGINE_EINVAL, "a character that no token has"},
    {"upstash:https://:sesame%00@h", IMAGINE_EINVAL, "a character that no token has"},
    {"upstash:https://:sesame%2@h", IMAGINE_EINVAL, "broken %XX"},
    {"upstash:https://:sesame@", IMAGINE_EINVAL, "no host that can be asked"},
    {"upstash:https://:sesame@u:p@h", IMAGINE_EINVAL, "no host that can be asked"},
    {"upstash:https://:sesame@h:99999", IMAGINE_EINVAL, "no host that can be asked"},
    {"upstash:https://:sesame@h/p#f", IMAGINE_EINVAL, "only ?prefix= may follow"},
    {"upstash:https://:sesame@h?token=x", IMAGINE_EINVAL, "only ?prefix= may follow"},
    {"upstash:https://:sesame@h?prefix=a&token=x", IMAGINE_EINVAL, "only ?prefix= may follow"},
    {"upstash:https://:sesame@h?prefix=%0a", IMAGINE_EINVAL, "what no key may hold"},
    {"upstash:https://:sesame@h?prefix=%ff", IMAGINE_EINVAL, "what no key may hold"},
    {"upstash:https://:sesame@h?prefix=%", IMAGINE_EINVAL, "broken %XX"},
    {long_prefix, IMAGINE_EINVAL, "the prefix is too long"},
    {long_token, IMAGINE_EINVAL, "the token is too long"},
    {"cloudflare:https://:sesame@api.test", IMAGINE_EINVAL, "must end with /accounts/<id>"},
    {"cloudflare:https://:sesame@api.test/accounts/a/storage/kv/namespaces/", IMAGINE_EINVAL,
     "must end with /accounts/<id>"},
    {"cloudflare:https://api.test/accounts/a/storage/kv/namespaces/n", IMAGINE_EINVAL,
     "the token must stand in front"},
};

static void count(void *user) {
    ++*(int *)user;
}

START_TEST(an_address_names_a_driver_or_says_what_is_wrong) { /* _i walks url_cases */
    imagine_storage_t *storage = NULL;
    char *message = NULL;
    const char *url = url_cases[_i].url;
    int closed_count = 0;
    int err = imagine_storage_open(&storage, url, &message);
    ck_assert_msg(err == url_cases[_i].err, "%s: %d", url == NULL ? "NULL" : url, err);
    if (err == 0) {
        ck_assert_ptr_null(message);
        ck_assert_ptr_nonnull(storage);
        imagine_storage_close(storage, count, &closed_count);
        ck_assert_int_eq(closed_count, 1);
    } else {
        ck_assert_ptr_null(storage);
        ck_assert_msg(strstr(message, url_cases[_i].message) != NULL, "%s", message);
        ck_assert_msg(strstr(message, "sesame") == NULL, "tells a secret: %s", message);
        ck_assert_ptr_null(strchr(message, '\n'));
        imagine_free(message);
    }
    ck_assert_int_eq(imagine_storage_open(&storage, url, NULL), url_cases[_i].err);
    imagine_storage_close(storage, NULL, NULL);
}
END_TEST

START_TEST(without_a_place_for_the_handle_nothing_is_opened) {
    char *message = NULL;
    ck_assert_int_eq(imagine_storage_open(NULL, "memory:", &message), IMAGINE_EINVAL);
    ck_assert_ptr_null(message);
}
END_TEST

static const struct {
    const char *url;
    size_t block_count; /* driver, handle, name, and the parts of the address */
} opened[] = {
    {"memory:", 3},
    {"sqlite:/tmp/never-opened.db", 3},
    {"upstash:https://:t@h?prefix=p", 6},
    {CLOUDFLARE, 6},
};

START_TEST(without_memory_nothing_is_opened) { /* _i walks opened */
    for (size_t n = 1;; n++) {
        imagine_storage_t *storage = NULL;
        failing_mem_t failing;
        failing_mem_init(&failing, n);
        int err = imi_storage_open(&failing.mem, &storage, opened[_i].url, NULL);
        ck_assert_int_eq(err, failing.has_failed ? IMAGINE_ENOMEM : 0);
        ck_assert((storage != NULL) == (err == 0));
        imagine_storage_close(storage, NULL, NULL);
        ck_assert_uint_eq(failing.live_count, 0);
        if (!failing.has_failed) {
            ck_assert_uint_eq(n, opened[_i].block_count + 1);
            return;
        }
    }
}
END_TEST

START_TEST(the_built_in_drivers_say_what_they_can) {
    static const struct {
        const char *url, *name;
        uint32_t flags;
    } cases[] = {
        {"memory:", "memory", IMAGINE_STORAGE_IS_ATOMIC},
        {"sqlite:/tmp/x.db", "sqlite", IMAGINE_STORAGE_IS_SHARED | IMAGINE_STORAGE_IS_ATOMIC},
        {"upstash:https://:t@h", "upstash", IMAGINE_STORAGE_IS_SHARED | IMAGINE_STORAGE_IS_ATOMIC},
        {CLOUDFLARE, "cloudflare", IMAGINE_STORAGE_IS_SHARED},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        imagine_storage_t *storage = NULL;
        ck_assert_int_eq(imagine_storage_open(&storage, cases[i].url, NULL), 0);
        const imagine_storage_driver_t *driver = imagine_storage_driver(storage, NULL);
        ck_assert_str_eq(driver->name, cases[i].name);
        ck_assert_uint_eq(driver->flags, cases[i].flags);
        ck_assert_uint_eq(driver->size, sizeof(*driver));
        imagine_storage_close(storage, NULL, NULL);
    }
}
END_TEST

/* ---- a driver of one's own ---- */

typedef struct own {
    int close_count;
    imagine_closed_cb closed;
    void *closed_user;
} own_t;

static int own_start(void *self, const imagine_io_t *io) {
    (void)self, (void)io;
    return 0;
}

static int own_get(void *self, const char *key, imagine_storage_get_cb done, void *user) {
    (void)self, (void)key, (void)done, (void)user;
    return IMAGINE_ENOTSUP;
}

static int own_set(void *self, const char *key, const void *value, size_t value_size,
                   uint64_t ttl_ms, imagine_storage_done_cb done, void *user) {
    (void)self, (void)key, (void)value, (void)value_size, (void)ttl_ms, (void)done, (void)user;
    return IMAGINE_ENOTSUP;
}

static int own_remove(void *self, const char *key, imagine_storage_done_cb done, void *user) {
    (void)self, (void)key, (void)done, (void)user;
    return IMAGINE_ENOTSUP;
}

static int own_add(void *self, const char *key, int64_t amount, uint64_t ttl_ms,
                   imagine_storage_add_cb done, void *user) {
    (void)self, (void)key, (void)amount, (void)ttl_ms, (void)done, (void)user;
    return IMAGINE_ENOTSUP;
}

static int own_list(void *self, const char *prefix, imagine_storage_list_cb done, void *user) {
    (void)self, (void)prefix, (void)done, (void)user;
    return IMAGINE_ENOTSUP;
}

/* Calls back later, when the test says so. */
static void own_close(void *self, imagine_closed_cb closed, void *user) {
    own_t *own = self;
    own->close_count++;
    own->closed = closed;
    own->closed_user = user;
}

static const imagine_storage_driver_t own_driver = {
    .size = sizeof(imagine_storage_driver_t),
    .name = "own",
    .start = own_start,
    .get = own_get,
    .set = own_set,
    .remove = own_remove,
    .add = own_add,
    .list = own_list,
    .close = own_close,
};

START_TEST(a_driver_is_copied_and_closed_once) {
    char name[] = "own";
    imagine_storage_driver_t driver = own_driver;
    imagine_storage_t *storage = NULL;
    own_t own = {0};
    void *self = NULL;
    int closed_count = 0;
    driver.name = name;
    ck_assert_int_eq(imagine_storage_new(&storage, &driver, &own), 0);
    memset(&driver, 0xff, sizeof(driver));
    name[0] = '#';
    const imagine_storage_driver_t *copy = imagine_storage_driver(storage, &self);
    ck_assert_ptr_eq(self, &own);
    ck_assert_str_eq(copy->name, "own");
    ck_assert(copy->get == own_get && copy->close == own_close);

    imagine_storage_close(storage, count, &closed_count);
    ck_assert_int_eq(own.close_count, 1);
    ck_assert_int_eq(closed_count, 0);
    ck_assert_str_eq(copy->name, "own"); /* the table is there until the end */
    own.closed(own.closed_user);
    ck_assert_int_eq(closed_count, 1);
}
END_TEST

START_TEST(closing_nothing_is_fine) {
    int closed_count = 0;
    imagine_storage_close(NULL, NULL, NULL);
    imagine_storage_close(NULL, count, &closed_count);
    ck_assert_int_eq(closed_count, 1);
}
END_TEST

START_TEST(a_driver_without_one_of_its_functions_is_refused) { /* _i: which one */
    imagine_storage_driver_t driver = own_driver;
    imagine_storage_t *storage = NULL;
    own_t own = {0};
    switch (_i) {
    case 0:
        driver.start = NULL;
        break;
    case 1:
        driver.get = NULL;
        break;
    case 2:
        driver.set = NULL;
        break;
    case 3:
        driver.remove = NULL;
        break;
    case 4:
        driver.add = NULL;
        break;
    case 5:
        driver.list = NULL;
        break;
    case 6:
        driver.close = NULL;
        break;
    case 7:
        driver.name = NULL;
        break;
    case 8:
        driver.size = 0;
        break;
    default:
        driver.size = offsetof(imagine_storage_driver_t, close); /* older than the first version */
        break;
    }
    ck_assert_int_eq(imagine_storage_new(&storage, &driver, &own), IMAGINE_EINVAL);
    ck_assert_ptr_null(storage);
    ck_assert_int_eq(own.close_count, 0); /* still ours */
    ck_assert_int_eq(imagine_storage_new(&storage, NULL, &own), IMAGINE_EINVAL);
    ck_assert_int_eq(imagine_storage_new(NULL, &own_driver, &own), IMAGINE_EINVAL);
}
END_TEST

START_TEST(a_longer_driver_is_accepted_while_its_end_is_zero) {
    struct {
        imagine_storage_driver_t driver;
        char later[8];
    } newer = {.driver = own_driver};
    imagine_storage_t *storage = NULL;
    own_t own = {0};
    newer.driver.size = sizeof(newer);
    ck_assert_int_eq(imagine_storage_new(&storage, &newer.driver, &own), 0);
    ck_assert_uint_eq(imagine_storage_driver(storage, NULL)->size,
                      sizeof(imagine_storage_driver_t));
    imagine_storage_close(storage, NULL, NULL);
    own.closed(own.closed_user);
    newer.later[7] = 1;
    ck_assert_int_eq(imagine_storage_new(&storage, &newer.driver, &own), IMAGINE_EINVAL);
}
END_TEST

START_TEST(the_driver_struct_has_no_padding_at_its_end) {
    ck_assert_uint_eq(offsetof(imagine_storage_driver_t, watch) + sizeof(own_driver.watch),
                      sizeof(imagine_storage_driver_t));
    ck_assert_uint_eq(offsetof(imagine_storage_driver_t, start), 24);
    ck_assert_uint_eq(offsetof(imagine_storage_driver_t, close), 72);
}
END_TEST

static Suite *open_suite(void) {
    Suite *suite = suite_create("storage/open");
    TCase *tests = tcase_create("open");
    memset(long_path, 'x', sizeof(long_path) - 1);
    memcpy(long_path, "sqlite:/", 8);
    memset(long_prefix, 'x', sizeof(long_prefix) - 1);
    memcpy(long_prefix, "upstash:https://:t@h?prefix=", 28);
    memset(long_token, 'x', sizeof(long_token) - 1);
    memcpy(long_token, "upstash:https://:", 17);
    memcpy(long_token + sizeof(long_token) - 3, "@h", 2);
    tcase_add_loop_test(tests, an_address_names_a_driver_or_says_what_is_wrong, 0,
                        (int)(sizeof(url_cases) / sizeof(url_cases[0])));
    tcase_add_test(tests, without_a_place_for_the_handle_nothing_is_opened);
    tcase_add_loop_test(tests, without_memory_nothing_is_opened, 0,
                        (int)(sizeof(opened) / sizeof(opened[0])));
    tcase_add_test(tests, the_built_in_drivers_say_what_they_can);
    tcase_add_test(tests, a_driver_is_copied_and_closed_once);
    tcase_add_test(tests, closing_nothing_is_fine);
    tcase_add_loop_test(tests, a_driver_without_one_of_its_functions_is_refused, 0, 10);
    tcase_add_test(tests, a_longer_driver_is_accepted_while_its_end_is_zero);
    tcase_add_test(tests, the_driver_struct_has_no_padding_at_its_end);
    suite_add_tcase(suite, tests);
    return suite;
}

IMI_CHECK_MAIN(open_suite)
