/* test_webhook.c: what is signed and how, what a record of the store may hold, what is refused, the
 * limits, and memory that runs out anywhere. What happens over time: test/sim/test_webhooks.c. */
#include "core/webhook.h"

#include <stdio.h>
#include <string.h>

#include "../../support/check_main.h"
#include "core/client.h"
#include "core/webhook_record.h"
#include "sim/sim.h"

#define BODY "{\"taskId\":\"a\",\"provider\":\"gitee\",\"status\":\"completed\",\"result\":{}}"
#define URL "https://hooks.test/in?key=private"

static int enqueue(sim_t *sim, const char *task_id) {
    return imi_webhook_enqueue(sim->im, URL, BODY, strlen(BODY), task_id);
}

static void load(sim_t *sim, const char *id, const char *json) {
    char key[128];
    snprintf(key, sizeof(key), "webhook/%s", id);
    imi_webhook_load(sim->im, key, json, strlen(json));
}

static void expect_list(sim_t *sim, const char *json) {
    char *list = imagine_webhooks(sim->im);
    ck_assert_ptr_nonnull(list);
    ck_assert_str_eq(list, json);
    imagine_free(list);
}

/* ---- signatures --------------------------------------------------------------------------------
 */

static const char *header(const imi_webhook_headers_t *headers, const char *name) {
    for (size_t i = 0; i < headers->count; i++)
        if (strcmp(headers->headers[i].name, name) == 0)
            return headers->headers[i].value;
    return NULL;
}

static void sign(imi_webhook_headers_t *out, const char *text, const char *body) {
    imi_webhook_secret_t secret = {0};
    ck_assert_int_eq(imi_webhook_secret_set(&secret, NULL, text), 0);
    ck_assert_int_eq(imi_webhook_sign(out, NULL, &secret, "msg_p5jXN8AQM9LWM0D4loKWxJek",
                                      INT64_C(1614265330) * 1000 + 999, imi_slice_of(body)),
                     0);
    imi_webhook_secret_reset(&secret, NULL);
}

/* What the standardwebhooks package of npm and node's own HMAC make of them. */
static const struct {
    const char *name, *secret, *standard, *old;
} signatures[] = {
    {"the standard's own example", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
     "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
     "sha256=80ec8a89ce3cd22133a1066caecb4d04fea7467657c8514d717ec42c38a5c94c"},
    {"without the prefix", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
     "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
     "sha256=5ee0e8e3d564cf9cbeea807e97cecc6cccf0b0e20aa28073cc267a2881a839fc"},
    {"no base64", "plain secret!", "v1,A2M6rZR8mZ8bwkLKpucEi+cOw3bcY/1eUOHNzDb9Y6A=",
     "sha256=73b50b6d0794f9cdbf155da2b186feb237963ca85fc55d70388cf24b8027cf2b"},
    {"base64 of URLs", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa-_",
     "v1,LtD6x9poH5ww2FpZuG2nguWi2MVei1lfxdEbaxGcwcU=",
     "sha256=1935b66bb4918e9269ab442638331c23dadc0d160b422784e78a4fc5942bae11"},
    {"no padding", "whsec_c2VjcmV0cw", "v1,b0x67pt88H+1PzdTPwj3HmD19XdA2kSY8l00WWz/8bo=",
     "sha256=f890e42b5021665d64b1829180d99e8ef0b44f74e367ec8ea8e127cd6bb846bb"},
};

START_TEST(a_receiver_can_check_both_signatures) { /* _i walks signatures */
    imi_webhook_headers_t headers;
    sign(&headers, signatures[_i].secret, "{\"test\": 2432232314}");
    ck_assert_str_eq(header(&headers, "content-type"), "application/json");
    ck_assert_str_eq(header(&headers, "webhook-id"), "msg_p5jXN8AQM9LWM0D4loKWxJek");
    ck_assert_str_eq(header(&headers, "webhook-timestamp"), "1614265330");
    ck_assert_str_eq(header(&headers, "webhook-signature"), signatures[_i].standard);
    ck_assert_str_eq(header(&headers, "x-webhook-signature"), signatures[_i].old);
}
END_TEST

