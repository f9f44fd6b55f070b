/* test_catalogue.c: the built-in document says what the providers' documentation says, a user's
 * document changes just what it names, and what is wrong with one is told in one line. */
#include "catalogue/catalogue.h"

#include <stdio.h>
#include <string.h>

#include "catalogue/data.h"
#include "imagine.h"
#include "wire/json.h"
#include "wire/time.h"

#include "../../support/check_main.h"
#include "../../support/failing_mem.h"

#define HOUR_MS (INT64_C(3600) * 1000)

static imi_catalogue_t *builtin;

static void set_up(void) {
    ck_assert_int_eq(imi_catalogue_builtin(&builtin, NULL), 0);
}

static void tear_down(void) {
    imi_catalogue_release(builtin);
}

/* Fails with the message that a user would see. */
static imi_catalogue_t *overlaid(const imi_catalogue_t *below, const char *document) {
    imi_catalogue_t *catalogue = NULL;
    char *message = NULL;
    int err = imi_catalogue_new(&catalogue, NULL, below, imi_slice_of(document), &message);
    ck_assert_msg(err == 0, "%s: %s", document, message != NULL ? message : "no message");
    ck_assert_ptr_null(message);
    return catalogue;
}

static const char *option(const imi_catalogue_t *catalogue, const char *provider, const char *key,
                          const char *action, const char *path) {
    static char text[4096];
    imi_slice_t value =
        imi_catalogue_option(catalogue, imi_catalogue_find(catalogue, provider),
                             imi_catalogue_model(catalogue, provider, key), action, path);
    if (value.data == NULL)
        return "(none)";
    ck_assert_uint_lt(value.size, sizeof(text));
    memcpy(text, value.data, value.size);
    text[value.size] = '\0';
    return text;
}

/* ---- what comes with the library --------------------------------------------------------------
 */

static const struct {
    const char *name, *api_base;
    bool has_hd;
    size_t model_count;
    imi_quota_rule_t quota;
    int32_t offset_minutes;
    uint32_t hours;
} providers[] = {
    {"gitee", "https://ai.gitee.com/v1", true, 10, IMI_QUOTA_DAY, 480, 24},
    {"huggingface", "", true, 10, IMI_QUOTA_ROLLING, 0, 24},
    {"modelscope", "https://api-inference.modelscope.cn/v1", true, 7, IMI_QUOTA_DAY, 480, 24},
    {"a4f", "https://api.a4f.co/v1", false, 11, IMI_QUOTA_CREDIT, 0, 6},
    {"modelslab", "https://modelslab.com/api/v6", false, 5, IMI_QUOTA_CREDIT, 0, 6},
    {"gemini", "https://generativelanguage.googleapis.com/v1beta", false, 15, IMI_QUOTA_DAY_PACIFIC,
     0, 24},
    {"grok", "https://api.x.ai/v1", false, 7, IMI_QUOTA_CREDIT, 0, 6},
    {"openai", "https://api.openai.com/v1", false, 9, IMI_QUOTA_CREDIT, 0, 6},
    {"sample", "", false, 3, IMI_QUOTA_DAY, 0, 24},
};

START_TEST(the_providers_come_in_order_with_their_rules) { /* _i walks providers */
    const imi_catalogue_provider_t *entry = imi_catalogue_provider_at(builtin, (size_t)_i);
    ck_assert_str_eq(entry->name, providers[_i].name);
    ck_assert_str_eq(entry->kind, providers[_i].name);
    ck_assert_str_eq(entry->api_base, providers[_i].api_base);
    ck_assert_int_eq(entry->has_hd, providers[_i].has_hd);
    ck_assert_uint_eq(entry->model_count, providers[_i].model_count);
    ck_assert_int_eq(entry->quota, providers[_i].quota);
    ck_assert_int_eq(entry->quota_offset_minutes, providers[_i].offset_minutes);
    ck_assert_uint_eq(entry->quota_hours, providers[_i].hours);
    ck_assert_int_eq(entry->is_quota_per_model, strcmp(entry->name, "gemini") == 0);
    ck_assert_ptr_eq(imi_catalogue_find(builtin, providers[_i].name), entry);
}
END_TEST

START_TEST(there_are_no_other_providers) {
    size_t count = sizeof(providers) / sizeof(providers[0]);
    ck_assert_uint_eq(imi_catalogue_provider_count(builtin), count);
    ck_assert_ptr_null(imi_catalogue_provider_at(builtin, count));
    ck_assert_ptr_null(imi_catalogue_find(builtin, "midjourney"));
    ck_assert_ptr_null(imi_catalogue_find(builtin, ""));
    ck_assert_ptr_null(imi_catalogue_find(builtin, "Gitee"));
}
END_TEST

