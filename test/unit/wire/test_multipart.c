/* test_multipart.c: bodies as curl, undici, Chromium and the RFC write them, and broken ones. Every
 * body is read whole, split in two at every place, and byte by byte; what comes out must be the
 * same. What we write must read back. */
#include "wire/multipart.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "../../support/check_main.h"
#include "../../support/failing_mem.h"

#define COUNT_OF(table) ((int)(sizeof(table) / sizeof((table)[0])))
#define BYTES(literal) literal, sizeof(literal) - 1
#define PART_COUNT_MAX 4
#define STOPPED 77

/* ---- the boundary ------------------------------------------------------------------------------
 */

#define TEN "0123456789"
#define SEVENTY TEN TEN TEN TEN TEN TEN TEN

static const struct {
    const char *name, *content_type, *boundary; /* NULL: refused */
} boundary_cases[] = {
    {"plain", "multipart/form-data; boundary=abc", "abc"},
    {"curl", "multipart/form-data; boundary=------------------------2b8a096b2cf332ed",
     "------------------------2b8a096b2cf332ed"},
    {"Chromium", "multipart/form-data; boundary=----WebKitFormBoundaryePkpFF7tjBAqx29L",
     "----WebKitFormBoundaryePkpFF7tjBAqx29L"},
    {"undici", "multipart/form-data; boundary=----formdata-undici-089211263509",
     "----formdata-undici-089211263509"},
    {"in quotes", "multipart/form-data; boundary=\"a b:c\"", "a b:c"},
    {"any case, no blank", "Multipart/Form-Data;BOUNDARY=aBc", "aBc"},
    {"blanks around", " multipart/form-data ; boundary = abc ; x=y", "abc"},
    {"behind others", "multipart/form-data; charset=utf-8; x=\"; boundary=no\"; boundary=yes",
     "yes"},
    {"an equals sign in it", "multipart/form-data; boundary==_?=", "=_?="},
    {"a semicolon at the end", "multipart/form-data; boundary=abc;", "abc"},
    {"70 characters", "multipart/form-data; boundary=" SEVENTY, SEVENTY},
    {"71 characters", "multipart/form-data; boundary=" SEVENTY "0", NULL},
    {"none", "multipart/form-data", NULL},
    {"empty", "multipart/form-data; boundary=", NULL},
    {"empty in quotes", "multipart/form-data; boundary=\"\"", NULL},
    {"a blank at its end", "multipart/form-data; boundary=\"abc \"", NULL},
    {"a quote that stays open", "multipart/form-data; boundary=\"abc", NULL},
    {"two of them", "multipart/form-data; boundary=a; boundary=b", NULL},
    {"a bad character", "multipart/form-data; boundary=a*b", NULL},
    {"a line break", "multipart/form-data; boundary=\"a\r\nb\"", NULL},
    {"no separator", "multipart/form-data boundary=abc", NULL},
    {"rubbish behind", "multipart/form-data; boundary=abc def", NULL},
    {"another type", "multipart/mixed; boundary=abc", NULL},
    {"a longer type", "multipart/form-data2; boundary=abc", NULL},
    {"JSON", "application/json", NULL},
    {"nothing", "", NULL},
    {"absent", NULL, NULL},
};

START_TEST(the_boundary_of_a_content_type) { /* _i walks boundary_cases */
    const char *expected = boundary_cases[_i].boundary;
    char out[71] = "";
    bool is_found = imi_multipart_boundary(imi_slice_of(boundary_cases[_i].content_type), out);
    ck_assert_msg(is_found == (expected != NULL), "%s", boundary_cases[_i].name);
    if (is_found)
        ck_assert_str_eq(out, expected);
}
END_TEST

/* ---- reading -----------------------------------------------------------------------------------
 */

typedef struct seen {
    imi_buf_t text; /* "[name]", "[name|filename]" or "[name|filename|type]", the data, "]" */
    size_t data_count;
    size_t stop_at; /* the callback that stops, counted from 1; 0: none */
    size_t callback_count;
} seen_t;

