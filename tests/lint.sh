#!/usr/bin/env bash
# House rules that no compiler knows.  Prints each breach and fails if there was one.
set -uo pipefail
cd "$(dirname "$0")/.."
bad=0

complain() {
    echo "lint: $*"
    bad=1
}

files=$(git ls-files -- '*.c' '*.h'; git ls-files --others --exclude-standard -- '*.c' '*.h')

# Stages share common/ and nothing else.
for stage in capture encoder shipper; do
    for other in capture encoder shipper deploy tests; do
        [ "$stage" = "$other" ] && continue
        hits=$(grep -rnE "^#include \"$other/" "$stage" --include='*.[ch]')
        [ -n "$hits" ] && complain "$stage/ includes $other/:" "$hits"
    done
done
hits=$(grep -rnE '^#include "(capture|encoder|shipper|deploy|tests)/' common --include='*.[ch]')
[ -n "$hits" ] && complain "common/ includes a stage:" "$hits"

# Includes are written from the root of the tree.
hits=$(grep -nE '^#include "[^/"]+"' $files)
[ -n "$hits" ] && complain "includes not written from the root:" "$hits"

# Every header compiles alone.
for header in $(printf '%s\n' $files | grep '\.h$'); do
    printf '#include "%s"\ntypedef int alone;\n' "$header" |
        ${CC:-gcc} -std=c17 -D_GNU_SOURCE -DWEIR_FAULTS -DWEIR_VERSION='""' -I. -Wall -Wextra -Werror \
            -fsyntax-only -x c - 2>&1 | sed 's/^/    /' | head -n 5 | grep . &&
        complain "$header does not compile alone"
done

# A room without a README is not a room.
for folder in $(git ls-files | grep / | sed 's|/[^/]*$||' | sort -u); do
    case $folder in
    .ci | tests/vectors/* | tests/fuzz/corpus/* | tests/e2e/js | tests/setup) continue ;;
    esac
    [ -f "$folder/README.md" ] || complain "$folder has no README.md"
done

# Files that ask to be split.
for file in $files; do
    lines=$(wc -l <"$file")
    [ "$lines" -gt 1100 ] && complain "$file has $lines lines; split it"
done

marks='TO''DO|FIX''ME|XX''X'
hits=$(git ls-files | grep -v '^LICENSE$' | xargs grep -nIE "(^|[^A-Za-z])($marks)([^A-Za-z]|\$)" | head -n 10)
[ -n "$hits" ] && complain "unfinished marks:" "$hits"

exit $bad