static const struct {
    const char *provider, *asked, *key, *id, *api_id;
    uint32_t types;
    double steps[3]; /* range, default */
    double guidance[3];
    double hd_scale;
} models[] = {
    {"gitee",
     "z-image-turbo",
     "z-image-turbo",
     "gitee/z-image-turbo",
     "z-image-turbo",
     IMI_TYPE_TEXT2IMAGE,
     {1, 20, 9},
     {0},
     2},
    {"gitee",
     "qwen-image",
     "qwen-image",
     "gitee/qwen-image",
     "Qwen-Image",
     IMI_TYPE_TEXT2IMAGE,
     {1, 20, 9},
     {0},
     2},
    {"gitee",
     "flux-2",
     "flux-2",
     "gitee/flux-2",
     "FLUX.2-dev",
     IMI_TYPE_TEXT2IMAGE,
     {1, 50, 9},
     {1, 10, 3.5},
     1.5},
    {"gitee",
     "flux-1-schnell",
     "flux-1-schnell",
     "gitee/flux-1-schnell",
     "flux-1-schnell",
     IMI_TYPE_TEXT2IMAGE,
     {1, 10, 9},
     {0},
     1.5},
    {"gitee",
     "flux-1-krea",
     "flux-1-krea",
     "gitee/flux-1-krea",
     "FLUX_1-Krea-dev",
     IMI_TYPE_TEXT2IMAGE,
     {1, 50, 9},
     {1, 10, 3.5},
     1.5},
    {"gitee",
     "flux-1",
     "flux-1",
     "gitee/flux-1",
     "FLUX.1-dev",
     IMI_TYPE_TEXT2IMAGE,
     {1, 50, 9},
     {1, 10, 3.5},
     1.5},
    {"gitee",
     "qwen-image-edit",
     "qwen-image-edit",
     "gitee/qwen-image-edit",
     "Qwen-Image-Edit",
     IMI_TYPE_IMAGE2IMAGE,
     {1, 20, 16},
     {1, 10, 4},
     2},
    {"gitee",
     "wan2.2-i2v",
     "wan2.2-i2v",
     "gitee/wan2.2-i2v",
     "Wan2_2-I2V-A14B",
     IMI_TYPE_IMAGE2VIDEO,
     {1, 20, 10},
     {1, 10, 4},
     2},
    {"gitee",
     "deepseek-v3",
     "deepseek-v3",
     "gitee/deepseek-v3",
     "DeepSeek-V3.2",
     IMI_TYPE_TEXT2TEXT,
     {0},
     {0},
     2},
    {"gitee",
     "qwen-3",
     "qwen-3",
     "gitee/qwen-3",
     "Qwen3-Next-80B-A3B-Instruct",
     IMI_TYPE_TEXT2TEXT,
     {0},
     {0},
     2},
    {"huggingface",
     "z-image",
     "z-image",
     "huggingface/z-image",
     "z-image",
     IMI_TYPE_TEXT2IMAGE,
     {1, 100, 30},
     {1, 20, 4},
     1},
    {"huggingface",
     "z-image-turbo",
     "z-image-turbo",
     "huggingface/z-image-turbo",
     "z-image-turbo",
     IMI_TYPE_TEXT2IMAGE,
     {1, 20, 9},
     {0},
     2},
    {"huggingface",
     "qwen-image",
     "qwen-image",
     "huggingface/qwen-image",
     "qwen-image",
     IMI_TYPE_TEXT2IMAGE,
     {1, 20, 8},
     {0},
     2},
    {"huggingface",
     "ovis-image",
     "ovis-image",
     "huggingface/ovis-image",
     "ovis-image",
     IMI_TYPE_TEXT2IMAGE,
     {1, 50, 24},
     {1, 10, 4},
     2},
    {"huggingface",
     "flux-1-schnell",
     "flux-1-schnell",
     "huggingface/flux-1-schnell",
     "flux-1-schnell",
     IMI_TYPE_TEXT2IMAGE,
     {1, 10, 4},
     {0},
     1.5},
    {"huggingface",
     "qwen-image-edit",
     "qwen-image-edit",
     "huggingface/qwen-image-edit",
     "qwen-image-edit",
     IMI_TYPE_IMAGE2IMAGE,
     {1, 20, 4},
     {0.5, 2, 1},
     2},
    {"huggingface",
     "realesrgan",
     "realesrgan",
     "huggingface/realesrgan",
     "realesrgan",
     IMI_TYPE_UPSCALER,
     {0},
     {0},
     2},
    {"huggingface",
     "RealESRGAN_x4plus",
     "realesrgan",
     "huggingface/realesrgan",
     "realesrgan",
     IMI_TYPE_UPSCALER,
     {0},
     {0},
     2},
    {"huggingface",
     "wan2_2-i2v",
     "wan2_2-i2v",
     "huggingface/wan2.2-i2v",
     "wan2.2-i2v",
     IMI_TYPE_IMAGE2VIDEO,
     {1, 20, 6},
     {1, 10, 1},
     2},
    {"huggingface",
     "wan2.2-i2v",
     "wan2_2-i2v",
     "huggingface/wan2.2-i2v",
     "wan2.2-i2v",
     IMI_TYPE_IMAGE2VIDEO,
     {1, 20, 6},
     {1, 10, 1},
     2},
    {"huggingface",
     "openai-gpt-4_1-nano",
     "openai-gpt-4_1-nano",
     "huggingface/openai-gpt-4_1-nano",
     "openai-fast",
     IMI_TYPE_TEXT2TEXT,
     {0},
     {0},
     2},
    {"huggingface",
     "openai-gpt-5-nano",
     "openai-gpt-5-nano",
     "huggingface/openai-gpt-5-nano",
     "openai",
     IMI_TYPE_TEXT2TEXT,
     {0},
     {0},
     2},
    {"modelscope",
     "z-image-turbo",
     "z-image-turbo",
     "modelscope/z-image-turbo",
     "Tongyi-MAI/Z-Image-Turbo",
     IMI_TYPE_TEXT2IMAGE,
     {1, 20, 9},
     {0},
     2},
    {"modelscope",
     "flux-2",
     "flux-2",
     "modelscope/flux-2",
     "black-forest-labs/FLUX.2-dev",
     IMI_TYPE_TEXT2IMAGE,
     {1, 50, 9},
     {1, 10, 3.5},
     2},
    {"modelscope",
     "flux-1-krea",
     "flux-1-krea",
     "modelscope/flux-1-krea",
     "black-forest-labs/FLUX.1-Krea-dev",
     IMI_TYPE_TEXT2IMAGE,
     {1, 50, 9},
     {1, 10, 3.5},
     2},
    {"modelscope",
     "flux-1",
     "flux-1",
     "modelscope/flux-1",
     "MusePublic/489_ckpt_FLUX_1",
     IMI_TYPE_TEXT2IMAGE,
     {1, 50, 9},
     {1, 10, 3.5},
     2},
    {"modelscope",
     "qwen-image-edit",
     "qwen-image-edit",
     "modelscope/qwen-image-edit",
     "Qwen/Qwen-Image-Edit-2509",
     IMI_TYPE_IMAGE2IMAGE,
     {1, 20, 16},
     {1, 10, 4},
     2},
    {"modelscope",
     "deepseek-v3",
     "deepseek-v3",
     "modelscope/deepseek-v3",
     "deepseek-ai/DeepSeek-V3.2",
     IMI_TYPE_TEXT2TEXT,
     {0},
     {0},
     2},
    {"modelscope",
     "qwen-3",
     "qwen-3",
     "modelscope/qwen-3",
     "Qwen/Qwen3-Next-80B-A3B-Instruct",
     IMI_TYPE_TEXT2TEXT,
     {0},
     {0},
     2},
    {"a4f",
     "z-image",
     "z-image",
     "a4f/z-image",
     "provider-8/z-image",
     IMI_TYPE_TEXT2IMAGE,
     {0},
     {0},
     2},
    {"a4f",
     "imagen-4",
     "imagen-4",
     "a4f/imagen-4",
     "provider-4/imagen-4",
     IMI_TYPE_TEXT2IMAGE,
     {0},
     {0},
     2},
    {"a4f",
     "imagen-3.5",
     "imagen-3.5",
     "a4f/imagen-3.5",
     "provider-4/imagen-3.5",
     IMI_TYPE_TEXT2IMAGE,
     {0},
     {0},
     2},
    {"a4f",
     "flux-schnell",
     "flux-schnell",
     "a4f/flux-schnell",
     "provider-4/flux-schnell",
     IMI_TYPE_TEXT2IMAGE,
     {0},
     {0},
     2},
    {"a4f",
     "gemini-2.5-flash-lite",
     "gemini-2.5-flash-lite",
     "a4f/gemini-2.5-flash-lite",
     "provider-5/gemini-2.5-flash-lite",
     IMI_TYPE_TEXT2TEXT,
     {0},
     {0},
     2},
    {"a4f",
     "gemini-2.0-flash",
     "gemini-2.0-flash",
     "a4f/gemini-2.0-flash",
     "provider-8/gemini-2.0-flash",
     IMI_TYPE_TEXT2TEXT,
     {0},
     {0},
     2},
    {"a4f",
     "deepseek-v3.1",
     "deepseek-v3.1",
     "a4f/deepseek-v3.1",
     "provider-2/deepseek-v3.1",
     IMI_TYPE_TEXT2TEXT,
     {0},
     {0},
     2},
    {"a4f",
     "deepseek-r1-0528",
     "deepseek-r1-0528",
     "a4f/deepseek-r1-0528",
     "provider-3/deepseek-r1-0528",
     IMI_TYPE_TEXT2TEXT,
     {0},
     {0},
     2},
    {"a4f",
     "qwen3-235b",
     "qwen3-235b",
     "a4f/qwen3-235b",
     "provider-8/qwen3-235b",
     IMI_TYPE_TEXT2TEXT,
     {0},
     {0},
     2},
    {"a4f",
     "kimi-k2-thinking",
     "kimi-k2-thinking",
     "a4f/kimi-k2-thinking",
     "provider-8/kimi-k2-thinking",
     IMI_TYPE_TEXT2TEXT,
     {0},
     {0},
     2},
    {"a4f",
     "glm-4.5",
     "glm-4.5",
     "a4f/glm-4.5",
     "provider-8/glm-4.5",
     IMI_TYPE_TEXT2TEXT,
     {0},
     {0},
     2},
    {"modelslab",
     "flux",
     "flux",
     "modelslab/flux",
     "flux",
     IMI_TYPE_TEXT2IMAGE,
     {1, 50, 30},
     {1, 20, 7.5},
     2},
    {"modelslab",
     "flux-dev",
     "flux-dev",
     "modelslab/flux-dev",
     "flux-dev",
     IMI_TYPE_TEXT2IMAGE,
     {1, 50, 30},
     {0},
     2},
    {"modelslab",
     "sdxl",
     "sdxl",
     "modelslab/sdxl",
     "sdxl",
     IMI_TYPE_TEXT2IMAGE,
     {1, 50, 30},
     {1, 20, 7.5},
     2},
    {"modelslab",
     "realistic-vision",
     "realistic-vision",
     "modelslab/realistic-vision",
     "realistic-vision-v6",
     IMI_TYPE_TEXT2IMAGE,
     {1, 50, 30},
     {1, 20, 7.5},
     2},
    {"modelslab",
     "cogvideox-5b",
     "cogvideox-5b",
     "modelslab/cogvideox-5b",
     "cogvideox-5b",
     IMI_TYPE_TEXT2VIDEO,
     {0},
     {0},
     2},
    {"gemini",
     "nano-banana-2",
     "nano-banana-2",
     "gemini/nano-banana-2",
     "gemini-3.1-flash-image-preview",
     IMI_TYPE_TEXT2IMAGE | IMI_TYPE_IMAGE2IMAGE,
     {0},
     {0},
     2},
    {"gemini",
     "nano-banana-pro",
     "nano-banana-pro",
     "gemini/nano-banana-pro",
     "gemini-3-pro-image-preview",
     IMI_TYPE_TEXT2IMAGE | IMI_TYPE_IMAGE2IMAGE,
     {0},
     {0},
     2},
    {"gemini",
     "nano-banana",
     "nano-banana",
     "gemini/nano-banana",
     "gemini-2.5-flash-image",
     IMI_TYPE_TEXT2IMAGE | IMI_TYPE_IMAGE2IMAGE,
     {0},
     {0},
     2},
    {"gemini",
     "gemini-3.1-pro",
     "gemini-3.1-pro",
     "gemini/gemini-3.1-pro",
     "gemini-3.1-pro-preview",
     IMI_TYPE_TEXT2TEXT,
     {0},
     {0},
     2},
    {"gemini",
     "gemini-3-flash",
     "gemini-3-flash",
     "gemini/gemini-3-flash",
     "gemini-3-flash-preview",
     IMI_TYPE_TEXT2TEXT,
     {0},
     {0},
     2},
    {"gemini",
     "gemini-3.1-flash-lite",
     "gemini-3.1-flash-lite",
     "gemini/gemini-3.1-flash-lite",
     "gemini-3.1-flash-lite-preview",
     IMI_TYPE_TEXT2TEXT,
     {0},
     {0},
     2},
    {"gemini",
     "gemini-2.5-flash",
     "gemini-2.5-flash",
     "gemini/gemini-2.5-flash",
     "gemini-2.5-flash",
     IMI_TYPE_TEXT2TEXT,
     {0},
     {0},
     2},
    {"gemini",
     "gemini-2.5-pro",
     "gemini-2.5-pro",
     "gemini/gemini-2.5-pro",
     "gemini-2.5-pro",
     IMI_TYPE_TEXT2TEXT,
     {0},
     {0},
     2},
    {"gemini",
     "gemini-2.5-flash-lite",
     "gemini-2.5-flash-lite",
     "gemini/gemini-2.5-flash-lite",
     "gemini-2.5-flash-lite",
     IMI_TYPE_TEXT2TEXT,
     {0},
     {0},
     2},
    {"gemini",
     "veo-3.1",
     "veo-3.1",
     "gemini/veo-3.1",
     "veo-3.1-generate-preview",
     IMI_TYPE_TEXT2VIDEO | IMI_TYPE_IMAGE2VIDEO,
     {0},
     {0},
     2},
    {"gemini",
     "veo-3.1-fast",
     "veo-3.1-fast",
     "gemini/veo-3.1-fast",
     "veo-3.1-fast-generate-preview",
     IMI_TYPE_TEXT2VIDEO | IMI_TYPE_IMAGE2VIDEO,
     {0},
     {0},
     2},
    {"gemini",
     "veo-3.1-lite",
     "veo-3.1-lite",
     "gemini/veo-3.1-lite",
     "veo-3.1-lite-generate-preview",
     IMI_TYPE_TEXT2VIDEO | IMI_TYPE_IMAGE2VIDEO,
     {0},
     {0},
     2},
    {"gemini",
     "veo-3",
     "veo-3",
     "gemini/veo-3",
     "veo-3.0-generate-001",
     IMI_TYPE_TEXT2VIDEO | IMI_TYPE_IMAGE2VIDEO,
     {0},
     {0},
     2},
    {"gemini",
     "veo-3-fast",
     "veo-3-fast",
     "gemini/veo-3-fast",
     "veo-3.0-fast-generate-001",
     IMI_TYPE_TEXT2VIDEO | IMI_TYPE_IMAGE2VIDEO,
     {0},
     {0},
     2},
    {"gemini",
     "veo-2",
     "veo-2",
     "gemini/veo-2",
     "veo-2.0-generate-001",
     IMI_TYPE_TEXT2VIDEO | IMI_TYPE_IMAGE2VIDEO,
     {0},
     {0},
     2},
    {"grok",
     "grok-imagine-image",
     "grok-imagine-image",
     "grok/grok-imagine-image",
     "grok-imagine-image",
     IMI_TYPE_TEXT2IMAGE | IMI_TYPE_IMAGE2IMAGE,
     {0},
     {0},
     2},
    {"grok",
     "grok-imagine-image-pro",
     "grok-imagine-image-pro",
     "grok/grok-imagine-image-pro",
     "grok-imagine-image-pro",
     IMI_TYPE_TEXT2IMAGE | IMI_TYPE_IMAGE2IMAGE,
     {0},
     {0},
     2},
    {"grok",
     "grok-4.20-0309-reasoning",
     "grok-4.20-0309-reasoning",
     "grok/grok-4.20-0309-reasoning",
     "grok-4.20-0309-reasoning",
     IMI_TYPE_TEXT2TEXT,
     {0},
     {0},
     2},
    {"grok",
     "grok-4.20-0309-non-reasoning",
     "grok-4.20-0309-non-reasoning",
     "grok/grok-4.20-0309-non-reasoning",
     "grok-4.20-0309-non-reasoning",
     IMI_TYPE_TEXT2TEXT,
     {0},
     {0},
     2},
    {"grok",
     "grok-4-1-fast-reasoning",
     "grok-4-1-fast-reasoning",
     "grok/grok-4-1-fast-reasoning",
     "grok-4-1-fast-reasoning",
     IMI_TYPE_TEXT2TEXT,
     {0},
     {0},
     2},
    {"grok",
     "grok-4-1-fast-non-reasoning",
     "grok-4-1-fast-non-reasoning",
     "grok/grok-4-1-fast-non-reasoning",
     "grok-4-1-fast-non-reasoning",
     IMI_TYPE_TEXT2TEXT,
     {0},
     {0},
     2},
    {"grok",
     "grok-imagine-video",
     "grok-imagine-video",
     "grok/grok-imagine-video",
     "grok-imagine-video",
     IMI_TYPE_TEXT2VIDEO | IMI_TYPE_IMAGE2VIDEO,
     {0},
     {0},
     2},
    {"openai",
     "gpt-image-2",
     "gpt-image-2",
     "openai/gpt-image-2",
     "gpt-image-2",
     IMI_TYPE_TEXT2IMAGE | IMI_TYPE_IMAGE2IMAGE,
     {0},
     {0},
     2},
    {"openai",
     "gpt-image-1.5",
     "gpt-image-1.5",
     "openai/gpt-image-1.5",
     "gpt-image-1.5",
     IMI_TYPE_TEXT2IMAGE | IMI_TYPE_IMAGE2IMAGE,
     {0},
     {0},
     2},
    {"openai",
     "gpt-image-1-mini",
     "gpt-image-1-mini",
     "openai/gpt-image-1-mini",
     "gpt-image-1-mini",
     IMI_TYPE_TEXT2IMAGE | IMI_TYPE_IMAGE2IMAGE,
     {0},
     {0},
     2},
    {"openai", "gpt-5.5", "gpt-5.5", "openai/gpt-5.5", "gpt-5.5", IMI_TYPE_TEXT2TEXT, {0}, {0}, 2},
    {"openai", "gpt-5.4", "gpt-5.4", "openai/gpt-5.4", "gpt-5.4", IMI_TYPE_TEXT2TEXT, {0}, {0}, 2},
    {"openai",
     "gpt-5.4-mini",
     "gpt-5.4-mini",
     "openai/gpt-5.4-mini",
     "gpt-5.4-mini",
     IMI_TYPE_TEXT2TEXT,
     {0},
     {0},
     2},
    {"openai",
     "gpt-5.4-nano",
     "gpt-5.4-nano",
     "openai/gpt-5.4-nano",
     "gpt-5.4-nano",
     IMI_TYPE_TEXT2TEXT,
     {0},
     {0},
     2},
    {"openai",
     "sora-2",
     "sora-2",
     "openai/sora-2",
     "sora-2",
     IMI_TYPE_TEXT2VIDEO | IMI_TYPE_IMAGE2VIDEO,
     {0},
     {0},
     2},
    {"openai",
     "sora-2-pro",
     "sora-2-pro",
     "openai/sora-2-pro",
     "sora-2-pro",
     IMI_TYPE_TEXT2VIDEO | IMI_TYPE_IMAGE2VIDEO,
     {0},
     {0},
     2},
    {"sample", "waves", "waves", "sample/waves", "waves", IMI_TYPE_TEXT2IMAGE, {0}, {0}, 2},
    {"sample", "nebula", "nebula", "sample/nebula", "nebula", IMI_TYPE_TEXT2IMAGE, {0}, {0}, 2},
    {"sample", "terrain", "terrain", "sample/terrain", "terrain", IMI_TYPE_TEXT2IMAGE, {0}, {0}, 2},
};

