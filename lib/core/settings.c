/* settings.c: one table says everything about a setting: its name, what it may be, its default, and
 * what it is for. Reading, checking, --help and --check all walk it. Values are checked when they
 * are set, so that whoever reads them later can trust them. */
#include "core/settings.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/arena.h"
#include "wire/buf.h"
#include "wire/list.h"
#include "wire/sha256.h"
#include "wire/str.h"
#include "wire/url.h"
#include "wire/urlcheck.h"

#define FILE_SIZE_MAX (1024u * 1024)
#define VALUE_SIZE_MAX (1024u * 1024) /* ten thousand tokens fit */
#define NAME_SIZE_MAX 64
#define MINUTES_MS (60 * 1000)

extern char **environ;

/* In the order in which --help shows them. */
static const imi_setting_t table[] = {
    {"PORT", IMI_SETTING_NUMBER, "3000", 0, 65535, NULL, "port to listen on; 0: any free one", 0},
    {"HOST", IMI_SETTING_TEXT, NULL, 0, 0, NULL,
     "address to listen on (127.0.0.1 without API_TOKEN and ADMIN_TOKEN, else all)", 0},
    {"WORKERS", IMI_SETTING_NUMBER, "1", 1, 1, NULL, "loops in one process; this version has one",
     0},
    {"TLS_CERT", IMI_SETTING_TEXT, NULL, 0, 0, NULL, "PEM file: serve HTTPS, together with TLS_KEY",
     0},
    {"TLS_KEY", IMI_SETTING_TEXT, NULL, 0, 0, NULL, "PEM file with the key of TLS_CERT", 0},
    {"API_TOKEN", IMI_SETTING_SECRETS, NULL, 0, 0, NULL,
     "comma list; callers send one as Authorization: Bearer", 0},
    {"ADMIN_TOKEN", IMI_SETTING_SECRETS, NULL, 0, 0, NULL,
     "comma list for the admin routes; without it API_TOKEN", 0},
    {"ALLOWED_ORIGINS", IMI_SETTING_TEXT, "*", 0, 0, NULL, "comma list for browsers (CORS)", 0},
    {"RATE_LIMIT", IMI_SETTING_NUMBER, "60", 0, 1000000000, NULL,
     "requests a minute and caller; 0: off", 0},
    {"RATE_LIMIT_STATUS", IMI_SETTING_NUMBER, "120", 0, 1000000000, NULL,
     "status reads a minute and caller; 0: off", 0},
    {"TRUSTED_PROXIES", IMI_SETTING_HOSTS, NULL, 0, 0, NULL,
     "whose X-Forwarded-For counts: addresses, networks, loopback", 0},
    {"MAX_BODY_BYTES", IMI_SETTING_NUMBER, "67108864", 1024, INT64_C(4294967296), NULL,
     "a request's body", 0},
    {"MAX_CONNECTIONS", IMI_SETTING_NUMBER, "16384", 1, 1000000, NULL, "open connections", 0},
    {"MAX_IN_FLIGHT", IMI_SETTING_NUMBER, "0", 0, 1000000, NULL,
     "requests under way at once, else 503; 0: no limit", 0},
    {"WEB_ROOT", IMI_SETTING_TEXT, NULL, 0, 0, NULL, "folder of files to serve", 0},
    {"DRAIN_SECONDS", IMI_SETTING_NUMBER, "30", 0, 86400, NULL,
     "how long SIGTERM waits for running requests", 0},
    {"LOG_FORMAT", IMI_SETTING_CHOICE, "text", 0, 0, "text|json", "log lines on stderr", 0},
    {"LOG_LEVEL", IMI_SETTING_CHOICE, "info", 0, 0, "error|warn|info|debug|trace",
     "the most detailed level wanted", 0},
    {"SAMPLE_PROVIDER", IMI_SETTING_CHOICE, "auto", 0, 0, "auto|on|off",
     "pictures drawn locally; auto: while no provider has a token", 0},
    {"CATALOGUE", IMI_SETTING_TEXT, NULL, 0, 0, NULL,
     "JSON file over the built-in catalogue of models and providers", 0},
    {"POLLINATIONS_API_BASE", IMI_SETTING_URL, NULL, 0, 0, NULL,
     "another base address for huggingface's text models", 0},
    {"ALLOW_SPACE_UPLOAD", IMI_SETTING_CHOICE, "0", 0, 0, "0|1",
     "1: a picture may be uploaded to a public Space to get an address", 0},
    {"ALLOW_PRIVATE_HOSTS", IMI_SETTING_HOSTS, NULL, 0, 0, NULL,
     "names and addresses that are not public and may be fetched from; *: all", 0},
    {"STATE_FILE", IMI_SETTING_TEXT, NULL, 0, 0, NULL,
     "what is remembered across restarts; :memory: for nothing "
     "($STATE_DIRECTORY/imagine.db, else $XDG_STATE_HOME/imagine/imagine.db)",
     0},
    {"ENCRYPTION_KEY", IMI_SETTING_SECRET, NULL, 0, 0, NULL,
     "for secrets at rest; this version keeps none", IMI_LATER},
    {"TIMEOUT_TEXT_MS", IMI_SETTING_NUMBER, "30000", 1, 60 * MINUTES_MS, NULL,
     "text, and creating a task", 0},
    {"TIMEOUT_IMAGE_MS", IMI_SETTING_NUMBER, "120000", 1, 60 * MINUTES_MS, NULL, "a picture", 0},
    {"TIMEOUT_DOWNLOAD_MS", IMI_SETTING_NUMBER, "60000", 1, 60 * MINUTES_MS, NULL,
     "fetching a picture or video", 0},
    {"TIMEOUT_STATUS_MS", IMI_SETTING_NUMBER, "15000", 1, 60 * MINUTES_MS, NULL,
     "one look at a task", 0},
    {"TIMEOUT_WEBHOOK_MS", IMI_SETTING_NUMBER, "10000", 1, 60 * MINUTES_MS, NULL,
     "one delivery of a webhook", IMI_LATER},
    {"POLL_INTERVAL_MS", IMI_SETTING_NUMBER, "5000", 1, 10 * MINUTES_MS, NULL,
     "the longest pause between two looks at a task", 0},
    {"CA_FILE", IMI_SETTING_TEXT, NULL, 0, 0, NULL, "PEM bundle to trust instead of the system's",
     0},
    {"WEBHOOK_SECRET", IMI_SETTING_SECRET, NULL, 0, 0, NULL, "signs webhooks", IMI_LATER},
    {"MEDIA_DIR", IMI_SETTING_TEXT, NULL, 0, 0, NULL, "keeps results on disk", IMI_LATER},
    {"S3_ENDPOINT", IMI_SETTING_URL, NULL, 0, 0, NULL, "hosting of results", IMI_LATER},
    {"S3_REGION", IMI_SETTING_TEXT, NULL, 0, 0, NULL, "hosting of results", IMI_LATER},
    {"S3_ACCESS_KEY_ID", IMI_SETTING_SECRET, NULL, 0, 0, NULL, "hosting of results", IMI_LATER},
    {"S3_SECRET_ACCESS_KEY", IMI_SETTING_SECRET, NULL, 0, 0, NULL, "hosting of results", IMI_LATER},
    {"S3_BUCKET_NAME", IMI_SETTING_TEXT, NULL, 0, 0, NULL, "hosting of results", IMI_LATER},
    {"S3_CDN_URL", IMI_SETTING_URL, NULL, 0, 0, NULL, "hosting of results", IMI_LATER},
    {"REDIS_URL", IMI_SETTING_SECRET, NULL, 0, 0, NULL, "shared state", IMI_REFUSED},
    {"KV_REST_API_URL", IMI_SETTING_URL, NULL, 0, 0, NULL, "shared state", IMI_REFUSED},
    {"KV_REST_API_TOKEN", IMI_SETTING_SECRET, NULL, 0, 0, NULL, "shared state", IMI_REFUSED},
    {"CF_ACCOUNT_ID", IMI_SETTING_TEXT, NULL, 0, 0, NULL, "shared state", IMI_REFUSED},
    {"CF_API_TOKEN", IMI_SETTING_SECRET, NULL, 0, 0, NULL, "shared state", IMI_REFUSED},
    {"CF_KV_NAMESPACE_ID", IMI_SETTING_TEXT, NULL, 0, 0, NULL, "shared state", IMI_REFUSED},
};
#define TABLE_COUNT (sizeof(table) / sizeof(table[0]))

