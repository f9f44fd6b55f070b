/* form.c: each part as it comes becomes a member of one JSON object, or a picture:
 *   - file parts named image, images, image[] (and imageUrl) are pictures; other files are ignored
 *   - text parts named image, images, image[] are addresses of pictures
 *   - numbers and switches lose their quotes when they are well-formed, and count as absent when
 *     they are empty, as forms send fields that nobody filled in
 *   - everything else is a text
 * What is wrong with a value is for the library to say, in the same words as for JSON. */
#include "gateway/form.h"

#include <string.h>

static const imi_refusal_t broken = {400, IMAGINE_EINVAL, "Invalid parameters",
                                     "the multipart/form-data body is broken"};
static const imi_refusal_t too_many_parts = {
    413, IMAGINE_ETOOLARGE, "Payload Too Large",
    "more than 128 parts, or more than 8 KiB of headers in a part"};
static const imi_refusal_t too_many_pictures = {400, IMAGINE_EINVAL, "Invalid parameters",
                                                "image holds too many pictures: 16 at most"};
static const imi_refusal_t picture_too_large = {413, IMAGINE_ETOOLARGE, "Payload Too Large",
                                                "image: a picture is larger than 50 MiB"};
static const imi_refusal_t too_large = {413, IMAGINE_ETOOLARGE, "Payload Too Large",
                                        "the body is larger than allowed"};
static const imi_refusal_t text_with_nul = {400, IMAGINE_EINVAL, "Invalid parameters",
                                            "image must not contain a NUL character"};
static const imi_refusal_t out_of_memory = {503, IMAGINE_ENOMEM, "Out of memory",
                                            "there is no memory for this body now"};

static int on_part(void *user, const imi_multipart_part_t *part);
static int on_data(void *user, const char *data, size_t size);
static int on_part_end(void *user);

static const imi_multipart_handler_t handler = {on_part, on_data, on_part_end};

#define STOP 1 /* from a handler: form->refusal says why */

void imi_form_init(imi_form_t *form, const char *boundary, imi_buf_t *data, size_t json_size_max) {
    memset(form, 0, sizeof(*form));
    form->data = data;
    imi_buf_init(&form->json, data->mem, json_size_max);
    imi_json_begin(&form->writer, &form->json);
    imi_json_open_object(&form->writer, NULL);
    imi_multipart_init(&form->parser, data->mem, boundary, IMI_FORM_PARTS_MAX, &handler, form);
}

void imi_form_reset(imi_form_t *form) {
    imi_multipart_reset(&form->parser);
    imi_mem_free(form->data->mem, form->images);
    form->images = NULL;
    imi_buf_reset(&form->json);
}

static int stop(imi_form_t *form, const imi_refusal_t *refusal) {
    form->refusal = refusal;
    return STOP;
}

static int stop_for_buffer(imi_form_t *form, int err) {
    return stop(form, err == IMI_BUF_TOO_LARGE ? &too_large : &out_of_memory);
}

static bool is_one_of(imi_slice_t name, const char *const *names) {
    for (; *names != NULL; names++)
        if (imi_slice_equals(name, *names))
            return true;
    return false;
}

static bool is_picture_name(imi_slice_t name) {
    static const char *const names[] = {"image", "image[]", "images", "images[]", NULL};
    return is_one_of(name, names);
}

static bool is_number_name(imi_slice_t name) {
    static const char *const names[] = {"steps", "guidance", "seed",        "width",      "height",
                                        "n",     "duration", "temperature", "max_tokens", NULL};
    return is_one_of(name, names);
}

static bool is_switch_name(imi_slice_t name) {
    static const char *const names[] = {"enableHD", "stream", "async", NULL};
    return is_one_of(name, names);
}

static bool is_address_name(imi_slice_t name) {
    static const char *const names[] = {"imageUrl", "image_url", NULL};
    return is_one_of(name, names);
}

static imi_part_kind_t part_kind(const imi_multipart_part_t *part) {
    bool is_picture = is_picture_name(part->name);
    if (part->filename.data != NULL)
        return is_picture || is_address_name(part->name) ? IMI_PART_PICTURE : IMI_PART_IGNORED;
    if (is_picture)
        return IMI_PART_ADDRESS;
    if (part->name.size == 0 || part->name.size > IMI_FORM_NAME_SIZE_MAX ||
        memchr(part->name.data, '\0', part->name.size) != NULL)
        return IMI_PART_IGNORED;
    return IMI_PART_FIELD;
}

static int on_part(void *user, const imi_multipart_part_t *part) {
    imi_form_t *form = user;
    form->part = part_kind(part);
    form->part_at = form->data->size;
    if (form->part == IMI_PART_FIELD) {
        memcpy(form->name, part->name.data, part->name.size);
        form->name[part->name.size] = '\0';
    }
    return 0;
}

