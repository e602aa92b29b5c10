#!/usr/bin/env bash
# Proves that the ring's tests can fail: builds the ring with one step of its protocol broken
# at a time, into build/mutant/<n>, and demands that the named test notices.
#   tests/crash/ring_mutants.sh [n ...]
# Left to the model (tests/model): the waiter's own fence, whose loss the kernel's second look
# at the futex word hides on every machine we know.
set -euo pipefail
cd "$(dirname "$0")/../.."

# number | what is broken | kind of build | test that must notice | its arguments
mutants='
0|nothing: the control|plain|tests/crash/ring_crash.c|--seconds 4
0|nothing: the control|tsan|tests/unit/ring_threads_test.c|
1|slot written after the tail|plain|tests/crash/ring_crash.c|--seconds 20
2|one slot instead of two|plain|tests/crash/ring_crash.c|--seconds 20
3|input released before the output is published|plain|tests/crash/ring_crash.c|--seconds 20
4|no room test for the pad|plain|tests/unit/ring_test.c|
5|the look at the waiter overtakes the tail store|plain|tests/unit/ring_wait_test.c|
6|relaxed tail store|tsan|tests/unit/ring_threads_test.c|
7|relaxed release store|tsan|tests/unit/ring_threads_test.c|
8|relaxed tail load|tsan|tests/unit/ring_threads_test.c|
9|relaxed release load|tsan|tests/unit/ring_threads_test.c|
10|no lock on the ends|plain|tests/unit/ring_attach_test.c|
'
sources="$(ls common/ring*.c) common/crc32c.c common/err.c common/fault.c common/clock.c"
flags=(-I. -D_GNU_SOURCE -DWEIR_FAULTS -include common/poison.h -std=c17 -O1 -g -fPIE)

build() { # number kind test output
    local dir=build/mutant/$1/$2 extra=() objects=() object
    [ "$2" = tsan ] && extra=(-fsanitize=thread)
    mkdir -p "$dir"
    for source in $sources "$3"; do
        object=$dir/$(basename "$source" .c).o
        "${CC:-gcc}" "${flags[@]}" "${extra[@]}" -DRING_MUTANT="$1" -c -o "$object" "$source" &
        objects+=("$object")
        [ $((${#objects[@]} % 2)) -eq 0 ] && wait
    done
    wait
    "${CC:-gcc}" -pie "${extra[@]}" -o "$4" "${objects[@]}" -lcheck -lsubunit -lrt -lm -lpthread
}

failed=0
checked=0
while IFS='|' read -r number what kind test arguments; do
    [ -n "$number" ] || continue
    if [ $# -gt 0 ] && [[ " $* " != *" $number "* ]]; then continue; fi
    program=build/mutant/$number/$kind/$(basename "$test" .c)
    mkdir -p "$(dirname "$program")"
    build "$number" "$kind" "$test" "$program"
    # A report of ThreadSanitizer ends the test at once; a hang counts as noticed.
    result=good
    # shellcheck disable=SC2086
    TSAN_OPTIONS=halt_on_error=1 timeout 110 "$program" $arguments \
        >"$program.log" 2>&1 </dev/null || result=noticed
    wanted=noticed
    [ "$number" = 0 ] && wanted=good
    checked=$((checked + 1))
    if [ $result = $wanted ]; then
        echo "ok      mutant $number: $what: $result by $(basename "$test" .c)"
    else
        echo "FAILED  mutant $number: $what: $result by $(basename "$test" .c); see $program.log"
        failed=$((failed + 1))
    fi
done <<<"$mutants"
echo "$((checked - failed)) passed, $failed failed"
[ $failed -eq 0 ] && [ $checked -gt 0 ]
