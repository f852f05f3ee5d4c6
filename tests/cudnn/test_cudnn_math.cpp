/* What the cuDNN graphs compute, by definition: their descriptions (kernels/cuda/cudnn/ *_graph.cu) against a builder
 * that carries each step out in double precision as it is described, compared with the float64 reference. It shows that
 * strides, transposes, signs and scales are right; not that cuDNN computes what it is told. And which of its graphs
 * attention takes (cudnn/attention.cu), in which parts, with plans that stand in for cuDNN's. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <map>
#include <memory>
#include <vector>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/cudnn/attention_graph.h"
#include "kernels/cuda/cudnn/convolution_graph.h"
#include "kernels/cuda/cudnn/run.h"
#include "kernels/operands.h"

extern "C" {
#include "tests/reference/reference.h"
}

/* --- the builder --- */

static int failures;

struct tensor {
    int64_t sizes[4], strides[4], id;
    cudnnDataType_t type;
    double *data;
    std::vector<double> own; /* of a tensor inside the graph, or in memory of another type */
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

static void *const *given; /* in place of `memory`: where each id lies in memory of its own type */

static double get(const struct tensor *t, size_t at)
{
    const void *data = given[t->id - 1];
    if (t->type == CUDNN_DATA_FLOAT) {
        return ((const float *)data)[at];
    }
    const uint32_t bits = (uint32_t)((const uint16_t *)data)[at] << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint16_t to_bf16(double number)
{
    const float value = (float)number;
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

static void put(const struct tensor *t, size_t at, double value)
{
    void *data = given[t->id - 1];
    if (t->type == CUDNN_DATA_FLOAT) {
        ((float *)data)[at] = (float)value;
    } else {
        ((uint16_t *)data)[at] = to_bf16(value);
    }
}

fs_cudnn_part fs_cudnn_tensor(struct fs_cudnn_graph *, int64_t id, cudnnDataType_t type, const int64_t *sizes,
                              const int64_t *strides)
{
    tensors.push_back(std::make_unique<struct tensor>());
    struct tensor *t = tensors.back().get();
    size_t extent = 1;
    t->id = id;
    t->type = type;
    for (int i = 0; i < 4; i++) {
        t->sizes[i] = sizes[i];
        t->strides[i] = strides[i];
        extent += (size_t)((sizes[i] - 1) * strides[i]);
    }
    if (id == 0) {
        t->own.assign(extent, NAN);
        t->data = t->own.data();
    } else if (given != NULL) {
        t->own.resize(extent);
        t->data = t->own.data();
        for_each(sizes, [&](int64_t b, int64_t h, int64_t i, int64_t j) {
            const size_t at = (size_t)(b * strides[0] + h * strides[1] + i * strides[2] + j * strides[3]);
            t->data[at] = get(t, at);
        });
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

/* The tensor in a role; NULL when it is not given. */
static struct tensor *in_role(const struct fs_cudnn_role *roles, int count, cudnnBackendAttributeName_t name)
{
    for (int i = 0; i < count; i++) {
        if (roles[i].name == name) {
            return of(roles[i].tensor);
        }
    }
    return NULL;
}

static double logit(struct tensor *scale, struct tensor *q, struct tensor *k, int64_t b, int64_t h, int64_t i,
                    int64_t other)
{
    double sum = 0;
    for (int64_t c = 0; c < q->sizes[3]; c++) {
        sum += q->at(b, h, i, c) * k->at(b, h, other, c);
    }
    return scale->at(0, 0, 0, 0) * sum;
}

/* cuDNN's attention as it is documented: softmax(scale·q·kᵀ)·v, and the log of the denominator. */
static void attend(const struct fs_cudnn_role *roles, int count)
{
    struct tensor *q = in_role(roles, count, CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC),
                  *k = in_role(roles, count, CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC),
                  *v = in_role(roles, count, CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC),
                  *out = in_role(roles, count, CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC),
                  *scale = in_role(roles, count, CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC),
                  *lse = in_role(roles, count, CUDNN_ATTR_OPERATION_SDPA_FWD_STATSDESC);
    for_each(q->sizes, [&](int64_t b, int64_t h, int64_t i, int64_t j) {
        double denominator = 0, sum = 0;
        for (int64_t other = 0; other < k->sizes[2]; other++) {
            const double weight = exp(logit(scale, q, k, b, h, i, other));
            denominator += weight;
            sum += weight * v->at(b, h, other, j);
        }
        out->at(b, h, i, j) = sum / denominator;
        if (lse != NULL) {
            lse->at(b, h, i, 0) = log(denominator);
        }
    });
}

#if CUDNN_VERSION >= 91700
/* And backward, with p = exp(scale·q·kᵀ − lse) and ds = p·(dout·vᵀ − Σ dout·out): the gradients of q, k and v. */
static void attend_backward(const struct fs_cudnn_role *roles, int count)
{
    struct tensor *q = in_role(roles, count, CUDNN_ATTR_OPERATION_SDPA_BWD_QDESC),
                  *k = in_role(roles, count, CUDNN_ATTR_OPERATION_SDPA_BWD_KDESC),
                  *v = in_role(roles, count, CUDNN_ATTR_OPERATION_SDPA_BWD_VDESC),
                  *out = in_role(roles, count, CUDNN_ATTR_OPERATION_SDPA_BWD_ODESC),
                  *dout = in_role(roles, count, CUDNN_ATTR_OPERATION_SDPA_BWD_DODDESC),
                  *lse = in_role(roles, count, CUDNN_ATTR_OPERATION_SDPA_BWD_STATSDESC),
                  *scale = in_role(roles, count, CUDNN_ATTR_OPERATION_SDPA_BWD_SCALEDESC),
                  *dq = in_role(roles, count, CUDNN_ATTR_OPERATION_SDPA_BWD_DQDESC),
                  *dk = in_role(roles, count, CUDNN_ATTR_OPERATION_SDPA_BWD_DKDESC),
                  *dv = in_role(roles, count, CUDNN_ATTR_OPERATION_SDPA_BWD_DVDESC);
    struct tensor *const gradients[] = {dq, dk, dv};
    for (struct tensor *gradient : gradients) {
        for_each(gradient->sizes, [&](int64_t b, int64_t h, int64_t i, int64_t j) { gradient->at(b, h, i, j) = 0; });
    }
    const int64_t pairs[] = {q->sizes[0], q->sizes[1], q->sizes[2], k->sizes[2]}, width = q->sizes[3];
    for_each(pairs, [&](int64_t b, int64_t h, int64_t i, int64_t other) {
        double dp = 0;
        for (int64_t c = 0; c < width; c++) {
            dp += dout->at(b, h, i, c) * (v->at(b, h, other, c) - out->at(b, h, i, c));
        }
        const double p = exp(logit(scale, q, k, b, h, i, other) - lse->at(b, h, i, 0)),
                     ds = scale->at(0, 0, 0, 0) * p * dp;
        for (int64_t c = 0; c < width; c++) {
            dq->at(b, h, i, c) += ds * k->at(b, h, other, c);
            dk->at(b, h, other, c) += ds * q->at(b, h, i, c);
            dv->at(b, h, other, c) += p * dout->at(b, h, i, c);
        }
    });
}
#endif

void fs_cudnn_operation(struct fs_cudnn_graph *, cudnnBackendDescriptorType_t type, const char *,
                        const struct fs_cudnn_role *roles, int count)
{
    if (type == CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR) {
        attend(roles, count);
    }
#if CUDNN_VERSION >= 91700
    if (type == CUDNN_BACKEND_OPERATION_SDPA_BWD_DESCRIPTOR) {
        attend_backward(roles, count);
    }
#endif
}

bool fs_cudnn_finish(struct fs_cudnn_graph *)
{
    return true;
}

/* --- plans that stand in for cuDNN's --- */

static bool refuse_operation;         /* backward, the one that is not made of products */
static int64_t bytes_of_a_sample;     /* of workspace, of that one */
static std::vector<int64_t> executed; /* how many samples by which graph, negative backward by products */

struct stand_in {
    struct fs_cudnn_plan plan; /* the first, so that a plan is one */
    fs_cudnn_describe describe;
    struct fs_attention_shape shape;
    bool backward, products;
};

/* What a graph says is to be seen by what it has in memory. */
static void look_at(struct stand_in *made)
{
    std::vector<double> room(1 << 16);
    for (int64_t id = 1; id <= FS_ATTENTION_TENSORS; id++) {
        memory[id] = room.data();
    }
    struct fs_cudnn_graph graph = {};
    struct fs_attention_shape small = made->shape;
    small.samples = 1;
    tensors.clear();
    made->describe(&graph, (const int64_t *)&small);
    for (const auto &t : tensors) {
        made->backward = made->backward || t->id == FS_ATTENTION_DQ;
        made->products = made->products || t->id == FS_ATTENTION_ROW_SUMS;
    }
}

const struct fs_cudnn_plan *fs_cudnn_plan_of(struct fs_cuda *, fs_cudnn_describe describe, const int64_t *shape, int,
                                             bool, enum fs_cuda_path path)
{
    static std::vector<std::unique_ptr<struct stand_in>> plans;
    plans.push_back(std::make_unique<struct stand_in>());
    struct stand_in *made = plans.back().get();
    made->describe = describe;
    memcpy(&made->shape, shape, sizeof made->shape);
    look_at(made);
    const bool operation = made->backward && !made->products;
    if (operation && path == FS_PATH_CUDNN) {
        printf("FAILED: that backward as one operation is refused would be a fault\n");
        failures++;
    }
    made->plan.workspace = operation ? bytes_of_a_sample * made->shape.samples : 0;
    return operation && refuse_operation ? NULL : &made->plan;
}

bool fs_cudnn_execute(struct fs_cuda *, const struct fs_cudnn_plan *plan, void *const *pointers, int, void *)
{
    const struct stand_in *made = (const struct stand_in *)plan;
    struct fs_cudnn_graph graph = {};
    given = pointers;
    tensors.clear();
    made->describe(&graph, (const int64_t *)&made->shape);
    for (const auto &t : tensors) {
        const int64_t *strides = t->strides;
        const bool is_result =
            made->backward ? t->id >= FS_ATTENTION_ROW_SUMS : t->id == FS_ATTENTION_OUT || t->id == FS_ATTENTION_LSE;
        for_each(t->sizes, [&](int64_t b, int64_t h, int64_t i, int64_t j) {
            const size_t at = (size_t)(b * strides[0] + h * strides[1] + i * strides[2] + j * strides[3]);
            if (is_result) {
                put(t.get(), at, t->data[at]);
            }
        });
    }
    given = NULL;
    executed.push_back(made->products ? -made->shape.samples : made->shape.samples);
    return true;
}

int fs_cudnn_engines_for(struct fs_cuda *, fs_cudnn_describe, const int64_t *, bool, char *why, size_t size)
{
    snprintf(why, size, "%s", refuse_operation ? "it is not here" : "");
    return refuse_operation ? 0 : 1;
}

void *fs_cuda_scratch(struct fs_cuda *, size_t)
{
    static std::vector<float> room(4096);
    return room.data();
}

/* --- comparison --- */

static std::vector<double> numbers(struct fs_backend *reference, int64_t rows, int64_t cols)
{
    static struct fs_random_key key = {1, FS_STREAM_TEST, 0, 0};
    std::vector<double> values((size_t)(rows * cols));
    key.update++;
    reference->normals(reference, fs_view(values.data(), FS_F64, rows, cols), key, 0);
    return values;
}

static void compare(const char *what, const std::vector<double> &got, const std::vector<double> &want,
                    double allowed = 1e-11)
{
    double worst = 0;
    for (size_t i = 0; i < want.size(); i++) {
        const double off = fabs(got[i] - want[i]);
        worst = off > worst || isnan(off) ? off : worst;
    }
    if (!(worst < allowed)) {
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
    fs_attention_graph_backward_products(&graph, &shape);
    compare("attention backward by products", dqkv, want_dqkv);
#if CUDNN_VERSION >= 91700
    dqkv.assign(dqkv.size(), 0);
    fs_attention_graph_backward_operation(&graph, &shape);
    compare("attention backward as one operation", dqkv, want_dqkv);
#endif
}

static std::vector<uint16_t> halves(std::vector<double> &numbers)
{
    std::vector<uint16_t> made;
    for (double &number : numbers) {
        made.push_back(to_bf16(number));
        const uint32_t bits = (uint32_t)made.back() << 16;
        float rounded;
        memcpy(&rounded, &bits, sizeof rounded);
        number = rounded; /* what both sides begin with */
    }
    return made;
}

static std::vector<double> whole(const std::vector<uint16_t> &halves)
{
    std::vector<double> made;
    for (const uint16_t half : halves) {
        const uint32_t bits = (uint32_t)half << 16;
        float value;
        memcpy(&value, &bits, sizeof value);
        made.push_back(value);
    }
    return made;
}

static void expect_executed(const char *what, const std::vector<int64_t> &want)
{
    if (executed != want) {
        failures++;
        printf("FAILED: %s: by other graphs, or in other parts\n", what);
    }
    executed.clear();
}

/* Attention in bf16 by plans: forward at once; backward as one operation where it is taken, in as many parts as its
 * workspace asks for, and as products else, which is said. */
static void check_attention_by_plans(struct fs_backend *reference, enum fs_cuda_path path)
{
    const int64_t samples = 5, tokens = 3, heads = 2, width = 8, rows = samples * tokens, d = heads * width;
    std::vector<double> qkv = numbers(reference, rows, 3 * d), dout = numbers(reference, rows, d),
                        want_out((size_t)(rows * d)), want_lse((size_t)(rows * heads)), want_dqkv(qkv.size());
    std::vector<uint16_t> qkv_half = halves(qkv), dout_half = halves(dout), out_half(want_out.size()),
                          dqkv_half(qkv.size());
    std::vector<float> lse(want_lse.size());
    const struct fs_view none = fs_no_view();
    struct fs_cuda cuda = {};
    cuda.cudnn = (struct fs_cudnn *)&cuda; /* it is there */
    cuda.attention = path;
    const struct fs_view q = fs_view(qkv.data(), FS_F64, rows, 3 * d), o = fs_view(want_out.data(), FS_F64, rows, d),
                         l = fs_view(want_lse.data(), FS_F64, rows, heads), g = fs_view(dout.data(), FS_F64, rows, d),
                         dq = fs_view(want_dqkv.data(), FS_F64, rows, 3 * d);
    reference->attention_forward(reference, o, l, q, tokens, heads, 0.5);
    reference->attention_backward(reference, dq, g, q, o, l, tokens, heads, 0.5);
    struct fs_attention op = {fs_view(out_half.data(), FS_BF16, rows, d),
                              fs_view(lse.data(), FS_F32, rows, heads),
                              fs_view(qkv_half.data(), FS_BF16, rows, 3 * d),
                              none,
                              none,
                              samples,
                              tokens,
                              heads,
                              width,
                              0.5f};
    const bool forward = fs_cudnn_attention(&cuda, &op, false);
    compare("attention by a plan", forward ? whole(out_half) : std::vector<double>(want_out.size(), NAN), want_out,
            0.02);
    expect_executed("attention by a plan", {samples});
    op.dout = fs_view(dout_half.data(), FS_BF16, rows, d);
    op.dqkv = fs_view(dqkv_half.data(), FS_BF16, rows, 3 * d);
    static const struct {
        const char *name, *way;
        bool refused;
        int64_t bytes; /* of a sample's workspace */
        std::vector<int64_t> parts;
    } cases[] = {
        {"backward, one operation", "as one operation", false, 0, {5}},
        {"backward, one operation in parts", "as one operation", false, FS_CUDA_SCRATCH_LIMIT / 2, {2, 2, 1}},
        {"backward, one operation of too much", "as one operation", false, 2 * FS_CUDA_SCRATCH_LIMIT, {1, 1, 1, 1, 1}},
        {"backward, products", "as products, since one operation is refused: it is not here", true, 0, {-5}}};
    for (const auto &c : cases) {
        char text[192];
        refuse_operation = c.refused;
        bytes_of_a_sample = c.bytes;
        dqkv_half.assign(dqkv_half.size(), 0x7fff);
        const bool done = fs_cudnn_attention(&cuda, &op, true);
        compare(c.name, done ? whole(dqkv_half) : std::vector<double>(want_dqkv.size(), NAN), want_dqkv, 0.05);
        expect_executed(c.name, c.parts);
        fs_cudnn_attention_backward_way(&cuda, text, sizeof text);
        if (strstr(text, c.way) == NULL) {
            failures++;
            printf("FAILED: %s: it is said that it goes %s\n", c.name, text);
        }
    }
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
#if CUDNN_VERSION >= 91700
    check_attention_by_plans(reference, FS_PATH_AUTO);
    check_attention_by_plans(reference, FS_PATH_CUDNN);
#endif
    const struct fs_window square = {9, 7, 3, 5, 3, 3, 2, 1, 1, 0, 0, 0}, flat = {6, 11, 2, 4, 1, 5, 1, 0, 2, 0, 0, 0},
                           after = {8, 6, 3, 2, 3, 3, 2, 0, 0, 1, 1, 0};
    check_convolution(reference, &after, true, false);
    check_convolution(reference, &square, true, true);
    check_convolution(reference, &flat, true, false);
    check_convolution(reference, &flat, false, true);
    check_convolution(reference, &square, false, false);
    reference->destroy(reference);
    printf("what the cuDNN graphs say, and what is made of them, is what the float64 reference computes: %s\n",
           failures == 0 ? "yes" : "FAILED");
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
