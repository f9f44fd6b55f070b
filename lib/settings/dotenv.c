/* dotenv.c: see dotenv.h. One byte after the other: skip what is empty -> name -> '=' -> value ->
 * nothing else on the line. */
#include "settings/dotenv.h"

#include <string.h>

void imi_dotenv_init(imi_dotenv_t *dotenv, imi_slice_t text) {
    *dotenv = (imi_dotenv_t){.rest = text, .line = 1, .next_line = 1};
    if (text.size >= 3 && memcmp(text.data, "\xef\xbb\xbf", 3) == 0)
        dotenv->rest = (imi_slice_t){text.data + 3, text.size - 3};
    dotenv->has_nul = text.size > 0 && memchr(text.data, '\0', text.size) != NULL;
}

/* '\0' is the end: a text that holds one is refused. */
static char peek(const imi_dotenv_t *dotenv) {
    return dotenv->rest.size > 0 ? *dotenv->rest.data : '\0';
}

static char take(imi_dotenv_t *dotenv) {
    char c = peek(dotenv);
    if (dotenv->rest.size == 0)
        return '\0';
    dotenv->next_line += c == '\n';
    dotenv->rest.data++;
    dotenv->rest.size--;
    return c;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

static void skip_blanks(imi_dotenv_t *dotenv) {
    while (is_blank(peek(dotenv)))
        take(dotenv);
}

static void skip_line(imi_dotenv_t *dotenv) {
    while (peek(dotenv) != '\n' && peek(dotenv) != '\0')
        take(dotenv);
}

static void skip_empty(imi_dotenv_t *dotenv) {
    for (;;) {
        skip_blanks(dotenv);
        if (peek(dotenv) == '#')
            skip_line(dotenv);
        if (peek(dotenv) != '\n')
            return;
        take(dotenv);
    }
}

static imi_dotenv_result_t broken(imi_dotenv_t *dotenv, const char *problem) {
    dotenv->problem = problem;
    dotenv->rest.size = 0;
    dotenv->has_nul = false;
    return IMI_DOTENV_BROKEN;
}

static bool is_name_byte(char c, bool is_first) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
           (!is_first && ((c >= '0' && c <= '9') || c == '.' || c == '-'));
}

static imi_slice_t take_name(imi_dotenv_t *dotenv) {
    imi_slice_t name = {dotenv->rest.data, 0};
    while (is_name_byte(peek(dotenv), name.size == 0)) {
        take(dotenv);
        name.size++;
    }
    return name;
}

/* Up to the quote that ends it; false: there is none. */
static bool take_quoted(imi_dotenv_t *dotenv, imi_buf_t *value) {
    char quote = take(dotenv), c;
    while ((c = take(dotenv)) != quote) {
        if (c == '\0')
            return false;
        if (quote == '"' && c == '\\') {
            c = take(dotenv);
            if (c == '\0')
                return false;
            c = c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : c;
        }
        imi_buf_append_byte(value, c);
    }
    return true;
}

/* Up to a comment or the end of the line, without the blanks before that. */
static void take_bare(imi_dotenv_t *dotenv, imi_buf_t *value) {
    const char *start = dotenv->rest.data;
    imi_slice_t text = {start, 0};
    while (peek(dotenv) != '\n' && peek(dotenv) != '\0') {
        if (peek(dotenv) == '#' && (text.size == 0 || is_blank(start[text.size - 1])))
            break;
        take(dotenv);
        text.size++;
    }
    text = imi_slice_trim(text);
    imi_buf_append(value, text.data, text.size);
}

imi_dotenv_result_t imi_dotenv_next(imi_dotenv_t *dotenv, imi_slice_t *out_name, imi_buf_t *value) {
    imi_buf_clear(value);
    skip_empty(dotenv);
    dotenv->line = dotenv->next_line;
    if (dotenv->has_nul)
        return broken(dotenv, "a NUL byte, here or below");
    if (dotenv->rest.size == 0)
        return IMI_DOTENV_END;
    *out_name = take_name(dotenv);
    if (imi_slice_equals(*out_name, "export") && is_blank(peek(dotenv))) {
        skip_blanks(dotenv);
        if (peek(dotenv) != '=') /* one may be called so */
            *out_name = take_name(dotenv);
    }
    skip_blanks(dotenv);
    if (out_name->size == 0 || peek(dotenv) != '=')
        return broken(dotenv, "NAME=value expected");
    if (out_name->size > IMI_DOTENV_NAME_SIZE_MAX)
        return broken(dotenv, "a name longer than 64 bytes");
    take(dotenv);
    skip_blanks(dotenv);
    if (peek(dotenv) != '"' && peek(dotenv) != '\'') {
        take_bare(dotenv, value);
    } else {
        if (!take_quoted(dotenv, value))
            return broken(dotenv, "a quote that is never closed");
        skip_blanks(dotenv);
        if (peek(dotenv) != '#' && peek(dotenv) != '\n' && peek(dotenv) != '\0')
            return broken(dotenv, "something behind the closing quote");
    }
    skip_line(dotenv);
    return IMI_DOTENV_ENTRY;
}
