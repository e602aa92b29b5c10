#!/usr/bin/env bash
# figures: encoder.instructions
# Instructions per message, from taking an event to its committed record, by callgrind.
set -euo pipefail
cd "$(dirname "$0")/../.."
count=10000
out=$(mktemp)
trap 'rm -f "$out" "$out.log"' EXIT
valgrind --tool=callgrind --toggle-collect=encoder_turn --callgrind-out-file="$out" \
    build/release/tests/bench/encoder --count "$count" 2>"$out.log" || {
    cat "$out.log"
    exit 1
}
total=$(sed -n 's/.*Collected : *\([0-9]*\).*/\1/p' "$out.log")
awk -v total="$total" -v count="$count" 'BEGIN {
    each = total / count
    printf "figure\tencoder.instructions\t%.0f\tinstructions/message\t%.3f\tthe aim of 1800\n",
        each, each / 1800
}'
