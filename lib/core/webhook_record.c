/* webhook_record.c: see webhook_record.h. The record in the store is JSON under "webhook/<id>", the
 * body inside it as it is sent. WEBHOOK_SECRET is in none of it: every try is signed anew. */
#include "core/webhook_record.h"

#include <stdio.h>
#include <string.h>

#include "core/client.h"
#include "core/log.h"
#include "core/peers.h"
#include "core/sync.h"
#include "imagine/storage.h"
#include "wire/time.h"

#define ENDED_KEPT_MS (24 * 60 * 60 * 1000)
#define PENDING_KEPT_MS (7 * 24 * 60 * 60 * 1000) /* how long a process may be down */

static const char *const state_names[] = {"pending", "delivered", "failed"};

const char *imi_webhook_state_name(imi_webhook_state_t state) {
    return state_names[state];
}

bool imi_webhook_is_task_id(imi_slice_t text) {
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              c == '-' || c == '_'))
            return false;
    }
    return text.size > 0 && text.size <= IMI_WEBHOOK_TASK_ID_SIZE_MAX;
}

const char *imi_webhook_task_id(const imi_webhook_t *webhook) {
    return webhook->id + sizeof(IMI_WEBHOOK_ID_PREFIX) - 1;
}

imi_webhook_t *imi_webhook_new(imagine_t *im, imi_slice_t task_id, const char *url,
                               imi_slice_t body) {
    const imi_mem_t *mem = &im->mem;
    imi_webhook_t *webhook = imi_mem_zalloc(mem, sizeof(*webhook));
    size_t id_size = sizeof(IMI_WEBHOOK_ID_PREFIX) + task_id.size;
    if (webhook == NULL)
        return NULL;
    webhook->im = im;
    imi_list_init(&webhook->link);
    webhook->id = imi_mem_alloc(mem, id_size);
    webhook->url = imi_mem_strdup(mem, url);
    webhook->body = imi_mem_strndup(mem, body.data, body.size);
    webhook->body_size = body.size;
    if (webhook->id == NULL || webhook->url == NULL || webhook->body == NULL) {
        imi_webhook_free(webhook);
        return NULL;
    }
    snprintf(webhook->id, id_size, IMI_WEBHOOK_ID_PREFIX "%.*s", (int)task_id.size, task_id.data);
    webhook->created_unix_ms = im->io->unix_ms(im->io->context);
    return webhook;
}

void imi_webhook_free(imi_webhook_t *webhook) {
    const imi_mem_t *mem = &webhook->im->mem;
    imi_mem_free(mem, webhook->id);
    imi_mem_free(mem, webhook->url);
    imi_mem_free(mem, webhook->body);
    imi_mem_free(mem, webhook);
}

/* ---- the store ---------------------------------------------------------------------------------
 */

/* What would not fit beside the rest of a record is sent as long as this process lives; another one
 * tells what it tells of the task itself. */
static void put_body(imi_json_writer_t *writer, const imi_webhook_t *webhook) {
    imi_slice_t body = {webhook->body, webhook->body_size};
    imi_slice_t provider = imi_json_get(body, "provider");
    if (body.size <= IMAGINE_STORAGE_VALUE_SIZE_MAX / 2) {
        imi_json_put_raw(writer, "body", body);
        return;
    }
    imi_json_open_object(writer, "body");
    imi_json_put_text(writer, "taskId", imi_webhook_task_id(webhook));
    if (provider.data != NULL && provider.size <= IMI_WEBHOOK_ERROR_SIZE)
        imi_json_put_raw(writer, "provider", provider);
    imi_json_put_text(writer, "status", "failed");
    imi_json_put_text(writer, "error", "the result was too large to be kept over a restart");
    imi_json_close_object(writer);
}