static int count_callback(seen_t *seen) {
    return ++seen->callback_count == seen->stop_at ? STOPPED : 0;
}

static int on_part(void *user, const imi_multipart_part_t *part) {
    seen_t *seen = user;
    imi_buf_append_text(&seen->text, "[");
    imi_buf_append(&seen->text, part->name.data, part->name.size);
    if (part->filename.data != NULL || part->content_type.data != NULL)
        imi_buf_append_text(&seen->text, part->filename.data == NULL ? "|-" : "|");
    imi_buf_append(&seen->text, part->filename.data, part->filename.size);
    if (part->content_type.data != NULL)
        imi_buf_append_text(&seen->text, "|");
    imi_buf_append(&seen->text, part->content_type.data, part->content_type.size);
    imi_buf_append_text(&seen->text, ":");
    return count_callback(seen);
}

static int on_data(void *user, const char *data, size_t size) {
    seen_t *seen = user;
    ck_assert_uint_gt(size, 0);
    seen->data_count++;
    imi_buf_append(&seen->text, data, size);
    return count_callback(seen);
}

static int on_part_end(void *user) {
    seen_t *seen = user;
    imi_buf_append_text(&seen->text, "]");
    return count_callback(seen);
}

static const imi_multipart_handler_t handler = {on_part, on_data, on_part_end};

static void start(seen_t *seen) {
    imi_buf_clear(&seen->text);
    imi_buf_append_text(&seen->text, "");
    seen->data_count = 0;
    seen->callback_count = 0;
}

/* In pieces of piece_size, the first one of first_size. */
static int read_body(const char *boundary, const char *body, size_t size, size_t first_size,
                     size_t piece_size, seen_t *seen) {
    imi_multipart_t multipart;
    int err = 0;
    start(seen);
    imi_multipart_init(&multipart, NULL, boundary, PART_COUNT_MAX, &handler, seen);
    for (size_t at = 0, next = first_size; at < size && err == 0; next = piece_size) {
        size_t piece_left = next < size - at ? next : size - at;
        char *exact = malloc(piece_left); /* so that nobody looks further unseen */
        ck_assert_ptr_nonnull(exact);
        memcpy(exact, body + at, piece_left);
        err = imi_multipart_feed(&multipart, exact, piece_left);
        free(exact);
        at += piece_left;
    }
    ck_assert(err == 0 || imi_multipart_feed(&multipart, "x", 1) == err);
    err = imi_multipart_finish(&multipart);
    imi_multipart_reset(&multipart);
    return err;
}

#define PNG "\x89PNG\r\n\x1A\n\r\n--\r\n\r\r\n"
#define CURL "------------------------2b8a096b2cf332ed"
#define UNDICI "----formdata-undici-089211263509"
#define CHROMIUM "----WebKitFormBoundaryePkpFF7tjBAqx29L"
#define FIELD(name) "Content-Disposition: form-data; name=\"" name "\""
#define A_PART "--b\r\n" FIELD("a") "\r\n\r\n1\r\n"

