/* settings.c: see settings.h. Values are checked when they are set, so that whoever reads them
 * later can trust them; the first source that has a setting wins, and of one file's lines the last
 * one, as in a shell. No value stands in a message: it may be a secret that went into the wrong
 * line. */
#include "settings/settings.h"

#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "settings/dotenv.h"
#include "settings/token_list.h"
#include "wire/arena.h"
#include "wire/buf.h"
#include "wire/list.h"
#include "wire/sha256.h"
#include "wire/str.h"
#include "wire/url.h"
#include "wire/urlcheck.h"

#define FILE_SIZE_MAX (1024u * 1024)
#define VALUE_SIZE_MAX (1024u * 1024) /* twenty thousand tokens fit */
#define NAME_SIZE_MAX IMI_DOTENV_NAME_SIZE_MAX
#define VALUES_MAX 1024 /* a file of more is no file of settings */
#define FINGERPRINTS_SHOWN_MAX 3
#define MINUTES_MS (60 * 1000)

extern char **environ; /* POSIX has it declared nowhere */

/* In the order in which --help shows them. DEFAULT has one, PLAIN has none. */
#define SETTINGS(DEFAULT, PLAIN)                                                                  \
    DEFAULT("PORT", NUMBER, "3000", 0, 65535, NULL, "port to listen on; 0: any free one")         \
    PLAIN("HOST", HOST,                                                                           \
          "address to listen on; 127.0.0.1 without API_TOKEN and ADMIN_TOKEN, else all")          \
    DEFAULT("WORKERS", NUMBER, "1", 0, 64, NULL, "threads that serve; 0: one for each core")      \
    PLAIN("TLS_CERT", TEXT, "PEM file: serve HTTPS, together with TLS_KEY")                       \
    PLAIN("TLS_KEY", TEXT, "PEM file: the key of TLS_CERT")                                       \
    PLAIN("API_TOKEN", SECRETS, "comma list; callers send one as Authorization: Bearer")          \
    PLAIN("ADMIN_TOKEN", SECRETS, "comma list for the admin routes; without it API_TOKEN")        \
    DEFAULT("ALLOWED_ORIGINS", ORIGINS, "*", 0, 0, NULL,                                          \
            "comma list of sites whose pages may call (CORS)")                                    \
    DEFAULT("RATE_LIMIT", NUMBER, "60", 0, 1000000000, NULL,                                      \
            "requests a minute and caller; 0: no limit")                                          \
    DEFAULT("RATE_LIMIT_STATUS", NUMBER, "120", 0, 1000000000, NULL,                              \
            "task-status reads a minute and caller; 0: no limit")                                 \
    PLAIN("TRUSTED_PROXIES", PROXIES,                                                             \
          "whose X-Forwarded-For counts: addresses, networks, \"loopback\"")                      \
    DEFAULT("MAX_BODY_BYTES", NUMBER, "67108864", 1024, INT64_C(4294967296), NULL,                \
            "size of a request's body")                                                           \
    DEFAULT("MAX_CONNECTIONS", NUMBER, "16384", 1, 1000000, NULL, "open connections")             \
    DEFAULT("MAX_IN_FLIGHT", NUMBER, "0", 0, 1000000, NULL,                                       \
            "requests under way at once, else 503; 0: no limit")                                  \
    PLAIN("WEB_ROOT", TEXT, "folder with the page to serve")                                      \
    DEFAULT("DRAIN_SECONDS", NUMBER, "30", 0, 86400, NULL,                                        \
            "how long a stop waits for requests under way")                                       \
    DEFAULT("LOG_FORMAT", CHOICE, "text", 0, 0, "text|json", "text or json lines on stderr")      \
    DEFAULT("LOG_LEVEL", CHOICE, "info", 0, 0, "error|warn|info|debug|trace",                     \
            "error, warn, info, debug or trace: the most detailed that is logged")                \
    DEFAULT("SAMPLE_PROVIDER", CHOICE, "auto", 0, 0, "auto|on|off",                               \
            "pictures drawn locally: on, off, or auto, while no provider has a token")            \
    PLAIN("CATALOGUE", TEXT, "JSON file over the built-in catalogue of providers and models")     \
    PLAIN("POLLINATIONS_API_BASE", URL, "base address for huggingface's text models")             \
    DEFAULT("ALLOW_SPACE_UPLOAD", CHOICE, "0", 0, 0, "0|1",                                       \
            "1: pictures to edit may be uploaded to a stranger's public Space")                   \
    PLAIN("ALLOW_PRIVATE_HOSTS", HOSTS,                                                           \
          "hosts that callers' addresses may lead to although they are not public; *: all")       \
    PLAIN(                                                                                        \
        "STATE_FILE", TEXT,                                                                       \
        "what is remembered across restarts, \":memory:\" for nothing; without it imagine.db in " \
        "the\n      state directory of systemd, of XDG, or ~/.local/state/imagine")               \
    PLAIN(                                                                                        \
        "ENCRYPTION_KEY", SECRET,                                                                 \
        "seals tokens that a task has to remember; the newest first, older ones behind a comma; " \
        "without\n      it the first API_TOKEN")                                                  \
    PLAIN("KV_REST_API_URL", URL, "Upstash Redis that keeps state, with KV_REST_API_TOKEN")       \
    PLAIN("KV_REST_API_TOKEN", SECRET, "its token")                                               \
    PLAIN("REDIS_URL", SECRET,                                                                    \
          "Redis server that keeps state: redis://user:password@host:port/db")                    \
    PLAIN("CF_ACCOUNT_ID", TEXT, "Cloudflare Workers KV that keeps state, with the two below")    \
    PLAIN("CF_KV_NAMESPACE_ID", TEXT, "its namespace")                                            \
    PLAIN("CF_API_TOKEN", SECRET, "a token that may write there")                                 \
    DEFAULT("CF_API_BASE", URL, "https://api.cloudflare.com/client/v4", 0, 0, NULL,               \
            "Cloudflare's API")                                                                   \
    DEFAULT("TIMEOUT_TEXT_MS", NUMBER, "30000", 1, 60 * MINUTES_MS, NULL,                         \
            "one text, or starting a task")                                                       \
    DEFAULT("TIMEOUT_IMAGE_MS", NUMBER, "120000", 1, 60 * MINUTES_MS, NULL, "one picture")        \
    DEFAULT("TIMEOUT_DOWNLOAD_MS", NUMBER, "60000", 1, 60 * MINUTES_MS, NULL,                     \
            "fetching one picture or video")                                                      \
    DEFAULT("TIMEOUT_STATUS_MS", NUMBER, "15000", 1, 60 * MINUTES_MS, NULL, "one look at a task") \
    DEFAULT("POLL_INTERVAL_MS", NUMBER, "5000", 1, 10 * MINUTES_MS, NULL,                         \
            "the longest pause between two looks at a task")                                      \
    PLAIN("CA_FILE", TEXT, "PEM bundle to trust instead of the system's")                         \
    DEFAULT("TIMEOUT_WEBHOOK_MS", NUMBER, "10000", 1, 60 * MINUTES_MS, NULL,                      \
            "one try to deliver a webhook")                                                       \
    PLAIN("WEBHOOK_SECRET", SECRET,                                                               \
          "signs webhooks; whsec_<base64>, as standardwebhooks.com has it, or any text")          \
    PLAIN("S3_ENDPOINT", URL, "S3-compatible server that keeps results, with the settings below") \
    PLAIN("S3_BUCKET_NAME", TEXT, "its bucket; results are objects below uploads/")               \
    PLAIN("S3_ACCESS_KEY_ID", SECRET, "who we are there")                                         \
    PLAIN("S3_SECRET_ACCESS_KEY", SECRET, "and the proof")                                        \
    DEFAULT("S3_REGION", TEXT, "auto", 0, 0, NULL, "region that requests are signed for")         \
    PLAIN("S3_CDN_URL", URL,                                                                      \
          "address in front of the bucket's objects; without it links are signed, for 24 hours")  \
    PLAIN("MEDIA_DIR", TEXT,                                                                      \
          "without S3: folder that keeps results for 24 hours, served under /media/")             \
    PLAIN("PUBLIC_URL", URL, "this server as its callers see it, in front of /media/ in results") \
    PLAIN("IMAGINE_SERVER", URL, "the imagine command: ask this server instead of the providers") \
    PLAIN("IMAGINE_API_TOKEN", SECRET, "the imagine command: what it sends to that server")

