#!/bin/sh
# For the day a GPU is there: operations, updates and sampling of dit-b/2 and dit-xl/2, and the same networks in PyTorch
# (eager and compiled) where python3 has it. Usage: bench_gpu.sh PROGRAM FOLDER [DEVICE MODELS BATCH]
# One folder a device: FOLDER/NAME/ with what the machine is, a table, and JSON lines.
set -eu
program=$1
folder=$2
device=${3:-cuda}
models=${4:-dit-b/2 dit-xl/2}
batch=${5:-}
python=${PYTHON:-python3}

"$program" doctor >/dev/null
name=$("$program" bench --device "$device" --model dit-xs/4 --batch 1 --op fill --json | sed -n 's/.*"variant":"\([^"]*\)".*/\1/p' | head -n 1)
[ -n "$name" ] || { echo "bench-gpu: no device" >&2; exit 3; }
out=$folder/$(printf '%s' "$name" | tr -c 'A-Za-z0-9' '-')
mkdir -p "$out"
{
    echo "$name, $(date -u +%Y-%m-%d)"
    "$program" doctor
    nvidia-smi 2>/dev/null || true
} >"$out/machine.txt"
rm -f "$out/bench.txt" "$out/bench.jsonl" "$out/pytorch.jsonl"
for model in $models; do
    rows=${batch:-$(case $model in dit-xl*) echo 64 ;; *) echo 256 ;; esac)}
    echo "bench-gpu: $model, batch $rows" >&2
    "$program" bench --device "$device" --model "$model" --batch "$rows" --json >>"$out/bench.jsonl"
    if "$python" -c 'import torch' 2>/dev/null; then
        "$python" harness/bench_pytorch.py --device "$device" --model "$model" --batch "$rows" >>"$out/pytorch.jsonl" ||
            echo "bench-gpu: PyTorch failed on $model" >&2
    else
        echo "bench-gpu: $python has no PyTorch: nothing to compare with" >&2
    fi
done
sh harness/bench_gpu_table.sh "$out" | tee "$out/bench.txt"
