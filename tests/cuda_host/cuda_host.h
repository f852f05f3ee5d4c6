/* CUDA on the host: kernels/cuda/ compiled by the host's compiler, on a machine without a GPU or the toolkit.
 * include/ stands in for the toolkit's headers, fibers.cpp runs blocks and threads, runtime.cpp and cublaslt.cpp
 * replace the calls that the backend makes, after their documentation. Here is what a test can set and ask. */
#ifndef FEWSTEP_CUDA_HOST_H
#define FEWSTEP_CUDA_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum cuda_host_order { CUDA_HOST_FORWARD, CUDA_HOST_REVERSE, CUDA_HOST_RANDOM };

#define CUDA_HOST_ENDED 77

struct cuda_host_settings {
    enum cuda_host_order order; /* of the blocks of a grid and the threads of a block */
    uint32_t seed;              /* of the random order */
    bool refuse_epilogues;      /* cuBLASLt has no fused epilogue, as for some shapes and types on some devices */
    int refuse_algorithms;      /* so many of the algorithms that its heuristic offers are refused by its call */
    size_t memory;              /* the device's, in bytes */
    int devices, driver, compute_major; /* what the runtime answers: a count, 13000 for CUDA 13.0, 8 for sm_80 */
    int fail_allocation, fail_copy, fail_launch; /* which one from now on fails: 1 the next; 0 none */
    bool refuse_capture;                         /* this device captures no streams */
    bool refuse_pinned;                          /* the host has no pinned memory */
    size_t cache;                                /* the device's second level, in bytes */
    int product_seconds[3];                      /* that the algorithms of a heuristic take, by their place */
    int bias_gradient_seconds;                   /* that one takes more in the epilogue of a product */
    int cached_matrices, uncached_seconds;       /* a product of more matrices takes so much more (0: none does) */
    bool no_nccl;                                /* its library is not here */
    bool nccl_sees_ends; /* it notices that the process of another rank has ended, as over a network */
    int end_at_nccl;     /* at which of its groups from now on the process ends, with CUDA_HOST_ENDED */
    int fail_nccl;       /* which of its groups from now on fails */
    bool late_copies;    /* copies from the host read it when the device comes to something else, as they may */
};
extern struct cuda_host_settings cuda_host;

/* A good device, in forward order; and the device without errors or memory in use (as in a new process). */
void cuda_host_reset(void);
/* The first thing wrong that a kernel or a call did since the reset, or "". */
const char *cuda_host_report(void);
/* Bytes of device memory in use; allocations and launches of graphs since the reset. */
size_t cuda_host_memory_used(void);
int cuda_host_allocations(void);
int cuda_host_graph_launches(void);
/* The place of the algorithm that the last product was done with, among those of the heuristic; products so far, and
 * those of them with a bias gradient in the epilogue. */
int cuda_host_last_algorithm(void);
int cuda_host_products(void);
int cuda_host_bias_gradients(void);
/* In the process that starts several ranks: the memory through which NCCL joins them. Without it there is no NCCL. */
void cuda_host_share(void);
/* Two numbers that lie there. */
int *cuda_host_shared_numbers(void);
/* Groups of messages since the process began. */
int cuda_host_nccl_groups(void);
/* The same of any rank, since the memory is there. */
int cuda_host_nccl_groups_of(int rank);
/* The device that calls go to. */
int cuda_host_device(void);

#ifdef __cplusplus
}
#endif

#endif
