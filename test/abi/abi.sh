#!/usr/bin/env bash
# test/abi/abi.sh: what a program linked with libimagine rests on does not change. The kept baseline:
#   libimagine.abi      functions, structs and types, as libabigail's abidw writes them down
#   libimagine.numbers  what debug information does not have: see numbers.sh
# and, for Debian's packages, since which version each function is there (libimagine0.symbols).
#
#   abi.sh check LIBRARY [INCLUDE]   LIBRARY still keeps what the baseline promises: nothing is
#                                    removed or changed. Additions pass, also behind a struct's end
#   abi.sh baseline                  promise from now on what the headers say
#   abi.sh stand-in INCLUDE LIBRARY  make a library with the functions of these headers and nothing
#                                    in them
#
# The baseline is made of a stand-in, so that nothing private and no place is in it. Sizes in it are
# those of 64-bit systems: elsewhere there is nothing to compare with.
set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

write_down() { # library, include folder, out
    abidw --headers-dir "$2" --drop-private-types --exported-interfaces-only --no-architecture \
        --no-corpus-path --no-comp-dir-path --no-show-locs --no-elf-needed --type-id-style hash \
        --no-write-default-sizes --out-file "$3" "$1"
}

stand_in() { # include folder, library
    local headers
    headers=$(cd "$1" && find . -name '*.h' | sort | sed 's|^\./||')
    (
        cd "$1"
        printf '#include <%s>\n' $headers
        awk -f "$here/stand_in.awk" $headers
    ) >"$scratch/libimagine.c"
    # By its bare name: that is what debug information repeats.
    (cd "$scratch" && "${CC:-cc}" -std=c11 -g -fPIC -shared -I"$1" -Wl,-soname,libimagine.so.0 \
        -Wl,--version-script="$root/lib/libimagine.map" -o "$2" libimagine.c)
}

check() { # library, include folder
    local status=0
    # Members and their order are kept.awk's business; a struct that grows is none of abidiff's.
    awk -f "$here/layout.awk" "$here/libimagine.abi" >"$scratch/layout.then"
    awk '/^member [a-z0-9_]+ 0 size size_t$/ { names = names (names ? "|" : "") $2 }
        END { print "[suppress_type]\ntype_kind = struct\nname_regexp = ^(" names ")$"
              print "has_data_member_inserted_at = end\nhas_size_change = yes" }' \
        "$scratch/layout.then" >"$scratch/growth.suppr"
    abidiff --fail-no-debug-info --headers-dir2 "$2" --drop-private-types --no-architecture \
        --no-added-syms --suppressions "$scratch/growth.suppr" "$here/libimagine.abi" "$1" \
        >"$scratch/report" 2>&1 || { status=1 && cat "$scratch/report"; }
    write_down "$1" "$2" "$scratch/now.abi"
    awk -f "$here/layout.awk" "$scratch/now.abi" >"$scratch/layout.now"
    "$here/numbers.sh" "$2" >"$scratch/numbers.now"
    awk -f "$here/kept.awk" <(cat "$scratch/layout.then" "$here/libimagine.numbers") \
        <(cat "$scratch/layout.now" "$scratch/numbers.now") | sort >"$scratch/complaints"
    cat "$scratch/complaints"
    [ -s "$scratch/complaints" ] && status=1
    [ $status = 0 ] || echo "The interface of $1 is not what was promised (test/abi/abi.sh)."
    return $status
}

baseline() {
    stand_in "$root/include" "$scratch/libimagine.so"
    write_down "$scratch/libimagine.so" "$root/include" "$here/libimagine.abi"
    "$here/numbers.sh" "$root/include" >"$here/libimagine.numbers"
    local version symbols=$root/server/deploy/debian/libimagine0.symbols
    version=$(sed -n 's/^#define IMAGINE_VERSION "\(.*\)"/\1/p' "$root/include/imagine.h")
    cp "$symbols" "$scratch/symbols"
    sed -n "s/.*<elf-symbol name='\([^']*\)'.*/ \1@LIBIMAGINE_0/p" "$here/libimagine.abi" |
        while read -r symbol; do
            grep -q "^ $symbol " "$scratch/symbols" || echo " $symbol $version" >>"$scratch/symbols"
        done
    { head -n 1 "$scratch/symbols" && tail -n +2 "$scratch/symbols" | sort; } >"$symbols"
}

absolute() { (cd "$(dirname "$1")" && echo "$PWD/$(basename "$1")"); }

if [ "$(getconf LONG_BIT)" != 64 ]; then
    echo 'The baseline is of a 64-bit system: nothing to compare with.'
    exit 0
fi
case ${1:-} in
check) check "$(absolute "$2")" "$(absolute "${3:-$root/include}")" ;;
baseline) baseline ;;
stand-in) stand_in "$(absolute "$2")" "$(absolute "$3")" ;;
*) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" && exit 2 ;;
esac
