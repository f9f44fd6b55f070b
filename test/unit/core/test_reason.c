/* test_reason.c: what of a provider's words may stand in a log. */
#include "core/reason.h"

#include <string.h>

#include "core/secret.h"
#include "support/check_main.h"
#include "support/random.h"
#include "support/virtual_io.h"

static virtual_io_t *virtual;
static imagine_t *im;
static imi_arena_t arena;

static void set_up(void) {
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    virtual = virtual_io_open();
    options.io = virtual_io_table(virtual);
    ck_assert_int_eq(imagine_open(&im, &options), 0);
    ck_assert_int_eq(imi_secrets_add(im, "tokenSECRET"), 0);
    imi_arena_init(&arena, NULL, 0);
}

static void tear_down(void) {
    imi_arena_reset(&arena);
    imagine_close(im, NULL, NULL);
    virtual_io_advance(virtual, 1000);
    virtual_io_close(virtual);
}

static const struct {
    const char *name, *message, *prompt, *reason;
} reason_cases[] = {
    {"nothing", NULL, "a cat", ""},
    {"plain words", "the quota is spent", "a cat", "the quota is spent"},
    {"no prompt", "the quota is spent", NULL, "the quota is spent"},
    {"a secret", "you sent tokenSECRET", "a cat", "you sent ***********"},
    {"quotes, which end a value", "say \"a\\b\"", NULL, "say 'a'b'"},
    {"lines", "one\ntwo", NULL, "one two"},
    {"the whole prompt", "refused: a cat in the rain", "a cat in the rain",
     "refused: *****************"},
    {"its beginning", "refused: a cat in the r…", "a cat in the rain, oil on canvas",
     "refused: **************…"},
    {"its middle", "near 'in the rain, o'", "a cat in the rain, oil on canvas",
     "near '**************'"},
    {"a short one", "refused: a cat", "a cat", "refused: *****"},
    {"twice", "a cat? a cat!", "a cat", "*****? *****!"},
    {"fewer bytes than a quotation has", "a cat is fine", "one cat is fond", "a cat is fine"},
    {"one of three bytes", "the rate", "rat", "the rate"},
    {"characters of several bytes", "提示词“一只在雨中的猫”不合规", "一只在雨中的猫",
     "提示词“*********************”不合规"},
};
#define REASON_CASE_COUNT ((int)(sizeof(reason_cases) / sizeof(reason_cases[0])))

START_TEST(a_reason_for_the_log) { /* _i walks reason_cases */
    const char *reason = imi_reason(im, &arena, reason_cases[_i].message, reason_cases[_i].prompt);
    ck_assert_msg(strcmp(reason, reason_cases[_i].reason) == 0, "%s: %s", reason_cases[_i].name,
                  reason);
}
END_TEST

START_TEST(it_is_cut_by_characters) {
    char text[3 * 400 + 1] = "";
    for (int i = 0; i < 200; i++)
        memcpy(text + 3 * i, "猫", 4);
    ck_assert_uint_eq(strlen(imi_reason(im, &arena, text, NULL)), 3 * IMI_REASON_CHARACTERS_MAX);
}
END_TEST

/* Whatever piece of whatever prompt a provider quotes. */
START_TEST(no_run_of_the_prompt_is_left) { /* _i: the seed */
    uint64_t seed = (uint64_t)_i + 1;
    for (int round = 0; round < 200; round++) {
        char prompt[301] = "", message[200] = "reason: ";
        size_t at = random_below(&seed, 200), size = 12 + random_below(&seed, 80);
        const char *reason;
        for (size_t i = 0; i < 300; i++)
            prompt[i] = "abc \xE7\x8C\xAB,"[random_below(&seed, 8)];
        memcpy(message + strlen(message), prompt + at, size);
        reason = imi_reason(im, &arena, message, prompt);
        for (size_t i = 0; i + 12 <= strlen(reason); i++) {
            char run[13] = "";
            memcpy(run, reason + i, 12);
            ck_assert_msg(strstr(prompt, run) == NULL, "seed %d: %s", _i, reason);
        }
    }
}
END_TEST

static Suite *reason_suite(void) {
    Suite *suite = suite_create("reason");
    TCase *tcase = tcase_create("reason");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, a_reason_for_the_log, 0, REASON_CASE_COUNT);
    tcase_add_test(tcase, it_is_cut_by_characters);
    tcase_add_loop_test(tcase, no_run_of_the_prompt_is_left, 0, 5);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(reason_suite)
