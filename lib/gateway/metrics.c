/* metrics.c: counting is a few additions per request; the text is made when somebody asks. Routes
 * that share a name (both spellings of generate) are one series. Each number has one writer, so
 * that it needs neither a lock nor a locked addition. */
#include "gateway/metrics.h"

#include <inttypes.h>
#include <stdatomic.h>
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

/* A request is in three of these; numbers of two threads need not be of the same moment. */
static uint64_t read_metric(const imi_metric_t *metric) {
    return atomic_load_explicit(metric, memory_order_relaxed);
}

static void set_metric(imi_metric_t *metric, uint64_t value) {
    atomic_store_explicit(metric, value, memory_order_relaxed);
}

static void add_metric(imi_metric_t *metric, uint64_t amount) {
    set_metric(metric, read_metric(metric) + amount);
}

void imi_metrics_record(imi_metrics_t *metrics, size_t route_index, int32_t status,
                        uint64_t duration_ms) {
    imi_metrics_route_t *route = &metrics->routes[route_index];
    size_t bucket = 0;
    size_t class_index = status >= 100 && status < 600 ? (size_t)status / 100 : 0;
    add_metric(&route->by_class[class_index], 1);
    if (class_index == 0)
        return;
    while (bucket < IMI_METRICS_BUCKET_COUNT && duration_ms > bounds_ms[bucket])
        bucket++;
    if (bucket < IMI_METRICS_BUCKET_COUNT)
        add_metric(&route->buckets[bucket], 1);
    add_metric(&route->duration_sum_ms, duration_ms);
}

void imi_metrics_publish(imi_metrics_t *metrics, imagine_t *im, size_t in_flight) {
    imagine_counters_t counters = {.size = sizeof(counters)};
    set_metric(&metrics->exchanges, in_flight);
    if (imagine_counters(im, &counters) != 0)
        return;
    const uint64_t numbers[IMI_METRICS_CLIENT_COUNT] = {
        counters.accepted, counters.succeeded, counters.failed,
        counters.canceled, counters.calls,     counters.rotations,
        counters.retries,  counters.in_flight, counters.tasks};
    for (size_t i = 0; i < IMI_METRICS_CLIENT_COUNT; i++)
        set_metric(&metrics->client[i], numbers[i]);
}

static void add_route(imi_metrics_route_t *sum, const imi_metrics_route_t *route) {
    for (size_t i = 0; i < IMI_METRICS_CLASS_COUNT; i++)
        add_metric(&sum->by_class[i], read_metric(&route->by_class[i]));
    for (size_t i = 0; i < IMI_METRICS_BUCKET_COUNT; i++)
        add_metric(&sum->buckets[i], read_metric(&route->buckets[i]));
    add_metric(&sum->duration_sum_ms, read_metric(&route->duration_sum_ms));
}

/* All routes of the name that the route at `index` has, of all members, or nothing when an earlier
 * one has it. */
static void sum_up(imi_metrics_route_t *sum, const imi_metrics_t *members, size_t index) {
    memset(sum, 0, sizeof(*sum));
    for (size_t i = 0; i < imi_route_count(); i++) {
        if (strcmp(imi_route_name(i), imi_route_name(index)) != 0)
            continue;
        if (i < index)
            return;
        for (const imi_metrics_t *member = members; member != NULL; member = member->next)
            add_route(sum, &member->routes[i]);
    }
}

static void write_requests(const imi_metrics_t *members, imi_buf_t *out) {
    imi_metrics_route_t sum;
    imi_buf_append_text(out, "# HELP imagine_http_requests_total Requests by route and class of "
                             "status; none: the caller left first.\n"
                             "# TYPE imagine_http_requests_total counter\n");
    for (size_t i = 0; i < imi_route_count(); i++) {
        sum_up(&sum, members, i);
        for (size_t k = 0; k < IMI_METRICS_CLASS_COUNT; k++)
            if (read_metric(&sum.by_class[k]) > 0)
                imi_buf_printf(
                    out, "imagine_http_requests_total{route=\"%s\",status=\"%s\"} %" PRIu64 "\n",
                    imi_route_name(i), class_names[k], read_metric(&sum.by_class[k]));
    }
}

