#!/bin/sh
# results/ from what the experiments left: results.sh PROGRAM STUDY (`make results` calls it). STUDY is the experiment that
# leads the page.
#   results/fewstep.db            the compact database: one file without a write-ahead log, curves thinned
#   results/EXPERIMENT.{txt,md,tex,csv}   the tables of every experiment in it
#   results/samples/EXPERIMENT/   the grids of samples
#   results/EXPERIMENT.png        methods × steps of them, in one picture
#   README.md                     the table of its front page: the first of the file that its mark names
#   tests/golden/outputs/         what the program says about a new database, which the tests compare with
#   results/report.html           the page, and results/report.png, a picture of its top, where there is a chromium
# It takes out/fewstep.db (or the file that FEWSTEP_DB names) and the samples/ beside it. Where there is none, the committed database stays and only the
# tables are made again from it.
set -eu
program=$1 study=$2
source=${FEWSTEP_DB:-out/fewstep.db}
samples=$(dirname "$source")/samples
mkdir -p results
if [ -f "$source" ]; then
    rm -f results/fewstep.db.new
    sqlite3 "$source" "VACUUM INTO 'results/fewstep.db.new'"
    # Of each curve but the loss, which tells trainings that fell back, at most 60 points, the last among them.
    sqlite3 results/fewstep.db.new "DELETE FROM curves WHERE (run, name, at_update) IN (
        SELECT run, name, at_update FROM (
            SELECT run, name, at_update, count(*) OVER (PARTITION BY run, name) AS points,
                   row_number() OVER (PARTITION BY run, name ORDER BY at_update DESC) AS place
            FROM curves WHERE name <> 'loss')
        WHERE (place - 1) % ((points + 59) / 60) <> 0); VACUUM"
    mv results/fewstep.db.new results/fewstep.db
    sh tests/golden/make_outputs_golden.sh "$program" tests/golden/outputs
fi
if [ ! -f results/fewstep.db ]; then
    echo "fewstep: neither $source nor results/fewstep.db is there: run an experiment first" >&2
    exit 2
fi
scored="SELECT DISTINCT e.name FROM experiments e JOIN experiment_scores m ON m.experiment = e.id JOIN scores s ON s.number = m.score
    WHERE s.run IS NOT NULL ORDER BY e.name <> '$study', e.name = 'demo', e.name" # the toy closes
for experiment in $(sqlite3 -readonly results/fewstep.db "$scored"); do
    for format in text:txt markdown:md latex:tex csv:csv; do
        "$program" table "$experiment" --db results/fewstep.db --format "${format%:*}" \
            > "results/$experiment.${format#*:}"
    done
    if [ -d "$samples/$experiment" ]; then
        mkdir -p "results/samples/$experiment"
        rm -f "results/samples/$experiment"/*.png
        cp "$samples/$experiment"/*.png "results/samples/$experiment/"
    fi
    [ ! -d "results/samples/$experiment" ] ||
        "$program" report "$experiment" --db results/fewstep.db --picture "results/$experiment.png"
    echo "results/$experiment.txt, .md, .tex, .csv, .png" >&2
done
# The front page's table, between its two marks.
named=$(sed -n 's/^<!-- table of \([^:]*\): .*/\1/p' README.md)
awk -v table="$named" '
    /^<!-- end of table -->/ { inside = 0 }
    !inside
    /^<!-- table of / {
        inside = 1
        while ((getline line < table) > 0 && !(seen && line !~ /^\|/)) if (line ~ /^\|/) { print line; seen = 1 }
    }' README.md > README.md.new
cmp -s README.md.new README.md && rm README.md.new || mv README.md.new README.md
echo "README.md: the table of $named" >&2
# shellcheck disable=SC2046 # a name is a word
"$program" report $(sqlite3 -readonly results/fewstep.db "$scored") --db results/fewstep.db -o results/report.html
echo "results/report.html" >&2
chromium=$(command -v chromium || command -v chromium-browser || true)
if [ -z "$chromium" ]; then
    echo "fewstep: no chromium, so results/report.png stays as it was (make deps-page installs one)" >&2
    exit 0
fi
sandbox=
[ "$(id -u)" -ne 0 ] || sandbox=--no-sandbox # chromium's own refuses to work for root
"$chromium" --headless $sandbox --disable-gpu --hide-scrollbars --window-size=1100,1560 \
    --screenshot="$PWD/results/report.png" "file://$PWD/results/report.html" 2>/dev/null
echo "results/report.png" >&2
