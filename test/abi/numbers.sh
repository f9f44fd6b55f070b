#!/usr/bin/env bash
# test/abi/numbers.sh INCLUDE_FOLDER: what debug information does not have, one line each, sorted:
#   number IMAGINE_EINVAL -1                  enumerators and macros, by their value
#   text IMAGINE_PARAMS_INIT {.size=…}        macros that have none, without blanks
#   macro IMAGINE_ERRORS(X)                   macros with parameters, by their head
# IMAGINE_VERSION is meant to change, and guards (empty ones) mean nothing to a program.
set -euo pipefail
export LC_ALL=C
include=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

(cd "$include" && find . -name '*.h' | sort | sed 's|^\./\(.*\)|#include <\1>|') >"$scratch/all.h"
"${CC:-cc}" -std=c11 -I"$include" -E -dM -x c "$scratch/all.h" |
    sed -n 's/^#define \(IMAGINE_.*[^ ]\) *$/\1/p' | grep ' ' | grep -v '^IMAGINE_VERSION ' >"$scratch/macros"
{
    awk '$1 !~ /\(/ && $2 !~ /^(\{|__attribute__)/ { print $1 }' "$scratch/macros"
    "${CC:-cc}" -std=c11 -I"$include" -E -P -x c "$scratch/all.h" | tr '\n' ' ' |
        grep -oE 'enum [a-z_]*[ ]*\{[^}]*\}' | grep -oE 'IMAGINE_[A-Z0-9_]+ *[=,}]' | grep -oE 'IMAGINE_[A-Z0-9_]+'
} | sort -u >"$scratch/names"

# Whatever has a value, the compiler knows it.
{
    cat "$scratch/all.h"
    cat <<'C'
#include <stdio.h>
static void show_text(const char *name, const char *value) { printf("number %s \"%s\"\n", name, value); }
static void show_double(const char *name, double value) { printf("number %s %g\n", name, value); }
static void show_number(const char *name, long long value) { printf("number %s %lld\n", name, value); }
#define SHOW(name) _Generic((name), char *: show_text, double: show_double, default: show_number)(#name, name)
int main(void) {
C
    sed 's/.*/    SHOW(&);/' "$scratch/names"
    echo '    return 0; }'
} >"$scratch/show.c"
"${CC:-cc}" -std=c11 -I"$include" -o "$scratch/show" "$scratch/show.c"
{
    "$scratch/show"
    sed -n 's/^\(IMAGINE_[A-Z0-9_]*([^)]*)\).*/macro \1/p' "$scratch/macros"
    awk '$1 !~ /\(/ && $2 ~ /^(\{|__attribute__)/ {
        name = $1; $1 = ""; gsub(/ /, ""); print "text " name " " $0 }' "$scratch/macros"
} | sort
