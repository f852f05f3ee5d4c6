#!/bin/sh
# Prints the C file that says what this build was made from: build_info.sh COMPILER FLAGS FILE…
# The files are those that can change a number; their contents are the source hash.
set -eu
compiler=$1
flags=$2
shift 2
source_hash=$(for file in "$@"; do printf '%s\n' "$file"; cat "$file"; done | sha256sum | cut -d ' ' -f 1)
commit=$(git rev-parse HEAD 2>/dev/null || true)
dirty=false
if [ -n "$commit" ] && [ -n "$(git status --porcelain 2>/dev/null | head -n 1)" ]; then
    dirty=true
fi
cat <<EOF
#include "harness/build_info.h"
const struct fs_build_info fs_build_info = {
    .source_hash = "$source_hash",
    .commit = "$commit",
    .dirty = $dirty,
    .compiler = "$("$compiler" --version | head -n 1 | tr -d '"\\')",
    .flags = "$(printf %s "$flags" | tr -d '"\\')",
};
EOF
