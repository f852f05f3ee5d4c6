/* Matrix products and convolutions by oneDNN, behind functions of our own. Its header is included by
 * onednn_api.h alone, and that by onednn.c and onednn_net.c. */
#ifndef FEWSTEP_ONEDNN_H
#define FEWSTEP_ONEDNN_H

#include "kernels/backend.h"

struct fs_onednn; /* the engine and the primitives made so far, one per shape */

struct fs_onednn *fs_onednn_create(int threads, struct fs_error *error);
void fs_onednn_destroy(struct fs_onednn *onednn);

/* Element (i, j) at data[i·row + j·col]; one of the strides is 1. */
struct fs_operand {
    void *data;
    enum fs_type type;
    int64_t row, col;
};

/* c [m, n] = a [m, k] · b [k, n] (+ bias [n]); added to c when `accumulate`; then GELU (tanh) when `gelu`. a and b are
 * of one type; c is F32, or BF16 where they are. */
struct fs_product {
    int64_t m, n, k;
    struct fs_operand a, b, c;
    const float *bias; /* NULL: none */
    bool accumulate, gelu;
};
fs_status fs_onednn_product(struct fs_onednn *onednn, const struct fs_product *product, struct fs_error *error);

/* Convolution of NHWC images, filters as the window says. Forward: y = x∗w + bias, ReLU when `relu`; x and w of one
 * type, y of any. Backward data: x is written from y (both gradients). Backward weights: w and bias are added to, from
 * x and the gradient y. */
enum fs_direction { FS_CONVOLUTION_FORWARD, FS_CONVOLUTION_DATA, FS_CONVOLUTION_WEIGHTS };
struct fs_convolution {
    enum fs_direction direction;
    const struct fs_window *window;
    int64_t samples, x_stride, y_stride, w_stride; /* strides of samples and of filters */
    enum fs_type type, y_type;                     /* backward: FS_F32, both */
    void *x, *w, *y;
    float *bias; /* NULL: none */
    bool relu;
};
fs_status fs_onednn_convolution(struct fs_onednn *onednn, const struct fs_convolution *convolution,
                                struct fs_error *error);

/* "2.6.3": of the library that is loaded. */
void fs_onednn_version(char text[32]);

#endif
