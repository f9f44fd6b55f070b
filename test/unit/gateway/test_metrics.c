/* test_metrics.c: what is counted, and that all of it is valid Prometheus text. */
#include "gateway/metrics.h"

#include <regex.h>
#include <stdio.h>
#include <string.h>

#include "../../support/check_main.h"
#include "gateway/gateway.h"
#include "gateway/route.h"
#include "support/gateway_host.h"

#define JSON "Content-Type: application/json"

static visit_t visit;
static gateway_host_t host;

static const char *read_metrics(void) {
    visit_make(&visit, &host, "GET", "/metrics", NULL, NULL);
    ck_assert_int_eq(visit.status, 200);
    return visit.body;
}

static void ask(const char *prompt) {
    char body[256];
    (void)snprintf(body, sizeof(body), "{\"model\":\"test/one\",\"prompt\":\"%s\"}", prompt);
    visit_make(&visit, &host, "POST", "/api/v1/generate", JSON, body);
}

static void expect(const char *text, const char *line) {
    char whole[256];
    (void)snprintf(whole, sizeof(whole), "\n%s\n", line);
    ck_assert_msg(strstr(text, whole) != NULL, "no line \"%s\"", line);
}

START_TEST(requests_are_counted_by_route_and_class) {
    const char *text;
    ck_assert_int_eq(gateway_host_open(&host, NULL, NULL), 0);
    ask("a cat");
    ask("a dog");
    ask("fail ECONTENT");
    ask("fail EUPSTREAM");
    visit_make(&visit, &host, "POST", "/api/v1/imagine", JSON,
               "{\"model\":\"test/one\",\"prompt\":\"x\"}");
    visit_make(&visit, &host, "GET", "/api/health", NULL, NULL);
    visit_make(&visit, &host, "GET", "/api/v1/nothing", NULL, NULL);
    visit_make(&visit, &host, "GET", "/nothing", NULL, NULL);
    text = read_metrics();
    expect(text, "imagine_http_requests_total{route=\"generate\",status=\"2xx\"} 3");
    expect(text, "imagine_http_requests_total{route=\"generate\",status=\"4xx\"} 1");
    expect(text, "imagine_http_requests_total{route=\"generate\",status=\"5xx\"} 1");
    expect(text, "imagine_http_requests_total{route=\"health\",status=\"2xx\"} 1");
    expect(text, "imagine_http_requests_total{route=\"unknown\",status=\"4xx\"} 1");
    expect(text, "imagine_http_requests_total{route=\"static\",status=\"4xx\"} 1");
    expect(text, "imagine_requests_total{outcome=\"accepted\"} 5");
    expect(text, "imagine_requests_total{outcome=\"succeeded\"} 3");
    expect(text, "imagine_requests_total{outcome=\"failed\"} 2");
    expect(text, "imagine_calls_total 5");
    expect(text, "imagine_http_requests_in_flight 1"); /* the one that asks */
    expect(text, "imagine_requests_in_flight 0");
    gateway_host_close(&host);
}
END_TEST

START_TEST(durations_are_sums_of_buckets) {
    const char *text;
    ck_assert_int_eq(gateway_host_open(&host, NULL, NULL), 0);
    ask("a cat");
    ask("wait");
    ask("wait");
    text = read_metrics();
    expect(text, "imagine_http_request_duration_seconds_bucket{route=\"generate\",le=\"0.001\"} 1");
    expect(text, "imagine_http_request_duration_seconds_bucket{route=\"generate\",le=\"0.500\"} 1");
    expect(text, "imagine_http_request_duration_seconds_bucket{route=\"generate\",le=\"1.000\"} 3");
    expect(text, "imagine_http_request_duration_seconds_bucket{route=\"generate\",le=\"+Inf\"} 3");
    expect(text, "imagine_http_request_duration_seconds_sum{route=\"generate\"} 2.000");
    expect(text, "imagine_http_request_duration_seconds_count{route=\"generate\"} 3");
    gateway_host_close(&host);
}
END_TEST

START_TEST(a_caller_that_left_has_no_status) {
    const char *text;
    ck_assert_int_eq(gateway_host_open(&host, NULL, NULL), 0);
    memset(&visit, 0, sizeof(visit));
    ck_assert_int_eq(
        visit_begin(&visit, &host, "POST", "/api/v1/edit", JSON "\nContent-Length: 10"), 0);
    imagine_gateway_abort(visit.exchange);
    visit_release(&visit);
    text = read_metrics();
    expect(text, "imagine_http_requests_total{route=\"edit\",status=\"none\"} 1");
    ck_assert_ptr_null(strstr(text, "duration_seconds_count{route=\"edit\"}"));
    gateway_host_close(&host);
}
END_TEST

START_TEST(tokens_and_breakers_are_told_by_provider) {
    const char *text;
    ck_assert_int_eq(gateway_host_open(&host, NULL, "NEEDY_TOKENS=secret-one,secret-two"), 0);
    visit_make(&visit, &host, "POST", "/api/v1/generate", JSON,
               "{\"model\":\"needy/one\",\"prompt\":\"fail EQUOTA\"}");
    for (int i = 0; i < 5; i++)
        ask("fail EUPSTREAM");
    text = read_metrics();
    expect(text, "imagine_tokens{provider=\"needy\",state=\"exhausted\"} 2");
    expect(text, "imagine_tokens{provider=\"needy\",state=\"active\"} 0");
    expect(text, "imagine_tokens{provider=\"test\",state=\"active\"} 0");
    expect(text, "imagine_breaker_state{provider=\"test\"} 1");
    expect(text, "imagine_breaker_state{provider=\"needy\"} 0");
    expect(text, "imagine_calls_total 7");
    ck_assert_ptr_null(strstr(text, "secret"));
    gateway_host_close(&host);
}
END_TEST

