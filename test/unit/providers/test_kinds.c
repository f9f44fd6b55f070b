/* test_kinds.c: providers that only a catalogue declares: the kinds themselves are no providers,
 * and the files in examples/catalogue/ are good ones. */
#include <stdio.h>
#include <string.h>

#include "imagine.h"
#include "support/check_main.h"
#include "support/script_io.h"

static script_io_t *script;
static imagine_t *im;

static void set_up(void) {
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    script = script_io_open("", 0);
    options.io = script_io_table(script);
    ck_assert_int_eq(imagine_open(&im, &options), 0);
}

static void on_closed(void *user) {
    *(int *)user = 1;
}

static void tear_down(void) {
    int is_closed = 0;
    imagine_close(im, on_closed, &is_closed);
    while (!is_closed)
        ck_assert(script_io_step(script));
    script_io_close(script);
}

static void assert_listed(const char *name, int is_listed) {
    char *providers = imagine_providers(im), quoted[64];
    ck_assert_ptr_nonnull(providers);
    snprintf(quoted, sizeof(quoted), "\"%s\"", name);
    ck_assert_msg((strstr(providers, quoted) != NULL) == is_listed, "%s in %s", name, providers);
    imagine_free(providers);
}

static const char *const kinds[] = {"comfyui", "gradio", "sdwebui"};

START_TEST(a_kind_is_no_provider) { /* _i walks kinds */
    imagine_token_stats_t stats = {.size = sizeof(stats)};
    assert_listed(kinds[_i], 0);
    ck_assert_int_eq(imagine_set_tokens(im, kinds[_i], "t"), IMAGINE_EPROVIDER);
    ck_assert_int_eq(imagine_token_stats(im, kinds[_i], &stats), IMAGINE_EPROVIDER);
}
END_TEST

START_TEST(an_entry_of_that_name_is_one) { /* _i walks kinds */
    char document[200];
    snprintf(document, sizeof(document),
             "{\"providers\":{\"%s\":{\"api_base\":\"http://10.0.0.2:1\"}}}", kinds[_i]);
    ck_assert_int_eq(imagine_set_catalogue(im, document, strlen(document), NULL), 0);
    assert_listed(kinds[_i], 1);
    ck_assert_int_eq(imagine_set_tokens(im, kinds[_i], "t"), 0);
}
END_TEST

static const struct {
    const char *file, *provider;
    const char *models[3]; /* some of them */
} examples[] = {
    {"comfyui.json", "my-comfy", {"my-comfy/sdxl", "my-comfy/sdxl-edit", "my-comfy/upscale"}},
    {"gradio.json", "my-space", {"my-space/flux", "my-space/flux-edit"}},
    {"openai.json", "my-llm", {"my-llm/small", "my-llm/picture"}},
    {"sdwebui.json", "my-gpu", {"my-gpu/sdxl", "my-gpu/sd-1.5", "my-gpu/upscale"}},
};

/* As the server reads it: by the setting. */
START_TEST(an_example_declares_a_provider_that_needs_no_token) { /* _i walks examples */
    imagine_settings_t *settings = NULL;
    char path[200], *message = NULL, *models;
    snprintf(path, sizeof(path), "examples/catalogue/%s", examples[_i].file);
    ck_assert_int_eq(imagine_settings_open(&settings), 0);
    ck_assert_int_eq(imagine_settings_set(settings, "CATALOGUE", path), 0);
    ck_assert_int_eq(imagine_settings_set(settings, "STATE_FILE", ":memory:"), 0);
    ck_assert_msg(imagine_configure(im, settings, &message) == 0, "%s: %s", path, message);
    imagine_settings_close(settings);
    assert_listed(examples[_i].provider, 1);
    models = imagine_models(im, 0);
    ck_assert_ptr_nonnull(models);
    for (size_t i = 0; i < 3 && examples[_i].models[i] != NULL; i++)
        ck_assert_msg(strstr(models, examples[_i].models[i]) != NULL, "%s lacks %s", models,
                      examples[_i].models[i]);
    imagine_free(models);
}
END_TEST

static Suite *kinds_suite(void) {
    Suite *suite = suite_create("kinds");
    TCase *tcase = tcase_create("kinds");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, a_kind_is_no_provider, 0, sizeof(kinds) / sizeof(kinds[0]));
    tcase_add_loop_test(tcase, an_entry_of_that_name_is_one, 0, sizeof(kinds) / sizeof(kinds[0]));
    tcase_add_loop_test(tcase, an_example_declares_a_provider_that_needs_no_token, 0,
                        sizeof(examples) / sizeof(examples[0]));
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(kinds_suite)
