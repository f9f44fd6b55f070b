#!/usr/bin/env bash
# test/taste.sh: the taste that a script can check. Every violation is one line "file:line: what",
# and the exit code is 1 if there is any. Run it in the repository's root, behind `make`: BUILD names
# the build directory, CC and CXX the compilers.
#   rooms     who may include what
#   calls     functions that no file, or no file of a room, may call
#   headers   the public ones: every struct can grow and can be read by other languages, each
#             compiles alone in C11 and in C++17; the private ones compile alone in C11
#   symbols   libimagine.so exports what the headers declare IMAGINE_API, no more and no less, each
#             under the version of lib/libimagine.map
#   settings  the README's table and imagine_settings_help() name the same ones
#   places    no path or host of the machine that something was written on
#   format    .clang-format's
set -u
export LC_ALL=C
build=${BUILD:-build}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

sources=$(find lib server examples include -name '*.[ch]' | sort)
tests=$(find test -name '*.[ch]' | sort)
headers=$(find include -name '*.h' | sort)

complaint_count=0
# Reads complaints, one a line.
complain() {
    local line
    while IFS= read -r line; do
        echo "$line"
        complaint_count=$((complaint_count + 1))
    done
}

# ---- rooms ----------------------------------------------------------------------------------------

# What a file may include beside its own room: one row per room, in shell patterns.
may_include() { # file, what stands between the quotes
    local file=$1 name=$2
    case $file in
    include/*) [[ $name == ../imagine.h || $name != */* ]] ;; # relative: wherever it is installed
    lib/wire/*) [[ $name == wire/* ]] ;;
    lib/catalogue/*) [[ $name == @(catalogue|wire|imagine)/* || $name == imagine.h ]] ;;
    lib/settings/*) [[ $name == @(settings|wire|imagine)/* || $name == imagine.h ]] ;;
    lib/core/*) [[ $name == @(core|catalogue|settings|wire|imagine)/* || $name == imagine.h || $name == providers/builtin.h ]] ;;
    lib/providers/*) [[ $name == @(providers|wire|imagine)/* || $name == imagine.h ]] ;;
    lib/storage/*) [[ $name == @(storage|wire|imagine)/* || $name == imagine.h ]] ;;
    lib/gateway/*) [[ $name == @(gateway|wire|imagine)/* || $name == imagine.h ]] ;;
    lib/ffi/*) [[ $name == @(wire|imagine)/* || $name == imagine.h ]] ;;
    lib/listener/*) [[ $name == @(listener|wire|imagine)/* || $name == imagine.h ]] ;;
    lib/uv/*) [[ $name == @(uv|wire)/* || $name == imagine.h || $name == imagine/@(io|hosting).h ]] ;;
    server/*) [[ $name != */* && -f server/$name ]] ;;
    examples/imagine/*) [[ $name != */* && -f examples/imagine/$name ]] ;;
    *) false ;; # examples: only what is installed, between < and >
    esac
}

