/* Matrix products by cuBLASLt. Descriptors and the heuristic's algorithms are kept for each shape.
 * cuBLASLt counts column by column, so a row-major matrix is to it the transposed one: for out = op(a)·op(b) it is
 * asked for outᵀ = op(b)ᵀ·op(a)ᵀ, its A is our b and its B our a. */
#include <stdlib.h>

#include <cublasLt.h>

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/timing.h"

extern "C" {
#include "kernels/base/memory.h"
}

#define WORKSPACE ((size_t)32 << 20)
#define CANDIDATES 16 /* algorithms that the heuristic is asked for, best first */

/* What an algorithm depends on; compared byte by byte, so it has no padding. */
struct shape {
    int64_t m, n, k, batch;
    int64_t lda, ldb, ldd, ldaux;
    int64_t step_a, step_b, step_d;
    int32_t in_type, out_type;
    int32_t transpose_a, transpose_b, accumulate, epilogue;
    uint32_t align_a, align_b, align_d, tf32;
};

struct plan {
    struct shape shape;
    cublasLtMatmulDesc_t operation;
    cublasLtMatrixLayout_t a, b, d;
    cublasLtMatmulAlgo_t candidates[CANDIDATES];
    int count, chosen; /* those before `chosen` were refused by the call; none is left at `count` */
};

struct fs_gemm {
    cublasLtHandle_t handle;
    void *workspace;
    struct plan *plans;
    int count, capacity;
};

/* --- life --- */

size_t fs_gemm_version(void)
{
    return cublasLtGetVersion();
}

struct fs_gemm *fs_gemm_create(struct fs_error *error)
{
    struct fs_gemm *gemm = (struct fs_gemm *)fs_allocate(1, sizeof *gemm, "cuBLASLt's state", error);
    if (gemm == NULL) {
        return NULL;
    }
    fs_status status = FS_OK;
    if (cudaMalloc(&gemm->workspace, WORKSPACE) != cudaSuccess) {
        (void)cudaGetLastError();
        status = fs_fail(error, FS_FAILED, "cuda: no device memory for the matrix products' workspace (32 MiB)");
    }
    if (status == FS_OK && cublasLtCreate(&gemm->handle) != CUBLAS_STATUS_SUCCESS) {
        status = fs_fail(error, FS_FAILED, "cuda: cuBLASLt cannot start on this device");
    }
    if (status != FS_OK) {
        fs_gemm_destroy(gemm);
        return NULL;
    }
    return gemm;
}

static void destroy_plan(struct plan *plan)
{
    if (plan->operation != NULL) {
        cublasLtMatmulDescDestroy(plan->operation);
    }
    const cublasLtMatrixLayout_t layouts[] = {plan->a, plan->b, plan->d};
    for (int i = 0; i < 3; i++) {
        if (layouts[i] != NULL) {
            cublasLtMatrixLayoutDestroy(layouts[i]);
        }
    }
}

void fs_gemm_destroy(struct fs_gemm *gemm)
{
    if (gemm == NULL) {
        return;
    }
    for (int i = 0; i < gemm->count; i++) {
        destroy_plan(&gemm->plans[i]);
    }
    if (gemm->handle != NULL) {
        cublasLtDestroy(gemm->handle);
    }
    cudaFree(gemm->workspace);
    free(gemm->plans);
    free(gemm);
}

/* --- a plan for a shape --- */

/* Every call that builds a plan goes through this: a failure is a fault with its line. */
#define LT_TRY(cuda, call)                                                                                             \
    do {                                                                                                               \
        const cublasStatus_t lt_status = (call);                                                                       \
        if (lt_status != CUBLAS_STATUS_SUCCESS) {                                                                      \
            return lt_fault(cuda, lt_status, __LINE__);                                                                \
        }                                                                                                              \
    } while (0)

static bool lt_fault(struct fs_cuda *cuda, cublasStatus_t status, int line)
{
    if (cuda->fault.status == FS_OK) {
        fs_fail(&cuda->fault, FS_FAILED, "cuda: %s: cuBLASLt refused (status %d, %s:%d)", cuda->operation, (int)status,
                __FILE__, line);
    }
    return false;
}

static uint32_t alignment_of(const void *pointer)
{
    uint32_t alignment = 256;
    while ((uintptr_t)pointer % alignment != 0) {
        alignment /= 2;
    }
    return alignment;
}

