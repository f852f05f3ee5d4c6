/* Group norm over NHWC images: sums by channel over chunks of a fixed number of pixels, then a warp for each group; the
 * mean first, then the squares around it; SiLU is taken where the norm is. */
#include "kernels/cuda/device.cuh"

#define PIXELS_A_CHUNK 512

/* x as [B, pixels, channels]; statistics [B · groups, 2]: mean, 1/√(var + ε). */
struct grouped {
    struct span x, statistics;
    int64_t pixels, chunks;      /* of a sample */
    int channels, groups, width; /* width: a group's channels */
    __device__ int64_t group_of(int64_t sample, int64_t channel) const
    {
        return sample * groups + (int)channel / width;
    }
};

/* A chunk's sums of x, or, once there is a mean, of (x − mean)². Its rows are pixels, in the last chunk of a sample
 * some behind the image's end. */
struct chunk_sums {
    struct grouped in;
    struct span partial; /* [B · chunks, channels] */
    bool squares;
    __device__ struct pair term(int64_t row, int64_t chunk, int64_t channel) const
    {
        const int64_t sample = chunk / in.chunks, pixel = row - sample * in.chunks * PIXELS_A_CHUNK;
        if (pixel >= in.pixels) {
            return {0, 0};
        }
        const float value = load(in.x, sample, pixel * in.channels + channel);
        if (!squares) {
            return {value, 0};
        }
        const float centred = value - load(in.statistics, in.group_of(sample, channel), 0);
        return {centred * centred, 0};
    }
    __device__ void finish(int64_t chunk, int64_t channel, struct pair sums) const
    {
        store(partial, chunk, channel, sums.first);
    }
};

/* A warp for each group of each sample: its channels of all chunks. */
static __global__ void __launch_bounds__(FS_THREADS)
    group_statistics(struct grouped in, struct span partial, int64_t rows, float epsilon, bool squares)
{
    const int64_t row = row_of_warp(), sample = row / in.groups;
    if (row >= rows) {
        return;
    }
    const int lane = threadIdx.x % FS_WARP;
    const int64_t first_chunk = sample * in.chunks, first = row % in.groups * in.width;
    float sum = 0;
    for (int64_t i = lane; i < in.chunks * in.width; i += FS_WARP) {
        sum += load(partial, first_chunk + i / in.width, first + i % in.width);
    }
    const float mean = warp_sum(sum) / (float)(in.pixels * in.width);
    if (lane == 0) {
        store(in.statistics, row, squares ? 1 : 0, squares ? 1.0f / sqrtf(mean + epsilon) : mean);
    }
}

/* A row is a pixel of a sample, its columns are the channels. */
struct group_norm_operation {
    struct grouped in;
    struct span y, gamma, beta;
    bool silu;
    __device__ void piece(int64_t row, int64_t col, int count) const
    {
        const int64_t sample = row / in.pixels, at = (row - sample * in.pixels) * in.channels + col;
        struct piece p = load_piece(in.x, sample, at, count);
        const struct piece scale = load_piece(gamma, 0, col, count), shift = load_piece(beta, 0, col, count);
        for (int k = 0; k < FS_PIECE; k++) {
            const int64_t group = in.group_of(sample, min(col + k, (int64_t)in.channels - 1));
            const float mean = load(in.statistics, group, 0), inverse = load(in.statistics, group, 1);
            const float z = (p.v[k] - mean) * inverse * scale.v[k] + shift.v[k];
            p.v[k] = silu ? z * sigmoid(z) : z;
        }
        store_piece(y, sample, at, count, p);
    }
};

static void group_norm_forward(struct fs_backend *backend, struct fs_view y, struct fs_view x, struct fs_view gamma,
                               struct fs_view beta, int64_t channels, int64_t groups, double epsilon, bool silu)
{
    struct fs_cuda *cuda = fs_cuda_begin(backend, "group_norm_forward",
                                         fs_group_norm_forward_fits(backend, y, x, gamma, beta, channels, groups) &&
                                             channels <= INT32_MAX);
    if (cuda == NULL) {
        return;
    }
    const int64_t pixels = x.cols / channels, chunks = (pixels + PIXELS_A_CHUNK - 1) / PIXELS_A_CHUNK;
    const int64_t sums = x.rows * chunks * channels, rows = x.rows * groups;
    float *memory = (float *)fs_cuda_scratch(cuda, (size_t)(sums + 2 * rows) * sizeof(float));
    if (memory == NULL) {
        return;
    }
    const struct span partial = span_of(fs_view(memory, FS_F32, x.rows * chunks, channels)),
                      statistics = span_of(fs_view(memory + sums, FS_F32, rows, 2));
    const struct grouped in = {span_of_pixels(x, channels), statistics, pixels, chunks, (int)channels, (int)groups,
                               (int)(channels / groups)};
    for (int pass = 0; pass < 2; pass++) {
        const bool squares = pass == 1;
        sum_columns(cuda, chunk_sums{in, partial, squares}, x.rows * chunks * PIXELS_A_CHUNK, PIXELS_A_CHUNK, channels);
        FS_LAUNCH(cuda, group_statistics, blocks_for_rows(rows), FS_THREADS, in, partial, rows, (float)epsilon,
                  squares);
    }
    for_each_piece(cuda, group_norm_operation{in, span_of_pixels(y, channels), span_of(gamma), span_of(beta), silu},
                   x.rows * pixels, channels);
}

void fs_cuda_install_group_norm(struct fs_backend *backend)
{
    backend->group_norm_forward = FS_TOLD(group_norm_forward);
}
