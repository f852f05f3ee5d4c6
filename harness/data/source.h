/* What a kind of data set must offer: a file of its own in this folder and a line in dataset.c. README.md shows the
 * way. */
#ifndef FEWSTEP_DATA_SOURCE_H
#define FEWSTEP_DATA_SOURCE_H

#include "harness/data/dataset.h"

struct fs_data_source {
    const char *kind; /* dataset.kind in YAML, and dataset.name where that names no kind */
    bool pictures;    /* 8 bits a number, (2·p − 255)/255; else any real numbers */
    bool needs_path;  /* there is nothing to open without dataset.path */
    bool mirrors;     /* dataset.mirror means something; what is no picture of 8 bits sees to it itself, in read() */
    bool resized;     /* its pictures are of all sizes, and made into what dataset.size, channels, crop … say */
    bool encoded;     /* its rows stand for pictures of a size, which dataset.size may say, to be checked */

    /* The shape of what is at config->path (the user's, or empty), without reading pictures. A test split may have no
     * picture: count 0. */
    fs_status (*shape)(const struct fs_dataset_config *config, enum fs_split split, struct fs_data_shape *shape,
                       struct fs_error *error);
    /* The shape of what is going to be at config->path, where nothing is there yet, for --dry-run; count 0, and classes
     * the model's. FS_USAGE where the keys do not say. NULL: it cannot be known. */
    fs_status (*planned)(const struct fs_dataset_config *config, struct fs_data_shape *shape, struct fs_error *error);
    /* Readies what read() needs, of a data set whose split and shape are set. Fills labels (fs_allocate, count of them;
     * not for classes 0) and may fill `state`, and sha256 where it knows it. `access` is never NULL. On failure the
     * caller closes what is filled. */
    fs_status (*open)(const struct fs_dataset_config *config, const struct fs_data_access *access,
                      struct fs_dataset *dataset, struct fs_error *error);
    /* Picture `index` to out [H·W·C] in data scale. May be called from several threads at once. `visit` says for which
     * row of the training it is, for what is drawn at random at each visit; NULL: the picture as it is. That pictures
     * (of 8 bits) are mirrored is none of its business. */
    fs_status (*read)(const struct fs_dataset *dataset, int64_t index, const struct fs_visit *visit, float *out,
                      struct fs_error *error);
    void (*close)(struct fs_dataset *dataset); /* frees `state`; NULL: free() does */
};

/* Whether the picture of this visit is mirrored, where dataset.mirror asks for it: half of all visits. */
bool fs_visit_mirrored(const struct fs_visit *visit);

#endif