/* What any provider has, by the end of the name. */
static const imi_setting_t patterns[] = {
    {"_TOKENS", IMI_SETTING_SECRETS, NULL, 0, 0, NULL,
     "comma list; token@group: tokens of one account, which share its quota", 0},
    {"_API_BASE", IMI_SETTING_URL, NULL, 0, 0, NULL, "another base address for that provider", 0},
};
#define PATTERN_COUNT (sizeof(patterns) / sizeof(patterns[0]))

typedef struct value {
    imi_list_t link;
    char *name;
    char *text;
    const imi_setting_t *setting; /* NULL: nobody knows it */
} value_t;

struct imagine_settings {
    imi_list_t values;
    char message[256];
    char *state_file;                          /* the default, worked out */
    char *state_directory, *state_home, *home; /* as the environment has them */
};

static int set(imagine_settings_t *settings, const char *name, imi_slice_t text, bool is_kept);

/* ---- life -------------------------------------------------------------------------------------
 */

int imagine_settings_open(imagine_settings_t **out) {
    if (out == NULL)
        return IMAGINE_EINVAL;
    *out = imi_mem_zalloc(NULL, sizeof(**out));
    if (*out == NULL)
        return IMAGINE_ENOMEM;
    imi_list_init(&(*out)->values);
    return 0;
}

