/* test_settings.c: every setting by its row, every source in its order, and no secret anywhere. */
#include "settings/settings.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wire/sha256.h"

#include "../../support/check_main.h"
#include "../../support/failing_mem.h"

static imagine_settings_t *settings;
static char folder[] = "/tmp/test_settings_XXXXXX";
static char path[128];

static void set_up(void) {
    clearenv(); /* each test runs in a process of its own */
    ck_assert_int_eq(imagine_settings_open(&settings), 0);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/env", folder);
}

static void tear_down(void) {
    imagine_settings_close(settings);
    unlink(path);
    rmdir(folder);
}

static void write_file(const char *text, size_t size) {
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
}

static int read_text(const char *text) {
    write_file(text, strlen(text));
    return imagine_settings_read_file(settings, path);
}

static void assert_value(const char *name, const char *expected) {
    const char *value = imagine_settings_get(settings, name);
    if (expected == NULL)
        ck_assert_msg(value == NULL, "%s is %s", name, value);
    else
        ck_assert_msg(value != NULL && strcmp(value, expected) == 0, "%s is %s", name,
                      value != NULL ? value : "(none)");
}

/* ---- what they are without being set ----------------------------------------------------------
 */

static const struct {
    const char *name, *value;
    int64_t number; /* of a choice: its place */
} defaults[] = {
    {"PORT", "3000", 3000},
    {"HOST", "127.0.0.1", 0},
    {"WORKERS", "1", 1},
    {"API_TOKEN", NULL, 0},
    {"ADMIN_TOKEN", NULL, 0},
    {"ALLOWED_ORIGINS", "*", 0},
    {"GITEE_TOKENS", NULL, 0},
    {"GITEE_API_BASE", NULL, 0},
    {"POLLINATIONS_API_BASE", NULL, 0},
    {"SAMPLE_PROVIDER", "auto", 0},
    {"CATALOGUE", NULL, 0},
    {"STATE_FILE", ":memory:", 0},
    {"ENCRYPTION_KEY", NULL, 0},
    {"WEB_ROOT", NULL, 0},
    {"TIMEOUT_TEXT_MS", "30000", 30000},
    {"TIMEOUT_IMAGE_MS", "120000", 120000},
    {"TIMEOUT_DOWNLOAD_MS", "60000", 60000},
    {"TIMEOUT_STATUS_MS", "15000", 15000},
    {"TIMEOUT_WEBHOOK_MS", "10000", 10000},
    {"POLL_INTERVAL_MS", "5000", 5000},
    {"TLS_CERT", NULL, 0},
    {"TLS_KEY", NULL, 0},
    {"CA_FILE", NULL, 0},
    {"RATE_LIMIT", "60", 60},
    {"RATE_LIMIT_STATUS", "120", 120},
    {"TRUSTED_PROXIES", NULL, 0},
    {"MAX_BODY_BYTES", "67108864", 67108864},
    {"MAX_CONNECTIONS", "16384", 16384},
    {"MAX_IN_FLIGHT", "0", 0},
    {"ALLOW_PRIVATE_HOSTS", NULL, 0},
    {"ALLOW_SPACE_UPLOAD", "0", 0},
    {"DRAIN_SECONDS", "30", 30},
    {"LOG_FORMAT", "text", 0},
    {"LOG_LEVEL", "info", 2},
    {"NO_SUCH_SETTING", NULL, 0},
};

START_TEST(a_setting_has_its_default) { /* _i walks defaults */
    assert_value(defaults[_i].name, defaults[_i].value);
    ck_assert_int_eq(imagine_settings_get_int(settings, defaults[_i].name), defaults[_i].number);
}
END_TEST

START_TEST(every_default_would_be_accepted) {
    const imi_setting_t *row = NULL;
    for (size_t i = 0; (row = imi_setting_at(i)) != NULL; i++)
        if (row->otherwise != NULL)
            ck_assert_msg(imagine_settings_set(settings, row->name, row->otherwise) == 0, "%s",
                          imagine_settings_message(settings));
}
END_TEST

