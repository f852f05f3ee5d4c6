/* What a data set must offer to dataset.c: a file of its own and a line in the list there. */
#ifndef FEWSTEP_SOURCES_H
#define FEWSTEP_SOURCES_H

#include "harness/data/dataset.h"

struct fs_dataset_source {
    const char *name;
    int height, width, channels, classes;
    /* Fills count, labels, and pixels or values of a data set whose name and shape are set. What it allocated before
     * it failed is freed by the caller. `path`: the user's folder, or empty. */
    fs_status (*read)(const char *path, enum fs_split split, struct fs_dataset *dataset, struct fs_error *error);
};

extern const struct fs_dataset_source fs_fashion_mnist, fs_gaussian_mixture;

#endif
