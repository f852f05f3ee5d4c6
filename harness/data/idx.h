/* Pictures and labels in IDX files, as MNIST is published: train-images-idx3-ubyte, train-labels-idx1-ubyte and their
 * t10k- kin in one folder, gzipped or plain. For the sources that lie so. */
#ifndef FEWSTEP_IDX_H
#define FEWSTEP_IDX_H

#include "harness/data/source.h"

struct fs_idx_folder {
    const char *path;
    const char
        *sha256[2][2];   /* [split][pictures, labels], of the files unpacked; NULL: any, and labels may be missing */
    const char *missing; /* what to do where a file is not there */
    const char *wrong;   /* and where one is not what it should be */
};

/* Height, width, one channel, as many classes as the largest label needs (0: there is no file of labels), count. */
fs_status fs_idx_shape(const struct fs_idx_folder *folder, enum fs_split split, struct fs_data_shape *shape,
                       struct fs_error *error);
/* As a source's open and read. All pictures are in memory, one byte a pixel: gzip knows no other order. */
fs_status fs_idx_open(const struct fs_idx_folder *folder, struct fs_dataset *dataset, struct fs_error *error);
fs_status fs_idx_read(const struct fs_dataset *dataset, int64_t index, const struct fs_visit *visit, float *out,
                      struct fs_error *error);

#endif