static void drop(value_t *value) {
    imi_list_remove(&value->link);
    if (value->text != NULL)
        imi_mem_wipe(value->text, strlen(value->text));
    imi_mem_free(NULL, value->text);
    imi_mem_free(NULL, value->name);
    imi_mem_free(NULL, value);
}

void imagine_settings_close(imagine_settings_t *settings) {
    if (settings == NULL)
        return;
    while (!imi_list_is_empty(&settings->values))
        drop(IMI_CONTAINER(settings->values.next, value_t, link));
    imi_mem_free(NULL, settings->state_file);
    imi_mem_free(NULL, settings->state_directory);
    imi_mem_free(NULL, settings->state_home);
    imi_mem_free(NULL, settings->home);
    imi_mem_free(NULL, settings);
}

const char *imagine_settings_message(const imagine_settings_t *settings) {
    return settings->message;
}

/* ---- checking ---------------------------------------------------------------------------------
 */

static bool ends_with(const char *text, const char *end) {
    size_t size = strlen(text), end_size = strlen(end);
    return size > end_size && strcmp(text + size - end_size, end) == 0;
}

static const imi_setting_t *find_setting(const char *name) {
    for (size_t i = 0; i < TABLE_COUNT; i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    for (size_t i = 0; i < PATTERN_COUNT; i++)
        if (ends_with(name, patterns[i].name))
            return &patterns[i];
    return NULL;
}

static int refuse(imagine_settings_t *settings, const char *name, const char *rule) {
    snprintf(settings->message, sizeof(settings->message), "%s %s", name, rule);
    return IMAGINE_EINVAL;
}

static int refuse_number(imagine_settings_t *settings, const imi_setting_t *setting) {
    char rule[96];
    if (setting->min == setting->max)
        snprintf(rule, sizeof(rule), "must be %" PRId64 " in this version", setting->min);
    else
        snprintf(rule, sizeof(rule), "must be a whole number from %" PRId64 " to %" PRId64,
                 setting->min, setting->max);
    return refuse(settings, setting->name, rule);
}

static bool is_choice(const char *choices, imi_slice_t text) {
    imi_slice_t rest = imi_slice_of(choices), choice;
    while (imi_slice_split(&rest, '|', &choice))
        if (choice.size == text.size && memcmp(choice.data, text.data, text.size) == 0)
            return true;
    return false;
}

static int check_hosts(imagine_settings_t *settings, const char *name, imi_slice_t text) {
    imi_arena_t arena;
    const char *bad = NULL, *list;
    int err = 0;
    imi_arena_init(&arena, NULL, 0);
    list = imi_arena_strndup(&arena, text.data, text.size);
    if (list == NULL)
        err = IMAGINE_ENOMEM;
    else if (imi_hosts_parse(&arena, list, &bad) == NULL)
        err = bad == NULL ? IMAGINE_ENOMEM
                          : refuse(settings, name,
                                   "must be a comma list of host names, addresses or networks");
    imi_arena_reset(&arena);
    return err;
}

/* Tokens go into headers: visible ASCII, no blanks inside. */
static bool are_secrets(imi_slice_t list) {
    imi_slice_t item;
    while (imi_slice_split(&list, ',', &item)) {
        item = imi_slice_trim(item);
        for (size_t i = 0; i < item.size; i++)
            if (item.data[i] <= ' ' || item.data[i] > '~')
                return false;
    }
    return true;
}

static int check(imagine_settings_t *settings, const imi_setting_t *setting, const char *name,
                 imi_slice_t text) {
    imi_url_t url;
    int64_t number;
    if (setting->support == IMI_REFUSED)
        return refuse(settings, name, "is not supported by this version: unset it");
    switch (setting->kind) {
    case IMI_SETTING_NUMBER:
        if (!imi_parse_int64(text, &number) || number < setting->min || number > setting->max)
            return refuse_number(settings, setting);
        return 0;
    case IMI_SETTING_CHOICE:
        if (!is_choice(setting->choices, text)) {
            char rule[96];
            snprintf(rule, sizeof(rule), "must be one of %s", setting->choices);
            return refuse(settings, name, rule);
        }
        return 0;
    case IMI_SETTING_URL:
        if (!imi_url_parse(text, &url) || url.has_userinfo || url.query.data != NULL)
            return refuse(settings, name, "must be an http or https address");
        return 0;
    case IMI_SETTING_HOSTS:
        return check_hosts(settings, name, text);
    case IMI_SETTING_SECRETS:
        if (!are_secrets(text))
            return refuse(settings, name,
                          "must be a comma list of visible ASCII texts without blanks inside");
        return 0;
    case IMI_SETTING_SECRET:
    case IMI_SETTING_TEXT:
        return 0;
    }
    return 0;
}

/* ---- setting ----------------------------------------------------------------------------------
 */

static value_t *find_value(const imagine_settings_t *settings, const char *name) {
    for (imi_list_t *node = settings->values.next; node != &settings->values; node = node->next) {
        value_t *value = IMI_CONTAINER(node, value_t, link);
        if (strcmp(value->name, name) == 0)
            return value;
    }
    return NULL;
}

/* is_kept: a value that is there already wins. An empty value is as good as none. */
static int set(imagine_settings_t *settings, const char *name, imi_slice_t text, bool is_kept) {
    const imi_setting_t *setting = find_setting(name);
    value_t *value = find_value(settings, name);
    int err;
    if (value != NULL && is_kept)
        return 0;
    text = imi_slice_trim(text);
    if (text.size > VALUE_SIZE_MAX || strlen(name) > NAME_SIZE_MAX)
        return refuse(settings, "a setting", "is longer than 1 MiB, or its name than 64 bytes");
    if (setting != NULL && text.size > 0) {
        err = check(settings, setting, name, text);
        if (err != 0)
            return err;
    }
    if (value != NULL)
        drop(value);
    if (text.size == 0)
        return 0;
    value = imi_mem_zalloc(NULL, sizeof(*value));
    if (value == NULL)
        return IMAGINE_ENOMEM;
    imi_list_append(&settings->values, &value->link);
    value->setting = setting;
    value->name = imi_mem_strdup(NULL, name);
    value->text = imi_mem_strndup(NULL, text.data, text.size);
    if (value->name != NULL && value->text != NULL)
        return 0;
    drop(value);
    return IMAGINE_ENOMEM;
}

int imagine_settings_set(imagine_settings_t *settings, const char *name, const char *value) {
    if (settings == NULL || name == NULL)
        return IMAGINE_EINVAL;
    settings->message[0] = '\0';
    return set(settings, name, value != NULL ? imi_slice_of(value) : IMI_SLICE(""), false);
}

/* The folders that the default of STATE_FILE depends on; "" stands for unset. */
static int read_folders(imagine_settings_t *settings) {
    const struct {
        const char *name;
        char **out;
    } folders[] = {{"STATE_DIRECTORY", &settings->state_directory},
                   {"XDG_STATE_HOME", &settings->state_home},
                   {"HOME", &settings->home}};
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        const char *text = getenv(folders[i].name);
        imi_mem_free(NULL, *folders[i].out);
        *folders[i].out = imi_mem_strdup(NULL, text != NULL ? text : "");
        if (*folders[i].out == NULL)
            return IMAGINE_ENOMEM;
    }
    imi_mem_free(NULL, settings->state_file);
    settings->state_file = NULL;
    return 0;
}

