/* ratio.h: pixels from an aspect ratio (shared table of the providers' documentation). */
#ifndef IMI_WIRE_RATIO_H
#define IMI_WIRE_RATIO_H

#include <stdint.h>

typedef struct imi_size {
    uint32_t width, height;
} imi_size_t;

/* 1:1 1024x1024, 16:9 1024x576, 4:3 1024x768, 3:2 960x640, 9:16 576x1024, 3:4 768x1024,
 * 2:3 640x960; anything else, and NULL, as 1:1. Both sides times `scale`, rounded. */
imi_size_t imi_size_from_ratio(const char *ratio, double scale);

/* Shrinks or grows into side_min…side_max with the ratio kept as well as whole pixels allow. */
imi_size_t imi_size_clamp(imi_size_t size, uint32_t side_min, uint32_t side_max);

#endif
