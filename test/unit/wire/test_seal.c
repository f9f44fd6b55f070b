/* test_seal.c: a value sealed by another implementation (Node's crypto) comes out the same; every
 * change of every byte of it, of its context and of its key is noticed. */
#include "wire/seal.h"

#include <openssl/err.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../support/check_main.h"
#include "../../support/failing_mem.h"
#include "wire/str.h"

static const uint8_t nonce[12] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
static const char passphrase[] = "correct horse";
static const char context[] = "task:17";
static const char secret[] = "token-a";
static const char sealed[] = "v1.AAECAwQFBgcICQoLN4gw6qEbEv4Keg1mwLGseGyjOxy5w+s=";

static imi_seal_key_t key;
static imi_arena_t arena;

static void set_up(void) {
    imi_arena_init(&arena, NULL, 0);
    ck_assert(imi_seal_key_derive(&key, passphrase));
}

static void tear_down(void) {
    imi_arena_reset(&arena);
}

START_TEST(the_key_is_hkdf) {
    char hex[65];
    imi_hex(hex, key.bytes, sizeof(key.bytes));
    ck_assert_str_eq(hex, "b5e03f4ff4b8dfbec990185b97f0f1318a859c2435e42dc67a06f5ca83c40d38");
}
END_TEST

START_TEST(there_is_no_key_of_nothing) {
    imi_seal_key_t none;
    ck_assert(!imi_seal_key_derive(&none, NULL));
    ck_assert(!imi_seal_key_derive(&none, ""));
}
END_TEST

START_TEST(a_secret_is_sealed_as_the_format_says) {
    ck_assert_str_eq(imi_seal(&arena, &key, nonce, context, secret), sealed);
    ck_assert_str_eq(imi_unseal(&arena, &key, context, sealed), secret);
}
END_TEST

START_TEST(any_length_comes_back) {
    char text[201];
    for (size_t size = 0; size < sizeof(text); size++) {
        const char *box = NULL, *back = NULL;
        memset(text, 'x', size);
        text[size] = '\0';
        box = imi_seal(&arena, &key, nonce, "", text);
        ck_assert_ptr_nonnull(box);
        back = imi_unseal(&arena, &key, "", box);
        ck_assert_ptr_nonnull(back);
        ck_assert_str_eq(back, text);
    }
}
END_TEST

START_TEST(every_changed_byte_is_noticed) {
    char box[sizeof(sealed)];
    for (size_t at = 0; at < sizeof(sealed) - 1; at++) {
        for (int c = 0; c < 256; c++) {
            if (c == (unsigned char)sealed[at])
                continue;
            memcpy(box, sealed, sizeof(sealed));
            box[at] = (char)c;
            ck_assert_msg(imi_unseal(&arena, &key, context, box) == NULL, "byte %zu as %02x", at,
                          (unsigned)c);
        }
    }
}
END_TEST

START_TEST(every_missing_and_every_added_byte_is_noticed) {
    char box[sizeof(sealed) + 1];
    for (size_t at = 0; at < sizeof(sealed) - 1; at++) {
        memcpy(box, sealed, at);
        memcpy(box + at, sealed + at + 1, sizeof(sealed) - at - 1);
        ck_assert_msg(imi_unseal(&arena, &key, context, box) == NULL, "without byte %zu", at);
        memcpy(box, sealed, at);
        box[at] = '\0';
        ck_assert_msg(imi_unseal(&arena, &key, context, box) == NULL, "cut at %zu", at);
    }
    for (size_t at = 0; at < sizeof(sealed); at++) {
        for (size_t i = 0; i < 4; i++) { /* base64 elsewhere takes some of these */
            memcpy(box, sealed, at);
            box[at] = "\n=A "[i];
            memcpy(box + at + 1, sealed + at, sizeof(sealed) - at);
            ck_assert_msg(imi_unseal(&arena, &key, context, box) == NULL, "more at %zu", at);
        }
    }
}
END_TEST

START_TEST(another_key_or_context_opens_nothing) {
    imi_seal_key_t other = key;
    ck_assert_ptr_null(imi_unseal(&arena, &key, "task:18", sealed));
    ck_assert_ptr_null(imi_unseal(&arena, &key, "task:1", sealed));
    ck_assert_ptr_null(imi_unseal(&arena, &key, "", sealed));
    for (size_t i = 0; i < sizeof(other.bytes); i++) {
        other.bytes[i] ^= 1;
        ck_assert_ptr_null(imi_unseal(&arena, &other, context, sealed));
        other.bytes[i] ^= 1;
    }
    ck_assert_ptr_nonnull(imi_unseal(&arena, &other, context, sealed));
}
END_TEST

START_TEST(what_is_not_ours_is_refused) {
    static const char *const texts[] = {"",
                                        "v1",
                                        "v1.",
                                        "v2.AAECAwQF",
                                        "token-a",
                                        "v1.AAAA",
                                        "v1.AAECAwQFBgcICQoLN4gw6qEbEv4Keg1mwLE=",
                                        "v1.!!!!",
                                        "V1.AAECAwQFBgcICQoLN4gw6qEbEv4Keg1mwLGseGyjOxy5w+s="};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        ck_assert_msg(imi_unseal(&arena, &key, context, texts[i]) == NULL, "%s", texts[i]);
}
END_TEST

