#!/usr/bin/env bash
# test/run.sh [-j JOBS] [-t SECONDS] COMMAND... : run every command, each bounded in time, and end
# with one line "N passed, N failed". An option holds for the commands behind it; -j 2 runs two at
# a time, and every change of -j waits for those before it. What a command prints goes to
# $LOGS/NUMBER_COMMAND.log and is shown only when it fails. Counted are the tests that Check and `node --test`
# report; any other command is one test.
set -u
logs=${LOGS:-build/logs}
jobs=1 seconds=300 number=0 passed=0 failed=0
rm -rf "$logs"
mkdir -p "$logs"

# Check ends a test after 4 seconds by itself: too few under a sanitizer on a busy machine.
export CK_DEFAULT_TIMEOUT=${CK_DEFAULT_TIMEOUT:-90}

# A file name for the command of this number: its words without what makes them a path.
log_name() {
    local name=${2//[^A-Za-z0-9_.-]/_}
    printf '%03d_%s' "$1" "${name:0:100}"
}

run_one() { # command, log file: leaves "passed failed" in LOG.count
    local command=$1 log=$2 status=0 began=$SECONDS ok bad
    timeout --kill-after=10 "$seconds" bash -c "$command" >"$log" 2>&1 </dev/null || status=$?
    read -r ok bad < <(awk '
        /^[0-9]+%: Checks: [0-9]+, Failures: [0-9]+, Errors: [0-9]+/ {
            split($0, n, /[^0-9]+/); bad += n[3] + n[4]; ok += n[2] - n[3] - n[4]; seen = 1 }
        /^(#|ℹ) pass [0-9]+$/ { ok += $3; seen = 1 }
        /^(#|ℹ) (fail|cancelled) [0-9]+$/ { bad += $3; seen = 1 }
        END { if (seen) print ok + 0, bad + 0; else print "none 0" }' "$log")
    if [ "$ok" = none ]; then
        ok=$((status == 0)) bad=$((status != 0))
    elif [ "$status" != 0 ] && [ "$bad" = 0 ]; then
        bad=1 # it crashed or hung behind its last report
    fi
    echo "$ok $bad" >"$log.count"
    if [ "$bad" = 0 ]; then
        printf 'ok    %5d tests %4d s  %s\n' "$ok" $((SECONDS - began)) "${command:0:100}"
    else
        [ "$status" = 124 ] && echo "Ended after $seconds seconds." >>"$log"
        printf 'FAIL  %5d of %d %4d s  %s\n%s\n' "$bad" $((ok + bad)) $((SECONDS - began)) \
            "$command" "$(tail -n 60 "$log" | sed 's/^/      | /')"
    fi
}

while [ $# -gt 0 ]; do
    case $1 in
    -j) wait; jobs=$2; shift 2; continue ;;
    -t) seconds=$2; shift 2; continue ;;
    esac
    while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do
        wait -n
    done
    number=$((number + 1))
    run_one "$1" "$logs/$(log_name $number "$1").log" 2>/dev/null &
    [ "$jobs" -gt 1 ] || wait
    shift
done
wait

for count in "$logs"/*.count; do
    [ -f "$count" ] || continue
    read -r ok bad <"$count"
    passed=$((passed + ok)) failed=$((failed + bad))
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
