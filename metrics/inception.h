/* inception-v3: the network of 2015 whose features make FID (Heusel et al. 2017), KID and the Inception Score. It is
 * TensorFlow's frozen graph inception-2015-12-05, as its well-known PyTorch port has it: blocks and parameters have the
 * port's names. Where it departs from Inception-v3 as published (Szegedy et al. 2016): average pooling does not count
 * the padding, the pool branch of the last block takes the maximum, there are 1008 outputs, and the batch norm's ε is
 * 1e-3.
 *
 * Taps, the first of them the one that FID is made of:
 *     pool             2048, the average over the last block: FID, KID, precision and recall
 *     logits_unbiased  1008, pool · fc.weightᵀ without fc.bias: the Inception Score, as the original code,
 * torch-fidelity and guided-diffusion compute it spatial          2023 = 17·17·7 in (row, column, channel) order, the
 * first 7 channels of Mixed_6d, whose name in the graph is mixed_6/conv: sFID as guided-diffusion computes it 768, 192,
 * 64     averages over Mixed_6e and over the second and the first max pooling, as pytorch-fid's */
#ifndef FEWSTEP_INCEPTION_H
#define FEWSTEP_INCEPTION_H

#include "kernels/base/safetensors.h"
#include "metrics/extractor.h"

#define FS_INCEPTION_SIDE 299
#define FS_INCEPTION_FILE "inception-v3.safetensors"

/* The published file pt_inception-2015-12-05-6726825d.pth (95 628 359 bytes); its name ends in the first digits. */
#define FS_INCEPTION_SOURCE_SHA256 "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"

enum fs_inception_tap {
    FS_INCEPTION_POOL,
    FS_INCEPTION_LOGITS,
    FS_INCEPTION_SPATIAL,
    FS_INCEPTION_768,
    FS_INCEPTION_192,
    FS_INCEPTION_64,
    FS_INCEPTION_TAPS
};

/* --- parameters (inception_parameters.c) --- */

/* 94 convolutions with .conv.weight and .bn.weight, .bn.bias, .bn.running_mean and .bn.running_var each, and fc.weight
 * and fc.bias. */
#define FS_INCEPTION_TENSORS 472
struct fs_inception_tensor {
    char name[64];
    int rank;
    int64_t shape[4]; /* [out, in, height, width], [out, in] or [channels]; ones behind */
};
/* Fills tensors[FS_INCEPTION_TENSORS], in the order of their names (by bytes). */
void fs_inception_tensors(struct fs_inception_tensor *tensors);

/* FS_USAGE, naming `path` and the tensor, for a file that is not this network's. Tensors beside them do no harm. */
fs_status fs_inception_check(const char *path, const struct fs_tensor_file *file, struct fs_error *error);
/* SHA-256 of the parameters of a file that was checked, whatever its layout: of the tensors in their order, each as its
 * name, a zero byte, and its float32 values. */
void fs_inception_hash(const struct fs_tensor_file *file, char sha256[65]);
/* Whether the file says that it was converted from the published one (metadata source_sha256) and its parameters, whose
 * hash is given, are those of the conversion (parameters_sha256). */
bool fs_inception_is_published(const struct fs_tensor_file *file, const char *sha256);

/* Parameters that only look like some, for tests and for timing: uniform, of a scale that keeps the activations' size.
 * Element i of tensor t is made of element i of row t of FS_STREAM_TEST. `file` reads from the rest. */
struct fs_inception_random {
    struct fs_inception_tensor names[FS_INCEPTION_TENSORS];
    struct fs_tensor tensors[FS_INCEPTION_TENSORS];
    float *values;
    struct fs_tensor_file file;
};
fs_status fs_inception_random_create(uint32_t seed, struct fs_inception_random *random, struct fs_error *error);
void fs_inception_random_destroy(struct fs_inception_random *random);

/* --- the network (inception.c) --- */

/* Calls visit(owner, name, shape of the filters) for each convolution, "Mixed_5b.branch1x1". */
void fs_inception_walk(void (*visit)(void *owner, const char *name, const int64_t shape[4]), void *owner);

struct fs_inception;

/* On `backend`, which outlives it, from a file that was checked and is not needed any more afterwards. NULL and `error`
 * on failure. */
struct fs_inception *fs_inception_create(struct fs_backend *backend, const struct fs_tensor_file *file,
                                         struct fs_error *error);
void fs_inception_destroy(struct fs_inception *inception);
/* pictures [count, 299, 299, 3], about −1 … 1, in the backend's memory; features[tap] [count, dim] on the host, NULL
 * where not wanted. */
fs_status fs_inception_forward(struct fs_inception *inception, int64_t count, const float *pictures,
                               float *const features[FS_INCEPTION_TAPS], struct fs_error *error);
/* Of one picture up to the pool. */
double fs_inception_flops(const struct fs_inception *inception);

/* The extractor (extractor.h): pictures of any size, 1 or 3 channels. Reads FS_INCEPTION_FILE (weights_file.h);
 * FS_USAGE when it is missing or not this network's. With the published parameters it is `fid` and its label
 * is "inception-v3", else the label goes on with the beginning of their hash. */
fs_status fs_inception_open(struct fs_backend *backend, struct fs_extractor *extractor, struct fs_error *error);

#endif
