/* Between sampler and features: what a network on latents draws, as pictures. */
#ifndef FEWSTEP_DECODER_H
#define FEWSTEP_DECODER_H

#include "harness/data/latents.h"
#include "harness/model/autoencoder.h"

struct fs_decoder {
    struct fs_autoencoder *autoencoder;
    struct fs_data_shape latent, picture; /* of one; grey pictures were encoded as coloured ones */
    double scale, shift;
    char sha256[65];       /* of the autoencoder's weights */
    const char *precision; /* that it decodes with: "fp32" */
};

/* The decoder of the latents that `data` is of, whose weights are `vae` (NULL or "": where they are looked for), in
 * FS_F32 or FS_BF16; `backend` outlives it. FS_USAGE where they are not those that the latents were made with. */
fs_status fs_decoder_open(struct fs_decoder *decoder, struct fs_backend *backend, const struct fs_dataset *data,
                          const char *vae, enum fs_type precision, struct fs_error *error);
void fs_decoder_close(struct fs_decoder *decoder); /* also one that was not opened */

/* latents [n, latent] in the network's scale, which are scaled back in place, to pictures [n, picture], about −1 to 1
 * and not clipped; grey is the mean of the three colours. */
fs_status fs_decode(const struct fs_decoder *decoder, float *latents, int64_t n, float *pictures,
                    struct fs_error *error);

#endif