void imi_webhook_save(const imi_webhook_t *webhook) {
    imagine_t *im = webhook->im;
    bool is_pending = webhook->state == IMI_WEBHOOK_PENDING;
    char key[IMI_WEBHOOK_KEY_SIZE];
    imi_json_writer_t writer;
    imi_buf_t buf;
    imi_buf_init(&buf, &im->mem, IMAGINE_STORAGE_VALUE_SIZE_MAX);
    imi_json_begin(&writer, &buf);
    imi_json_open_object(&writer, NULL);
    imi_json_put_text(&writer, "owner", imi_peers_self(im)); /* first: see peers.h */
    imi_json_put_text(&writer, "url", webhook->url);
    imi_json_put_text(&writer, "state", imi_webhook_state_name(webhook->state));
    imi_json_put_int(&writer, "tries", webhook->tries);
    imi_json_put_int(&writer, "status", webhook->last_status);
    imi_json_put_text(&writer, "error", webhook->last_error);
    imi_json_put_int(&writer, "created", webhook->created_unix_ms);
    imi_json_put_int(&writer, "next", webhook->next_unix_ms);
    imi_json_put_int(&writer, "ended", webhook->ended_unix_ms);
    put_body(&writer, webhook);
    imi_json_close_object(&writer);
    snprintf(key, sizeof(key), IMI_WEBHOOK_KEY_PREFIX "%s", webhook->id);
    if (buf.error == 0)
        imi_sync_put(im, key, buf.data, buf.size, is_pending ? PENDING_KEPT_MS : ENDED_KEPT_MS);
    else
        imi_log(im, IMAGINE_LOG_WARN, "webhook.not_saved id=%s", webhook->id);
    imi_buf_reset(&buf);
}

static int64_t read_number(imi_slice_t json, const char *name) {
    int64_t number = 0;
    (void)imi_json_whole_number(imi_json_get(json, name), &number);
    return number;
}

imi_webhook_t *imi_webhook_read(imagine_t *im, const char *key, imi_slice_t json) {
    imi_slice_t task_id = imi_slice_of(key), state, body;
    imi_webhook_t *webhook = NULL;
    imi_arena_t arena;
    const char *url, *error;
    int64_t tries;
    if (!imi_text_starts_with(key, IMI_WEBHOOK_KEY_PREFIX IMI_WEBHOOK_ID_PREFIX) ||
        !imi_json_valid(json, IMI_WEBHOOK_DEPTH_MAX + 1, NULL))
        return NULL;
    task_id = imi_slice_of(key + sizeof(IMI_WEBHOOK_KEY_PREFIX IMI_WEBHOOK_ID_PREFIX) - 1);
    state = imi_json_plain_text(imi_json_get(json, "state"));
    body = imi_json_get(json, "body");
    imi_arena_init(&arena, &im->mem, 0);
    url = imi_json_text(&arena, imi_json_get(json, "url"), NULL);
    error = imi_json_text(&arena, imi_json_get(json, "error"), NULL);
    if (imi_webhook_is_task_id(task_id) && url != NULL && body.data != NULL)
        webhook = imi_webhook_new(im, task_id, url, body);
    if (webhook != NULL) {
        snprintf(webhook->last_error, sizeof(webhook->last_error), "%s",
                 error != NULL ? error : "");
        webhook->state = imi_slice_equals(state, "delivered") ? IMI_WEBHOOK_DELIVERED
                         : imi_slice_equals(state, "failed")  ? IMI_WEBHOOK_FAILED
                                                              : IMI_WEBHOOK_PENDING;
        tries = read_number(json, "tries");
        webhook->tries = tries > 0 && tries <= IMI_WEBHOOK_TRIES_MAX ? (uint32_t)tries : 0;
        webhook->last_status = (int32_t)read_number(json, "status");
        webhook->created_unix_ms = read_number(json, "created");
        webhook->next_unix_ms = read_number(json, "next");
        webhook->ended_unix_ms = read_number(json, "ended");
    }
    imi_arena_reset(&arena);
    return webhook;
}

/* ---- looking -----------------------------------------------------------------------------------
 */

void imi_webhook_write(imi_json_writer_t *writer, const imi_webhook_t *webhook) {
    imi_slice_t url = {webhook->url, strcspn(webhook->url, "?#")};
    char next_at[IMI_TIME_TEXT_SIZE];
    imi_json_open_object(writer, NULL);
    imi_json_put_text(writer, "id", webhook->id);
    imi_json_put_text(writer, "taskId", imi_webhook_task_id(webhook));
    imi_json_put_slice(writer, "url", url);
    imi_json_put_text(writer, "state", imi_webhook_state_name(webhook->state));
    imi_json_put_int(writer, "tries", webhook->tries);
    if (webhook->last_status != 0)
        imi_json_put_int(writer, "lastStatus", webhook->last_status);
    else
        imi_json_put_null(writer, "lastStatus");
    imi_json_put_text(writer, "lastError",
                      webhook->last_error[0] != '\0' ? webhook->last_error : NULL);
    imi_time_format(next_at, webhook->next_unix_ms, true);
    imi_json_put_text(writer, "nextAt", webhook->state == IMI_WEBHOOK_PENDING ? next_at : NULL);
    imi_json_close_object(writer);
}
