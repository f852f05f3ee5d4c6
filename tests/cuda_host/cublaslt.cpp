/* cuBLASLt's matrix product after its documentation: D = epilogue(alpha·op(A)·op(B) + beta·C), column by column,
 * leading dimensions, strided batches; with the refusals of the real one. */
#include <cublasLt.h>

#include <vector>

#include "tests/cuda_host/device.hpp"

struct cuda_host_lt {
    int unused;
};

struct cuda_host_operation {
    cublasComputeType_t compute;
    cublasOperation_t transpose_a, transpose_b;
    cublasLtEpilogue_t epilogue;
    void *bias, *aux;
    int64_t ld_aux;
};

struct cuda_host_layout {
    cudaDataType_t type;
    int64_t rows, cols, ld;
    int32_t batch;
    int64_t step;
};

struct cuda_host_preference {
    size_t workspace;
    uint32_t reductions;   /* schemes that it may choose from */
    uint32_t alignment[4]; /* of A, B, C, D */
};

#define WORKSPACE_NEEDED 65536
#define PROPOSALS 3 /* at most, of one heuristic */

static int last_algorithm, products, bias_gradients;
static double seconds;

extern "C" int cuda_host_last_algorithm(void)
{
    return last_algorithm;
}

extern "C" int cuda_host_products(void)
{
    return products;
}

extern "C" int cuda_host_bias_gradients(void)
{
    return bias_gradients;
}

double cuda_host_seconds()
{
    return seconds;
}

static cublasStatus_t refuse(cublasStatus_t status, const char *what)
{
    device_fault(cudaSuccess, "cuBLASLt: %s", what);
    return status;
}

/* --- objects --- */

size_t cublasLtGetVersion(void)
{
    return 130001;
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    *handle = new cuda_host_lt();
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    delete handle;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *operation, cublasComputeType_t compute,
                                        cudaDataType_t scale)
{
    if (scale != CUDA_R_32F) {
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "a scale type other than float32");
    }
    *operation = new cuda_host_operation{compute, CUBLAS_OP_N, CUBLAS_OP_N, CUBLASLT_EPILOGUE_DEFAULT, NULL, NULL, 0};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t operation)
{
    delete operation;
    return CUBLAS_STATUS_SUCCESS;
}

/* Copies an attribute's value when its size is the attribute's. */
template <class Value> static cublasStatus_t take(Value *to, const void *value, size_t size)
{
    if (value == NULL || size != sizeof *to) {
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "an attribute's value of the wrong size");
    }
    memcpy(to, value, size);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute,
                                              const void *value, size_t size)
{
    switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
        return take(&operation->transpose_a, value, size);
    case CUBLASLT_MATMUL_DESC_TRANSB:
        return take(&operation->transpose_b, value, size);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
        return take(&operation->epilogue, value, size);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
        return take(&operation->bias, value, size);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
        return take(&operation->aux, value, size);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
        return take(&operation->ld_aux, value, size);
    }
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "an unknown attribute of an operation");
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout, cudaDataType_t type, uint64_t rows,
                                          uint64_t cols, int64_t ld)
{
    *layout = new cuda_host_layout{type, (int64_t)rows, (int64_t)cols, ld, 1, 0};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout)
{
    delete layout;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void *value,
                                                size_t size)
{
    switch (attribute) {
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT:
        return take(&layout->batch, value, size);
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET:
        return take(&layout->step, value, size);
    }
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "an unknown attribute of a layout");
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference)
{
    *preference = new cuda_host_preference{0, CUBLASLT_REDUCTION_SCHEME_MASK, {256, 256, 256, 256}};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference)
{
    delete preference;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void *value,
                                                    size_t size)
{
    if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) {
        return take(&preference->workspace, value, size);
    }
    if (attribute == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK) {
        return take(&preference->reductions, value, size);
    }
    return take(&preference->alignment[attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], value, size);
}

/* --- what is refused --- */

static bool layout_is(const struct cuda_host_layout *layout, int64_t rows, int64_t cols, bool transposed, int32_t batch)
{
    return layout->rows == (transposed ? cols : rows) && layout->cols == (transposed ? rows : cols) &&
           layout->ld >= layout->rows && layout->batch == batch && rows > 0 && cols > 0;
}

