/* nearest.h: what a provider offers that comes nearest to what is wanted: one of its sizes, ratios
 * or durations, or a size within its bounds. */
#ifndef IMI_PROVIDERS_NEAREST_H
#define IMI_PROVIDERS_NEAREST_H

#include <stdbool.h>
#include <stdint.h>

#include "imagine/provider.h"
#include "wire/ratio.h"

/* What sizes a model makes that is not tied to a list of them. Sides are whole multiples of `step`;
 * 0 elsewhere: no such bound. */
typedef struct imi_size_bounds {
    uint32_t step;
    uint32_t side_max;
    uint32_t ratio_max; /* the longer side, in shorter ones */
    uint32_t pixels_min, pixels_max;
} imi_size_bounds_t;

/* The size within the bounds that is nearest, its ratio kept as well as they allow. `step` is 1 at
 * least. */
imi_size_t imi_nearest_size(imi_size_t wanted, const imi_size_bounds_t *bounds);

/* Did the caller choose width and height in pixels, rather than by a ratio or not at all? */
bool imi_has_own_size(const imagine_call_t *call);
/* The text of the option `list`, an array of sizes ("1536x1024") or ratios ("16:9"), whose shape is
 * nearest; NULL: there is no such list, or no memory. A caller's ratio counts as it was written,
 * also when our own table lacks it. */
const char *imi_nearest_shape(imagine_call_t *call, const char *list, imi_size_t wanted);
/* The number of the option `list` that is nearest; without a list the wanted one, rounded. */
int64_t imi_nearest_number(imagine_call_t *call, const char *list, double wanted);

#endif
