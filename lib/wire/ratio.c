/* ratio.c: sizes by ratio, and sizes that fit a model. */
#include "wire/ratio.h"

#include <stddef.h>
#include <string.h>

static const struct {
    const char *ratio;
    imi_size_t size;
} sizes[] = {
    {"1:1", {1024, 1024}}, {"16:9", {1024, 576}}, {"4:3", {1024, 768}}, {"3:2", {960, 640}},
    {"9:16", {576, 1024}}, {"3:4", {768, 1024}},  {"2:3", {640, 960}},
};

static uint32_t scale_side(uint32_t side, double scale) {
    double scaled = side * scale + 0.5;
    if (!(scaled >= 1)) /* also what is not a number */
        return 1;
    return scaled < (double)UINT32_MAX ? (uint32_t)scaled : UINT32_MAX;
}

imi_size_t imi_size_from_ratio(const char *ratio, double scale) {
    imi_size_t size = sizes[0].size;
    for (size_t i = 0; ratio != NULL && i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        if (strcmp(ratio, sizes[i].ratio) == 0)
            size = sizes[i].size;
    }
    return (imi_size_t){scale_side(size.width, scale), scale_side(size.height, scale)};
}

/* The other side when this one becomes `to`, rounded. */
static uint32_t follow(uint32_t other, uint32_t side, uint32_t to) {
    uint64_t scaled = ((uint64_t)other * to + side / 2) / side;
    return scaled < UINT32_MAX ? (uint32_t)scaled : UINT32_MAX;
}

imi_size_t imi_size_clamp(imi_size_t size, uint32_t side_min, uint32_t side_max) {
    uint32_t width = size.width == 0 ? 1 : size.width;
    uint32_t height = size.height == 0 ? 1 : size.height;
    uint32_t longer = width > height ? width : height;
    uint32_t shorter = width > height ? height : width;
    uint32_t longer_to = longer, shorter_to = shorter;
    if (longer > side_max) {
        longer_to = side_max;
        shorter_to = follow(shorter, longer, side_max);
    }
    if (shorter_to < side_min) {
        shorter_to = side_min;
        longer_to = follow(longer, shorter, side_min);
        if (longer_to > side_max)
            longer_to = side_max; /* both limits cannot hold with this ratio */
    }
    return width > height ? (imi_size_t){longer_to, shorter_to}
                          : (imi_size_t){shorter_to, longer_to};
}