START_TEST(an_open_api_is_for_this_machine_only) {
    assert_value("HOST", "127.0.0.1");
    ck_assert_int_eq(imagine_settings_set(settings, "ADMIN_TOKEN", "a"), 0);
    assert_value("HOST", "0.0.0.0");
    ck_assert_int_eq(imagine_settings_set(settings, "ADMIN_TOKEN", NULL), 0);
    assert_value("HOST", "127.0.0.1");
    ck_assert_int_eq(imagine_settings_set(settings, "API_TOKEN", "a,b"), 0);
    assert_value("HOST", "0.0.0.0");
    ck_assert_int_eq(imagine_settings_set(settings, "API_TOKEN", ""), 0);
    assert_value("HOST", "127.0.0.1");
    ck_assert_int_eq(imagine_settings_set(settings, "HOST", "::1"), 0);
    assert_value("HOST", "::1");
    /* What looks set and holds nothing must not open the door. */
    ck_assert_int_eq(imagine_settings_set(settings, "API_TOKEN", " , ,"), IMAGINE_EINVAL);
}
END_TEST

/* ---- what they may be -------------------------------------------------------------------------
 */

static const struct {
    const char *name, *value, *message; /* message NULL: accepted */
} values[] = {
    {"PORT", "0", NULL},
    {"PORT", "65535", NULL},
    {"PORT", " 80 ", NULL},
    {"PORT", "65536", "PORT: a whole number from 0 to 65535 expected"},
    {"PORT", "-1", "PORT: a whole number from 0 to 65535 expected"},
    {"PORT", "3000x", "PORT: a whole number from 0 to 65535 expected"},
    {"PORT", "3e3", "PORT: a whole number from 0 to 65535 expected"},
    {"PORT", "99999999999999999999", "PORT: a whole number from 0 to 65535 expected"},
    {"WORKERS", "1", NULL},
    {"WORKERS", "0", NULL},
    {"WORKERS", "64", NULL},
    {"WORKERS", "65", "WORKERS: a whole number from 0 to 64 expected"},
    {"TIMEOUT_TEXT_MS", "0", "TIMEOUT_TEXT_MS: a whole number from 1 to 3600000 expected"},
    {"DRAIN_SECONDS", "0", NULL},
    {"LOG_FORMAT", "json", NULL},
    {"LOG_FORMAT", "JSON", "LOG_FORMAT: one of text, json expected"},
    {"LOG_LEVEL", "loud", "LOG_LEVEL: one of error, warn, info, debug, trace expected"},
    {"LOG_LEVEL", "inf", "LOG_LEVEL: one of error, warn, info, debug, trace expected"},
    {"SAMPLE_PROVIDER", "on", NULL},
    {"SAMPLE_PROVIDER", "auto|on", "SAMPLE_PROVIDER: one of auto, on, off expected"},
    {"ALLOW_SPACE_UPLOAD", "1", NULL},
    {"ALLOW_SPACE_UPLOAD", "yes", "ALLOW_SPACE_UPLOAD: one of 0, 1 expected"},
    {"HOST", "0.0.0.0", NULL},
    {"HOST", "fe80::1%eth0", NULL},
    {"HOST", "http://localhost", "HOST: a host name or an address expected"},
    {"HOST", "a b", "HOST: a host name or an address expected"},
    {"API_TOKEN", "a, b ,c", NULL},
    {"API_TOKEN", "a b",
     "API_TOKEN: a comma list of secrets expected, visible ASCII without blanks "
     "inside"},
    {"API_TOKEN", "\xc3\xa4",
     "API_TOKEN: a comma list of secrets expected, visible ASCII without "
     "blanks inside"},
    {"GITEE_TOKENS", "a,b@x,c@x", NULL},
    {"MY_GPU_2_TOKENS", "a", NULL},
    {"GITEE_TOKENS", "a@",
     "GITEE_TOKENS: a comma list of tokens expected, visible ASCII without "
     "blanks inside"},
    {"GITEE_TOKENS", "a b",
     "GITEE_TOKENS: a comma list of tokens expected, visible ASCII without "
     "blanks inside"},
    {"GITEE_API_BASE", "https://x.test/v1/", NULL},
    {"GITEE_API_BASE", "http://127.0.0.1:8080", NULL},
    {"GITEE_API_BASE", "x.test",
     "GITEE_API_BASE: an http or https address without user and query "
     "expected"},
    {"GITEE_API_BASE", "ftp://x.test",
     "GITEE_API_BASE: an http or https address without user and "
     "query expected"},
    {"GITEE_API_BASE", "https://u:p@x.test",
     "GITEE_API_BASE: an http or https address without "
     "user and query expected"},
    {"GITEE_API_BASE", "https://x.test/?a",
     "GITEE_API_BASE: an http or https address without user "
     "and query expected"},
    {"POLLINATIONS_API_BASE", "https://x.test#a",
     "POLLINATIONS_API_BASE: an http or https address "
     "without user and query expected"},
    {"ALLOWED_ORIGINS", "https://a.test, http://localhost:5173", NULL},
    {"ALLOWED_ORIGINS", "null,capacitor://localhost", NULL},
    {"ALLOWED_ORIGINS", "a.test",
     "ALLOWED_ORIGINS: * or a comma list as https://example.com "
     "expected"},
    {"ALLOW_PRIVATE_HOSTS", "gpu.lan,10.0.0.0/8,loopback", NULL},
    {"ALLOW_PRIVATE_HOSTS", "10.0.0.0/99",
     "ALLOW_PRIVATE_HOSTS: a comma list of host names, "
     "addresses and networks expected"},
    {"TRUSTED_PROXIES", "*", NULL},
    {"TRUSTED_PROXIES", "loopback, 10.0.0.0/8,2001:db8::1", NULL},
    {"TRUSTED_PROXIES", "10.0.0.1,abc",
     "TRUSTED_PROXIES: a comma list of addresses, networks and the word loopback expected"},
    {"TRUSTED_PROXIES", "*.lan",
     "TRUSTED_PROXIES: a comma list of addresses, networks and the word loopback expected"},
    {"TRUSTED_PROXIES", "a b",
     "TRUSTED_PROXIES: a comma list of host names, addresses and networks "
     "expected"},
    {"CATALOGUE", "/etc/imagine/catalogue.json", NULL},
    {"CATALOGUE", "a\nb", "CATALOGUE: a text on one line expected"},
    {"S3_BUCKET_NAME", "pictures", NULL},
    {"ENCRYPTION_KEY", "correct horse battery staple", NULL},
    {"ENCRYPTION_KEY", "the newer one,the older one", NULL},
    {"REDIS_URL", "redis://:secret@x", NULL},
    {"REDIS_URL", "", NULL},
    {"KV_REST_API_URL", "https://x", NULL},
    {"KV_REST_API_URL", "redis://x",
     "KV_REST_API_URL: an http or https address without user and query expected"},
    {"CF_API_TOKEN", "x", NULL},
    {"NO_SUCH_SETTING", "\x01 anything", NULL},
    {"_TOKENS", "a b", NULL},
    {"gitee_TOKENS", "a b", NULL},
};

