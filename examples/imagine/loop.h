/* loop.h: everything happens on the main thread, inside imagine_turn(); between turns it waits for
 * the client's descriptor, the clock, or a signal. The first SIGINT or SIGTERM asks for an end, the
 * second one is the end. */
#ifndef LOOP_H
#define LOOP_H

#include <imagine.h>
#include <stdbool.h>

/* From here on signals are ours. 0, or IMAGINE_EIO. */
int loop_start(void);
/* The number of the signal that came; 0: none. */
int loop_signal(void);
/* Waits until something happened, for timeout_ms at most, and does what is due. */
void loop_turn(imagine_t *im, int timeout_ms);
/* Milliseconds of a clock that only goes on. */
int64_t loop_now_ms(void);
/* The file that a sudden end must not leave behind (copied; NULL: none). */
void loop_guard_file(const char *path);

#endif
