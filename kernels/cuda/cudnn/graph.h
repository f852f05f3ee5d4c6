/* cuDNN's graphs through its backend API (cuDNN 9, "Graph API"): a graph is described and checked, which needs no
 * device; then cuDNN proposes engines for a device, which may be known by its properties alone; then a plan is made.
 * What cuDNN refuses is no fault: the reason stays in the graph, and the caller has another way. */
#ifndef FEWSTEP_CUDNN_GRAPH_H
#define FEWSTEP_CUDNN_GRAPH_H

#include <cudnn.h>

#include "kernels/cuda/cuda.h"

#define FS_CUDNN_RANK 4
#define FS_CUDNN_PARTS 64
#define FS_CUDNN_OPERATIONS 20
#define FS_CUDNN_PROPOSALS 16

typedef cudnnBackendDescriptor_t fs_cudnn_part; /* a tensor, an operation, an engine …; NULL after a refusal */

struct fs_cudnn_graph {
    fs_cudnn_part graph; /* once finished */
    fs_cudnn_part parts[FS_CUDNN_PARTS], operations[FS_CUDNN_OPERATIONS];
    int part_count, operation_count;
    int64_t last_id;
    char refusal[384]; /* "" while cuDNN has refused nothing */
};

void fs_cudnn_graph_destroy(struct fs_cudnn_graph *graph);

/* --- a description; each function does nothing after a refusal --- */

/* A tensor in memory, whose address comes with `id` (1 or more) at each execution: `scalar`, one float in the host's
 * memory. With id 0 it exists only inside the graph. Sizes and strides (in elements) have four numbers. */
fs_cudnn_part fs_cudnn_tensor(struct fs_cudnn_graph *graph, int64_t id, cudnnDataType_t type, const int64_t *sizes,
                              const int64_t *strides);
fs_cudnn_part fs_cudnn_scalar(struct fs_cudnn_graph *graph, int64_t id);
/* out = a·b for each of the first two indices. */
void fs_cudnn_multiply(struct fs_cudnn_graph *graph, fs_cudnn_part out, fs_cudnn_part a, fs_cudnn_part b);
/* out = mode(x) or mode(x, y); a size of 1 is repeated. */
void fs_cudnn_pointwise(struct fs_cudnn_graph *graph, cudnnPointwiseMode_t mode, fs_cudnn_part out, fs_cudnn_part x,
                        fs_cudnn_part y);
/* out = x summed where out has size 1. */
void fs_cudnn_sum(struct fs_cudnn_graph *graph, fs_cudnn_part out, fs_cudnn_part x);
/* out is x with other sizes and strides. */
void fs_cudnn_reshape(struct fs_cudnn_graph *graph, fs_cudnn_part out, fs_cudnn_part x);
/* y = x ∗ w (cross-correlation), sums in float32. */
void fs_cudnn_convolve(struct fs_cudnn_graph *graph, fs_cudnn_part y, fs_cudnn_part x, fs_cudnn_part w,
                       const struct fs_window *window);
/* One of cuDNN's own large operations: `count` pairs of an attribute and a tensor. */
struct fs_cudnn_role {
    cudnnBackendAttributeName_t name;
    fs_cudnn_part tensor; /* NULL: not given */
};
void fs_cudnn_operation(struct fs_cudnn_graph *graph, cudnnBackendDescriptorType_t type, const char *what,
                        const struct fs_cudnn_role *roles, int count);
/* The graph of all operations so far; false with the reason in graph->refusal. */
bool fs_cudnn_finish(struct fs_cudnn_graph *graph);

/* --- a plan --- */

/* The properties of the running device, or of one that is not there (JSON as cuDNN writes it); NULL with a reason. */
fs_cudnn_part fs_cudnn_device(const char *json, char *reason, size_t size);
/* cuDNN's engines for the graph on a device, best first: those whose result never depends on the order of threads, and,
 * when `ieee`, that multiply float32 as float32. Their number; the caller destroys them. */
int fs_cudnn_propose(struct fs_cudnn_graph *graph, fs_cudnn_part device, bool ieee,
                     fs_cudnn_part engines[FS_CUDNN_PROPOSALS]);

struct fs_cudnn_plan {
    fs_cudnn_part plan; /* NULL: refused */
    int64_t workspace;  /* bytes */
};
/* A plan from the first proposal that can be built; one without `plan`, and graph->refusal, when none can. */
struct fs_cudnn_plan fs_cudnn_plan_for(struct fs_cudnn_graph *graph, fs_cudnn_part device, bool ieee);

#endif
