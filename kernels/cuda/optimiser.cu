/* AdamW with the moving averages in one pass over the flat buffers, and the squared norm for clipping. */
#include "kernels/cuda/device.cuh"

/* --- the squared norm --- */

#define CHUNK (FS_THREADS * FS_PIECE * 8) /* elements of one block; fixed, so the sum does not depend on the device */

/* The block's sum, in thread 0, by halves: thread i adds what thread i + half has, for half = FS_THREADS/2 … 1. A
 * barrier stands behind each step, outside the branch, as all threads must reach it. `partial` is shared, of
 * FS_THREADS. */
static __device__ double block_sum(double *partial, double value)
{
    partial[threadIdx.x] = value;
    __syncthreads();
    for (unsigned half = FS_THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) {
            partial[threadIdx.x] += partial[threadIdx.x + half];
        }
        __syncthreads();
    }
    return partial[0];
}

static __global__ void __launch_bounds__(FS_THREADS) squares_of_chunks(double *sums, struct span x, int64_t count)
{
    double sum = 0;
    for (int i = 0; i < CHUNK / (FS_THREADS * FS_PIECE); i++) {
        const int64_t at = (int64_t)blockIdx.x * CHUNK + (i * FS_THREADS + (int)threadIdx.x) * FS_PIECE;
        if (at < count) {
            const struct piece p = load_piece(x, 0, at, (int)min(count - at, (int64_t)FS_PIECE));
            for (int k = 0; k < FS_PIECE; k++) {
                sum += (double)p.v[k] * (double)p.v[k];
            }
        }
    }
    __shared__ double partial[FS_THREADS];
    sum = block_sum(partial, sum);
    if (threadIdx.x == 0) {
        sums[blockIdx.x] = sum;
    }
}

/* One block. */
static __global__ void __launch_bounds__(FS_THREADS)
    sum_of_chunks(struct span result, const double *sums, int64_t count)
{
    double sum = 0;
    for (int64_t i = threadIdx.x; i < count; i += FS_THREADS) {
        sum += sums[i];
    }
    __shared__ double partial[FS_THREADS];
    sum = block_sum(partial, sum);
    if (threadIdx.x == 0) {
        store(result, 0, 0, (float)sum);
    }
}

static void sum_squares(struct fs_backend *backend, struct fs_view result, struct fs_view x)
{
    struct fs_cuda *cuda = fs_cuda_begin(backend, "sum_squares", fs_sum_squares_fits(backend, result, x));
    if (cuda == NULL) {
        return;
    }
    const struct fs_view row = fs_view(x.data, x.type, 1, x.rows * x.cols);
    const int64_t chunks = (row.cols + CHUNK - 1) / CHUNK;
    double *sums = (double *)fs_cuda_scratch(cuda, (size_t)chunks * sizeof *sums);
    if (sums != NULL) {
        FS_LAUNCH(cuda, squares_of_chunks, chunks, FS_THREADS, sums, span_of(row), row.cols);
        FS_LAUNCH(cuda, sum_of_chunks, 1, FS_THREADS, span_of(result), sums, chunks);
    }
}

/* --- AdamW --- */

/* What changes from update to update. */
struct adamw_numbers {
    float clip_norm, beta1, beta2, epsilon;
    float rate;        /* learning rate / (1 − beta1^update) */
    float correction2; /* 1 / (1 − beta2^update) */
    float decay;       /* learning rate · weight decay */
    float ema_decay[2];
};

/* The formulas of kernels/cpu/isa/optimiser.c. Flat buffers of floats; `wide` when each begins on 16 bytes. An average
 * may be not given. What products read is converted here, from registers: a pass of its own would read each number
 * again. */