static const struct {
    const char *name, *boundary, *body;
    size_t size;
    const char *parts;
} body_cases[] = {
    {"curl", CURL,
     BYTES("--" CURL
           "\r\n" FIELD("prompt") "\r\n\r\na \"cat\" \\ \xE7\x8C\xAB\r\n"
                                  "--" CURL "\r\n" FIELD(
                                      "image") "; filename=\"a%22b\\c\"\r\n"
                                               "Content-Type: image/png\r\n\r\n" PNG "\r\n"
                                               "--" CURL "\r\n" FIELD(
                                                   "empty") "\r\n\r\n\r\n"
                                                            "--" CURL "\r\n" FIELD(
                                                                "steps") "\r\nContent-Type: "
                                                                         "text/plain\r\n\r\n9\r\n"
                                                                         "--" CURL "--\r\n"),
     "[prompt:a \"cat\" \\ \xE7\x8C\xAB][image|a\"b\\c|image/png:" PNG
     "][empty:][steps|-|text/plain:9]"},
    {"undici", UNDICI,
     BYTES("--" UNDICI "\r\n" FIELD(
         "prompt") "\r\n\r\ntwo\r\nlines \"q\"\r\n"
                   "--" UNDICI "\r\n" FIELD(
                       "a%22b%0D%0Ac") "\r\n\r\nx\r\n"
                                       "--" UNDICI "\r\n" FIELD(
                                           "image") "; filename=\"q%22uote\\.png\"\r\n"
                                                    "Content-Type: image/png\r\n\r\n" PNG "\r\n"
                                                    "--" UNDICI
                                                    "\r\n" FIELD("blob") "; filename=\"blob\"\r\n"
                                                                         "Content-Type: "
                                                                         "application/"
                                                                         "octet-stream\r\n\r\nx\r\n"
                                                                         "--" UNDICI "--\r\n"),
     "[prompt:two\r\nlines \"q\"][a\"b\r\nc:x][image|q\"uote\\.png|image/png:" PNG
     "][blob|blob|application/octet-stream:x]"},
    {"undici, an empty form", UNDICI, BYTES("--" UNDICI "--"), ""},
    {"Chromium", CHROMIUM,
     BYTES("--" CHROMIUM "\r\n" FIELD(
         "prompt") "\r\n\r\na cat\r\n"
                   "--" CHROMIUM "\r\n" FIELD(
                       "image") "; filename=\"100% \xE7\x8C\xAB.png\"\r\n"
                                "Content-Type: image/png\r\n\r\n" PNG "\r\n"
                                "--" CHROMIUM "\r\n" FIELD(
                                    "none") "; filename=\"\"\r\n"
                                            "Content-Type: application/octet-stream\r\n\r\n\r\n"
                                            "--" CHROMIUM "--\r\n"),
     "[prompt:a cat][image|100% \xE7\x8C\xAB.png|image/png:" PNG
     "][none||application/octet-stream:]"},
    {"preamble and epilogue", "b",
     BYTES("For old readers.\r\n--c --b\r\n--\r\n--b \t\r\n" FIELD(
         "a") "\r\n\r\n1\r\n--b--  \r\n"
              "--b\r\n" FIELD("no") "\r\n\r\nno\r\n--b--"),
     "[a:1]"},
    {"a line break before the first boundary", "b", BYTES("\r\n" A_PART "--b--"), "[a:1]"},
    {"padding behind a boundary", "b",
     BYTES("--b  \t\r\n" FIELD("a") "\r\n\r\n1\r\n--b \r\n" FIELD("a") "\r\n\r\n2\r\n--b-- x"),
     "[a:1][a:2]"},
    {"data that looks like the delimiter", "bb",
     BYTES("--bb\r\n" FIELD(
         "a") "\r\n\r\n\r\n\r\n--\r\n--b\r\r\n--b-\r\n-\r--bb\n--bb --bb\r\n--bb--"),
     "[a:\r\n\r\n--\r\n--b\r\r\n--b-\r\n-\r--bb\n--bb --bb]"},
    {"any case, order and blanks", "b",
     BYTES("--b\r\nX-Other: 1\r\ncontent-type:text/plain \r\n"
           "CONTENT-DISPOSITION:form-data;FileName=\"f\" ; NAME = \"a\"\r\n\r\n1\r\n--b--"),
     "[a|f|text/plain:1]"},
    {"values without quotes", "b",
     BYTES("--b\r\nContent-Disposition: form-data; name=a; filename=f.png\r\n\r\n1\r\n--b--"),
     "[a|f.png:1]"},
    {"an empty name", "b", BYTES("--b\r\n" FIELD("") "\r\n\r\n1\r\n--b--"), "[:1]"},
    {"old curl's backslashes", "b",
     BYTES("--b\r\n" FIELD("a\\\"b\\\\c") "; filename=\"x\\\"; y=\\\"z\"\r\n\r\n1\r\n--b--"),
     "[a\"b\\c|x\"; y=\"z:1]"},
    {"a name that ends in a backslash", "b",
     BYTES("--b\r\n" FIELD("a") "; filename=\"C:\\dir\\\"\r\n\r\n1\r\n--b--"), "[a|C:\\dir\\:1]"},
    {"other percent signs stay", "b",
     BYTES("--b\r\n" FIELD("%41%2%%22%0d%0A%") "\r\n\r\n1\r\n--b--"), "[%41%2%\"\r\n%:1]"},
    {"separators in a name", "b", BYTES("--b\r\n" FIELD("a; filename=x") "\r\n\r\n1\r\n--b--"),
     "[a; filename=x:1]"},
    {"filename* beside filename", "b",
     BYTES("--b\r\n" FIELD("a") "; filename*=UTF-8''%e2%82%ac; filename=\"f\"\r\n\r\n1\r\n--b--"),
     "[a|f:1]"},
    {"filename* alone is a file", "b",
     BYTES("--b\r\n" FIELD("a") "; filename*=UTF-8''%e2%82%ac\r\n\r\n1\r\n--b--"), "[a|:1]"},
    {"an encoding that is none", "b",
     BYTES("--b\r\nContent-Transfer-Encoding: binary\r\n" FIELD("a") "\r\n\r\n1\r\n--b--"),
     "[a:1]"},
    {"as many parts as allowed", "b", BYTES(A_PART A_PART A_PART A_PART "--b--"),
     "[a:1][a:1][a:1][a:1]"},
};