static cublasLtEpilogue_t epilogue_of(const struct fs_cuda_product *product)
{
    const bool bias = product->bias != NULL, aux = product->aux.data != NULL;
    switch (product->epilogue) {
    case FS_EPILOGUE_BIAS:
        return CUBLASLT_EPILOGUE_BIAS;
    case FS_EPILOGUE_GELU:
        return aux ? (bias ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX)
                   : (bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU);
    case FS_EPILOGUE_GELU_SLOPE:
        return CUBLASLT_EPILOGUE_DGELU;
    case FS_EPILOGUE_COLUMN_SUMS:
        return CUBLASLT_EPILOGUE_BGRADB;
    default:
        return CUBLASLT_EPILOGUE_DEFAULT;
    }
}

static struct shape shape_of(const struct fs_cuda *cuda, const struct fs_cuda_product *product)
{
    const struct fs_matrices *out = &product->out, *a = &product->b, *b = &product->a;
    struct shape shape;
    memset(&shape, 0, sizeof shape);
    shape.m = out->cols;
    shape.n = out->rows;
    shape.k = product->transpose_a ? product->a.rows : product->a.cols;
    shape.batch = product->batch;
    shape.lda = a->stride;
    shape.ldb = b->stride;
    shape.ldd = out->stride;
    shape.ldaux = product->aux.data != NULL ? product->aux.stride : 0;
    shape.step_a = a->step;
    shape.step_b = b->step;
    shape.step_d = out->step;
    shape.in_type = a->type;
    shape.out_type = out->type;
    shape.transpose_a = product->transpose_b;
    shape.transpose_b = product->transpose_a;
    shape.accumulate = product->accumulate;
    shape.epilogue = epilogue_of(product);
    shape.align_a = alignment_of(a->data);
    shape.align_b = alignment_of(b->data);
    shape.align_d = alignment_of(out->data);
    shape.tf32 = shape.in_type == FS_F32 && cuda->tf32;
    return shape;
}

static cudaDataType_t data_type(int32_t type)
{
    return type == FS_BF16 ? CUDA_R_16BF : CUDA_R_32F;
}

static bool make_layout(struct fs_cuda *cuda, cublasLtMatrixLayout_t *layout, int32_t type, const int64_t size[3],
                        int64_t step, int64_t batch)
{
    LT_TRY(cuda, cublasLtMatrixLayoutCreate(layout, data_type(type), (uint64_t)size[0], (uint64_t)size[1], size[2]));
    if (batch > 1) {
        const int32_t count = (int32_t)batch;
        LT_TRY(cuda,
               cublasLtMatrixLayoutSetAttribute(*layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count));
        LT_TRY(cuda, cublasLtMatrixLayoutSetAttribute(*layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &step,
                                                      sizeof step));
    }
    return true;
}

static bool make_layouts(struct fs_cuda *cuda, struct plan *plan)
{
    const struct shape *s = &plan->shape;
    const int64_t a[3] = {s->transpose_a ? s->k : s->m, s->transpose_a ? s->m : s->k, s->lda};
    const int64_t b[3] = {s->transpose_b ? s->n : s->k, s->transpose_b ? s->k : s->n, s->ldb};
    const int64_t d[3] = {s->m, s->n, s->ldd};
    return make_layout(cuda, &plan->a, s->in_type, a, s->step_a, s->batch) &&
           make_layout(cuda, &plan->b, s->in_type, b, s->step_b, s->batch) &&
           make_layout(cuda, &plan->d, s->out_type, d, s->step_d, s->batch);
}

static bool set(struct fs_cuda *cuda, struct plan *plan, cublasLtMatmulDescAttributes_t attribute, const void *value,
                size_t size)
{
    LT_TRY(cuda, cublasLtMatmulDescSetAttribute(plan->operation, attribute, value, size));
    return true;
}

/* Where bias and aux lie changes from call to call; the heuristic wants them to be there too. */
static bool set_pointers(struct fs_cuda *cuda, struct plan *plan, const struct fs_cuda_product *product)
{
    return (product->bias == NULL ||
            set(cuda, plan, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &product->bias, sizeof(void *))) &&
           (product->aux.data == NULL ||
            (set(cuda, plan, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, &product->aux.data, sizeof(void *)) &&
             set(cuda, plan, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, &plan->shape.ldaux, sizeof(int64_t))));
}

