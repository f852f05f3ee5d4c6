#!/bin/sh
# Runs test programs one after the other and adds up what cmocka says: run.sh PROGRAM…
# A program that fails is shown whole; skips are said aloud; the last line is "N passed, N failed".
set -u
# Threads that wait asleep: see let_threads_sleep in harness/cli/main.c.
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}"
passed=0
failed=0
skipped=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for program in "$@"; do
    begin=$(date +%s)
    "$program" >"$log" 2>&1
    status=$?
    ok=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) test.*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
    bad=$(sed -n 's/^\[  FAILED  \] \([0-9]*\) test.*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
    skip=$(sed -n 's/^\[  SKIPPED \] \([0-9]*\) test.*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
    if [ "$status" -ne 0 ]; then
        [ "$bad" -gt 0 ] || bad=1
        printf '\n%s ended with status %s:\n' "$program" "$status"
        cat "$log"
    fi
    printf '%-52s %4d passed' "${program#build/}" "$ok"
    [ "$bad" -eq 0 ] || printf ', %d FAILED' "$bad"
    [ "$skip" -eq 0 ] || printf ', %d skipped' "$skip"
    printf ' (%d s)\n' $(($(date +%s) - begin))
    [ "$skip" -eq 0 ] || grep -i 'skip' "$log" | grep -v '^\[' | sed 's/^/    /'
    passed=$((passed + ok))
    failed=$((failed + bad))
    skipped=$((skipped + skip))
done
[ "$skipped" -eq 0 ] || printf '%d tests were skipped: see above\n' "$skipped"
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
