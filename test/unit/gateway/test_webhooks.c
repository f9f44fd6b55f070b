/* test_webhooks.c: the administrator's routes for webhooks, over a real client whose world has no
 * network: every try fails at once. */
#include "gateway/webhooks.h"

#include <string.h>

#include "../../support/check_main.h"
#include "../../support/failing_mem.h"
#include "core/webhook.h"
#include "support/gateway_host.h"

#define JSON "Content-Type: application/json"
#define USER "Authorization: Bearer u"
#define ADMIN "Authorization: Bearer a"
#define TOKENS "API_TOKEN=u;ADMIN_TOKEN=a"
#define LIST "/api/v1/webhooks"
#define AGAIN "/api/v1/webhooks/redeliver"
#define TEN "0123456789"
#define LONG TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN
#define BODY "{\"taskId\":\"t1\"}"

static gateway_host_t host;
static visit_t visit;

static void enqueue(void) {
    ck_assert_int_eq(
        imi_webhook_enqueue(host.im, "https://hooks.test/in?key=private", BODY, strlen(BODY), "t1"),
        0);
}

static const struct {
    const char *name, *settings, *method, *target, *headers, *body;
    int status;
    const char *answer;
} cases[] = {
    {"the list", NULL, "GET", LIST, NULL, NULL, 200,
     "[{\"id\":\"msg_t1\",\"taskId\":\"t1\",\"url\":\"https://hooks.test/in\",\"state\":\"pending\""
     ",\"tries\":1,\"lastStatus\":null,\"lastError\":\"not supported\",\"nextAt\":\"2026-"},
    {"the list needs the admin", TOKENS, "GET", LIST, USER, NULL, 401, "Invalid token"},
    {"with the admin's token", TOKENS, "GET", LIST, ADMIN, NULL, 200, "[{\"id\":\"msg_t1\""},
    {"nobody from elsewhere", NULL, "GET", LIST, "peer: 192.0.2.1", NULL, 403, "Forbidden"},
    {"the list is read only", NULL, "DELETE", LIST, NULL, NULL, 405, "\"error\""},
    {"once more", NULL, "POST", AGAIN, JSON, "{\"id\":\"msg_t1\"}", 200,
     "{\"success\":true,\"id\":\"msg_t1\"}"},
    {"once more needs the admin", TOKENS, "POST", AGAIN, JSON "\n" USER, "{\"id\":\"msg_t1\"}", 401,
     "Invalid token"},
    {"a stranger", NULL, "POST", AGAIN, JSON, "{\"id\":\"msg_t2\"}", 404,
     "{\"error\":\"Webhook not found\","},
    {"nobody", NULL, "POST", AGAIN, JSON, "{}", 400, "{\"error\":\"Webhook id is required\","},
    {"a number", NULL, "POST", AGAIN, JSON, "{\"id\":1}", 400,
     "{\"error\":\"Webhook id is required\","},
    {"an empty one", NULL, "POST", AGAIN, JSON, "{\"id\":\"\"}", 400,
     "{\"error\":\"Webhook id is required\","},
    {"a long one", NULL, "POST", AGAIN, JSON, "{\"id\":\"" LONG "\"}", 404,
     "{\"error\":\"Webhook not found\","},
    {"no JSON", NULL, "POST", AGAIN, JSON, "{", 400, "\"code\":\"IMAGINE_EINVAL\""},
    {"once more is no question", NULL, "GET", AGAIN, NULL, NULL, 405, "\"error\""},
};

START_TEST(a_request_has_its_answer) { /* _i walks cases */
    ck_assert_int_eq(gateway_host_open(&host, NULL, cases[_i].settings), 0);
    enqueue();
    visit_make(&visit, &host, cases[_i].method, cases[_i].target, cases[_i].headers,
               cases[_i].body);
    ck_assert_msg(visit.status == cases[_i].status, "%s: %d\n%s", cases[_i].name, visit.status,
                  visit.body);
    ck_assert_msg(strstr(visit.body, cases[_i].answer) != NULL, "%s:\n%s", cases[_i].name,
                  visit.body);
    ck_assert_ptr_null(strstr(visit.body, "private"));
    ck_assert_ptr_null(strstr(virtual_io_log(host.virtual), "private"));
    gateway_host_close(&host);
}
END_TEST

START_TEST(once_more_is_one_more_try) {
    ck_assert_int_eq(gateway_host_open(&host, NULL, NULL), 0);
    enqueue();
    visit_make(&visit, &host, "POST", AGAIN, JSON, "{\"id\":\"msg_t1\"}");
    ck_assert_int_eq(visit.status, 200);
    visit_make(&visit, &host, "GET", LIST, NULL, NULL);
    ck_assert_ptr_nonnull(strstr(visit.body, "\"tries\":2,"));
    gateway_host_close(&host);
}
END_TEST

START_TEST(failing_memory_is_answered) { /* _i: list, once more */
    bool has_failed = true;
    for (size_t fail_at = 1; has_failed; fail_at++) {
        failing_mem_t failing;
        failing_mem_init(&failing, 0);
        ck_assert_int_eq(gateway_host_open(&host, &failing.mem, NULL), 0);
        enqueue();
        failing.fail_at = failing.request_count + fail_at;
        if (_i == 0)
            visit_make(&visit, &host, "GET", LIST, NULL, NULL);
        else
            visit_make(&visit, &host, "POST", AGAIN, JSON, "{\"id\":\"msg_t1\"}");
        has_failed = failing.has_failed;
        ck_assert_msg(visit.status == 200 ||
                          (has_failed && (visit.status == 503 || visit.status == 0)),
                      "%zu: %d %s", fail_at, visit.status, visit.body);
        gateway_host_close(&host);
        ck_assert_uint_eq(failing.live_count, 0);
    }
}
END_TEST

static Suite *webhooks_suite(void) {
    Suite *suite = suite_create("gateway/webhooks");
    TCase *tcase = tcase_create("webhooks");
    tcase_add_loop_test(tcase, a_request_has_its_answer, 0,
                        (int)(sizeof(cases) / sizeof(cases[0])));
    tcase_add_test(tcase, once_more_is_one_more_try);
    tcase_add_loop_test(tcase, failing_memory_is_answered, 0, 2);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(webhooks_suite)
