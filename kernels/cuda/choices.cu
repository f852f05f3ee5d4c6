/* What the environment asks for: which path attention and convolutions take, in what chunks, how float32 is multiplied,
 * how ranks are joined. */
#include "kernels/cuda/attention.h"

#include <stdlib.h>

/* The place of an environment variable's value among `choices`; 0, the default, when it is not set. */
static fs_status choose(const char *variable, const char *const *choices, int count, int *chosen,
                        struct fs_error *error)
{
    const char *value = getenv(variable);
    *chosen = 0;
    if (value == NULL || value[0] == '\0') {
        return FS_OK;
    }
    for (*chosen = 0; *chosen < count; ++*chosen) {
        if (strcmp(value, choices[*chosen]) == 0) {
            return FS_OK;
        }
    }
    char known[64] = "";
    for (int i = 0; i < count; i++) {
        const size_t length = strlen(known);
        snprintf(known + length, sizeof known - length, "%s%s",
                 i == 0           ? ""
                 : i == count - 1 ? " or "
                                  : ", ",
                 choices[i]);
    }
    return fs_fail(error, FS_USAGE, "%s=%s: expected %s", variable, value, known);
}

fs_status fs_cuda_choose(struct fs_cuda *cuda, struct fs_error *error)
{
    static const char *const paths[] = {"auto", "own", "cudnn"}, *const types[] = {"ieee", "tf32"},
                             *const graphs[] = {"auto", "off"}, *const ranks[] = {"auto", "host"},
                             *const sizes[] = {"auto", "memory", "cache"};
    int attention, convolution, chunks, type, graph, rank;
    char cudnn[96] = "", backward[192] = "";
    FS_TRY(choose("FEWSTEP_CUDA_ATTENTION", paths, 3, &attention, error));
    FS_TRY(choose("FEWSTEP_CUDA_CONVOLUTION", paths, 3, &convolution, error));
    FS_TRY(choose("FEWSTEP_CUDA_CHUNKS", sizes, 3, &chunks, error));
    FS_TRY(choose("FEWSTEP_CUDA_FP32", types, 2, &type, error));
    FS_TRY(choose("FEWSTEP_CUDA_GRAPH", graphs, 2, &graph, error));
    FS_TRY(choose("FEWSTEP_CUDA_RANKS", ranks, 2, &rank, error));
    cuda->update.off = graph == 1;
    cuda->through_host = rank == 1;
    cuda->attention = (enum fs_cuda_path)attention;
    cuda->convolution = (enum fs_cuda_path)convolution;
    cuda->chunks = (enum fs_cuda_chunks)chunks;
    cuda->tf32 = type == 1;
    const char *folder = getenv("FEWSTEP_CUDA_PRODUCTS");
    const bool timed = folder != NULL && folder[0] != '\0';
    if (timed &&
        (size_t)snprintf(cuda->kept_choices, sizeof cuda->kept_choices, "%s", folder) >= sizeof cuda->kept_choices) {
        return fs_fail(error, FS_USAGE, "FEWSTEP_CUDA_PRODUCTS: the folder's name is too long");
    }
    const bool wanted = attention != FS_PATH_OWN || convolution != FS_PATH_OWN;
    if (wanted) {
        cuda->cudnn = fs_cudnn_create(cuda->stream, cudnn, sizeof cudnn);
        if (cuda->cudnn == NULL && (attention == FS_PATH_CUDNN || convolution == FS_PATH_CUDNN)) {
            return fs_fail(error, FS_USAGE, "cuda: cuDNN was asked for: %s", cudnn);
        }
    }
    if (cuda->cudnn != NULL && attention != FS_PATH_OWN) {
        fs_cudnn_attention_backward_way(cuda, backward, sizeof backward);
    }
    const char *const names[] = {cuda->cudnn != NULL ? "cuDNN, else our own" : "our own", "our own", "cuDNN"};
    snprintf(cuda->choices, sizeof cuda->choices,
             "attention in bf16: %s%s%s; our own in chunks that fit into %s; convolution: %s%s%s%s; float32 products: "
             "%s, algorithms: %s; an update as a graph: %s",
             names[attention], backward[0] != '\0' ? ", " : "", backward,
             chunks == FS_CHUNKS_CACHE           ? "the cache"
             : timed && chunks == FS_CHUNKS_AUTO ? "memory or cache, as measured once"
                                                 : "memory",
             names[convolution], wanted ? " (" : "", cudnn, wanted ? ")" : "", types[type],
             timed ? "the fastest, as measured once" : "the heuristic's first",
             graph == 1 ? "no" : "where the device can");
    return FS_OK;
}
