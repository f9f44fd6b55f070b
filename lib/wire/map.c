/* map.c: linear probing in a table at most three quarters full. A removal shifts what follows back
 * into the gap instead of leaving a mark, so that a table never fills up with marks. */
#include "wire/map.h"

#include <string.h>

#include "wire/assert.h"

enum { CAPACITY_MIN = 8 };

static uint64_t rotate(uint64_t word, unsigned bits) {
    return word << bits | word >> (64 - bits);
}

static void sip_round(uint64_t v[4]) {
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32) + v[3];
    v[2] += v[1];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

/* Little-endian on every machine, so that a seed gives the same order everywhere. */
static uint64_t load_word(const unsigned char *bytes, size_t size) {
    uint64_t word = 0;
    for (size_t i = 0; i < size; i++)
        word |= (uint64_t)bytes[i] << (8 * i);
    return word;
}

/* SipHash with one round a word and three at the end (Aumasson and Bernstein, 2012). */
static uint64_t sip_hash(const uint64_t seed[2], const char *data, size_t size) {
    const unsigned char *bytes = (const unsigned char *)data;
    uint64_t v[4] = {seed[0] ^ UINT64_C(0x736f6d6570736575), seed[1] ^ UINT64_C(0x646f72616e646f6d),
                     seed[0] ^ UINT64_C(0x6c7967656e657261),
                     seed[1] ^ UINT64_C(0x7465646279746573)};
    uint64_t word = 0;
    size_t at = 0;
    for (; size - at >= 8; at += 8) {
        word = load_word(bytes + at, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    word = (uint64_t)size << 56 | load_word(bytes + at, size - at);
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xFF;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void imi_map_init(imi_map_t *map, const imi_mem_t *mem, const uint64_t seed[2]) {
    *map = (imi_map_t){.mem = mem};
    if (seed != NULL)
        memcpy(map->seed, seed, sizeof(map->seed));
}

void imi_map_reset(imi_map_t *map) {
    for (size_t i = 0; i < map->capacity; i++)
        imi_mem_free(map->mem, map->entries[i].key);
    imi_mem_free(map->mem, map->entries);
    map->entries = NULL;
    map->capacity = 0;
    map->count = 0;
}

/* The entry of this key, or the free one where it belongs. The table has a free one. */
static imi_map_entry_t *find(const imi_map_t *map, const char *key, size_t key_size,
                             uint64_t hash) {
    size_t mask = map->capacity - 1;
    for (size_t i = (size_t)hash & mask;; i = (i + 1) & mask) {
        imi_map_entry_t *entry = &map->entries[i];
        if (entry->key == NULL)
            return entry;
        if (entry->hash == hash && entry->key_size == key_size &&
            memcmp(entry->key, key, key_size) == 0)
            return entry;
    }
}

static int grow(imi_map_t *map) {
    imi_map_t larger = *map;
    larger.capacity = map->capacity == 0 ? CAPACITY_MIN : map->capacity * 2;
    if (larger.capacity > SIZE_MAX / sizeof(*larger.entries))
        return -1;
    larger.entries = imi_mem_zalloc(map->mem, larger.capacity * sizeof(*larger.entries));
    if (larger.entries == NULL)
        return -1;
    for (size_t i = 0; i < map->capacity; i++) {
        const imi_map_entry_t *entry = &map->entries[i];
        if (entry->key != NULL)
            *find(&larger, entry->key, entry->key_size, entry->hash) = *entry;
    }
    imi_mem_free(map->mem, map->entries);
    *map = larger;
    return 0;
}

void *imi_map_get(const imi_map_t *map, const char *key, size_t key_size) {
    if (map->count == 0)
        return NULL;
    return find(map, key, key_size, sip_hash(map->seed, key, key_size))->value;
}

int imi_map_set(imi_map_t *map, const char *key, size_t key_size, void *value) {
    uint64_t hash = sip_hash(map->seed, key, key_size);
    imi_map_entry_t *entry = map->capacity == 0 ? NULL : find(map, key, key_size, hash);
    char *copy = NULL;
    IMI_ASSERT(value != NULL); /* that is how imi_map_get() says "absent" */
    if (entry != NULL && entry->key != NULL) {
        entry->value = value;
        return 0;
    }
    if (map->count >= map->capacity / 4 * 3) {
        if (grow(map) != 0)
            return -1;
        entry = find(map, key, key_size, hash);
    }
    copy = imi_mem_strndup(map->mem, key, key_size);
    if (copy == NULL)
        return -1;
    *entry = (imi_map_entry_t){.key = copy, .key_size = key_size, .value = value, .hash = hash};
    map->count++;
    return 0;
}

void *imi_map_remove(imi_map_t *map, const char *key, size_t key_size) {
    size_t mask = map->capacity - 1;
    imi_map_entry_t *gap = NULL;
    void *value = NULL;
    if (map->count == 0)
        return NULL;
    gap = find(map, key, key_size, sip_hash(map->seed, key, key_size));
    if (gap->key == NULL)
        return NULL;
    value = gap->value;
    imi_mem_free(map->mem, gap->key);
    for (size_t i = ((size_t)(gap - map->entries) + 1) & mask; map->entries[i].key != NULL;
         i = (i + 1) & mask) {
        size_t gap_distance = (i - (size_t)(gap - map->entries)) & mask;
        size_t home_distance = (i - (size_t)map->entries[i].hash) & mask;
        if (home_distance < gap_distance)
            continue; /* the gap lies before the place where a search for this one begins */
        *gap = map->entries[i];
        gap = &map->entries[i];
    }
    *gap = (imi_map_entry_t){.key = NULL};
    map->count--;
    return value;
}

bool imi_map_next(const imi_map_t *map, size_t *position, const imi_map_entry_t **out) {
    while (*position < map->capacity) {
        const imi_map_entry_t *entry = &map->entries[(*position)++];
        if (entry->key != NULL) {
            *out = entry;
            return true;
        }
    }
    return false;
}