static void check_body(seen_t *seen, int at, size_t first_size, size_t piece_size) {
    int err = read_body(body_cases[at].boundary, body_cases[at].body, body_cases[at].size,
                        first_size, piece_size, seen);
    ck_assert_msg(err == 0, "%s, split at %zu: error %d", body_cases[at].name, first_size, err);
    ck_assert_msg(strcmp(seen->text.data, body_cases[at].parts) == 0, "%s, split at %zu: %s",
                  body_cases[at].name, first_size, seen->text.data);
}

START_TEST(a_body_gives_its_parts_however_it_is_split) { /* _i walks body_cases */
    seen_t seen = {.stop_at = 0};
    imi_buf_init(&seen.text, NULL, 0);
    for (size_t first_size = 1; first_size <= body_cases[_i].size; first_size++)
        check_body(&seen, _i, first_size, body_cases[_i].size);
    check_body(&seen, _i, 1, 1);
    check_body(&seen, _i, 2, 3);
    imi_buf_reset(&seen.text);
}
END_TEST

static const struct {
    const char *name, *body;
    int err;
} broken_cases[] = {
    {"nothing", "", IMI_MULTIPART_BROKEN},
    {"no boundary at all", "hello", IMI_MULTIPART_BROKEN},
    {"a longer boundary in the preamble", "--bc\r\n" A_PART "--b--", IMI_MULTIPART_BROKEN},
    {"another boundary", "--c\r\n" FIELD("a") "\r\n\r\n1\r\n--c--", IMI_MULTIPART_BROKEN},
    {"a boundary in the middle of a line", "x--b\r\n", IMI_MULTIPART_BROKEN},
    {"cut in the data", "--b\r\n" FIELD("a") "\r\n\r\n1", IMI_MULTIPART_BROKEN},
    {"cut behind a part", A_PART, IMI_MULTIPART_BROKEN},
    {"cut behind the boundary", A_PART "--b", IMI_MULTIPART_BROKEN},
    {"cut in the last dashes", A_PART "--b-", IMI_MULTIPART_BROKEN},
    {"cut in the head", A_PART "--b\r\n" FIELD("a") "\r\n", IMI_MULTIPART_BROKEN},
    {"one dash at the end", A_PART "--b-\r\n", IMI_MULTIPART_BROKEN},
    {"padding before the dashes", A_PART "--b --", IMI_MULTIPART_BROKEN},
    {"a longer boundary", A_PART "--bc\r\n", IMI_MULTIPART_BROKEN},
    {"only LF behind the boundary", "--b\n" FIELD("a") "\r\n\r\n1\r\n--b--", IMI_MULTIPART_BROKEN},
    {"only CR behind the boundary", "--b\r" FIELD("a") "\r\n\r\n1\r\n--b--", IMI_MULTIPART_BROKEN},
    {"only LF in the head", "--b\r\n" FIELD("a") "\nX: y\r\n\r\n1\r\n--b--", IMI_MULTIPART_BROKEN},
    {"only CR in the head", "--b\r\n" FIELD("a") "\rX: y\r\n\r\n1\r\n--b--", IMI_MULTIPART_BROKEN},
    {"no headers", "--b\r\n\r\n1\r\n--b--", IMI_MULTIPART_BROKEN},
    {"no disposition", "--b\r\nContent-Type: text/plain\r\n\r\n1\r\n--b--", IMI_MULTIPART_BROKEN},
    {"another disposition", "--b\r\nContent-Disposition: file; name=\"a\"\r\n\r\n1\r\n--b--",
     IMI_MULTIPART_BROKEN},
    {"no name", "--b\r\nContent-Disposition: form-data; filename=\"a\"\r\n\r\n1\r\n--b--",
     IMI_MULTIPART_BROKEN},
    {"two names", "--b\r\n" FIELD("a") "; name=\"b\"\r\n\r\n1\r\n--b--", IMI_MULTIPART_BROKEN},
    {"two dispositions", "--b\r\n" FIELD("a") "\r\n" FIELD("b") "\r\n\r\n1\r\n--b--",
     IMI_MULTIPART_BROKEN},
    {"a quote that stays open", "--b\r\nContent-Disposition: form-data; name=\"a\r\n\r\n1\r\n--b--",
     IMI_MULTIPART_BROKEN},
    {"a parameter without a value", "--b\r\n" FIELD("a") "; filename\r\n\r\n1\r\n--b--",
     IMI_MULTIPART_BROKEN},
    {"rubbish behind a parameter", "--b\r\n" FIELD("a") " x\r\n\r\n1\r\n--b--",
     IMI_MULTIPART_BROKEN},
    {"a header without a colon", "--b\r\n" FIELD("a") "\r\nX\r\n\r\n1\r\n--b--",
     IMI_MULTIPART_BROKEN},
    {"a header without a name", "--b\r\n" FIELD("a") "\r\n: x\r\n\r\n1\r\n--b--",
     IMI_MULTIPART_BROKEN},
    {"a blank before the colon", "--b\r\nContent-Disposition : form-data; name=a\r\n\r\n1\r\n--b--",
     IMI_MULTIPART_BROKEN},
    {"a blank before any colon", "--b\r\n" FIELD("a") "\r\nX : y\r\n\r\n1\r\n--b--",
     IMI_MULTIPART_BROKEN},
    {"a line that goes on with a colon", "--b\r\n" FIELD("a") "\r\n x: y\r\n\r\n1\r\n--b--",
     IMI_MULTIPART_BROKEN},
    {"a folded header", "--b\r\nContent-Disposition: form-data;\r\n name=\"a\"\r\n\r\n1\r\n--b--",
     IMI_MULTIPART_BROKEN},
    {"base64", "--b\r\nContent-Transfer-Encoding: base64\r\n" FIELD("a") "\r\n\r\nMQ==\r\n--b--",
     IMI_MULTIPART_BROKEN},
    {"a part too many", A_PART A_PART A_PART A_PART A_PART "--b--", IMI_MULTIPART_TOO_LARGE},
};

