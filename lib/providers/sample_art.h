/* sample_art.h: pictures out of arithmetic. Pure: the same prompt, seed, style and size give the
 * same pixels on every machine (whole numbers only), a row at a time. */
#ifndef IMI_PROVIDERS_SAMPLE_ART_H
#define IMI_PROVIDERS_SAMPLE_ART_H

#include <stddef.h>
#include <stdint.h>

typedef enum imi_art_style { IMI_ART_WAVES, IMI_ART_NEBULA, IMI_ART_TERRAIN } imi_art_style_t;

typedef struct imi_art imi_art_t;

/* "waves", "nebula", "terrain"; anything else: waves. */
imi_art_style_t imi_art_style(const char *name);

/* Memory that a picture of this width needs, at most 400 KiB. Sides: 1…8192. */
size_t imi_art_size(uint32_t width);
/* `memory` is zeroed, aligned for any type and outlives the picture. */
imi_art_t *imi_art_init(void *memory, imi_art_style_t style, const char *prompt, int64_t seed,
                        uint32_t width, uint32_t height);
/* Row y, 3 bytes a pixel. Rows come in order, from 0. */
void imi_art_row(imi_art_t *art, uint32_t y, uint8_t *rgb);

#endif