static void assert_range(const imi_range_t *range, const double expected[3]) {
    ck_assert_int_eq(range->is_set, expected[1] > 0);
    ck_assert_double_eq(range->min, expected[0]);
    ck_assert_double_eq(range->max, expected[1]);
    ck_assert_double_eq(range->value, expected[2]);
}

START_TEST(a_model_is_found_by_every_name_it_has) { /* _i walks models */
    const imi_model_t *model = imi_catalogue_model(builtin, models[_i].provider, models[_i].asked);
    ck_assert_msg(model != NULL, "%s/%s", models[_i].provider, models[_i].asked);
    ck_assert_str_eq(model->key, models[_i].key);
    ck_assert_str_eq(model->id, models[_i].id);
    ck_assert_str_eq(model->api_id, models[_i].api_id);
    ck_assert_uint_eq(model->types, models[_i].types);
    assert_range(&model->steps, models[_i].steps);
    assert_range(&model->guidance, models[_i].guidance);
    ck_assert_double_eq(model->hd_scale, models[_i].hd_scale);
    ck_assert_pstr_eq(model->response_type, strcmp(models[_i].provider, "sample") == 0 ||
                                                    ((strcmp(models[_i].provider, "gemini") == 0 ||
                                                      strcmp(models[_i].provider, "openai") == 0) &&
                                                     (models[_i].types & IMI_TYPE_TEXT2IMAGE) != 0)
                                                ? "base64"
                                                : NULL);
    ck_assert(imi_json_valid(imi_slice_of(model->json), 8, NULL));
}
END_TEST

