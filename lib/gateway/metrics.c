/* metrics.c: counting is a few additions per request; the text is made when somebody asks. Routes
 * that share a name (both spellings of generate) are one series. */
#include "gateway/metrics.h"

#include <inttypes.h>
#include <string.h>

#include "gateway/route.h"
#include "wire/json.h"
#include "wire/str.h"

#define PROVIDER_NAME_SIZE_MAX 64

/* Milliseconds: from what memory answers to what a video's creation takes. */
static const uint32_t bounds_ms[IMI_METRICS_BUCKET_COUNT] = {
    1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 120000};

static const char *const class_names[IMI_METRICS_CLASS_COUNT] = {"none", "1xx", "2xx",
                                                                 "3xx",  "4xx", "5xx"};

void imi_metrics_record(imi_metrics_t *metrics, size_t route_index, int32_t status,
                        uint64_t duration_ms) {
    imi_metrics_route_t *route = &metrics->routes[route_index];
    size_t bucket = 0;
    size_t class_index = status >= 100 && status < 600 ? (size_t)status / 100 : 0;
    route->by_class[class_index]++;
    if (class_index == 0)
        return;
    while (bucket < IMI_METRICS_BUCKET_COUNT && duration_ms > bounds_ms[bucket])
        bucket++;
    if (bucket < IMI_METRICS_BUCKET_COUNT)
        route->buckets[bucket]++;
    route->duration_sum_ms += duration_ms;
}

static void add_route(imi_metrics_route_t *sum, const imi_metrics_route_t *route) {
    for (size_t i = 0; i < IMI_METRICS_CLASS_COUNT; i++)
        sum->by_class[i] += route->by_class[i];
    for (size_t i = 0; i < IMI_METRICS_BUCKET_COUNT; i++)
        sum->buckets[i] += route->buckets[i];
    sum->duration_sum_ms += route->duration_sum_ms;
}

/* All routes of the name that the route at `index` has, or nothing when an earlier one has it. */
static imi_metrics_route_t sum_of(const imi_metrics_t *metrics, size_t index) {
    imi_metrics_route_t sum = {0};
    for (size_t i = 0; i < imi_route_count(); i++) {
        if (strcmp(imi_route_name(i), imi_route_name(index)) != 0)
            continue;
        if (i < index)
            break;
        add_route(&sum, &metrics->routes[i]);
    }
    return sum;
}

static void write_requests(const imi_metrics_t *metrics, imi_buf_t *out) {
    imi_buf_append_text(out, "# HELP imagine_http_requests_total Requests by route and class of "
                             "status; none: the caller left first.\n"
                             "# TYPE imagine_http_requests_total counter\n");
    for (size_t i = 0; i < imi_route_count(); i++) {
        imi_metrics_route_t sum = sum_of(metrics, i);
        for (size_t k = 0; k < IMI_METRICS_CLASS_COUNT; k++)
            if (sum.by_class[k] > 0)
                imi_buf_printf(
                    out, "imagine_http_requests_total{route=\"%s\",status=\"%s\"} %" PRIu64 "\n",
                    imi_route_name(i), class_names[k], sum.by_class[k]);
    }
}

static void write_durations(const imi_metrics_t *metrics, imi_buf_t *out) {
    static const char name[] = "imagine_http_request_duration_seconds";
    imi_buf_printf(out, "# HELP %s From the request's head to the answer's.\n# TYPE %s histogram\n",
                   name, name);
    for (size_t i = 0; i < imi_route_count(); i++) {
        imi_metrics_route_t sum = sum_of(metrics, i);
        uint64_t total = 0, below = 0;
        for (size_t k = 1; k < IMI_METRICS_CLASS_COUNT; k++)
            total += sum.by_class[k];
        for (size_t k = 0; total > 0 && k < IMI_METRICS_BUCKET_COUNT; k++) {
            below += sum.buckets[k];
            imi_buf_printf(
                out, "%s_bucket{route=\"%s\",le=\"%" PRIu32 ".%03" PRIu32 "\"} %" PRIu64 "\n", name,
                imi_route_name(i), bounds_ms[k] / 1000, bounds_ms[k] % 1000, below);
        }
        if (total > 0)
            imi_buf_printf(out,
                           "%s_bucket{route=\"%s\",le=\"+Inf\"} %" PRIu64 "\n"
                           "%s_sum{route=\"%s\"} %" PRIu64 ".%03" PRIu64 "\n"
                           "%s_count{route=\"%s\"} %" PRIu64 "\n",
                           name, imi_route_name(i), total, name, imi_route_name(i),
                           sum.duration_sum_ms / 1000, sum.duration_sum_ms % 1000, name,
                           imi_route_name(i), total);
    }
}

