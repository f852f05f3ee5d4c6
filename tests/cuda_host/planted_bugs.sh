#!/bin/sh
# Puts known mistakes into a copy of the kernels, one at a time, and demands that test_cuda_host fails on each: in the tests
# of the operations that the mistake is in. Usage: planted_bugs.sh BUILD [PART-OF-A-NAME], from the repository's root, after
# the tests were built. PLANT=1/4: of every four only the second (0/4: the first).
set -eu
build=$1
only=${2:-}
part=${PLANT:-0/1}
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
missed=0
caught=0
number=0

# Name, file, the mistake as a sed script, words of the tests' names, the file that is compiled where it is another one.
plant()
{
    number=$((number + 1))
    if sed "$3" "$2" | cmp -s "$2" -; then # of all, for a line may have changed since this one's turn
        echo "$1: the line that it changes is no longer in $2" >&2
        missed=$((missed + 1))
        return 0
    fi
    [ $((number % ${part#*/})) -eq "${part%/*}" ] || return 0
    case $1 in *"$only"*) ;; *) return 0 ;; esac
    rm -rf "$copy/tree"
    mkdir -p "$copy/tree"
    cp -r Makefile kernels methods metrics harness tests "$copy/tree"
    sed -i "$3" "$copy/tree/$2"
    object=$copy/changed.o
    g++ $FLAGS -I"$copy/tree" -x c++ -c -o "$object" "$copy/tree/${5:-$2}"
    others=$(find "$build/cuda_host" -name '*.o' ! -path "*/${5:-$2}.o")
    g++ -fsanitize=address,undefined -fopenmp -o "$copy/test" "$build/tests/cuda_host/test_cuda_host.o" "$object" $others \
        $SUPPORT "$build/libfewstep.a" $LIBS -lcmocka
    # shellcheck disable=SC2086 # words are meant to be split
    if FEWSTEP_EVIDENCE='' timeout 300 "$copy/test" $4 >"$copy/log" 2>&1; then
        echo "MISSED: $1"
        missed=$((missed + 1))
    else
        tests=$(sed -n 's/^\[  FAILED  \] \(.*[a-z)]\)$/\1/p' "$copy/log" | sort -u | head -n 2 | tr '\n' ';')
        echo "caught: $1: ${tests:-a sanitiser ends the program}"
        grep -aE 'ERROR:|runtime error' "$copy/log" | grep -av 'LINE' | head -n 1 | sed 's/^/    /'
        caught=$((caught + 1))
    fi
}

plant 'a missing barrier' kernels/cuda/device.cuh '/partial\[warp\]\[lane\] = sums;/{n;d}' 'norm_backward gate_backward' kernels/cuda/norm.cu
plant 'a missing barrier in a loop' kernels/cuda/optimiser.cu '/partial\[threadIdx.x + half\];/{n;n;d}' 'sum_squares'
plant 'a barrier that not all threads reach' kernels/cuda/optimiser.cu '/if (threadIdx.x < half) {/a __syncthreads();' 'sum_squares'
plant 'a row too many' kernels/cuda/norm.cu 's/if (row >= rows) {/if (row > rows) {/' 'norm_tangent'
plant 'a row of the next sample' kernels/cuda/device.cuh 's/min(first + rows_a_block, tokens)}/first + rows_a_block}/' 'norm_forward norm_backward' kernels/cuda/norm.cu
plant 'a missing barrier within a row' kernels/cuda/device.cuh '/room\[turn\]\[threadIdx.x \/ FS_WARP\] = of_warp;/{n;n;d}' 'gate_norm' kernels/cuda/norm.cu
plant 'a row too few' kernels/cuda/loss.cu 's/if (row >= rows) {/if (row + 1 >= rows) {/' 'mse'
plant 'a column too many' kernels/cuda/device.cuh 's/&& col < cols; row += FS_WARPS/; row += FS_WARPS/' 'norm_backward gate_backward linear_backward' kernels/cuda/norm.cu
plant 'a pixel too many' kernels/cuda/group_norm.cu 's/if (pixel >= in.pixels) {/if (pixel > in.pixels) {/' 'group_norm'
plant 'a wrong leading dimension' kernels/cuda/gemm_lt.cu 's/shape.ldb = b->stride;/shape.ldb = b->cols;/' 'linear_'
plant 'a swapped transpose' kernels/cuda/gemm_lt.cu 's/shape.transpose_a = product->transpose_b;/shape.transpose_a = !product->transpose_b;/' 'linear_forward'
plant 'an alignment that is not there' kernels/cuda/gemm_lt.cu 's/shape.align_b = alignment_of(b->data);/shape.align_b = 256;/' 'linear_ test_network'
plant 'a wrong step between batches' kernels/cuda/attention.cu 's/view.stride, rows \* view.stride}/view.stride, rows * op->head_width}/' 'attention_'
plant 'a chunk of other samples' kernels/cuda/attention.cu 's/fs_attention_part(op, first,/fs_attention_part(op, 0,/' 'test_attention_in_chunks'
plant 'parts that lie closer than they were taken' kernels/cuda/attention.cu 's/place = part \* part_step + col/place = part * part_rows * head_width + col/' 'attention_'
plant 'gradients that what is timed adds to' kernels/cuda/linear.cu 's/(cuda, spare, spare_bias, dy, x)/(cuda, dw, dbias, dy, x)/' 'test_timed_bias_gradients'
plant 'a choice that another process does not take' kernels/cuda/kept_choices.cu 's/^        \*way = kept;/        *way = 0;/' 'test_timed_chunks test_timed_bias_gradients'
plant 'memory that nothing wrote' kernels/cuda/memory.cu 's/cudaMemsetAsync(memory, 0, bytes, cuda->stream)/cudaSuccess/' 'test_reserved_memory'
plant 'shared memory that nothing wrote' kernels/cuda/optimiser.cu '/^    partial\[threadIdx.x\] = value;/d' 'sum_squares'
plant 'a misaligned vector load' kernels/cuda/device.cuh 's/ && (uintptr_t)view.data % 16 == 0//; s/rows_fit};/true};/; s/view.stride % FS_PIECE == 0/view.stride > 0/' 'silu add copy' kernels/cuda/elementwise.cu
plant 'a shuffle without half of its lanes' kernels/cuda/device.cuh 's/#define FS_ALL_LANES 0xffffffffu/#define FS_ALL_LANES 0x0000ffffu/' 'norm_' kernels/cuda/norm.cu
plant 'a shuffle over half of the warp' kernels/cuda/device.cuh 's/int distance = FS_WARP \/ 2;/int distance = FS_WARP \/ 4;/' 'mse' kernels/cuda/loss.cu
plant 'the host reads device memory' kernels/cuda/optimiser.cu 's/const double rate = settings->learning_rate,/const double rate = settings->learning_rate + 0 * *(float *)gradients.data,/' 'adamw'
plant 'a graph that reads memory of its caller' kernels/cuda/update.cu 's/cudaMemcpyAsync(device, staging, bytes/cudaMemcpyAsync(device, host, bytes/' 'test_graph'
plant 'a graph whose numbers stay as they were' kernels/cuda/update.cu 's/^    memcpy(staging, host, bytes);/    if (update->mode == FS_UPDATE_CAPTURE) memcpy(staging, host, bytes);/' 'test_graph'
printf '%d passed, %d failed\n' "$caught" "$missed"
[ "$missed" -eq 0 ]