# Whose headers are whose business. A library that is not named here is nobody's.
may_use_library() { # file, what stands between < and >
    local file=$1
    case $2 in
    uv.h) [[ $file == @(lib/uv|lib/listener|server|examples)/* || $file == lib/storage/@(sqlite|redis|share)* ]] ;;
    curl/*) [[ $file == lib/uv/http* ]] ;;
    sqlite3.h) [[ $file == lib/storage/sqlite* ]] ;;
    hiredis/*) [[ $file == lib/storage/redis* ]] ;;
    openssl/*) [[ $file == @(lib/wire|lib/uv|lib/storage/redis_tls.c)* ]] ;;
    glib.h) [[ $file == examples/glib_loop.c ]] ;;
    spng.h) [[ $file == lib/providers/sample* ]] ;;
        imagine.h | imagine/*) [[ $file == @(server|examples)/* ]] ;;
    sanitizer/*) [[ $file == lib/wire/* ]] ;;
    cjson/*) [[ $file == lib/catalogue/* ]] ;; # everywhere else JSON is read without a tree
    */*) [[ $2 == @(sys|netinet|arpa|net)/* ]] ;;
    *) [[ -f /usr/include/$2 || $2 == @(stddef|stdint|stdbool|stdarg|stdalign|stdatomic|float|limits).h ]] ;;
    esac
}

check_rooms() {
    local file line kind name
    while IFS=: read -r file line kind name; do
        if [ "$kind" = quoted ]; then
            may_include "$file" "$name" || echo "$file:$line: this room may not include \"$name\""
        else
            may_use_library "$file" "$name" || echo "$file:$line: this room may not include <$name>"
        fi
    done < <(awk '
        match($0, /^[ \t]*#[ \t]*include[ \t]*["<][^">]*[">]/) {
            mark = substr($0, RSTART, RLENGTH)
            kind = mark ~ /"/ ? "quoted" : "angle"
            sub(/^[^"<]*["<]/, "", mark); sub(/[">]$/, "", mark)
            print FILENAME ":" FNR ":" kind ":" mark
        }' $sources)
}
shopt -s extglob

# ---- calls ----------------------------------------------------------------------------------------

# Prints "file:line:name" for every call, and for every use of stdout and stderr. Comments and texts
# are blanked first; a member of that name (x->time()) is no call of the function.
calls_of() {
    awk '
        FNR == 1 { in_comment = 0 }
        {
            text = ""; rest = $0
            while (rest != "") {
                if (in_comment) {
                    at = index(rest, "*/")
                    if (at == 0) break
                    rest = substr(rest, at + 2); in_comment = 0
                } else if (match(rest, /^("([^"\\]|\\.)*"|\047([^\047\\]|\\.)*\047)/)) {
                    text = text " "; rest = substr(rest, RLENGTH + 1)
                } else if (substr(rest, 1, 2) == "/*") {
                    in_comment = 1; rest = substr(rest, 3)
                } else if (substr(rest, 1, 2) == "//") {
                    break
                } else {
                    text = text substr(rest, 1, 1); rest = substr(rest, 2)
                }
            }
            while (match(text, /[A-Za-z_][A-Za-z0-9_]*/)) {
                before = substr(text, 1, RSTART - 1); name = substr(text, RSTART, RLENGTH)
                text = substr(text, RSTART + RLENGTH)
                if (before ~ /(\.|->)[ \t]*$/) continue
                if (text ~ /^[ \t]*\(/ || name == "stdout" || name == "stderr")
                    print FILENAME ":" FNR ":" name
            }
        }' "$@"
}

# Patterns of awk, matched against whole names.
unsafe='strcpy|stpcpy|strcat|strncat|strncpy|sprintf|vsprintf|strtok|strtok_r|gets|atoi|atol|atoll|atof|alloca'
risky='system|popen|rand|srand|random|srandom|tmpnam|mktemp' # fine in a test
# A library is a guest in the process: no output, no end of the process, no signals, no locale.
ill_mannered='printf|vprintf|puts|putchar|putc|perror|stdout|stderr|abort|exit|_exit|_Exit|quick_exit|signal|sigaction|sigprocmask|setlocale|uselocale|setenv|putenv|unsetenv|umask|chdir|fork|cJSON_InitHooks|curl_global_cleanup'
# By the locale that the host has set: another decimal point, another alphabet.
local_habits='strtod|strtof|strtold|strcoll|localtime|localtime_r|strftime|mktime|toupper|tolower|isalpha|isalnum|isspace|isdigit|isupper|islower|isprint|ispunct'
# All but uv, storage and listener are state machines: time comes in through imagine_io_t.
worldly='time|clock|clock_gettime|gettimeofday|timespec_get|sleep|usleep|nanosleep|getrandom|poll|select|epoll_wait|pthread_create|socket|connect|getaddrinfo'

check_calls() {
    calls_of $sources | awk -F: -v unsafe="^($unsafe|$risky)$" -v rude="^($ill_mannered)$" \
        -v local="^($local_habits)$" -v worldly="^($worldly)$" '
        { where = $1 ":" $2 ": " }
        # Its text has no decimal point and no digit of another alphabet.
        $1 == "lib/wire/str.c" && $3 == "strtod" { next }
        $3 ~ unsafe { print where $3 "() is banned" }
        $1 !~ /^lib\// { next }
        $3 ~ rude { print where $3 " is not for a library: it is a guest in the process" }
        $3 ~ local { print where $3 "() follows the locale of the host" }
        $1 ~ /^lib\/(core|catalogue|settings|wire|providers|gateway)\// && $3 ~ worldly {
            print where $3 "() reaches the world past imagine_io_t" }'
    calls_of $tests | awk -F: -v unsafe="^($unsafe)$" '
        $3 ~ unsafe { print $1 ":" $2 ": " $3 "() is banned" }'
}

