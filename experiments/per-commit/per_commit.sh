#!/bin/sh
# What CI does with a commit, once it is built: per_commit.sh BASE [EXPERIMENT.yaml] [OUT]
#   OUT/fewstep.db      every commit's scores; CI keeps it from one commit to the next
#   OUT/table.txt       the table of this commit
#   OUT/verdict.md      whether scores moved since BASE, as a comment
#   OUT/verdict.jsonl   the same for programs, a cell a line
# Exit status: 0 same or better, 1 worse, 4 undecided, others as `fewstep run` has them. Where BASE is no commit (the
# first push of a branch), there is nothing to compare with: 0.
set -eu
base=${1:-}
experiment=${2:-experiments/per-commit.yaml}
out=${3:-out/fid}
program=${FEWSTEP:-build/fewstep}
name=$(sed -n 's/^experiment: *//p' "$experiment")

mkdir -p "$out"
"$program" run "$experiment" --out "$out" --quiet >"$out/table.txt"
cat "$out/table.txt"
if ! git rev-parse --quiet --verify "$base^{commit}" >/dev/null 2>&1; then
    echo "### fewstep: nothing to compare with yet" | tee "$out/verdict.md"
    exit 0
fi

verdict() { "$program" regress "$name" --base "$base" --db "$out/fewstep.db" --format "$1"; }
status=0
verdict json >"$out/verdict.jsonl" || status=$?
if [ "$status" -eq 3 ]; then # BASE has no scores here: its own program makes them, once
    "$program" run "$experiment" --at "$base" --out "$out" --quiet >/dev/null
    status=0
    verdict json >"$out/verdict.jsonl" || status=$?
fi
case $status in
0 | 1 | 4) ;;
*) exit "$status" ;;
esac
verdict markdown >"$out/verdict.md" || true # the same status again
cat "$out/verdict.md"
exit "$status"