START_TEST(without_a_secret_nothing_is_signed) { /* _i: unset, empty */
    imi_webhook_headers_t headers;
    sign(&headers, _i == 0 ? NULL : "", "{}");
    ck_assert_uint_eq(headers.count, 3);
    ck_assert_ptr_nonnull(header(&headers, "webhook-id"));
    ck_assert_ptr_null(header(&headers, "webhook-signature"));
    ck_assert_ptr_null(header(&headers, "x-webhook-signature"));
}
END_TEST

/* ---- what is taken -----------------------------------------------------------------------------
 */

static const struct {
    const char *name, *url, *body, *task_id;
    int err;
} refusals[] = {
    {"fine", "http://hooks.test", "{}", "a", 0},
    {"white space around the body", "http://hooks.test", " {} \n", "a", 0},
    {"no address", NULL, "{}", "a", IMAGINE_EADDRESS},
    {"another scheme", "ftp://hooks.test/", "{}", "a", IMAGINE_EADDRESS},
    {"user info", "https://me:secret@hooks.test/", "{}", "a", IMAGINE_EADDRESS},
    {"no host", "https:///in", "{}", "a", IMAGINE_EADDRESS},
    {"no JSON", "https://hooks.test/", "{", "a", IMAGINE_EINVAL},
    {"nothing", "https://hooks.test/", "", "a", IMAGINE_EINVAL},
    {"no task", "https://hooks.test/", "{}", NULL, IMAGINE_EINVAL},
    {"an empty task", "https://hooks.test/", "{}", "", IMAGINE_EINVAL},
    {"a dot would blur what is signed", "https://hooks.test/", "{}", "a.b", IMAGINE_EINVAL},
    {"a line break would be a header", "https://hooks.test/", "{}", "a\nb", IMAGINE_EINVAL},
    {"too long a task", "https://hooks.test/", "{}",
     "12345678901234567890123456789012345678901234567890123456789012345", IMAGINE_EINVAL},
};

START_TEST(what_cannot_be_sent_is_refused) { /* _i walks refusals */
    sim_t *sim = sim_open(1);
    const char *body = refusals[_i].body;
    int err;
    sim_reply(sim, 1, 200, "");
    err = imi_webhook_enqueue(sim->im, refusals[_i].url, body, strlen(body), refusals[_i].task_id);
    ck_assert_msg(err == refusals[_i].err, "%s: %s", refusals[_i].name, imagine_err_name(err));
    if (err != 0)
        expect_list(sim, "[]");
    sim_close(sim);
}
END_TEST

START_TEST(an_address_has_a_longest) {
    static char url[IMI_WEBHOOK_URL_SIZE_MAX + 2];
    sim_t *sim = sim_open(1);
    memset(url, 'x', sizeof(url) - 1);
    memcpy(url, "https://hooks.test/", 19);
    ck_assert_int_eq(imi_webhook_enqueue(sim->im, url, "{}", 2, "a"), IMAGINE_EADDRESS);
    url[IMI_WEBHOOK_URL_SIZE_MAX] = '\0';
    sim_reply(sim, 1, 200, "");
    ck_assert_int_eq(imi_webhook_enqueue(sim->im, url, "{}", 2, "a"), 0);
    sim_run(sim, 10);
    sim_close(sim);
}
END_TEST

START_TEST(past_the_limit_new_ones_are_refused) {
    sim_t *sim = sim_open(1);
    sim->im->webhooks->size = IMI_WEBHOOKS_SIZE_MAX - strlen(BODY) + 1;
    ck_assert_int_eq(enqueue(sim, "a"), IMAGINE_EBUSY);
    ck_assert_ptr_nonnull(strstr(sim->log, "webhook.refused id=msg_a"));
    sim->im->webhooks->size--;
    sim_reply(sim, 1, 200, "");
    ck_assert_int_eq(enqueue(sim, "a"), 0);
    sim->im->webhooks->size -= IMI_WEBHOOKS_SIZE_MAX - strlen(BODY);
    sim_close(sim);
}
END_TEST

