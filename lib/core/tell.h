/* tell.h: what a task came to is told to whoever asked for a webhook: handed to the queue
 * (webhook.h), again and again while the queue refuses it, and by the next process if need be. */
#ifndef IMI_CORE_TELL_H
#define IMI_CORE_TELL_H

#include "core/client.h"
#include "core/task.h"

/* The task has ended, or was loaded as one that has. Harmless where nobody is to be told. */
void imi_tell(imagine_t *im, imi_task_t *task);
/* The store has the webhook of this key: its task is told, whatever happens to this process. */
void imi_tell_stored(imagine_t *im, const char *key);
/* No further tries: the client closes. What is untold by its record is told by the next process. */
void imi_tell_stop(imagine_t *im);

#endif
