/* error.c: error numbers as texts, names and HTTP statuses; and what belongs to the library as a
 * whole: its version, and the way back for memory that it gave away.
 *
 * Memory that a public function hands over "to free with imagine_free()" always comes from the C
 * library's malloc, whatever allocator the client has: it is freed without the client at hand. */
#include "imagine.h"

#include <stddef.h>
#include <stdlib.h>

static const struct {
    int number;
    const char *name;
    const char *text;
} errors[] = {
#define ERROR_ROW(name, number, text) {number, "IMAGINE_" #name, text},
    IMAGINE_ERRORS(ERROR_ROW)
#undef ERROR_ROW
};

const char *imagine_strerror(int error) {
    if (error == IMAGINE_OK)
        return "success";
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
        if (errors[i].number == error)
            return errors[i].text;
    return "unknown error";
}

const char *imagine_err_name(int error) {
    if (error == IMAGINE_OK)
        return "IMAGINE_OK";
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
        if (errors[i].number == error)
            return errors[i].name;
    return "IMAGINE_EUNKNOWN";
}

int imagine_err_http_status(int error) {
    switch (error) {
    case IMAGINE_OK:
        return 200;
    case IMAGINE_EINVAL:
    case IMAGINE_EPROVIDER:
    case IMAGINE_EACTION:
    case IMAGINE_EREJECTED:
    case IMAGINE_EADDRESS:
    case IMAGINE_EPICTURE:
    case IMAGINE_ENOTSUP:
    case IMAGINE_EEXIST:
        return 400;
    case IMAGINE_ENOTFOUND:
        return 404;
    case IMAGINE_ECONTENT:
        return 422;
    case IMAGINE_EEXHAUSTED:
    case IMAGINE_EQUOTA:
    case IMAGINE_ERATE:
        return 429;
    case IMAGINE_ECANCELED:
        return 499; /* nginx's word for a caller that left: nobody reads it but the log */
    case IMAGINE_ENOMEM:
    case IMAGINE_ECLOSED:
    case IMAGINE_EBREAKER:
    case IMAGINE_ENOTOKEN:
    case IMAGINE_EBUSY:
    case IMAGINE_EIO:
    case IMAGINE_EDEADLK:
        return 503;
    case IMAGINE_ETIMEDOUT:
        return 504;
    default: /* EPROTOCOL, EUPSTREAM, ECONNECT, ETOOLARGE, and a token that was the only one */
        return 502;
    }
}

const char *imagine_version(void) {
    return IMAGINE_VERSION;
}

void imagine_free(void *pointer) {
    free(pointer);
}
