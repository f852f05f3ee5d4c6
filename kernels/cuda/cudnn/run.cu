#include "kernels/cuda/cudnn/run.h"

#include <stdio.h>
#include <stdlib.h>

#include "kernels/cuda/cudnn/library.h"

extern "C" {
#include "kernels/base/memory.h"
}

/* Up to 9.15, attention forgets to mask what lies behind the last token when their number is no multiple of 128. */
#define OLDEST 91600

struct entry {
    fs_cudnn_describe describe;
    int64_t shape[FS_CUDNN_SHAPE];
    struct fs_cudnn_graph graph; /* a plan may look into it */
    struct fs_cudnn_plan plan;
    struct entry *next;
};

struct fs_cudnn {
    cudnnHandle_t handle;
    fs_cudnn_part device;
    struct entry *entries;
};

/* --- life --- */

static bool begin(struct fs_cudnn *cudnn, cudaStream_t stream, char *reason, size_t size)
{
    if (!fs_cudnn_open(reason, size)) {
        return false;
    }
    const size_t version = cudnnGetVersion();
    if (version < OLDEST) {
        snprintf(reason, size, "cuDNN %zu.%zu is older than 9.16", version / 10000, version / 100 % 100);
        return false;
    }
    cudnnStatus_t status = cudnnCreate(&cudnn->handle);
    if (status == CUDNN_STATUS_SUCCESS) {
        status = cudnnSetStream(cudnn->handle, stream);
    }
    if (status != CUDNN_STATUS_SUCCESS) {
        snprintf(reason, size, "cuDNN does not start: %s", cudnnGetErrorString(status));
        return false;
    }
    cudnn->device = fs_cudnn_device(NULL, reason, size);
    return cudnn->device != NULL;
}

struct fs_cudnn *fs_cudnn_create(cudaStream_t stream, char *reason, size_t size)
{
    struct fs_error error;
    struct fs_cudnn *cudnn = (struct fs_cudnn *)fs_allocate(1, sizeof *cudnn, "cuDNN's state", &error);
    if (cudnn == NULL) {
        snprintf(reason, size, "no memory");
    } else if (!begin(cudnn, stream, reason, size)) {
        (void)cudaGetLastError(); /* cuDNN's error is not the next launch's */
        fs_cudnn_destroy(cudnn);
        cudnn = NULL;
    } else {
        snprintf(reason, size, "cuDNN %zu.%zu", cudnnGetVersion() / 10000, cudnnGetVersion() / 100 % 100);
    }
    return cudnn;
}

void fs_cudnn_destroy(struct fs_cudnn *cudnn)
{
    if (cudnn == NULL) {
        return;
    }
    while (cudnn->entries != NULL) {
        struct entry *entry = cudnn->entries;
        cudnn->entries = entry->next;
        if (entry->plan.plan != NULL) {
            cudnnBackendDestroyDescriptor(entry->plan.plan);
        }
        fs_cudnn_graph_destroy(&entry->graph);
        free(entry);
    }
    if (cudnn->device != NULL) {
        cudnnBackendDestroyDescriptor(cudnn->device);
    }
    if (cudnn->handle != NULL) {
        cudnnDestroy(cudnn->handle);
    }
    free(cudnn);
}

/* --- plans --- */

static struct entry *entry_of(struct fs_cuda *cuda, fs_cudnn_describe describe, const int64_t *shape, int numbers,
                              bool ieee)
{
    const size_t bytes = (size_t)numbers * sizeof *shape;
    for (struct entry *entry = cuda->cudnn->entries; entry != NULL; entry = entry->next) {
        if (entry->describe == describe && memcmp(entry->shape, shape, bytes) == 0) {
            return entry;
        }
    }
    struct entry *entry = (struct entry *)fs_allocate(1, sizeof *entry, "a plan of cuDNN's", &cuda->fault);
    if (entry != NULL) {
        entry->describe = describe;
        memcpy(entry->shape, shape, bytes);
        if (describe(&entry->graph, shape)) {
            entry->plan = fs_cudnn_plan_for(&entry->graph, cuda->cudnn->device, ieee);
        }
        (void)cudaGetLastError(); /* what cuDNN tried in vain */
        entry->next = cuda->cudnn->entries;
        cuda->cudnn->entries = entry;
    }
    return entry;
}

const struct fs_cudnn_plan *fs_cudnn_plan_of(struct fs_cuda *cuda, fs_cudnn_describe describe, const int64_t *shape,
                                             int numbers, bool ieee, enum fs_cuda_path path)
{
    if (cuda->cudnn == NULL || path == FS_PATH_OWN) {
        return NULL;
    }
    const struct entry *entry = entry_of(cuda, describe, shape, numbers, ieee);
    if (entry != NULL && entry->plan.plan == NULL && path == FS_PATH_CUDNN && cuda->fault.status == FS_OK) {
        fs_fail(&cuda->fault, FS_FAILED, "cuda: %s: cuDNN, which was asked for, refuses it: %s", cuda->operation,
                entry->graph.refusal);
    }
    return entry != NULL && entry->plan.plan != NULL ? &entry->plan : NULL;
}

int fs_cudnn_engines_for(struct fs_cuda *cuda, fs_cudnn_describe describe, const int64_t *shape, bool ieee, char *why,
                         size_t size)
{
    struct fs_cudnn_graph graph = {};
    fs_cudnn_part engines[FS_CUDNN_PROPOSALS];
    const int count = describe(&graph, shape) ? fs_cudnn_propose(&graph, cuda->cudnn->device, ieee, engines) : 0;
    for (int i = 0; i < count; i++) {
        cudnnBackendDestroyDescriptor(engines[i]);
    }
    snprintf(why, size, "%s", graph.refusal);
    fs_cudnn_graph_destroy(&graph);
    (void)cudaGetLastError(); /* what cuDNN tried in vain */
    return count;
}

/* --- execution --- */

static cudnnStatus_t fill(fs_cudnn_part pack, void *const *pointers, int count, void *workspace)
{
    int64_t ids[FS_CUDNN_SHAPE];
    void *given[FS_CUDNN_SHAPE];
    int64_t found = 0;
    for (int i = 0; i < count; i++) {
        if (pointers[i] != NULL) {
            ids[found] = i + 1;
            given[found++] = pointers[i];
        }
    }
    cudnnStatus_t status =
        cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, found, ids);
    if (status == CUDNN_STATUS_SUCCESS) {
        status =
            cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, found, given);
    }
    if (status == CUDNN_STATUS_SUCCESS) {
        status = cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    }
    return status == CUDNN_STATUS_SUCCESS ? cudnnBackendFinalize(pack) : status;
}

bool fs_cudnn_execute(struct fs_cuda *cuda, const struct fs_cudnn_plan *plan, void *const *pointers, int count,
                      void *workspace)
{
    fs_cudnn_part pack = NULL;
    cudnnStatus_t status = cudnnBackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack);
    if (status == CUDNN_STATUS_SUCCESS) {
        status = fill(pack, pointers, count, workspace);
        if (status == CUDNN_STATUS_SUCCESS) {
            status = cudnnBackendExecute(cuda->cudnn->handle, plan->plan, pack);
        }
        cudnnBackendDestroyDescriptor(pack);
    }
    if (status != CUDNN_STATUS_SUCCESS && cuda->fault.status == FS_OK) {
        fs_fail(&cuda->fault, FS_FAILED, "cuda: %s: cuDNN: %s", cuda->operation, cudnnGetErrorString(status));
    }
    return status == CUDNN_STATUS_SUCCESS;
}
