/* store_address.c: see store_address.h. Everything in an address but its own marks is
 * percent-encoded, so that no secret can break out of its place. */
#include "settings/store_address.h"

#include <string.h>

#include "wire/str.h"

static bool is_missing(const imagine_settings_t *settings, const char *name,
                       const char **out_name) {
    if (imagine_settings_get(settings, name) != NULL)
        return false;
    *out_name = name;
    return true;
}

/* "https://host/path" becomes "<driver>https://:<secret>@host/path". */
static void put_with_secret(imi_buf_t *out, const char *driver, const char *url,
                            const char *secret) {
    size_t scheme_size = (size_t)(strstr(url, "://") - url) + strlen("://");
    size_t size = strlen(url);
    while (size > scheme_size && url[size - 1] == '/')
        size--;
    imi_buf_append_text(out, driver);
    imi_buf_append(out, url, scheme_size);
    imi_buf_append_text(out, ":");
    imi_percent_encode(out, secret, false);
    imi_buf_append_text(out, "@");
    imi_buf_append(out, url + scheme_size, size - scheme_size);
}

static int put_cloudflare(imi_buf_t *out, const imagine_settings_t *settings,
                          const char **out_name) {
    if (is_missing(settings, "CF_KV_NAMESPACE_ID", out_name) ||
        is_missing(settings, "CF_API_TOKEN", out_name))
        return IMAGINE_EINVAL;
    put_with_secret(out, "cloudflare:", imagine_settings_get(settings, "CF_API_BASE"),
                    imagine_settings_get(settings, "CF_API_TOKEN"));
    imi_buf_append_text(out, "/accounts/");
    imi_percent_encode(out, imagine_settings_get(settings, "CF_ACCOUNT_ID"), false);
    imi_buf_append_text(out, "/storage/kv/namespaces/");
    imi_percent_encode(out, imagine_settings_get(settings, "CF_KV_NAMESPACE_ID"), false);
    return 0;
}

/* Half a storage: whoever forgot the other half shall not find out by losing what was shared. */
static bool is_half(const imagine_settings_t *settings, const char **out_name) {
    static const char *const halves[][2] = {{"KV_REST_API_TOKEN", "KV_REST_API_URL"},
                                            {"CF_KV_NAMESPACE_ID", "CF_ACCOUNT_ID"}};
    for (size_t i = 0; i < sizeof(halves) / sizeof(halves[0]); i++)
        if (imagine_settings_get(settings, halves[i][0]) != NULL &&
            is_missing(settings, halves[i][1], out_name))
            return true;
    return false;
}

int imi_store_address(imi_buf_t *out, const imagine_settings_t *settings, const char **out_name) {
    const char *upstash = imagine_settings_get(settings, "KV_REST_API_URL");
    const char *redis = imagine_settings_get(settings, "REDIS_URL");
    const char *path = imagine_settings_get(settings, "STATE_FILE");
    int err = 0;
    if (upstash != NULL) {
        *out_name = "KV_REST_API_URL";
        if (is_missing(settings, "KV_REST_API_TOKEN", out_name))
            return IMAGINE_EINVAL;
        put_with_secret(out, "upstash:", upstash,
                        imagine_settings_get(settings, "KV_REST_API_TOKEN"));
    } else if (redis != NULL) {
        *out_name = "REDIS_URL";
        imi_buf_append_text(out, redis);
    } else if (imagine_settings_get(settings, "CF_ACCOUNT_ID") != NULL) {
        *out_name = "CF_ACCOUNT_ID";
        err = put_cloudflare(out, settings, out_name);
    } else if (is_half(settings, out_name)) {
        err = IMAGINE_EINVAL;
    } else {
        *out_name = "STATE_FILE";
        if (path != NULL && path[0] != '\0' && strcmp(path, ":memory:") != 0)
            imi_buf_printf(out, "sqlite:%s", path);
    }
    return err != 0 ? err : out->error != 0 ? IMAGINE_ENOMEM : 0;
}
