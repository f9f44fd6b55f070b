/* exit_code.c: see exit_code.h. */
#include "exit_code.h"

#include <imagine.h>
#include <string.h>

const char exit_code_help[] =
    "Exit codes:\n"
    "  0  all went well\n"
    "  1  something else failed: no memory, for example\n"
    "  2  the command line, a setting, the prompt, or a picture that goes in is wrong\n"
    "  3  there is no such provider, model or action\n"
    "  4  a token is missing, is not valid, or may not do this\n"
    "  5  tokens are used up, or too much is under way: later it may work\n"
    "  6  the provider refused the request or the content\n"
    "  7  the provider or the server failed, or cannot be reached\n"
    "  8  it took too long\n"
    "  9  what was made could not be written\n"
    " 10  batch: some failed, and not all for one reason\n"
    "130  interrupted (128 and the number of the signal)\n";

int exit_code_of(int error) {
    switch (error) {
    case 0:
        return CODE_OK;
    case IMAGINE_EINVAL:
    case IMAGINE_ETOOLARGE:
    case IMAGINE_EADDRESS:
    case IMAGINE_EPICTURE:
        return CODE_USAGE;
    case IMAGINE_EPROVIDER:
    case IMAGINE_EACTION:
    case IMAGINE_ENOTFOUND:
        return CODE_UNKNOWN;
    case IMAGINE_ENOTOKEN:
    case IMAGINE_ETOKEN:
    case IMAGINE_EPLAN:
        return CODE_TOKEN;
    case IMAGINE_EEXHAUSTED:
    case IMAGINE_EBREAKER:
    case IMAGINE_EBUSY:
    case IMAGINE_EQUOTA:
    case IMAGINE_ERATE:
        return CODE_LATER;
    case IMAGINE_EREJECTED:
    case IMAGINE_ECONTENT:
        return CODE_REFUSED;
    case IMAGINE_EPROTOCOL:
    case IMAGINE_ECONNECT:
    case IMAGINE_EUPSTREAM:
        return CODE_PROVIDER;
    case IMAGINE_ETIMEDOUT:
        return CODE_TIME;
    case IMAGINE_EIO:
        return CODE_OUTPUT;
    default:
        return CODE_OTHER;
    }
}

int error_of_name(const char *name) {
#define ROW(name, number, text) {"IMAGINE_" #name, number},
    static const struct {
        const char *name;
        int number;
    } rows[] = {IMAGINE_ERRORS(ROW)};
#undef ROW
    for (size_t i = 0; name != NULL && i < sizeof(rows) / sizeof(rows[0]); i++)
        if (strcmp(rows[i].name, name) == 0)
            return rows[i].number;
    return 0;
}
