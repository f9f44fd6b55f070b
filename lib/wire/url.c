/* url.c: http(s) addresses, read more strictly than RFC 3986 asks. What we judge here is connected
 * to by curl, so an address that two readers could take apart differently is refused: it has one
 * "//", at most one '@', a host of letters, digits, dots, hyphens and underscores (no percent
 * signs: curl decodes them) or a full numeric address, and a port of at most five digits. */
#include "wire/url.h"

#include <string.h>

#include "wire/urlcheck.h"

enum {
    PORT_DIGITS_MAX = 5,
    PORT_MAX = 65535,
};

/* ---- splitting (RFC 3986, appendix B) ----------------------------------------------------------
 */

/* Absent is different from empty. */
typedef struct parts {
    imi_slice_t scheme;
    imi_slice_t authority;
    imi_slice_t path;
    imi_slice_t query;
    imi_slice_t fragment;
} parts_t;

static bool is_alpha(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static imi_slice_t take(imi_slice_t *rest, size_t size) {
    imi_slice_t taken = {rest->data, size};
    rest->data += size;
    rest->size -= size;
    return taken;
}

/* Takes all that stands before the first of the `stops`. */
static imi_slice_t take_until(imi_slice_t *rest, const char *stops) {
    size_t size = 0;
    while (size < rest->size && memchr(stops, rest->data[size], strlen(stops)) == NULL)
        size++;
    return take(rest, size);
}

static bool begins_with(imi_slice_t text, char c) {
    return text.size != 0 && text.data[0] == c;
}

static imi_slice_t take_scheme(imi_slice_t *rest) {
    size_t size = 0;
    while (size < rest->size && (is_alpha(rest->data[size]) ||
                                 (size != 0 && (is_digit(rest->data[size]) ||
                                                memchr("+-.", rest->data[size], 3) != NULL))))
        size++;
    if (size == 0 || size == rest->size || rest->data[size] != ':')
        return (imi_slice_t){NULL, 0};
    take(rest, size + 1);
    return (imi_slice_t){rest->data - size - 1, size};
}

static parts_t split(imi_slice_t text) {
    parts_t parts = {.scheme = take_scheme(&text)};
    if (begins_with(text, '/') && text.size > 1 && text.data[1] == '/') {
        take(&text, 2);
        parts.authority = take_until(&text, "/?#");
    }
    parts.path = take_until(&text, "?#");
    if (begins_with(text, '?')) {
        take(&text, 1);
        parts.query = take_until(&text, "#");
    }
    if (begins_with(text, '#')) {
        take(&text, 1);
        parts.fragment = text;
    }
    return parts;
}

/* ---- reading -----------------------------------------------------------------------------------
 */

static bool has_bad_byte(imi_slice_t text) {
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c <= ' ' || c == '\\' || c == 0x7F)
            return true;
    }
    return false;
}

/* RFC 3986, section 3.2.1, but for what ends the authority for some reader. */
static bool is_userinfo(imi_slice_t text) {
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (!is_alpha(c) && !is_digit(c) && strchr("-._~!$&'()*+,;=:%", c) == NULL)
            return false;
    }
    return true;
}

static bool parse_port(imi_slice_t text, uint16_t *out) {
    uint32_t port = 0;
    if (text.size > PORT_DIGITS_MAX)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (!is_digit(text.data[i]))
            return false;
        port = port * 10 + (uint32_t)(text.data[i] - '0');
    }
    if (port == 0 || port > PORT_MAX)
        return false;
    *out = (uint16_t)port;
    return true;
}

/* Takes the host; `rest` keeps the port with its colon, if there is one. */
static bool take_host(imi_slice_t *rest, imi_slice_t *out) {
    imi_address_t address;
    if (!begins_with(*rest, '[')) {
        *out = take_until(rest, ":");
        if (imi_host_is_numeric(*out)) /* written out: curl takes 0177.1 for 127.0.0.1 */
            return imi_address_parse(*out, false, &address);
        return imi_host_is_name(*out);
    }
    take(rest, 1);
    *out = take_until(rest, "]");
    if (rest->size == 0 || memchr(out->data, '%', out->size) != NULL)
        return false; /* no zones: they mean something on one machine only */
    take(rest, 1);
    return imi_address_parse(*out, false, &address) && address.is_ipv6;
}

static bool parse_authority(imi_slice_t authority, imi_url_t *out) {
    const char *at = authority.size == 0 ? NULL : memchr(authority.data, '@', authority.size);
    out->has_userinfo = at != NULL;
    if (at != NULL && !is_userinfo(take(&authority, (size_t)(at - authority.data))))
        return false;
    if (at != NULL)
        take(&authority, 1);
    if (!take_host(&authority, &out->host))
        return false;
    out->port = out->is_https ? 443 : 80;
    if (authority.size == 0)
        return true;
    if (take(&authority, 1).data[0] != ':')
        return false;
    return authority.size == 0 || parse_port(authority, &out->port); /* "host:" is the default */
}