START_TEST(a_value_is_checked_when_it_is_set) { /* _i walks values */
    int err = imagine_settings_set(settings, values[_i].name, values[_i].value);
    ck_assert_msg(err == (values[_i].message == NULL ? 0 : IMAGINE_EINVAL), "%s=%s: %d %s",
                  values[_i].name, values[_i].value, err, imagine_settings_message(settings));
    ck_assert_str_eq(imagine_settings_message(settings),
                     values[_i].message != NULL ? values[_i].message : "");
}
END_TEST

START_TEST(a_refused_value_changes_nothing) {
    ck_assert_int_eq(imagine_settings_set(settings, "PORT", "81"), 0);
    ck_assert_int_eq(imagine_settings_set(settings, "PORT", "x"), IMAGINE_EINVAL);
    ck_assert_int_eq(imagine_settings_get_int(settings, "PORT"), 81);
    ck_assert_int_eq(imagine_settings_set(settings, "PORT", "82"), 0);
    ck_assert_str_eq(imagine_settings_message(settings), "");
    ck_assert_int_eq(imagine_settings_get_int(settings, "PORT"), 82);
    ck_assert_int_eq(imagine_settings_set(settings, "PORT", NULL), 0);
    ck_assert_int_eq(imagine_settings_get_int(settings, "PORT"), 3000);
}
END_TEST

