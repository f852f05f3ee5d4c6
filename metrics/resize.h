/* Pictures to the size that a feature network takes. Published scores differ by which of these was used, so the mode is
 * part of a score's identity. */
#ifndef FEWSTEP_RESIZE_H
#define FEWSTEP_RESIZE_H

#include "kernels/backend.h"
#include "metrics/image_batch.h"

enum fs_resize {
    FS_RESIZE_NONE,    /* the picture's own size; what comes out spans [−1, 1] */
    FS_RESIZE_CLEAN,   /* clean-fid: PIL's bicubic (a = −½), antialiased, not rounded; clipped; (v − 128)/128 */
    FS_RESIZE_TORCH,   /* pytorch-fid: bilinear between half-pixel centres, aliased; v/127.5 − 1 */
    FS_RESIZE_TF1,     /* torch-fidelity and the original code: TensorFlow 1's bilinear, whose pixel i of n samples the
                          picture at i·size/n; (v − 128)/128 */
    FS_RESIZE_AUTHORS, /* the shortcut-model authors: as torch, of floats, clipped to [−1, 1] */
};

/* Names in configurations, by the enum's value; NULL past the last. */
const char *fs_resize_name(int index);
/* FS_USAGE names the modes there are. */
fs_status fs_resize_parse(const char *name, enum fs_resize *mode, struct fs_error *error);

/* Pixels *first … of a line of `in` from which PIL's bicubic (a = −½) makes pixel `index` of `out`, widened where the
 * picture shrinks (antialiased), and their weights, which sum to 1; room for FS_CUBIC_TAPS(in, out). How many. */
#define FS_CUBIC_TAPS(in, out) ((in) > (out) ? 4 * ((in) / (out) + 1) + 2 : 6)
int64_t fs_cubic_window(int64_t in, int64_t out, int64_t index, int64_t *first, double *weights);

/* Weights, worked out once for all pictures of one size, in the backend's memory; and room for some pictures. */
struct fs_resizer {
    enum fs_resize mode;
    struct fs_backend *backend;
    int64_t channels;
    struct fs_resize_side vertical, horizontal;
    int64_t room;           /* pictures in each of: */
    float *floats, *device; /* pictures as floats, for the upload; in the backend's memory. NULL: not needed */
};

/* From height × width to out_height × out_width with so many channels, on a backend that outlives it; FS_USAGE for no
 * channels, a side below 1 or above 2²⁴, or, with FS_RESIZE_NONE, where they differ. Give back with destroy. */
fs_status fs_resizer_create(struct fs_backend *backend, enum fs_resize mode, int64_t height, int64_t width,
                            int64_t out_height, int64_t out_width, int64_t channels, struct fs_resizer *resizer,
                            struct fs_error *error);
void fs_resizer_destroy(struct fs_resizer *resizer);

/* out [batch->count, out_height, out_width, channels], in the backend's memory: what the mode's reference feeds the
 * network of 2015, about −1 … 1 (v above: the value where the batch's low … high is 0 … 255). Grey pictures are
 * repeated to the resizer's channels. FS_FAILED for a batch of another size or without memory. */
fs_status fs_resizer_apply(struct fs_resizer *resizer, const struct fs_image_batch *batch, float *out,
                           struct fs_error *error);

#endif