static bool make_operation(struct fs_cuda *cuda, struct plan *plan, const struct fs_cuda_product *product)
{
    const struct shape *s = &plan->shape;
    const cublasOperation_t op_a = s->transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N,
                            op_b = s->transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasLtEpilogue_t epilogue = (cublasLtEpilogue_t)s->epilogue;
    const cublasComputeType_t compute = s->tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    LT_TRY(cuda, cublasLtMatmulDescCreate(&plan->operation, compute, CUDA_R_32F));
    return set(cuda, plan, CUBLASLT_MATMUL_DESC_TRANSA, &op_a, sizeof op_a) &&
           set(cuda, plan, CUBLASLT_MATMUL_DESC_TRANSB, &op_b, sizeof op_b) &&
           set(cuda, plan, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue) &&
           set_pointers(cuda, plan, product);
}

/* Where a product is split along its depth, the parts are added in float32: in the type of the result, which the
 * heuristic may choose too, sums of thousands of terms would be rounded to bf16 at each part. */
static bool set_preference(struct fs_cuda *cuda, cublasLtMatmulPreference_t preference, const struct shape *shape)
{
    const size_t workspace = WORKSPACE;
    const uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    const struct {
        cublasLtMatmulPreferenceAttributes_t attribute;
        uint32_t bytes;
    } alignments[] = {{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, shape->align_a},
                      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, shape->align_b},
                      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, shape->align_d},
                      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, shape->align_d}};
    for (int i = 0; i < 4; i++) {
        LT_TRY(cuda, cublasLtMatmulPreferenceSetAttribute(preference, alignments[i].attribute, &alignments[i].bytes,
                                                          sizeof(uint32_t)));
    }
    LT_TRY(cuda, cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                                      sizeof workspace));
    LT_TRY(cuda, cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                                      &reductions, sizeof reductions));
    return true;
}

/* The algorithms that cuBLASLt proposes; none is no fault. */
static bool propose(struct fs_cuda *cuda, struct plan *plan)
{
    cublasLtMatmulPreference_t preference;
    cublasLtMatmulHeuristicResult_t results[CANDIDATES];
    int found = 0;
    LT_TRY(cuda, cublasLtMatmulPreferenceCreate(&preference));
    const bool set = set_preference(cuda, preference, &plan->shape);
    if (set) {
        const cublasStatus_t status =
            cublasLtMatmulAlgoGetHeuristic(cuda->gemm->handle, plan->operation, plan->a, plan->b, plan->d, plan->d,
                                           preference, CANDIDATES, results, &found);
        for (int i = 0; status == CUBLAS_STATUS_SUCCESS && i < found; i++) {
            if (results[i].state == CUBLAS_STATUS_SUCCESS) {
                plan->candidates[plan->count++] = results[i].algo;
            }
        }
    }
    cublasLtMatmulPreferenceDestroy(preference);
    return set;
}

static bool grow(struct fs_cuda *cuda, struct fs_gemm *gemm)
{
    if (gemm->count < gemm->capacity) {
        return true;
    }
    const int capacity = gemm->capacity == 0 ? 32 : 2 * gemm->capacity;
    struct plan *plans =
        (struct plan *)fs_allocate((size_t)capacity, sizeof *plans, "plans of matrix products", &cuda->fault);
    if (plans == NULL) {
        return false;
    }
    if (gemm->count > 0) {
        memcpy(plans, gemm->plans, (size_t)gemm->count * sizeof *plans);
    }
    free(gemm->plans);
    gemm->plans = plans;
    gemm->capacity = capacity;
    return true;
}

/* One call, with its result in `out`: as `product` says, or of the same shape elsewhere. */
static cublasStatus_t call(struct fs_cuda *cuda, const struct plan *plan, const struct fs_cuda_product *product,
                           const cublasLtMatmulAlgo_t *algorithm, void *out)
{
    const float beta = product->accumulate ? 1 : 0;
    return cublasLtMatmul(cuda->gemm->handle, plan->operation, &product->alpha, product->b.data, plan->a,
                          product->a.data, plan->b, &beta, product->out.data, plan->d, out, plan->d, algorithm,
                          cuda->gemm->workspace, WORKSPACE, cuda->stream);
}

/* --- the fastest candidate --- */

/* The heuristic knows the shape, not the device's clocks and caches: where FEWSTEP_CUDA_PRODUCTS names a folder, the
 * candidates are timed at a plan's first use, and the fastest one comes first from then on, in every process, as it is
 * kept there. */

/* Where the calls that are timed may write: what a product adds to must not change, the rest is written again. NULL
 * when there is no memory. */
