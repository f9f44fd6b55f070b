/* template.c: see template.h. A name that nobody gives a value becomes null
 * without a word, and the server's complaint about that null is hard to read: better refused here.
 */
#include "catalogue/template.h"

#include <string.h>

#include "wire/json.h"

enum { DEPTH_MAX = 32 };

/* The kinds that fill in templates. What each gives beside imagine_call_fill()'s own names is
 * listed in lib/providers/CATALOGUE.md. */
static const char *const kinds[] = {"comfyui", "gradio", "huggingface", "sdwebui"};
static const char *const names[] = {
    "prompt", "negative_prompt", "ar",        "width",     "height", "seed",   "randomize",
    "steps",  "guidance",        "duration",  "model",     "image",  "images", "count",
    "frames", "sampler",         "scheduler", "denoising", "scale",
};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

bool imi_catalogue_template_is_known(const char *kind) {
    for (size_t i = 0; i < COUNT(kinds); i++)
        if (strcmp(kinds[i], kind) == 0)
            return true;
    return false;
}

static bool is_name(imi_slice_t name) {
    for (size_t i = 0; i < COUNT(names); i++)
        if (imi_slice_equals(name, names[i]))
            return true;
    return (name.size == 6 || name.size == 7) && memcmp(name.data, "image", 5) == 0 &&
           strspn(name.data + 5, "0123456789") >= name.size - 5; /* of several, by its place */
}

const char *imi_catalogue_template_complaint(const char *text) {
    const char *colon = strchr(text, ':');
    imi_slice_t name;
    if (text[0] != '$')
        return NULL;
    name.data = text + 1;
    name.size = colon != NULL ? (size_t)(colon - text) - 1 : strlen(text) - 1;
    if (!is_name(name))
        return "no such name: $prompt, $negative_prompt, $ar, $width, $height, $seed, $steps, "
               "$guidance … are known, see CATALOGUE.md";
    if (colon != NULL && !imi_json_valid(imi_slice_of(colon + 1), DEPTH_MAX, NULL))
        return "what follows the colon is not JSON: a text needs quotes of its own, as in "
               "\"$ar:\\\"1:1\\\"\"";
    return NULL;
}
