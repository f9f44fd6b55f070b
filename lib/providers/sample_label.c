/* sample_label.c: a bitmap font of the few letters that the label needs, light on a darkened band.
 * A glyph is 5 columns, left to right; bit 0 is the top of its 8 rows. */
#include "providers/sample_label.h"

#include <stdbool.h>
#include <stddef.h>

#define GLYPH_WIDTH 5
#define GLYPH_HEIGHT 8
#define ADVANCE (GLYPH_WIDTH + 1)
#define MARGIN 3          /* rows above and below the letters, columns at both ends */
#define SCALE_DIVISOR 400 /* pixels of the shorter side per step of the letters' size */

static const struct {
    char letter;
    uint8_t columns[GLYPH_WIDTH];
} glyphs[] = {
    {' ', {0x00, 0x00, 0x00, 0x00, 0x00}}, {'a', {0x20, 0x54, 0x54, 0x54, 0x78}},
    {'A', {0x7E, 0x11, 0x11, 0x11, 0x7E}}, {'c', {0x38, 0x44, 0x44, 0x44, 0x28}},
    {'d', {0x38, 0x44, 0x44, 0x44, 0x7F}}, {'e', {0x38, 0x54, 0x54, 0x54, 0x18}},
    {'I', {0x00, 0x41, 0x7F, 0x41, 0x00}}, {'l', {0x00, 0x41, 0x7F, 0x40, 0x00}},
    {'m', {0x7C, 0x04, 0x78, 0x04, 0x78}}, {'n', {0x7C, 0x08, 0x04, 0x04, 0x78}},
    {'o', {0x38, 0x44, 0x44, 0x44, 0x38}}, {'p', {0xFC, 0x24, 0x24, 0x24, 0x18}},
    {'r', {0x7C, 0x08, 0x04, 0x04, 0x08}}, {'s', {0x48, 0x54, 0x54, 0x54, 0x24}},
    {'w', {0x3C, 0x40, 0x30, 0x40, 0x3C}}, {'y', {0x1C, 0xA0, 0xA0, 0xA0, 0x7C}},
    {',', {0x00, 0x80, 0x60, 0x00, 0x00}}, {'*', {0x00, 0x00, 0x18, 0x18, 0x00}},
};

/* The label in this font's letters: '*' is the middle dot. */
static const char long_text[] = "sample * drawn locally, no AI";
static const char short_text[] = "sample";

static uint32_t width_of(size_t text_size) {
    return (uint32_t)text_size * ADVANCE + 2 * MARGIN;
}

static bool has_ink(const char *text, size_t text_size, uint32_t column, uint32_t row) {
    size_t index = column / ADVANCE;
    if (index >= text_size || column % ADVANCE == GLYPH_WIDTH)
        return false;
    for (size_t i = 0; i < sizeof(glyphs) / sizeof(glyphs[0]); i++)
        if (glyphs[i].letter == text[index])
            return (glyphs[i].columns[column % ADVANCE] >> row & 1) != 0;
    return false;
}

static uint32_t min_u32(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

void imi_label_row(uint32_t width, uint32_t height, uint32_t y, uint8_t *rgb) {
    const char *text = long_text;
    size_t text_size = sizeof(long_text) - 1;
    uint32_t scale, row;
    if (width < width_of(text_size)) {
        text = short_text;
        text_size = sizeof(short_text) - 1;
    }
    scale = min_u32(min_u32(width, height) / SCALE_DIVISOR + 1, width / width_of(text_size));
    scale = min_u32(scale, height / (GLYPH_HEIGHT + 2 * MARGIN));
    if (scale == 0 || y < height - scale * (GLYPH_HEIGHT + 2 * MARGIN))
        return;
    row = (y - (height - scale * (GLYPH_HEIGHT + 2 * MARGIN))) / scale;
    for (uint32_t x = 0; x < width; x++, rgb += 3) {
        uint32_t column = x / scale;
        bool is_ink = row >= MARGIN && row < MARGIN + GLYPH_HEIGHT && column >= MARGIN &&
                      has_ink(text, text_size, column - MARGIN, row - MARGIN);
        for (int i = 0; i < 3; i++) /* readable on any picture, which shines through */
            rgb[i] = (uint8_t)(is_ink ? 224 + rgb[i] / 8 : rgb[i] * 2 / 5);
    }
}
