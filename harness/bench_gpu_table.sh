#!/bin/sh
# The table of a folder that bench_gpu.sh filled: bench_gpu_table.sh FOLDER
set -eu
field() # NAME: a number or text out of a line of JSON
{
    sed -n "s/.*\"$1\":\"\{0,1\}\([^,}\"]*\).*/\1/p"
}
head -n 1 "$1/machine.txt"
while read -r line; do
    case $line in
    *'"device":'*)
        echo "float32 products: $(echo "$line" | field peak_gflops) GFLOP/s, bf16: $(echo "$line" | field bf16_peak_gflops)," \
            "copied: $(echo "$line" | field copy_gbs) GB/s"
        ;;
    *'"operation":'*)
        echo "$line" | sed 's/[{}"]//g' | awk -F, '{ for (i = 1; i <= NF; i++) { n = index($i, ":"); v[substr($i, 1, n - 1)] = substr($i, n + 1) }
            printf "%-10s %4d  %-31s %10.3f ms %9.1f GFLOP/s %8.1f GB/s %4.0f%% of peak %4.0f%% of copy\n", v["model"], v["batch"],
            v["operation"], v["seconds"] * 1e3, v["gflops"], v["gbs"], 100 * v["share_of_peak"], 100 * v["share_of_copy"] }'
        ;;
    *_mib*)
        echo "$line" | sed 's/[{}"]//g' | awk -F, '{ n = index($4, ":"); m = index($1, ":"); p = index($3, ":")
            printf "%-10s memory, %s: %d MiB\n", substr($1, m + 1), substr($3, p + 1), substr($4, n + 1) }'
        ;;
    esac
done <"$1/bench.jsonl"
if [ -s "$1/pytorch.jsonl" ]; then
    echo
    echo "PyTorch $(head -n 1 "$1/pytorch.jsonl" | field torch), the same network"
    while read -r line; do
        echo "$line" | sed 's/[{}"]//g' | awk -F, '{ for (i = 1; i <= NF; i++) { n = index($i, ":"); k = substr($i, 1, n - 1); gsub(/ /, "", k); v[k] = substr($i, n + 1) }
            printf "%-10s %4d  %-31s %10.3f ms  %s MiB\n", v["model"], v["batch"], v["operation"], v["seconds"] * 1e3, v["mib"] }'
    done <"$1/pytorch.jsonl"
fi
