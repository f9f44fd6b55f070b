/* test_dotenv.c: what a .env file may hold, as people write it. */
#include "settings/dotenv.h"

#include <stdio.h>
#include <string.h>

#include "../../support/check_main.h"
#include "../../support/failing_mem.h"

/* What was read, as "NAME=value|…" or, of a broken file, what came before and "!line problem". */
static const char *read_all(const char *data, size_t size, char *out, size_t out_size) {
    imi_dotenv_t dotenv;
    imi_dotenv_result_t result;
    imi_slice_t name = {NULL, 0};
    imi_buf_t value;
    size_t at = 0;
    char *copy = malloc(size + 1); /* so that ASan sees the end */
    memcpy(copy, data, size);
    copy = realloc(copy, size > 0 ? size : 1);
    imi_buf_init(&value, NULL, 0);
    imi_dotenv_init(&dotenv, (imi_slice_t){copy, size});
    out[0] = '\0';
    while ((result = imi_dotenv_next(&dotenv, &name, &value)) == IMI_DOTENV_ENTRY && at < out_size)
        at += (size_t)snprintf(out + at, out_size - at, "%.*s=%s|", (int)name.size, name.data,
                               value.data != NULL ? value.data : "");
    if (result == IMI_DOTENV_BROKEN && at < out_size)
        snprintf(out + at, out_size - at, "!%zu %s", dotenv.line, dotenv.problem);
    imi_buf_reset(&value);
    free(copy);
    return out;
}

static const struct {
    const char *text, *expected;
} files[] = {
    {"", ""},
    {"\n\n  \n# only a comment\n\t# another", ""},
    {"A=b", "A=b|"},
    {"A=b\n", "A=b|"},
    {"A=b\r\nC=d\r\n", "A=b|C=d|"},
    {"\xef\xbb\xbf"
     "A=b",
     "A=b|"},
    {"A=", "A=|"},
    {"A=\nB=1", "A=|B=1|"},
    {"A=   # nothing", "A=|"},
    {"  A  =  b  ", "A=b|"},
    {"export A=b", "A=b|"},
    {"export\tA = b", "A=b|"},
    {"export=b", "export=b|"},
    {"export =b", "export=b|"},
    {"exported=b", "exported=b|"},
    {"A=b # comment", "A=b|"},
    {"A=b#no comment", "A=b#no comment|"},
    {"A=b\t#comment", "A=b|"},
    {"A=a b  c", "A=a b  c|"},
    {"A=b=c==", "A=b=c==|"},
    {"A=it's", "A=it's|"},
    {"A=$HOME/x", "A=$HOME/x|"},
    {"A='b'", "A=b|"},
    {"A='b # c' # d", "A=b # c|"},
    {"A='\\n$x\"'", "A=\\n$x\"|"},
    {"A=\"b\"", "A=b|"},
    {"A=\"\"", "A=|"},
    {"A=\" b \"", "A= b |"},
    {"A=\"a\\\"b\\\\c\\$d\\te\"", "A=a\"b\\c$d\te|"},
    {"A=\"x\\ny\"", "A=x\ny|"},
    {"A=\"one\ntwo\"\nB=3", "A=one\ntwo|B=3|"},
    {"A='one\n# two'#x\nB=3", "A=one\n# two|B=3|"},
    {"_a.b-1=c", "_a.b-1=c|"},
    {"A=1\nA=2", "A=1|A=2|"},
    {"A", "!1 NAME=value expected"},
    {"A=1\nB\nC=3", "A=1|!2 NAME=value expected"},
    {"=b", "!1 NAME=value expected"},
    {"1A=b", "!1 NAME=value expected"},
    {"A B=c", "!1 NAME=value expected"},
    {"A: b", "!1 NAME=value expected"},
    {"\xc3\xa4=b", "!1 NAME=value expected"},
    {"A='b", "!1 a quote that is never closed"},
    {"X=1\n\nA=\"b\nC=d", "X=1|!3 a quote that is never closed"},
    {"A=\"b\\", "!1 a quote that is never closed"},
    {"A='b'c", "!1 something behind the closing quote"},
    {"A=\"one\ntwo\"\nB=\"\"x", "A=one\ntwo|!3 something behind the closing quote"},
    {"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLM=1",
     "!1 a name longer than 64 bytes"},
    {"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKL=1",
     "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKL=1|"},
};

START_TEST(a_file_is_read_as_people_write_it) { /* _i walks files */
    char out[512];
    read_all(files[_i].text, strlen(files[_i].text), out, sizeof(out));
    ck_assert_msg(strcmp(out, files[_i].expected) == 0, "%s: %s", files[_i].text, out);
}
END_TEST

START_TEST(a_nul_byte_is_refused) {
    char out[64];
    ck_assert_str_eq(read_all("A=b\0c", 5, out, sizeof(out)), "!1 a NUL byte, here or below");
    ck_assert_str_eq(read_all("\0", 1, out, sizeof(out)), "!1 a NUL byte, here or below");
}
END_TEST

START_TEST(a_file_cut_anywhere_is_read_to_its_end) {
    static const char text[] = "export A=\"x\\\\y\" # c\r\nB='z\n'\n# d\nC=1 2 # e\n_D = \"\\n\"\n";
    char out[512];
    for (size_t size = 0; size < sizeof(text); size++)
        read_all(text, size, out, sizeof(out));
    ck_assert_str_eq(read_all(text, sizeof(text) - 1, out, sizeof(out)),
                     "A=x\\y|B=z\n|C=1 2|_D=\n|");
}
END_TEST

START_TEST(memory_that_is_missing_shows_in_the_value) {
    failing_mem_t failing;
    imi_dotenv_t dotenv;
    imi_slice_t name = {NULL, 0};
    imi_buf_t value;
    failing_mem_init(&failing, 1);
    imi_buf_init(&value, &failing.mem, 0);
    imi_dotenv_init(&dotenv, IMI_SLICE("A='b'\nC=d"));
    ck_assert_int_eq(imi_dotenv_next(&dotenv, &name, &value), IMI_DOTENV_ENTRY);
    ck_assert_int_eq(value.error, IMI_BUF_NOMEM);
    imi_buf_reset(&value);
    ck_assert_uint_eq(failing.live_count, 0);
}
END_TEST

static Suite *dotenv_suite(void) {
    Suite *suite = suite_create("core/dotenv");
    TCase *tcase = tcase_create("dotenv");
    tcase_add_loop_test(tcase, a_file_is_read_as_people_write_it, 0,
                        (int)(sizeof(files) / sizeof(files[0])));
    tcase_add_test(tcase, a_nul_byte_is_refused);
    tcase_add_test(tcase, a_file_cut_anywhere_is_read_to_its_end);
    tcase_add_test(tcase, memory_that_is_missing_shows_in_the_value);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(dotenv_suite)