static cublasStatus_t check_epilogue(const struct cuda_host_operation *operation, const struct cuda_host_layout *d)
{
    const cublasLtEpilogue_t epilogue = operation->epilogue;
    if (epilogue == CUBLASLT_EPILOGUE_DEFAULT) {
        return CUBLAS_STATUS_SUCCESS;
    }
    if (cuda_host.refuse_epilogues) {
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    if ((epilogue & (CUBLASLT_EPILOGUE_BIAS | CUBLASLT_EPILOGUE_BGRADB)) && operation->bias == NULL) {
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "an epilogue without its bias pointer");
    }
    if (epilogue & 128) {
        if (operation->aux == NULL || operation->ld_aux < d->rows) {
            return refuse(CUBLAS_STATUS_INVALID_VALUE, "an epilogue without its auxiliary matrix");
        }
        if (operation->ld_aux % 8 != 0 || (uintptr_t)operation->aux % 16 != 0) {
            return CUBLAS_STATUS_NOT_SUPPORTED;
        }
    }
    return epilogue == CUBLASLT_EPILOGUE_BGRADB && d->batch > 1 ? CUBLAS_STATUS_NOT_SUPPORTED : CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t check(const struct cuda_host_operation *operation, const struct cuda_host_layout *a,
                            const struct cuda_host_layout *b, const struct cuda_host_layout *c,
                            const struct cuda_host_layout *d)
{
    const bool ta = operation->transpose_a == CUBLAS_OP_T, tb = operation->transpose_b == CUBLAS_OP_T;
    const int64_t k = ta ? a->rows : a->cols;
    if (!layout_is(a, d->rows, k, ta, d->batch) || !layout_is(b, k, d->cols, tb, d->batch) ||
        !layout_is(c, d->rows, d->cols, false, d->batch) || !layout_is(d, d->rows, d->cols, false, d->batch)) {
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "matrices whose shapes, leading dimensions or batches do not fit");
    }
    if (d->batch > 1 && d->step < d->ld * (d->cols - 1) + d->rows) {
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "matrices of a batch that lie over each other");
    }
    if (a->type != b->type || c->type != d->type || (a->type == CUDA_R_32F && d->type != CUDA_R_32F)) {
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "a combination of types that its table does not have");
    }
    return check_epilogue(operation, d);
}

/* An algorithm is good for the question it was given for. */
static uint64_t question(const struct cuda_host_operation *operation, const struct cuda_host_layout *const layouts[4])
{
    uint64_t hash = 1469598103934665603u;
    const auto mix = [&hash](int64_t value) { hash = (hash ^ (uint64_t)value) * 1099511628211u; };
    mix(operation->compute), mix(operation->transpose_a), mix(operation->transpose_b), mix(operation->epilogue);
    for (int i = 0; i < 4; i++) {
        mix(layouts[i]->type), mix(layouts[i]->rows), mix(layouts[i]->cols), mix(layouts[i]->ld);
        mix(layouts[i]->batch), mix(layouts[i]->step);
    }
    return hash;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t *results, int *found)
{
    *found = 0;
    if (handle == NULL || wanted < 1) {
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "a heuristic for no algorithms");
    }
    const cublasStatus_t status = check(operation, a, b, c, d);
    if (status != CUBLAS_STATUS_SUCCESS) {
        return status;
    }
    const struct cuda_host_layout *const layouts[4] = {a, b, c, d};
    for (int place = 0; place < wanted && place < PROPOSALS; place++) {
        struct cublasLtMatmulHeuristicResult_t *result = &results[place];
        *result = {};
        result->algo.data[0] = question(operation, layouts);
        for (int i = 0; i < 4; i++) {
            result->algo.data[1 + i] = preference->alignment[i];
        }
        result->workspaceSize = preference->workspace < WORKSPACE_NEEDED ? 0 : WORKSPACE_NEEDED;
        result->algo.data[5] = result->workspaceSize;
        result->algo.data[6] = (uint64_t)place;
        result->algo.data[7] = (preference->reductions & CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE) != 0;
        *found = place + 1;
    }
    return CUBLAS_STATUS_SUCCESS;
}