START_TEST(no_message_shows_a_value) {
    static const char *const names[] = {"PORT",
                                        "LOG_LEVEL",
                                        "HOST",
                                        "API_TOKEN",
                                        "GITEE_TOKENS",
                                        "GITEE_API_BASE",
                                        "ALLOWED_ORIGINS",
                                        "TRUSTED_PROXIES",
                                        "CATALOGUE",
                                        "ENCRYPTION_KEY",
                                        "REDIS_URL",
                                        "WORKERS"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        ck_assert_int_eq(imagine_settings_set(settings, names[i], "s3cr3t /\n value"),
                         IMAGINE_EINVAL);
        ck_assert_ptr_null(strstr(imagine_settings_message(settings), "s3cr3t"));
        ck_assert_ptr_eq(strstr(imagine_settings_message(settings), names[i]),
                         imagine_settings_message(settings));
    }
}
END_TEST

START_TEST(sizes_are_bounded) {
    size_t size = 1024 * 1024 + 1;
    char *long_text = malloc(size + 1), name[80];
    memset(long_text, 'a', size);
    long_text[size] = '\0';
    ck_assert_int_eq(imagine_settings_set(settings, "CATALOGUE", long_text), IMAGINE_EINVAL);
    ck_assert_str_eq(imagine_settings_message(settings), "CATALOGUE: longer than 1 MiB");
    ck_assert_int_eq(imagine_settings_set(settings, long_text, "x"), IMAGINE_EINVAL);
    for (int i = 0; i < 1024; i++) {
        snprintf(name, sizeof(name), "NAME_%d", i);
        ck_assert_int_eq(imagine_settings_set(settings, name, "x"), 0);
    }
    ck_assert_int_eq(imagine_settings_set(settings, "PORT", "1"), IMAGINE_EINVAL);
    ck_assert_str_eq(imagine_settings_message(settings), "PORT: more than 1024 settings");
    free(long_text);
}
END_TEST

START_TEST(null_is_answered) {
    ck_assert_int_eq(imagine_settings_open(NULL), IMAGINE_EINVAL);
    imagine_settings_close(NULL);
    ck_assert_int_eq(imagine_settings_set(NULL, "PORT", "1"), IMAGINE_EINVAL);
    ck_assert_int_eq(imagine_settings_set(settings, NULL, "1"), IMAGINE_EINVAL);
    ck_assert_int_eq(imagine_settings_read_env(NULL), IMAGINE_EINVAL);
    ck_assert_int_eq(imagine_settings_read_file(NULL, "x"), IMAGINE_EINVAL);
    ck_assert_int_eq(imagine_settings_read_file(NULL, NULL), IMAGINE_EINVAL);
    ck_assert_ptr_null(imagine_settings_get(NULL, "PORT"));
    ck_assert_ptr_null(imagine_settings_get(settings, NULL));
    ck_assert_int_eq(imagine_settings_get_int(NULL, "PORT"), 0);
    ck_assert_str_eq(imagine_settings_message(NULL), "");
    ck_assert_ptr_null(imagine_settings_describe(NULL));
}
END_TEST