static void write_simple(imi_buf_t *out, const char *name, const char *type, const char *help,
                         uint64_t value) {
    imi_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64 "\n", name, help, name, type,
                   name, value);
}

static void write_client(imagine_t *im, imi_buf_t *out) {
    imagine_counters_t counters = {.size = sizeof(counters)};
    if (imagine_counters(im, &counters) != 0)
        return;
    imi_buf_printf(out,
                   "# HELP imagine_requests_total Requests to the library by what came of them.\n"
                   "# TYPE imagine_requests_total counter\n"
                   "imagine_requests_total{outcome=\"accepted\"} %" PRIu64 "\n"
                   "imagine_requests_total{outcome=\"succeeded\"} %" PRIu64 "\n"
                   "imagine_requests_total{outcome=\"failed\"} %" PRIu64 "\n"
                   "imagine_requests_total{outcome=\"canceled\"} %" PRIu64 "\n",
                   counters.accepted, counters.succeeded, counters.failed, counters.canceled);
    write_simple(out, "imagine_calls_total", "counter", "Attempts at providers.", counters.calls);
    write_simple(out, "imagine_rotations_total", "counter", "Attempts that led to another token.",
                 counters.rotations);
    write_simple(out, "imagine_retries_total", "counter", "Attempts that were repeated.",
                 counters.retries);
    write_simple(out, "imagine_requests_in_flight", "gauge", "Requests that have not ended.",
                 counters.in_flight);
    write_simple(out, "imagine_tasks", "gauge", "Tasks that are known.", counters.tasks);
}

/* Runs `write` for each provider's name. */
static void for_each_provider(imagine_t *im, imi_slice_t names, imi_buf_t *out,
                              void (*write)(imagine_t *im, const char *provider, imi_buf_t *out)) {
    imi_json_cursor_t cursor = imi_json_walk(names);
    imi_slice_t item;
    while (imi_json_next_item(&cursor, &item)) {
        char provider[PROVIDER_NAME_SIZE_MAX + 1];
        item = imi_json_plain_text(item);
        if (item.size == 0 || item.size > PROVIDER_NAME_SIZE_MAX)
            continue;
        memcpy(provider, item.data, item.size);
        provider[item.size] = '\0';
        write(im, provider, out);
    }
}

static void write_tokens(imagine_t *im, const char *provider, imi_buf_t *out) {
    imagine_token_stats_t stats = {.size = sizeof(stats)};
    if (imagine_token_stats(im, provider, &stats) != 0)
        return;
    const struct {
        const char *state;
        uint32_t count;
    } states[] = {{"active", stats.active},
                  {"exhausted", stats.exhausted},
                  {"cooling", stats.cooling},
                  {"invalid", stats.invalid}};
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
        imi_buf_printf(out, "imagine_tokens{provider=\"%s\",state=\"%s\"} %" PRIu32 "\n", provider,
                       states[i].state, states[i].count);
}

static void write_breaker(imagine_t *im, const char *provider, imi_buf_t *out) {
    int state = imagine_breaker_state(im, provider);
    if (state >= 0)
        imi_buf_printf(out, "imagine_breaker_state{provider=\"%s\"} %d\n", provider, state);
}

static void write_providers(imagine_t *im, imi_buf_t *out) {
    char *names = imagine_providers(im);
    imi_slice_t list = imi_slice_of(names);
    imi_buf_append_text(out, "# HELP imagine_tokens Tokens by provider and state.\n"
                             "# TYPE imagine_tokens gauge\n");
    for_each_provider(im, list, out, write_tokens);
    imi_buf_append_text(out, "# HELP imagine_breaker_state 0: closed, 1: open, 2: probing.\n"
                             "# TYPE imagine_breaker_state gauge\n");
    for_each_provider(im, list, out, write_breaker);
    imagine_free(names);
}

void imi_metrics_write(const imi_metrics_t *metrics, imagine_t *im, size_t in_flight,
                       imi_buf_t *out) {
    write_requests(metrics, out);
    write_durations(metrics, out);
    write_simple(out, "imagine_http_requests_in_flight", "gauge",
                 "Requests begun and not yet released.", in_flight);
    write_client(im, out);
    write_providers(im, out);
}
