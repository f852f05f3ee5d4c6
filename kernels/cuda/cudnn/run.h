/* cuDNN on the running device: its handle, and a plan for each graph and shape, kept. */
#ifndef FEWSTEP_CUDNN_RUN_H
#define FEWSTEP_CUDNN_RUN_H

#include "kernels/cuda/cudnn/graph.h"

#define FS_CUDNN_SHAPE 18 /* numbers in the longest shape */

/* Describes a graph of a shape; false with the reason in graph->refusal. */
typedef bool (*fs_cudnn_describe)(struct fs_cudnn_graph *graph, const int64_t *shape);

/* The plan for a graph, made at its first use; NULL where cuDNN refuses it (a fault when `path` is FS_PATH_CUDNN). */
const struct fs_cudnn_plan *fs_cudnn_plan_of(struct fs_cuda *cuda, fs_cudnn_describe describe, const int64_t *shape,
                                             int numbers, bool ieee, enum fs_cuda_path path);
/* How many engines cuDNN has for a graph on this device, with a reason when there are none; no plan is made. */
int fs_cudnn_engines_for(struct fs_cuda *cuda, fs_cudnn_describe describe, const int64_t *shape, bool ieee, char *why,
                         size_t size);
/* Runs it on the backend's stream: pointers[i] is the tensor with id i + 1, NULL where the graph has none. */
bool fs_cudnn_execute(struct fs_cuda *cuda, const struct fs_cudnn_plan *plan, void *const *pointers, int count,
                      void *workspace);

#endif
