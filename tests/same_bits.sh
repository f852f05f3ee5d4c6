#!/bin/sh
# Whether this tree trains to the same bits as the program of another commit: same_bits.sh BASE-REVISION [PROGRAM]
# Builds the base in a temporary worktree, trains the four methods for 20 updates with both programs, on this machine and
# after one another, and compares the tensors of every checkpoint byte for byte. Metadata may differ: it names the source.
# Scores that differ are told and are no failure, for a metric may be made better without the training. Nor are other
# weights, where a line of the newest commit's message begins with "Other bits:" and says why. `make same-bits`.
set -eu
base=$1 program=${2:-build/fewstep}
if ! git rev-parse --quiet --verify "$base^{commit}" >/dev/null; then
    echo "same-bits: SKIPPED: this clone has no commit $base to compare with" >&2
    exit 0
fi
work=$(mktemp -d)
trap 'git worktree remove --force "$work/tree" 2>/dev/null || true; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

git worktree add --quiet --detach "$work/tree" "$base"
echo "same-bits: building $(git -C "$work/tree" rev-parse --short HEAD)" >&2
if ! make -C "$work/tree" -j"$(nproc)" >"$work/log" 2>&1; then
    tail -n 20 "$work/log" >&2
    exit 3
fi

cat >"$work/small.yaml" <<'YAML'
experiment: small
dataset: {name: fashion-mnist}
model: {preset: dit-xs/7, classes: 10, finest_steps: 16}
train: {updates: 20, batch: 32, learning_rate: 1.0e-3, warmup: 5}
method: shortcut
matrix:
  method: [flow-matching, progressive-distillation, reflow, shortcut]
methods:
  reflow: {teacher_share: 0.5, pairs: 64, teacher_steps: 4}
evaluate: {steps: [1, 4], samples: 64, metrics: [fd, kid, spectrum]}
device: cpu
YAML

# A line a checkpoint: what was trained, and the hash of all that follows the header (whose length is the first 8 bytes).
tensors() {
    sqlite3 -readonly -separator ' ' "$1/fewstep.db" "SELECT r.method, r.is_teacher, r.train_hash, r.seed, c.at_update, c.path
        FROM checkpoints c JOIN runs r ON r.number = c.run ORDER BY 1, 2, 3, 4, 5" |
        while read -r method is_teacher train_hash seed update path; do
            header=$(od -An -t u8 -N 8 "$path" | tr -d ' ')
            echo "$method $is_teacher $train_hash $seed $update $(tail -c +$((header + 9)) "$path" | sha256sum)"
        done
}
scores() {
    sqlite3 -readonly "$1/fewstep.db" "SELECT r.method, s.steps, s.metric, printf('%!.17g', s.value), printf('%!.17g', s.low),
        printf('%!.17g', s.high) FROM scores s LEFT JOIN runs r ON r.number = s.run ORDER BY 1, 2, 3"
}
for side in base head; do
    run=$program
    [ $side = head ] || run=$work/tree/build/fewstep
    "$run" run "$work/small.yaml" --out "$work/$side" --quiet >/dev/null
    tensors "$work/$side" >"$work/$side.tensors"
    scores "$work/$side" >"$work/$side.scores"
done
diff "$work/base.scores" "$work/head.scores" >&2 || echo "same-bits: other scores, as shown above" >&2
if ! diff "$work/base.tensors" "$work/head.tensors" >&2; then
    echo "same-bits: other weights than those of $base, as shown above" >&2
    git log -1 --format=%B | grep '^Other bits:' >&2 || exit 1
    exit 0
fi
[ "$(wc -l <"$work/head.tensors")" -eq 5 ]
echo "same-bits: the tensors of $(wc -l <"$work/head.tensors") checkpoints are those of $base"
