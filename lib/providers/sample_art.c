/* sample_art.c: three ways to fill a canvas. Lengths are fractions of the picture, so that a
 * picture looks alike in every size; colours are fixed-point, 8 bits behind the point; a right
 * shift of a negative number rounds down, as every compiler that we know does it. waves, terrain:
 * layers, back to front, each below a ridge that is known per column nebula: clouds on a coarse
 * grid, the pixels between are interpolated; stars one per cell */
#include "providers/sample_art.h"

#include <stdbool.h>
#include <string.h>

#define ONE 65536 /* 1.0 in fixed-point */
#define STOP_COUNT 6
#define LAYERS_MAX 8
#define GRID_LINES 256 /* along the longer side, at most */
#define GRID_COLUMNS_MAX (GRID_LINES * 2 + 2)
#define STAR_CELLS 48 /* along the longer side */

typedef struct colour {
    int32_t r, g, b; /* 0…255, 8 bits behind the point */
} colour_t;

typedef struct layer {
    colour_t crest, foot;
    int32_t top;           /* where the crest's colour begins, as ridges; -1: at the ridge itself */
    int32_t inverse_depth; /* ONE / pixels from crest to foot */
    int32_t inverse_shadow;
    int32_t shadow; /* how dark the next layer's shadow on this one is, of ONE */
} layer_t;

struct imi_art {
    imi_art_style_t style;
    uint32_t width, height;
    int32_t unit; /* the longer side: 1.0 of all lengths */
    uint64_t random;
    uint32_t noise_seed;
    colour_t stops[STOP_COUNT];
    colour_t accents[STOP_COUNT];
    colour_t sky[2]; /* waves: at the top and further down */

    int32_t sun_x, sun_y, sun_radius; /* pixels; radius 0: no sun */
    layer_t layers[LAYERS_MAX];
    int32_t layer_count;

    int32_t grid_step;                      /* pixels */
    int32_t grid_row;                       /* the grid line that fields[0] holds; -1: none */
    int32_t fields[2][2][GRID_COLUMNS_MAX]; /* line, field (density, hue), column */
    int32_t blended[2][GRID_COLUMNS_MAX];   /* between the two lines */

    int32_t ridges[]; /* layer_count rows of `width`: pixels, 8 bits behind the point */
};

/* ---- chance -----------------------------------------------------------------------------------
 */