START_TEST(of_those_that_ended_the_last_thousand_are_kept) {
    sim_t *sim = sim_open(1);
    char task_id[16];
    for (int i = 0; i < IMI_WEBHOOKS_ENDED_MAX + 100; i++) {
        snprintf(task_id, sizeof(task_id), "t%d", i);
        sim_reply(sim, 1, 200, "");
        ck_assert_int_eq(enqueue(sim, task_id), 0);
        sim_run(sim, 2);
    }
    imagine_free(imagine_webhooks(sim->im));
    ck_assert_uint_eq(sim->im->webhooks->by_id.count, IMI_WEBHOOKS_ENDED_MAX);
    ck_assert_uint_eq(sim->im->webhooks->ended_count, IMI_WEBHOOKS_ENDED_MAX);
    ck_assert_uint_eq(sim->im->webhooks->size, IMI_WEBHOOKS_ENDED_MAX * strlen(BODY));
    ck_assert_uint_eq(sim->im->webhooks->hosts.count, 1);
    ck_assert_int_eq(imagine_webhook_redeliver(sim->im, "msg_t99"), IMAGINE_ENOTFOUND);
    sim_reply(sim, 1, 200, "");
    ck_assert_int_eq(imagine_webhook_redeliver(sim->im, "msg_t100"), 0);
    sim_close(sim);
}
END_TEST

/* ---- records -----------------------------------------------------------------------------------
 */

#define RECORD                                                                                \
    "{\"url\":\"" URL "\",\"state\":\"pending\",\"tries\":3,\"status\":500,\"error\":\"no\"," \
    "\"created\":1767859200000,\"next\":1767859260000,\"ended\":0,\"body\":" BODY "}"

START_TEST(a_record_is_read_as_it_was_written) {
    sim_t *sim = sim_open(1);
    load(sim, "msg_a", RECORD);
    load(sim, "msg_a", RECORD); /* known: nothing happens */
    expect_list(sim, "[{\"id\":\"msg_a\",\"taskId\":\"a\",\"url\":\"https://hooks.test/in\","
                     "\"state\":\"pending\",\"tries\":3,\"lastStatus\":500,\"lastError\":\"no\","
                     "\"nextAt\":\"2026-01-08T08:01:00.000Z\"}]");
    sim_run(sim, 59999);
    sim_reply(sim, 1, 200, "");
    sim_run(sim, 10);
    expect_list(sim, "[{\"id\":\"msg_a\",\"taskId\":\"a\",\"url\":\"https://hooks.test/in\","
                     "\"state\":\"delivered\",\"tries\":4,\"lastStatus\":200,\"lastError\":null,"
                     "\"nextAt\":null}]");
    sim_close(sim);
}
END_TEST

static const struct {
    const char *name, *id, *json;
} strange_records[] = {
    {"another key", "a", RECORD},
    {"an id with a dot", "msg_a.b", RECORD},
    {"no id", "msg_", RECORD},
    {"no address", "msg_a", "{\"state\":\"pending\",\"body\":{}}"},
    {"a bad address", "msg_a", "{\"url\":\"ftp://x/\",\"state\":\"pending\",\"body\":{}}"},
    {"no body", "msg_a", "{\"url\":\"https://x.test/\",\"state\":\"pending\"}"},
    {"a list", "msg_a", "[]"},
    {"nothing", "msg_a", ""},
    {"over for long", "msg_a",
     "{\"url\":\"https://x.test/\",\"state\":\"delivered\",\"ended\":5,\"body\":{}}"},
};

START_TEST(a_record_that_is_none_is_passed_over) { /* _i walks strange_records */
    sim_t *sim = sim_open(1);
    load(sim, strange_records[_i].id, strange_records[_i].json);
    expect_list(sim, "[]");
    ck_assert_uint_eq(sim->im->webhooks->hosts.count, 0);
    sim_close(sim);
}
END_TEST

START_TEST(a_record_that_was_cut_anywhere_is_passed_over) {
    sim_t *sim = sim_open(1);
    for (size_t size = 0; size + 1 < sizeof(RECORD); size++) {
        char *copy = strndup(RECORD, size);
        imi_webhook_load(sim->im, "webhook/msg_a", copy, size);
        free(copy);
    }
    expect_list(sim, "[]");
    sim_close(sim);
}
END_TEST

