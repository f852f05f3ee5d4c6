#!/bin/sh
# An experiment, no part of make test: kill -9 at random of one rank, of rank 0 or of all, in training, while the
# thread writes a checkpoint (which a slower fsync makes long), in scoring; after each the same command goes on, and what comes of it has the bytes of a command that nobody disturbed.
# Usage: kills.sh [COUNT [SEED [PROGRAM [MOMENT]]]] (20, 1, build/fewstep; 0, 1 or 2: only in training, in a write, in
# scoring), from the repository's root, with mpirun.
set -eu
count=${1:-20} seed=${2:-1} program=${3:-build/fewstep} only=${4:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_NUM_THREADS=1

# A teacher, pairs, phases, parts of the moments, checkpoints as often as can be.
cat >"$work/kills.yaml" <<'YAML'
experiment: kills
dataset: {name: fashion-mnist}
model: {preset: tiny, patch: 7, hidden: 64, depth: 2, heads: 2, classes: 10, finest_steps: 8}
train: {updates: 30, batch: 32, warmup: 5, shard_optimizer: true, checkpoint_every: 0.1}
methods:
  shortcut: {bootstrap_fraction: 0.25}
  reflow: {pairs: 300, teacher_steps: 4}
matrix:
  method: [shortcut, progressive-distillation, reflow]
evaluate: {steps: [1, 8], samples: 400, metrics: [fd]}
device: cpu
YAML

# A disk that takes its time with checkpoints, so that a kill comes in the midst of one.
cat >"$work/slow.c" <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int fsync(int fd)
{
    char link[64], path[4096] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t length = readlink(link, path, sizeof path - 1);
    if (length > 0 && strstr(path, "/checkpoint-")) {
        usleep(300000);
    }
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}
C
"${CC:-cc}" -shared -fPIC -o "$work/slow.so" "$work/slow.c" -ldl

# The next number below $1: one sequence from the seed.
drawn=0
draw()
{
    drawn=$((drawn + 1))
    number=$(awk -v seed="$seed" -v n="$drawn" -v below="$1" 'BEGIN { srand(seed); for (i = 0; i <= n; i++) r = rand(); print int(r * below) }')
}

ranks() # the processes that work in a folder, mpirun left out: "number rank" a line
{
    for process in $(pgrep -f -- "--out $1 " || true); do
        rank=$(tr '\0' '\n' <"/proc/$process/environ" 2>/dev/null | sed -n 's/^OMPI_COMM_WORLD_RANK=//p') || continue
        [ -z "$rank" ] || echo "$process $rank"
    done
}

results() # what must be the same: the bytes of every run's last checkpoint, and all scores
{
    for run in "$1"/runs/*/; do
        file=$(ls "$run"checkpoint-*.safetensors | sort -V | tail -n 1)
        echo "$(basename "$run") $(basename "$file") $(sha256sum <"$file")"
    done
    sqlite3 "$1/fewstep.db" "SELECT score_hash, steps, printf('%!.17g', value) FROM scores ORDER BY score_hash"
}

slow='' # "-x LD_PRELOAD=…": by the slow disk
begin() { mpirun --oversubscribe $slow -n 2 "$program" run "$work/kills.yaml" --out "$1" --quiet >"$work/log" 2>&1; }
checkpoints() { find "$1/runs" -name "$2" 2>/dev/null | wc -l; }
# Waits, at most 20 s, until `$1` says yes or the command has ended.
await()
{
    tries=0
    until eval "$1" || ! kill -0 "$launcher" 2>/dev/null || [ $tries -gt 2000 ]; do
        tries=$((tries + 1))
        sleep 0.01
    done
}

begin "$work/whole" || { cat "$work/log" >&2; exit 1; }
results "$work/whole" >"$work/wanted"

killed=0 caught=0 folder=1 wrong=0 finished=0 tally=''
compare() # a folder whose command has come to its end
{
    finished=$((finished + 1))
    results "$1" >"$work/got"
    cmp -s "$work/wanted" "$work/got" || { wrong=$((wrong + 1)); echo "kills: $1 has other bytes:"; diff "$work/wanted" "$work/got" || true; }
}
while [ "$killed" -lt "$count" ]; do
    out=$work/$folder
    draw 3; moment=${only:-$number}
    slow=''
    [ "$moment" -ne 1 ] || slow="-x LD_PRELOAD=$work/slow.so"
    begin "$out" &
    launcher=$!
    draw 3; victim=$number
    draw 40; later=$(awk -v n="$number" 'BEGIN { print n / 100 }')
    finals=$(checkpoints "$out" 'checkpoint-[13][05].safetensors')
    case $moment in
    0) name='in training'; before=$(checkpoints "$out" 'checkpoint-*.safetensors'); await "[ \$(checkpoints '$out' 'checkpoint-*.safetensors') -ne $before ]"; sleep "$later" ;;
    1) name='in a write'; await "[ \$(checkpoints '$out' '*.tmp') -gt 0 ]" ;;
    2) name='after a training, in scoring'; await "[ \$(checkpoints '$out' 'checkpoint-[13][05].safetensors') -gt $finals ]"; sleep "$later" ;;
    esac
    case $victim in
    0) who='rank 1'; victims=$(ranks "$out" | awk '$2 == 1 { print $1 }') ;;
    1) who='rank 0'; victims=$(ranks "$out" | awk '$2 == 0 { print $1 }') ;;
    2) who='all'; victims=$(ranks "$out" | awk '{ print $1 }') ;;
    esac
    if [ -n "$victims" ] && kill -9 $victims 2>/dev/null; then
        killed=$((killed + 1))
        tally="$tally$name: $who
"
    fi
    if wait "$launcher"; then
        compare "$out"
        folder=$((folder + 1))
    fi
    await '[ -z "$(ranks "$out")" ]'
    [ "$(checkpoints "$out" 'checkpoint-*.tmp')" -eq 0 ] || caught=$((caught + 1))
    [ -z "$(ranks "$out")" ] || { echo "kills: processes are left" >&2; exit 1; }
done
slow=''
begin "$out" && compare "$out"
printf '%s' "$tally" | sort | uniq -c
echo "$killed kills, $caught of them left a checkpoint half written, $finished commands came to their end, $wrong with other bytes"
[ "$wrong" -eq 0 ]