/* SplitMix64 (Steele, Lea, Flood 2014) */
static uint64_t next_random(uint64_t *state) {
    uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static int32_t between(imi_art_t *art, int32_t low, int32_t high) {
    return low + (int32_t)(next_random(&art->random) % (uint64_t)(high - low + 1));
}

static uint32_t hash(uint32_t seed, int32_t x, int32_t y) {
    uint32_t h = seed ^ (uint32_t)x * 0x8DA6B343u ^ (uint32_t)y * 0xD8163841u;
    h = (h ^ (h >> 15)) * 0x2C1B3C6Du;
    h = (h ^ (h >> 12)) * 0x297A2D39u;
    return h ^ (h >> 15);
}

/* ---- colour -----------------------------------------------------------------------------------
 */

/* From dark to light. A prompt that names one of the words gets that palette. */
static const struct {
    const char *words;
    uint32_t stops[STOP_COUNT];
} palettes[] = {
    {"sunset dusk evening dawn warm purple",
     {0x1B1035, 0x4A1C6B, 0xA8326E, 0xF0695A, 0xFFB26B, 0xFFF0C8}},
    {"sea ocean water lake river blue fish",
     {0x04152D, 0x0B3A5C, 0x13688A, 0x2FA7B0, 0x8FDCC8, 0xF0FBE6}},
    {"forest tree garden green spring jungle",
     {0x0A1F17, 0x174032, 0x2F6E4C, 0x77A35D, 0xCFC882, 0xFAF2D0}},
    {"fire lava volcano dragon red ember",
     {0x1A0A12, 0x5A1420, 0xB0302A, 0xE8683A, 0xF9B45C, 0xFFF1CF}},
    {"night aurora space star moon galaxy",
     {0x070B24, 0x14235A, 0x1F5A8A, 0x2FB59A, 0x9BE8B0, 0xF3FFE8}},
    {"flower rose love pink bird dream",
     {0x2A0F2E, 0x6D2A5E, 0xB8527F, 0xE48FA2, 0xF6C9C4, 0xFFF4EE}},
    {"desert gold autumn sand cat lion honey",
     {0x2B1A14, 0x6A3A22, 0xB0703A, 0xDDA55D, 0xF3D59A, 0xFFF7E0}},
    {"snow winter ice mountain cold fog",
     {0x101C36, 0x2C4A78, 0x5F87B4, 0x9DBFDC, 0xD6E7F2, 0xFFFFFF}},
};
#define PALETTE_COUNT (sizeof(palettes) / sizeof(palettes[0]))

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Is the word (lower case) in the list of words between spaces? */
static bool is_listed(const char *list, const char *word, size_t size) {
    for (const char *at = list; at != NULL; at = strchr(at, ' ')) {
        at += *at == ' ';
        if (strncmp(at, word, size) == 0 && (at[size] == ' ' || at[size] == '\0'))
            return true;
    }
    return false;
}

/* The palette that the first telling word of the prompt names; PALETTE_COUNT: none does. */
static size_t named_palette(const char *prompt) {
    char word[12];
    while (*prompt != '\0') {
        size_t size = 0;
        for (; is_letter(*prompt); prompt++)
            if (size < sizeof(word))
                word[size++] = (char)(*prompt | 0x20);
        for (size_t i = 0; size > 2 && size < sizeof(word) && i < PALETTE_COUNT; i++)
            if (is_listed(palettes[i].words, word, size) ||
                (word[size - 1] == 's' && is_listed(palettes[i].words, word, size - 1)))
                return i;
        while (*prompt != '\0' && !is_letter(*prompt))
            prompt++;
    }
    return PALETTE_COUNT;
}

static void load_palette(colour_t stops[STOP_COUNT], size_t index) {
    for (size_t i = 0; i < STOP_COUNT; i++) {
        uint32_t rgb = palettes[index].stops[i];
        stops[i] = (colour_t){(int32_t)(rgb >> 16) << 8, (int32_t)(rgb >> 8 & 255) << 8,
                              (int32_t)(rgb & 255) << 8};
    }
}

static int32_t clamp(int32_t value, int32_t low, int32_t high) {
    return value < low ? low : value > high ? high : value;
}

static int32_t lerp(int32_t a, int32_t b, int32_t t) {
    return a + (int32_t)((int64_t)(b - a) * t >> 16);
}

static colour_t mix(colour_t a, colour_t b, int32_t t) {
    return (colour_t){lerp(a.r, b.r, t), lerp(a.g, b.g, t), lerp(a.b, b.b, t)};
}

/* t: 0 (the dark end)…ONE */
static colour_t shade(const colour_t stops[STOP_COUNT], int32_t t) {
    int32_t at = clamp(t, 0, ONE - 1) * (STOP_COUNT - 1);
    return mix(stops[at >> 16], stops[(at >> 16) + 1], at & (ONE - 1));
}

static void put(uint8_t *rgb, colour_t colour) {
    rgb[0] = (uint8_t)(clamp(colour.r + 128, 0, ONE - 1) >> 8);
    rgb[1] = (uint8_t)(clamp(colour.g + 128, 0, ONE - 1) >> 8);
    rgb[2] = (uint8_t)(clamp(colour.b + 128, 0, ONE - 1) >> 8);
}

/* ---- shapes -----------------------------------------------------------------------------------
 */

/* A sine, close enough for water: a parabola, bent once. One turn is ONE; -32768…32768. */
static int32_t sine(uint32_t phase) {
    int32_t x = (int32_t)(phase & 0x7FFF);
    int32_t y = x * (32768 - x) >> 13;
    y += ((y * y >> 15) - y) * 7373 >> 15; /* 0.225, the usual correction */
    return (phase & 0x8000) != 0 ? -y : y;
}

static int32_t fade(int32_t t) { /* 3t² - 2t³ */
    int64_t square = (int64_t)t * t >> 16;
    return (int32_t)(square * (3 * ONE - 2 * t) >> 16);
}

/* What a lattice point contributes at (dx, dy), both fixed-point within -1…1. */
static int32_t slope(uint32_t h, int32_t dx, int32_t dy) {
    static const int32_t directions[8][2] = {{ONE, 0},        {46341, 46341}, {0, ONE},
                                             {-46341, 46341}, {-ONE, 0},      {-46341, -46341},
                                             {0, -ONE},       {46341, -46341}};
    const int32_t *direction = directions[h >> 29];
    return (int32_t)(((int64_t)direction[0] * dx + (int64_t)direction[1] * dy) >> 16);
}

/* Gradient noise (Perlin 1985); x and y fixed-point, about -0.7…0.7. */
static int32_t noise(uint32_t seed, int32_t x, int32_t y) {
    int32_t cell_x = x >> 16, cell_y = y >> 16, dx = x & (ONE - 1), dy = y & (ONE - 1);
    int32_t across = fade(dx), down = fade(dy);
    int32_t top = lerp(slope(hash(seed, cell_x, cell_y), dx, dy),
                       slope(hash(seed, cell_x + 1, cell_y), dx - ONE, dy), across);
    int32_t bottom = lerp(slope(hash(seed, cell_x, cell_y + 1), dx, dy - ONE),
                          slope(hash(seed, cell_x + 1, cell_y + 1), dx - ONE, dy - ONE), across);
    return lerp(top, bottom, down);
}

/* Octaves of noise, each twice as fine and half as strong. */
static int32_t clouds(uint32_t seed, int32_t x, int32_t y, int32_t octave_count) {
    int32_t sum = 0;
    for (int32_t i = 0; i < octave_count; i++)
        sum +=
            noise(seed + (uint32_t)i, (int32_t)((uint32_t)x << i), (int32_t)((uint32_t)y << i)) >>
            i;
    return sum;
}

/* ---- layers: waves and terrain ----------------------------------------------------------------
 */

static int32_t per_pixels(int32_t pixels) {
    return ONE / (pixels > 0 ? pixels : 1);
}

/* Height-wise fraction of the picture in pixels with 8 bits behind the point. */
static int32_t down(const imi_art_t *art, int32_t fraction) {
    return (int32_t)((int64_t)art->height * fraction >> 8);
}

static int32_t along(const imi_art_t *art, uint32_t x, int32_t turns) {
    return (int32_t)(((int64_t)x << 16) * turns / art->unit);
}

static void plan_waves(imi_art_t *art) {
    bool is_lit_behind = between(art, 0, 1) == 1; /* where the light is: behind or in front */
    art->layer_count = LAYERS_MAX;
    art->sky[0] = shade(art->stops, is_lit_behind ? ONE * 3 / 4 : 0);
    art->sky[1] = shade(art->stops, is_lit_behind ? ONE : ONE / 8);
    for (int32_t k = 0; k < art->layer_count; k++) {
        int32_t base = ONE / 14 + k * (ONE - ONE / 14) / art->layer_count;
        int32_t phases[3], turns[3], heights[3];
        int32_t tone = (is_lit_behind ? art->layer_count - 1 - k : k) * ONE / art->layer_count;
        int32_t *ridge = art->ridges + (size_t)k * art->width;
        layer_t *layer = &art->layers[k];
        for (int32_t i = 0; i < 3; i++) {
            phases[i] = between(art, 0, ONE - 1);
            turns[i] = between(art, 3 << i, 5 << i); /* quarters of a turn per unit */
            heights[i] = between(art, ONE / 28, ONE / 18) >> i;
        }
        for (uint32_t x = 0; x < art->width; x++) {
            int32_t height = 0;
            for (int32_t i = 0; i < 3; i++) {
                uint32_t phase = (uint32_t)(phases[i] + along(art, x, turns[i]) / 4);
                height += (int32_t)((int64_t)heights[i] * sine(phase) >> 15);
            }
            ridge[x] = down(art, base + height);
        }
        layer->top = -1;
        layer->crest = shade(art->stops, tone + ONE / 5);
        layer->foot = shade(art->stops, tone - ONE / 16);
        layer->inverse_depth = per_pixels(down(art, ONE / 5) >> 8);
        layer->inverse_shadow = per_pixels(down(art, ONE / 16) >> 8);
        layer->shadow = ONE * 2 / 5;
    }
}

static void plan_terrain(imi_art_t *art) {
    int32_t short_side = (int32_t)(art->width < art->height ? art->width : art->height);
    colour_t haze = shade(art->stops, ONE * 4 / 5);
    art->layer_count = 6;
    art->sun_radius = short_side * between(art, 5, 9) / 100;
    art->sun_x = (int32_t)art->width * between(art, 20, 80) / 100;
    art->sun_y = (int32_t)art->height * between(art, 20, 38) / 100;
    for (int32_t k = 0; k < art->layer_count; k++) {
        int32_t base = ONE * 46 / 100 + k * ONE * 10 / 100;
        int32_t height = ONE * (16 - k) / 100;
        int32_t cells = 5 - k / 2; /* far mountains look narrower */
        int32_t *ridge = art->ridges + (size_t)k * art->width;
        layer_t *layer = &art->layers[k];
        for (uint32_t x = 0; x < art->width; x++) {
            int32_t rough = clouds(art->noise_seed + 97u * (uint32_t)k, along(art, x, cells),
                                   k * 7 * ONE + ONE / 2, 7);
            ridge[x] = down(art, base - (int32_t)((int64_t)height * rough >> 16));
        }
        layer->crest = mix(haze, art->stops[0], ONE * (k + 1) / art->layer_count);
        layer->foot = mix(layer->crest, haze, ONE * (art->layer_count - k) / 9);
        layer->top = down(art, base - height / 2);
        layer->inverse_depth = per_pixels(down(art, ONE / 5) >> 8);
    }
}

/* Lighter towards the horizon, and towards the sun where there is one. */
static colour_t sky_colour(const imi_art_t *art, int32_t x, int32_t y) {
    int32_t t = clamp((int32_t)((int64_t)y * ONE * 2 / (int32_t)art->height), 0, ONE);
    int64_t dx = x - art->sun_x, dy = y - art->sun_y, radius = art->sun_radius;
    int64_t distance = dx * dx + dy * dy, disc = radius * radius; /* squares of lengths */
    colour_t light = art->stops[STOP_COUNT - 1], colour;
    if (radius == 0)
        return mix(art->sky[0], art->sky[1], clamp(t * 4, 0, ONE));
    colour = shade(art->stops, ONE / 4 + t / 8 * 5);
    colour = mix(colour, light, (int32_t)(disc * (ONE * 3 / 4) / (distance / 2 + disc)));
    if (distance >= disc + 2 * radius) /* with room for an edge of two pixels */
        return colour;
    return mix(colour, light,
               (int32_t)(distance <= disc - 2 * radius
                             ? ONE
                             : (disc + 2 * radius - distance) * ONE / (4 * radius)));
}

/* Layer k at a pixel, in the shadow of the next one. */
static colour_t layer_colour(const imi_art_t *art, int32_t k, int32_t x, int32_t y) {
    const layer_t *layer = &art->layers[k];
    const int32_t *ridge = art->ridges + (size_t)k * art->width + x;
    int32_t below = (y << 8) - (layer->top >= 0 ? layer->top : *ridge), above;
    colour_t colour = mix(layer->crest, layer->foot,
                          clamp((int32_t)((int64_t)below * layer->inverse_depth >> 8), 0, ONE));
    if (layer->shadow == 0 || k + 1 == art->layer_count)
        return colour;
    above = ridge[art->width] - (y << 8);
    above = ONE - clamp((int32_t)((int64_t)above * layer->inverse_shadow >> 8), 0, ONE);
    above = (int32_t)((int64_t)above * above >> 16);
    return mix(colour, art->stops[0], (int32_t)((int64_t)above * layer->shadow >> 16));
}

/* -1 is the sky. */
static colour_t colour_at(const imi_art_t *art, int32_t k, int32_t x, int32_t y) {
    return k < 0 ? sky_colour(art, x, y) : layer_colour(art, k, x, y);
}

/* How far the pixel lies below ridge k, 8 bits behind the point; not positive: it lies above. */
static int32_t depth(const imi_art_t *art, int32_t k, int32_t x, int32_t y) {
    return (y << 8) + 128 - art->ridges[(size_t)k * art->width + (size_t)x];
}

/* The layer in front, of those below `k`; -1: the sky. */
static int32_t front_layer(const imi_art_t *art, int32_t k, int32_t x, int32_t y) {
    do
        k--;
    while (k >= 0 && depth(art, k, x, y) <= 0);
    return k;
}

static void layers_row(const imi_art_t *art, int32_t y, uint8_t *rgb) {
    for (int32_t x = 0; x < (int32_t)art->width; x++, rgb += 3) {
        int32_t k = front_layer(art, art->layer_count, x, y);
        colour_t colour = colour_at(art, k, x, y);
        int32_t cover = k < 0 ? 256 : depth(art, k, x, y);
        if (cover < 256) /* the ridge runs through this pixel: what is behind shows in part */
            colour = mix(colour_at(art, front_layer(art, k, x, y), x, y), colour, cover << 8);
        put(rgb, colour);
    }
}

/* ---- nebula -----------------------------------------------------------------------------------
 */

static void plan_nebula(imi_art_t *art) {
    art->grid_step = art->unit / GRID_LINES > 0 ? art->unit / GRID_LINES : 1;
    art->grid_row = -1;
}

/* Clouds whose coordinates are bent by other clouds, which makes them look like smoke. */
static void fill_line(imi_art_t *art, int32_t line, int32_t row) {
    int32_t column_count = (int32_t)art->width / art->grid_step + 2;
    int32_t y = (int32_t)((int64_t)row * art->grid_step * 5 * (ONE / 2) / art->unit);
    uint32_t seed = art->noise_seed;
    for (int32_t i = 0; i < column_count; i++) {
        int32_t x = (int32_t)((int64_t)i * art->grid_step * 5 * (ONE / 2) / art->unit);
        int32_t bend_x = clouds(seed + 10, x, y, 2), bend_y = clouds(seed + 20, x, y, 2);
        art->fields[line][0][i] = clouds(seed + 30, x + bend_x, y + bend_y, 5);
        art->fields[line][1][i] = bend_x - bend_y / 2;
    }
}

static void blend_lines(imi_art_t *art, int32_t y) {
    int32_t row = y / art->grid_step, column_count = (int32_t)art->width / art->grid_step + 2;
    int32_t t = (y - row * art->grid_step) * ONE / art->grid_step;
    if (row != art->grid_row) {
        if (row == art->grid_row + 1 && art->grid_row >= 0)
            memcpy(art->fields[0], art->fields[1], sizeof(art->fields[0]));
        else
            fill_line(art, 0, row);
        fill_line(art, 1, row + 1);
        art->grid_row = row;
    }
    for (int32_t field = 0; field < 2; field++)
        for (int32_t i = 0; i < column_count; i++)
            art->blended[field][i] = lerp(art->fields[0][field][i], art->fields[1][field][i], t);
}

/* How much light the star of this cell throws on the pixel, of ONE. Stars stay inside their cell;
 * most are faint and small. */
static int32_t starlight(const imi_art_t *art, int32_t x, int32_t y) {
    int32_t cell = art->unit / STAR_CELLS, column, row, radius, room, dx, dy, light;
    uint32_t h;
    if (cell < 4)
        return 0;
    column = x / cell;
    row = y / cell;
    h = hash(art->noise_seed + 77, column, row);
    if (h % 5 != 0)
        return 0;
    radius = h % 8 == 0 ? cell / 2 : cell / 8;
    radius = radius < 1 ? 1 : radius;
    room = cell - 2 * radius;
    dx = x - column * cell - radius - (int32_t)(h >> 8 & 255) * room / 256;
    dy = y - row * cell - radius - (int32_t)(h >> 16 & 255) * room / 256;
    if (dx * dx + dy * dy >= radius * radius)
        return 0;
    light = ONE - (int32_t)((int64_t)(dx * dx + dy * dy) * ONE / (radius * radius));
    for (int32_t i = 0; i < 3; i++) /* a bright core, a wide glow */
        light = (int32_t)((int64_t)light * light >> 16);
    return (int32_t)((int64_t)light * (int32_t)(80 + (h >> 24) * 2 / 3) >> 8);
}

static void nebula_row(imi_art_t *art, int32_t y, uint8_t *rgb) {
    blend_lines(art, y);
    for (int32_t x = 0; x < (int32_t)art->width; x++, rgb += 3) {
        int32_t i = x / art->grid_step, t = (x - i * art->grid_step) * ONE / art->grid_step;
        int32_t density = lerp(art->blended[0][i], art->blended[0][i + 1], t) + ONE / 2;
        int32_t hue = lerp(art->blended[1][i], art->blended[1][i + 1], t) * 2 + ONE / 2;
        colour_t colour;
        density = clamp(density, 0, ONE);
        density = (int32_t)((int64_t)density * density >> 16); /* dark space, bright cores */
        colour = mix(shade(art->stops, density), shade(art->accents, density), clamp(hue, 0, ONE));
        put(rgb, mix(colour, (colour_t){ONE - 1, ONE - 1, ONE - 1}, starlight(art, x, y)));
    }
}

/* ---- the picture ------------------------------------------------------------------------------
 */

imi_art_style_t imi_art_style(const char *name) {
    if (strcmp(name, "nebula") == 0)
        return IMI_ART_NEBULA;
    return strcmp(name, "terrain") == 0 ? IMI_ART_TERRAIN : IMI_ART_WAVES;
}

size_t imi_art_size(uint32_t width) {
    return sizeof(imi_art_t) + LAYERS_MAX * (size_t)width * sizeof(int32_t);
}

imi_art_t *imi_art_init(void *memory, imi_art_style_t style, const char *prompt, int64_t seed,
                        uint32_t width, uint32_t height) {
    imi_art_t *art = memory;
    size_t palette = named_palette(prompt);
    art->style = style;
    art->width = width;
    art->height = height;
    art->unit = (int32_t)(width > height ? width : height);
    art->random = UINT64_C(0xCBF29CE484222325); /* FNV-1a of the prompt */
    for (; *prompt != '\0'; prompt++)
        art->random = (art->random ^ (uint8_t)*prompt) * UINT64_C(0x100000001B3);
    art->random ^= (uint64_t)seed * UINT64_C(0x9E3779B97F4A7C15);
    art->noise_seed = (uint32_t)next_random(&art->random);
    if (palette == PALETTE_COUNT)
        palette = (size_t)between(art, 0, (int32_t)PALETTE_COUNT - 1);
    load_palette(art->stops, palette);
    load_palette(art->accents,
                 (palette + (size_t)between(art, 1, (int32_t)PALETTE_COUNT - 1)) % PALETTE_COUNT);
    if (style == IMI_ART_NEBULA)
        plan_nebula(art);
    else if (style == IMI_ART_TERRAIN)
        plan_terrain(art);
    else
        plan_waves(art);
    return art;
}

void imi_art_row(imi_art_t *art, uint32_t y, uint8_t *rgb) {
    if (art->style == IMI_ART_NEBULA)
        nebula_row(art, (int32_t)y, rgb);
    else
        layers_row(art, (int32_t)y, rgb);
}
