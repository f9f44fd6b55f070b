/* http.h: HTTP exchanges on curl-multi. Nothing of curl shows here. */
#ifndef IMI_UV_HTTP_H
#define IMI_UV_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "imagine/io.h"

typedef struct imi_uv imi_uv_t;
typedef struct imi_http imi_http_t;

/* 0, IMAGINE_EINVAL (the CA file cannot be read), IMAGINE_ENOMEM, IMAGINE_EIO. */
int imi_http_new(imi_http_t **out, imi_uv_t *uv, const imagine_io_uv_options_t *options);
/* imagine_io_uv_trust(). */
int imi_http_trust(imi_http_t *http, const char *ca_file);
/* Closes all connections; no exchange may be left. NULL is fine. */
void imi_http_free(imi_http_t *http);

/* Starts what was asked to start, goes on with what was paused. At the top of the loop only.
 * False: there was nothing. */
bool imi_http_work(imi_http_t *http);
bool imi_http_has_work(const imi_http_t *http);

/* imagine_io_t.http_start, http_cancel and http_pause. */
int imi_http_start(void *context, const imagine_http_request_t *request,
                   const imagine_http_handler_t *handler, void *user,
                   imagine_http_exchange_t **out);
void imi_http_cancel(void *context, imagine_http_exchange_t *exchange);
void imi_http_pause(void *context, imagine_http_exchange_t *exchange, int32_t is_paused);

#endif
