#include "kernels/cuda/cudnn/graph.h"

#include <stdio.h>

/* --- descriptors --- */

/* True for a success; else the reason that cuDNN gives, once. */
static bool good(struct fs_cudnn_graph *graph, cudnnStatus_t status, const char *what)
{
    if (status == CUDNN_STATUS_SUCCESS) {
        return true;
    }
    if (graph->refusal[0] == '\0') {
        char reason[256] = "";
        cudnnGetLastErrorString(reason, sizeof reason);
        snprintf(graph->refusal, sizeof graph->refusal, "%s: %s%s%.200s", what, cudnnGetErrorString(status),
                 reason[0] != '\0' ? ": " : "", reason);
    }
    return false;
}

/* A new descriptor, owned by the graph. */
static fs_cudnn_part begin(struct fs_cudnn_graph *graph, cudnnBackendDescriptorType_t type, const char *what)
{
    fs_cudnn_part part = NULL;
    if (graph->refusal[0] != '\0') {
        return NULL;
    }
    if (graph->part_count == FS_CUDNN_PARTS) {
        snprintf(graph->refusal, sizeof graph->refusal, "%s: a graph has at most %d parts", what, FS_CUDNN_PARTS);
        return NULL;
    }
    if (good(graph, cudnnBackendCreateDescriptor(type, &part), what)) {
        graph->parts[graph->part_count++] = part;
    }
    return part;
}

static void set(struct fs_cudnn_graph *graph, fs_cudnn_part part, cudnnBackendAttributeName_t name,
                cudnnBackendAttributeType_t type, int64_t count, const void *values)
{
    if (graph->refusal[0] == '\0') {
        char what[32];
        snprintf(what, sizeof what, "attribute %d", (int)name);
        good(graph, cudnnBackendSetAttribute(part, name, type, count, values), what);
    }
}

