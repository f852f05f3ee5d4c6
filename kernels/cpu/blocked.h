/* Layers over one image in blocks of channels, as oneDNN's convolutions like them best: what stands between the
 * convolutions of a network (onednn_net.c). All threads work on the image; sums are taken in an order that does not
 * depend on how many they are. */
#ifndef FEWSTEP_BLOCKED_H
#define FEWSTEP_BLOCKED_H

#include "kernels/backend.h"

struct fs_cpu;

/* [blocks, pixels, block] numbers of FS_F32 or FS_BF16; lanes of the last block behind the last channel are 0. */
struct fs_blocked {
    void *data;
    enum fs_type type;
    int64_t channels, pixels, block;
};

/* Pixels whose sums are taken together: few enough for the first cache to hold them for the second pass. */
#define FS_BLOCKED_CHUNK 256

struct fs_blocked_norm {
    const float *gamma, *beta; /* [channels, rounded up to whole blocks], zeros behind the last channel */
    int64_t groups;
    double epsilon;
    bool silu;
    float *memory; /* fs_blocked_norm_floats */
};
int64_t fs_blocked_norm_floats(int64_t channels, int64_t pixels, int64_t block);

/* The hot loops, compiled once for each instruction set (isa/blocked.c), in struct fs_cpu. */
struct fs_blocked_loops {
    /* Group norm (Wu & He 2018), then SiLU when asked; y may be x. */
    void (*norm)(const struct fs_cpu *cpu, struct fs_blocked y, struct fs_blocked x,
                 const struct fs_blocked_norm *norm);
    /* Each pixel of x, height × width, four times. */
    void (*upsample)(const struct fs_cpu *cpu, struct fs_blocked y, struct fs_blocked x, int64_t height, int64_t width);
    /* rows [pixels, channels], float32: a row for each pixel, copied from x, or to it. */
    void (*to_rows)(const struct fs_cpu *cpu, struct fs_view rows, struct fs_blocked x);
    void (*from_rows)(const struct fs_cpu *cpu, struct fs_blocked x, struct fs_view rows);
    /* Each row becomes softmax(scale·row). */
    void (*softmax)(const struct fs_cpu *cpu, struct fs_view rows, float scale);
};

/* out = softmax(q·kᵀ/√channels)·v over the pixels; qkv has q's channels, then k's, then v's. memory:
 * fs_blocked_attention_floats. */
fs_status fs_blocked_attention(struct fs_cpu *cpu, struct fs_blocked out, struct fs_blocked qkv, float *memory,
                               struct fs_error *error);
int64_t fs_blocked_attention_floats(int64_t channels, int64_t pixels);

#endif