START_TEST(a_broken_body_is_refused_however_it_is_split) { /* _i walks broken_cases */
    const char *body = broken_cases[_i].body;
    size_t size = strlen(body);
    seen_t seen = {.stop_at = 0};
    imi_buf_init(&seen.text, NULL, 0);
    for (size_t first_size = 1; first_size <= size + 1; first_size++) {
        int err = read_body("b", body, size, first_size, size, &seen);
        ck_assert_msg(err == broken_cases[_i].err, "%s, split at %zu: %d", broken_cases[_i].name,
                      first_size, err);
    }
    ck_assert_int_eq(read_body("b", body, size, 1, 1, &seen), broken_cases[_i].err);
    imi_buf_reset(&seen.text);
}
END_TEST

START_TEST(the_head_of_a_part_has_8_kib) {
    static const char begin[] = "--b\r\n" FIELD("a") "\r\nX: ";
    static const char end[] = "\r\n\r\n1\r\n--b--";
    const size_t around = sizeof(FIELD("a") "\r\nX: \r\n\r\n") - 1;
    seen_t seen = {.stop_at = 0};
    imi_buf_t body;
    imi_buf_init(&seen.text, NULL, 0);
    imi_buf_init(&body, NULL, 0);
    for (size_t over = 0; over <= 1; over++) {
        int expected = over == 0 ? 0 : IMI_MULTIPART_TOO_LARGE;
        imi_buf_clear(&body);
        imi_buf_append_text(&body, begin);
        for (size_t i = around; i < 8192 + over; i++)
            imi_buf_append_byte(&body, 'x');
        imi_buf_append_text(&body, end);
        ck_assert_int_eq(read_body("b", body.data, body.size, body.size, 1, &seen), expected);
        ck_assert_int_eq(read_body("b", body.data, body.size, 1, 1, &seen), expected);
        ck_assert_int_eq(read_body("b", body.data, body.size, 100, 1000, &seen), expected);
    }
    imi_buf_reset(&body);
    imi_buf_reset(&seen.text);
}
END_TEST

