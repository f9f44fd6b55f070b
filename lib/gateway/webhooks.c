/* webhooks.c: GET /api/v1/webhooks and POST /api/v1/webhooks/redeliver {"id"}. */
#include "gateway/webhooks.h"

#include <stdio.h>
#include <string.h>

#include "gateway/answer.h"
#include "gateway/exchange.h"
#include "wire/json.h"

#define DEPTH_MAX 64
#define ID_SIZE_MAX 128

static const imi_refusal_t not_json = {400, IMAGINE_EINVAL, "Invalid parameters",
                                       "the body is not valid JSON"};
static const imi_refusal_t no_id = {400, IMAGINE_EINVAL, "Webhook id is required",
                                    "the body must be an object with a text \"id\""};
static const imi_refusal_t not_found = {404, IMAGINE_ENOTFOUND, "Webhook not found",
                                        "no such webhook, or it ended more than 24 hours ago"};

void imi_webhooks_answer_list(imagine_exchange_t *exchange) {
    imagine_slice_t piece;
    exchange->lent = imagine_webhooks(exchange->gateway->im);
    if (exchange->lent == NULL) {
        imi_answer_failed_call(exchange, IMAGINE_ENOMEM);
        return;
    }
    piece = (imagine_slice_t){exchange->lent, strlen(exchange->lent)};
    imi_answer_send(exchange, 200, IMI_TYPE_JSON, &piece, 1);
}

static void redeliver(imagine_exchange_t *exchange, const char *id) {
    imi_json_writer_t writer;
    int err = imagine_webhook_redeliver(exchange->gateway->im, id);
    if (err == IMAGINE_ENOTFOUND) {
        imi_answer_refuse(exchange, &not_found);
        return;
    }
    if (err != 0) {
        imi_answer_failed_call(exchange, err);
        return;
    }
    imi_json_begin(&writer, &exchange->text);
    imi_json_open_object(&writer, NULL);
    imi_json_put_bool(&writer, "success", true);
    imi_json_put_text(&writer, "id", id);
    imi_json_close_object(&writer);
    imi_answer_send_text(exchange, 200, IMI_TYPE_JSON);
}

void imi_webhooks_answer_redeliver(imagine_exchange_t *exchange) {
    imagine_form_t form = {.size = sizeof(form)};
    const imi_refusal_t *refusal = imi_gateway_body_finish(exchange->body, &form);
    imi_slice_t json = {form.json, form.json_size}, text;
    char id[ID_SIZE_MAX + 1];
    if (refusal == NULL && !imi_json_valid(json, DEPTH_MAX, NULL))
        refusal = &not_json;
    if (refusal == NULL) {
        text = imi_json_plain_text(imi_json_get(json, "id")); /* an id has nothing to escape */
        if (text.data == NULL || text.size == 0)
            refusal = &no_id;
        else if (text.size > ID_SIZE_MAX)
            refusal = &not_found;
        else
            snprintf(id, sizeof(id), "%.*s", (int)text.size, text.data);
    }
    if (refusal != NULL)
        imi_answer_refuse(exchange, refusal);
    else
        redeliver(exchange, id);
}