static void set_part(struct fs_cudnn_graph *graph, fs_cudnn_part part, cudnnBackendAttributeName_t name,
                     fs_cudnn_part value)
{
    set(graph, part, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

static void set_number(struct fs_cudnn_graph *graph, fs_cudnn_part part, cudnnBackendAttributeName_t name,
                       int64_t value)
{
    set(graph, part, name, CUDNN_TYPE_INT64, 1, &value);
}

static void finalise(struct fs_cudnn_graph *graph, fs_cudnn_part part, const char *what)
{
    if (graph->refusal[0] == '\0') {
        good(graph, cudnnBackendFinalize(part), what);
    }
}

static void finalise_operation(struct fs_cudnn_graph *graph, fs_cudnn_part operation, const char *what)
{
    finalise(graph, operation, what);
    if (graph->refusal[0] == '\0' && graph->operation_count == FS_CUDNN_OPERATIONS) {
        snprintf(graph->refusal, sizeof graph->refusal, "%s: too many operations", what);
    }
    if (graph->refusal[0] == '\0') {
        graph->operations[graph->operation_count++] = operation;
    }
}

void fs_cudnn_graph_destroy(struct fs_cudnn_graph *graph)
{
    if (graph->graph != NULL) {
        cudnnBackendDestroyDescriptor(graph->graph);
    }
    while (graph->part_count > 0) {
        cudnnBackendDestroyDescriptor(graph->parts[--graph->part_count]);
    }
    graph->graph = NULL;
}

/* --- tensors --- */

#define FIRST_INSIDE 1000 /* ids of tensors that exist only inside the graph */

static fs_cudnn_part tensor(struct fs_cudnn_graph *graph, int64_t id, cudnnDataType_t type, const int64_t *sizes,
                            const int64_t *strides, bool by_value)
{
    const bool inside = id == 0;
    const fs_cudnn_part part = begin(graph, CUDNN_BACKEND_TENSOR_DESCRIPTOR, "a tensor");
    set_number(graph, part, CUDNN_ATTR_TENSOR_UNIQUE_ID, inside ? FIRST_INSIDE + graph->last_id++ : id);
    set(graph, part, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set(graph, part, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, FS_CUDNN_RANK, sizes);
    set(graph, part, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, FS_CUDNN_RANK, strides);
    set_number(graph, part, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, 16);
    set(graph, part, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &inside);
    set(graph, part, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &by_value);
    finalise(graph, part, "a tensor");
    return part;
}

fs_cudnn_part fs_cudnn_tensor(struct fs_cudnn_graph *graph, int64_t id, cudnnDataType_t type, const int64_t *sizes,
                              const int64_t *strides)
{
    return tensor(graph, id, type, sizes, strides, false);
}

fs_cudnn_part fs_cudnn_scalar(struct fs_cudnn_graph *graph, int64_t id)
{
    const int64_t one[FS_CUDNN_RANK] = {1, 1, 1, 1};
    return tensor(graph, id, CUDNN_DATA_FLOAT, one, one, true);
}

/* --- operations --- */

static const cudnnDataType_t float32 = CUDNN_DATA_FLOAT; /* what all of them compute in */

void fs_cudnn_multiply(struct fs_cudnn_graph *graph, fs_cudnn_part out, fs_cudnn_part a, fs_cudnn_part b)
{
    const fs_cudnn_part product = begin(graph, CUDNN_BACKEND_MATMUL_DESCRIPTOR, "a product");
    set(graph, product, CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &float32);
    finalise(graph, product, "a product");
    const fs_cudnn_part operation = begin(graph, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR, "a product");
    set_part(graph, operation, CUDNN_ATTR_OPERATION_MATMUL_ADESC, a);
    set_part(graph, operation, CUDNN_ATTR_OPERATION_MATMUL_BDESC, b);
    set_part(graph, operation, CUDNN_ATTR_OPERATION_MATMUL_CDESC, out);
    set_part(graph, operation, CUDNN_ATTR_OPERATION_MATMUL_DESC, product);
    finalise_operation(graph, operation, "a product");
}

void fs_cudnn_pointwise(struct fs_cudnn_graph *graph, cudnnPointwiseMode_t mode, fs_cudnn_part out, fs_cudnn_part x,
                        fs_cudnn_part y)
{
    const fs_cudnn_part function = begin(graph, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, "a pointwise function");
    set(graph, function, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    set(graph, function, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &float32);
    finalise(graph, function, "a pointwise function");
    const fs_cudnn_part operation = begin(graph, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, "a pointwise function");
    set_part(graph, operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, function);
    set_part(graph, operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    if (y != NULL) {
        set_part(graph, operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, y);
    }
    set_part(graph, operation, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, out);
    finalise_operation(graph, operation, "a pointwise function");
}

void fs_cudnn_sum(struct fs_cudnn_graph *graph, fs_cudnn_part out, fs_cudnn_part x)
{
    const cudnnReduceTensorOp_t add = CUDNN_REDUCE_TENSOR_ADD;
    const fs_cudnn_part sum = begin(graph, CUDNN_BACKEND_REDUCTION_DESCRIPTOR, "a sum");
    set(graph, sum, CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &add);
    set(graph, sum, CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &float32);
    finalise(graph, sum, "a sum");
    const fs_cudnn_part operation = begin(graph, CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR, "a sum");
    set_part(graph, operation, CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x);
    set_part(graph, operation, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, out);
    set_part(graph, operation, CUDNN_ATTR_OPERATION_REDUCTION_DESC, sum);
    finalise_operation(graph, operation, "a sum");
}

void fs_cudnn_reshape(struct fs_cudnn_graph *graph, fs_cudnn_part out, fs_cudnn_part x)
{
    const fs_cudnn_part operation = begin(graph, CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR, "a reshape");
    set_part(graph, operation, CUDNN_ATTR_OPERATION_RESHAPE_XDESC, x);
    set_part(graph, operation, CUDNN_ATTR_OPERATION_RESHAPE_YDESC, out);
    finalise_operation(graph, operation, "a reshape");
}

void fs_cudnn_convolve(struct fs_cudnn_graph *graph, fs_cudnn_part y, fs_cudnn_part x, fs_cudnn_part w,
                       const struct fs_window *window)
{
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const int64_t dimensions = 2, ones[] = {1, 1}, before[] = {window->pad_height, window->pad_width},
                  after[] = {before[0] + window->pad_below, before[1] + window->pad_right},
                  strides[] = {window->stride, window->stride};
    const float alpha = 1, beta = 0;
    const char *what = "a convolution";
    const fs_cudnn_part geometry = begin(graph, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, what);
    set(graph, geometry, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &float32);
    set(graph, geometry, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    set_number(graph, geometry, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, dimensions);
    set(graph, geometry, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, dimensions, ones);
    set(graph, geometry, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, dimensions, strides);
    set(graph, geometry, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, dimensions, before);
    set(graph, geometry, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, dimensions, after);
    finalise(graph, geometry, what);
    const fs_cudnn_part operation = begin(graph, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, what);
    set(graph, operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1, &alpha);
    set(graph, operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 1, &beta);
    set_part(graph, operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, geometry);
    set_part(graph, operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, x);
    set_part(graph, operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, w);
    set_part(graph, operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, y);
    finalise_operation(graph, operation, what);
}

void fs_cudnn_operation(struct fs_cudnn_graph *graph, cudnnBackendDescriptorType_t type, const char *what,
                        const struct fs_cudnn_role *roles, int count)
{
    const fs_cudnn_part operation = begin(graph, type, what);
    for (int i = 0; i < count; i++) {
        if (roles[i].tensor != NULL) {
            set_part(graph, operation, roles[i].name, roles[i].tensor);
        }
    }
    finalise_operation(graph, operation, what);
}

bool fs_cudnn_finish(struct fs_cudnn_graph *graph)
{
    const char *what = "the graph";
    if (graph->refusal[0] == '\0' &&
        good(graph, cudnnBackendCreateDescriptor(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, &graph->graph), what)) {
        set(graph, graph->graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, graph->operation_count,
            graph->operations);
        finalise(graph, graph->graph, what);
    }
    return graph->refusal[0] == '\0';
}

/* --- a plan --- */

fs_cudnn_part fs_cudnn_device(const char *json, char *reason, size_t size)
{
    fs_cudnn_part device = NULL;
    cudnnStatus_t status = cudnnBackendCreateDescriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &device);
    if (status == CUDNN_STATUS_SUCCESS) {
        int current = 0; /* the process's own, as its handle is */
        if (json == NULL) {
            (void)cudaGetDevice(&current);
        }
        const int32_t number = current;
        status = json != NULL
                     ? cudnnBackendSetAttribute(device, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                                                (int64_t)strlen(json), json)
                     : cudnnBackendSetAttribute(device, CUDNN_ATTR_DEVICEPROP_DEVICE_ID, CUDNN_TYPE_INT32, 1, &number);
    }
    if (status == CUDNN_STATUS_SUCCESS) {
        status = cudnnBackendFinalize(device);
    }
    if (status == CUDNN_STATUS_SUCCESS) {
        return device;
    }
    snprintf(reason, size, "%s", cudnnGetErrorString(status));
    if (device != NULL) {
        cudnnBackendDestroyDescriptor(device);
    }
    return NULL;
}

/* Whether an engine's numerical notes let it in. */
static bool is_exact(fs_cudnn_part engine, bool ieee)
{
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    int64_t count = 0;
    if (cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                 CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &count, notes) != CUDNN_STATUS_SUCCESS) {
        return false;
    }
    for (int64_t i = 0; i < count; i++) {
        const bool rounds =
            notes[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE || notes[i] == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS;
        if (notes[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC ||
            notes[i] == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION || (ieee && rounds)) {
            return false;
        }
    }
    return true;
}

/* What of `wanted` cuDNN's heuristics in one mode propose; they are the caller's. */
static int ask(struct fs_cudnn_graph *graph, fs_cudnn_part device, cudnnBackendHeurMode_t mode, fs_cudnn_part *configs,
               int wanted)
{
    fs_cudnn_part heuristics = NULL;
    int64_t count = 0;
    int made = 0;
    while (made < wanted &&
           cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &configs[made]) == CUDNN_STATUS_SUCCESS) {
        made++;
    }
    if (cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &heuristics) == CUDNN_STATUS_SUCCESS) {
        set_part(graph, heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph->graph);
        set(graph, heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
        set_part(graph, heuristics, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, device);
        finalise(graph, heuristics, "the heuristics");
        if (graph->refusal[0] == '\0') {
            good(graph,
                 cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                          made, &count, configs),
                 "the heuristics");
        }
        cudnnBackendDestroyDescriptor(heuristics);
    }
    count = count < made ? count : made;
    while (made > count) {
        cudnnBackendDestroyDescriptor(configs[--made]);
    }
    return made;
}

int fs_cudnn_propose(struct fs_cudnn_graph *graph, fs_cudnn_part device, bool ieee,
                     fs_cudnn_part engines[FS_CUDNN_PROPOSALS])
{
    const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK};
    int count = 0, all = 0;
    for (int m = 0; m < 2 && graph->refusal[0] == '\0'; m++) {
        const int found = ask(graph, device, modes[m], engines + count, FS_CUDNN_PROPOSALS - count), first = count;
        all += found;
        for (int i = first; i < first + found; i++) {
            fs_cudnn_part engine = NULL;
            int64_t one = 0;
            const bool kept =
                cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine) == CUDNN_STATUS_SUCCESS &&
                cudnnBackendGetAttribute(engines[i], CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                                         &one, &engine) == CUDNN_STATUS_SUCCESS &&
                is_exact(engine, ieee);
            if (engine != NULL) {
                cudnnBackendDestroyDescriptor(engine);
            }
            if (kept) {
                engines[count++] = engines[i];
            } else {
                cudnnBackendDestroyDescriptor(engines[i]);
            }
        }
    }
    if (count == 0 && graph->refusal[0] == '\0') {
        snprintf(graph->refusal, sizeof graph->refusal,
                 "cuDNN has %d engines for it on this device, none of them deterministic and exact", all);
    }
    return count;
}

static struct fs_cudnn_plan try_plan(struct fs_cudnn_graph *graph, fs_cudnn_part engine, fs_cudnn_part device)
{
    struct fs_cudnn_plan plan = {NULL, 0};
    int64_t one = 0;
    graph->refusal[0] = '\0'; /* of the engine before */
    if (!good(graph, cudnnBackendCreateDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &plan.plan), "a plan")) {
        return plan;
    }
    set_part(graph, plan.plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, engine);
    set_part(graph, plan.plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, device);
    finalise(graph, plan.plan, "a plan");
    if (graph->refusal[0] == '\0') {
        good(graph,
             cudnnBackendGetAttribute(plan.plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &one,
                                      &plan.workspace),
             "a plan");
    }
    if (graph->refusal[0] != '\0') {
        cudnnBackendDestroyDescriptor(plan.plan);
        plan.plan = NULL;
    }
    return plan;
}

struct fs_cudnn_plan fs_cudnn_plan_for(struct fs_cudnn_graph *graph, fs_cudnn_part device, bool ieee)
{
    fs_cudnn_part engines[FS_CUDNN_PROPOSALS];
    struct fs_cudnn_plan plan = {NULL, 0};
    const int count = fs_cudnn_propose(graph, device, ieee, engines);
    for (int i = 0; i < count; i++) {
        if (plan.plan == NULL) {
            plan = try_plan(graph, engines[i], device);
        }
        cudnnBackendDestroyDescriptor(engines[i]);
    }
    return plan;
}