START_TEST(a_nul_in_the_head_is_refused) {
    static const char body[] = "--b\r\n" FIELD("a\0b") "\r\n\r\n1\r\n--b--";
    seen_t seen = {.stop_at = 0};
    imi_buf_init(&seen.text, NULL, 0);
    ck_assert_int_eq(read_body("b", body, sizeof(body) - 1, 1, 1, &seen), IMI_MULTIPART_BROKEN);
    imi_buf_reset(&seen.text);
}
END_TEST

START_TEST(data_comes_in_one_piece_as_far_as_the_input_has_it) {
    static const char begin[] = "--b\r\n" FIELD("a") "\r\n\r\n";
    seen_t seen = {.stop_at = 0};
    imi_buf_t body;
    imi_buf_init(&seen.text, NULL, 0);
    imi_buf_init(&body, NULL, 0);
    imi_buf_append_text(&body, begin);
    for (size_t i = 0; i < 1000; i++)
        imi_buf_append_text(&body, "\r\n--\r\r\n-\r\n\r");
    imi_buf_append_text(&body, "\r\n--b--");
    ck_assert_int_eq(read_body("b", body.data, body.size, body.size, 1, &seen), 0);
    ck_assert_uint_eq(seen.data_count, 1);
    /* A piece may end in what looks like a delimiter: that is held back and comes by itself. */
    ck_assert_int_eq(read_body("b", body.data, body.size, 1024, 1024, &seen), 0);
    ck_assert_uint_le(seen.data_count, 2 * (body.size / 1024 + 1));
    imi_buf_reset(&body);
    imi_buf_reset(&seen.text);
}
END_TEST

START_TEST(a_callback_can_stop_the_parser) {
    static const char body[] = A_PART A_PART "--b--";
    seen_t seen = {.stop_at = 0};
    imi_buf_init(&seen.text, NULL, 0);
    for (seen.stop_at = 1; seen.stop_at <= 6; seen.stop_at++) {
        for (size_t piece_size = 1; piece_size <= sizeof(body); piece_size++) {
            int err = read_body("b", body, sizeof(body) - 1, piece_size, piece_size, &seen);
            ck_assert_int_eq(err, STOPPED);
            ck_assert_uint_eq(seen.callback_count, seen.stop_at);
        }
    }
    imi_buf_reset(&seen.text);
}
END_TEST

START_TEST(a_bad_boundary_reads_nothing) {
    seen_t seen = {.stop_at = 0};
    imi_buf_init(&seen.text, NULL, 0);
    ck_assert_int_eq(read_body("", "--\r\n", 4, 4, 4, &seen), IMI_MULTIPART_BROKEN);
    ck_assert_int_eq(read_body(SEVENTY "0", "--", 2, 2, 2, &seen), IMI_MULTIPART_BROKEN);
    imi_buf_reset(&seen.text);
}
END_TEST

