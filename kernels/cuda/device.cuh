/* What kernels share: rows of either type in pieces of eight elements, sums over a warp, and the two shapes of most
 * kernels (a thread for each piece, a block for some columns of one sample). */
#ifndef FEWSTEP_CUDA_DEVICE_CUH
#define FEWSTEP_CUDA_DEVICE_CUH

#include "kernels/cuda/cuda.h"

#define FS_WARP 32
#define FS_ALL_LANES 0xffffffffu
#define FS_PIECE 8 /* elements that a thread takes at once: two 16-byte accesses of float32, one of bf16 */
#define FS_THREADS 256
#define FS_WARPS (FS_THREADS / FS_WARP)

/* A view on the device. `wide`: each row begins on 16 bytes, so a whole piece may be read at once. */
struct span {
    char *data;
    int64_t stride;
    bool half, wide;
};

static inline struct span span_of(struct fs_view view)
{
    const bool rows_fit = view.rows == 1 || view.stride % FS_PIECE == 0;
    return {(char *)view.data, view.stride, view.type == FS_BF16, rows_fit && (uintptr_t)view.data % 16 == 0};
}

struct piece {
    float v[FS_PIECE];
};

static __device__ inline unsigned bf16_bits(float value)
{
    return __bfloat16_as_ushort(__float2bfloat16_rn(value));
}

static __device__ inline float load(struct span from, int64_t row, int64_t col)
{
    const int64_t at = row * from.stride + col;
    return from.half ? __uint_as_float((unsigned)((const unsigned short *)from.data)[at] << 16)
                     : ((const float *)from.data)[at];
}

static __device__ inline void store(struct span to, int64_t row, int64_t col, float value)
{
    const int64_t at = row * to.stride + col;
    if (to.half) {
        ((unsigned short *)to.data)[at] = (unsigned short)bf16_bits(value);
    } else {
        ((float *)to.data)[at] = value;
    }
}

static __device__ inline void unpack(struct piece *piece, int k, unsigned pair)
{
    piece->v[k] = __uint_as_float(pair << 16);
    piece->v[k + 1] = __uint_as_float(pair & 0xffff0000u);
}

/* Elements col … col + count − 1 of a row; zero behind them. col is a multiple of 8. */
static __device__ inline struct piece load_piece(struct span from, int64_t row, int64_t col, int count)
{
    const int64_t at = row * from.stride + col;
    struct piece piece;
    if (from.wide && count >= FS_PIECE && from.half) {
        const uint4 pairs = *(const uint4 *)(from.data + 2 * at);
        unpack(&piece, 0, pairs.x);
        unpack(&piece, 2, pairs.y);
        unpack(&piece, 4, pairs.z);
        unpack(&piece, 6, pairs.w);
    } else if (from.wide && count >= FS_PIECE) {
        const float4 low = ((const float4 *)(from.data + 4 * at))[0], high = ((const float4 *)(from.data + 4 * at))[1];
        piece = {{low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w}};
    } else {
        for (int k = 0; k < FS_PIECE; k++) {
            piece.v[k] = k < count ? load(from, row, col + k) : 0;
        }
    }
    return piece;
}

static __device__ inline void store_piece(struct span to, int64_t row, int64_t col, int count, struct piece piece)
{
    const int64_t at = row * to.stride + col;
    const float *v = piece.v;
    if (to.wide && count >= FS_PIECE && to.half) {
        *(uint4 *)(to.data + 2 * at) =
            make_uint4(bf16_bits(v[0]) | bf16_bits(v[1]) << 16, bf16_bits(v[2]) | bf16_bits(v[3]) << 16,
                       bf16_bits(v[4]) | bf16_bits(v[5]) << 16, bf16_bits(v[6]) | bf16_bits(v[7]) << 16);
    } else if (to.wide && count >= FS_PIECE) {
        ((float4 *)(to.data + 4 * at))[0] = make_float4(v[0], v[1], v[2], v[3]);
        ((float4 *)(to.data + 4 * at))[1] = make_float4(v[4], v[5], v[6], v[7]);
    } else {
        for (int k = 0; k < FS_PIECE; k++) {
            if (k < count) {
                store(to, row, col + k, v[k]);
            }
        }
    }
}

/* Sums. Each is taken in an order that is fixed, so that the same call gives the same bits, however blocks and warps
 * are scheduled: no atomic additions. First every lane adds its own elements, from front to back; then the lanes of a
 * warp (warp_sum); then the warps of a block, over shared memory, with a barrier between its writes and reads
 * (sum_over_warps, and by halves in optimiser.cu); and where there are several blocks a second kernel adds their sums
 * in turn. Pairs instead of one long chain also let the rounding error grow with log n instead of n (Higham 1993, "The
 * accuracy of floating point summation"). */

