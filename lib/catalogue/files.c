/* files.c: see files.h. The document is copied value by value; only the members that name
 * files are others in the copy. */
#include "catalogue/files.h"

#include <stdlib.h>
#include <string.h>

#include "imagine.h"
#include "wire/json.h"

#define DEPTH_MAX 32 /* of a document: catalogue.c refuses deeper ones */
#define FILES_MAX 256
#define FROM "workflow_file"
#define INTO "workflow"

typedef struct copy {
    imi_json_writer_t writer;
    imi_arena_t *arena;
    imi_catalogue_read_cb read;
    void *user;
    size_t file_count;
    int err;
    const char *message;
} copy_t;

static void refuse(copy_t *copy, int err, const char *name, const char *what) {
    copy->err = err;
    copy->message = imi_arena_printf(copy->arena, FROM ": %s: %s", name, what);
}

static void put_file(copy_t *copy, imi_slice_t value) {
    const char *name = imi_json_text(copy->arena, value, NULL);
    imi_slice_t text;
    char *data;
    if (name == NULL || name[0] == '\0') {
        refuse(copy, IMAGINE_EINVAL, "", "the name of a file expected");
        return;
    }
    if (copy->file_count++ == FILES_MAX) {
        refuse(copy, IMAGINE_EINVAL, name, "more than 256 files");
        return;
    }
    data = copy->read(copy->user, name, &text.size);
    text.data = data;
    if (data == NULL)
        refuse(copy, IMAGINE_EIO, name, "the file cannot be read");
    else if (!imi_json_valid(text, DEPTH_MAX, NULL))
        refuse(copy, IMAGINE_EINVAL, name, "not valid JSON, or nested too deeply");
    else
        imi_json_put_raw(&copy->writer, INTO, imi_slice_trim(text));
    free(data);
}

/* Nesting is bounded, and so is the recursion. */
static void put_value(copy_t *copy, const char *key, imi_slice_t value) {
    imi_json_cursor_t cursor = imi_json_walk(value);
    imi_slice_t name, item;
    switch (imi_json_type(value)) {
    case IMI_JSON_OBJECT:
        imi_json_open_object(&copy->writer, key);
        while (copy->err == 0 && imi_json_next_member(&cursor, &name, &item)) {
            imi_slice_t quoted = {name.data - 1, name.size + 2};
            const char *text = imi_json_text(copy->arena, quoted, NULL);
            if (text == NULL)
                refuse(copy, IMAGINE_EINVAL, "", "a name that is no text, or no memory");
            else if (strcmp(text, FROM) == 0)
                put_file(copy, item);
            else
                put_value(copy, text, item);
        }
        imi_json_close_object(&copy->writer);
        break;
    case IMI_JSON_ARRAY:
        imi_json_open_array(&copy->writer, key);
        while (copy->err == 0 && imi_json_next_item(&cursor, &item))
            put_value(copy, NULL, item);
        imi_json_close_array(&copy->writer);
        break;
    default:
        imi_json_put_raw(&copy->writer, key, value);
    }
}

int imi_catalogue_files(imi_slice_t document, imi_catalogue_read_cb read, void *user,
                        imi_buf_t *out, imi_arena_t *arena, const char **out_message) {
    copy_t copy = {.arena = arena, .read = read, .user = user};
    *out_message = NULL;
    if (!imi_text_has_nocase(document, "\"" FROM "\"") ||
        !imi_json_valid(document, DEPTH_MAX, NULL)) /* what is wrong with it is told elsewhere */
        return imi_buf_append(out, document.data, document.size) == 0 ? 0 : IMAGINE_ENOMEM;
    imi_json_begin(&copy.writer, out);
    put_value(&copy, NULL, imi_slice_trim(document));
    *out_message = copy.message;
    if (copy.err == 0 && out->error != 0)
        copy.err = IMAGINE_ENOMEM;
    return copy.err;
}
