/* body.c: takes a body in with as little memory as it needs: nothing before the first piece comes,
 * then what the head told, but no more than 64 KiB on the word of a stranger; after that it
 * doubles, and never goes past what was told. */
#include "gateway/body.h"

#include <string.h>

#define TRUSTED_SIZE_MAX ((size_t)64 * 1024)

static const imi_refusal_t too_large = {413, IMAGINE_ETOOLARGE, "Payload Too Large",
                                        "the body is larger than allowed"};
static const imi_refusal_t unknown_type = {
    415, IMAGINE_ENOTSUP, "Unsupported Media Type",
    "the Content-Type must be application/json or multipart/form-data"};
static const imi_refusal_t no_boundary = {400, IMAGINE_EINVAL, "Invalid parameters",
                                          "multipart/form-data without a valid boundary"};
static const imi_refusal_t out_of_memory = {503, IMAGINE_ENOMEM, "Out of memory",
                                            "there is no memory for this body now"};

/* Editors write it in front of a file; readers of JSON may pass over it (RFC 8259, section 8.1). */
static const char byte_order_mark[] = "\xef\xbb\xbf";

/* The media type alone, without its parameters. */
static imi_slice_t media_type(imi_slice_t content_type) {
    const char *semicolon =
        content_type.size > 0 ? memchr(content_type.data, ';', content_type.size) : NULL;
    if (semicolon != NULL)
        content_type.size = (size_t)(semicolon - content_type.data);
    return imi_slice_trim(content_type);
}

const imi_refusal_t *imi_body_plan(imi_body_plan_t *plan, imi_slice_t content_type,
                                   int64_t content_length, size_t size_max) {
    imi_slice_t type = media_type(content_type);
    size_t json_max = size_max < IMI_JSON_SIZE_MAX ? size_max : IMI_JSON_SIZE_MAX;
    plan->size_told = content_length;
    plan->size_max = json_max;
    plan->boundary[0] = '\0';
    if (type.size == 0) {
        plan->kind = IMI_BODY_UNTYPED;
    } else if (imi_slice_equals_nocase(type, "application/json")) {
        plan->kind = IMI_BODY_JSON;
    } else if (imi_slice_equals_nocase(type, "multipart/form-data")) {
        plan->kind = IMI_BODY_MULTIPART;
        plan->size_max = size_max;
        if (!imi_multipart_boundary(content_type, plan->boundary))
            return &no_boundary;
    } else {
        return &unknown_type;
    }
    return content_length > 0 && (uint64_t)content_length > plan->size_max ? &too_large : NULL;
}

imi_gateway_body_t *imi_gateway_body_new(const imi_mem_t *mem, const imi_body_plan_t *plan) {
    imi_gateway_body_t *body = imi_mem_zalloc(mem, sizeof(*body));
    if (body == NULL)
        return NULL;
    body->mem = mem;
    body->refs = 1;
    body->kind = plan->kind;
    body->size_max = plan->size_max;
    body->size_told = plan->size_told > 0 ? (size_t)plan->size_told : 0;
    /* Addresses in multipart get a NUL each, which was not sent. */
    imi_buf_init(&body->data, mem,
                 (body->size_told > 0 ? body->size_told : body->size_max) + IMI_FORM_PARTS_MAX);
    if (plan->kind == IMI_BODY_MULTIPART) {
        body->form = imi_mem_alloc(mem, sizeof(*body->form));
        if (body->form == NULL) {
            imi_mem_free(mem, body);
            return NULL;
        }
        imi_form_init(body->form, plan->boundary, &body->data, IMI_JSON_SIZE_MAX);
    }
    return body;
}

void imi_gateway_body_retain(imi_gateway_body_t *body) {
    body->refs++;
}

void imi_gateway_body_release(imi_gateway_body_t *body) {
    if (body == NULL || --body->refs > 0)
        return;
    if (body->form != NULL)
        imi_form_reset(body->form);
    imi_mem_free(body->mem, body->form);
    imi_buf_reset(&body->data);
    imi_mem_free(body->mem, body);
}

/* Without a Content-Type only what begins as an object does, or as a byte order mark in front of
 * one, is taken for JSON. */
static const imi_refusal_t *guess_kind(imi_gateway_body_t *body, imi_slice_t piece) {
    piece = imi_slice_trim(piece);
    if (piece.size == 0)
        return NULL;
    if (piece.data[0] != '{' && piece.data[0] != byte_order_mark[0])
        return &unknown_type;
    body->kind = IMI_BODY_JSON;
    return NULL;
}

const imi_refusal_t *imi_gateway_body_feed(imi_gateway_body_t *body, const void *data,
                                           size_t data_size) {
    if (data_size > body->size_max - body->size)
        return &too_large;
    body->size += data_size;
    if (body->kind == IMI_BODY_UNTYPED) {
        const imi_refusal_t *refusal = guess_kind(body, (imi_slice_t){data, data_size});
        if (refusal != NULL)
            return refusal;
    }
    if (body->data.data == NULL && body->size_told > 0)
        imi_buf_reserve(&body->data,
                        body->size_told < TRUSTED_SIZE_MAX ? body->size_told : TRUSTED_SIZE_MAX);
    if (body->kind == IMI_BODY_MULTIPART)
        return imi_form_feed(body->form, data, data_size);
    switch (imi_buf_append(&body->data, data, data_size)) {
    case 0:
        return NULL;
    case IMI_BUF_TOO_LARGE:
        return &too_large;
    default:
        return &out_of_memory;
    }
}

const imi_refusal_t *imi_gateway_body_finish(imi_gateway_body_t *body, imagine_form_t *form) {
    if (body->kind == IMI_BODY_MULTIPART)
        return imi_form_finish(body->form, form);
    form->json = body->data.data != NULL ? body->data.data : "";
    form->json_size = body->data.size;
    if (form->json_size >= 3 && memcmp(form->json, byte_order_mark, 3) == 0) {
        form->json += 3;
        form->json_size -= 3;
    }
    return NULL;
}
