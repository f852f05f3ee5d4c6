#!/bin/sh
# Records for `fewstep doctor --cuda` (harness/bench/cuda_evidence.h): record.sh BUILD KIND LINE…, from the root.
set -eu
build=$1
kind=$2
shift 2
mkdir -p "$build/evidence"
{
    printf 'source\t%s\n' "$(sed -n 's/.*source_hash = "\(.*\)",/\1/p' "$build/build_info.c")"
    printf '%s\n' "$@"
} >"$build/evidence/$kind.tsv"
