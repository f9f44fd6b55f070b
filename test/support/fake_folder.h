/* fake_folder.h: an imagine_folder_t in memory, over the timers of any imagine_io_t, which fails
 * where a test wants it to. Its memory is the C library's, not the client's. */
#ifndef IMI_TEST_FAKE_FOLDER_H
#define IMI_TEST_FAKE_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

#include "imagine/hosting.h"

typedef struct fake_folder {
    imagine_folder_t table; /* points back here: the struct must not move */
    const imagine_io_t *io;

    /* what a test sets */
    bool has_limit;
    size_t size_max; /* of what is written to one file, then writing fails */
    size_t read_max; /* likewise of what is read, 0: all of it */
    bool fails_to_finish;
    size_t refused_at; /* this operation is not even accepted, counted from 1; 0: none */
    uint64_t delay_ms; /* of each operation */

    /* what it looks at */
    size_t created_count, open_count, operation_count;
    bool is_destroyed;
    char finished_name[80]; /* the last one; "": none */
    void *finished;
    size_t finished_size;
} fake_folder_t;

void fake_folder_init(fake_folder_t *folder, const imagine_io_t *io);
void fake_folder_reset(fake_folder_t *folder);

#endif