static void *timing_memory(const struct fs_cuda_product *product)
{
    if (!product->accumulate) {
        return product->out.data;
    }
    const struct fs_matrices *out = &product->out;
    const int64_t elements = (product->batch - 1) * out->step + (out->rows - 1) * out->stride + out->cols;
    void *memory = NULL;
    if (cudaMalloc(&memory, (size_t)elements * fs_type_size(out->type)) != cudaSuccess) {
        (void)cudaGetLastError();
        return NULL;
    }
    return memory;
}

static int fastest(struct fs_cuda *cuda, const struct plan *plan, const struct fs_cuda_product *product)
{
    void *out = timing_memory(product);
    const int best = fs_cuda_fastest(cuda, out != NULL ? plan->count : 0, [&](int i) {
        const bool taken = call(cuda, plan, product, &plan->candidates[i], out) == CUBLAS_STATUS_SUCCESS;
        if (!taken) {
            (void)cudaGetLastError();
        }
        return taken;
    });
    if (out != product->out.data) {
        cudaFree(out);
    }
    return best;
}

/* Puts the kept algorithm, or the one that is the fastest now, in front of the others. */
static void put_fastest_first(struct fs_cuda *cuda, struct plan *plan, const struct fs_cuda_product *product)
{
    cublasLtMatmulAlgo_t first;
    if (cuda->kept_choices[0] == '\0' || plan->count == 0) {
        return;
    }
    if (!fs_cuda_find_choice(cuda, "products", &plan->shape, sizeof plan->shape, &first, sizeof first)) {
        if (cuda->update.mode == FS_UPDATE_CAPTURE) {
            return; /* nothing can be timed there, and every shape was rehearsed before */
        }
        first = plan->candidates[fastest(cuda, plan, product)];
        if (cuda->fault.status != FS_OK ||
            !fs_cuda_keep_choice(cuda, "products", &plan->shape, sizeof plan->shape, &first, sizeof first)) {
            return;
        }
    }
    if (plan->count == CANDIDATES) {
        plan->count--;
    }
    memmove(plan->candidates + 1, plan->candidates, (size_t)plan->count * sizeof first);
    plan->candidates[0] = first;
    plan->count++;
}

/* --- plans that are kept --- */

/* The plan for a product, made at its first use; NULL on a fault. */
static struct plan *plan_of(struct fs_cuda *cuda, const struct fs_cuda_product *product)
{
    struct fs_gemm *gemm = cuda->gemm;
    const struct shape shape = shape_of(cuda, product);
    for (int i = 0; i < gemm->count; i++) {
        if (memcmp(&gemm->plans[i].shape, &shape, sizeof shape) == 0) {
            return &gemm->plans[i];
        }
    }
    if (!grow(cuda, gemm)) {
        return NULL;
    }
    struct plan *plan = &gemm->plans[gemm->count];
    memset(plan, 0, sizeof *plan);
    plan->shape = shape;
    bool good = make_operation(cuda, plan, product) && make_layouts(cuda, plan) && propose(cuda, plan);
    if (good) {
        put_fastest_first(cuda, plan, product);
        good = cuda->fault.status == FS_OK;
    }
    if (!good) {
        destroy_plan(plan);
        return NULL;
    }
    gemm->count++;
    return plan;
}

/* --- the product --- */

/* Whether it is this algorithm that does not fit, and another one may: what the device or the library lacks is a fault.
 */
static bool refuses(cublasStatus_t status)
{
    return status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE ||
           status == CUBLAS_STATUS_ARCH_MISMATCH || status == CUBLAS_STATUS_INTERNAL_ERROR;
}

bool fs_gemm_product(struct fs_cuda *cuda, const struct fs_cuda_product *product)
{
    if (cuda->fault.status != FS_OK) {
        return false;
    }
    if (product->out.rows == 0 || product->out.cols == 0) {
        return true;
    }
    struct plan *plan = plan_of(cuda, product);
    if (plan == NULL || plan->chosen == plan->count || !set_pointers(cuda, plan, product)) {
        return false;
    }
    for (; plan->chosen < plan->count; plan->chosen++) { /* what the heuristic offers, the call may still refuse */
        const cublasStatus_t status = call(cuda, plan, product, &plan->candidates[plan->chosen], product->out.data);
        if (!refuses(status)) {
            LT_TRY(cuda, status);
            return true;
        }
        (void)cudaGetLastError(); /* of the refusal: it would be seen again by the next launch */
    }
    return false;
}
