/* buf.c: bytes that grow by doubling, never past their limit. The first failure sticks, so that a
 * dozen appends need one check. */
#include "wire/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { CAPACITY_MIN = 64 };

void imi_buf_init(imi_buf_t *buf, const imi_mem_t *mem, size_t size_max) {
    *buf = (imi_buf_t){.mem = mem, .size_max = size_max};
}

void imi_buf_reset(imi_buf_t *buf) {
    imi_mem_free(buf->mem, buf->data);
    imi_buf_init(buf, buf->mem, buf->size_max);
}

void imi_buf_clear(imi_buf_t *buf) {
    buf->size = 0;
    buf->error = 0;
    if (buf->data != NULL)
        buf->data[0] = '\0';
}

/* Doubling is for appends in small steps: a step that needs more gets just what it needs, and
 * nothing is taken beyond the limit. */
static size_t next_capacity(const imi_buf_t *buf, size_t needed) {
    size_t capacity = buf->capacity * 2; /* cannot wrap: nothing fills half of the address space */
    if (capacity < CAPACITY_MIN)
        capacity = CAPACITY_MIN;
    if (buf->size_max != 0 && capacity > buf->size_max)
        capacity = buf->size_max + 1;
    return capacity < needed ? needed : capacity;
}

int imi_buf_reserve(imi_buf_t *buf, size_t extra_size) {
    size_t size_max =
        buf->size_max == 0 || buf->size_max == SIZE_MAX ? SIZE_MAX - 1 : buf->size_max;
    size_t capacity = 0;
    char *data = NULL;
    if (buf->error != 0)
        return buf->error;
    if (extra_size > size_max || buf->size > size_max - extra_size)
        return buf->error = IMI_BUF_TOO_LARGE;
    if (buf->size + extra_size < buf->capacity)
        return 0;
    capacity = next_capacity(buf, buf->size + extra_size + 1);
    data = imi_mem_resize(buf->mem, buf->data, capacity);
    if (data == NULL)
        return buf->error = IMI_BUF_NOMEM;
    data[buf->size] = '\0';
    buf->data = data;
    buf->capacity = capacity;
    return 0;
}

int imi_buf_append(imi_buf_t *buf, const void *data, size_t size) {
    int err = imi_buf_reserve(buf, size);
    if (err != 0)
        return err;
    if (size != 0)
        memcpy(buf->data + buf->size, data, size);
    buf->size += size;
    buf->data[buf->size] = '\0';
    return 0;
}

int imi_buf_append_text(imi_buf_t *buf, const char *text) {
    return imi_buf_append(buf, text, strlen(text));
}

int imi_buf_append_byte(imi_buf_t *buf, char byte) {
    return imi_buf_append(buf, &byte, 1);
}

int imi_buf_printf(imi_buf_t *buf, const char *format, ...) {
    int err = 0;
    va_list arguments;
    va_start(arguments, format);
    err = imi_buf_vprintf(buf, format, arguments);
    va_end(arguments);
    return err;
}

int imi_buf_vprintf(imi_buf_t *buf, const char *format, va_list arguments) {
    int size = 0;
    int err = 0;
    va_list measured;
    va_copy(measured, arguments);
    size = vsnprintf(NULL, 0, format, measured);
    va_end(measured);
    if (size < 0)
        return buf->error = buf->error != 0 ? buf->error : IMI_BUF_TOO_LARGE; /* over 2 GiB */
    err = imi_buf_reserve(buf, (size_t)size);
    if (err != 0)
        return err;
    vsnprintf(buf->data + buf->size, (size_t)size + 1, format, arguments);
    buf->size += (size_t)size;
    return 0;
}

void imi_buf_consume(imi_buf_t *buf, size_t size) {
    if (size == 0 || buf->data == NULL)
        return;
    if (size > buf->size)
        size = buf->size;
    buf->size -= size;
    memmove(buf->data, buf->data + size, buf->size + 1); /* the NUL comes along */
}

char *imi_buf_take(imi_buf_t *buf, size_t *out_size) {
    char *data = NULL;
    if (imi_buf_reserve(buf, 0) != 0)
        return NULL;
    data = buf->data;
    data[buf->size] = '\0'; /* a writer may have filled what it had reserved by itself */
    if (out_size != NULL)
        *out_size = buf->size;
    imi_buf_init(buf, buf->mem, buf->size_max);
    return data;
}
