/* builtin.h: the providers that come with the library, in the order in which they are listed, and
 * the code for providers that only a catalogue file can declare. */
#ifndef IMI_PROVIDERS_BUILTIN_H
#define IMI_PROVIDERS_BUILTIN_H

#include <stddef.h>

#include "imagine/provider.h"

extern const imagine_provider_t *const imi_builtin_providers[];
extern const size_t imi_builtin_provider_count;

/* No providers: what an entry of this `kind` speaks, wherever its server stands. */
extern const imagine_provider_t *const imi_builtin_kinds[];
extern const size_t imi_builtin_kind_count;

extern const imagine_provider_t imi_kind_comfyui;
extern const imagine_provider_t imi_kind_gradio;
extern const imagine_provider_t imi_kind_openai;
extern const imagine_provider_t imi_kind_sdwebui;
extern const imagine_provider_t imi_provider_a4f;
extern const imagine_provider_t imi_provider_gemini;
extern const imagine_provider_t imi_provider_gitee;
extern const imagine_provider_t imi_provider_gradio;
extern const imagine_provider_t imi_provider_grok;
extern const imagine_provider_t imi_provider_modelscope;
extern const imagine_provider_t imi_provider_modelslab;
extern const imagine_provider_t imi_provider_openai;
extern const imagine_provider_t imi_provider_sample;

#endif
