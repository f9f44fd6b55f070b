/* body.h: the body of a request while it comes in, and what the library is handed of it: JSON, and
 * pictures beside it. */
#ifndef IMI_GATEWAY_BODY_H
#define IMI_GATEWAY_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imagine.h"
#include "gateway/form.h"
#include "gateway/refusal.h"
#include "wire/buf.h"
#include "wire/str.h"

#define IMI_JSON_SIZE_MAX ((size_t)32 * 1024 * 1024)

typedef enum imi_body_kind {
    IMI_BODY_JSON,
    IMI_BODY_MULTIPART,
    IMI_BODY_UNTYPED, /* no Content-Type: JSON if it begins like an object */
} imi_body_kind_t;

/* How a body is going to be read, found out from the head alone. */
typedef struct imi_body_plan {
    imi_body_kind_t kind;
    size_t size_max;
    int64_t size_told; /* -1: not told */
    char boundary[71]; /* multipart */
} imi_body_plan_t;

/* content_length -1: not told. size_max: MAX_BODY_BYTES. NULL, or why no body can be taken. */
const imi_refusal_t *imi_body_plan(imi_body_plan_t *plan, imi_slice_t content_type,
                                   int64_t content_length, size_t size_max);

/* Counted, since the library may need it longer than the exchange does. */
typedef struct imi_gateway_body {
    const imi_mem_t *mem;
    unsigned refs;
    imi_body_kind_t kind;
    size_t size_max;
    size_t size_told; /* 0: not told */
    size_t size;      /* came in so far */
    imi_buf_t data;   /* the JSON document, or the pictures' bytes */
    imi_form_t *form; /* multipart only */
} imi_gateway_body_t;

/* One reference. NULL: no memory. */
imi_gateway_body_t *imi_gateway_body_new(const imi_mem_t *mem, const imi_body_plan_t *plan);
void imi_gateway_body_retain(imi_gateway_body_t *body);
void imi_gateway_body_release(imi_gateway_body_t *body); /* NULL is fine */

/* The next piece. NULL, or why no more of it is wanted. */
const imi_refusal_t *imi_gateway_body_feed(imi_gateway_body_t *body, const void *data,
                                           size_t data_size);
/* It is whole: sets json and images of `form`, which live as long as the body. NULL, or what is
 * wrong with it. Whether the JSON is valid is for its reader to say. */
const imi_refusal_t *imi_gateway_body_finish(imi_gateway_body_t *body, imagine_form_t *form);

#endif