static int on_data(void *user, const char *data, size_t size) {
    imi_form_t *form = user;
    int err;
    if (form->part == IMI_PART_IGNORED)
        return 0;
    if (form->part == IMI_PART_PICTURE &&
        size > IMI_FORM_PICTURE_SIZE_MAX - (form->data->size - form->part_at))
        return stop(form, &picture_too_large);
    err = imi_buf_append(form->data, data, size);
    return err == 0 ? 0 : stop_for_buffer(form, err);
}

static int keep_picture(imi_form_t *form, bool is_address) {
    imi_form_picture_t picture = {
        .at = form->part_at, .size = form->data->size - form->part_at, .is_address = is_address};
    if (picture.size == 0)
        return 0; /* a file input that nobody used sends an empty file */
    if (form->picture_count == IMI_FORM_PICTURES_MAX)
        return stop(form, &too_many_pictures);
    if (is_address) {
        int err;
        if (memchr(form->data->data + picture.at, '\0', picture.size) != NULL)
            return stop(form, &text_with_nul);
        err = imi_buf_append_byte(form->data, '\0');
        if (err != 0)
            return stop_for_buffer(form, err);
    }
    form->pictures[form->picture_count++] = picture;
    return 0;
}

static int write_field(imi_form_t *form) {
    imi_slice_t name = imi_slice_of(form->name);
    imi_slice_t text = {"", form->data->size - form->part_at};
    imi_slice_t value;
    if (text.size > 0)
        text.data = form->data->data + form->part_at;
    value = imi_slice_trim(text);
    if (is_number_name(name)) {
        if (value.size > 0 && imi_number_size(value) == value.size)
            imi_json_put_raw(&form->writer, form->name, value);
        else if (value.size > 0)
            imi_json_put_slice(&form->writer, form->name, value);
    } else if (is_switch_name(name)) {
        if (imi_slice_equals(value, "true") || imi_slice_equals(value, "false"))
            imi_json_put_bool(&form->writer, form->name, value.data[0] == 't');
        else if (value.size > 0)
            imi_json_put_slice(&form->writer, form->name, value);
    } else {
        imi_json_put_slice(&form->writer, form->name, text);
    }
    if (text.size > 0) { /* the place is free for the next one */
        form->data->size = form->part_at;
        form->data->data[form->part_at] = '\0';
    }
    return form->json.error == 0 ? 0 : stop_for_buffer(form, form->json.error);
}

static int on_part_end(void *user) {
    imi_form_t *form = user;
    switch (form->part) {
    case IMI_PART_FIELD:
        return write_field(form);
    case IMI_PART_PICTURE:
    case IMI_PART_ADDRESS:
        return keep_picture(form, form->part == IMI_PART_ADDRESS);
    case IMI_PART_IGNORED:
        break;
    }
    return 0;
}

static const imi_refusal_t *refusal_of(const imi_form_t *form, int err) {
    switch (err) {
    case 0:
        return NULL;
    case STOP:
        return form->refusal;
    case IMI_MULTIPART_TOO_LARGE:
        return &too_many_parts;
    case IMI_MULTIPART_NOMEM:
        return &out_of_memory;
    default:
        return &broken;
    }
}

const imi_refusal_t *imi_form_feed(imi_form_t *form, const char *data, size_t data_size) {
    return refusal_of(form, imi_multipart_feed(&form->parser, data, data_size));
}

const imi_refusal_t *imi_form_finish(imi_form_t *form, imagine_form_t *out) {
    int err = imi_multipart_finish(&form->parser);
    imi_multipart_reset(&form->parser);
    if (err != 0)
        return refusal_of(form, err);
    imi_json_close_object(&form->writer);
    if (form->json.error != 0)
        return form->json.error == IMI_BUF_TOO_LARGE ? &too_large : &out_of_memory;
    if (form->picture_count > 0) {
        form->images = imi_mem_zalloc(form->data->mem, form->picture_count * sizeof(*form->images));
        if (form->images == NULL)
            return &out_of_memory;
    }
    for (size_t i = 0; i < form->picture_count; i++) {
        const imi_form_picture_t *picture = &form->pictures[i];
        imagine_image_t *image = &form->images[i];
        image->size = sizeof(*image);
        if (picture->is_address) {
            image->url = form->data->data + picture->at;
        } else {
            image->data = form->data->data + picture->at;
            image->data_size = picture->size;
        }
    }
    out->json = form->json.data;
    out->json_size = form->json.size;
    out->images = form->images;
    out->image_count = form->picture_count;
    return NULL;
}