int imagine_settings_read_env(imagine_settings_t *settings) {
    int err = settings == NULL ? IMAGINE_EINVAL : read_folders(settings);
    if (err != 0)
        return err;
    settings->message[0] = '\0';
    for (char **entry = environ; entry != NULL && *entry != NULL && err == 0; entry++) {
        const char *equals = strchr(*entry, '=');
        char name[NAME_SIZE_MAX + 1];
        size_t size = equals != NULL ? (size_t)(equals - *entry) : 0;
        if (size == 0 || size > NAME_SIZE_MAX)
            continue;
        memcpy(name, *entry, size);
        name[size] = '\0';
        if (find_setting(name) != NULL)
            err = set(settings, name, imi_slice_of(equals + 1), true);
    }
    return err;
}

/* ---- files ------------------------------------------------------------------------------------
 */

/* 'single': as it is. "double": with \n \r \t \" \\ \$. Without quotes: up to " #", trimmed. */
static bool unquote(imi_slice_t raw, imi_buf_t *out) {
    char quote = raw.size > 0 && (raw.data[0] == '"' || raw.data[0] == '\'') ? raw.data[0] : '\0';
    for (size_t i = quote != '\0'; i < raw.size; i++) {
        char c = raw.data[i];
        if (quote != '\0' && c == quote) {
            imi_slice_t rest = imi_slice_trim((imi_slice_t){raw.data + i + 1, raw.size - i - 1});
            return rest.size == 0 || rest.data[0] == '#';
        }
        if (quote == '\0' && c == '#' &&
            (i == 0 || raw.data[i - 1] == ' ' || raw.data[i - 1] == '\t'))
            return true;
        if (quote == '"' && c == '\\' && i + 1 < raw.size) {
            c = raw.data[++i];
            c = c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : c;
        }
        imi_buf_append_byte(out, c);
    }
    return quote == '\0';
}

