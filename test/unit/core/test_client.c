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

static const struct {
    const char *name, *document, *message; /* NULL: it is taken */
} kind_cases[] = {
    {"no kind", "{\"providers\":{\"mine\":{\"models\":[]}}}",
     "providers.mine.kind: missing; one of "},
    {"an unknown one", "{\"providers\":{\"mine\":{\"kind\":\"gradioo\"}}}",
     "providers.mine.kind: nobody speaks \"gradioo\"; one of "},
    {"one that became unknown", "{\"providers\":{\"gitee\":{\"kind\":\"gite\"}}}",
     "providers.gitee.kind: nobody speaks \"gite\"; one of "},
    {"a built-in one", "{\"providers\":{\"mine\":{\"kind\":\"gitee\"}}}", NULL},
    {"one that is no provider by itself", "{\"providers\":{\"mine\":{\"kind\":\"comfyui\"}}}",
     NULL},
    {"a host's", "{\"providers\":{\"mine\":{\"kind\":\"acme\"}}}", NULL},
};
#define KIND_CASE_COUNT ((int)(sizeof(kind_cases) / sizeof(kind_cases[0])))

START_TEST(a_document_may_only_name_kinds_that_somebody_speaks) { /* _i walks kind_cases */
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    imagine_provider_t provider = {.size = sizeof(provider), .name = "acme", .generate = generate};
    imagine_t *im = NULL;
    char *message = NULL, *names;
    int err;
    options.io = virtual_io_table(virtual);
    ck_assert_int_eq(imagine_open(&im, &options), 0);
    ck_assert_int_eq(imagine_register_provider(im, &provider), 0);
    err = imagine_set_catalogue(im, kind_cases[_i].document, strlen(kind_cases[_i].document),
                                &message);
    names = imagine_providers(im);
    if (kind_cases[_i].message == NULL) {
        ck_assert_msg(err == 0, "%s: %s", kind_cases[_i].name, message);
        ck_assert_ptr_nonnull(strstr(names, "\"mine\""));
    } else {
        ck_assert_int_eq(err, IMAGINE_EINVAL);
        ck_assert_msg(strncmp(message, kind_cases[_i].message, strlen(kind_cases[_i].message)) == 0,
                      "%s: %s", kind_cases[_i].name, message);
        ck_assert_ptr_nonnull(strstr(message, "gitee, huggingface"));
        ck_assert_ptr_nonnull(strstr(message, "acme, comfyui, gradio"));
        ck_assert_ptr_null(strstr(names, "\"mine\""));
    }
    imagine_free(names);
    imagine_free(message);
    close_client(im);
}
END_TEST

START_TEST(removing_what_is_not_there_is_told_as_a_warning) {
    static const char document[] = "{\"providers\":{\"gitee\":{\"models\":["
                                   "{\"key\":\"flux-22\",\"remove\":true}]}}}";
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    imagine_t *im = NULL;
    options.io = virtual_io_table(virtual);
    options.log_level = IMAGINE_LOG_WARN;
    ck_assert_int_eq(imagine_open(&im, &options), 0);
    ck_assert_int_eq(imagine_set_catalogue(im, document, sizeof(document) - 1, NULL), 0);
    ck_assert_str_eq(virtual_io_log(virtual),
                     "1 catalogue.strange reason=\"remove: there is no model flux-22\"\n");
    close_client(im);
}
END_TEST

START_TEST(a_null_client_or_request_is_no_crash) {
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    imagine_counters_t counters = {.size = sizeof(counters)};
    imagine_request_t *request = NULL;
    const int errors[] = {
        imagine_turn(NULL, 0),
        imagine_turn_fd(NULL),
        imagine_turn_wait_ms(NULL),
        imagine_turn_wake(NULL),
        imagine_turn_await(NULL, 1, 0),
        imagine_wait_loaded(NULL),
        imagine_wait(NULL, 0),
        imagine_generate(NULL, &params, NULL, NULL, &request),
        imagine_submit(NULL, "generate", "{}", 2, NULL, NULL, &request),
        imagine_task_status(NULL, "x", NULL, NULL, &request),
        imagine_set_tokens(NULL, "gitee", "a"),
        imagine_configure_env(NULL),
        imagine_token_reset(NULL, "gitee"),
        imagine_counters(NULL, &counters),
        imagine_breaker_state(NULL, "gitee"),
    };
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
        ck_assert_msg(errors[i] == IMAGINE_EINVAL, "%zu: %s", i, imagine_err_name(errors[i]));
    ck_assert_ptr_null(imagine_models(NULL, 0));
    ck_assert_ptr_null(imagine_token_details(NULL, "gitee"));
    ck_assert_ptr_null(imagine_request_result(NULL));
    ck_assert_ptr_null(imagine_request_retain(NULL));
    imagine_cancel(NULL);
    imagine_pause(NULL, 1);
    imagine_request_release(NULL);
    imagine_log(NULL, IMAGINE_LOG_ERROR, "x");
    imagine_close(NULL, NULL, NULL);
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
    tcase_add_loop_test(tcase, a_document_may_only_name_kinds_that_somebody_speaks, 0,
                        KIND_CASE_COUNT);
    tcase_add_test(tcase, removing_what_is_not_there_is_told_as_a_warning);
    tcase_add_test(tcase, a_null_client_or_request_is_no_crash);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(client_suite)