/* --- the product --- */

static size_t size_of(cudaDataType_t type)
{
    return type == CUDA_R_32F ? 4 : 2;
}

static float get(const void *data, cudaDataType_t type, int64_t at)
{
    return type == CUDA_R_32F ? ((const float *)data)[at]
                              : __uint_as_float((unsigned)((const uint16_t *)data)[at] << 16);
}

static void put(void *data, cudaDataType_t type, int64_t at, float value)
{
    if (type == CUDA_R_32F) {
        ((float *)data)[at] = value;
        return;
    }
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
    ((uint16_t *)data)[at] = nan ? 0x7fff : (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

static double rounded(cudaDataType_t type, double value)
{
    float stored = (float)value;
    put(&stored, type, 0, (float)value);
    return get(&stored, type, 0);
}

static bool owns(const void *data, const struct cuda_host_layout *layout, uint64_t alignment)
{
    const int64_t elements = (layout->batch - 1) * layout->step + layout->ld * (layout->cols - 1) + layout->rows;
    return (uintptr_t)data % alignment == 0 && device_owns(data, (size_t)elements * size_of(layout->type));
}

static double gelu(double x)
{
    return 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
}

static double gelu_slope(double x)
{
    const double t = tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x));
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * 0.79788456080286535588 * (1 + 3 * 0.044715 * x * x);
}

static double finish(const struct cuda_host_operation *operation, cudaDataType_t type, int64_t row, int64_t col,
                     double value)
{
    const int64_t at = col * operation->ld_aux + row;
    if (operation->epilogue & CUBLASLT_EPILOGUE_BIAS) {
        value += get(operation->bias, type, row);
    }
    if (operation->epilogue & CUBLASLT_EPILOGUE_GELU) {
        if (operation->epilogue & 128) {
            put(operation->aux, type, at, (float)value);
        }
        value = gelu(value);
    }
    return operation->epilogue == CUBLASLT_EPILOGUE_DGELU ? value * gelu_slope(get(operation->aux, type, at)) : value;
}

/* Columns of op(B), or rows of op(A), one after the other. */
static std::vector<float> packed(const void *data, const struct cuda_host_layout *layout, int64_t first, int64_t lines,
                                 int64_t length, bool along)
{
    std::vector<float> values((size_t)(lines * length));
    for (int64_t i = 0; i < lines; i++) {
        for (int64_t k = 0; k < length; k++) {
            const int64_t at = first + (along ? i * layout->ld + k : k * layout->ld + i);
            values[(size_t)(i * length + k)] = get(data, layout->type, at);
        }
    }
    return values;
}

static void bias_gradient(const struct cuda_host_operation *operation, cudaDataType_t type,
                          const std::vector<float> &columns, int64_t n, int64_t k)
{
    for (int64_t j = 0; j < n; j++) {
        double sum = 0;
        for (int64_t i = 0; i < k; i++) {
            sum += columns[(size_t)(j * k + i)];
        }
        put(operation->bias, type, j, (float)sum);
    }
}