START_TEST(a_reader_without_memory_says_so) {
    static const char body[] = A_PART "--b--";
    for (size_t fail_at = 1, has_failed = 1; has_failed != 0; fail_at++) {
        failing_mem_t failing;
        seen_t seen = {.stop_at = 0};
        imi_multipart_t multipart;
        int err = 0;
        imi_buf_init(&seen.text, NULL, 0);
        failing_mem_init(&failing, fail_at);
        imi_multipart_init(&multipart, &failing.mem, "b", 1, &handler, &seen);
        err = imi_multipart_feed(&multipart, body, sizeof(body) - 1);
        has_failed = failing.has_failed;
        ck_assert_int_eq(err, has_failed ? IMI_MULTIPART_NOMEM : 0);
        ck_assert_int_eq(imi_multipart_finish(&multipart), err);
        imi_multipart_reset(&multipart);
        ck_assert_int_eq(imi_multipart_feed(&multipart, body, 1), IMI_MULTIPART_BROKEN);
        ck_assert_uint_eq(failing.live_count, 0);
        imi_buf_reset(&seen.text);
    }
}
END_TEST

/* ---- writing -----------------------------------------------------------------------------------
 */

static const unsigned char random_bytes[16] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                                               0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF};
#define OURS "imagine-00112233445566778899aabbccddeeff"

static void join(const imi_multipart_body_t *body, imi_buf_t *out) {
    imi_buf_init(out, NULL, 0);
    for (size_t i = 0; i < body->slice_count; i++)
        imi_buf_append(out, body->slices[i].data, body->slices[i].size);
}

START_TEST(a_written_body_is_what_browsers_write) {
    static const char picture[] = PNG;
    imi_arena_t arena;
    imi_multipart_body_t body;
    imi_buf_t joined;
    bool has_picture = false;
    imi_arena_init(&arena, NULL, 0);
    imi_multipart_body_init(&body, &arena, random_bytes);
    imi_multipart_body_field(&body, "prompt", "a \"cat\"\r\non a mat");
    imi_multipart_body_file(&body, "image", "a\"b\r\n.png\\", "image/png", picture,
                            sizeof(picture) - 1);
    imi_multipart_body_file(&body, "b", NULL, NULL, NULL, 0);
    imi_multipart_body_end(&body);
    ck_assert_int_eq(body.error, 0);
    ck_assert_str_eq(imi_multipart_body_content_type(&body), "multipart/form-data; boundary=" OURS);
    join(&body, &joined);
    ck_assert_str_eq(
        joined.data,
        "--" OURS "\r\n" FIELD(
            "prompt") "\r\n\r\na \"cat\"\r\non a mat\r\n"
                      "--" OURS "\r\n" FIELD(
                          "image") "; filename=\"a%22b%0D%0A.png%5C\"\r\n"
                                   "Content-Type: image/png\r\n\r\n" PNG "\r\n"
                                   "--" OURS "\r\n" FIELD(
                                       "b") "; filename=\"file\"\r\n"
                                            "Content-Type: application/octet-stream\r\n\r\n\r\n"
                                            "--" OURS "--\r\n");
    for (size_t i = 0; i < body.slice_count; i++)
        has_picture = has_picture || body.slices[i].data == picture;
    ck_assert_msg(has_picture, "the picture was copied");
    imi_buf_reset(&joined);
    imi_arena_reset(&arena);
}
END_TEST

START_TEST(no_header_can_be_slipped_in) {
    imi_arena_t arena;
    imi_multipart_body_t body;
    imi_buf_t joined;
    imi_arena_init(&arena, NULL, 0);
    imi_multipart_body_init(&body, &arena, random_bytes);
    imi_multipart_body_file(&body, "a\r\nX: 1", "\"; name=\"b", "text/plain\r\nX: 2", "1", 1);
    join(&body, &joined);
    ck_assert_ptr_null(strstr(joined.data, "\nX:"));
    ck_assert_ptr_null(strstr(joined.data, "\"b"));
    imi_buf_reset(&joined);
    imi_arena_reset(&arena);
}
END_TEST

