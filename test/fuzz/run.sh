#!/usr/bin/env bash
# test/fuzz/run.sh PROGRAM SECONDS: run one fuzzer from its kept corpus, test/fuzz/corpus/NAME/,
# where PROGRAM is …/fuzz_NAME. What it finds new stays in a scratch directory beside the program;
# an input that breaks something is worth keeping in the corpus once it is mended.
set -eu
program=$1 seconds=$2
name=$(basename "$program")
name=${name#fuzz_}
scratch=$program.corpus
kept=$(dirname "$0")/corpus/$name
mkdir -p "$scratch"
dictionary=$(dirname "$0")/$name.dict
exec "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="$program." $([ -f "$dictionary" ] && echo "-dict=$dictionary") \
    "$scratch" $([ -d "$kept" ] && echo "$kept")