START_TEST(the_table_above_knows_every_model) {
    size_t count = 0, alias_count = 2;
    for (size_t i = 0; i < imi_catalogue_provider_count(builtin); i++)
        count += imi_catalogue_provider_at(builtin, i)->model_count;
    ck_assert_uint_eq(count + alias_count, sizeof(models) / sizeof(models[0]));
}
END_TEST

START_TEST(an_entry_looks_as_the_http_api_says) {
    ck_assert_str_eq(imi_catalogue_model(builtin, "gitee", "flux-2")->json,
                     "{\"id\":\"gitee/flux-2\",\"name\":\"FLUX.2 (Gitee AI)\","
                     "\"type\":[\"text2image\"],\"steps\":{\"range\":[1,50],\"default\":9},"
                     "\"guidance\":{\"range\":[1,10],\"default\":3.5}}");
    ck_assert_str_eq(imi_catalogue_model(builtin, "huggingface", "realesrgan")->json,
                     "{\"id\":\"huggingface/realesrgan\",\"name\":\"RealESRGAN x4 Plus (Hugging "
                     "Face)\",\"type\":[\"upscaler\"]}");
}
END_TEST

START_TEST(names_that_are_no_models_are_none) {
    ck_assert_ptr_null(imi_catalogue_model(builtin, "gitee", "openai"));
    ck_assert_ptr_null(imi_catalogue_model(builtin, "gitee", ""));
    ck_assert_ptr_null(imi_catalogue_model(builtin, "gitee", "gitee/flux-2"));
    ck_assert_ptr_null(imi_catalogue_model(builtin, "nobody", "flux-2"));
    ck_assert_ptr_null(imi_catalogue_model(builtin, "modelscope", "RealESRGAN_x4plus"));
}
END_TEST

START_TEST(the_hd_scale_of_a_model_that_the_catalogue_lacks) {
    const imi_catalogue_provider_t *gitee = imi_catalogue_find(builtin, "gitee");
    const imi_catalogue_provider_t *modelscope = imi_catalogue_find(builtin, "modelscope");
    ck_assert_double_eq(imi_catalogue_hd_scale(builtin, gitee, "FLUX.1-dev"), 1.5);
    ck_assert_double_eq(imi_catalogue_hd_scale(builtin, gitee, "z-image"), 1);
    ck_assert_double_eq(imi_catalogue_hd_scale(builtin, gitee, "something"), 2);
    ck_assert_double_eq(imi_catalogue_hd_scale(builtin, modelscope, "FLUX.1-dev"), 2);
    ck_assert_double_eq(modelscope->hd_scale, 2);
}
END_TEST

START_TEST(the_first_model_of_a_type) {
    const imi_catalogue_provider_t *provider = NULL;
    ck_assert_str_eq(imi_catalogue_first_of_type(builtin, IMI_TYPE_UPSCALER, &provider)->id,
                     "huggingface/realesrgan");
    ck_assert_str_eq(provider->name, "huggingface");
    ck_assert_str_eq(imi_catalogue_first_of_type(builtin, IMI_TYPE_TEXT2IMAGE, NULL)->id,
                     "gitee/z-image-turbo");
    ck_assert_str_eq(imi_catalogue_first_of_type(builtin, IMI_TYPE_TEXT2VIDEO, NULL)->id,
                     "modelslab/cogvideox-5b");
    ck_assert_ptr_null(imi_catalogue_first_of_type(builtin, 0, NULL));
}
END_TEST

static const struct {
    const char *provider, *key, *action, *path, *value;
} options[] = {
    {"huggingface", "z-image-turbo", "generate", "space",
     "\"https://mrfakename-z-image-turbo.hf.space\""},
    {"huggingface", "z-image-turbo", "generate", "fn", "\"generate_image\""},
    {"huggingface", "z-image-turbo", "generate", "data",
     "[\"$prompt\",\"$height:1024\",\"$width:1024\",\"$steps:9\",\"$seed\",false]"},
    {"huggingface", "not-listed", "generate", "default_model", "\"z-image-turbo\""},
    {"huggingface", "not-listed", "generate", "space", "(none)"},
    {"huggingface", "not-listed", "edit", "space", "(none)"},
    {"huggingface", "z-image", "generate", "data",
     "[\"$prompt\",\"$negative_prompt:\\\"\\\"\",\"$height:1024\",\"$width:1024\",\"$steps:30\","
     "\"$guidance:4\",\"$seed\",false]"},
    {"huggingface", "qwen-image", "generate", "data",
     "[\"$prompt\",\"$seed\",\"$randomize\",\"$ar:\\\"1:1\\\"\",\"$guidance:3\",\"$steps:8\"]"},
    {"huggingface", "ovis-image", "generate", "data",
     "[\"$prompt\",\"$height:1024\",\"$width:1024\",\"$seed\",\"$steps:24\",\"$guidance:4\"]"},
    {"huggingface", "flux-1-schnell", "generate", "data",
     "[\"$prompt\",\"$seed\",false,\"$width:1024\",\"$height:1024\",\"$steps:4\"]"},
    {"huggingface", "qwen-image-edit", "edit", "data",
     "[\"$images\",\"$prompt\",\"$seed\",false,\"$guidance:1\",\"$steps:4\",\"$height:1024\","
     "\"$width:1024\",true]"},
    {"huggingface", "wan2.2-i2v", "video", "data",
     "[\"$image\",\"$prompt\",\"$steps:6\",\"$negative_prompt:\\\"\\\"\",\"$duration:3\","
     "\"$guidance:1\",\"$guidance:1\",\"$seed\",false]"},
    {"huggingface", "realesrgan", "upscaler", "data",
     "[\"$image\",\"RealESRGAN_x4plus\",0.5,false,4]"},
    {"huggingface", "openai-gpt-5-nano", "text", "chat_base", "\"https://text.pollinations.ai\""},
    {"huggingface", "wan2.2-i2v", "video", "predict", "60"},
    {"gitee", "wan2.2-i2v", "video", "predict", "400"},
    {"gitee", "not-listed", "generate", "steps", "9"},
    {"gitee", "not-listed", "edit", "steps", "16"},
    {"gitee", "not-listed", "edit", "guidance", "4"},
    {"gitee", "not-listed", "video", "steps", "10"},
    {"gitee", "not-listed", "video", "duration", "3"},
    {"gitee", "qwen-image-edit", "edit", "lora_weights.weight", "1"},
    {"modelscope", "flux-1", "generate", "families[0].side_max", "1024"},
    {"modelscope", "flux-1", "generate", "side_min", "64"},
    {"modelscope", "qwen-image-edit", "edit", "families[1].side_max", "1664"},
    {"modelscope", "z-image-turbo", "generate", "side_max", "2048"},
    {"modelscope", "not-listed", "generate", "steps", "9"},
    {"sample", "waves", "video", "duration", "3"},
    {"gitee", "flux-2", "generate", "negative_prompt", "(none)"},
    {"gitee", "flux-2", "generate", "prompt", "(none)"},
    {"gitee", "flux-2", "text", "models", "(none)"},
    {"gitee", "flux-2", "no-action", "api_base", "\"https://ai.gitee.com/v1\""},
};

START_TEST(an_option_is_looked_for_from_the_model_outwards) { /* _i walks options */
    const char *value = option(builtin, options[_i].provider, options[_i].key, options[_i].action,
                               options[_i].path);
    ck_assert_msg(strcmp(value, options[_i].value) == 0, "%s/%s %s %s: %s", options[_i].provider,
                  options[_i].key, options[_i].action, options[_i].path, value);
}
END_TEST

START_TEST(our_own_texts_are_there) {
    const char *instruction = option(builtin, "gitee", "qwen-3", "text", "instruction");
    size_t word_count = 1;
    for (const char *at = instruction; *at != '\0'; at++)
        word_count += *at == ' ';
    ck_assert_uint_ge(word_count, 120);
    ck_assert_uint_le(word_count, 180);
    ck_assert_ptr_nonnull(strstr(instruction, "300 words"));
    ck_assert_ptr_nonnull(strstr(instruction, "language"));
    ck_assert_ptr_nonnull(
        strstr(option(builtin, "gitee", "wan2.2-i2v", "video", "prompt"), "motion"));
    ck_assert_ptr_nonnull(
        strstr(option(builtin, "gitee", "wan2.2-i2v", "video", "negative_prompt"), "blur"));
    ck_assert_ptr_nonnull(
        strstr(option(builtin, "huggingface", "z-image", "generate", "negative_prompt"), "blur"));
}
END_TEST

