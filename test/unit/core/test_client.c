/* test_client.c: opening a client on a host's own table, and what registering a provider says. */
#include "imagine.h"

#include <stddef.h>
#include <string.h>

#include "imagine/io.h"
#include "imagine/provider.h"
#include "support/check_main.h"
#include "support/virtual_io.h"

/* Function pointers are read and written as bytes: ISO C has no other way for all of them. */
#define ROW(member, is_required) \
    { #member, offsetof(imagine_io_t, member), is_required }
static const struct {
    const char *name;
    size_t offset;
    bool is_required;
} functions[] = {
    ROW(http_start, true),   ROW(http_cancel, true), ROW(http_pause, false), ROW(timer_start, true),
    ROW(timer_cancel, true), ROW(now_ms, true),      ROW(unix_ms, true),     ROW(random, true),
    ROW(log, false),         ROW(await, false),
};
#define FUNCTION_COUNT ((int)(sizeof(functions) / sizeof(functions[0])))

static virtual_io_t *virtual;

static void set_up(void) {
    virtual = virtual_io_open();
}

static void tear_down(void) {
    virtual_io_close(virtual);
}

static void close_client(imagine_t *im) {
    imagine_close(im, NULL, NULL);
    virtual_io_advance(virtual, 1000);
}

START_TEST(a_table_without_a_required_function_is_refused) { /* _i walks functions */
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    imagine_io_t io = *virtual_io_table(virtual);
    imagine_t *im = (imagine_t *)(void *)&io;
    int err;
    memset((char *)&io + functions[_i].offset, 0, sizeof(io.now_ms));
    options.io = &io;
    err = imagine_open(&im, &options);
    ck_assert_msg(err == (functions[_i].is_required ? IMAGINE_EINVAL : 0), "%s: %s",
                  functions[_i].name, imagine_err_name(err));
    ck_assert_msg((im == NULL) == functions[_i].is_required, "%s", functions[_i].name);
    close_client(im);
}
END_TEST

START_TEST(a_table_that_is_cut_short_is_refused) {
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    imagine_io_t io = *virtual_io_table(virtual);
    imagine_t *im = NULL;
    io.size = offsetof(imagine_io_t, random);
    options.io = &io;
    ck_assert_int_eq(imagine_open(&im, &options), IMAGINE_EINVAL);
    ck_assert_ptr_null(im);
}
END_TEST

START_TEST(an_allocator_without_a_function_is_refused) {
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    imagine_allocator_t allocator = {NULL, NULL};
    imagine_t *im = NULL;
    options.io = virtual_io_table(virtual);
    options.allocator = &allocator;
    ck_assert_int_eq(imagine_open(&im, &options), IMAGINE_EINVAL);
    ck_assert_ptr_null(im);
}
END_TEST

/* ---- providers ---------------------------------------------------------------------------------
 */

static void generate(imagine_call_t *call) {
    imagine_call_fail(call, IMAGINE_EUPSTREAM, "never called");
}

static const struct {
    const char *name, *catalogue, *line;
} entry_cases[] = {
    {"no JSON", "{\"models\":[}",
     "0 provider.refused provider=acme reason=\"its catalogue entry is not valid JSON\""},
    {"no address", "{\"api_base\":\"ftp://x\"}",
     "0 provider.refused provider=acme reason=\"providers.acme.api_base: an http or https address "
     "without query expected\""},
    {"a model without a key", "{\"models\":[{\"type\":[\"text2image\"]}]}",
     "0 provider.refused provider=acme reason=\"providers.acme.models[0].key: missing\""},
};
#define ENTRY_CASE_COUNT ((int)(sizeof(entry_cases) / sizeof(entry_cases[0])))

START_TEST(the_log_says_what_is_wrong_with_a_providers_entry) { /* _i walks entry_cases */
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    imagine_provider_t provider = {.size = sizeof(provider),
                                   .name = "acme",
                                   .catalogue = entry_cases[_i].catalogue,
                                   .generate = generate};
    imagine_t *im = NULL;
    options.io = virtual_io_table(virtual);
    ck_assert_int_eq(imagine_open(&im, &options), 0);
    ck_assert_int_eq(imagine_register_provider(im, &provider), IMAGINE_EINVAL);
    ck_assert_msg(strstr(virtual_io_log(virtual), entry_cases[_i].line) != NULL, "%s: %s",
                  entry_cases[_i].name, virtual_io_log(virtual));
    provider.catalogue = "{}";
    ck_assert_int_eq(imagine_register_provider(im, &provider), 0); /* nothing of it was kept */
    close_client(im);
}
END_TEST

static Suite *client_suite(void) {
    Suite *suite = suite_create("client");
    TCase *tcase = tcase_create("client");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, a_table_without_a_required_function_is_refused, 0, FUNCTION_COUNT);
    tcase_add_test(tcase, a_table_that_is_cut_short_is_refused);
    tcase_add_test(tcase, an_allocator_without_a_function_is_refused);
    tcase_add_loop_test(tcase, the_log_says_what_is_wrong_with_a_providers_entry, 0,
                        ENTRY_CASE_COUNT);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(client_suite)
