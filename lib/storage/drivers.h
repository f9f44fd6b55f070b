/* drivers.h: the drivers that an address can name, and how open.c, which has the table, opens them.
 */
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

/* As imagine_storage_open(). The message is the C library's, for imagine_free(). */
int imi_storage_open(const imi_mem_t *mem, imagine_storage_t **out, const char *url,
                     char **out_message);

/* As imagine_storage_new(), and as imagine_storage_share(); `mem` as above. */
int imi_storage_new(const imi_mem_t *mem, imagine_storage_t **out,
                    const imagine_storage_driver_t *driver, void *self);
int imi_storage_share(const imi_mem_t *mem, imagine_storage_t **outs, size_t count,
                      imagine_storage_t *storage, const imagine_io_uv_options_t *options);

int imi_memory_open(const imi_mem_t *mem, const char *url,
                    const imagine_storage_driver_t **out_driver, void **out_self,
                    const char **out_reason);
int imi_sqlite_open(const imi_mem_t *mem, const char *url,
                    const imagine_storage_driver_t **out_driver, void **out_self,
                    const char **out_reason);
int imi_upstash_open(const imi_mem_t *mem, const char *url,
                     const imagine_storage_driver_t **out_driver, void **out_self,
                     const char **out_reason);
int imi_cloudflare_open(const imi_mem_t *mem, const char *url,
                        const imagine_storage_driver_t **out_driver, void **out_self,
                        const char **out_reason);

int imi_redis_open(const imi_mem_t *mem, const char *url,
                   const imagine_storage_driver_t **out_driver, void **out_self,
                   const char **out_reason);

#endif
