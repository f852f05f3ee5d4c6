#!/bin/sh
# The calls into CUDA's runtime that the given objects make: at most 36, so that tests/cuda_host can stand in for them.
set -e
calls=$(nm -u "$@" | sed -n 's/^ *U \(cuda[A-Z][A-Za-z]*\).*/\1/p' | sort -u)
count=$(printf '%s\n' "$calls" | wc -l)
echo "$count calls into the CUDA runtime:" $calls
[ "$count" -le 36 ]
for call in $calls; do
    grep -q "\b$call(" tests/cuda_host/include/cuda_runtime.h || { echo "tests/cuda_host has no $call" >&2; exit 1; }
done