static void write_durations(const imi_metrics_t *members, imi_buf_t *out) {
    imi_metrics_route_t sum;
    static const char name[] = "imagine_http_request_duration_seconds";
    imi_buf_printf(out, "# HELP %s From the request's head to the answer's.\n# TYPE %s histogram\n",
                   name, name);
    for (size_t i = 0; i < imi_route_count(); i++) {
        sum_up(&sum, members, i);
        uint64_t total = 0, below = 0, sum_ms = read_metric(&sum.duration_sum_ms);
        for (size_t k = 1; k < IMI_METRICS_CLASS_COUNT; k++)
            total += read_metric(&sum.by_class[k]);
        for (size_t k = 0; total > 0 && k < IMI_METRICS_BUCKET_COUNT; k++) {
            below += read_metric(&sum.buckets[k]);
            imi_buf_printf(
                out, "%s_bucket{route=\"%s\",le=\"%" PRIu32 ".%03" PRIu32 "\"} %" PRIu64 "\n", name,
                imi_route_name(i), bounds_ms[k] / 1000, bounds_ms[k] % 1000, below);
        }
        if (total > 0)
            imi_buf_printf(out,
                           "%s_bucket{route=\"%s\",le=\"+Inf\"} %" PRIu64 "\n"
                           "%s_sum{route=\"%s\"} %" PRIu64 ".%03" PRIu64 "\n"
                           "%s_count{route=\"%s\"} %" PRIu64 "\n",
                           name, imi_route_name(i), total, name, imi_route_name(i), sum_ms / 1000,
                           sum_ms % 1000, name, imi_route_name(i), total);
    }
}

static void write_simple(imi_buf_t *out, const char *name, const char *type, const char *help,
                         uint64_t value) {
    imi_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64 "\n", name, help, name, type,
                   name, value);
}

static uint64_t sum_of_client(const imi_metrics_t *members, size_t index) {
    uint64_t sum = 0;
    for (; members != NULL; members = members->next)
        sum += read_metric(&members->client[index]);
    return sum;
}

/* In the order of imagine_counters_t. */
static void write_clients(const imi_metrics_t *members, imi_buf_t *out) {
    static const char *const outcomes[] = {"accepted", "succeeded", "failed", "canceled"};
    const size_t outcome_count = sizeof(outcomes) / sizeof(outcomes[0]);
    static const struct {
        const char *name, *type, *help;
    } rest[] = {
        {"imagine_calls_total", "counter", "Attempts at providers."},
        {"imagine_rotations_total", "counter", "Attempts that led to another token."},
        {"imagine_retries_total", "counter", "Attempts that were repeated."},
        {"imagine_requests_in_flight", "gauge", "Requests that have not ended."},
        {"imagine_tasks", "gauge", "Tasks that are known."},
    };
    imi_buf_append_text(out,
                        "# HELP imagine_requests_total Requests to the library by what came of "
                        "them.\n# TYPE imagine_requests_total counter\n");
    for (size_t i = 0; i < outcome_count; i++)
        imi_buf_printf(out, "imagine_requests_total{outcome=\"%s\"} %" PRIu64 "\n", outcomes[i],
                       sum_of_client(members, i));
    for (size_t i = 0; i < sizeof(rest) / sizeof(rest[0]); i++)
        write_simple(out, rest[i].name, rest[i].type, rest[i].help,
                     sum_of_client(members, outcome_count + i));
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

void imi_metrics_write(const imi_metrics_t *members, imagine_t *im, imi_buf_t *out) {
    uint64_t in_flight = 0;
    for (const imi_metrics_t *member = members; member != NULL; member = member->next)
        in_flight += read_metric(&member->exchanges);
    write_requests(members, out);
    write_durations(members, out);
    write_simple(out, "imagine_http_requests_in_flight", "gauge",
                 "Requests begun and not yet released.", in_flight);
    write_clients(members, out);
    write_providers(im, out);
}
