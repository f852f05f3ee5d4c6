/* What the cuDNN graphs compute, by definition: their descriptions (kernels/cuda/cudnn/ *_graph.cu) against a builder
 * that carries each step out in double precision as it is described, compared with the float64 reference. It shows that
 * strides, transposes, signs and scales are right; not that cuDNN computes what it is told. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <map>
#include <memory>
#include <vector>

#include "kernels/cuda/cudnn/attention_graph.h"
#include "kernels/cuda/cudnn/convolution_graph.h"
#include "kernels/operands.h"

extern "C" {
#include "tests/reference/reference.h"
}

/* --- the builder --- */

struct tensor {
    int64_t sizes[4], strides[4];
    double *data;
    std::vector<double> own; /* of a tensor inside the graph */
    double &at(int64_t b, int64_t h, int64_t i, int64_t j)
    {
        /* A size of 1 is repeated. */
        return data[(sizes[0] > 1 ? b : 0) * strides[0] + (sizes[1] > 1 ? h : 0) * strides[1] +
                    (sizes[2] > 1 ? i : 0) * strides[2] + (sizes[3] > 1 ? j : 0) * strides[3]];
    }
};

static std::map<int64_t, double *> memory; /* id → where it lies */
static std::vector<std::unique_ptr<struct tensor>> tensors;

static struct tensor *of(fs_cudnn_part part)
{
    return (struct tensor *)part;
}

template <class Action> static void for_each(const int64_t sizes[4], const Action &action)
{
    for (int64_t b = 0; b < sizes[0]; b++) {
        for (int64_t h = 0; h < sizes[1]; h++) {
            for (int64_t i = 0; i < sizes[2]; i++) {
                for (int64_t j = 0; j < sizes[3]; j++) {
                    action(b, h, i, j);
                }
            }
        }
    }
}

fs_cudnn_part fs_cudnn_tensor(struct fs_cudnn_graph *, int64_t id, cudnnDataType_t, const int64_t *sizes,
                              const int64_t *strides)
{
    tensors.push_back(std::make_unique<struct tensor>());
    struct tensor *t = tensors.back().get();
    size_t extent = 1;
    for (int i = 0; i < 4; i++) {
        t->sizes[i] = sizes[i];
        t->strides[i] = strides[i];
        extent += (size_t)((sizes[i] - 1) * strides[i]);
    }
    if (id == 0) {
        t->own.assign(extent, NAN);
        t->data = t->own.data();
    } else {
        t->data = memory.at(id);
    }
    return t;
}

fs_cudnn_part fs_cudnn_scalar(struct fs_cudnn_graph *graph, int64_t id)
{
    const int64_t one[] = {1, 1, 1, 1};
    return fs_cudnn_tensor(graph, id, CUDNN_DATA_FLOAT, one, one);
}

void fs_cudnn_multiply(struct fs_cudnn_graph *, fs_cudnn_part out, fs_cudnn_part a, fs_cudnn_part b)
{
    for_each(of(out)->sizes, [&](int64_t sample, int64_t head, int64_t i, int64_t j) {
        double sum = 0;
        for (int64_t k = 0; k < of(a)->sizes[3]; k++) {
            sum += of(a)->at(sample, head, i, k) * of(b)->at(sample, head, k, j);
        }
        of(out)->at(sample, head, i, j) = sum;
    });
}

void fs_cudnn_pointwise(struct fs_cudnn_graph *, cudnnPointwiseMode_t mode, fs_cudnn_part out, fs_cudnn_part x,
                        fs_cudnn_part y)
{
    for_each(of(out)->sizes, [&](int64_t b, int64_t h, int64_t i, int64_t j) {
        const double first = of(x)->at(b, h, i, j), second = y != NULL ? of(y)->at(b, h, i, j) : 0;
        of(out)->at(b, h, i, j) = mode == CUDNN_POINTWISE_ADD        ? first + second
                                  : mode == CUDNN_POINTWISE_SUB      ? first - second
                                  : mode == CUDNN_POINTWISE_MUL      ? first * second
                                  : mode == CUDNN_POINTWISE_EXP      ? exp(first)
                                  : mode == CUDNN_POINTWISE_RELU_FWD ? fmax(first, 0)
                                                                     : NAN;
    });
}

