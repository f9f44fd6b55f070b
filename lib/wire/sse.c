/* sse.c: server-sent events. A line that lies whole in the input is read where it lies; only what
 * a feed leaves unfinished is copied. A blank line ends an event; one without a data line is none,
 * and an event that the stream cuts off is none either (WHATWG HTML, section 9.2.6). The fields
 * `id` and `retry` are for clients that reconnect: we never do, so they are passed over. */
#include "wire/sse.h"

#include <string.h>

static const char byte_order_mark[] = "\xEF\xBB\xBF";

static int read_line(imi_sse_t *sse, imi_slice_t line, imi_sse_cb on_event, void *user);
static int read_field(imi_sse_t *sse, imi_slice_t name, imi_slice_t value);
static void dispatch(imi_sse_t *sse, imi_sse_cb on_event, void *user);

void imi_sse_init(imi_sse_t *sse, const imi_mem_t *mem, size_t event_size_max) {
    *sse = (imi_sse_t){.has_data = false};
    imi_buf_init(&sse->line, mem, event_size_max);
    imi_buf_init(&sse->name, mem, event_size_max);
    imi_buf_init(&sse->data, mem, event_size_max);
}

void imi_sse_reset(imi_sse_t *sse) {
    imi_buf_reset(&sse->line);
    imi_buf_reset(&sse->name);
    imi_buf_reset(&sse->data);
    imi_sse_init(sse, sse->line.mem, sse->line.size_max);
}

static const char *find(const char *at, const char *end, char byte) {
    const char *found = memchr(at, byte, (size_t)(end - at));
    return found == NULL ? end : found;
}

/* A line is complete: its front may wait in `line` since an earlier feed. The limit holds for a
 * line however it was split. */
static int end_line(imi_sse_t *sse, imi_slice_t tail, imi_sse_cb on_event, void *user) {
    imi_slice_t line = tail;
    int err = 0;
    if (sse->line.size != 0) {
        err = imi_buf_append(&sse->line, tail.data, tail.size);
        line = (imi_slice_t){sse->line.data, sse->line.size};
    } else if (sse->line.size_max != 0 && tail.size > sse->line.size_max) {
        err = IMI_BUF_TOO_LARGE;
    }
    if (err == 0)
        err = read_line(sse, line, on_event, user);
    imi_buf_clear(&sse->line);
    return sse->line.error = err; /* sticks: the next feed begins with a look at it */
}

int imi_sse_feed(imi_sse_t *sse, const char *data, size_t size, imi_sse_cb on_event, void *user) {
    const char *at = data, *line_feed = data;
    if (sse->line.error != 0 || sse->is_stopped || size == 0)
        return sse->line.error;
    if (sse->was_cr && data[0] == '\n')
        at++;
    sse->was_cr = false;
    for (const char *end = data + size; at < end;) {
        const char *line_end = NULL;
        int err = 0;
        if (line_feed <= at) /* found once, however many lines end in a CR before it */
            line_feed = find(at, end, '\n');
        line_end = find(at, line_feed, '\r');
        if (line_end == end)
            return imi_buf_append(&sse->line, at, (size_t)(end - at));
        err = end_line(sse, (imi_slice_t){at, (size_t)(line_end - at)}, on_event, user);
        if (err != 0 || sse->is_stopped)
            return err;
        at = line_end + 1;
        if (*line_end == '\r' && at < end && *at == '\n')
            at++;
        else
            sse->was_cr = *line_end == '\r' && at == end;
    }
    return 0;
}

static int read_line(imi_sse_t *sse, imi_slice_t line, imi_sse_cb on_event, void *user) {
    size_t mark_size = sizeof(byte_order_mark) - 1;
    const char *colon = NULL;
    imi_slice_t name, value = {"", 0};
    if (!sse->was_begun && line.size >= mark_size &&
        memcmp(line.data, byte_order_mark, mark_size) == 0) {
        line.data += mark_size;
        line.size -= mark_size;
    }
    sse->was_begun = true;
    name = line;
    if (line.size == 0) {
        dispatch(sse, on_event, user);
        return 0;
    }
    colon = memchr(line.data, ':', line.size);
    if (colon != NULL) {
        name.size = (size_t)(colon - line.data);
        value = (imi_slice_t){colon + 1, line.size - name.size - 1};
        if (value.size != 0 && value.data[0] == ' ') {
            value.data++;
            value.size--;
        }
    }
    return read_field(sse, name, value); /* a comment is a field with an empty name */
}

static int read_field(imi_sse_t *sse, imi_slice_t name, imi_slice_t value) {
    if (imi_slice_equals(name, "data")) {
        if (sse->has_data)
            imi_buf_append_byte(&sse->data, '\n');
        sse->has_data = true;
        return imi_buf_append(&sse->data, value.data, value.size);
    }
    if (imi_slice_equals(name, "event")) {
        imi_buf_clear(&sse->name);
        return imi_buf_append(&sse->name, value.data, value.size);
    }
    return 0;
}

static void dispatch(imi_sse_t *sse, imi_sse_cb on_event, void *user) {
    imi_sse_event_t event = {IMI_SLICE("message"), {sse->data.data, sse->data.size}};
    if (sse->name.size != 0)
        event.name = (imi_slice_t){sse->name.data, sse->name.size};
    if (sse->has_data)
        sse->is_stopped = !on_event(user, &event);
    sse->has_data = false;
    imi_buf_clear(&sse->data);
    imi_buf_clear(&sse->name);
}