/* ---- laid over --------------------------------------------------------------------------------
 */

#define SMALL                                                                                 \
    "{\"providers\":{\"p\":{\"api_base\":\"https://p.test/v1/\",\"extra\":{\"a\":1,\"b\":2}," \
    "\"models\":[{\"key\":\"one\",\"type\":[\"text2image\"],\"steps\":{\"range\":[1,9],"      \
    "\"default\":3}},{\"key\":\"two\",\"id\":\"p/second\",\"type\":[\"text2text\"]}]}}}"

static const struct {
    const char *name, *overlay, *action, *key, *path, *value;
} overlays[] = {
    {"nothing changes", "{}", "generate", "one", "extra", "{\"a\":1,\"b\":2}"},
    {"a member is replaced", "{\"providers\":{\"p\":{\"extra\":{\"a\":5}}}}", "generate", "one",
     "extra", "{\"a\":5,\"b\":2}"},
    {"null removes", "{\"providers\":{\"p\":{\"extra\":{\"a\":null}}}}", "generate", "one", "extra",
     "{\"b\":2}"},
    {"null removes all of it", "{\"providers\":{\"p\":{\"extra\":null}}}", "generate", "one",
     "extra", "(none)"},
    {"an object takes a text's place", "{\"providers\":{\"p\":{\"extra\":{\"a\":{\"c\":[null]}}}}}",
     "generate", "one", "extra.a", "{\"c\":[null]}"},
    {"nulls of a new object vanish", "{\"providers\":{\"p\":{\"new\":{\"a\":null,\"b\":1}}}}",
     "generate", "one", "new", "{\"b\":1}"},
    {"other arrays are replaced", "{\"providers\":{\"p\":{\"extra\":[1]}}}", "generate", "one",
     "extra", "[1]"},
    {"of members with one name the last wins",
     "{\"providers\":{\"p\":{\"extra\":{\"a\":3,\"a\":4}}}}", "generate", "one", "extra.a", "4"},
    {"a model is patched", "{\"providers\":{\"p\":{\"models\":[{\"key\":\"one\",\"fn\":\"f\"}]}}}",
     "generate", "one", "fn", "\"f\""},
    {"a model by its id",
     "{\"providers\":{\"p\":{\"models\":[{\"id\":\"p/second\",\"fn\":\"f\"}]}}}", "text", "two",
     "fn", "\"f\""},
    {"a part of a model's range",
     "{\"providers\":{\"p\":{\"models\":[{\"key\":\"one\",\"steps\":{\"default\":4}}]}}}",
     "generate", "one", "steps", "{\"range\":[1,9],\"default\":4}"},
    {"a model loses a member",
     "{\"providers\":{\"p\":{\"models\":[{\"key\":\"one\",\"steps\":null}]}}}", "generate", "one",
     "steps", "(none)"},
    {"defaults are added", "{\"defaults\":{\"colour\":\"blue\"}}", "generate", "one", "colour",
     "\"blue\""},
    {"defaults of an action", "{\"defaults\":{\"actions\":{\"text\":{\"colour\":\"red\"}}}}",
     "text", "one", "colour", "\"red\""},
    {"the provider's action before its own",
     "{\"providers\":{\"p\":{\"c\":1,\"actions\":{\"text\":{\"c\":2}}}}}", "text", "one", "c", "2"},
    {"the provider before the default action",
     "{\"defaults\":{\"c\":1,\"actions\":{\"text\":{\"c\":2}}},\"providers\":{\"p\":{\"c\":3}}}",
     "text", "one", "c", "3"},
    {"the model before all",
     "{\"providers\":{\"p\":{\"actions\":{\"text\":{\"c\":2}},\"models\":[{\"key\":\"one\",\"c\":"
     "0}]}}}",
     "text", "one", "c", "0"},
    {"slashes at the end", "{\"providers\":{\"p\":{\"space\":\"https://s.test//\"}}}", "generate",
     "one", "space", "\"https://s.test\""},
    {"digits in a text are no number",
     "{\"defaults\":{\"c\":[\"0123456789012345678901234567890123456789012345678901234567890123\"]}"
     "}",
     "generate", "one", "c",
     "[\"0123456789012345678901234567890123456789012345678901234567890123\"]"},
    {"a byte order mark", "\xef\xbb\xbf{\"defaults\":{\"c\":1}}", "generate", "one", "c", "1"},
    {"unknown providers may be nothing but data", "{\"providers\":{\"q\":{\"c\":1}}}", "generate",
     "one", "c", "(none)"},
};

START_TEST(a_document_changes_what_it_names) { /* _i walks overlays */
    imi_catalogue_t *below = overlaid(NULL, SMALL), *above = NULL;
    const char *value = NULL;
    above = overlaid(below, overlays[_i].overlay);
    value = option(above, "p", overlays[_i].key, overlays[_i].action, overlays[_i].path);
    ck_assert_msg(strcmp(value, overlays[_i].value) == 0, "%s: %s", overlays[_i].name, value);
    ck_assert_str_eq(option(below, "p", "one", "generate", "extra"), "{\"a\":1,\"b\":2}");
    ck_assert_str_eq(imi_catalogue_find(above, "p")->api_base, "https://p.test/v1");
    imi_catalogue_release(below); /* the one above needs it no more */
    ck_assert_ptr_nonnull(imi_catalogue_model(above, "p", "one"));
    imi_catalogue_release(above);
}
END_TEST

START_TEST(models_are_added_replaced_and_removed_in_order) {
    imi_catalogue_t *below = overlaid(NULL, SMALL);
    imi_catalogue_t *above = overlaid(
        below, "{\"providers\":{\"p\":{\"models\":["
               "{\"key\":\"three\",\"type\":[\"upscaler\"],\"aliases\":[\"drei\"],\"hd_scale\":1},"
               "{\"key\":\"one\",\"remove\":true},{\"key\":\"gone\",\"remove\":true},"
               "{\"key\":\"four\",\"type\":[\"text2image\",\"image2image\"],\"name\":\"Vier\","
               "\"responseType\":\"base64\",\"async\":true,\"api_id\":\"v/4\"}]}}}");
    const imi_catalogue_provider_t *p = imi_catalogue_find(above, "p");
    ck_assert_uint_eq(p->model_count, 3);
    ck_assert_str_eq(p->models[0].key, "two");
    ck_assert_str_eq(p->models[1].id, "p/three");
    ck_assert_str_eq(p->models[1].api_id, "three");
    ck_assert_double_eq(p->models[1].hd_scale, 1);
    ck_assert_ptr_eq(imi_catalogue_model(above, "p", "drei"), &p->models[1]);
    ck_assert_ptr_eq(imi_catalogue_model(above, "p", "second"), &p->models[0]);
    ck_assert_ptr_null(imi_catalogue_model(above, "p", "one"));
    ck_assert_str_eq(p->models[2].response_type, "base64");
    ck_assert_uint_eq(p->models[2].types, IMI_TYPE_TEXT2IMAGE | IMI_TYPE_IMAGE2IMAGE);
    ck_assert_str_eq(p->models[2].json,
                     "{\"id\":\"p/four\",\"name\":\"Vier\",\"type\":[\"text2image\","
                     "\"image2image\"],\"async\":true,\"responseType\":\"base64\"}");
    ck_assert_str_eq(p->models[1].json, "{\"id\":\"p/three\",\"name\":\"three\",\"type\":"
                                        "[\"upscaler\"]}");
    imi_catalogue_release(below);
    imi_catalogue_release(above);
}
END_TEST

START_TEST(a_space_moves_by_one_line) {
    imi_catalogue_t *above =
        overlaid(builtin, "{\"providers\":{\"huggingface\":{\"models\":[{\"key\":\"z-image-turbo\","
                          "\"space\":\"https://me-z.hf.space\"}]}}}");
    ck_assert_str_eq(option(above, "huggingface", "z-image-turbo", "generate", "space"),
                     "\"https://me-z.hf.space\"");
    ck_assert_str_eq(option(above, "huggingface", "z-image-turbo", "generate", "fn"),
                     "\"generate_image\"");
    ck_assert_uint_eq(imi_catalogue_find(above, "huggingface")->model_count, 10);
    ck_assert_uint_eq(imi_catalogue_provider_count(above), imi_catalogue_provider_count(builtin));
    imi_catalogue_release(above);
}
END_TEST

