/* The autoencoder of latent diffusion (Rombach et al. 2022, "High-Resolution Image Synthesis with Latent Diffusion
 * Models"; AutoencoderKL as Stable Diffusion has it): pictures to the mean and log-variance of their latents, and
 * latents to pictures. Read from the safetensors file that diffusers publishes; its widths and number of stages are
 * those of the file's tensors, so a narrow one is a file like any other. */
#ifndef FEWSTEP_AUTOENCODER_H
#define FEWSTEP_AUTOENCODER_H

#include "kernels/backend.h"
#include "kernels/base/file.h"

struct fs_autoencoder;

/* The file that is looked for where none is named. */
#define FS_AUTOENCODER_FILE "sd-vae-ft-mse.safetensors"

/* What is known of an open autoencoder. A network is trained on (z − shift)·scale, and what it draws is decoded from
 * z = y/scale + shift. */
struct fs_autoencoder_info {
    char sha256[65];      /* of the file's bytes */
    int64_t channels;     /* of the latents: 4, or FLUX's 16 */
    int64_t factor;       /* pixels of a picture's side to one of the latents': 8 */
    double scale, shift;  /* 0.18215 and 0; SDXL's 0.13025, FLUX's 0.3611 and 0.1159 */
    const char *scale_of; /* who says so: "Stable Diffusion", "config.json beside it" … */
    enum fs_type precision;
};

struct fs_latent_shape {
    int64_t height, width, channels;
};

/* The path of the weights: `given` where it is not NULL (a file, or a folder as diffusers has it, with
 * diffusion_pytorch_model.safetensors in it), else FS_AUTOENCODER_FILE in $FEWSTEP_DATA or beside the extractors'
 * weights. FS_USAGE when it is not there, with where to get it. */
fs_status fs_autoencoder_find(const char *given, char path[FS_PATH_ROOM], struct fs_error *error);

/* Reads and checks all of the file, and computes on `backend`, which outlives it, with FS_F32 or FS_BF16 activations
 * and weights (bf16 only where backend->native_bf16). Networks are made at the first picture of each size, and one for
 * each direction is kept. NULL and `error`, FS_USAGE for a file that is no such autoencoder: it names the tensor. Give
 * back with close. */
struct fs_autoencoder *fs_autoencoder_open(struct fs_backend *backend, const char *path, enum fs_type precision,
                                           struct fs_error *error);
void fs_autoencoder_close(struct fs_autoencoder *autoencoder);
const struct fs_autoencoder_info *fs_autoencoder_info(const struct fs_autoencoder *autoencoder);

/* Of the latents of pictures height × width; FS_USAGE when these are not multiples of `factor`. */
fs_status fs_autoencoder_latents(const struct fs_autoencoder *autoencoder, int64_t height, int64_t width,
                                 struct fs_latent_shape *shape, struct fs_error *error);

/* pictures [count, height, width, 3] in [−1, 1] → mean and log_variance [count, height/8, width/8, channels], the
 * latter clamped to [−30, 20]; log_variance may be NULL. All dense float32 on the host; neither shifted nor scaled.
 * Any count: batches are as large as memory allows, and a picture's numbers do not depend on its batch on the CPU. */
fs_status fs_autoencoder_encode(struct fs_autoencoder *autoencoder, int64_t count, int64_t height, int64_t width,
                                const float *pictures, float *mean, float *log_variance, struct fs_error *error);
/* latents [count, height, width, channels], neither shifted nor scaled → pictures [count, 8·height, 8·width, 3], about
 * −1 to 1 and not clipped. */
fs_status fs_autoencoder_decode(struct fs_autoencoder *autoencoder, int64_t count, int64_t height, int64_t width,
                                const float *latents, float *pictures, struct fs_error *error);

/* Of the convolutions, products and attention for one picture of the size last encoded or decoded; 0 before. */
double fs_autoencoder_encode_flops(const struct fs_autoencoder *autoencoder);
double fs_autoencoder_decode_flops(const struct fs_autoencoder *autoencoder);

#endif
