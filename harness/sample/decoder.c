/* Between sampler and features: what a network on latents draws, as pictures. */
#include "harness/sample/decoder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/memory.h"

static fs_status check(const struct fs_decoder *decoder, const struct fs_latents_manifest *manifest, const char *folder,
                       const char *path, struct fs_error *error)
{
    const struct fs_autoencoder_info *info = fs_autoencoder_info(decoder->autoencoder);
    struct fs_latent_shape latent;
    if (strcmp(info->sha256, manifest->autoencoder_sha256) != 0) {
        return fs_fail(
            error, FS_USAGE,
            "%s: its latents are of another autoencoder (SHA-256 %.12s) than %s (%.12s): name its weights as "
            "dataset.vae, or encode again",
            folder, manifest->autoencoder_sha256, path, info->sha256);
    }
    FS_TRY(fs_autoencoder_latents(decoder->autoencoder, manifest->picture.height, manifest->picture.width, &latent,
                                  error));
    if (latent.height != manifest->shape.height || latent.width != manifest->shape.width ||
        latent.channels != manifest->shape.channels) {
        return fs_fail(error, FS_USAGE, "%s: latents of %d × %d × %d are none of pictures of %d × %d: encode again",
                       folder, manifest->shape.height, manifest->shape.width, manifest->shape.channels,
                       manifest->picture.height, manifest->picture.width);
    }
    return FS_OK;
}

fs_status fs_decoder_open(struct fs_decoder *decoder, struct fs_backend *backend, const struct fs_dataset *data,
                          const char *vae, enum fs_type precision, struct fs_error *error)
{
    const struct fs_latents_manifest *manifest = fs_latents_of(data);
    char path[FS_PATH_ROOM];
    *decoder = (struct fs_decoder){.latent = manifest->shape,
                                   .picture = manifest->picture,
                                   .scale = manifest->scale,
                                   .shift = manifest->shift,
                                   .precision = precision == FS_BF16 ? "bf16" : "fp32"};
    FS_TRY(fs_autoencoder_find(vae && vae[0] ? vae : NULL, path, error));
    decoder->autoencoder = fs_autoencoder_open(backend, path, precision, error);
    if (!decoder->autoencoder) {
        return error->status;
    }
    snprintf(decoder->sha256, sizeof decoder->sha256, "%s", fs_autoencoder_info(decoder->autoencoder)->sha256);
    const fs_status status = check(decoder, manifest, fs_latents_folder(data), path, error);
    if (status != FS_OK) {
        fs_decoder_close(decoder);
    }
    return status;
}

void fs_decoder_close(struct fs_decoder *decoder)
{
    if (decoder->autoencoder) {
        fs_autoencoder_close(decoder->autoencoder);
    }
    decoder->autoencoder = NULL;
}

static fs_status decode_colours(const struct fs_decoder *decoder, const float *latents, int64_t n, float *pictures,
                                struct fs_error *error)
{
    return fs_autoencoder_decode(decoder->autoencoder, n, decoder->latent.height, decoder->latent.width, latents,
                                 pictures, error);
}

static fs_status decode_grey(const struct fs_decoder *decoder, const float *latents, int64_t n, float *pictures,
                             struct fs_error *error)
{
    const int64_t pixels = n * fs_shape_dim(&decoder->picture);
    float *colours = fs_allocate((size_t)(3 * pixels), sizeof *colours, "pictures", error);
    const fs_status status = colours ? decode_colours(decoder, latents, n, colours, error) : FS_FAILED;
    for (int64_t i = 0; status == FS_OK && i < pixels; i++) {
        pictures[i] = (colours[3 * i] + colours[3 * i + 1] + colours[3 * i + 2]) / 3;
    }
    free(colours);
    return status;
}

fs_status fs_decode(const struct fs_decoder *decoder, float *latents, int64_t n, float *pictures,
                    struct fs_error *error)
{
    const int64_t values = n * fs_shape_dim(&decoder->latent);
    for (int64_t i = 0; i < values; i++) {
        latents[i] = (float)((double)latents[i] / decoder->scale + decoder->shift);
    }
    return decoder->picture.channels == 3 ? decode_colours(decoder, latents, n, pictures, error)
                                          : decode_grey(decoder, latents, n, pictures, error);
}
