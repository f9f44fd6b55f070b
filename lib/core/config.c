/* config.c: settings applied to a client. Reads the catalogue file at once: this is done before
 * work begins. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalogue/files.h"
#include "core/client.h"
#include "core/hosting.h"
#include "core/keyring.h"
#include "core/log.h"
#include "core/registry.h"
#include "core/secret.h"
#include "settings/settings.h"
#include "settings/state_file.h"
#include "settings/store_address.h"
#include "core/stray.h"
#include "core/webhook.h"
#include "imagine/storage.h"
#include "wire/json.h"

#define FILE_SIZE_MAX (16u * 1024 * 1024)

typedef struct config {
    imagine_t *im; /* of ims, the one that is being configured */
    imagine_t *const *ims;
    size_t count;
    const imagine_settings_t *settings;
    char *message; /* malloc'ed */
    int err;
} config_t;

static void say(config_t *config, int err, const char *name, const char *what) {
    size_t size = strlen(name) + strlen(what) + 3;
    config->err = err;
    if (config->message != NULL || (config->message = malloc(size)) == NULL)
        return;
    snprintf(config->message, size, "%s: %s", name, what);
}

/* Not strerror(): that would speak the locale's language. */
static const char *why_not_read(int number) {
    switch (number) {
    case ENOENT:
    case ENOTDIR:
        return "there is no such file";
    case EACCES:
    case EPERM:
        return "no permission to read it";
    case EISDIR:
        return "it is a folder";
    default:
        return "it cannot be read";
    }
}

/* Malloc'ed; NULL, with *out_why: it cannot be read. */
static char *read_file(const char *path, size_t *out_size, const char **out_why) {
    FILE *file = fopen(path, "rbe");
    imi_buf_t buf;
    char page[4096];
    size_t size;
    bool has_failed;
    imi_buf_init(&buf, NULL, FILE_SIZE_MAX);
    while (file != NULL && (size = fread(page, 1, sizeof(page), file)) > 0)
        imi_buf_append(&buf, page, size);
    has_failed = file == NULL || ferror(file) != 0 || buf.error != 0;
    *out_why = buf.error == IMI_BUF_TOO_LARGE ? "it is larger than 16 MiB"
               : buf.error != 0               ? "out of memory"
               : buf.size == 0 && !has_failed ? "it is empty"
                                              : why_not_read(errno);
    if (file != NULL)
        fclose(file);
    if (has_failed) {
        imi_buf_reset(&buf);
        return NULL;
    }
    return imi_buf_take(&buf, out_size);
}

/* A file that the catalogue names lies where the catalogue does, wherever the process stands. */
static char *read_beside(void *user, const char *name, size_t *out_size) {
    const config_t *config = user;
    const char *catalogue = imagine_settings_get(config->settings, "CATALOGUE");
    const char *slash = strrchr(catalogue, '/');
    size_t folder_size = slash != NULL && name[0] != '/' ? (size_t)(slash - catalogue) + 1 : 0;
    size_t path_size = folder_size + strlen(name) + 1;
    char *path = malloc(path_size), *data;
    const char *why;
    if (path == NULL)
        return NULL;
    snprintf(path, path_size, "%.*s%s", (int)folder_size, catalogue, name);
    data = read_file(path, out_size, &why);
    free(path);
    return data;
}

static void lay_over(config_t *config, imi_slice_t document) {
    char *message = NULL;
    int err = imagine_set_catalogue(config->im, document.data, document.size, &message);
    if (err != 0)
        say(config, err, "CATALOGUE", message != NULL ? message : imagine_strerror(err));
    imagine_free(message);
}

static void apply_catalogue(config_t *config) {
    const char *path = imagine_settings_get(config->settings, "CATALOGUE");
    const char *message = NULL, *why;
    imi_slice_t document = {NULL, 0};
    imi_arena_t arena;
    imi_buf_t whole;
    char *data;
    int err;
    if (path == NULL || path[0] == '\0')
        return;
    imi_arena_init(&arena, NULL, 0);
    data = read_file(path, &document.size, &why);
    if (data == NULL) {
        message = imi_arena_printf(&arena, "%s: %s", path, why);
        say(config, IMAGINE_EIO, "CATALOGUE", message != NULL ? message : why);
        imi_arena_reset(&arena);
        return;
    }
    document.data = data;
    imi_buf_init(&whole, NULL, FILE_SIZE_MAX);
    err = imi_catalogue_files(document, read_beside, config, &whole, &arena, &message);
    if (err == 0)
        lay_over(config, (imi_slice_t){whole.data, whole.size});
    else
        say(config, err, "CATALOGUE", message != NULL ? message : imagine_strerror(err));
    imi_buf_reset(&whole);
    imi_arena_reset(&arena);
    free(data);
}