/* The sum over a warp's lanes, in all of them: lane l adds the value of lane l XOR distance. Before the step of a
 * distance a lane holds the sum over the lanes that agree with it in the bits below 2·distance, after it over those
 * that agree below `distance`: after 16, 8, 4, 2 and 1 over all 32. Partners add the same two numbers, and a + b has
 * the bits of b + a, so all lanes end with the same bits. */
static __device__ inline float warp_sum(float value)
{
    for (int distance = FS_WARP / 2; distance > 0; distance /= 2) {
        value += __shfl_xor_sync(FS_ALL_LANES, value, distance);
    }
    return value;
}

static __device__ inline float warp_largest(float value)
{
    for (int distance = FS_WARP / 2; distance > 0; distance /= 2) {
        value = fmaxf(value, __shfl_xor_sync(FS_ALL_LANES, value, distance));
    }
    return value;
}

/* --- a thread for each piece --- */

/* An operation is a structure with `__device__ void piece(int64_t row, int64_t col, int count) const`. */
template <class Operation>
static __global__ void __launch_bounds__(FS_THREADS) each_piece(Operation operation, unsigned rows, int64_t cols)
{
    const unsigned pieces = (unsigned)((cols + FS_PIECE - 1) / FS_PIECE);
    const unsigned index = blockIdx.x * FS_THREADS + threadIdx.x;
    const unsigned row = index / pieces;
    if (row < rows) {
        const int64_t col = (int64_t)(index - row * pieces) * FS_PIECE;
        operation.piece(row, col, (int)(cols - col < FS_PIECE ? cols - col : FS_PIECE));
    }
}

/* Runs it over rows × cols; a fault beyond 2³² pieces. */
template <class Operation>
static void for_each_piece(struct fs_cuda *cuda, const Operation &operation, int64_t rows, int64_t cols)
{
    const int64_t count = rows * ((cols + FS_PIECE - 1) / FS_PIECE);
    if (count > 0xffffff00) {
        fs_fail(&cuda->fault, FS_FAILED, "cuda: %s: %lld × %lld elements are more than one launch can count",
                cuda->operation, (long long)rows, (long long)cols);
        return;
    }
    FS_LAUNCH(cuda, (each_piece<Operation>), (count + FS_THREADS - 1) / FS_THREADS, FS_THREADS, operation,
              (unsigned)rows, cols);
}

/* --- a warp for each row --- */

/* The row that this thread's warp works on. */
static __device__ inline int64_t row_of_warp()
{
    return (int64_t)blockIdx.x * FS_WARPS + threadIdx.x / FS_WARP;
}

static inline int64_t blocks_for_rows(int64_t rows)
{
    return (rows + FS_WARPS - 1) / FS_WARPS;
}

/* --- sums over the rows of a sample, by column --- */

struct pair {
    float first, second;
};

/* Each lane's column summed over the warps of the block, in warp 0; `partial` is shared. */
static __device__ inline struct pair sum_over_warps(struct pair partial[][FS_WARP], struct pair sums)
{
    const int lane = threadIdx.x % FS_WARP, warp = threadIdx.x / FS_WARP;
    partial[warp][lane] = sums;
    __syncthreads();
    for (int other = 1; other < FS_WARPS && warp == 0; other++) {
        sums.first += partial[other][lane].first;
        sums.second += partial[other][lane].second;
    }
    return sums;
}

/* An operation has `__device__ pair term(int64_t row, int64_t group, int64_t col) const`, for each row of a group (a
 * sample's tokens; the last group may be short) and each column, and `void finish(int64_t group, int64_t col, pair
 * sums) const`. A block takes 32 columns of a group; its 8 warps take rows in turn. */
template <class Operation>
static __global__ void __launch_bounds__(FS_THREADS)
    column_sums(Operation operation, int64_t rows, int64_t rows_a_group, int64_t cols)
{
    const int64_t strips = (cols + FS_WARP - 1) / FS_WARP;
    const int64_t group = blockIdx.x / strips, col = blockIdx.x % strips * FS_WARP + threadIdx.x % FS_WARP;
    const int64_t first = group * rows_a_group, warp = threadIdx.x / FS_WARP;
    const int64_t end = first + rows_a_group < rows ? first + rows_a_group : rows;
    struct pair sums = {0, 0};
    for (int64_t row = first + warp; row < end && col < cols; row += FS_WARPS) {
        const struct pair term = operation.term(row, group, col);
        sums.first += term.first;
        sums.second += term.second;
    }
    __shared__ struct pair partial[FS_WARPS][FS_WARP];
    sums = sum_over_warps(partial, sums);
    if (warp == 0 && col < cols) {
        operation.finish(group, col, sums);
    }
}

