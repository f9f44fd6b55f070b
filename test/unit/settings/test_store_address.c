/* test_store_address.c: which storage is used when settings name several, and that no secret breaks
 * out of its place in the address. */
#include "settings/store_address.h"

#include <string.h>

#include "support/check_main.h"

static const struct {
    const char *settings[5][2];
    const char *address; /* NULL: IMAGINE_EINVAL */
    const char *name;
} cases[] = {
    {{{"STATE_FILE", ":memory:"}}, "", "STATE_FILE"},
    {{{"STATE_FILE", "/x/state.db"}}, "sqlite:/x/state.db", "STATE_FILE"},
    {{{"REDIS_URL", "redis://u:p%40@h/1"}, {"STATE_FILE", "/x"}},
     "redis://u:p%40@h/1",
     "REDIS_URL"},
    {{{"KV_REST_API_URL", "https://h.upstash.io/"},
      {"KV_REST_API_TOKEN", "a:b@c/d?e#f%"},
      {"REDIS_URL", "redis://x"}},
     "upstash:https://:a%3Ab%40c%2Fd%3Fe%23f%25@h.upstash.io",
     "KV_REST_API_URL"},
    {{{"KV_REST_API_URL", "http://127.0.0.1:81/base//"}, {"KV_REST_API_TOKEN", "t"}},
     "upstash:http://:t@127.0.0.1:81/base",
     "KV_REST_API_URL"},
    {{{"KV_REST_API_URL", "https://h"}}, NULL, "KV_REST_API_TOKEN"},
    {{{"KV_REST_API_TOKEN", "t"}, {"STATE_FILE", "/x"}}, NULL, "KV_REST_API_URL"},
    {{{"KV_REST_API_TOKEN", "t"}, {"REDIS_URL", "redis://x"}}, "redis://x", "REDIS_URL"},
    {{{"CF_ACCOUNT_ID", "a/1"}, {"CF_KV_NAMESPACE_ID", "n?2"}, {"CF_API_TOKEN", "t@3"}},
     "cloudflare:https://:t%403@api.cloudflare.com/client/v4/accounts/a%2F1/storage/kv/namespaces/"
     "n%3F2",
     "CF_ACCOUNT_ID"},
    {{{"CF_ACCOUNT_ID", "a"},
      {"CF_KV_NAMESPACE_ID", "n"},
      {"CF_API_TOKEN", "t"},
      {"REDIS_URL", "redis://x"}},
     "redis://x",
     "REDIS_URL"},
    {{{"CF_ACCOUNT_ID", "a"}, {"CF_API_TOKEN", "t"}}, NULL, "CF_KV_NAMESPACE_ID"},
    {{{"CF_ACCOUNT_ID", "a"}, {"CF_KV_NAMESPACE_ID", "n"}}, NULL, "CF_API_TOKEN"},
    {{{"CF_KV_NAMESPACE_ID", "n"}, {"CF_API_TOKEN", "t"}}, NULL, "CF_ACCOUNT_ID"},
    {{{"CF_API_TOKEN", "t"}, {"STATE_FILE", "/x"}}, "sqlite:/x", "STATE_FILE"},
    {{{"CF_ACCOUNT_ID", "a"},
      {"CF_KV_NAMESPACE_ID", "n"},
      {"CF_API_TOKEN", "t"},
      {"CF_API_BASE", "http://127.0.0.1:9/v4"}},
     "cloudflare:http://:t@127.0.0.1:9/v4/accounts/a/storage/kv/namespaces/n",
     "CF_ACCOUNT_ID"},
};

START_TEST(the_first_one_that_is_there_counts) { /* _i walks cases */
    imagine_settings_t *settings = NULL;
    const char *name = NULL;
    imi_buf_t address;
    imi_buf_init(&address, NULL, 0);
    ck_assert_int_eq(imagine_settings_open(&settings), 0);
    for (size_t i = 0; i < 5 && cases[_i].settings[i][0] != NULL; i++)
        ck_assert_int_eq(
            imagine_settings_set(settings, cases[_i].settings[i][0], cases[_i].settings[i][1]), 0);
    ck_assert_int_eq(imi_store_address(&address, settings, &name),
                     cases[_i].address != NULL ? 0 : IMAGINE_EINVAL);
    ck_assert_str_eq(name, cases[_i].name);
    if (cases[_i].address != NULL)
        ck_assert_str_eq(address.size > 0 ? address.data : "", cases[_i].address);
    imi_buf_reset(&address);
    imagine_settings_close(settings);
}
END_TEST

static Suite *store_address_suite(void) {
    Suite *suite = suite_create("store_address");
    TCase *all = tcase_create("store_address");
    tcase_add_loop_test(all, the_first_one_that_is_there_counts, 0,
                        (int)(sizeof(cases) / sizeof(cases[0])));
    suite_add_tcase(suite, all);
    return suite;
}

IMI_CHECK_MAIN(store_address_suite)