START_TEST(a_provider_comes_and_goes) {
    imi_catalogue_t *above = overlaid(
        builtin, "{\"note\":\"mine\",\"providers\":{\"sample\":null,\"my-gpu\":{\"kind\":\"gitee\","
                 "\"api_base\":\"http://10.0.0.2:8000\",\"quota\":{\"reset\":\"credit\"},"
                 "\"models\":[{\"key\":\"sd\",\"type\":[\"text2image\"]}]}}}");
    size_t count = imi_catalogue_provider_count(above);
    const imi_catalogue_provider_t *mine = imi_catalogue_provider_at(above, count - 1);
    ck_assert_ptr_null(imi_catalogue_find(above, "sample"));
    ck_assert_uint_eq(count, imi_catalogue_provider_count(builtin));
    ck_assert_str_eq(mine->name, "my-gpu");
    ck_assert_str_eq(mine->kind, "gitee");
    ck_assert_int_eq(mine->quota, IMI_QUOTA_CREDIT);
    ck_assert_uint_eq(mine->quota_hours, 6);
    ck_assert(!mine->has_hd);
    imi_catalogue_release(above);
}
END_TEST

START_TEST(documents_can_be_laid_over_each_other_again_and_again) {
    imi_catalogue_t *top = imi_catalogue_retain(builtin);
    for (int i = 0; i < 20; i++) {
        char document[128];
        imi_catalogue_t *next = NULL;
        snprintf(document, sizeof(document),
                 "{\"providers\":{\"gitee\":{\"models\":[{\"key\":\"m%d\",\"type\":[\"upscaler\"]}]"
                 "}}}",
                 i);
        next = overlaid(top, document);
        imi_catalogue_release(top);
        top = next;
    }
    ck_assert_uint_eq(imi_catalogue_find(top, "gitee")->model_count, 30);
    ck_assert_str_eq(imi_catalogue_find(top, "gitee")->models[29].key, "m19");
    ck_assert_str_eq(imi_catalogue_first_of_type(top, IMI_TYPE_UPSCALER, NULL)->id, "gitee/m0");
    imi_catalogue_release(top);
}
END_TEST

START_TEST(a_request_keeps_the_catalogue_that_it_began_with) {
    imi_catalogue_t *mine = overlaid(NULL, SMALL), *held = imi_catalogue_retain(mine);
    imi_catalogue_release(mine);
    ck_assert_str_eq(imi_catalogue_model(held, "p", "one")->id, "p/one");
    imi_catalogue_release(held);
    imi_catalogue_release(NULL);
    ck_assert_ptr_null(imi_catalogue_retain(NULL));
}
END_TEST

/* ---- what is wrong with it --------------------------------------------------------------------
 */

#define IN_P(text) "{\"providers\":{\"p\":{" text "}}}"
#define IN_MODEL(text) IN_P("\"models\":[{\"key\":\"a\",\"type\":[\"upscaler\"]},{" text "}]")

static const struct {
    const char *document, *message;
} mistakes[] = {
    {"", "line 1, column 1: not valid JSON, or nested too deeply"},
    {"{\n \"defaults\": {},\n}", "line 3, column 1: not valid JSON, or nested too deeply"},
    {"{} x", "line 1, column 4: not valid JSON, or nested too deeply"},
    {"[]", "document: an object expected"},
    {"{\"providres\":{}}", "providres: one of defaults, providers, note expected"},
    {"{\"providers\":[]}", "providers: an object expected"},
    {"{\"providers\":{\"p\":3}}", "providers.p: an object expected"},
    {"{\"providers\":{\"P\":{}}}",
     "providers.P: a provider's name is lower-case letters, digits, '-' and '_'"},
    {"{\"providers\":{\"\":{}}}",
     "providers.: a provider's name is lower-case letters, digits, '-' and '_'"},
    {"{\"defaults\":3}", "defaults: an object expected"},
    {"{\"defaults\":{\"hd_scales\":{\"x\":\"2\"}}}",
     "defaults.hd_scales.x: a number from 0.25 to 4 expected"},
    {"{\"defaults\":{\"actions\":{\"draw\":{}}}}",
     "defaults.actions.draw: one of generate, edit, text, video, upscaler expected"},
    {"{\"defaults\":{\"instruction\":\"\"}}", "defaults.instruction: a text expected"},
    {IN_P("\"api_base\":\"ftp://x\""),
     "providers.p.api_base: an http or https address without query expected"},
    {IN_P("\"api_base\":\"https://u:p@x\""),
     "providers.p.api_base: an http or https address without query expected"},
    {IN_P("\"api_base\":\"https://x/?a=b\""),
     "providers.p.api_base: an http or https address without query expected"},
    {IN_P("\"hd\":1"), "providers.p.hd: true or false expected"},
    {IN_P("\"kind\":[]"), "providers.p.kind: the name of a built-in provider expected"},
    {IN_P("\"quota\":\"day\""), "providers.p.quota: an object expected"},
    {IN_P("\"quota\":{\"rest\":\"day\"}"), "providers.p.quota.rest: unknown name"},
    {IN_P("\"quota\":{\"reset\":\"week\"}"),
     "providers.p.quota.reset: \"day\", \"rolling\" or \"credit\" expected"},
    {IN_P("\"quota\":{\"zone\":\"Beijing\"}"),
     "providers.p.quota.zone: \"+08:00\", \"UTC\" or \"pacific\" expected"},
    {IN_P("\"quota\":{\"zone\":\"+15:00\"}"),
     "providers.p.quota.zone: \"+08:00\", \"UTC\" or \"pacific\" expected"},
    {IN_P("\"quota\":{\"hours\":0}"),
     "providers.p.quota.hours: a whole number from 1 to 720 expected"},
    {IN_P("\"actions\":{\"generate\":{\"steps\":1.5}}"),
     "providers.p.actions.generate.steps: a whole number from 1 to 1000 expected"},
    {IN_P("\"actions\":{\"video\":{\"predict\":\"soon\"}}"),
     "providers.p.actions.video.predict: a whole number of seconds expected"},
    {IN_P("\"actions\":[]"), "providers.p.actions: an object expected"},
    {IN_P("\"models\":{}"), "providers.p.models: an array expected"},
    {IN_P("\"models\":[3]"), "providers.p.models[0]: an object expected"},
    {IN_MODEL("\"name\":\"x\""), "providers.p.models[1].key: missing"},
    {IN_MODEL("\"key\":null"), "providers.p.models[1].key: cannot be removed"},
    {IN_MODEL("\"key\":\"a b\""),
     "providers.p.models[key a b].key: a model key expected: no blanks, no "
     "\"..\", '?' or '#', 200 bytes at most"},
    {IN_MODEL("\"key\":\"../b\""),
     "providers.p.models[key ../b].key: a model key expected: no blanks, no "
     "\"..\", '?' or '#', 200 bytes at most"},
    {IN_MODEL("\"key\":\"b\""), "providers.p.models[key b].type: missing"},
    {IN_MODEL("\"id\":\"p/new\",\"type\":[\"upscaler\"]"), "providers.p.models[1].key: missing"},
    {IN_MODEL("\"key\":\"b\",\"type\":[\"picture\"]"),
     "providers.p.models[key b].type: a list expected of text2image, image2image, text2text, "
     "text2video, image2video, upscaler"},
    {IN_MODEL("\"key\":\"b\",\"type\":[]"),
     "providers.p.models[key b].type: a list expected of text2image, image2image, text2text, "
     "text2video, image2video, upscaler"},
    {IN_MODEL("\"key\":\"b\",\"id\":\"q/b\""),
     "providers.p.models[key b].id: the provider's name, a slash and a key expected"},
    {IN_MODEL("\"key\":\"b\",\"id\":\"p/\""),
     "providers.p.models[key b].id: the provider's name, a slash and a key expected"},
    {IN_MODEL("\"key\":\"b\",\"steps\":9"),
     "providers.p.models[key b].steps: an object with range and default expected"},
    {IN_MODEL("\"key\":\"b\",\"steps\":{\"range\":[1],\"default\":1}"),
     "providers.p.models[key b].steps.range: two numbers expected, smallest first"},
    {IN_MODEL("\"key\":\"b\",\"steps\":{\"range\":[9,1],\"default\":1}"),
     "providers.p.models[key b].steps.range: two numbers expected, smallest first"},
    {IN_MODEL("\"key\":\"b\",\"steps\":{\"range\":[0,1.5],\"default\":1}"),
     "providers.p.models[key b].steps.range: two numbers expected, smallest first"},
    {IN_MODEL("\"key\":\"b\",\"steps\":{\"range\":[1,9],\"default\":10}"),
     "providers.p.models[key b].steps.default: a number inside the range expected"},
    {IN_MODEL("\"key\":\"b\",\"type\":[\"upscaler\"],\"guidance\":{\"range\":[1,9]}"),
     "providers.p.models[key b].guidance.default: a number that fits the range expected"},
    {IN_MODEL("\"key\":\"b\",\"type\":[\"upscaler\"],\"guidance\":{\"default\":1}"),
     "providers.p.models[key b].guidance.range: two numbers expected, smallest first"},
    {IN_MODEL("\"key\":\"b\",\"aliases\":\"c\""),
     "providers.p.models[key b].aliases: a list of model keys expected"},
    {IN_MODEL("\"key\":\"b\",\"data\":{}"),
     "providers.p.models[key b].data: a template array expected"},
    {IN_MODEL("\"key\":\"b\",\"body\":\"{}\""),
     "providers.p.models[key b].body: a template object expected"},
    {IN_MODEL("\"key\":\"b\",\"workflow\":{\"version\":0.4,\"nodes\":[]}"),
     "providers.p.models[key b].workflow: a workflow in ComfyUI's API format expected"},
    {IN_MODEL("\"key\":\"b\",\"workflow_file\":\"a.json\""),
     "providers.p.models[key b].workflow_file: only the file that CATALOGUE names can name "
     "another"},
    {IN_MODEL("\"key\":\"b\",\"space\":\"hf.space\""),
     "providers.p.models[key b].space: an http or https address without query expected"},
    {IN_MODEL("\"key\":\"b\",\"hd_scale\":99"),
     "providers.p.models[key b].hd_scale: a number from 0.25 to 4 expected"},
    {IN_MODEL("\"key\":\"b\",\"remove\":1"),
     "providers.p.models[key b].remove: true or false expected"},
    {IN_MODEL("\"key\":\"b\",\"name\":\"x\\u0000y\""), "a text holds \\u0000"},
    {"{\"defaults\":{\"x\":0.0000000000000000000000000000000000000000000000000000000000000001}}",
     "a number has more than 60 digits"},
};

