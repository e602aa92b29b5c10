#!/usr/bin/env bash
# Runs the test programs of one kind and counts them.
#   tests/run.sh unit MODE     every unit test program of build/MODE
#   tests/run.sh crash         the crash campaigns, short form
#   tests/run.sh scripts       tests that are scripts (mutants, models)
#   tests/run.sh fuzz          every fuzzer, a few seconds each
#   tests/run.sh e2e [ARGS]    pytest over tests/e2e
#   tests/run.sh sum           adds up the results of the calls before; fails when one failed
# Results collect in build/test-results; each program has 120 s (a campaign 300 s).
set -uo pipefail
cd "$(dirname "$0")/.."

results=build/test-results
mkdir -p "$results"

# run NAME SECONDS COMMAND... : one test program; its output is shown only when it fails.
run() {
    local name=$1 seconds=$2 log="$results/${1//\//_}.log"
    shift 2
    local from=$SECONDS
    if timeout --kill-after=10 "$seconds" "$@" >"$log" 2>&1 </dev/null; then
        printf 'ok      %s (%d s)\n' "$name" $((SECONDS - from))
        echo ok >"$results/${name//\//_}.result"
    else
        printf 'FAILED  %s (exit %d)\n' "$name" $?
        tail -n 60 "$log" | sed 's/^/    /'
        echo failed >"$results/${name//\//_}.result"
    fi
}
export -f run
export results

programs() {
    find "build/$1/$2" -maxdepth 1 -type f -executable 2>/dev/null | sort
}

case ${1:-} in
unit)
    mode=$2
    # Two at a time: the machine has two cores, and libcheck's own limits are generous.
    programs "$mode" tests/unit |
        xargs -r -P 2 -I{} bash -c 'run "$0/$(basename {})" 240 {}' "$mode"
    ;;
crash)
    for program in $(programs test tests/crash); do
        # Feeders and readers for the end-to-end tests live there too; they have no campaign.
        case $(basename "$program") in feed_* | *_dump) continue ;; esac
        run "crash/$(basename "$program")" 300 "$program"
    done
    ;;
scripts)
    for script in tests/crash/*.sh tests/model/*.sh; do
        [ -f "$script" ] && run "$script" 600 bash "$script"
    done
    ;;
fuzz)
    for program in $(programs fuzz tests/fuzz); do
        corpus="tests/fuzz/corpus/$(basename "$program")"
        mkdir -p build/fuzz/found
        [ -d "$corpus" ] || corpus=
        mkdir -p "build/fuzz/corpus/$(basename "$program")"
        run "fuzz/$(basename "$program")" 120 "$program" -max_total_time="${FUZZ_SECONDS:-4}" \
            -max_len=65536 -artifact_prefix=build/fuzz/found/ \
            "build/fuzz/corpus/$(basename "$program")" $corpus
    done
    ;;
e2e)
    shift
    build/venv/bin/python -m pytest -q -p no:cacheprovider tests/e2e "$@"
    rc=$?
    if [ $rc -eq 0 ]; then echo ok; else echo failed; fi >"$results/e2e.result"
    ;;
sum)
    good=$(grep -lx ok "$results"/*.result 2>/dev/null | wc -l)
    bad=$(grep -lx failed "$results"/*.result 2>/dev/null | wc -l)
    grep -lx failed "$results"/*.result 2>/dev/null | sed 's|.*/||; s|\.result$||; s|^|failed: |'
    echo "$good passed, $bad failed"
    [ "$bad" -eq 0 ] && [ "$good" -gt 0 ]
    ;;
*)
    sed -n '2,9s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
