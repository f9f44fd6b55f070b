/* head.c: collects header lines. A server that sends too many or too long ones gets no answer read:
 * the limits are far above what providers send. */
#include "uv/head.h"

#include <stdbool.h>
#include <string.h>

#include "wire/mem.h"
#include "wire/str.h"

enum {
    HEAD_SIZE_MAX = 64 * 1024,
    HEADER_COUNT_MAX = 256,
};

void imi_head_init(imi_head_t *head, const imi_mem_t *mem) {
    imi_buf_init(&head->text, mem, HEAD_SIZE_MAX);
    head->count = 0;
}

void imi_head_reset(imi_head_t *head) {
    imi_buf_reset(&head->text);
    head->count = 0;
}

static int result_of(const imi_head_t *head) {
    if (head->text.error == 0)
        return 0;
    return head->text.error == IMI_BUF_NOMEM ? IMAGINE_ENOMEM : IMAGINE_ETOOLARGE;
}

/* A value goes on in the next line (RFC 9112, section 5.2): one space stands for the break. */
static int add_folded(imi_head_t *head, imi_slice_t text) {
    if (head->count == 0)
        return 0;
    head->text.data[head->text.size - 1] = ' '; /* was the NUL of the value so far */
    imi_buf_append(&head->text, text.data, text.size);
    imi_buf_append_byte(&head->text, '\0');
    return result_of(head);
}

int imi_head_add(imi_head_t *head, const char *line, size_t size) {
    imi_slice_t value = {line, size};
    imi_slice_t name = {line, 0};
    const char *colon = size == 0 ? NULL : memchr(line, ':', size);
    if (memchr(line, '\0', size) != NULL)
        return 0; /* it would end the text too early */
    if (size != 0 && (line[0] == ' ' || line[0] == '\t'))
        return add_folded(head, imi_slice_trim(value));
    if (colon == NULL || colon == line)
        return 0;
    if (head->count == HEADER_COUNT_MAX)
        return IMAGINE_ETOOLARGE;
    name.size = (size_t)(colon - line);
    value.data = colon + 1;
    value.size = size - name.size - 1;
    name = imi_slice_trim(name);
    value = imi_slice_trim(value);
    imi_buf_append(&head->text, name.data, name.size);
    imi_buf_append_byte(&head->text, '\0');
    imi_buf_append(&head->text, value.data, value.size);
    imi_buf_append_byte(&head->text, '\0');
    head->count++;
    return result_of(head);
}

imagine_header_t *imi_head_list(const imi_head_t *head) {
    imagine_header_t *headers = imi_mem_alloc(head->text.mem, head->count * sizeof(*headers));
    const char *text = head->text.data;
    if (headers == NULL)
        return NULL;
    for (size_t i = 0; i < head->count; i++) {
        headers[i].name = text;
        text += strlen(text) + 1;
        headers[i].value = text;
        text += strlen(text) + 1;
    }
    return headers;
}