/* ---- where they come from ---------------------------------------------------------------------
 */

START_TEST(the_environment_is_read_when_asked) {
    setenv("PORT", "81", 1);
    setenv("GITEE_TOKENS", "a,b", 1);
    setenv("MODELSCOPE_API_BASE", "https://m.test", 1);
    setenv("EMPTY_TOKENS", "", 1);
    setenv("LOG_LEVEL", "", 1);
    setenv("SOMETHING_ELSE", "x", 1);
    assert_value("PORT", "3000");
    ck_assert_int_eq(imagine_settings_set(settings, "GITEE_TOKENS", "mine"), 0);
    ck_assert_int_eq(imagine_settings_read_env(settings), 0);
    assert_value("PORT", "81");
    assert_value("GITEE_TOKENS", "mine"); /* what is set already stays */
    assert_value("MODELSCOPE_API_BASE", "https://m.test");
    assert_value("EMPTY_TOKENS", NULL);
    assert_value("LOG_LEVEL", "info");
    assert_value("SOMETHING_ELSE", NULL);
    setenv("RATE_LIMIT", "many", 1);
    ck_assert_int_eq(imagine_settings_read_env(settings), IMAGINE_EINVAL);
    ck_assert_str_eq(imagine_settings_message(settings),
                     "RATE_LIMIT: a whole number from 0 to 1000000000 expected");
}
END_TEST

static const struct {
    const char *state_directory, *xdg_state_home, *home, *expected;
} state_files[] = {
    {"/var/lib/imagine", "/x", "/home/me", "/var/lib/imagine/imagine.db"},
    {"/var/lib/a:/var/lib/b", NULL, NULL, "/var/lib/a/imagine.db"},
    {NULL, "/x/state", "/home/me", "/x/state/imagine/imagine.db"},
    {NULL, "relative", "/home/me", "/home/me/.local/state/imagine/imagine.db"},
    {"", "", "/home/me", "/home/me/.local/state/imagine/imagine.db"},
    {NULL, NULL, "nowhere", ":memory:"},
    {NULL, NULL, NULL, ":memory:"},
};

START_TEST(the_state_file_has_its_place) { /* _i walks state_files */
    if (state_files[_i].state_directory != NULL)
        setenv("STATE_DIRECTORY", state_files[_i].state_directory, 1);
    if (state_files[_i].xdg_state_home != NULL)
        setenv("XDG_STATE_HOME", state_files[_i].xdg_state_home, 1);
    if (state_files[_i].home != NULL)
        setenv("HOME", state_files[_i].home, 1);
    assert_value("STATE_FILE", ":memory:"); /* the environment was not asked yet */
    ck_assert_int_eq(imagine_settings_read_env(settings), 0);
    assert_value("STATE_FILE", state_files[_i].expected);
    ck_assert_int_eq(imagine_settings_set(settings, "STATE_FILE", "/mine.db"), 0);
    assert_value("STATE_FILE", "/mine.db");
}
END_TEST

START_TEST(a_file_fills_what_is_not_set) {
    ck_assert_int_eq(imagine_settings_set(settings, "PORT", "81"), 0);
    ck_assert_int_eq(
        read_text("\xef\xbb\xbf# mine\r\nPORT=82\r\nexport GITEE_TOKENS = \"a, b\" # two\r\n"
                  "LOG_LEVEL='debug'\nRATE_LIMIT=\nFOREIGN=\"one\ntwo\"\n"),
        0);
    assert_value("PORT", "81");
    assert_value("GITEE_TOKENS", "a, b");
    assert_value("LOG_LEVEL", "debug");
    assert_value("RATE_LIMIT", "60");
    assert_value("FOREIGN", NULL);
    ck_assert_int_eq(read_text("LOG_LEVEL=trace\nDRAIN_SECONDS=5"), 0); /* the first file wins */
    assert_value("LOG_LEVEL", "debug");
    assert_value("DRAIN_SECONDS", "5");
}
END_TEST

