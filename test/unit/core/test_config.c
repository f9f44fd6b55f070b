/* test_config.c: settings applied to a client that is open. */
#include "imagine.h"

#include <string.h>

#include "imagine/io.h"

#include "../../support/check_main.h"
#include "../../support/tcp_server.h"
#include "../../support/virtual_io.h"

/* Applies CA_FILE; the error, and the message to free with imagine_free(). */
static int apply_ca_file(imagine_t *im, const char *file, char **out_message) {
    imagine_settings_t *settings = NULL;
    int err;
    ck_assert_int_eq(imagine_settings_open(&settings), 0);
    ck_assert_int_eq(imagine_settings_set(settings, "CA_FILE", file), 0);
    err = imagine_configure(im, settings, out_message);
    imagine_settings_close(settings);
    return err;
}

START_TEST(certificates_to_trust_are_taken_from_a_file_that_is_there) {
    imagine_t *im = NULL;
    char *message = NULL;
    ck_assert_int_eq(imagine_open(&im, NULL), 0);
    ck_assert_int_eq(apply_ca_file(im, "/nowhere/ca.pem", &message), IMAGINE_EINVAL);
    ck_assert_str_eq(message, "CA_FILE: the file cannot be read");
    imagine_free(message);
    ck_assert_int_eq(apply_ca_file(im, tcp_server_certificate_file(), &message), 0);
    ck_assert_ptr_null(message);
    imagine_close(im, NULL, NULL);
}
END_TEST

static void on_closed(void *user) {
    *(bool *)user = true;
}

START_TEST(a_hosts_own_io_decides_by_itself_whom_to_trust) {
    virtual_io_t *world = virtual_io_open();
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    imagine_t *im = NULL;
    char *message = NULL;
    bool is_closed = false;
    options.io = virtual_io_table(world);
    ck_assert_int_eq(imagine_open(&im, &options), 0);
    ck_assert_int_eq(apply_ca_file(im, tcp_server_certificate_file(), &message), IMAGINE_ENOTSUP);
    ck_assert_str_eq(message, "CA_FILE: the host's own io decides whom to trust");
    imagine_free(message);
    ck_assert_int_eq(apply_ca_file(im, NULL, &message), 0);
    imagine_close(im, on_closed, &is_closed);
    while (!is_closed && virtual_io_step(world))
        continue;
    ck_assert(is_closed);
    virtual_io_close(world);
}
END_TEST

static Suite *config_suite(void) {
    Suite *suite = suite_create("config");
    TCase *tcase = tcase_create("certificates");
    tcase_add_test(tcase, certificates_to_trust_are_taken_from_a_file_that_is_there);
    tcase_add_test(tcase, a_hosts_own_io_decides_by_itself_whom_to_trust);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(config_suite)
