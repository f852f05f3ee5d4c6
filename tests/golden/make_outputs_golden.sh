#!/bin/sh
# What the program says about the committed database, into FOLDER: make_outputs_golden.sh PROGRAM FOLDER [no-history]
# tests/end_to_end/test_outputs.c compares it with tests/golden/outputs, which this script wrote; the tables of the
# experiments are compared with results/ itself. Where an output is meant to change, write the goldens again and say in
# the commit which bytes changed and why (`make results` does so for a new database):
#   sh tests/golden/make_outputs_golden.sh build/fewstep tests/golden/outputs
set -eu
program=$1 folder=$2
database=results/fewstep.db
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$folder"

for setting in celebahq256 imagenet256; do
    for format in text:txt markdown:md latex:tex csv:csv; do
        "$program" table --published $setting --db $database --format "${format%:*}" \
            >"$folder/published-$setting.${format#*:}"
    done
done

# The commits' sources are asked of git; exit status 4 says undecided, which is the verdict here.
if [ "${3:-}" != no-history ]; then
    for option in :txt --json:json; do
        status=0
        # shellcheck disable=SC2086 # no option is no word
        "$program" regress demo --base 9c6784b --head b359a40 ${option%:*} --db $database \
            >"$folder/regress-demo.${option#*:}" || status=$?
        [ $status -eq 4 ]
    done
fi

# Too big to keep: one line a kind of line of the JSON, an experiment's CSV, or an event file: name, lines or bytes, hash.
"$program" export --format json --db $database >"$work/export.json"
{
    for type in $(grep -o '^{"type":"[a-z_]*' "$work/export.json" | cut -d\" -f4 | uniq | LC_ALL=C sort -u); do
        grep "^{\"type\":\"$type\"" "$work/export.json" >"$work/lines"
        printf 'json %s\t%s\t%s\n' $type "$(wc -l <"$work/lines")" "$(sha256sum <"$work/lines" | cut -d' ' -f1)"
    done
    for table in results/*.csv; do
        experiment=$(basename "$table" .csv)
        "$program" export "$experiment" --format csv --db $database >"$work/lines"
        printf 'csv %s\t%s\t%s\n' "$experiment" "$(wc -l <"$work/lines")" "$(sha256sum <"$work/lines" | cut -d' ' -f1)"
    done
    "$program" export --format tensorboard -o "$work/tensorboard" --db $database >/dev/null 2>&1
    (cd "$work/tensorboard" && find . -type f | LC_ALL=C sort | xargs cat) >"$work/events"
    printf 'tensorboard\t%s\t%s\n' "$(wc -c <"$work/events")" "$(sha256sum <"$work/events" | cut -d' ' -f1)"
} >"$folder/export.tsv"

# The facts of the paper, and the switches that are set: name, value.
"$program" paper --db $database -o "$work/paper" 2>/dev/null
{
    sed -n 's/^\\fsset{\([^}]*\)}{\(.*\)}$/\1	\2/p' "$work/paper/fs-facts.tex" | LC_ALL=C sort
    grep -o '\\fs[a-z]*true' "$work/paper/fs-facts.tex" | LC_ALL=C sort
} >"$folder/paper-facts.tsv"
# Its tables and figures, a line a file: name, lines, hash; without the pictures' paths, and the commands that `show` has.
(cd "$work/paper" && for file in $(ls | LC_ALL=C sort); do
    case $file in fs-facts.tex | fs-samples.tex | fs-runs.tex) continue ;; esac
    printf '%s\t%s\t%s\n' "$file" "$(wc -l <"$file")" "$(sha256sum <"$file" | cut -d' ' -f1)"
done) >"$folder/paper-files.tsv"