/* What the last algorithm takes for it. */
static int seconds_of(const struct cuda_host_operation *operation, int32_t batch)
{
    const bool uncached = cuda_host.cached_matrices > 0 && batch > cuda_host.cached_matrices;
    return cuda_host.product_seconds[last_algorithm] +
           (operation->epilogue == CUBLASLT_EPILOGUE_BGRADB ? cuda_host.bias_gradient_seconds : 0) +
           (uncached ? cuda_host.uncached_seconds : 0);
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation, const void *alpha, const void *a,
                              cublasLtMatrixLayout_t a_layout, const void *b, cublasLtMatrixLayout_t b_layout,
                              const void *beta, const void *c, cublasLtMatrixLayout_t c_layout, void *d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t *algorithm, void *workspace,
                              size_t workspace_bytes, cudaStream_t stream)
{
    const struct cuda_host_layout *const layouts[4] = {a_layout, b_layout, c_layout, d_layout};
    const void *const matrices[4] = {a, b, c, d};
    const float by = *(const float *)alpha, plus = *(const float *)beta;
    if (device_error() != cudaSuccess) {
        return CUBLAS_STATUS_EXECUTION_FAILED;
    }
    const struct cuda_host_operation now = *operation; /* a capture keeps it as it is */
    const cublasLtMatmulAlgo_t by_algorithm = *algorithm;
    if (device_has_stream(stream) && device_records(stream, [=] {
            struct cuda_host_operation kept = now;
            const cublasStatus_t status =
                cublasLtMatmul(handle, &kept, &by, a, a_layout, b, b_layout, &plus, c, c_layout, d, d_layout,
                               &by_algorithm, workspace, workspace_bytes, stream);
            return status == CUBLAS_STATUS_SUCCESS ? cudaSuccess : cudaErrorLaunchFailure;
        })) {
        return CUBLAS_STATUS_SUCCESS;
    }
    const cublasStatus_t status = check(operation, a_layout, b_layout, c_layout, d_layout);
    if (handle == NULL || status != CUBLAS_STATUS_SUCCESS || !device_has_stream(stream)) {
        return status != CUBLAS_STATUS_SUCCESS ? status : CUBLAS_STATUS_INVALID_VALUE;
    }
    if (algorithm->data[0] != question(operation, layouts) || workspace_bytes < algorithm->data[5] ||
        (uintptr_t)workspace % 16 != 0 || !device_owns(workspace, algorithm->data[5])) {
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "an algorithm for another question, or with too little workspace");
    }
    if ((int)algorithm->data[6] < cuda_host.refuse_algorithms) {
        return CUBLAS_STATUS_NOT_SUPPORTED; /* what the heuristic offered, as the real one may */
    }
    for (int i = 0; i < 4; i++) {
        if (!owns(matrices[i], layouts[i], algorithm->data[1 + i])) {
            return refuse(CUBLAS_STATUS_INVALID_VALUE, "a matrix outside device memory, or less aligned than promised");
        }
    }
    const bool ta = operation->transpose_a == CUBLAS_OP_T, tb = operation->transpose_b == CUBLAS_OP_T;
    const int64_t m = d_layout->rows, n = d_layout->cols, k = ta ? a_layout->rows : a_layout->cols;
    const cudaDataType_t type = d_layout->type;
    const size_t lines = operation->epilogue == CUBLASLT_EPILOGUE_BGRADB ? (size_t)n : (size_t)m;
    if ((operation->epilogue & (CUBLASLT_EPILOGUE_BIAS | CUBLASLT_EPILOGUE_BGRADB) &&
         !device_owns(operation->bias, lines * size_of(type))) ||
        (operation->epilogue & 128 &&
         !device_owns(operation->aux, (size_t)(operation->ld_aux * (n - 1) + m) * size_of(type)))) {
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "an epilogue's bias or auxiliary matrix outside device memory");
    }
    last_algorithm = (int)algorithm->data[6];
    products++;
    bias_gradients += operation->epilogue == CUBLASLT_EPILOGUE_BGRADB;
    seconds += seconds_of(operation, d_layout->batch);
    device_open();
    for (int32_t batch = 0; batch < d_layout->batch; batch++) {
        const std::vector<float> rows = packed(a, a_layout, batch * a_layout->step, m, k, ta);
        const std::vector<float> columns = packed(b, b_layout, batch * b_layout->step, n, k, !tb);
        for (int64_t at = 0; at < m * n; at++) {
            const int64_t row = at % m, col = at / m, place = batch * d_layout->step + col * d_layout->ld + row;
            double sum = 0;
            for (int64_t i = 0; i < k; i++) {
                sum += (double)rows[(size_t)(row * k + i)] * columns[(size_t)(col * k + i)];
                if (algorithm->data[7] && i % 4 == 3) { /* a split along the depth, added in the result's type */
                    sum = rounded(type, sum);
                }
            }
            sum = by * sum + (plus != 0 ? plus * get(c, type, batch * c_layout->step + col * c_layout->ld + row) : 0);
            put(d, type, place, (float)finish(operation, type, row, col, sum));
        }
        if (operation->epilogue == CUBLASLT_EPILOGUE_BGRADB) {
            bias_gradient(operation, type, columns, n, k);
        }
    }
    device_close();
    return CUBLAS_STATUS_SUCCESS;
}
