/* What has been seen of each operation of the CUDA backend. A line changes when something was seen, and not before;
 * kernels/cuda/README.md says the same (tests/unit/test_cuda_library.c compares them). */
#include "harness/bench/cuda_evidence.h"

#include <stddef.h>

#define COMPILED "sm_80 … sm_120"
#define ON_HOST "yes"
#define CUDNN "cuDNN 9.19: graph and engines"

static const struct fs_cuda_evidence evidence[] = {
    {"copy", COMPILED, ON_HOST, NULL, NULL},
    {"fill", COMPILED, ON_HOST, NULL, NULL},
    {"normals", COMPILED, ON_HOST, NULL, NULL},
    {"linear_forward", COMPILED, ON_HOST, NULL, NULL},
    {"linear_backward", COMPILED, ON_HOST, NULL, NULL},
    {"attention_forward", COMPILED, ON_HOST, CUDNN, NULL},
    {"attention_backward", COMPILED, ON_HOST, CUDNN, NULL},
    {"norm_forward", COMPILED, ON_HOST, NULL, NULL},
    {"norm_backward", COMPILED, ON_HOST, NULL, NULL},
    {"gate_forward", COMPILED, ON_HOST, NULL, NULL},
    {"gate_backward", COMPILED, ON_HOST, NULL, NULL},
    {"silu_forward", COMPILED, ON_HOST, NULL, NULL},
    {"silu_backward", COMPILED, ON_HOST, NULL, NULL},
    {"add", COMPILED, ON_HOST, NULL, NULL},
    {"mix", COMPILED, ON_HOST, NULL, NULL},
    {"patchify", COMPILED, ON_HOST, NULL, NULL},
    {"unpatchify", COMPILED, ON_HOST, NULL, NULL},
    {"sinusoidal", COMPILED, ON_HOST, NULL, NULL},
    {"embed_forward", COMPILED, ON_HOST, NULL, NULL},
    {"embed_backward", COMPILED, ON_HOST, NULL, NULL},
    {"mse", COMPILED, ON_HOST, NULL, NULL},
    {"sum_squares", COMPILED, ON_HOST, NULL, NULL},
    {"adamw", COMPILED, ON_HOST, NULL, NULL},
    {"convolution_forward", COMPILED, ON_HOST, CUDNN, NULL},
    {"pool_forward", COMPILED, ON_HOST, NULL, NULL},
    {"resize_forward", COMPILED, ON_HOST, NULL, NULL},
    {"group_norm_forward", COMPILED, ON_HOST, NULL, NULL},
    {"update_begin, update_end", COMPILED, ON_HOST, NULL, NULL},
};

const struct fs_cuda_evidence *fs_cuda_evidence(int index)
{
    const int count = sizeof evidence / sizeof *evidence;
    return index >= 0 && index < count ? &evidence[index] : NULL;
}