START_TEST(a_mistake_is_told_in_one_line_with_its_path) { /* _i walks mistakes */
    imi_catalogue_t *catalogue = NULL;
    char *message = NULL;
    int err =
        imi_catalogue_new(&catalogue, NULL, NULL, imi_slice_of(mistakes[_i].document), &message);
    ck_assert_int_eq(err, IMAGINE_EINVAL);
    ck_assert_ptr_null(catalogue);
    ck_assert_ptr_nonnull(message);
    ck_assert_str_eq(message, mistakes[_i].message);
    imi_mem_free(NULL, message);
    ck_assert_int_eq(
        imi_catalogue_new(&catalogue, NULL, NULL, imi_slice_of(mistakes[_i].document), NULL),
        IMAGINE_EINVAL);
}
END_TEST

START_TEST(templates_of_unknown_code_may_have_any_names) {
    imi_catalogue_release(overlaid(
        NULL, IN_P("\"models\":[{\"key\":\"a\",\"type\":[\"upscaler\"],\"data\":[\"$own\"]}]")));
    imi_catalogue_release(overlaid(
        NULL, IN_P("\"kind\":\"comfyui\",\"models\":[{\"key\":\"a\",\"type\":[\"upscaler\"],"
                   "\"workflow\":{\"1\":{\"x\":\"$image12\",\"y\":\"$count:[1]\"}}}]")));
}
END_TEST

START_TEST(what_was_removed_is_remembered) {
    imi_catalogue_t *below = overlaid(NULL, SMALL);
    imi_catalogue_t *above =
        overlaid(below, "{\"providers\":{\"p\":{\"models\":[{\"key\":\"two\",\"remove\":true},"
                        "{\"key\":\"gone\",\"remove\":true}]}}}");
    imi_catalogue_t *top = overlaid(
        above, "{\"providers\":{\"p\":{\"models\":[{\"key\":\"new\",\"type\":[\"upscaler\"]}]}}}");
    ck_assert_ptr_null(imi_catalogue_note(below));
    ck_assert_str_eq(imi_catalogue_note(above), "remove: there is no model gone");
    ck_assert_ptr_null(imi_catalogue_note(top));
    ck_assert(!imi_catalogue_was_removed(imi_catalogue_find(below, "p"), "two"));
    ck_assert(!imi_catalogue_was_removed(imi_catalogue_find(above, "p"), "one"));
    ck_assert(!imi_catalogue_was_removed(imi_catalogue_find(above, "p"), "gone"));
    ck_assert(imi_catalogue_was_removed(imi_catalogue_find(above, "p"), "two"));
    ck_assert(imi_catalogue_was_removed(imi_catalogue_find(top, "p"), "two"));
    ck_assert(imi_catalogue_was_removed(imi_catalogue_find(top, "p"), "second")); /* its id */
    imi_catalogue_release(top);
    imi_catalogue_release(above);
    imi_catalogue_release(below);
}
END_TEST

START_TEST(what_only_the_whole_shows_is_told_too) {
    static const struct {
        const char *document, *message;
    } rows[] = {
        {IN_P("\"kind\":\"gradio\",\"models\":[{\"key\":\"one\",\"data\":[\"$prompt\",[\"$promt\"]]"
              "}]"),
         "providers.p.models[key one].data[1][0]: no such name: $prompt, $negative_prompt, $ar, "
         "$width, $height, $seed, $steps, $guidance … are known, see CATALOGUE.md"},
        {IN_P("\"kind\":\"gradio\",\"models\":[{\"key\":\"one\",\"data\":[\"$ar:1:1\"]}]"),
         "providers.p.models[key one].data[0]: what follows the colon is not JSON: a text needs "
         "quotes of its own, as in \"$ar:\\\"1:1\\\"\""},
        {IN_P("\"kind\":\"sdwebui\",\"actions\":{\"edit\":{\"body\":{\"a\":\"$sample\"}}}"),
         "providers.p.actions.edit.body.a: no such name: $prompt, $negative_prompt, $ar, "
         "$width, $height, $seed, $steps, $guidance … are known, see CATALOGUE.md"},
        {IN_P("\"models\":[{\"key\":\"one\",\"steps\":{\"default\":20}}]"),
         "providers.p.models[key one].steps.default: a number inside the range expected"},
        {IN_P("\"models\":[{\"key\":\"one\",\"type\":null}]"),
         "providers.p.models[key one].type: missing"},
        {IN_P("\"models\":[{\"id\":\"p/second\",\"key\":\"two\",\"steps\":{\"range\":[1,2]}}]"),
         "providers.p.models[key two].steps.default: a number that fits the range expected"},
    };
    imi_catalogue_t *below = overlaid(NULL, SMALL), *above = NULL;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *message = NULL;
        ck_assert_int_eq(
            imi_catalogue_new(&above, NULL, below, imi_slice_of(rows[i].document), &message),
            IMAGINE_EINVAL);
        ck_assert_str_eq(message, rows[i].message);
        imi_mem_free(NULL, message);
    }
    imi_catalogue_release(below);
}
END_TEST

START_TEST(sizes_are_bounded) {
    size_t size = 0, capacity = 6 * 1024 * 1024;
    char *document = malloc(capacity), *message = NULL;
    imi_catalogue_t *catalogue = NULL;
    size = (size_t)snprintf(document, capacity, "{\"defaults\":{\"x\":[");
    for (int i = 0; i < 5000; i++)
        size += (size_t)snprintf(document + size, capacity - size, "%s1", i > 0 ? "," : "");
    size += (size_t)snprintf(document + size, capacity - size, "]}}");
    ck_assert_int_eq(
        imi_catalogue_new(&catalogue, NULL, NULL, (imi_slice_t){document, size}, &message),
        IMAGINE_EINVAL);
    ck_assert_str_eq(message, "defaults.x: more than 4096 members");
    imi_mem_free(NULL, message);
    memset(document, ' ', capacity);
    ck_assert_int_eq(
        imi_catalogue_new(&catalogue, NULL, NULL, (imi_slice_t){document, capacity}, &message),
        IMAGINE_EINVAL);
    ck_assert_str_eq(message, "the document is larger than 4 MiB");
    imi_mem_free(NULL, message);
    memset(document, '[', 100000);
    ck_assert_int_eq(
        imi_catalogue_new(&catalogue, NULL, NULL, (imi_slice_t){document, 100000}, NULL),
        IMAGINE_EINVAL);
    free(document);
}
END_TEST

START_TEST(a_catalogue_has_256_providers_at_most) {
    char document[16000], *message = NULL;
    imi_catalogue_t *catalogue = NULL;
    for (int count = 256; count <= 257; count++) {
        size_t size = (size_t)snprintf(document, sizeof(document), "{\"providers\":{");
        for (int i = 0; i < count; i++)
            size += (size_t)snprintf(document + size, sizeof(document) - size, "%s\"p%d\":{}",
                                     i > 0 ? "," : "", i);
        snprintf(document + size, sizeof(document) - size, "}}");
        ck_assert_int_eq(
            imi_catalogue_new(&catalogue, NULL, NULL, imi_slice_of(document), &message),
            count == 256 ? 0 : IMAGINE_EINVAL);
        imi_catalogue_release(catalogue);
    }
    ck_assert_str_eq(message, "providers: more than 256");
    imi_mem_free(NULL, message);
}
END_TEST