START_TEST(of_a_files_lines_the_last_one_counts) {
    ck_assert_int_eq(imagine_settings_set(settings, "PORT", "81"), 0);
    ck_assert_int_eq(read_text("PORT=82\nLOG_LEVEL=warn\nRATE_LIMIT=1\nPORT=83\nLOG_LEVEL=debug\n"
                               "RATE_LIMIT=\n"),
                     0);
    assert_value("PORT", "81");
    assert_value("LOG_LEVEL", "debug");
    assert_value("RATE_LIMIT", "60");
    ck_assert_int_eq(read_text("LOG_LEVEL=trace\nRATE_LIMIT=2\n"), 0);
    assert_value("LOG_LEVEL", "debug");
    assert_value("RATE_LIMIT", "2");
}
END_TEST

START_TEST(without_a_path_the_usual_files_are_read) {
    ck_assert_int_eq(chdir(folder), 0);
    ck_assert_int_eq(imagine_settings_read_file(settings, NULL), 0); /* there are none */
    ck_assert_int_eq(rename(path, ".env.local"), -1);
    write_file("PORT=81\n", 8);
    ck_assert_int_eq(rename(path, ".env.local"), 0);
    write_file("PORT=82\nDRAIN_SECONDS=7\n", 24);
    ck_assert_int_eq(rename(path, ".env"), 0);
    ck_assert_int_eq(imagine_settings_read_file(settings, NULL), 0);
    assert_value("PORT", "81");
    assert_value("DRAIN_SECONDS", "7");
    write_file("PORT=x", 6);
    ck_assert_int_eq(rename(path, ".env"), 0);
    ck_assert_int_eq(imagine_settings_set(settings, "PORT", NULL), 0);
    ck_assert_int_eq(unlink(".env.local"), 0);
    ck_assert_int_eq(imagine_settings_read_file(settings, NULL), IMAGINE_EINVAL);
    ck_assert_ptr_nonnull(strstr(imagine_settings_message(settings), ".env:1: PORT: "));
    ck_assert_int_eq(unlink(".env"), 0);
}
END_TEST

static const struct {
    const char *text, *message; /* behind "<path>:" */
} bad_files[] = {
    {"A=1\n\nPORT=x", "3: PORT: a whole number from 0 to 65535 expected"},
    {"GITEE_TOKENS=s3cr3t 2", "1: GITEE_TOKENS: a comma list of tokens expected, visible ASCII "
                              "without blanks inside"},
    {"# x\ns3cr3t", "2: NAME=value expected"},
    {"API_TOKEN='s3cr3t", "1: a quote that is never closed"},
};

START_TEST(what_is_wrong_in_a_file_is_told_with_its_line) { /* _i walks bad_files */
    char expected[256];
    snprintf(expected, sizeof(expected), "%s:%s", path, bad_files[_i].message);
    ck_assert_int_eq(read_text(bad_files[_i].text), IMAGINE_EINVAL);
    ck_assert_str_eq(imagine_settings_message(settings), expected);
    ck_assert_ptr_null(strstr(imagine_settings_message(settings), "s3cr3t"));
}
END_TEST

START_TEST(files_that_cannot_be_read_are_told_apart) {
    char *large = NULL;
    ck_assert_int_eq(imagine_settings_read_file(settings, path), IMAGINE_ENOTFOUND);
    ck_assert_int_eq(imagine_settings_read_file(settings, folder), IMAGINE_EIO);
    ck_assert_ptr_nonnull(strstr(imagine_settings_message(settings), "cannot be read"));
    large = malloc(1024 * 1024 + 1);
    memset(large, '\n', 1024 * 1024 + 1);
    write_file(large, 1024 * 1024 + 1);
    ck_assert_int_eq(imagine_settings_read_file(settings, path), IMAGINE_EIO);
    ck_assert_ptr_nonnull(strstr(imagine_settings_message(settings), "larger than 1 MiB"));
    write_file(large, 1024 * 1024);
    ck_assert_int_eq(imagine_settings_read_file(settings, path), 0);
    free(large);
    write_file("A=1\0", 4);
    ck_assert_int_eq(imagine_settings_read_file(settings, path), IMAGINE_EINVAL);
}
END_TEST

