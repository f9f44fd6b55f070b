/* form.h: multipart/form-data as the JSON that the same request would have sent, with the pictures
 * beside it. */
#ifndef IMI_GATEWAY_FORM_H
#define IMI_GATEWAY_FORM_H

#include <stdbool.h>
#include <stddef.h>

#include "imagine.h"
#include "gateway/refusal.h"
#include "wire/buf.h"
#include "wire/json.h"
#include "wire/multipart.h"

enum {
    IMI_FORM_PARTS_MAX = 128,
    IMI_FORM_NAME_SIZE_MAX = 64, /* fields with longer names are unknown, and ignored */
    IMI_FORM_PICTURES_MAX = 16,
};
#define IMI_FORM_PICTURE_SIZE_MAX ((size_t)50 * 1024 * 1024)

typedef struct imi_form_picture {
    size_t at; /* where it begins in the data */
    size_t size;
    bool is_address; /* text that names a picture, with a NUL behind it */
} imi_form_picture_t;

typedef enum imi_part_kind {
    IMI_PART_IGNORED,
    IMI_PART_FIELD,
    IMI_PART_PICTURE,
    IMI_PART_ADDRESS,
} imi_part_kind_t;

typedef struct imi_form {
    imi_multipart_t parser;
    imi_buf_t *data; /* borrowed: the pictures, and at its end the field that is coming in */
    imi_buf_t json;
    imi_json_writer_t writer;
    const imi_refusal_t *refusal;
    imi_part_kind_t part;
    size_t part_at;
    char name[IMI_FORM_NAME_SIZE_MAX + 1];
    imi_form_picture_t pictures[IMI_FORM_PICTURES_MAX];
    size_t picture_count;
    imagine_image_t *images;
} imi_form_t;

void imi_form_init(imi_form_t *form, const char *boundary, imi_buf_t *data, size_t json_size_max);
void imi_form_reset(imi_form_t *form);

/* NULL, or what is wrong. */
const imi_refusal_t *imi_form_feed(imi_form_t *form, const char *data, size_t data_size);
const imi_refusal_t *imi_form_finish(imi_form_t *form, imagine_form_t *out);

#endif