/* Settings that are catalogue data: a document of their own, laid over. */
static void apply_overlay(config_t *config) {
    const char *chat_base = imagine_settings_get(config->settings, "POLLINATIONS_API_BASE");
    const char *upload = imagine_settings_get(config->settings, "ALLOW_SPACE_UPLOAD");
    bool may_upload = upload != NULL && strcmp(upload, "1") == 0;
    imi_json_writer_t writer;
    imi_buf_t buf;
    int err;
    if ((chat_base == NULL || chat_base[0] == '\0') && !may_upload)
        return;
    imi_buf_init(&buf, NULL, 0);
    imi_json_begin(&writer, &buf);
    imi_json_open_object(&writer, NULL);
    if (may_upload) {
        imi_json_open_object(&writer, "defaults");
        imi_json_put_bool(&writer, "allow_space_upload", true);
        imi_json_close_object(&writer);
    }
    if (chat_base != NULL && chat_base[0] != '\0') {
        imi_json_open_object(&writer, "providers");
        imi_json_open_object(&writer, "huggingface");
        imi_json_put_text(&writer, "chat_base", chat_base);
        imi_json_close_object(&writer);
        imi_json_close_object(&writer);
    }
    imi_json_close_object(&writer);
    err = buf.error != 0 ? IMAGINE_ENOMEM
                         : imagine_set_catalogue(config->im, buf.data, buf.size, NULL);
    if (err != 0)
        say(config, err, "POLLINATIONS_API_BASE", imagine_strerror(err));
    imi_buf_reset(&buf);
}

static int providers_step(void *user) {
    config_t *config = user;
    imagine_t *im = config->im;
    if (im == config->ims[0])
        imi_stray_tell(im, config->settings);
    for (size_t i = 0; i < im->provider_count && config->err == 0; i++) {
        const char *provider = im->providers[i]->name, *value;
        char name[IMI_PROVIDER_SETTING_SIZE];
        int err = 0;
        imi_provider_setting(name, provider, "TOKENS");
        value = imagine_settings_get(config->settings, name);
        if (value != NULL)
            err = imagine_set_tokens(im, provider, value);
        if (err != 0)
            say(config, err, name, "not a comma-separated list of tokens");
        imi_provider_setting(name, provider, "API_BASE");
        value = imagine_settings_get(config->settings, name);
        if (err == 0 && value != NULL && value[0] != '\0') {
            err = imagine_set_api_base(im, provider, value);
            if (err != 0)
                say(config, err, name, "not an http or https address");
        }
    }
    return 1;
}

static uint32_t number(const config_t *config, const char *name) {
    return (uint32_t)imagine_settings_get_int(config->settings, name);
}

/* Connections are the io's, and of a host's own table we know only the functions. */
static void apply_trust(config_t *config) {
    const char *file = imagine_settings_get(config->settings, "CA_FILE");
    int err = IMAGINE_ENOTSUP;
    if (file == NULL || file[0] == '\0')
        return;
    if (config->im->own_io == NULL) {
        say(config, err, "CA_FILE", "the host's own io decides whom to trust");
        return;
    }
#ifndef IMAGINE_WITHOUT_LIBUV
    err = imagine_io_uv_trust(config->im->own_io, file);
#endif
    if (err != 0)
        say(config, err, "CA_FILE",
            err == IMAGINE_EINVAL ? "no PEM file of certificates" : imagine_strerror(err));
}

/* Without a key of its own, what callers have to know is secret as well: the first of them. */
static const char *sealing_keys(config_t *config, char **out_first) {
    const char *keys = imagine_settings_get(config->settings, "ENCRYPTION_KEY");
    const char *tokens = imagine_settings_get(config->settings, "API_TOKEN");
    if (keys != NULL || tokens == NULL)
        return keys;
    *out_first = strndup(tokens, strcspn(tokens, ","));
    if (*out_first == NULL)
        say(config, IMAGINE_ENOMEM, "API_TOKEN", "out of memory");
    return *out_first;
}