bool imi_url_parse(imi_slice_t text, imi_url_t *out) {
    parts_t parts;
    *out = (imi_url_t){.port = 0};
    if (text.data == NULL || has_bad_byte(text))
        return false;
    parts = split(text);
    out->scheme = parts.scheme;
    out->is_https = imi_slice_equals_nocase(parts.scheme, "https");
    out->path = parts.path;
    out->query = parts.query;
    return (out->is_https || imi_slice_equals_nocase(parts.scheme, "http")) &&
           parts.authority.data != NULL && parse_authority(parts.authority, out);
}

bool imi_url_is_same_origin(const imi_url_t *a, const imi_url_t *b) {
    if (a->is_https != b->is_https || a->port != b->port || a->host.size != b->host.size)
        return false;
    for (size_t i = 0; i < a->host.size; i++) {
        unsigned char left = (unsigned char)a->host.data[i];
        unsigned char right = (unsigned char)b->host.data[i];
        if (left != right && !(is_alpha((char)left) && (left ^ right) == ('a' ^ 'A')))
            return false;
    }
    return true;
}

/* ---- resolving (RFC 3986, section 5.2) ---------------------------------------------------------
 */

/* Text that is put together in a place known to be large enough. */
typedef struct writer {
    char *data;
    size_t size;
} writer_t;

static void put(writer_t *writer, const char *prefix, imi_slice_t text) {
    size_t prefix_size = strlen(prefix);
    if (text.data == NULL)
        return;
    memcpy(writer->data + writer->size, prefix, prefix_size);
    memcpy(writer->data + writer->size + prefix_size, text.data, text.size);
    writer->size += prefix_size + text.size;
}

/* Section 5.2.4, in place; a path here is empty or begins with a slash. */
static size_t remove_dot_segments(char *path, size_t size) {
    size_t out_size = 0;
    for (size_t at = 0, next = 0; at < size; at = next) {
        imi_slice_t segment = {path + at + 1, 0};
        bool is_dot, is_dot_dot;
        for (next = at + 1; next < size && path[next] != '/';)
            next++;
        segment.size = next - at - 1;
        is_dot = imi_slice_equals(segment, ".");
        is_dot_dot = imi_slice_equals(segment, "..");
        if (!is_dot && !is_dot_dot) {
            memmove(path + out_size, path + at, next - at);
            out_size += next - at;
            continue;
        }
        if (is_dot_dot) {
            while (out_size != 0 && path[--out_size] != '/')
                ;
        }
        if (next == size)
            path[out_size++] = '/'; /* "a/.." names the directory */
    }
    return out_size;
}

static void put_path(writer_t *writer, imi_slice_t directory, imi_slice_t path) {
    size_t begin = writer->size;
    put(writer, "", directory);
    put(writer, "", path);
    writer->size = begin + remove_dot_segments(writer->data + begin, writer->size - begin);
}

/* What a relative path stands behind: the base's path up to its last slash (section 5.2.3). */
static imi_slice_t directory_of(imi_slice_t path) {
    while (path.size != 0 && path.data[path.size - 1] != '/')
        path.size--;
    return path.size == 0 ? IMI_SLICE("/") : path;
}

char *imi_url_resolve(imi_arena_t *arena, const char *base, imi_slice_t reference) {
    static const imi_slice_t none = {NULL, 0};
    imi_slice_t base_text = imi_slice_of(base);
    parts_t from, to;
    imi_slice_t directory = none;
    imi_url_t parsed;
    writer_t writer = {NULL, 0};
    if (reference.data == NULL || !imi_url_parse(base_text, &parsed))
        return NULL;
    from = split(base_text);
    to = split(reference);
    if (to.scheme.data == NULL) {
        to.scheme = from.scheme;
        if (to.authority.data == NULL) {
            to.authority = from.authority;
            if (to.path.size != 0 && !begins_with(to.path, '/'))
                directory = directory_of(from.path);
            if (to.path.size == 0 && to.query.data == NULL)
                to.query = from.query;
            if (to.path.size == 0)
                to.path = from.path;
        }
    }
    if (to.authority.data == NULL)
        return NULL; /* "http:path": some readers would take the base's host */
    writer.data = imi_arena_alloc(arena, base_text.size + reference.size + sizeof("://") + 1);
    if (writer.data == NULL)
        return NULL;
    put(&writer, "", to.scheme);
    put(&writer, "://", to.authority);
    put_path(&writer, directory, to.path);
    put(&writer, "?", to.query);
    put(&writer, "#", to.fragment);
    writer.data[writer.size] = '\0';
    return imi_url_parse((imi_slice_t){writer.data, writer.size}, &parsed) ? writer.data : NULL;
}

char *imi_url_join(imi_arena_t *arena, const char *base, const char *path) {
    size_t base_size = strlen(base);
    size_t path_size = 0;
    char *out = NULL;
    while (base_size != 0 && base[base_size - 1] == '/')
        base_size--;
    while (*path == '/')
        path++;
    path_size = strlen(path);
    out = imi_arena_alloc(arena, base_size + path_size + 2);
    if (out == NULL)
        return NULL;
    memcpy(out, base, base_size);
    out[base_size] = '/';
    memcpy(out + base_size + 1, path, path_size + 1);
    return out;
}