static int refuse_line(imagine_settings_t *settings, const char *path, size_t line) {
    snprintf(settings->message, sizeof(settings->message), "%.150s: line %zu is not NAME=value",
             path, line);
    return IMAGINE_EINVAL;
}

static int read_line(imagine_settings_t *settings, const char *path, size_t number,
                     imi_slice_t line) {
    char name[NAME_SIZE_MAX + 1];
    const char *equals;
    imi_slice_t left;
    imi_buf_t value;
    int err = 0;
    line = imi_slice_trim(line);
    if (line.size == 0 || line.data[0] == '#')
        return 0;
    if (line.size > 7 && memcmp(line.data, "export", 6) == 0 &&
        (line.data[6] == ' ' || line.data[6] == '\t'))
        line = imi_slice_trim((imi_slice_t){line.data + 7, line.size - 7});
    equals = memchr(line.data, '=', line.size);
    if (equals == NULL)
        return refuse_line(settings, path, number);
    left = imi_slice_trim((imi_slice_t){line.data, (size_t)(equals - line.data)});
    if (left.size == 0 || left.size > NAME_SIZE_MAX)
        return refuse_line(settings, path, number);
    memcpy(name, left.data, left.size);
    name[left.size] = '\0';
    imi_buf_init(&value, NULL, 0);
    line = imi_slice_trim((imi_slice_t){equals + 1, line.size - (size_t)(equals + 1 - line.data)});
    if (!unquote(line, &value))
        err = refuse_line(settings, path, number);
    else if (value.error != 0)
        err = IMAGINE_ENOMEM;
    else
        err = set(settings, name, (imi_slice_t){value.data != NULL ? value.data : "", value.size},
                  true);
    if (value.data != NULL)
        imi_mem_wipe(value.data, value.size);
    imi_buf_reset(&value);
    return err;
}

