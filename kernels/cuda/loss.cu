/* The mean squared error of each row, with its gradient. */
#include "kernels/cuda/device.cuh"

static __global__ void __launch_bounds__(FS_THREADS)
    mse_rows(struct span loss, struct span gradient, struct span prediction, struct span target, struct span weights,
             struct fs_loss kind, int64_t rows, int64_t cols)
{
    const int64_t row = row_of_warp();
    if (row >= rows) {
        return;
    }
    const int lane = threadIdx.x % FS_WARP;
    float sum = 0;
    for (int64_t col = lane * FS_PIECE; col < cols; col += FS_WARP * FS_PIECE) {
        const int count = (int)min(cols - col, (int64_t)FS_PIECE);
        const struct piece p = load_piece(prediction, row, col, count);
        const struct piece t = load_piece(target, row, col, count);
        for (int k = 0; k < FS_PIECE; k++) {
            const float difference = p.v[k] - t.v[k];
            sum += difference * difference;
        }
    }
    sum = warp_sum(sum);
    if (lane == 0) {
        store(loss, row, 0, sum / (float)cols);
    }
    if (gradient.data == NULL) {
        return;
    }
    float factor = 2.0f * load(weights, row, 0) / (float)cols;
    if (kind.kind == FS_LOSS_ADAPTIVE) {
        factor *= (float)cols / powf(sum + kind.c, kind.power);
    }
    for (int64_t col = lane * FS_PIECE; col < cols; col += FS_WARP * FS_PIECE) {
        const int count = (int)min(cols - col, (int64_t)FS_PIECE);
        struct piece p = load_piece(prediction, row, col, count);
        const struct piece t = load_piece(target, row, col, count);
        for (int k = 0; k < FS_PIECE; k++) {
            p.v[k] = factor * (p.v[k] - t.v[k]);
        }
        store_piece(gradient, row, col, count, p);
    }
}

static void mse(struct fs_backend *backend, struct fs_view loss, struct fs_view dprediction, struct fs_view prediction,
                struct fs_view target, struct fs_view weights, struct fs_loss kind)
{
    struct fs_cuda *cuda =
        fs_cuda_begin(backend, "mse", fs_mse_fits(backend, loss, dprediction, prediction, target, weights));
    if (cuda != NULL) {
        FS_LAUNCH(cuda, mse_rows, blocks_for_rows(prediction.rows), FS_THREADS, span_of(loss), span_of(dprediction),
                  span_of(prediction), span_of(target), span_of(weights), kind, prediction.rows, prediction.cols);
    }
}

void fs_cuda_install_loss(struct fs_backend *backend)
{
    backend->mse = FS_TOLD(mse);
}