void fs_cudnn_sum(struct fs_cudnn_graph *, fs_cudnn_part out, fs_cudnn_part x)
{
    for_each(of(out)->sizes, [&](int64_t b, int64_t h, int64_t i, int64_t j) { of(out)->at(b, h, i, j) = 0; });
    for_each(of(x)->sizes,
             [&](int64_t b, int64_t h, int64_t i, int64_t j) { of(out)->at(b, h, i, j) += of(x)->at(b, h, i, j); });
}

/* The same memory, seen with other sizes and strides. */
void fs_cudnn_reshape(struct fs_cudnn_graph *, fs_cudnn_part out, fs_cudnn_part x)
{
    of(out)->data = of(x)->data;
}

void fs_cudnn_convolve(struct fs_cudnn_graph *, fs_cudnn_part y, fs_cudnn_part x, fs_cudnn_part w,
                       const struct fs_window *window)
{
    for_each(of(y)->sizes, [&](int64_t image, int64_t out, int64_t i, int64_t j) {
        double sum = 0;
        const int64_t one_filter[] = {1, of(w)->sizes[1], of(w)->sizes[2], of(w)->sizes[3]};
        for_each(one_filter, [&](int64_t, int64_t channel, int64_t r, int64_t c) {
            const int64_t row = i * window->stride + r - window->pad_height,
                          col = j * window->stride + c - window->pad_width;
            if (row >= 0 && row < of(x)->sizes[2] && col >= 0 && col < of(x)->sizes[3]) {
                sum += of(x)->at(image, channel, row, col) * of(w)->at(out, channel, r, c);
            }
        });
        of(y)->at(image, out, i, j) = sum;
    });
}

/* cuDNN's attention as it is documented: softmax(scale·q·kᵀ)·v, and the log of the denominator. */
void fs_cudnn_operation(struct fs_cudnn_graph *, cudnnBackendDescriptorType_t, const char *,
                        const struct fs_cudnn_role *roles, int)
{
    struct tensor *q = of(roles[0].tensor), *k = of(roles[1].tensor), *v = of(roles[2].tensor),
                  *out = of(roles[3].tensor), *scale = of(roles[4].tensor), *lse = of(roles[5].tensor);
    for_each(q->sizes, [&](int64_t b, int64_t h, int64_t i, int64_t j) {
        double denominator = 0, sum = 0;
        for (int64_t other = 0; other < k->sizes[2]; other++) {
            double logit = 0;
            for (int64_t c = 0; c < q->sizes[3]; c++) {
                logit += q->at(b, h, i, c) * k->at(b, h, other, c);
            }
            const double weight = exp(scale->at(0, 0, 0, 0) * logit);
            denominator += weight;
            sum += weight * v->at(b, h, other, j);
        }
        out->at(b, h, i, j) = sum / denominator;
        lse->at(b, h, i, 0) = log(denominator);
    });
}

bool fs_cudnn_finish(struct fs_cudnn_graph *)
{
    return true;
}

/* --- comparison --- */

static int failures;

static std::vector<double> numbers(struct fs_backend *reference, int64_t rows, int64_t cols)
{
    static struct fs_random_key key = {1, FS_STREAM_TEST, 0, 0};
    std::vector<double> values((size_t)(rows * cols));
    key.update++;
    reference->normals(reference, fs_view(values.data(), FS_F64, rows, cols), key, 0);
    return values;
}

static void compare(const char *what, const std::vector<double> &got, const std::vector<double> &want)
{
    double worst = 0;
    for (size_t i = 0; i < want.size(); i++) {
        const double off = fabs(got[i] - want[i]);
        worst = off > worst || isnan(off) ? off : worst;
    }
    if (!(worst < 1e-11)) {
        failures++;
        printf("FAILED: %s: %.3g off\n", what, worst);
    }
}