# ---- headers --------------------------------------------------------------------------------------

# Public structs: what another language cannot see or that differs between compilers stays out.
check_members() {
    awk '
        FNR == 1 { in_struct = 0; in_comment = 0 }
        /^typedef (enum|struct [a-z_]+ [a-z_]+\[)/ { print FILENAME ":" FNR ": an enum has no fixed size" }
        /^(typedef )?(struct|union)( [a-z_]+)? \{$/ { in_struct = 1; next }
        /^\}/ { in_struct = 0 }
        {
            code = $0
            gsub(/\/\*[^*]*\*\//, "", code)
            if (in_comment) { if (sub(/^.*\*\//, "", code)) in_comment = 0; else next }
            if (sub(/\/\*.*$/, "", code)) in_comment = 1
            gsub(/"[^"]*"/, "", code)
        }
        code ~ /(^|[^A-Za-z0-9_])(long|short|unsigned|ssize_t|time_t|off_t|bool|_Bool|FILE|wchar_t)([^A-Za-z0-9_]|$)/ {
            print FILENAME ":" FNR ": a type whose size differs between systems, or that C++ or others lack" }
        in_struct && code ~ /:[ ]*[0-9A-Z_]+[ ]*;/ { print FILENAME ":" FNR ": a bit-field" }
        in_struct && code ~ /(^|[ (])enum / { print FILENAME ":" FNR ": an enum member" }
        in_struct && code ~ /^ +struct [a-z_]+ [a-z_]+;/ { print FILENAME ":" FNR ": a struct inside a struct" }
    ' $headers
}

# Every public struct with a body has its row in the layout test.
check_layout_rows() {
    local file line name
    while IFS=: read -r file line name; do
        grep -q "ROW($name," test/unit/core/test_layout.c ||
            echo "$file:$line: struct $name has no row in test/unit/core/test_layout.c"
    done < <(awk '/^(typedef )?struct imagine_[a-z0-9_]+ \{$/ {
        name = $0; sub(/^.*struct /, "", name); sub(/ \{$/, "", name)
        print FILENAME ":" FNR ":" name }' $headers)
}

compile_alone() { # what for, command and its arguments; complains in the compiler's words
    local what=$1
    shift
    "$@" 2>&1 | sed -nE "s#^([^:]+:[0-9]+):[0-9]+: (fatal error|error|warning): #\1: $what: #p"
}

check_lone_headers() {
    local header name
    for header in $headers; do
        name=${header#include/}
        printf '#include <%s>\n' "$name" >"$scratch/lone.c"
        cp "$scratch/lone.c" "$scratch/lone.cpp"
        compile_alone 'not C11' "${CC:-cc}" -std=c11 -pedantic -Wall -Wextra -Werror -fsyntax-only -Iinclude "$scratch/lone.c"
        compile_alone 'not C++17' "${CXX:-c++}" -std=c++17 -pedantic -Wall -Wextra -Werror -fsyntax-only -Iinclude "$scratch/lone.cpp"
    done
    for header in $(find lib -name '*.h' | sort); do
        printf '#include "%s"\n' "${header#lib/}" >"$scratch/lone.c"
        compile_alone 'does not stand alone' "${CC:-cc}" -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wno-unused-function -Werror -fsyntax-only -Iinclude -Ilib "$scratch/lone.c"
    done
    # Own header first: proves that it stands alone, and that the two agree.
    awk '
        FNR == 1 { own = FILENAME; sub(/^lib\//, "", own); sub(/\.c$/, ".h", own); is_done = system("test -f lib/" own) != 0 }
        !is_done && /^#[ ]*include/ {
            is_done = 1
            if (index($0, "\"" own "\"") == 0) print FILENAME ":" FNR ": \"" own "\" does not come first"
        }' $(find lib -name '*.c' | sort)
}

# ---- symbols --------------------------------------------------------------------------------------

check_symbols() {
    local library=$build/libimagine.so
    if [ ! -f "$library" ]; then
        echo "$library:1: not built: run make first"
        return
    fi
    awk '
        /^IMAGINE_API / { is_open = 1; text = ""; line = FNR }
        is_open { text = text " " $0 }
        is_open && /;/ {
            is_open = 0
            sub(/\(.*$/, "", text); sub(/^.*[ *]/, "", text)
            print text, FILENAME ":" line
        }' $headers | sort >"$scratch/declared"
    nm -D --defined-only "$library" | awk '$2 != "A" { print $NF }' | sort >"$scratch/versioned"
    sed 's/@.*//' "$scratch/versioned" | sort >"$scratch/exported"
    grep -v '@@LIBIMAGINE_0$' "$scratch/versioned" | sed "s|.*|$library:1: & is not in the version LIBIMAGINE_0|"
    join -v 1 "$scratch/declared" "$scratch/exported" | awk '{ print $2 ": " $1 "() is declared, but not exported" }'
    join -v 2 "$scratch/declared" "$scratch/exported" | awk -v library="$library" '{ print library ":1: exports " $1 ", which no public header declares" }'
}

# ---- settings -------------------------------------------------------------------------------------

check_settings() {
    [ -f "$build/libimagine.so" ] || return
    cat >"$scratch/help.c" <<'END'
#include <imagine.h>
#include <stdio.h>
int main(void) {
    return fputs(imagine_settings_help(), stdout) < 0;
}
END
    if ! "${CC:-cc}" -Iinclude -o "$scratch/help" "$scratch/help.c" -L"$build" -limagine \
        -Wl,-rpath,"$(cd "$build" && pwd)" 2>"$scratch/errors"; then
        echo "README.md:1: imagine_settings_help() cannot be asked: $(head -n 1 "$scratch/errors")"
        return
    fi
    "$scratch/help" | grep -oE '(<PROVIDER>|[A-Z][A-Z0-9]*)(_[A-Z0-9]+)+|\b(PORT|HOST|WORKERS|CATALOGUE)\b' | sort -u >"$scratch/helped"
    awk '
        /^\| setting \|/ { is_table = 1; next }
        is_table && !/^\|/ { is_table = 0 }
        is_table && !/^\| ---/ {
            split($0, cells, "|"); rest = cells[2]
            while (match(rest, /`[^`]+`/)) {
                print substr(rest, RSTART + 1, RLENGTH - 2) ":" FNR
                rest = substr(rest, RSTART + RLENGTH)
            }
        }' README.md >"$scratch/told"
    local name line
    while IFS=: read -r name line; do
        grep -qxF -- "$name" "$scratch/helped" || echo "README.md:$line: imagine_settings_help() does not know $name"
    done <"$scratch/told"
    while read -r name; do
        # The table names providers' tokens by examples, and their base addresses by one row.
        [[ $name == *_TOKENS || $name == *_API_BASE || $name == IMAGINE_* ]] && continue
        grep -q "^$name:" "$scratch/told" || [[ $name != @(*_*|PORT|HOST|WORKERS|CATALOGUE) ]] ||
            echo "README.md:1: the table lacks $name, which imagine_settings_help() explains"
    done <"$scratch/helped"
}

# ---- places ---------------------------------------------------------------------------------------

# In two pieces, so that this file is none of its own findings. Hosts in package managers' own words
# (an apt package, an npm name) are fine; an address ties the tree to one network.
places='/wor''k/|/ro''ot/|/tmp/ba''sh_jobs|deb\.deb''ian\.org|secur''ity\.debian\.org|registry\.np''mjs\.org|pypi\.or''g|proxy\.gol''ang\.org|crates\.i''o|host\.doc''ker\.internal'

check_places() {
    { git ls-files -co --exclude-standard 2>/dev/null || find . -type f -not -path './.git/*' -not -path "./$build/*"; } |
        tr '\n' '\0' | xargs -0 grep -nHIE -- "$places" 2>/dev/null |
        sed -E 's|^([^:]+:[0-9]+):.*$|\1: a path or a host of one machine|'
}

# ---- format ---------------------------------------------------------------------------------------

check_format() {
    clang-format --dry-run -Werror $sources $tests 2>&1 | sed -nE 's|^([^:]+:[0-9]+):[0-9]+: error: code should be clang-formatted.*|\1: not as .clang-format says|p'
}

for check in rooms calls members layout_rows lone_headers symbols settings places format; do
    complain < <("check_$check")
done
[ "$complaint_count" = 0 ] && exit 0
echo "$complaint_count violations of taste"
exit 1
