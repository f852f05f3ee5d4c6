/* The reference's conditioning, loss and optimiser. */
#include <math.h>

#include "tests/reference/reference.h"

static void sinusoidal(struct fs_backend *backend, struct fs_view out, struct fs_view values)
{
    if (!fs_reference_begin(backend, "sinusoidal", fs_sinusoidal_fits(backend, out, values))) {
        return;
    }
    const int64_t half = out.cols / 2;
    for (int64_t b = 0; b < out.rows; b++) {
        for (int64_t i = 0; i < half; i++) {
            const double angle = *fs_at(values, b, 0) * pow(10000, -(double)i / (double)half);
            *fs_at(out, b, i) = cos(angle);
            *fs_at(out, b, half + i) = sin(angle);
        }
    }
}

static void embed_forward(struct fs_backend *backend, struct fs_view out, struct fs_view table, const int32_t *ids)
{
    if (!fs_reference_begin(backend, "embed_forward", fs_embed_forward_fits(backend, out, table, ids))) {
        return;
    }
    for (int64_t b = 0; b < out.rows; b++) {
        for (int64_t j = 0; j < out.cols; j++) {
            *fs_at(out, b, j) = *fs_at(table, ids[b], j);
        }
    }
}

static void embed_backward(struct fs_backend *backend, struct fs_view dtable, struct fs_view dout, const int32_t *ids)
{
    if (!fs_reference_begin(backend, "embed_backward", fs_embed_backward_fits(backend, dtable, dout, ids))) {
        return;
    }
    for (int64_t b = 0; b < dout.rows; b++) {
        for (int64_t j = 0; j < dout.cols; j++) {
            *fs_at(dtable, ids[b], j) += *fs_at(dout, b, j);
        }
    }
}

static void mse(struct fs_backend *backend, struct fs_view loss, struct fs_view dprediction, struct fs_view prediction,
                struct fs_view target, struct fs_view weights, struct fs_loss kind)
{
    if (!fs_reference_begin(backend, "mse", fs_mse_fits(backend, loss, dprediction, prediction, target, weights))) {
        return;
    }
    const double n = (double)prediction.cols;
    for (int64_t b = 0; b < prediction.rows; b++) {
        double sum = 0;
        for (int64_t j = 0; j < prediction.cols; j++) {
            const double difference = *fs_at(prediction, b, j) - *fs_at(target, b, j);
            sum += difference * difference;
        }
        *fs_at(loss, b, 0) = sum / n;
        const double weight = kind.kind == FS_LOSS_ADAPTIVE ? n / pow(sum + (double)kind.c, (double)kind.power) : 1;
        for (int64_t j = 0; dprediction.data != NULL && j < prediction.cols; j++) {
            const double difference = *fs_at(prediction, b, j) - *fs_at(target, b, j);
            *fs_at(dprediction, b, j) = 2 * *fs_at(weights, b, 0) * weight * difference / n;
        }
    }
}

static void sum_squares(struct fs_backend *backend, struct fs_view result, struct fs_view x)
{
    if (!fs_reference_begin(backend, "sum_squares", fs_sum_squares_fits(backend, result, x))) {
        return;
    }
    double sum = 0;
    for (int64_t i = 0; i < x.rows; i++) {
        for (int64_t j = 0; j < x.cols; j++) {
            sum += *fs_at(x, i, j) * *fs_at(x, i, j);
        }
    }
    *fs_at(result, 0, 0) = sum;
}

static void adamw(struct fs_backend *backend, const struct fs_adamw *settings, struct fs_view parameters,
                  struct fs_view gradients, struct fs_view moment1, struct fs_view moment2,
                  const struct fs_view averages[2])
{
    const struct fs_adamw a = *settings;
    if (!fs_reference_begin(backend, "adamw",
                            fs_adamw_fits(backend, settings, parameters, gradients, moment1, moment2, averages))) {
        return;
    }
    const double clip = a.clip_norm > 0 ? fmin(1, a.clip_norm / sqrt(*fs_at(a.norm2, 0, 0))) : 1;
    const double correction1 = 1 - pow(a.beta1, (double)a.update), correction2 = 1 - pow(a.beta2, (double)a.update);
    for (int64_t i = 0; i < parameters.cols; i++) {
        const double g = clip * *fs_at(gradients, 0, i);
        double *w = fs_at(parameters, 0, i), *m = fs_at(moment1, 0, i), *v = fs_at(moment2, 0, i);
        *m = a.beta1 * *m + (1 - (double)a.beta1) * g;
        *v = a.beta2 * *v + (1 - (double)a.beta2) * g * g;
        *w -= a.learning_rate * (*m / correction1 / (sqrt(*v / correction2) + a.epsilon) + a.weight_decay * *w);
        for (int k = 0; k < 2; k++) {
            if (averages[k].data != NULL) {
                double *average = fs_at(averages[k], 0, i);
                *average = a.ema_decay[k] * *average + (1 - (double)a.ema_decay[k]) * *w;
            }
        }
        for (int k = 0; k < 3; k++) {
            if (a.copies[k].data != NULL) {
                *fs_at(a.copies[k], 0, i) = k == 0 ? *w : *fs_at(averages[k - 1], 0, i);
            }
        }
    }
}

void fs_reference_training(struct fs_backend *backend)
{
    backend->sinusoidal = sinusoidal;
    backend->embed_forward = embed_forward;
    backend->embed_backward = embed_backward;
    backend->mse = mse;
    backend->sum_squares = sum_squares;
    backend->adamw = adamw;
}
