#!/bin/sh
# The paper: make.sh PROGRAM DATABASE BUILD-FOLDER RESULT.pdf (`make paper` calls it). A warning of LaTeX is a failure.
# PAPER_OPTIONS: more options for `fewstep paper`, such as "--set main=demo".
set -eu
program=$1 database=$2 build=$3 result=$4
mkdir -p "$build"
rm -f "$build"/fs-*.tex "$build"/fs-*.dat
# shellcheck disable=SC2086 # options are meant to be split
"$program" paper --db "$database" -o "$build" ${PAPER_OPTIONS:-}
for tool in latexmk pdflatex kpsewhich; do
    if ! command -v $tool >/dev/null 2>&1; then
        echo "fewstep: there is no $tool: make deps-paper installs LaTeX (Debian); the generated files are in $build" >&2
        exit 3
    fi
done
for file in pgfplots.sty booktabs.sty lmodern.sty microtype.sty; do
    if ! kpsewhich $file >/dev/null; then
        echo "fewstep: LaTeX has no $file: make deps-paper installs it (Debian)" >&2
        exit 3
    fi
done
main=$(sed -n 's/^\\fsset{main\/experiment}{\(.*\)}$/\1/p' "$build/fs-facts.tex" | tr -d '\\')
if grep -q '^\\fssamplestrue' "$build/fs-facts.tex"; then
    "$program" report "$main" --db "$database" --picture "$build/methods.png"
fi
here=$PWD
build=$(cd "$build" && pwd)
# The date of the files inside the PDF: none, so that the same database makes the same bytes.
if ! (cd paper && SOURCE_DATE_EPOCH=0 FORCE_SOURCE_DATE=1 TEXINPUTS=".:$build:" max_print_line=1000 \
        latexmk -pdf -silent -interaction=nonstopmode -halt-on-error -outdir="$build" fewstep.tex) \
        >"$build/latexmk.log" 2>&1; then
    echo "fewstep: LaTeX failed: $(grep -m1 -A1 '^!' "$build/fewstep.log" | tr '\n' ' ')(all of it: $build/fewstep.log)" >&2
    exit 3
fi
if grep -n -E 'Warning|^(Over|Under)full' "$build/fewstep.log" >&2; then
    echo "fewstep: LaTeX warns, as shown above; the paper is only in $build/fewstep.pdf" >&2
    exit 3
fi
cd "$here"
cp "$build/fewstep.pdf" "$result"
echo "$result" >&2