START_TEST(what_is_written_reads_back) {
    enum { FIELD_COUNT = 100 }; /* the list of slices grows more than once */
    char expected[FIELD_COUNT * 16] = "", content_type[128], boundary[71], value[8];
    imi_arena_t arena;
    imi_multipart_body_t body;
    imi_multipart_t multipart;
    imi_buf_t joined;
    seen_t seen = {.stop_at = 0};
    imi_arena_init(&arena, NULL, 0);
    imi_multipart_body_init(&body, &arena, random_bytes);
    for (size_t i = 0, size = 0; i < FIELD_COUNT; i++) {
        snprintf(value, sizeof(value), "%zu", i);
        imi_multipart_body_field(&body, "a\"\r\nb", value);
        size += (size_t)snprintf(expected + size, sizeof(expected) - size, "[a\"\r\nb:%zu]", i);
    }
    imi_multipart_body_end(&body);
    ck_assert_int_eq(body.error, 0);
    join(&body, &joined);
    snprintf(content_type, sizeof(content_type), "%s", imi_multipart_body_content_type(&body));
    ck_assert(imi_multipart_boundary(imi_slice_of(content_type), boundary));
    imi_buf_init(&seen.text, NULL, 0);
    imi_multipart_init(&multipart, NULL, boundary, FIELD_COUNT, &handler, &seen);
    ck_assert_int_eq(imi_multipart_feed(&multipart, joined.data, joined.size), 0);
    ck_assert_int_eq(imi_multipart_finish(&multipart), 0);
    ck_assert_str_eq(seen.text.data, expected);
    imi_multipart_reset(&multipart);
    imi_buf_reset(&seen.text);
    imi_buf_reset(&joined);
    imi_arena_reset(&arena);
}
END_TEST

START_TEST(a_writer_without_memory_says_so) {
    for (size_t fail_at = 1, has_failed = 1; has_failed != 0; fail_at++) {
        failing_mem_t failing;
        imi_arena_t arena;
        imi_multipart_body_t body;
        failing_mem_init(&failing, fail_at);
        imi_arena_init(&arena, &failing.mem, 64);
        imi_multipart_body_init(&body, &arena, random_bytes);
        for (size_t i = 0; i < 10; i++) {
            imi_multipart_body_field(&body, "name", "value");
            imi_multipart_body_file(&body, "name", "filename", "image/png", "data", 4);
        }
        imi_multipart_body_end(&body);
        has_failed = failing.has_failed;
        ck_assert_int_eq(body.error, has_failed ? IMI_MULTIPART_NOMEM : 0);
        imi_arena_reset(&arena);
        ck_assert_uint_eq(failing.live_count, 0);
    }
}
END_TEST

static Suite *multipart_suite(void) {
    Suite *suite = suite_create("multipart");
    TCase *tcase = tcase_create("reading");
    tcase_add_loop_test(tcase, the_boundary_of_a_content_type, 0, COUNT_OF(boundary_cases));
    tcase_add_loop_test(tcase, a_body_gives_its_parts_however_it_is_split, 0, COUNT_OF(body_cases));
    tcase_add_loop_test(tcase, a_broken_body_is_refused_however_it_is_split, 0,
                        COUNT_OF(broken_cases));
    tcase_add_test(tcase, the_head_of_a_part_has_8_kib);
    tcase_add_test(tcase, a_nul_in_the_head_is_refused);
    tcase_add_test(tcase, data_comes_in_one_piece_as_far_as_the_input_has_it);
    tcase_add_test(tcase, a_callback_can_stop_the_parser);
    tcase_add_test(tcase, a_bad_boundary_reads_nothing);
    tcase_add_test(tcase, a_reader_without_memory_says_so);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("writing");
    tcase_add_test(tcase, a_written_body_is_what_browsers_write);
    tcase_add_test(tcase, no_header_can_be_slipped_in);
    tcase_add_test(tcase, what_is_written_reads_back);
    tcase_add_test(tcase, a_writer_without_memory_says_so);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(multipart_suite)
