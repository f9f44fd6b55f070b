/* fuzz_catalogue.c: any bytes at all as a user's catalogue document.
 *
 *   It is refused with one line, or it makes a catalogue in which everything is found that is
 *   listed; laying it over once more changes nothing (RFC 7396), and the one below never changes.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalogue/catalogue.h"
#include "imagine.h"
#include "wire/json.h"

#define PROVE(condition)                                                              \
    do {                                                                              \
        if (!(condition)) {                                                           \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                  \
        }                                                                             \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void prove_line(const char *message) {
    PROVE(message != NULL && message[0] != '\0' && strlen(message) <= 500);
    PROVE(imi_utf8_valid(message, strlen(message)));
    for (; *message != '\0'; message++)
        PROVE((unsigned char)*message >= ' ');
}

static void prove_model(const imi_catalogue_t *catalogue, const imi_catalogue_provider_t *provider,
                        const imi_model_t *model) {
    static const char *const paths[] = {"space", "data", "steps.default", "instruction", "a.b"};
    PROVE(imi_catalogue_model(catalogue, provider->name, model->key) == model);
    PROVE(imi_catalogue_model(catalogue, provider->name, strchr(model->id, '/') + 1) != NULL);
    PROVE(strncmp(model->id, provider->name, strlen(provider->name)) == 0);
    PROVE(model->types != 0 && model->api_id[0] != '\0');
    PROVE(model->hd_scale >= 0.25 && model->hd_scale <= 4);
    PROVE(imi_json_valid(imi_slice_of(model->json), 40, NULL));
    if (model->steps.is_set)
        PROVE(model->steps.min >= 1 && model->steps.value >= model->steps.min &&
              model->steps.value <= model->steps.max);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        imi_slice_t value = imi_catalogue_option(catalogue, provider, model, "generate", paths[i]);
        PROVE(value.data == NULL || imi_json_valid(value, 40, NULL));
    }
}

static void prove_whole(const imi_catalogue_t *catalogue) {
    for (size_t i = 0; i < imi_catalogue_provider_count(catalogue); i++) {
        const imi_catalogue_provider_t *provider = imi_catalogue_provider_at(catalogue, i);
        bool is_probed = false;
        PROVE(imi_catalogue_find(catalogue, provider->name) == provider);
        PROVE(imi_quota_until(provider, INT64_C(1767830400000), 0, &is_probed) >
              INT64_C(1767830400000));
        for (size_t k = 0; k < provider->model_count; k++)
            prove_model(catalogue, provider, &provider->models[k]);
    }
}

static void prove_same(const imi_catalogue_t *a, const imi_catalogue_t *b) {
    size_t count = imi_catalogue_provider_count(a);
    PROVE(count == imi_catalogue_provider_count(b));
    for (size_t i = 0; i < count; i++) {
        const imi_catalogue_provider_t *left = imi_catalogue_provider_at(a, i);
        const imi_catalogue_provider_t *right = imi_catalogue_provider_at(b, i);
        PROVE(left->model_count == right->model_count);
        PROVE(strcmp(left->name, right->name) == 0 && strcmp(left->kind, right->kind) == 0);
        PROVE(strcmp(left->api_base, right->api_base) == 0 && left->quota == right->quota);
        for (size_t k = 0; k < left->model_count; k++)
            PROVE(strcmp(left->models[k].json, right->models[k].json) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static imi_catalogue_t *builtin, *untouched;
    imi_slice_t document = {(const char *)data, size};
    imi_catalogue_t *once = NULL, *twice = NULL;
    char *message = NULL;
    int err = 0;
    if (builtin == NULL)
        PROVE(imi_catalogue_builtin(&builtin, NULL) == 0 &&
              imi_catalogue_builtin(&untouched, NULL) == 0);
    err = imi_catalogue_new(&once, NULL, builtin, document, &message);
    if (err != 0) {
        PROVE(err == IMAGINE_EINVAL && once == NULL);
        prove_line(message);
        imi_mem_free(NULL, message);
        return 0;
    }
    PROVE(message == NULL && imi_json_valid(document, 32, NULL) == (size < 3 || data[0] != 0xef));
    prove_whole(once);
    PROVE(imi_catalogue_new(&twice, NULL, once, document, NULL) == 0);
    prove_same(once, twice);
    prove_same(builtin, untouched);
    imi_catalogue_release(once);
    imi_catalogue_release(twice);
    return 0;
}