START_TEST(there_is_a_limit_of_64_kib) {
    enum { LIMIT = 64 * 1024 };
    char *text = malloc(3 * LIMIT + 1);
    const char *box = NULL;
    ck_assert_ptr_nonnull(text);
    memset(text, 'A', 3 * LIMIT);
    memcpy(text, "v1.", 3);
    text[3 * LIMIT] = '\0';
    ck_assert_ptr_null(imi_unseal(&arena, &key, context, text));
    text[LIMIT + 1] = '\0';
    ck_assert_ptr_null(imi_seal(&arena, &key, nonce, context, text));
    ck_assert_ptr_null(imi_seal(&arena, &key, nonce, text, secret));
    ck_assert_ptr_null(imi_unseal(&arena, &key, text, sealed));
    text[LIMIT] = '\0';
    box = imi_seal(&arena, &key, nonce, context, text);
    ck_assert_ptr_nonnull(box);
    ck_assert_str_eq(imi_unseal(&arena, &key, context, box), text);
    free(text);
}
END_TEST

START_TEST(the_hosts_error_queue_stays_as_it_was) {
    char box[sizeof(sealed)];
    memcpy(box, sealed, sizeof(sealed));
    box[10] = 'B';
    ERR_clear_error();
    ERR_raise(ERR_LIB_USER, 42);
    ck_assert_ptr_null(imi_unseal(&arena, &key, context, box));
    ck_assert_int_eq(ERR_GET_REASON(ERR_get_error()), 42);
    ck_assert_uint_eq(ERR_get_error(), 0);
}
END_TEST

START_TEST(any_failing_allocation_gives_nothing) {
    for (size_t fail_at = 1, has_failed = 1; has_failed != 0; fail_at++) {
        failing_mem_t failing;
        imi_arena_t failing_arena;
        const char *box = NULL, *back = NULL;
        failing_mem_init(&failing, fail_at);
        imi_arena_init(&failing_arena, &failing.mem, 1);
        box = imi_seal(&failing_arena, &key, nonce, context, secret);
        back = imi_unseal(&failing_arena, &key, context, sealed);
        has_failed = failing.has_failed;
        ck_assert((box == NULL || back == NULL) == (has_failed != 0));
        imi_arena_reset(&failing_arena);
        ck_assert_uint_eq(failing.live_count, 0);
    }
}
END_TEST

/* Looks into every block that is given back. */
typedef struct watch {
    imi_mem_t mem;
    size_t freed_count;
    size_t leak_count; /* blocks that still held the secret */
} watch_t;

typedef struct watched {
    size_t size;
    max_align_t data[];
} watched_t;

static void *watch_resize(void *user, void *pointer, size_t size) {
    watch_t *watch = user;
    watched_t *old =
        pointer == NULL ? NULL : (watched_t *)((char *)pointer - offsetof(watched_t, data));
    watched_t *block = NULL;
    if (size != 0) {
        block = calloc(1, sizeof(*block) + size);
        ck_assert_ptr_nonnull(block);
        block->size = size;
    }
    if (old != NULL) {
        if (block != NULL)
            memcpy(block->data, old->data, old->size < size ? old->size : size);
        watch->freed_count++;
        watch->leak_count += memmem(old->data, old->size, secret, strlen(secret)) != NULL ? 1 : 0;
        free(old);
    }
    return block == NULL ? NULL : block->data;
}

START_TEST(no_plain_text_is_left_in_freed_memory) {
    watch_t watch = {.mem = {watch_resize, &watch}};
    imi_arena_t watched_arena;
    imi_arena_init(&watched_arena, &watch.mem, 0);
    ck_assert_ptr_nonnull(imi_seal(&watched_arena, &key, nonce, context, secret));
    ck_assert_ptr_nonnull(imi_unseal(&watched_arena, &key, context, sealed));
    ck_assert_ptr_null(imi_unseal(&watched_arena, &key, "task:18", sealed));
    ck_assert_uint_gt(watch.freed_count, 0);
    ck_assert_uint_eq(watch.leak_count, 0);
    imi_arena_reset(&watched_arena);
}
END_TEST

static Suite *seal_suite(void) {
    Suite *suite = suite_create("seal");
    TCase *tcase = tcase_create("seal");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, the_key_is_hkdf);
    tcase_add_test(tcase, there_is_no_key_of_nothing);
    tcase_add_test(tcase, a_secret_is_sealed_as_the_format_says);
    tcase_add_test(tcase, any_length_comes_back);
    tcase_add_test(tcase, every_changed_byte_is_noticed);
    tcase_add_test(tcase, every_missing_and_every_added_byte_is_noticed);
    tcase_add_test(tcase, another_key_or_context_opens_nothing);
    tcase_add_test(tcase, what_is_not_ours_is_refused);
    tcase_add_test(tcase, there_is_a_limit_of_64_kib);
    tcase_add_test(tcase, the_hosts_error_queue_stays_as_it_was);
    tcase_add_test(tcase, any_failing_allocation_gives_nothing);
    tcase_add_test(tcase, no_plain_text_is_left_in_freed_memory);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(seal_suite)
