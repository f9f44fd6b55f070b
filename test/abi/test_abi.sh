#!/usr/bin/env bash
# test/abi/test_abi.sh: `make abi-check` notices what breaks programs, and nothing else. Every row
# changes a copy of the headers; the library that would come of them is a stand-in with empty
# functions (abi.sh), which takes the compiler a tenth of a second.
set -u
export LC_ALL=C
cd "$(dirname "$0")/../.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0 failed=0

try() { # breaks or passes, what, the file, a perl substitution
    local expected=$1 what=$2 file=$3 change=$4 verdict=passes
    rm -rf "$scratch/include"
    cp -r include "$scratch/include"
    perl -0pi -e "$change" "$scratch/include/$file"
    if [ -n "$change" ] && cmp -s "include/$file" "$scratch/include/$file"; then
        verdict='does not change the headers'
    elif ! test/abi/abi.sh stand-in "$scratch/include" "$scratch/libimagine.so" >"$scratch/log" 2>&1; then
        verdict='does not compile'
    elif ! test/abi/abi.sh check "$scratch/libimagine.so" "$scratch/include" >"$scratch/log" 2>&1; then
        verdict=breaks
        grep -q 'is not what was promised' "$scratch/log" || verdict='makes the check itself fail'
    fi
    if [ "$verdict" = "$expected" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "$what: it $verdict"
        cat "$scratch/log"
    fi
}

try passes 'nothing changed' imagine.h ''
try breaks 'a function removed' imagine.h 's/IMAGINE_API char \*imagine_describe\(imagine_t \*im\);//'
try breaks 'a function renamed' imagine.h 's/imagine_describe\(/imagine_tell(/'
try breaks 'a parameter more' imagine.h 's/(\bimagine_wait\(imagine_request_t \*request)/$1, int32_t flags/'
try breaks 'a parameter retyped' imagine.h 's/(imagine_wait\(.*?)int64_t timeout_ms/$1int32_t timeout_ms/s'
try breaks 'parameters exchanged' imagine.h \
    's/(imagine_storage_|imagine_log\()imagine_t \*im, int32_t level, const char \*line/$1imagine_t *im, const char *line, int32_t level/'
try breaks 'another return type' imagine.h 's/IMAGINE_API int (imagine_token_reset)/IMAGINE_API void $1/'
try breaks 'a member removed' imagine.h 's/    uint32_t in_flight_max;.*?\n//'
try breaks 'a member retyped' imagine.h 's/uint32_t in_flight_max;/int32_t in_flight_max;/'
try breaks 'a member renamed' imagine.h 's/uint32_t in_flight_max;/uint32_t in_flight_most;/'
try breaks 'members exchanged' imagine.h 's/( +uint32_t timeout_ms;.*?\n)( +uint32_t in_flight_max;.*?\n)/$2$1/'
try breaks 'a member in the middle' imagine.h 's/( +uint32_t in_flight_max;)/    uint64_t more;\n$1/'
try breaks 'a member appended, another retyped' imagine.h \
    's/uint32_t in_flight_max;/int32_t in_flight_max;/; s/\} imagine_options_t;/    uint64_t more;\n} imagine_options_t;/'
try breaks 'a member appended to what never grows' imagine.h 's/\} imagine_slice_t;/    void *more;\n} imagine_slice_t;/'
try breaks 'a function of a table with another signature' imagine/io.h \
    's/(\(\*timer_start\)\(void \*context, )uint64_t delay_ms/$1uint32_t delay_ms/'
try breaks 'functions of a table exchanged' imagine/io.h \
    's/( +uint64_t \(\*now_ms\).*?\n)( +int64_t \(\*unix_ms\).*?\n)/$2$1/'
try breaks 'a callback with another signature' imagine.h \
    's/(\(\*imagine_log_cb\)\()int32_t level/$1int64_t level/'
try breaks 'a callback of a struct alone with another signature' imagine/io.h \
    's/(\(\*imagine_http_guard_cb\)\(const char \*host)/$1, int32_t port/'
try breaks 'an error number changed' imagine.h 's/X\(EBUSY, -20,/X(EBUSY, -40,/'
try breaks 'error numbers exchanged' imagine.h 's/X\(EBUSY, -20,/X(EBUSY, -21,/; s/X\(ENOTSUP, -21,/X(ENOTSUP, -20,/'
try breaks 'an error number removed' imagine.h 's/    X\(EBUSY, -20.*?\n//'
try breaks 'a constant changed' imagine/provider.h 's/(#define IMAGINE_AUTH_NONE) 1/$1 3/'
try breaks 'a constant removed' imagine.h 's/#define IMAGINE_LOG_TRACE.*?\n//'
try passes 'a function added' imagine.h 's/(IMAGINE_API void imagine_free)/IMAGINE_API int imagine_more(imagine_t *im);\n$1/'
try passes 'an error number added' imagine.h 's/(    X\(EDEADLK, -28,)/    X(EMORE, -99, "more") \\\n$1/'
try passes 'a constant added' imagine.h 's/(#define IMAGINE_LOG_TRACE)/#define IMAGINE_LOG_MORE 5\n$1/'
try passes 'a member appended' imagine.h 's/\} imagine_options_t;/    uint64_t more;\n} imagine_options_t;/'
try passes 'members appended to several structs' imagine.h \
    's/\} (imagine_(options|params|result|image|form)_t);/    const char *more;\n    double even_more;\n} $1;/g'
try passes 'a function appended to a table' imagine/storage.h \
    's/\} imagine_storage_driver_t;/    int (*more)(void *self);\n} imagine_storage_driver_t;/'
try passes 'a struct added' imagine.h \
    's/(IMAGINE_API void imagine_free)/typedef struct imagine_more { size_t size; } imagine_more_t;\nIMAGINE_API int imagine_more(imagine_more_t *more);\n$1/'
try passes 'a parameter renamed, a comment changed' imagine.h 's/int64_t timeout_ms\);/int64_t within_ms);/; s/Blocks/Waits/'
try passes 'another version' imagine.h 's/(#define IMAGINE_VERSION) ".*?"/$1 "9.9.9"/'

echo "# pass $passed"
echo "# fail $failed"
[ $failed = 0 ]