static int read_whole(imagine_settings_t *settings, const char *path, imi_buf_t *out) {
    FILE *file = fopen(path, "rb");
    char page[4096];
    size_t size;
    bool has_failed;
    if (file == NULL)
        return IMAGINE_ENOTFOUND;
    while ((size = fread(page, 1, sizeof(page), file)) > 0)
        imi_buf_append(out, page, size);
    has_failed = ferror(file) != 0;
    fclose(file);
    imi_mem_wipe(page, sizeof(page));
    if (!has_failed && out->error == 0)
        return 0;
    snprintf(settings->message, sizeof(settings->message), "%.150s: %s", path,
             out->error == IMI_BUF_TOO_LARGE ? "larger than 1 MiB" : "cannot be read");
    return out->error == IMI_BUF_NOMEM ? IMAGINE_ENOMEM : IMAGINE_EIO;
}

int imagine_settings_read_file(imagine_settings_t *settings, const char *path) {
    static const char mark[] = "\xef\xbb\xbf"; /* that some editors put in front of UTF-8 */
    imi_slice_t rest, line;
    imi_buf_t text;
    size_t number = 0;
    int err;
    if (settings == NULL || path == NULL)
        return IMAGINE_EINVAL;
    settings->message[0] = '\0';
    imi_buf_init(&text, NULL, FILE_SIZE_MAX);
    err = read_whole(settings, path, &text);
    rest = (imi_slice_t){text.data, text.size};
    if (rest.size >= 3 && memcmp(rest.data, mark, 3) == 0)
        rest = (imi_slice_t){rest.data + 3, rest.size - 3};
    while (err == 0 && imi_slice_split(&rest, '\n', &line))
        err = read_line(settings, path, ++number, line);
    if (text.data != NULL)
        imi_mem_wipe(text.data, text.size);
    imi_buf_reset(&text);
    return err;
}

/* ---- asking -----------------------------------------------------------------------------------
 */

static bool is_set(const char *text) {
    return text != NULL && text[0] != '\0';
}

/* Worked out once; the folders are those of the environment when it was read. */
static const char *default_state_file(const imagine_settings_t *settings) {
    imagine_settings_t *own = (imagine_settings_t *)(uintptr_t)settings; /* a cache */
    imi_buf_t path;
    if (own->state_file != NULL)
        return own->state_file;
    imi_buf_init(&path, NULL, 0);
    if (is_set(own->state_directory)) /* systemd may name several: the first */
        imi_buf_printf(&path, "%.*s/imagine.db", (int)strcspn(own->state_directory, ":"),
                       own->state_directory);
    else if (is_set(own->state_home))
        imi_buf_printf(&path, "%s/imagine/imagine.db", own->state_home);
    else if (is_set(own->home))
        imi_buf_printf(&path, "%s/.local/state/imagine/imagine.db", own->home);
    else
        imi_buf_append_text(&path, ":memory:");
    own->state_file = imi_buf_take(&path, NULL);
    return own->state_file;
}

const char *imagine_settings_get(const imagine_settings_t *settings, const char *name) {
    const value_t *value;
    const imi_setting_t *setting;
    if (settings == NULL || name == NULL)
        return NULL;
    value = find_value(settings, name);
    if (value != NULL)
        return value->text;
    if (strcmp(name, "HOST") == 0) /* an open API is for this machine only */
        return find_value(settings, "API_TOKEN") == NULL &&
                       find_value(settings, "ADMIN_TOKEN") == NULL
                   ? "127.0.0.1"
                   : "0.0.0.0";
    if (strcmp(name, "STATE_FILE") == 0)
        return default_state_file(settings);
    setting = find_setting(name);
    return setting != NULL ? setting->otherwise : NULL;
}

