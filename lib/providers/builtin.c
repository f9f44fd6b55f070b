/* builtin.c: the list of built-in providers. One that the list lacks does not exist. */
#include "providers/builtin.h"

const imagine_provider_t *const imi_builtin_providers[] = {
    &imi_provider_gitee, &imi_provider_gradio,    &imi_provider_modelscope,
    &imi_provider_a4f,   &imi_provider_modelslab, &imi_provider_gemini,
    &imi_provider_grok,  &imi_provider_openai,    &imi_provider_sample,
};
const size_t imi_builtin_provider_count =
    sizeof(imi_builtin_providers) / sizeof(imi_builtin_providers[0]);

const imagine_provider_t *const imi_builtin_kinds[] = {
    &imi_kind_comfyui,
    &imi_kind_gradio,
    &imi_kind_openai,
    &imi_kind_sdwebui,
};
const size_t imi_builtin_kind_count = sizeof(imi_builtin_kinds) / sizeof(imi_builtin_kinds[0]);
