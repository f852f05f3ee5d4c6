#!/bin/sh
# Plays a CI runner: the commands of experiments/per-commit/*.yml at five commits of a small repository, one after the other,
# with the database kept between them. regression_example.sh BUILD (`make test-regression-example` calls it)
#   1 the tree as it is    2 a README    3 a comment in a file that counts    4 a sampler that stops short    5 a comment
# The verdicts must be: nothing to compare with, same, same, worse, same.
set -eu
build=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git ls-files -z | tar --null --files-from=- -cf - | tar -xf - -C "$work"
cp -a "$build" "$work/build" # what is compiled already: files keep their times
cd "$work"
unset MAKEFLAGS MFLAGS
cat >experiments/per-commit.yaml <<'END'
experiment: per-commit
dataset: {name: fashion-mnist}
model: {preset: tiny, patch: 14, hidden: 32, depth: 2, heads: 2, finest_steps: 8}
train: {updates: 300, batch: 32, learning_rate: 4.0e-3, warmup: 20}
matrix: {method: [flow-matching], seed: [0, 1, 2]}
evaluate: {steps: [4], samples: 200}
END
git init -q .
commit() {
    git add -A
    git -c user.name=t -c user.email=t@t -c commit.gpgsign=false commit -qm "$1"
}

# The commands of a file, a block each: of GitHub's first job the `run:` of its steps, of GitLab's job its script. What
# prepares the runner (apt-get, git config) is left out.
github() {
    awk '/^  comment:/ { exit }
        /^      - run: [^|]/ { sub(/^      - run: /, ""); print; next }
        /^      - run: \|/ { inside = 1; next }
        inside && /^          / { print substr($0, 11); next }
        { inside = 0 }' experiments/per-commit/github.yml | grep -v '^apt-get\|^git config'
}
gitlab() {
    awk '/^  script:/ { inside = 1; next } inside && /^    - / { print substr($0, 7); next } { inside = 0 }' \
        experiments/per-commit/gitlab.yml
}
# play FORGE: its exit status
play() {
    "$1" >commands.sh
    grep -q per_commit.sh commands.sh
    status=0
    sh -eu commands.sh >log 2>&1 || status=$?
    rm commands.sh
}
expect() {
    heading=$(sed -n '1s/### fewstep: //p' out/fid/verdict.md)
    echo "$1: $heading (status $status)"
    if [ "$heading" != "$2" ] || [ "$status" -ne "$3" ]; then
        cat log out/fid/verdict.md
        echo "$1: expected: $2 (status $3)" >&2
        exit 1
    fi
}

export GITHUB_STEP_SUMMARY="$work/summary.md" BASE=0000000000000000000000000000000000000000
printf 'summary.md\nlog\ncommands.sh\n' >>.gitignore
commit 'the tree'
play github
expect 'commit 1' 'nothing to compare with yet' 0
for number in 2 3 4 5; do
    BASE=$(git rev-parse HEAD)
    case $number in
    2) echo 'more' >>README.md ;;
    4) sed -i '0,/step->next - step->t, velocity/s//0.5 * (step->next - step->t), velocity/' methods/steps.c ;;
    *) echo "/* commit $number */" >>methods/steps.c ;;
    esac
    commit "number $number"
    if [ "$number" -eq 5 ]; then play gitlab; else play github; fi
    case $number in
    4) expect "commit $number" worse 1 ;;
    *) expect "commit $number" same 0 ;;
    esac
done
test "$(grep -c '^### fewstep: ' summary.md)" -eq 4
test "$(tail -n 1 out/fid/verdict.jsonl | grep -c '"verdict":"same"')" -eq 1
# A base that nobody scored is scored by its own program.
rm -r out
BASE=$(git rev-parse HEAD~1)
play github
expect 'commit 5, an empty cache' same 0
echo "regression_example: all verdicts as expected"
