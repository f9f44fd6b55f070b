/* builtin.h: the providers that come with the library, in the order in which they are listed. */
#ifndef IMI_PROVIDERS_BUILTIN_H
#define IMI_PROVIDERS_BUILTIN_H

#include <stddef.h>

#include "imagine/provider.h"

extern const imagine_provider_t *const imi_builtin_providers[];
extern const size_t imi_builtin_provider_count;

extern const imagine_provider_t imi_provider_gitee;
extern const imagine_provider_t imi_provider_gradio;
extern const imagine_provider_t imi_provider_modelscope;
extern const imagine_provider_t imi_provider_sample;

#endif