struct adamw_operation {
    float *parameters, *gradients, *moment1, *moment2, *averages[2];
    struct span copies[3]; /* of the new parameters and averages, for products; each may be not given */
    const float *norm2;    /* stays on the device: an update waits for nothing */
    const struct adamw_numbers *numbers;
    bool wide;
    __device__ struct span flat(float *data) const
    {
        return {(char *)data, 0, false, wide};
    }
    __device__ void piece(int64_t row, int64_t col, int count) const
    {
        (void)row;
        const struct adamw_numbers n = *numbers;
        float clip = 1;
        if (n.clip_norm > 0) {
            const float norm = sqrtf(*norm2);
            clip = norm > n.clip_norm ? n.clip_norm / norm : 1;
        }
        const struct piece g = load_piece(flat(gradients), 0, col, count);
        struct piece w = load_piece(flat(parameters), 0, col, count), m = load_piece(flat(moment1), 0, col, count),
                     v = load_piece(flat(moment2), 0, col, count);
        for (int k = 0; k < FS_PIECE; k++) {
            const float gradient = clip * g.v[k];
            m.v[k] += (1 - n.beta1) * (gradient - m.v[k]);
            v.v[k] += (1 - n.beta2) * (gradient * gradient - v.v[k]);
            w.v[k] -= n.rate * m.v[k] / (sqrtf(v.v[k] * n.correction2) + n.epsilon) + n.decay * w.v[k];
        }
        store_piece(flat(moment1), 0, col, count, m);
        store_piece(flat(moment2), 0, col, count, v);
        store_piece(flat(parameters), 0, col, count, w);
        store_copy(copies[0], w, col, count);
        follow(averages[0], copies[1], n.ema_decay[0], w, col, count);
        follow(averages[1], copies[2], n.ema_decay[1], w, col, count);
    }
    __device__ static void store_copy(struct span copy, const struct piece &p, int64_t col, int count)
    {
        if (copy.data != NULL) {
            store_piece(copy, 0, col, count, p);
        }
    }
    __device__ void follow(float *average, struct span copy, float towards, const struct piece &w, int64_t col,
                           int count) const
    {
        if (average != NULL) {
            struct piece p = load_piece(flat(average), 0, col, count);
            for (int k = 0; k < FS_PIECE; k++) {
                p.v[k] += (1 - towards) * (w.v[k] - p.v[k]);
            }
            store_piece(flat(average), 0, col, count, p);
            store_copy(copy, p, col, count);
        }
    }
};

static void adamw(struct fs_backend *backend, const struct fs_adamw *settings, struct fs_view parameters,
                  struct fs_view gradients, struct fs_view moment1, struct fs_view moment2,
                  const struct fs_view averages[2])
{
    struct fs_cuda *cuda = fs_cuda_begin_upload(
        backend, "adamw", fs_adamw_fits(backend, settings, parameters, gradients, moment1, moment2, averages));
    if (cuda == NULL) {
        return;
    }
    const double rate = settings->learning_rate, update = (double)settings->update;
    const struct fs_view flat[] = {parameters, gradients, moment1, moment2, averages[0], averages[1]};
    bool wide = true;
    for (const struct fs_view &view : flat) {
        wide = wide && span_of(view).wide; /* also of one that is not given */
    }
    const struct adamw_numbers numbers = {settings->clip_norm,
                                          settings->beta1,
                                          settings->beta2,
                                          settings->epsilon,
                                          (float)(rate / (1 - pow(settings->beta1, update))),
                                          (float)(1 / (1 - pow(settings->beta2, update))),
                                          (float)(rate * settings->weight_decay),
                                          {settings->ema_decay[0], settings->ema_decay[1]}};
    const void *on_device = fs_cuda_numbers(cuda, &numbers, sizeof numbers);
    if (on_device == NULL) {
        return;
    }
    const struct adamw_operation operation = {
        (float *)parameters.data,
        (float *)gradients.data,
        (float *)moment1.data,
        (float *)moment2.data,
        {(float *)averages[0].data, (float *)averages[1].data},
        {span_of(settings->copies[0]), span_of(settings->copies[1]), span_of(settings->copies[2])},
        (const float *)settings->norm2.data,
        (const struct adamw_numbers *)on_device,
        wide};
    for_each_piece(cuda, operation, 1, parameters.cols);
}

void fs_cuda_install_optimiser(struct fs_backend *backend)
{
    backend->sum_squares = FS_TOLD(sum_squares);
    backend->adamw = FS_TOLD(adamw);
}
