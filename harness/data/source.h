/* What a kind of data set must offer: a file of its own in this folder and a line in dataset.c. README.md shows the
 * way. */
#ifndef FEWSTEP_DATA_SOURCE_H
#define FEWSTEP_DATA_SOURCE_H

#include "harness/data/dataset.h"

struct fs_data_source {
    const char *kind; /* dataset.kind in YAML, and dataset.name where that names no kind */
    bool pictures;    /* 8 bits a number, (2·p − 255)/255; else any real numbers */
    bool needs_path;  /* there is nothing to open without dataset.path */

    /* The shape of what is at `path` (the user's, or empty), without reading pictures. */
    fs_status (*shape)(const char *path, enum fs_split split, struct fs_data_shape *shape, struct fs_error *error);
    /* Readies what read() needs, of a data set whose shape is set. Fills labels (fs_allocate, count of them; not for
     * classes 0) and may fill `state`, and sha256 where it knows it. On failure the caller closes what is filled. */
    fs_status (*open)(const char *path, enum fs_split split, struct fs_dataset *dataset, struct fs_error *error);
    /* Picture `index` to out [H·W·C] in data scale. May be called from several threads at once. `visit` says for which
     * row of the training it is, for what is drawn at random at each visit; NULL: the picture as it is. */
    fs_status (*read)(const struct fs_dataset *dataset, int64_t index, const struct fs_visit *visit, float *out,
                      struct fs_error *error);
    void (*close)(struct fs_dataset *dataset); /* frees `state`; NULL: free() does */
};

#endif
