/* gateway.c: a gateway's own life: what the settings say, read once; and how it ends. */
#include "gateway/gateway.h"

#include "wire/buf.h"

static int read_settings(imagine_gateway_t *gateway, const imagine_settings_t *settings,
                         imi_buf_t *message);
static int open_files(imagine_gateway_t *gateway, const char *root, imi_buf_t *message);
static int open_tls(imagine_gateway_t *gateway, const imagine_settings_t *settings,
                    imi_buf_t *message);

int imagine_gateway_open(imagine_gateway_t **out, imagine_t *im, const imagine_settings_t *settings,
                         char **out_message) {
    return imi_gateway_open(out, NULL, im, settings, out_message);
}

static int join(imagine_gateway_t *gateway, imi_group_t *group) {
    imi_metrics_t *metrics = imi_group_join(group);
    if (metrics == NULL)
        return IMAGINE_ENOMEM;
    imi_group_leave(gateway->group);
    gateway->group = group;
    gateway->metrics = metrics;
    return 0;
}

static int set_up(imagine_gateway_t *gateway, const imagine_settings_t *settings,
                  imi_buf_t *message) {
    imagine_settings_t *defaults = NULL;
    int err = 0;
    imi_group_t *group = imi_group_new(gateway->mem);
    if (group == NULL)
        return IMAGINE_ENOMEM;
    err = join(gateway, group);
    imi_group_leave(group); /* the gateway has it now, if anybody */
    if (err != 0)
        return err;
    if (settings == NULL)
        err = imagine_settings_open(&defaults);
    if (err == 0)
        err = read_settings(gateway, settings != NULL ? settings : defaults, message);
    imagine_settings_close(defaults);
    return err;
}

int imi_gateway_open(imagine_gateway_t **out, const imi_mem_t *mem, imagine_t *im,
                     const imagine_settings_t *settings, char **out_message) {
    imagine_gateway_t *gateway = NULL;
    imi_buf_t message;
    uint64_t seed[2];
    int err;
    if (out_message != NULL)
        *out_message = NULL;
    *out = NULL;
    if (im == NULL)
        return IMAGINE_EINVAL;
    gateway = imi_mem_zalloc(mem, sizeof(*gateway));
    if (gateway == NULL)
        return IMAGINE_ENOMEM;
    gateway->mem = mem;
    gateway->im = im;
    gateway->io = imagine_io(im);
    imi_arena_init(&gateway->arena, mem, 0);
    imi_list_init(&gateway->awaited);
    gateway->files.mem = mem;
    err = gateway->io->random(gateway->io->context, seed, sizeof(seed));
    imi_limit_init(&gateway->limit, mem, im, seed, 0, 0);
    imi_buf_init(&message, NULL, 0); /* for imagine_free(), which knows no allocator */
    if (err == 0)
        err = set_up(gateway, settings, &message);
    if (err != 0) {
        imagine_gateway_close(gateway);
        if (out_message != NULL && message.size > 0)
            *out_message = imi_buf_take(&message, NULL);
        imi_buf_reset(&message);
        return err;
    }
    *out = gateway;
    return 0;
}

static uint32_t as_limit(int64_t value) {
    return value <= 0 ? 0 : value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

static int read_settings(imagine_gateway_t *gateway, const imagine_settings_t *settings,
                         imi_buf_t *message) {
    imi_arena_t *arena = &gateway->arena;
    const char *proxies = imagine_settings_get(settings, "TRUSTED_PROXIES");
    const char *root = imagine_settings_get(settings, "WEB_ROOT");
    int64_t body_size_max = imagine_settings_get_int(settings, "MAX_BODY_BYTES");
    const char *bad = NULL;
    int err = imi_auth_init(&gateway->auth, arena, imagine_settings_get(settings, "API_TOKEN"),
                            imagine_settings_get(settings, "ADMIN_TOKEN"));
    if (err == 0)
        err =
            imi_cors_init(&gateway->cors, arena, imagine_settings_get(settings, "ALLOWED_ORIGINS"));
    if (err != 0)
        return err;
    if (proxies != NULL && proxies[0] != '\0') {
        gateway->trusted_proxies = imi_hosts_parse(arena, proxies, &bad);
        if (gateway->trusted_proxies == NULL && bad == NULL)
            return IMAGINE_ENOMEM;
        if (gateway->trusted_proxies == NULL) {
            imi_buf_printf(message, "TRUSTED_PROXIES: no address or network: %.100s", bad);
            return IMAGINE_EINVAL;
        }
    }
    gateway->limit.limits[IMI_LIMIT_POST] =
        as_limit(imagine_settings_get_int(settings, "RATE_LIMIT"));
    gateway->limit.limits[IMI_LIMIT_STATUS] =
        as_limit(imagine_settings_get_int(settings, "RATE_LIMIT_STATUS"));
    gateway->work_max = as_limit(imagine_settings_get_int(settings, "MAX_IN_FLIGHT"));
    gateway->body_size_max = body_size_max > 0 ? (size_t)body_size_max : 0;
    err = open_tls(gateway, settings, message);
    return err == 0 && root != NULL && root[0] != '\0' ? open_files(gateway, root, message) : err;
}

static int open_tls(imagine_gateway_t *gateway, const imagine_settings_t *settings,
                    imi_buf_t *message) {
    const char *cert = imagine_settings_get(settings, "TLS_CERT");
    const char *key = imagine_settings_get(settings, "TLS_KEY");
    bool has_cert = cert != NULL && cert[0] != '\0';
    bool has_key = key != NULL && key[0] != '\0';
    const char *why = NULL;
    if (has_cert && has_key)
        why = imi_tls_identity_open(&gateway->tls, cert, key);
    else if (has_cert || has_key)
        why = has_cert ? "TLS_KEY: needed with TLS_CERT" : "TLS_CERT: needed with TLS_KEY";
    if (why != NULL)
        imi_buf_append_text(message, why);
    return why != NULL ? IMAGINE_EINVAL : 0;
}

static int open_files(imagine_gateway_t *gateway, const char *root, imi_buf_t *message) {
    const char *reason = NULL;
    int err = imi_static_open(&gateway->files, gateway->mem, root, &reason);
    if (err != 0 && reason != NULL)
        imi_buf_printf(message, "WEB_ROOT: %s: %.200s", reason, root);
    return err;
}

void imagine_gateway_close(imagine_gateway_t *gateway) {
    if (gateway == NULL)
        return;
    if (gateway->body_timer != NULL)
        gateway->io->timer_cancel(gateway->io->context, gateway->body_timer);
    imi_tls_identity_close(gateway->tls);
    imi_static_close(&gateway->files);
    imi_limit_reset(&gateway->limit);
    imi_auth_wipe(&gateway->auth);
    imi_arena_reset(&gateway->arena);
    imi_group_leave(gateway->group);
    imi_mem_free(gateway->mem, gateway);
}

int imagine_gateway_join(imagine_gateway_t *gateway, imagine_gateway_t *first) {
    return gateway->group == first->group ? 0 : join(gateway, first->group);
}

void imagine_gateway_publish(imagine_gateway_t *gateway) {
    imi_metrics_publish(gateway->metrics, gateway->im, gateway->in_flight);
}

void imagine_gateway_drain(imagine_gateway_t *gateway) {
    gateway->is_draining = true;
}

size_t imagine_gateway_in_flight(const imagine_gateway_t *gateway) {
    return gateway->in_flight;
}
