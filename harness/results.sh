#!/bin/sh
# results/ from what the experiments left: results.sh PROGRAM (`make results` calls it).
#   results/fewstep.db            the compact database: one file without a write-ahead log
#   results/EXPERIMENT.{txt,md,csv}   the tables of every experiment in it
#   results/samples/EXPERIMENT/   the grids of seed 0
# It takes out/fewstep.db (or the file that FEWSTEP_DB names) and the samples/ beside it. Where there is none, the committed database stays and only the
# tables are made again from it.
set -eu
program=$1
source=${FEWSTEP_DB:-out/fewstep.db}
samples=$(dirname "$source")/samples
mkdir -p results
if [ -f "$source" ]; then
    rm -f results/fewstep.db.new
    sqlite3 "$source" "VACUUM INTO 'results/fewstep.db.new'"
    mv results/fewstep.db.new results/fewstep.db
fi
if [ ! -f results/fewstep.db ]; then
    echo "fewstep: neither $source nor results/fewstep.db is there: run an experiment first" >&2
    exit 2
fi
for experiment in $(sqlite3 -readonly results/fewstep.db 'SELECT DISTINCT name FROM experiments ORDER BY name'); do
    for format in text:txt markdown:md csv:csv; do
        "$program" table "$experiment" --db results/fewstep.db --format "${format%:*}" \
            > "results/$experiment.${format#*:}"
    done
    if [ -d "$samples/$experiment" ]; then
        mkdir -p "results/samples/$experiment"
        rm -f "results/samples/$experiment"/*.png
        cp "$samples/$experiment"/*-seed0.png "results/samples/$experiment/"
    fi
    echo "results/$experiment.txt, .md, .csv" >&2
done