static const char *const odd_tries[] = {"-1", "11", "4294967295", "\"x\"", "1e300", "null"};

START_TEST(odd_numbers_in_a_record_do_no_harm) { /* _i walks odd_tries */
    sim_t *sim = sim_open(1);
    char json[256];
    snprintf(
        json, sizeof(json),
        "{\"url\":\"https://x.test/\",\"state\":\"?\",\"tries\":%s,\"status\":%s,\"created\":%s,"
        "\"next\":%s,\"body\":{}}",
        odd_tries[_i], odd_tries[_i], odd_tries[_i], odd_tries[_i]);
    load(sim, "msg_a", json);
    sim_break(sim, 1, IMAGINE_ECONNECT, false);
    sim_run(sim, 2);
    ck_assert_uint_eq(sim->im->webhooks->by_id.count, 1);
    ck_assert_uint_eq(sim->timer_count, 1); /* it goes on */
    sim_close(sim);
}
END_TEST

/* ---- memory ------------------------------------------------------------------------------------
 */

/* With the n-th allocation failing, what was taken on arrives all the same. */
START_TEST(every_failing_allocation_is_survived) {
    bool has_failed = true;
    for (size_t fail_at = 1; has_failed; fail_at++) {
        sim_store_t *store = sim_store_new();
        sim_t *sim = sim_open(1);
        int taken;
        sim_attach_store(sim, store);
        sim_run(sim, 10);
        sim_break(sim, 1, IMAGINE_ECONNECT, false);
        for (int i = 0; i < 12; i++)
            sim_reply_with(sim, 1, i % 4 == 0 ? 503 : 200, "Retry-After: 7", "busy");
        sim->mem.fail_at = sim->mem.request_count + fail_at;
        (void)imi_webhooks_set_secret(sim->im, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        taken = enqueue(sim, "a") == 0;
        load(sim, "msg_b", RECORD);
        sim_run(sim, 1000);
        taken += enqueue(sim, "c") == 0;
        imagine_free(imagine_webhooks(sim->im));
        (void)imagine_webhook_redeliver(sim->im, "msg_a");
        sim_run(sim, 3 * 60 * 60 * 1000);
        has_failed = sim->mem.has_failed;
        ck_assert_msg(sim->im->webhooks->ended_count == sim->im->webhooks->by_id.count,
                      "%zu: one waits for ever", fail_at);
        ck_assert_uint_ge(sim->im->webhooks->ended_count, (size_t)taken);
        ck_assert(has_failed || sim->im->webhooks->ended_count == 3);
        ck_assert_uint_eq(sim->timer_count, 0);
        sim_close(sim);
        sim_store_free(store);
    }
}
END_TEST

static Suite *webhook_suite(void) {
    Suite *suite = suite_create("core/webhook");
    TCase *tcase = tcase_create("webhook");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, a_receiver_can_check_both_signatures, 0,
                        (int)(sizeof(signatures) / sizeof(signatures[0])));
    tcase_add_loop_test(tcase, without_a_secret_nothing_is_signed, 0, 2);
    tcase_add_loop_test(tcase, what_cannot_be_sent_is_refused, 0,
                        (int)(sizeof(refusals) / sizeof(refusals[0])));
    tcase_add_test(tcase, an_address_has_a_longest);
    tcase_add_test(tcase, past_the_limit_new_ones_are_refused);
    tcase_add_test(tcase, of_those_that_ended_the_last_thousand_are_kept);
    tcase_add_test(tcase, a_record_is_read_as_it_was_written);
    tcase_add_loop_test(tcase, a_record_that_is_none_is_passed_over, 0,
                        (int)(sizeof(strange_records) / sizeof(strange_records[0])));
    tcase_add_test(tcase, a_record_that_was_cut_anywhere_is_passed_over);
    tcase_add_loop_test(tcase, odd_numbers_in_a_record_do_no_harm, 0,
                        (int)(sizeof(odd_tries) / sizeof(odd_tries[0])));
    tcase_add_test(tcase, every_failing_allocation_is_survived);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(webhook_suite)