template <class Operation>
static void sum_columns(struct fs_cuda *cuda, const Operation &operation, int64_t rows, int64_t rows_a_group,
                        int64_t cols)
{
    const int64_t groups = (rows + rows_a_group - 1) / rows_a_group;
    FS_LAUNCH(cuda, (column_sums<Operation>), groups * ((cols + FS_WARP - 1) / FS_WARP), FS_THREADS, operation, rows,
              rows_a_group, cols);
}

/* --- a block for each row --- */

/* Where a kernel needs sums over a row of which it reads several operands, the block has one row after another, and
 * thread t columns 8·t … 8·t + 7 of them: each operand is read once and stays in registers, and what all rows share
 * (a sample's vectors, sums down a column) does for the whole time. */
#define FS_ROW_THREADS 512 /* at most: 128 registers a thread, rows of 4096 columns */
#define FS_ROW_WARPS (FS_ROW_THREADS / FS_WARP)

/* Whole warps. A fault, and 0, where the rows are too wide. */
static inline int threads_for_row(struct fs_cuda *cuda, int64_t cols)
{
    const int64_t threads = ((cols + FS_PIECE - 1) / FS_PIECE + FS_WARP - 1) / FS_WARP * FS_WARP;
    if (threads > FS_ROW_THREADS) {
        fs_fail(&cuda->fault, FS_FAILED, "cuda: %s: rows of %lld columns, but %d at most", cuda->operation,
                (long long)cols, FS_ROW_THREADS * FS_PIECE);
        return 0;
    }
    return (int)threads;
}

/* The first of this thread's columns, and how many there are: none behind the row's end. */
static __device__ inline int64_t first_col_of_thread()
{
    return (int64_t)threadIdx.x * FS_PIECE;
}

static __device__ inline int cols_of_thread(int64_t cols)
{
    const int64_t left = cols - first_col_of_thread();
    return left < 0 ? 0 : left < FS_PIECE ? (int)left : FS_PIECE;
}

/* Two sums over the block's threads, in all of them: each warp leaves its own in shared memory, and behind the barrier
 * every thread adds them in the order of the warps. `turn` is 0 and 1 by turns, with a half of `room` (which is shared)
 * each. So one barrier is enough: who writes to a half again has passed the barrier of the other half's turn, which
 * nobody reaches before it has read this one. */
static __device__ inline struct pair sum_over_row(struct pair room[][FS_ROW_WARPS], int turn, struct pair value)
{
    const struct pair of_warp = {warp_sum(value.first), warp_sum(value.second)};
    if (threadIdx.x % FS_WARP == 0) {
        room[turn][threadIdx.x / FS_WARP] = of_warp;
    }
    __syncthreads();
    struct pair sum = room[turn][0];
    for (unsigned warp = 1; warp < blockDim.x / FS_WARP; warp++) {
        sum.first += room[turn][warp].first;
        sum.second += room[turn][warp].second;
    }
    return sum;
}

/* Rows of one sample that a block goes through, when it takes `rows_a_block` of its tokens at most. */
struct row_range {
    int64_t sample, first, end;
};

static inline int64_t blocks_of_sample(int64_t tokens, int64_t rows_a_block)
{
    return (tokens + rows_a_block - 1) / rows_a_block;
}

static __device__ inline struct row_range rows_of_block(int64_t tokens, int64_t rows_a_block)
{
    const int64_t blocks = (tokens + rows_a_block - 1) / rows_a_block, sample = blockIdx.x / blocks;
    const int64_t first = blockIdx.x % blocks * rows_a_block;
    return {sample, sample * tokens + first, sample * tokens + min(first + rows_a_block, tokens)};
}

/* --- images --- */

/* Images of so many channels: a piece of a pixel may be read at once where every pixel begins on a piece. */
static inline struct span span_of_pixels(struct fs_view images, int64_t channels)
{
    struct span span = span_of(images);
    span.wide = span.wide && channels % FS_PIECE == 0;
    return span;
}

/* --- element by element --- */

static __device__ inline float sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

/* --- windows over images --- */

/* A convolution's or pooling's window in 32 bits, which divide several times faster than 64. */
struct window {
    int in_height, in_width, channels, kernel_height, kernel_width, stride, pad_height, pad_width;
    int out_height, out_width;
    bool channels_last;
};

static inline struct window window_of(const struct fs_window *w)
{
    return {(int)w->in_height,           (int)w->in_width,     (int)w->in_channels,
            (int)w->kernel_height,       (int)w->kernel_width, (int)w->stride,
            (int)w->pad_height,          (int)w->pad_width,    (int)fs_window_out_height(w),
            (int)fs_window_out_width(w), w->channels_last != 0};
}

#endif
