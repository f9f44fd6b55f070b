/* test_stream.c: a text in pieces in C: the callback, leaving inside it, pausing, and providers
 * that do not stream. */
#include "imagine.h"

#include <stdio.h>
#include <string.h>

#include "imagine/provider.h"
#include "support/check_main.h"
#include "support/virtual_io.h"

typedef struct listener {
    imagine_request_t *request;
    char text[256];
    int piece_count, done_count, status;
    bool has_text; /* in the result */
    int leaves_at; /* the piece in which it leaves; 0: never */
} listener_t;

static virtual_io_t *virtual;
static imagine_t *im;
static listener_t listener;

/* "one two three": a piece every 10 ms. */
static void next_piece(imagine_call_t *call) {
    const char *const *at = imagine_call_state(call);
    static const char *const pieces[] = {"one ", "two ", "three", NULL};
    imagine_result_t result = {.size = sizeof(result)};
    if (at == NULL)
        at = pieces;
    if (*at == NULL) {
        imagine_call_succeed(call, &result);
        return;
    }
    imagine_call_delta(call, *at, strlen(*at));
    imagine_call_set_state(call, at + 1);
    imagine_call_sleep(call, 10, next_piece);
}

static void text(imagine_call_t *call) {
    imagine_result_t result = {.size = sizeof(result), .text = "whole"};
    const char *prompt = imagine_call_params(call)->prompt;
    if (strcmp(prompt, "at once") == 0)
        imagine_call_succeed(call, &result);
    else
        next_piece(call);
}

static const imagine_provider_t provider = {
    .size = sizeof(provider),
    .name = "test",
    .catalogue = "{\"api_base\":\"https://api.test\",\"models\":[]}",
    .flags = IMAGINE_PROVIDER_TOKEN_OPTIONAL,
    .text = text,
};

static void set_up(void) {
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    memset(&listener, 0, sizeof(listener));
    virtual = virtual_io_open();
    options.io = virtual_io_table(virtual);
    ck_assert_int_eq(imagine_open(&im, &options), 0);
    ck_assert_int_eq(imagine_register_provider(im, &provider), 0);
}

static void tear_down(void) {
    imagine_request_release(listener.request);
    imagine_close(im, NULL, NULL);
    virtual_io_advance(virtual, 1000);
    virtual_io_close(virtual);
}

static void on_piece(const char *piece, size_t size, void *user) {
    listener_t *at = user;
    ck_assert_int_eq(at->done_count, 0);
    ck_assert_uint_lt(strlen(at->text) + size, sizeof(at->text));
    memcpy(at->text + strlen(at->text), piece, size); /* the rest is zero */
    if (++at->piece_count == at->leaves_at) {
        imagine_cancel(at->request);
        ck_assert_int_eq(at->done_count, 0); /* never inside the call */
    }
}

static void on_done(int status, const imagine_result_t *result, void *user) {
    listener_t *at = user;
    at->done_count++;
    at->status = status;
    at->has_text = result->text != NULL;
}

static void start(const char *prompt, imagine_piece_cb piece_cb) {
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    params.model = "test/any";
    params.prompt = prompt;
    params.on_piece = piece_cb;
    ck_assert_int_eq(imagine_text(im, &params, on_done, &listener, &listener.request), 0);
    ck_assert_int_eq(listener.piece_count, 0); /* never inside the call */
}

START_TEST(each_piece_comes_once_and_then_the_end) {
    start("in pieces", on_piece);
    virtual_io_advance(virtual, 15);
    ck_assert_str_eq(listener.text, "one two ");
    virtual_io_advance(virtual, 100);
    ck_assert_str_eq(listener.text, "one two three");
    ck_assert_int_eq(listener.done_count, 1);
    ck_assert_int_eq(listener.status, 0);
    ck_assert(!listener.has_text);
}
END_TEST

START_TEST(who_wants_no_pieces_gets_the_whole) {
    start("in pieces", NULL);
    virtual_io_advance(virtual, 100);
    ck_assert_int_eq(listener.status, 0);
    ck_assert_str_eq(imagine_request_result(listener.request)->text, "one two three");
}
END_TEST

START_TEST(a_provider_that_does_not_stream_brings_one_piece) {
    start("at once", on_piece);
    virtual_io_advance(virtual, 100);
    ck_assert_str_eq(listener.text, "whole");
    ck_assert_int_eq(listener.piece_count, 1);
    ck_assert(!listener.has_text);
}
END_TEST

START_TEST(leaving_inside_a_piece_is_the_last_of_it) { /* _i: in which */
    listener.leaves_at = _i;
    start("in pieces", on_piece);
    virtual_io_advance(virtual, 100);
    ck_assert_int_eq(listener.piece_count, _i);
    ck_assert_int_eq(listener.done_count, 1);
    ck_assert_int_eq(listener.status, IMAGINE_ECANCELED);
}
END_TEST

static Suite *stream_suite(void) {
    Suite *suite = suite_create("core/stream");
    TCase *tcase = tcase_create("stream");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, each_piece_comes_once_and_then_the_end);
    tcase_add_test(tcase, who_wants_no_pieces_gets_the_whole);
    tcase_add_test(tcase, a_provider_that_does_not_stream_brings_one_piece);
    tcase_add_loop_test(tcase, leaving_inside_a_piece_is_the_last_of_it, 1, 4);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(stream_suite)