int64_t imagine_settings_get_int(const imagine_settings_t *settings, const char *name) {
    const char *text = imagine_settings_get(settings, name);
    int64_t number;
    return text != NULL && imi_parse_int64(imi_slice_of(text), &number) ? number : 0;
}

static void describe_secrets(imi_buf_t *out, const char *list) {
    imi_slice_t rest = imi_slice_of(list), item;
    imi_buf_t prints;
    size_t count = 0;
    imi_buf_init(&prints, NULL, 0);
    while (imi_slice_split(&rest, ',', &item)) {
        char fingerprint[IMI_FINGERPRINT_SIZE + 1], *text;
        item = imi_slice_trim(item);
        for (size_t i = item.size; i-- > 1;)
            if (item.data[i] == '@') {
                item.size = i;
                break;
            }
        if (item.size == 0 || (text = imi_mem_strndup(NULL, item.data, item.size)) == NULL)
            continue;
        imi_fingerprint(fingerprint, text);
        imi_mem_wipe(text, item.size);
        imi_mem_free(NULL, text);
        if (++count <= 8)
            imi_buf_printf(&prints, "%s%s", count > 1 ? ", " : "", fingerprint);
    }
    imi_buf_printf(out, "%zu secret%s (%s%s)", count, count == 1 ? "" : "s",
                   prints.data != NULL ? prints.data : "", count > 8 ? ", ..." : "");
    imi_buf_reset(&prints);
}

char *imagine_settings_describe(const imagine_settings_t *settings) {
    imi_buf_t out;
    imi_buf_init(&out, NULL, 0);
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        const char *text = imagine_settings_get(settings, table[i].name);
        if (text == NULL || find_value(settings, table[i].name) != NULL)
            continue;
        imi_buf_printf(&out, "%s = %s (default)\n", table[i].name, text);
    }
    for (imi_list_t *node = settings->values.next; node != &settings->values; node = node->next) {
        const value_t *value = IMI_CONTAINER(node, value_t, link);
        imi_buf_printf(&out, "%s = ", value->name);
        if (value->setting != NULL && value->setting->kind != IMI_SETTING_SECRET &&
            value->setting->kind != IMI_SETTING_SECRETS)
            imi_buf_append_text(&out, value->text);
        else if (value->setting != NULL)
            describe_secrets(&out, value->text);
        else
            imi_buf_append_text(&out, "(unknown setting, ignored)");
        if (value->setting != NULL && value->setting->support == IMI_LATER)
            imi_buf_append_text(&out, " (not supported yet, without effect)");
        imi_buf_append_byte(&out, '\n');
    }
    return imi_buf_take(&out, NULL);
}

const char *imagine_settings_help(void) {
    /* Written once, by whoever asks first: the same bytes every time, so a race is harmless only
     * with a lock; --help is asked for by one thread, before anything else runs. */
    static char help[8192];
    size_t size = 0;
    if (help[0] != '\0')
        return help;
    for (size_t i = 0; i < PATTERN_COUNT && size < sizeof(help); i++)
        size += (size_t)snprintf(help + size, sizeof(help) - size, "  <PROVIDER>%s\n      %s\n",
                                 patterns[i].name, patterns[i].help);
    for (size_t i = 0; i < TABLE_COUNT && size < sizeof(help); i++) {
        const imi_setting_t *row = &table[i];
        if (row->support != IMI_SUPPORTED)
            continue;
        size += (size_t)snprintf(
            help + size, sizeof(help) - size, "  %s%s%s%s%s%s\n      %s\n", row->name,
            row->otherwise != NULL ? " (" : "", row->otherwise != NULL ? row->otherwise : "",
            row->otherwise != NULL ? ")" : "", row->choices != NULL ? ": " : "",
            row->choices != NULL ? row->choices : "", row->help);
    }
    return help;
}
