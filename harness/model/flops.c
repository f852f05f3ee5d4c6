/* How much arithmetic a forward pass is: matrix products only, two operations a multiply-add. */
#include "harness/model/network.h"

double fs_dit_forward_flops(const struct fs_model_config *config, int height, int width, int channels)
{
    const double d = config->hidden, p = (double)config->patch * config->patch * channels;
    const double tokens = (double)(height / config->patch) * (width / config->patch);
    const double patches = tokens * p * d;                              /* in, and as much out */
    const double embedders = 2 * (FS_FEATURES * d + d * d);             /* of t and of s */
    const double linears = tokens * (3 + 1 + 2 * FS_MLP_RATIO) * d * d; /* q, k, v; projection; MLP */
    const double attention = 2 * tokens * tokens * d;                   /* q·kᵀ, and the weights times v */
    const double block = linears + attention + FS_MODULATIONS * d * d;
    return 2 * (2 * patches + embedders + config->depth * block + 2 * d * d);
}
