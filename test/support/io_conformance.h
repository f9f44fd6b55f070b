/* io_conformance.h: what every imagine_io_t must keep (imagine/io.h), as Check tests that run on
 * any of them: on libuv with curl, on the simulator, on a host's own.
 *
 * Above all the two rules: nothing completes inside the call that starts it, and after a cancel no
 * callback runs. */
#ifndef IMI_TEST_IO_CONFORMANCE_H
#define IMI_TEST_IO_CONFORMANCE_H

#include <check.h>

#include "imagine/io.h"

typedef struct io_conformance {
    const char *name;
    const imagine_io_t *(*open)(void); /* before every test */
    void (*turn)(void);                /* let the next thing happen: an event, a timer */
    void (*close)(void);               /* after every test: nothing is in flight */

    /* Addresses that a server (or a script) answers. NULL: the tests that need it are left out. */
    const char *(*url_ok)(void);      /* 200, X-Twice: one, X-Twice: two, body "hello" */
    const char *(*url_large)(void);   /* 200, a body of IO_CONFORMANCE_LARGE bytes in many pieces */
    const char *(*url_silent)(void);  /* takes the request, answers never */
    const char *(*url_refused)(void); /* nobody listens there */
    const char *(*url_cut)(void);     /* 200, the connection ends inside the body */
    const char *(*url_moved)(void);   /* 302 with a Location */
} io_conformance_t;

enum { IO_CONFORMANCE_LARGE = 1000000 };

/* One test case in the suite. `conformance` must outlive it. One per program. */
void io_conformance_add(Suite *suite, const io_conformance_t *conformance);

#endif
