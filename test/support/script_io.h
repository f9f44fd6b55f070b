/* script_io.h: an imagine_io_t that plays a script in virtual time: which requests must come, in
 * order, and what each is answered. For transcripts of providers. A line of the script begins with:
 *
 *     > POST https://host/path      a request; then its headers, all but User-Agent and Accept:
 *     > Name: value                 (of a multipart Content-Type without the boundary)
 *     >> text                       its body: JSON is compared as JSON, a form line by line, as
 *                                   "name: value" or "name: @filename type size"
 *     >@ picture.png                its body: a picture (as image lines of transcripts)
 *     >@ 40000                      its body: a picture of so many bytes
 *     < 200                         the answer; then its headers, as
 *     < Name: value
 *     << text                       its body, a line feed behind each line
 *     <@ picture.png                its body: a picture (as image lines of transcripts)
 *     < broken ECONNECT sent        instead of an answer, the error; "unsent": nothing had left
 *
 * Nothing here needs a loop: script_io_step() runs what is due next. */
#ifndef IMI_TEST_SCRIPT_IO_H
#define IMI_TEST_SCRIPT_IO_H

#include <stdbool.h>
#include <stddef.h>

#include "imagine/io.h"
#include "wire/buf.h"

typedef struct script_io script_io_t;

/* Answers' bodies come in pieces of `piece_size` bytes; 0: whole. `script` is borrowed. */
script_io_t *script_io_open(const char *script, size_t piece_size);
/* Frees it; aborts if an exchange or a timer is left. */
void script_io_close(script_io_t *script);

const imagine_io_t *script_io_table(const script_io_t *script);
/* Runs the next event, going forward in time; false: nothing is under way. */
bool script_io_step(script_io_t *script);
/* The first request that was not as the script has it, or what of the script never came; NULL: all
 * is well. Lives as long as the script. */
const char *script_io_complaint(script_io_t *script);

/* A valid PNG of one pixel. */
const void *script_picture(size_t *out_size);
/* `size` bytes that begin as that one does; the same ones each time. */
void script_append_picture(imi_buf_t *out, size_t size);

#endif
