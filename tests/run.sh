#!/bin/sh
# Runs test programs, as many at once as there are processors (JOBS=1: one after the other), and adds up what cmocka
# says: run.sh PROGRAM…
# The last named are begun first, for the long ones (end_to_end, cuda_host) stand there, and nothing should wait for one
# of them at the end. A program that fails is shown whole; skips are said aloud; the last line is "N passed, N failed".
set -u
# Threads that wait asleep: see let_threads_sleep in harness/cli/main.c.
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}"
# OpenBLAS's threads wait awake, which takes the processor from the programs beside: test_dry_run took 240 s where it takes 14.
export OPENBLAS_NUM_THREADS="${OPENBLAS_NUM_THREADS:-1}"

# How many tests of a log ended so: count LOG WORD
count() { sed -n "s/^\[  *$2  *\] \([0-9]*\) test.*/\1/p" "$1" | awk '{ n += $1 } END { print n + 0 }'; }

# One program: what is said of it goes out in one write, its sums to LOGS/N.sums.
if [ "$1" = --one ]; then
    logs=$2 number=${3%%:*} program=${3#*:}
    log=$logs/$number.log
    begin=$(date +%s)
    timeout -k 10 "${TEST_TIMEOUT:-1200}" "$program" >"$log" 2>&1
    status=$?
    ok=$(count "$log" PASSED)
    bad=$(count "$log" FAILED)
    skip=$(count "$log" SKIPPED)
    [ "$status" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
    echo "$ok $bad $skip" >"$logs/$number.sums"
    said=$(
        if [ "$status" -eq 124 ]; then
            printf '\n%s did not end in %s s (TEST_TIMEOUT)\n' "$program" "${TEST_TIMEOUT:-1200}"
        fi
        if [ "$status" -ne 0 ]; then
            printf '\n%s ended with status %s:\n' "$program" "$status"
            cat "$log"
        fi
        printf '%-52s %4d passed' "${program#build/}" "$ok"
        [ "$bad" -eq 0 ] || printf ', %d FAILED' "$bad"
        [ "$skip" -eq 0 ] || printf ', %d skipped' "$skip"
        printf ' (%d s)\n' $(($(date +%s) - begin))
        [ "$skip" -eq 0 ] || grep -i 'skip' "$log" | grep -v '^\[' | sed 's/^/    /'
    )
    printf '%s\n' "$said"
    exit 0
fi

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
number=0
for program in "$@"; do
    number=$((number + 1))
    echo "$number:$program"
done | sort -rn | xargs -n 1 -P "${JOBS:-$(nproc)}" sh "$0" --one "$logs"
cat "$logs"/*.sums | awk -v programs=$# '
    { passed += $1; failed += $2; skipped += $3 }
    END {
        failed += programs - NR # one that left no sums was ended from outside
        if (skipped) printf "%d tests were skipped: see above\n", skipped
        printf "%d passed, %d failed\n", passed, failed
        exit failed != 0
    }'
