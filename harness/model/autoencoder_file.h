/* The weights of an autoencoder in their file, and the layers that they make. */
#ifndef FEWSTEP_AUTOENCODER_FILE_H
#define FEWSTEP_AUTOENCODER_FILE_H

#include "harness/model/autoencoder.h"
#include "kernels/base/safetensors.h"
#include "kernels/net.h"

/* Open for as long as networks may be made of it: tensors are read when a layer wants them, so that the file need not
 * lie in memory. */
struct fs_autoencoder_file {
    char path[FS_PATH_ROOM];
    int fd; /* −1: closed */
    struct fs_tensor_file tensors;
    bool *used;               /* [tensors.tensor_count], by fs_autoencoder_layers */
    int64_t channels, stages; /* of the latents; each but the last halves the sides */
};

/* Opens it, reads its header, and checks that it has each tensor of an autoencoder, of the shape that its neighbours
 * ask for, all numbers finite, and no other. FS_USAGE with the tensor's name where it does not. */
fs_status fs_autoencoder_file_open(const char *path, struct fs_autoencoder_file *file, struct fs_error *error);
void fs_autoencoder_file_close(struct fs_autoencoder_file *file);

enum fs_autoencoder_part { FS_ENCODER, FS_DECODER };

/* The layers of a part, from the input of `net`, height × width, to `out`: mean and log-variance beside each other, not
 * clamped, or the picture; float32, between them `type`. net NULL: it only checks the file's tensors. */
fs_status fs_autoencoder_layers(struct fs_autoencoder_file *file, enum fs_autoencoder_part part, struct fs_net *net,
                                enum fs_type type, int64_t height, int64_t width, struct fs_net_slice *out,
                                struct fs_error *error);

#endif
