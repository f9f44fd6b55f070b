/* nearest.c: see nearest.h. Shapes are compared by the logarithm of their ratios, so that "twice as
 * wide" is as far from square as "twice as tall". */
#include "providers/nearest.h"

#include <math.h>

#include "wire/json.h"

#define ITEMS_MAX 32 /* of a list in the catalogue */

/* ---- sizes within bounds ----------------------------------------------------------------------
 */

static double held(double value, double low, double high) {
    return value < low ? low : value > high ? high : value;
}

/* By how much both sides grow or shrink, before they are rounded. */
static double scale_into(double width, double height, const imi_size_bounds_t *bounds) {
    double pixels = width * height, longer = fmax(width, height), scale = 1;
    if (bounds->pixels_min != 0 && pixels < bounds->pixels_min)
        scale = sqrt(bounds->pixels_min / pixels);
    if (bounds->pixels_max != 0 && pixels * scale * scale > bounds->pixels_max)
        scale = sqrt(bounds->pixels_max / pixels);
    if (bounds->side_max != 0 && longer * scale > bounds->side_max)
        scale = bounds->side_max / longer;
    return scale;
}

imi_size_t imi_nearest_size(imi_size_t wanted, const imi_size_bounds_t *bounds) {
    double step = bounds->step, square = step * step;
    double ratio = bounds->ratio_max != 0 ? bounds->ratio_max : HUGE_VAL;
    double width = held(wanted.width, 1, wanted.height * ratio);
    double height = held(wanted.height, 1, width * ratio);
    double scale = scale_into(width, height, bounds);
    double wide = fmax(rint(width * scale / step), 1); /* both in steps from here on */
    double high = fmax(rint(height * scale / step), 1);
    double *longer = wide > high ? &wide : &high, *shorter = wide > high ? &high : &wide;
    if (bounds->side_max != 0)
        *longer = held(*longer, 1, floor(bounds->side_max / step));
    *longer = held(*longer, 1, *shorter * ratio);
    /* Rounding missed an area by a row at most: the side that leaves the ratio in its bounds. */
    if (bounds->pixels_max != 0 && wide * high * square > bounds->pixels_max)
        *longer = fmax(floor(bounds->pixels_max / square / *shorter), 1);
    else if (wide * high * square < bounds->pixels_min)
        *shorter = fmin(ceil(bounds->pixels_min / square / *longer), *longer);
    return (imi_size_t){(uint32_t)(wide * step), (uint32_t)(high * step)};
}

bool imi_has_own_size(const imagine_call_t *call) {
    const imagine_params_t *params = imagine_call_params(call);
    imi_size_t usual = imi_size_from_ratio(params->ar, 1);
    return params->width != 0 && params->height != 0 &&
           (params->width != usual.width || params->height != usual.height);
}

/* ---- lists ------------------------------------------------------------------------------------
 */

/* The whole list at once: item by item a short one of an action would go on in the longer one of
 * its provider. */
static imi_json_cursor_t walk(imagine_call_t *call, const char *list) {
    return imi_json_walk(imi_slice_of(imagine_call_option(call, list)));
}

/* The logarithm of "16:9" or "1536x1024". false: neither. */
static bool read_shape(imi_slice_t text, double *out) {
    double width, height;
    size_t at = 0;
    while (at < text.size && text.data[at] != 'x' && text.data[at] != ':')
        at++;
    if (at == text.size || !imi_parse_double((imi_slice_t){text.data, at}, &width) ||
        !imi_parse_double((imi_slice_t){text.data + at + 1, text.size - at - 1}, &height) ||
        !(width > 0) || !(height > 0))
        return false;
    *out = log(width / height);
    return true;
}

const char *imi_nearest_shape(imagine_call_t *call, const char *list, imi_size_t wanted) {
    const char *ar = imagine_call_params(call)->ar;
    imi_json_cursor_t items = walk(call, list);
    imi_slice_t item, nearest = {NULL, 0};
    double least = HUGE_VAL, aim = 0, shape;
    if (wanted.width != 0 && wanted.height != 0)
        aim = log((double)wanted.width / wanted.height);
    if (ar != NULL && !imi_has_own_size(call))
        read_shape(imi_slice_of(ar), &aim);
    for (int i = 0; i < ITEMS_MAX && imi_json_next_item(&items, &item); i++) {
        imi_slice_t text = imi_json_plain_text(item);
        if (read_shape(text, &shape) && fabs(shape - aim) < least) {
            least = fabs(shape - aim);
            nearest = text;
        }
    }
    return nearest.data == NULL
               ? NULL
               : imagine_call_printf(call, "%.*s", (int)nearest.size, nearest.data);
}

int64_t imi_nearest_number(imagine_call_t *call, const char *list, double wanted) {
    imi_json_cursor_t items = walk(call, list);
    imi_slice_t item;
    int64_t nearest = 0, number;
    for (int i = 0; i < ITEMS_MAX && imi_json_next_item(&items, &item); i++)
        if (imi_json_whole_number(item, &number) && number > 0 &&
            (nearest == 0 || fabs((double)number - wanted) < fabs((double)nearest - wanted)))
            nearest = number;
    return nearest != 0 ? nearest : llround(wanted);
}