START_TEST(a_document_cut_anywhere_is_refused) {
    imi_slice_t whole = {(const char *)imi_catalogue_data, imi_catalogue_data_size};
    imi_catalogue_t *catalogue = NULL;
    while (whole.size > 0 && whole.data[whole.size - 1] != '}')
        whole.size--; /* white space may be cut */
    for (size_t size = 0; size < whole.size; size += size < 200 ? 1 : 37) {
        char *copy = imi_mem_strndup(NULL, whole.data, size); /* so that ASan sees the end */
        ck_assert_int_eq(imi_catalogue_new(&catalogue, NULL, NULL, (imi_slice_t){copy, size}, NULL),
                         IMAGINE_EINVAL);
        imi_mem_free(NULL, copy);
    }
}
END_TEST

/* Two documents that are fine and one that is not; nothing may be left of any. */
static void live(failing_mem_t *failing) {
    imi_catalogue_t *base = NULL, *above = NULL, *none = NULL;
    char *message = NULL;
    int err = imi_catalogue_builtin(&base, &failing->mem);
    ck_assert_int_eq(err, base == NULL ? IMAGINE_ENOMEM : 0);
    err = imi_catalogue_new(&above, &failing->mem, base, IMI_SLICE(SMALL), &message);
    ck_assert_int_eq(err, above == NULL ? IMAGINE_ENOMEM : 0);
    ck_assert_ptr_null(message);
    if (above != NULL)
        ck_assert_ptr_nonnull(imi_catalogue_model(above, "p", "one"));
    err = imi_catalogue_new(&none, &failing->mem, above, IMI_SLICE("{\"x\":1}"), &message);
    ck_assert(err == IMAGINE_EINVAL || err == IMAGINE_ENOMEM);
    ck_assert_ptr_null(none);
    imi_mem_free(&failing->mem, message);
    imi_catalogue_release(above);
    imi_catalogue_release(base);
}

START_TEST(every_failing_allocation_is_survived) {
    failing_mem_t failing;
    size_t fail_at = 1;
    do {
        failing_mem_init(&failing, fail_at++);
        live(&failing);
        ck_assert_msg(failing.live_count == 0, "request %zu: %zu blocks left", fail_at - 1,
                      failing.live_count);
    } while (failing.has_failed && fail_at < 2000);
    ck_assert(!failing.has_failed);
    ck_assert_uint_gt(fail_at, 50);
}
END_TEST

/* ---- quota ------------------------------------------------------------------------------------
 */

static const struct {
    const char *quota;
    const char *now;
    uint64_t retry_after_ms;
    const char *until;
    bool is_probed;
} quotas[] = {
    {"{\"reset\":\"day\",\"zone\":\"+08:00\"}", "2026-01-08T15:59:59Z", 0, "2026-01-08T16:00:00Z",
     false},
    {"{\"reset\":\"day\",\"zone\":\"+08:00\"}", "2026-01-08T16:00:00Z", 0, "2026-01-09T16:00:00Z",
     false},
    {"{\"reset\":\"day\",\"zone\":\"+08:00\"}", "2026-01-08T15:00:00Z", 7200000,
     "2026-01-08T17:00:00Z", false},
    {"{\"reset\":\"day\",\"zone\":\"+08:00\"}", "2026-01-08T15:00:00Z", 60000,
     "2026-01-08T16:00:00Z", false},
    {"{\"zone\":\"-03:30\"}", "2026-01-08T03:00:00Z", 0, "2026-01-08T03:30:00Z", false},
    {"{}", "2026-01-08T03:00:00Z", 0, "2026-01-09T00:00:00Z", false},
    {"null", "2026-01-08T03:00:00Z", 0, "2026-01-09T00:00:00Z", false},
    {"{\"zone\":\"pacific\"}", "2026-01-08T03:00:00Z", 0, "2026-01-08T08:00:00Z", false},
    {"{\"zone\":\"pacific\"}", "2026-07-08T03:00:00Z", 0, "2026-07-08T07:00:00Z", false},
    {"{\"reset\":\"rolling\"}", "2026-01-08T03:00:00Z", 0, "2026-01-09T03:00:00Z", false},
    {"{\"reset\":\"rolling\",\"hours\":5}", "2026-01-08T03:00:00Z", 0, "2026-01-08T08:00:00Z",
     false},
    {"{\"reset\":\"rolling\"}", "2026-01-08T03:00:00Z", 90000, "2026-01-08T03:01:30Z", false},
    {"{\"reset\":\"credit\"}", "2026-01-08T03:00:00Z", 0, "2026-01-08T09:00:00Z", true},
    {"{\"reset\":\"credit\",\"hours\":1}", "2026-01-08T03:00:00Z", 7200000, "2026-01-08T05:00:00Z",
     true},
    {"{\"reset\":\"rolling\"}", "2026-01-01T00:00:00Z", UINT64_MAX, "2026-01-31T00:00:00Z", false},
};

START_TEST(a_quota_comes_back_by_its_providers_rule) { /* _i walks quotas */
    char document[256];
    imi_catalogue_t *catalogue = NULL;
    int64_t now = 0, until = 0, got = 0;
    bool is_probed = !quotas[_i].is_probed;
    snprintf(document, sizeof(document), "{\"providers\":{\"p\":{\"quota\":%s}}}",
             quotas[_i].quota);
    catalogue = overlaid(NULL, document);
    ck_assert(imi_time_parse(imi_slice_of(quotas[_i].now), &now));
    ck_assert(imi_time_parse(imi_slice_of(quotas[_i].until), &until));
    got = imi_quota_until(imi_catalogue_find(catalogue, "p"), now, quotas[_i].retry_after_ms,
                          &is_probed);
    ck_assert_msg(got == until, "%s: %lld min off", quotas[_i].quota,
                  (long long)(got - until) / 60000);
    ck_assert_int_eq(is_probed, quotas[_i].is_probed);
    imi_catalogue_release(catalogue);
}
END_TEST

START_TEST(without_a_rule_the_day_ends_at_midnight_utc) {
    bool is_probed = true;
    ck_assert_int_eq(imi_quota_until(NULL, 23 * HOUR_MS, 0, &is_probed), 24 * HOUR_MS);
    ck_assert(!is_probed);
}
END_TEST

START_TEST(a_quota_may_be_per_model) {
    imi_catalogue_t *catalogue = overlaid(NULL, IN_P("\"quota\":{\"per_model\":true}"));
    ck_assert(imi_catalogue_find(catalogue, "p")->is_quota_per_model);
    imi_catalogue_release(catalogue);
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static Suite *catalogue_suite(void) {
    Suite *suite = suite_create("core/catalogue");
    TCase *tcase = tcase_create("built in");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, the_providers_come_in_order_with_their_rules, 0, COUNT(providers));
    tcase_add_test(tcase, there_are_no_other_providers);
    tcase_add_loop_test(tcase, a_model_is_found_by_every_name_it_has, 0, COUNT(models));
    tcase_add_test(tcase, the_table_above_knows_every_model);
    tcase_add_test(tcase, an_entry_looks_as_the_http_api_says);
    tcase_add_test(tcase, names_that_are_no_models_are_none);
    tcase_add_test(tcase, the_hd_scale_of_a_model_that_the_catalogue_lacks);
    tcase_add_test(tcase, the_first_model_of_a_type);
    tcase_add_loop_test(tcase, an_option_is_looked_for_from_the_model_outwards, 0, COUNT(options));
    tcase_add_test(tcase, our_own_texts_are_there);
    tcase_add_test(tcase, a_space_moves_by_one_line);
    tcase_add_test(tcase, a_provider_comes_and_goes);
    tcase_add_test(tcase, documents_can_be_laid_over_each_other_again_and_again);
    suite_add_tcase(suite, tcase);

    tcase = tcase_create("laid over");
    tcase_add_loop_test(tcase, a_document_changes_what_it_names, 0, COUNT(overlays));
    tcase_add_test(tcase, models_are_added_replaced_and_removed_in_order);
    tcase_add_test(tcase, a_request_keeps_the_catalogue_that_it_began_with);
    suite_add_tcase(suite, tcase);

    tcase = tcase_create("mistakes");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, a_mistake_is_told_in_one_line_with_its_path, 0, COUNT(mistakes));
    tcase_add_test(tcase, what_only_the_whole_shows_is_told_too);
    tcase_add_test(tcase, templates_of_unknown_code_may_have_any_names);
    tcase_add_test(tcase, what_was_removed_is_remembered);
    tcase_add_test(tcase, sizes_are_bounded);
    tcase_add_test(tcase, a_catalogue_has_256_providers_at_most);
    tcase_add_test(tcase, a_document_cut_anywhere_is_refused);
    tcase_add_test(tcase, every_failing_allocation_is_survived);
    suite_add_tcase(suite, tcase);

    tcase = tcase_create("quota");
    tcase_add_loop_test(tcase, a_quota_comes_back_by_its_providers_rule, 0, COUNT(quotas));
    tcase_add_test(tcase, without_a_rule_the_day_ends_at_midnight_utc);
    tcase_add_test(tcase, a_quota_may_be_per_model);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(catalogue_suite)
