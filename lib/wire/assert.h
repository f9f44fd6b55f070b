/* assert.h: what must hold whatever the outside world does: preconditions and changes of state.
 * Such a thing is a bug of ours, or of the host: a test stops there, with file and line
 * (-DIMI_ASSERTS: the sanitizers' and the fuzzers' builds); a release does not look. What a caller,
 * a provider or the system may do to us is an error to handle, never an assertion. */
#ifndef IMI_WIRE_ASSERT_H
#define IMI_WIRE_ASSERT_H

#ifdef IMI_ASSERTS
#undef NDEBUG /* a host's flag for its own assertions */
#include <assert.h>
#define IMI_ASSERT(condition) assert(condition)
#else
#define IMI_ASSERT(condition) ((void)sizeof(!(condition))) /* compiled, never evaluated */
#endif

#endif
