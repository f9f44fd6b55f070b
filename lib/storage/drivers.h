/* drivers.h: the drivers that an address can name; open.c has the table. */
#ifndef IMI_STORAGE_DRIVERS_H
#define IMI_STORAGE_DRIVERS_H

#include "imagine/storage.h"
#include "wire/mem.h"

/**
 * Make a driver's `self` from the whole address. `mem` (NULL: the C library's) must outlive it and
 * be fit for several threads, since a driver may use it on a worker too.
 * `*out_reason` stays, or becomes a static text that says what is wrong with the address.
 * @return 0, IMAGINE_EINVAL, IMAGINE_ENOMEM
 */
typedef int (*imi_storage_driver_open)(const imi_mem_t *mem, const char *url,
                                       const imagine_storage_driver_t **out_driver, void **out_self,
                                       const char **out_reason);

int imi_memory_open(const imi_mem_t *mem, const char *url,
                    const imagine_storage_driver_t **out_driver, void **out_self,
                    const char **out_reason);
int imi_sqlite_open(const imi_mem_t *mem, const char *url,
                    const imagine_storage_driver_t **out_driver, void **out_self,
                    const char **out_reason);

#endif
