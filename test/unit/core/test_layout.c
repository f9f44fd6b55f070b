/* test_layout.c: public structs can grow. Each begins with its size or its first field, and its
 * last field ends where the struct does: a field added later could otherwise hide in old padding,
 * where callers that were compiled before it never put a zero. test/taste.sh asks for a row for
 * every struct of the headers. */
#include "imagine.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "imagine/gateway.h"
#include "imagine/hosting.h"
#include "imagine/io.h"
#include "imagine/provider.h"
#include "imagine/storage.h"
#include "support/check_main.h"

/* The first field of a struct that can grow is `size`; the others say "Never grows". */
#define ROW(name, first, last)                                               \
    {                                                                        \
#name, #first, sizeof(struct name), offsetof(struct name, first),    \
            offsetof(struct name, last), sizeof(((struct name *)NULL)->last) \
    }
static const struct {
    const char *name, *first;
    size_t size, first_offset, last_offset, last_size;
} structs[] = {
    ROW(imagine_allocator, resize, user),
    ROW(imagine_options, size, reserved),
    ROW(imagine_image, size, url),
    ROW(imagine_params, size, id),
    ROW(imagine_result, size, log_reason),
    ROW(imagine_slice, data, size),
    ROW(imagine_form, size, id),
    ROW(imagine_token_stats, size, reserved),
    ROW(imagine_counters, size, tasks),
    ROW(imagine_header, name, value),
    ROW(imagine_http_request, size, body_size),
    ROW(imagine_http_head, size, header_count),
    ROW(imagine_http_end, size, message),
    ROW(imagine_http_handler, size, on_end),
    ROW(imagine_io, size, await),
    ROW(imagine_folder, size, destroy),
    ROW(imagine_io_uv_options, size, allocator),
    ROW(imagine_http_response, size, body_size),
    ROW(imagine_verdict, size, message),
    ROW(imagine_provider, size, user),
    ROW(imagine_template_value, name, json),
    ROW(imagine_call_request, size, reserved),
    ROW(imagine_storage_entry, key, value_size),
    ROW(imagine_storage_driver, size, watch),
    ROW(imagine_gateway_request, size, peer),
    ROW(imagine_gateway_answer, size, reserved),
    ROW(imagine_gateway_responder, size, on_end),
    ROW(imagine_http1_stream, size, close),
};
#define STRUCT_COUNT ((int)(sizeof(structs) / sizeof(structs[0])))

START_TEST(a_struct_has_no_room_for_a_hidden_field) { /* _i walks structs */
    ck_assert_msg(structs[_i].first_offset == 0, "%s does not begin with %s", structs[_i].name,
                  structs[_i].first);
    ck_assert_msg(structs[_i].last_offset + structs[_i].last_size == structs[_i].size,
                  "%s: the last field ends at %zu of %zu bytes", structs[_i].name,
                  structs[_i].last_offset + structs[_i].last_size, structs[_i].size);
}
END_TEST

START_TEST(the_init_functions_do_what_the_macros_do) {
    const imagine_options_t options = IMAGINE_OPTIONS_INIT;
    const imagine_params_t params = IMAGINE_PARAMS_INIT;
    imagine_options_t options_out;
    imagine_params_t params_out;
    memset(&options_out, 0x5a, sizeof(options_out));
    memset(&params_out, 0x5a, sizeof(params_out));
    imagine_options_init(&options_out, sizeof(options_out));
    imagine_params_init(&params_out, sizeof(params_out));
    ck_assert_mem_eq(&options_out, &options, sizeof(options));
    ck_assert_mem_eq(&params_out, &params, sizeof(params));
}
END_TEST

/* A caller that was compiled when the struct was shorter has no more memory there. */
START_TEST(an_init_function_stays_within_the_callers_size) {
    _Alignas(imagine_options_t) unsigned char memory[sizeof(imagine_options_t)];
    imagine_options_t *options = (void *)memory;
    const size_t size = offsetof(imagine_options_t, log);
    size_t said = 0;
    memset(memory, 0x5a, sizeof(memory));
    imagine_options_init(options, size);
    memcpy(&said, memory, sizeof(said));
    ck_assert_uint_eq(said, size);
    for (size_t i = sizeof(said); i < sizeof(memory); i++)
        ck_assert_msg(memory[i] == (i < size ? 0 : 0x5a), "byte %zu is 0x%02x", i, memory[i]);
}
END_TEST

START_TEST(the_library_is_of_the_headers_version) {
    unsigned part_count = 1;
    ck_assert_str_eq(imagine_version(), IMAGINE_VERSION);
    for (const char *at = IMAGINE_VERSION; *at != '\0'; at++) {
        part_count += *at == '.';
        ck_assert_msg((*at >= '0' && *at <= '9') || *at == '.', "'%s'", IMAGINE_VERSION);
    }
    ck_assert_uint_eq(part_count, 3);
}
END_TEST

static Suite *layout_suite(void) {
    Suite *suite = suite_create("layout");
    TCase *tcase = tcase_create("layout");
    tcase_add_loop_test(tcase, a_struct_has_no_room_for_a_hidden_field, 0, STRUCT_COUNT);
    tcase_add_test(tcase, the_init_functions_do_what_the_macros_do);
    tcase_add_test(tcase, an_init_function_stays_within_the_callers_size);
    tcase_add_test(tcase, the_library_is_of_the_headers_version);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(layout_suite)