#define DEFAULT_ROW(name, kind, otherwise, min, max, choices, help) \
    {name, IMI_SETTING_##kind, otherwise, min, max, choices},
#define PLAIN_ROW(name, kind, help) {name, IMI_SETTING_##kind, NULL, 0, 0, NULL},
#define DEFAULT_HELP(name, kind, otherwise, min, max, choices, help) \
    "  " name " (" otherwise ")\n      " help "\n"
#define PLAIN_HELP(name, kind, help) "  " name "\n      " help "\n"

static const imi_setting_t table[] = {SETTINGS(DEFAULT_ROW, PLAIN_ROW)};
#define TABLE_COUNT (sizeof(table) / sizeof(table[0]))

/* What any provider has, by the end of the name. */
static const imi_setting_t patterns[] = {
    {"_TOKENS", IMI_SETTING_TOKENS, NULL, 0, 0, NULL},
    {"_API_BASE", IMI_SETTING_URL, NULL, 0, 0, NULL},
};
#define PATTERN_COUNT (sizeof(patterns) / sizeof(patterns[0]))

static const char help[] =
    "  <PROVIDER>_TOKENS\n      comma list: GITEE_TOKENS, HUGGINGFACE_TOKENS, MODELSCOPE_TOKENS, "
    "A4F_TOKENS,\n      "
    "MODELSLAB_TOKENS, GEMINI_TOKENS, GROK_TOKENS, OPENAI_TOKENS; token@group for tokens of\n      "
    "one "
    "account, which share its quota\n"
    "  <PROVIDER>_API_BASE\n      base address of a provider, instead of the catalogue's\n" //
    SETTINGS(DEFAULT_HELP, PLAIN_HELP);

typedef struct value {
    imi_list_t link;
    const imi_setting_t *setting; /* NULL: nobody knows it */
    char *name;
    char *text;
    char *source;   /* "" when a program set it */
    size_t reading; /* the file of this number had it, or something in front of that file */
} value_t;

struct imagine_settings {
    const imi_mem_t *mem;
    imi_list_t values;
    size_t value_count;
    size_t reading_count; /* files */
    char message[512];
    char *state_file; /* the default, as the environment has it; NULL: nothing is kept */
};

/* ---- life -------------------------------------------------------------------------------------
 */

int imi_settings_open(imagine_settings_t **out, const imi_mem_t *mem) {
    *out = imi_mem_zalloc(mem, sizeof(**out));
    if (*out == NULL)
        return IMAGINE_ENOMEM;
    (*out)->mem = mem;
    imi_list_init(&(*out)->values);
    return 0;
}

int imagine_settings_open(imagine_settings_t **out) {
    return out == NULL ? IMAGINE_EINVAL : imi_settings_open(out, NULL);
}

static void value_free(imagine_settings_t *settings, value_t *value) {
    imi_list_remove(&value->link);
    if (value->text != NULL)
        imi_mem_wipe(value->text, strlen(value->text));
    imi_mem_free(settings->mem, value->text);
    imi_mem_free(settings->mem, value->name);
    imi_mem_free(settings->mem, value->source);
    imi_mem_free(settings->mem, value);
    settings->value_count--;
}

void imagine_settings_close(imagine_settings_t *settings) {
    if (settings == NULL)
        return;
    while (!imi_list_is_empty(&settings->values))
        value_free(settings, IMI_CONTAINER(settings->values.next, value_t, link));
    imi_mem_free(settings->mem, settings->state_file);
    imi_mem_free(settings->mem, settings);
}

const char *imagine_settings_message(const imagine_settings_t *settings) {
    return settings != NULL ? settings->message : "";
}

/* ---- checking ---------------------------------------------------------------------------------
 */

const imi_setting_t *imi_setting_at(size_t index) {
    if (index < TABLE_COUNT)
        return &table[index];
    return index - TABLE_COUNT < PATTERN_COUNT ? &patterns[index - TABLE_COUNT] : NULL;
}

static bool ends_with(const char *text, const char *end) {
    size_t size = strlen(text), end_size = strlen(end);
    return size > end_size && strcmp(text + size - end_size, end) == 0;
}

static const imi_setting_t *find_setting(const char *name) {
    for (size_t i = 0; i < TABLE_COUNT; i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    for (size_t i = 0; i < PATTERN_COUNT; i++)
        if (ends_with(name, patterns[i].name) && strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                                              "0123456789_") == strlen(name))
            return &patterns[i];
    return NULL;
}

static int refuse(imagine_settings_t *settings, const char *name, const char *what) {
    snprintf(settings->message, sizeof(settings->message), "%s: %s", name, what);
    return IMAGINE_EINVAL;
}

static int check_number(imagine_settings_t *settings, const imi_setting_t *setting,
                        const char *name, imi_slice_t text) {
    char what[96];
    int64_t number = 0;
    if (imi_parse_int64(text, &number) && number >= setting->min && number <= setting->max)
        return 0;
    if (setting->min == setting->max)
        snprintf(what, sizeof(what), "only %" PRId64 " is supported yet", setting->min);
    else
        snprintf(what, sizeof(what), "a whole number from %" PRId64 " to %" PRId64 " expected",
                 setting->min, setting->max);
    return refuse(settings, name, what);
}

static int check_choice(imagine_settings_t *settings, const imi_setting_t *setting,
                        const char *name, imi_slice_t text) {
    imi_slice_t rest = imi_slice_of(setting->choices), choice;
    char what[96] = "one of";
    while (imi_slice_split(&rest, '|', &choice)) {
        size_t size = strlen(what);
        if (choice.size == text.size && memcmp(choice.data, text.data, text.size) == 0)
            return 0;
        snprintf(what + size, sizeof(what) - size, "%s %.*s", size > 6 ? "," : "", (int)choice.size,
                 choice.data);
    }
    snprintf(what + strlen(what), sizeof(what) - strlen(what), " expected");
    return refuse(settings, name, what);
}

static int check_hosts(imagine_settings_t *settings, const char *name, imi_slice_t text) {
    imi_arena_t arena;
    const char *bad = NULL, *list = NULL;
    int err = 0;
    imi_arena_init(&arena, settings->mem, 0);
    list = imi_arena_strndup(&arena, text.data, text.size);
    if (list == NULL)
        err = IMAGINE_ENOMEM;
    else if (imi_hosts_parse(&arena, list, &bad) == NULL)
        err = bad == NULL ? IMAGINE_ENOMEM
                          : refuse(settings, name,
                                   "a comma list of host names, addresses and networks expected");
    imi_arena_reset(&arena);
    return err;
}

static int check_proxies(imagine_settings_t *settings, const char *name, imi_slice_t text) {
    imi_slice_t rest = text, item;
    while (imi_slice_split(&rest, ',', &item)) {
        item = imi_slice_trim(item);
        if (!imi_slice_equals(item, "loopback") &&
            (imi_host_is_name(item) || (item.size > 1 && item.data[0] == '*')))
            return refuse(settings, name,
                          "a comma list of addresses, networks and the word loopback expected");
    }
    return check_hosts(settings, name, text);
}

/* A list that holds nothing would open what it was meant to lock. */
static bool are_secrets(imi_slice_t list) {
    imi_slice_t item;
    size_t count = 0;
    while (imi_slice_split(&list, ',', &item)) {
        item = imi_slice_trim(item);
        for (size_t i = 0; i < item.size; i++)
            if (item.data[i] <= ' ' || item.data[i] > '~')
                return false;
        count += item.size > 0;
    }
    return count > 0;
}

static int check_tokens(imagine_settings_t *settings, const char *name, imi_slice_t text) {
    imi_token_list_t list;
    char *copy = imi_mem_strndup(settings->mem, text.data, text.size);
    int err = IMAGINE_ENOMEM;
    if (copy == NULL)
        return err;
    err = imi_token_list_read(&list, settings->mem, copy);
    imi_token_list_reset(&list);
    imi_mem_wipe(copy, text.size);
    imi_mem_free(settings->mem, copy);
    return err != IMAGINE_EINVAL
               ? err
               : refuse(settings, name,
                        "a comma list of tokens expected, visible ASCII without blanks inside");
}

/* "*", "null" or "scheme://host"; of any scheme: apps have theirs. */
static bool are_origins(imi_slice_t list) {
    imi_slice_t item;
    while (imi_slice_split(&list, ',', &item)) {
        item = imi_slice_trim(item);
        for (size_t i = 0; i < item.size; i++)
            if (item.data[i] <= ' ' || item.data[i] > '~')
                return false;
        if (item.size > 0 && !imi_slice_equals(item, "*") && !imi_slice_equals(item, "null") &&
            !imi_text_has_nocase(item, "://"))
            return false;
    }
    return true;
}

static bool is_address(imi_slice_t text) {
    imi_url_t url;
    return imi_url_parse(text, &url) && !url.has_userinfo && url.query.data == NULL &&
           memchr(text.data, '#', text.size) == NULL;
}

static bool is_host(imi_slice_t text) {
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~' || text.data[i] == '/')
            return false;
    return true;
}

static bool is_text(imi_slice_t text) {
    for (size_t i = 0; i < text.size; i++)
        if ((unsigned char)text.data[i] < ' ' || text.data[i] == 0x7f)
            return false;
    return true;
}

static int check(imagine_settings_t *settings, const imi_setting_t *setting, const char *name,
                 imi_slice_t text) {
    switch (setting->kind) {
    case IMI_SETTING_NUMBER:
        return check_number(settings, setting, name, text);
    case IMI_SETTING_CHOICE:
        return check_choice(settings, setting, name, text);
    case IMI_SETTING_HOSTS:
        return check_hosts(settings, name, text);
    case IMI_SETTING_PROXIES:
        return check_proxies(settings, name, text);
    case IMI_SETTING_TOKENS:
        return check_tokens(settings, name, text);
    case IMI_SETTING_URL:
        return is_address(text)
                   ? 0
                   : refuse(settings, name,
                            "an http or https address without user and query expected");
    case IMI_SETTING_SECRETS:
        return are_secrets(text)
                   ? 0
                   : refuse(
                         settings, name,
                         "a comma list of secrets expected, visible ASCII without blanks inside");
    case IMI_SETTING_ORIGINS:
        return are_origins(text)
                   ? 0
                   : refuse(settings, name, "* or a comma list as https://example.com expected");
    case IMI_SETTING_HOST:
        return is_host(text) ? 0 : refuse(settings, name, "a host name or an address expected");
    case IMI_SETTING_SECRET:
    case IMI_SETTING_TEXT:
        return is_text(text) ? 0 : refuse(settings, name, "a text on one line expected");
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

static int add_value(imagine_settings_t *settings, const char *name, imi_slice_t text,
                     const char *source) {
    const imi_mem_t *mem = settings->mem;
    value_t *value = NULL;
    if (settings->value_count == VALUES_MAX)
        return refuse(settings, name, "more than 1024 settings");
    value = imi_mem_zalloc(mem, sizeof(*value));
    if (value == NULL)
        return IMAGINE_ENOMEM;
    imi_list_append(&settings->values, &value->link);
    settings->value_count++;
    value->setting = find_setting(name);
    value->reading = settings->reading_count;
    value->name = imi_mem_strdup(mem, name);
    value->source = imi_mem_strdup(mem, source);
    /* Of what nobody knows only the name is worth keeping: for the description. */
    value->text = imi_mem_strndup(mem, text.data, value->setting != NULL ? text.size : 0);
    if (value->name != NULL && value->text != NULL && value->source != NULL)
        return 0;
    value_free(settings, value);
    return IMAGINE_ENOMEM;
}

/* An empty value is as good as none: that is what a container's ${NAME:-} leaves. */
static int set(imagine_settings_t *settings, const char *name, imi_slice_t text,
               const char *source) {
    const imi_setting_t *setting = find_setting(name);
    value_t *old = find_value(settings, name);
    int err = 0;
    text = imi_slice_trim(text);
    if (strlen(name) > NAME_SIZE_MAX)
        return refuse(settings, "a setting", "its name is longer than 64 bytes");
    if (text.size > VALUE_SIZE_MAX)
        return refuse(settings, name, "longer than 1 MiB");
    if (setting != NULL && text.size > 0)
        err = check(settings, setting, name, text);
    if (err == 0 && text.size > 0)
        err =
            add_value(settings, name, text, source); /* behind the old one, which is found first */
    if (err == 0 && old != NULL)
        value_free(settings, old);
    return err;
}

int imagine_settings_set(imagine_settings_t *settings, const char *name, const char *value) {
    if (settings == NULL || name == NULL)
        return IMAGINE_EINVAL;
    settings->message[0] = '\0';
    return set(settings, name, value != NULL ? imi_slice_of(value) : IMI_SLICE(""), "");
}

static const char *environment(const char *name) {
    const char *text = getenv(name);
    return text != NULL && text[0] != '\0' ? text : NULL;
}

/* systemd may name several state directories: the first counts. A relative XDG_STATE_HOME does not
 * (XDG Base Directory Specification). */
static int find_state_file(imagine_settings_t *settings) {
    const char *directory = environment("STATE_DIRECTORY"), *home = environment("HOME");
    const char *xdg = environment("XDG_STATE_HOME");
    imi_buf_t path;
    imi_buf_init(&path, settings->mem, 0);
    if (directory != NULL)
        imi_buf_printf(&path, "%.*s/imagine.db", (int)strcspn(directory, ":"), directory);
    else if (xdg != NULL && xdg[0] == '/')
        imi_buf_printf(&path, "%s/imagine/imagine.db", xdg);
    else if (home != NULL && home[0] == '/')
        imi_buf_printf(&path, "%s/.local/state/imagine/imagine.db", home);
    else
        imi_buf_append_text(&path, ":memory:");
    imi_mem_free(settings->mem, settings->state_file);
    settings->state_file = imi_buf_take(&path, NULL);
    return settings->state_file != NULL ? 0 : IMAGINE_ENOMEM;
}

/* A library that was loaded with RTLD_DEEPBIND, as Node's and Apache's modules may be, is given a
 * variable that nobody ever sets: the program's own is looked for. */
static char *const *all_of_environment(void) {
    void *program = dlopen(NULL, RTLD_LAZY);
    char **const *where = program != NULL ? dlsym(program, "environ") : NULL;
    char *const *all = where != NULL ? *where : environ;
    if (program != NULL)
        dlclose(program);
    return all;
}

int imagine_settings_read_env(imagine_settings_t *settings) {
    char *const *entry = all_of_environment();
    int err = settings == NULL ? IMAGINE_EINVAL : find_state_file(settings);
    if (err != 0)
        return err;
    settings->message[0] = '\0';
    for (; entry != NULL && *entry != NULL && err == 0; entry++) {
        size_t size = strcspn(*entry, "=");
        char name[NAME_SIZE_MAX + 1];
        if ((*entry)[size] != '=' || size > NAME_SIZE_MAX)
            continue;
        memcpy(name, *entry, size);
        name[size] = '\0';
        if (find_setting(name) != NULL && find_value(settings, name) == NULL)
            err = set(settings, name, imi_slice_of(*entry + size + 1), "the environment");
    }
    return err;
}

/* ---- files ------------------------------------------------------------------------------------
 */

static int refuse_file(imagine_settings_t *settings, const char *path, const char *what) {
    snprintf(settings->message, sizeof(settings->message), "%.200s: %s", path, what);
    return IMAGINE_EIO;
}

static int read_whole(imagine_settings_t *settings, const char *path, imi_buf_t *out) {
    FILE *file = fopen(path, "rbe");
    char page[4096];
    size_t size = 0;
    bool has_failed = false;
    if (file == NULL && (errno == ENOENT || errno == ENOTDIR))
        return IMAGINE_ENOTFOUND;
    if (file == NULL)
        return refuse_file(settings, path, "cannot be read");
    while (out->error == 0 && (size = fread(page, 1, sizeof(page), file)) > 0)
        imi_buf_append(out, page, size);
    has_failed = ferror(file) != 0;
    fclose(file);
    imi_mem_wipe(page, sizeof(page));
    if (out->error == IMI_BUF_NOMEM)
        return IMAGINE_ENOMEM;
    if (out->error != 0)
        return refuse_file(settings, path, "larger than 1 MiB");
    return has_failed ? refuse_file(settings, path, "cannot be read") : 0;
}

/* What was refused, and where: "path:3: PORT: …". */
static int refuse_line(imagine_settings_t *settings, const char *path, size_t line,
                       const char *what) {
    char copy[sizeof(settings->message)];
    snprintf(copy, sizeof(copy), "%s", what);
    snprintf(settings->message, sizeof(settings->message), "%.200s:%zu: %.280s", path, line, copy);
    return IMAGINE_EINVAL;
}

static int read_entries(imagine_settings_t *settings, const char *path, imi_slice_t text,
                        imi_buf_t *value) {
    imi_dotenv_result_t result = IMI_DOTENV_END;
    const value_t *known;
    imi_dotenv_t dotenv;
    imi_slice_t slice;
    int err = 0;
    settings->reading_count++;
    imi_dotenv_init(&dotenv, text);
    while (err == 0 && (result = imi_dotenv_next(&dotenv, &slice, value)) == IMI_DOTENV_ENTRY) {
        char name[NAME_SIZE_MAX + 1];
        memcpy(name, slice.data, slice.size);
        name[slice.size] = '\0';
        if (value->error != 0)
            return IMAGINE_ENOMEM;
        slice = (imi_slice_t){value->data != NULL ? value->data : "", value->size};
        known = find_value(settings, name);
        if (known == NULL || known->reading == settings->reading_count)
            err = set(settings, name, slice, path);
        if (value->data != NULL)
            imi_mem_wipe(value->data, value->size);
    }
    if (err == IMAGINE_EINVAL)
        return refuse_line(settings, path, dotenv.line, settings->message);
    if (err == 0 && result == IMI_DOTENV_BROKEN)
        return refuse_line(settings, path, dotenv.line, dotenv.problem);
    return err;
}

static int read_usual_files(imagine_settings_t *settings) {
    static const char *const paths[] = {".env.local", ".env"};
    int err = 0;
    for (size_t i = 0; err == 0 && i < sizeof(paths) / sizeof(paths[0]); i++) {
        err = imagine_settings_read_file(settings, paths[i]);
        if (err == IMAGINE_ENOTFOUND)
            err = 0;
    }
    return err;
}

int imagine_settings_read_file(imagine_settings_t *settings, const char *path) {
    imi_buf_t text, value;
    int err = 0;
    if (settings == NULL)
        return IMAGINE_EINVAL;
    if (path == NULL)
        return read_usual_files(settings);
    settings->message[0] = '\0';
    imi_buf_init(&text, settings->mem, FILE_SIZE_MAX);
    imi_buf_init(&value, settings->mem, 0);
    err = read_whole(settings, path, &text);
    if (err == 0)
        err = read_entries(settings, path, (imi_slice_t){text.data, text.size}, &value);
    if (text.data != NULL)
        imi_mem_wipe(text.data, text.size);
    imi_buf_reset(&text);
    imi_buf_reset(&value);
    return err;
}

/* ---- asking -----------------------------------------------------------------------------------
 */

/* An API that is open to all is for this machine only. */
static bool is_locked(const imagine_settings_t *settings) {
    return find_value(settings, "API_TOKEN") != NULL || find_value(settings, "ADMIN_TOKEN") != NULL;
}

const char *imagine_settings_get(const imagine_settings_t *settings, const char *name) {
    const value_t *value = NULL;
    const imi_setting_t *setting = NULL;
    if (settings == NULL || name == NULL)
        return NULL;
    value = find_value(settings, name);
    if (value != NULL)
        return value->setting != NULL ? value->text : NULL;
    if (strcmp(name, "HOST") == 0)
        return is_locked(settings) ? "0.0.0.0" : "127.0.0.1";
    if (strcmp(name, "STATE_FILE") == 0)
        return settings->state_file != NULL ? settings->state_file : ":memory:";
    setting = find_setting(name);
    return setting != NULL ? setting->otherwise : NULL;
}

void imi_provider_setting(char out[IMI_PROVIDER_SETTING_SIZE], const char *provider,
                          const char *suffix) {
    snprintf(out, IMI_PROVIDER_SETTING_SIZE, "%s_%s", provider, suffix);
    for (size_t i = 0; provider[i] != '\0' && i + 1 < IMI_PROVIDER_SETTING_SIZE; i++)
        out[i] = provider[i] >= 'a' && provider[i] <= 'z' ? (char)(provider[i] - 'a' + 'A')
                 : provider[i] == '-'                     ? '_'
                                                          : provider[i];
}

bool imi_settings_is_set(const imagine_settings_t *settings, const char *name) {
    return find_value(settings, name) != NULL;
}

const char *imi_settings_name_at(const imagine_settings_t *settings, size_t index) {
    for (imi_list_t *at = settings->values.next; at != &settings->values; at = at->next)
        if (index-- == 0)
            return IMI_CONTAINER(at, value_t, link)->name;
    return NULL;
}

/* The place of a choice: "debug" in "error|warn|info|debug|trace" is 3. */
static int64_t place_of(const char *choices, const char *text) {
    imi_slice_t rest = imi_slice_of(choices), choice;
    for (int64_t place = 0; imi_slice_split(&rest, '|', &choice); place++)
        if (imi_slice_equals(choice, text))
            return place;
    return 0;
}

int64_t imagine_settings_get_int(const imagine_settings_t *settings, const char *name) {
    const char *text = imagine_settings_get(settings, name);
    const imi_setting_t *setting = text != NULL ? find_setting(name) : NULL;
    int64_t number = 0;
    if (setting != NULL && setting->kind == IMI_SETTING_CHOICE)
        return place_of(setting->choices, text);
    return text != NULL && imi_parse_int64(imi_slice_of(text), &number) ? number : 0;
}

/* ---- describing -------------------------------------------------------------------------------
 */

/* "3 tokens (3f9c02d1a7be, …)" */
static void describe_list(imi_buf_t *out, const char *text, bool has_groups) {
    imi_slice_t rest = imi_slice_of(text), item;
    size_t count = 0;
    imi_buf_t prints;
    imi_buf_init(&prints, out->mem, 0);
    while (imi_slice_split(&rest, ',', &item)) {
        uint8_t digest[IMI_SHA256_SIZE];
        char print[2 * IMI_SHA256_SIZE + 1];
        item = imi_slice_trim(item);
        for (size_t i = has_groups ? item.size : 0; i-- > 0;)
            if (item.data[i] == '@') {
                item.size = i;
                break;
            }
        if (item.size == 0 || ++count > FINGERPRINTS_SHOWN_MAX)
            continue;
        imi_sha256(digest, item.data, item.size);
        imi_hex(print, digest, IMI_FINGERPRINT_SIZE / 2);
        imi_buf_printf(&prints, "%s%s", count > 1 ? ", " : "", print);
    }
    imi_buf_printf(out, "%zu token%s (%s%s)", count, count == 1 ? "" : "s",
                   prints.data != NULL ? prints.data : "",
                   count > FINGERPRINTS_SHOWN_MAX ? ", …" : "");
    if (prints.error != 0)
        out->error = prints.error;
    imi_buf_reset(&prints);
}

static void describe_value(imi_buf_t *out, const value_t *value) {
    imi_setting_kind_t kind = value->setting->kind;
    imi_buf_printf(out, "%s = ", value->name);
    if (kind == IMI_SETTING_SECRET)
        imi_buf_append_text(out, "set"); /* a passphrase could be guessed from its fingerprint */
    else if (kind == IMI_SETTING_SECRETS || kind == IMI_SETTING_TOKENS)
        describe_list(out, value->text, kind == IMI_SETTING_TOKENS);
    else
        imi_buf_append_text(out, value->text);
    if (value->source[0] != '\0')
        imi_buf_printf(out, " (from %s)", value->source);
    imi_buf_append_byte(out, '\n');
}

static void describe_default(imi_buf_t *out, const imagine_settings_t *settings,
                             const imi_setting_t *setting) {
    const char *text = imagine_settings_get(settings, setting->name);
    if (text == NULL)
        return;
    imi_buf_printf(out, "%s = %s (default%s)\n", setting->name, text,
                   setting->kind == IMI_SETTING_HOST && !is_locked(settings)
                       ? ": the API is open, neither API_TOKEN nor ADMIN_TOKEN is set"
                       : "");
}

static bool is_pattern(const imi_setting_t *setting) {
    for (size_t i = 0; i < PATTERN_COUNT; i++)
        if (setting == &patterns[i])
            return true;
    return false;
}

/* First the table, then the providers', then what nobody knows: a spelling mistake, mostly. */
char *imagine_settings_describe(const imagine_settings_t *settings) {
    imi_buf_t out;
    imi_buf_init(&out, NULL, 0); /* imagine_free() gives it back */
    if (settings == NULL)
        return NULL;
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        const value_t *value = find_value(settings, table[i].name);
        if (value != NULL)
            describe_value(&out, value);
        else
            describe_default(&out, settings, &table[i]);
    }
    for (int is_unknown = 0; is_unknown <= 1; is_unknown++)
        for (imi_list_t *at = settings->values.next; at != &settings->values; at = at->next) {
            const value_t *value = IMI_CONTAINER(at, value_t, link);
            if (is_unknown && value->setting == NULL)
                imi_buf_printf(&out, "%s is no setting: ignored%s%s\n", value->name,
                               value->source[0] != '\0' ? ", from " : "", value->source);
            if (!is_unknown && is_pattern(value->setting))
                describe_value(&out, value);
        }
    return imi_buf_take(&out, NULL);
}

const char *imagine_settings_help(void) {
    return help;
}