static int limits_step(void *user) {
    static const char *const secrets[] = {"API_TOKEN",           "ADMIN_TOKEN",  "ENCRYPTION_KEY",
                                          "KV_REST_API_TOKEN",   "CF_API_TOKEN", "REDIS_URL",
                                          "S3_SECRET_ACCESS_KEY"};
    config_t *config = user;
    imagine_t *im = config->im;
    const char *sample = imagine_settings_get(config->settings, "SAMPLE_PROVIDER");
    const char *bad = NULL;
    char *first = NULL;
    int err;
    im->limits = (imi_limits_t){.text_ms = number(config, "TIMEOUT_TEXT_MS"),
                                .image_ms = number(config, "TIMEOUT_IMAGE_MS"),
                                .download_ms = number(config, "TIMEOUT_DOWNLOAD_MS"),
                                .status_ms = number(config, "TIMEOUT_STATUS_MS"),
                                .webhook_ms = number(config, "TIMEOUT_WEBHOOK_MS"),
                                .poll_interval_ms = number(config, "POLL_INTERVAL_MS")};
    if (sample != NULL)
        im->sample_mode = strcmp(sample, "on") == 0    ? IMI_SAMPLE_ON
                          : strcmp(sample, "off") == 0 ? IMI_SAMPLE_OFF
                                                       : IMI_SAMPLE_AUTO;
    for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
        const char *value = imagine_settings_get(config->settings, secrets[i]);
        if (value != NULL && imi_secrets_add(im, value) != 0)
            say(config, IMAGINE_ENOMEM, secrets[i], "out of memory");
    }
    apply_trust(config);
    err = imi_webhooks_set_secret(im, imagine_settings_get(config->settings, "WEBHOOK_SECRET"));
    if (err != 0)
        say(config, err, "WEBHOOK_SECRET", imagine_strerror(err));
    err = imi_keyring_set(im, sealing_keys(config, &first));
    if (err != 0)
        say(config, err, "ENCRYPTION_KEY",
            err == IMAGINE_EINVAL ? "at most eight keys" : "out of memory");
    if (first != NULL)
        imi_mem_wipe(first, strlen(first));
    free(first);
    err = imi_client_allow_hosts(im, imagine_settings_get(config->settings, "ALLOW_PRIVATE_HOSTS"),
                                 &bad);
    if (err != 0)
        say(config, err, "ALLOW_PRIVATE_HOSTS", bad != NULL ? bad : imagine_strerror(err));
    return 1;
}

static int hosting_step(void *user) {
    config_t *config = user;
    const imagine_settings_t *settings = config->settings;
    imi_hosting_settings_t hosting = {
        .s3 = {.endpoint = imagine_settings_get(settings, "S3_ENDPOINT"),
               .region = imagine_settings_get(settings, "S3_REGION"),
               .access_key_id = imagine_settings_get(settings, "S3_ACCESS_KEY_ID"),
               .secret = imagine_settings_get(settings, "S3_SECRET_ACCESS_KEY"),
               .bucket = imagine_settings_get(settings, "S3_BUCKET_NAME"),
               .cdn_url = imagine_settings_get(settings, "S3_CDN_URL")},
        .media_dir = imagine_settings_get(settings, "MEDIA_DIR"),
        .public_url = imagine_settings_get(settings, "PUBLIC_URL")};
    int err = imi_hosting_configure(config->im, &hosting);
    if (err == IMAGINE_EINVAL)
        say(config, err, "S3_ENDPOINT",
            "S3_BUCKET_NAME, S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY are needed with it");
    else if (err == IMAGINE_EIO)
        say(config, err, "MEDIA_DIR", "this folder cannot be made or written");
    else if (err != 0)
        say(config, err, hosting.s3.endpoint != NULL ? "S3_ENDPOINT" : "MEDIA_DIR",
            imagine_strerror(err));
    return 1;
}

/* One that somebody asked for has to work; without it nothing but memory between restarts is lost.
 */
static bool is_usable(config_t *config, const char *path) {
    const char *problem = imi_state_file_problem(path);
    char what[640];
    if (problem == NULL)
        return true;
    snprintf(what, sizeof(what), "%.500s: %s", path, problem);
    if (imi_settings_is_set(config->settings, "STATE_FILE"))
        say(config, IMAGINE_EIO, "STATE_FILE", what);
    else
        imi_log(config->im, IMAGINE_LOG_ERROR,
                "storage.unusable reason=\"%s; nothing is kept across restarts: see STATE_FILE\"",
                what);
    return false;
}

/* One handle for each client: `storages[0]` is the storage itself until here. What comes in no
 * atomic steps is not known everywhere at once, and clients that are asked in turn have to agree on
 * every task. */
