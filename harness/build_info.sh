#!/bin/sh
# Prints the C file that says what this build was made from: build_info.sh COMPILER FLAGS FOLDERS ENDINGS FILE…
# The files are those that can change a number, of these endings in these folders; their contents are the source hash.
set -eu
compiler=$1
flags=$2
folders=$3
endings=$4
shift 4
source_hash=$(for file in "$@"; do printf '%s\n' "$file"; cat "$file"; done | sha256sum | cut -d ' ' -f 1)
commit=$(git rev-parse HEAD 2>/dev/null || true)
# Changed: a tracked file is, or a new source file would be compiled. What else lies about (pictures, pages, databases)
# is no part of the program.
changed=$(git status --porcelain --untracked-files=no 2>/dev/null | head -n 1)
new=$(git ls-files --others --exclude-standard -- harness kernels methods metrics 2>/dev/null |
    grep -E '\.(c|h|cu|cuh|sh|css|js)$' | head -n 1) || true
version=$(sed -n 's/^version: "\(.*\)"$/\1/p' CITATION.cff 2>/dev/null || true) # the one place where it stands
dirty=false
if [ -n "$commit" ] && [ -n "$changed$new" ]; then
    dirty=true
fi
cat <<EOF
#include "harness/build_info.h"
const struct fs_build_info fs_build_info = {
    .version = "${version:-unknown}",
    .source_hash = "$source_hash",
    .commit = "$commit",
    .dirty = $dirty,
    .compiler = "$("$compiler" --version | head -n 1 | tr -d '"\\')",
    .number_folders = "$folders",
    .number_endings = "$endings",
    .flags = "$(printf %s "$flags" | tr -d '"\\')",
};
EOF
