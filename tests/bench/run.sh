#!/usr/bin/env bash
# Runs the benchmarks; with an argument only those with a figure whose name begins so.
# Each names its figures in a line "figures: a.b c.d" near its top.
set -euo pipefail
cd "$(dirname "$0")/../.."
only=${1:-}

wanted() {
    local names
    names=$(sed -n '1,20s|^.*figures: \([a-z0-9. _-]*\).*|\1|p' "$1" | head -n 1)
    [ -n "$names" ] || return 1
    [ -z "$only" ] && return 0
    for name in $names; do
        case $name in "$only"*) return 0 ;; esac
    done
    return 1
}

status=0
for source in tests/bench/*.c tests/bench/*.py tests/bench/*.sh; do
    [ "$source" = tests/bench/run.sh ] && continue
    wanted "$source" || continue
    echo "== ${source#tests/bench/}"
    case $source in
    *.c) build/release/"${source%.c}" || status=1 ;;
    *.py) build/venv/bin/python "$source" ${only:+"$only"} || status=1 ;;
    *.sh) bash "$source" || status=1 ;;
    esac
done
exit $status