static int share_storage(const config_t *config, imagine_storage_t **storages) {
    imagine_storage_t *storage = storages[0];
#ifndef IMAGINE_WITHOUT_LIBUV
    const char *ca_file = imagine_settings_get(config->settings, "CA_FILE");
    imagine_io_uv_options_t options = {
        .size = sizeof(options), .log = config->ims[0]->log, .log_user = config->ims[0]->log_user};
    void *self;
    if ((imagine_storage_driver(storage, &self)->flags & IMAGINE_STORAGE_IS_ATOMIC) != 0) {
        options.ca_file = ca_file != NULL && ca_file[0] != '\0' ? ca_file : NULL;
        return imagine_storage_share(storages, config->count, storage, &options);
    }
#endif
    (void)config;
    storages[0] = NULL;
    imagine_storage_close(storage, NULL, NULL);
    return IMAGINE_ENOTSUP;
}

/* What is not handed over after an error is closed. */
static int open_storage(config_t *config, const char *address, char **message) {
    imagine_storage_t **storages = calloc(config->count, sizeof(*storages));
    int err =
        storages == NULL ? IMAGINE_ENOMEM : imagine_storage_open(&storages[0], address, message);
    if (err == 0 && config->count > 1)
        err = share_storage(config, storages);
    for (size_t i = 0; storages != NULL && i < config->count; i++) {
        if (err == 0)
            err = imagine_set_storage(config->ims[i], storages[i]);
        else
            imagine_storage_close(storages[i], NULL, NULL);
    }
    free(storages);
    return err;
}

static const char *why_no_storage(const config_t *config, int err) {
    return err == IMAGINE_ENOTSUP && config->count > 1
               ? "several clients cannot share this storage: set WORKERS to 1"
               : imagine_strerror(err);
}

static void apply_storage(config_t *config) {
    const char *name = NULL;
    char *message = NULL;
    imi_buf_t address;
    int err;
    imi_buf_init(&address, NULL, 0);
    err = imi_store_address(&address, config->settings, &name);
    if (err != 0) {
        say(config, err, name, err == IMAGINE_EINVAL ? "is missing" : "out of memory");
    } else if (address.size > 0 && strcmp(name, "STATE_FILE") == 0 &&
               !is_usable(config, strchr(address.data, ':') + 1)) {
        imi_buf_clear(&address);
    }
    if (config->err == 0 && address.size == 0 && config->count > 1)
        imi_buf_append_text(&address, "memory:");
    if (config->err == 0 && address.size > 0) {
        err = address.error != 0 ? IMAGINE_ENOMEM : open_storage(config, address.data, &message);
        if (err != 0)
            say(config, err, name, message != NULL ? message : why_no_storage(config, err));
    }
    if (address.data != NULL)
        imi_mem_wipe(address.data, address.size);
    imi_buf_reset(&address);
    imagine_free(message);
}

static int configure_one(config_t *config) {
    int err = imi_run(config->im, limits_step, config);
    if (err != 0)
        return err;
    if (config->err == 0)
        apply_catalogue(config);
    if (config->err == 0)
        apply_overlay(config);
    if (config->err == 0)
        imi_run(config->im, providers_step, config);
    if (config->err == 0)
        imi_run(config->im, hosting_step, config);
    return config->err;
}

int imagine_configure_all(imagine_t *const *ims, size_t count, const imagine_settings_t *settings,
                          char **out_message) {
    config_t config = {.ims = ims, .count = count, .settings = settings};
    int err = 0;
    if (out_message != NULL)
        *out_message = NULL;
    if (ims == NULL || count == 0 || count > IMAGINE_STORAGE_SHARES_MAX || settings == NULL)
        return IMAGINE_EINVAL;
    for (size_t i = 0; i < count; i++)
        if (ims[i] == NULL)
            return IMAGINE_EINVAL;
    for (size_t i = 0; i < count && err == 0; i++) {
        config.im = ims[i];
        err = configure_one(&config);
    }
    if (err == 0) {
        config.im = ims[0];
        apply_storage(&config);
        err = config.err;
    }
    if (out_message != NULL)
        *out_message = config.message;
    else
        free(config.message);
    return err;
}

int imagine_configure(imagine_t *im, const imagine_settings_t *settings, char **out_message) {
    return imagine_configure_all(&im, 1, settings, out_message);
}

int imagine_configure_env(imagine_t *im) {
    imagine_settings_t *settings = NULL;
    int err = imagine_settings_open(&settings);
    if (err == 0)
        err = imagine_settings_read_env(settings);
    if (err == 0)
        err = imagine_settings_read_file(settings, NULL);
    if (err == 0)
        err = imagine_configure(im, settings, NULL);
    imagine_settings_close(settings);
    return err;
}