/* The grammar of the text format; that each series stands behind the type of its name, and once. */
START_TEST(every_line_is_prometheus_text) {
    static const char grammar[] =
        "^(# (HELP|TYPE) [a-z_]+ .+|"
        "[a-z_]+(\\{[a-z]+=\"[^\"\\\\]*\"(,[a-z]+=\"[^\"\\\\]*\")*\\})? [0-9]+(\\.[0-9]+)?)$";
    regex_t regex;
    char *rest, *line, type[128] = "";
    ck_assert_int_eq(regcomp(&regex, grammar, REG_EXTENDED | REG_NOSUB), 0);
    ck_assert_int_eq(gateway_host_open(&host, NULL, "NEEDY_TOKENS=x"), 0);
    ask("a cat");
    ask("fail EUPSTREAM");
    (void)read_metrics();
    ck_assert_msg(visit.body_size > 0 && visit.body[visit.body_size - 1] == '\n', "no last feed");
    visit.body[visit.body_size - 1] = '\0';
    rest = visit.body;
    while ((line = strsep(&rest, "\n")) != NULL) {
        ck_assert_msg(regexec(&regex, line, 0, NULL, 0) == 0, "%s", line);
        if (strncmp(line, "# TYPE ", 7) == 0)
            (void)snprintf(type, sizeof(type), "%.*s", (int)strcspn(line + 7, " "), line + 7);
        else if (line[0] != '#')
            ck_assert_msg(strncmp(line, type, strlen(type)) == 0, "%s below %s", line, type);
        if (line[0] == '#' || rest == NULL)
            continue;
        char series[256];
        (void)snprintf(series, sizeof(series), "\n%.*s", (int)(strcspn(line, " ") + 1), line);
        ck_assert_msg(strstr(rest, series) == NULL, "twice: %s", series);
    }
    gateway_host_close(&host);
    regfree(&regex);
}
END_TEST

START_TEST(an_odd_status_is_counted_as_none) {
    imi_group_t *group = imi_group_new(NULL);
    ck_assert_ptr_nonnull(group);
    imi_metrics_t *metrics = imi_group_join(group);
    ck_assert_ptr_nonnull(metrics);
    imi_metrics_record(metrics, 0, 0, 5);
    imi_metrics_record(metrics, 0, 600, 5);
    imi_metrics_record(metrics, 0, 599, UINT64_MAX / 2);
    ck_assert_uint_eq(metrics->routes[0].by_class[0], 2);
    ck_assert_uint_eq(metrics->routes[0].by_class[5], 1);
    imi_group_leave(group);
    imi_group_leave(group);
}
END_TEST

/* Two gateways that are one server: the sum of both, whoever is asked; and what the other counted
 * stays when it has gone. */
START_TEST(gateways_that_joined_tell_their_sum) {
    gateway_host_t other;
    const char *text;
    ck_assert_int_eq(gateway_host_open(&host, NULL, NULL), 0);
    ck_assert_int_eq(gateway_host_open(&other, NULL, NULL), 0);
    ck_assert_int_eq(imagine_gateway_join(other.gateway, host.gateway), 0);
    ck_assert_int_eq(imagine_gateway_join(other.gateway, host.gateway), 0); /* harmless */
    ask("a cat");
    visit_make(&visit, &other, "POST", "/api/v1/generate", JSON,
               "{\"model\":\"test/one\",\"prompt\":\"a dog\"}");
    visit_make(&visit, &other, "POST", "/api/v1/generate", JSON,
               "{\"model\":\"test/one\",\"prompt\":\"fail EUPSTREAM\"}");
    imagine_gateway_publish(other.gateway);
    text = read_metrics();
    expect(text, "imagine_http_requests_total{route=\"generate\",status=\"2xx\"} 2");
    expect(text, "imagine_http_requests_total{route=\"generate\",status=\"5xx\"} 1");
    expect(text, "imagine_requests_total{outcome=\"succeeded\"} 2");
    expect(text, "imagine_requests_total{outcome=\"failed\"} 1");
    expect(text, "imagine_http_requests_in_flight 1");
    gateway_host_close(&other);
    text = read_metrics();
    expect(text, "imagine_http_requests_total{route=\"generate\",status=\"2xx\"} 2");
    expect(text, "imagine_http_requests_total{route=\"metrics\",status=\"2xx\"} 1");
    gateway_host_close(&host);
}
END_TEST

static Suite *metrics_suite(void) {
    Suite *suite = suite_create("gateway/metrics");
    TCase *tcase = tcase_create("metrics");
    tcase_add_test(tcase, requests_are_counted_by_route_and_class);
    tcase_add_test(tcase, durations_are_sums_of_buckets);
    tcase_add_test(tcase, a_caller_that_left_has_no_status);
    tcase_add_test(tcase, tokens_and_breakers_are_told_by_provider);
    tcase_add_test(tcase, every_line_is_prometheus_text);
    tcase_add_test(tcase, an_odd_status_is_counted_as_none);
    tcase_add_test(tcase, gateways_that_joined_tell_their_sum);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(metrics_suite)