/* ---- for a person -----------------------------------------------------------------------------
 */

START_TEST(the_description_masks_every_secret) {
    char *text = NULL;
    setenv("API_TOKEN", "user-s3cr3t", 1);
    ck_assert_int_eq(imagine_settings_read_env(settings), 0);
    ck_assert_int_eq(read_text("GITEE_TOKENS=first-s3cr3t,second-s3cr3t@team,c-s3cr3t,d-s3cr3t\n"
                               "MODELSCOPE_API_BASE=https://m.test\nENCRYPTION_KEY=s3cr3t\n"
                               "S3_SECRET_ACCESS_KEY=s3cr3t\nS3_BUCKET_NAME=pictures\n"
                               "GITE_TOKEN=s3cr3t\n"),
                     0);
    ck_assert_int_eq(imagine_settings_set(settings, "LOG_LEVEL", "debug"), 0);
    text = imagine_settings_describe(settings);
    ck_assert_ptr_nonnull(text);
    ck_assert_msg(strstr(text, "s3cr3t") == NULL, "%s", text);
    ck_assert_ptr_nonnull(strstr(text, "\nAPI_TOKEN = 1 token ("));
    ck_assert_ptr_nonnull(strstr(text, ") (from the environment)\n"));
    ck_assert_ptr_nonnull(strstr(text, "\nGITEE_TOKENS = 4 tokens ("));
    ck_assert_ptr_nonnull(strstr(text, ", …) (from "));
    ck_assert_ptr_nonnull(strstr(text, "\nENCRYPTION_KEY = set ("));
    ck_assert_ptr_nonnull(strstr(text, "\nMODELSCOPE_API_BASE = https://m.test ("));
    ck_assert_ptr_nonnull(strstr(text, "\nLOG_LEVEL = debug\n"));
    ck_assert_ptr_nonnull(strstr(text, "\nRATE_LIMIT = 60 (default)\n"));
    ck_assert_ptr_nonnull(strstr(text, "\nHOST = 0.0.0.0 (default)\n"));
    ck_assert_ptr_nonnull(strstr(text, "S3_BUCKET_NAME = pictures"));
    ck_assert_ptr_nonnull(strstr(text, "\nGITE_TOKEN is no setting: ignored, from "));
    ck_assert_ptr_eq(strstr(text, "PORT = 3000 (default)\n"), text);
    imagine_free(text);
}
END_TEST

START_TEST(the_fingerprint_is_that_of_the_token_without_its_group) {
    char fingerprint[IMI_FINGERPRINT_SIZE + 1], line[128], *text = NULL;
    imi_fingerprint(fingerprint, "abc");
    ck_assert_int_eq(imagine_settings_set(settings, "GITEE_TOKENS", " abc@team ,"), 0);
    text = imagine_settings_describe(settings);
    snprintf(line, sizeof(line), "\nGITEE_TOKENS = 1 token (%s)\n", fingerprint);
    ck_assert_ptr_nonnull(strstr(text, line));
    imagine_free(text);
}
END_TEST

START_TEST(an_open_api_is_described_as_one) {
    char *text = imagine_settings_describe(settings);
    ck_assert_ptr_nonnull(strstr(text, "\nHOST = 127.0.0.1 (default: the API is open, neither "
                                       "API_TOKEN nor ADMIN_TOKEN is set)\n"));
    imagine_free(text);
}
END_TEST