static void check_attention(struct fs_backend *reference, int64_t samples, int64_t tokens, int64_t heads, int64_t width)
{
    const int64_t rows = samples * tokens, d = heads * width;
    const struct fs_attention_shape shape = {samples, tokens, heads, width, 3 * d, d, heads, 3 * d, d};
    std::vector<double> qkv = numbers(reference, rows, 3 * d), dout = numbers(reference, rows, d),
                        out((size_t)(rows * d)), lse((size_t)(rows * heads)), dqkv(qkv.size()), sums(lse.size()),
                        want_out = out, want_lse = lse, want_dqkv = dqkv;
    double scale = 0.37, one = 1;
    const struct fs_view q = fs_view(qkv.data(), FS_F64, rows, 3 * d), o = fs_view(want_out.data(), FS_F64, rows, d),
                         l = fs_view(want_lse.data(), FS_F64, rows, heads), g = fs_view(dout.data(), FS_F64, rows, d),
                         dq = fs_view(want_dqkv.data(), FS_F64, rows, 3 * d);
    reference->attention_forward(reference, o, l, q, tokens, heads, scale);
    reference->attention_backward(reference, dq, g, q, o, l, tokens, heads, scale);
    memory = {
        {FS_ATTENTION_Q, qkv.data()},   {FS_ATTENTION_K, qkv.data() + d},   {FS_ATTENTION_V, qkv.data() + 2 * d},
        {FS_ATTENTION_OUT, out.data()}, {FS_ATTENTION_LSE, lse.data()},     {FS_ATTENTION_SCALE, &scale},
        {FS_ATTENTION_ONE, &one},       {FS_ATTENTION_DOUT, dout.data()},   {FS_ATTENTION_ROW_SUMS, sums.data()},
        {FS_ATTENTION_DQ, dqkv.data()}, {FS_ATTENTION_DK, dqkv.data() + d}, {FS_ATTENTION_DV, dqkv.data() + 2 * d}};
    struct fs_cudnn_graph graph = {};
    fs_attention_graph_forward(&graph, &shape);
    compare("attention forward", out, want_out);
    compare("attention forward (lse)", lse, want_lse);
    fs_attention_graph_backward(&graph, &shape);
    compare("attention backward", dqkv, want_dqkv);
}

static void check_convolution(struct fs_backend *reference, const struct fs_window *w, bool with_bias, bool relu)
{
    const int64_t images = 2, height = fs_window_out_height(w), width = fs_window_out_width(w),
                  inputs = w->in_height * w->in_width * w->in_channels, area = w->kernel_height * w->kernel_width,
                  weights = w->in_channels * area, outputs = height * width * w->out_channels;
    std::vector<double> x = numbers(reference, images, inputs), filters = numbers(reference, w->out_channels, weights),
                        bias = numbers(reference, 1, w->out_channels), turned = filters, y((size_t)(images * outputs)),
                        want = y;
    reference->convolution_forward(
        reference, fs_view(want.data(), FS_F64, images, outputs), fs_view(x.data(), FS_F64, images, inputs),
        fs_view(filters.data(), FS_F64, w->out_channels, weights),
        with_bias ? fs_view(bias.data(), FS_F64, 1, w->out_channels) : fs_no_view(), w, relu);
    for (int64_t i = 0; i < w->out_channels * weights; i++) { /* (channel, place) → (place, channel) */
        const int64_t j = i % weights;
        turned[(size_t)i] = filters[(size_t)(i - j + j % w->in_channels * area + j / w->in_channels)];
    }
    memory = {{FS_CONVOLUTION_X, x.data()},
              {FS_CONVOLUTION_W, turned.data()},
              {FS_CONVOLUTION_BIAS, bias.data()},
              {FS_CONVOLUTION_Y, y.data()}};
    const struct fs_convolution_shape shape = {images, *w, with_bias, relu, FS_F32, FS_F32};
    struct fs_cudnn_graph graph = {};
    fs_convolution_graph(&graph, &shape);
    compare("convolution", y, want);
}

int main(void)
{
    struct fs_error error;
    struct fs_backend *reference = fs_reference_backend(&error);
    if (reference == NULL) {
        printf("FAILED: %s\n", error.text);
        return EXIT_FAILURE;
    }
    check_attention(reference, 2, 7, 3, 5);
    check_attention(reference, 1, 16, 1, 8);
    const struct fs_window square = {9, 7, 3, 5, 3, 3, 2, 1, 1, 0, 0, 0}, flat = {6, 11, 2, 4, 1, 5, 1, 0, 2, 0, 0, 0},
                           after = {8, 6, 3, 2, 3, 3, 2, 0, 0, 1, 1, 0};
    check_convolution(reference, &after, true, false);
    check_convolution(reference, &square, true, true);
    check_convolution(reference, &flat, true, false);
    check_convolution(reference, &flat, false, true);
    check_convolution(reference, &square, false, false);
    reference->destroy(reference);
    printf("what the cuDNN graphs say is what the float64 reference computes: %s\n", failures == 0 ? "yes" : "FAILED");
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