START_TEST(the_help_names_every_setting_that_works) {
    const char *text = imagine_settings_help();
    const imi_setting_t *row = NULL;
    size_t count = 0;
    for (size_t i = 0; (row = imi_setting_at(i)) != NULL; i++) {
        char name[80];
        snprintf(name, sizeof(name), "%s%s", row->name[0] == '_' ? "  <PROVIDER>" : "  ",
                 row->name);
        ck_assert_msg(strstr(text, name) != NULL, "%s", row->name);
        count++;
    }
    ck_assert_uint_gt(count, 40);
    ck_assert_ptr_nonnull(strstr(text, "\n  PORT (3000)\n      port to listen on"));
    for (const char *at = text; at != NULL; at = strchr(at + 1, '\n'))
        ck_assert_uint_le(strcspn(at + 1, "\n"), 110);
}
END_TEST

/* ---- memory -----------------------------------------------------------------------------------
 */

START_TEST(every_failing_allocation_is_survived) {
    failing_mem_t failing;
    size_t fail_at = 1;
    setenv("HOME", "/home/me", 1);
    setenv("PORT", "81", 1);
    write_file("GITEE_TOKENS=a,b@x\nLOG_LEVEL='debug'\nTRUSTED_PROXIES=loopback\n", 62);
    do {
        imagine_settings_t *poor = NULL;
        int err = 0;
        failing_mem_init(&failing, fail_at++);
        err = imi_settings_open(&poor, &failing.mem);
        if (err == 0)
            err = imagine_settings_set(poor, "API_TOKEN", "u");
        if (err == 0)
            err = imagine_settings_set(poor, "API_TOKEN", "v");
        if (err == 0)
            err = imagine_settings_read_env(poor);
        if (err == 0)
            err = imagine_settings_read_file(poor, path);
        ck_assert_int_eq(err, failing.has_failed ? IMAGINE_ENOMEM : 0);
        imagine_settings_close(poor);
        ck_assert_msg(failing.live_count == 0, "request %zu", fail_at - 1);
    } while (failing.has_failed && fail_at < 500);
    ck_assert(!failing.has_failed);
    ck_assert_uint_gt(fail_at, 20);
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static Suite *settings_suite(void) {
    Suite *suite = suite_create("core/settings");
    TCase *tcase = tcase_create("settings");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, a_setting_has_its_default, 0, COUNT(defaults));
    tcase_add_test(tcase, every_default_would_be_accepted);
    tcase_add_test(tcase, an_open_api_is_for_this_machine_only);
    tcase_add_loop_test(tcase, a_value_is_checked_when_it_is_set, 0, COUNT(values));
    tcase_add_test(tcase, a_refused_value_changes_nothing);
    tcase_add_test(tcase, no_message_shows_a_value);
    tcase_add_test(tcase, sizes_are_bounded);
    tcase_add_test(tcase, null_is_answered);
    tcase_add_test(tcase, the_environment_is_read_when_asked);
    tcase_add_loop_test(tcase, the_state_file_has_its_place, 0, COUNT(state_files));
    tcase_add_test(tcase, a_file_fills_what_is_not_set);
    tcase_add_test(tcase, of_a_files_lines_the_last_one_counts);
    tcase_add_test(tcase, without_a_path_the_usual_files_are_read);
    tcase_add_loop_test(tcase, what_is_wrong_in_a_file_is_told_with_its_line, 0, COUNT(bad_files));
    tcase_add_test(tcase, files_that_cannot_be_read_are_told_apart);
    tcase_add_test(tcase, the_description_masks_every_secret);
    tcase_add_test(tcase, the_fingerprint_is_that_of_the_token_without_its_group);
    tcase_add_test(tcase, an_open_api_is_described_as_one);
    tcase_add_test(tcase, the_help_names_every_setting_that_works);
    tcase_add_test(tcase, every_failing_allocation_is_survived);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(settings_suite)
