/* A feature extractor: pictures in, named taps of features out. */
#ifndef FEWSTEP_EXTRACTOR_H
#define FEWSTEP_EXTRACTOR_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/backend.h"
#include "kernels/base/file.h"
#include "metrics/resize.h"

#define FS_TAPS_MAX 16 /* of an extractor */

struct fs_tap {
    const char *name; /* "pool" */
    int64_t dim;
};

struct fs_extractor {
    const char *name; /* "inception-v3" */
    char label[64];   /* the name that scores are told apart by: "inception-v3 weights 0123abcd" of unknown weights */
    char sha256[65];  /* of its weights */
    char path[FS_PATH_ROOM]; /* of their file */
    char device[32]; /* that its features come from, in names of files: "cpu", or "cuda-0123abcd", where the digits are
                      * of the device and of how it goes about its operations */
    bool fid;        /* a Fréchet distance of its first tap is what the literature calls FID */
    double flops;    /* multiply-adds of one picture, times two; 0: not said */
    const struct fs_tap *taps;
    int tap_count;
    int64_t batch_max;     /* pictures a call */
    int64_t channels;      /* of the pictures that it takes; where 3, grey ones are repeated */
    int64_t side;          /* their height and width, where it takes one size only; 0: any, brought to its size */
    enum fs_resize resize; /* how; to be chosen before the first call. FS_RESIZE_NONE where it takes one size only */
    void *state;
    /* features[k] [count, taps[k].dim] floats, dense, the caller's; NULL for a tap that is not wanted. FS_USAGE for
     * pictures of a size or number of channels that it cannot take. */
    fs_status (*extract)(struct fs_extractor *extractor, const struct fs_image_batch *batch, float *const *features,
                         struct fs_error *error);
    void (*destroy)(struct fs_extractor *extractor);
};

/* What `fewstep extractor` makes is named by its file, so: */
#define FS_EXTRACTOR_ENDING ".safetensors"

/* By name ("fashion-cnn"), or by the path of a file that `fewstep extractor` made (its name, where it lies with the
 * weights of the others); `backend` must outlive it. FS_USAGE names the ones there are, or says that the weights are
 * missing or not the ones expected, and how to get them. */
fs_status fs_extractor_open(const char *name, struct fs_backend *backend, struct fs_extractor *extractor,
                            struct fs_error *error);
/* FS_USAGE, naming the ones there are, for another name. */
fs_status fs_extractor_check_name(const char *name, struct fs_error *error);
/* Chooses how pictures are brought to its size; changes nothing where it takes one size only. */
void fs_extractor_set_resize(struct fs_extractor *extractor, enum fs_resize mode);
/* The name that a metric on its taps goes by in the literature: "fid" for "fd", "sfid" for "sfd" … where the extractor
 * is `fid`. */
const char *fs_extractor_metric(const struct fs_extractor *extractor, const char *metric);
void fs_extractor_close(struct fs_extractor *extractor);
/* Names there are, NULL past the last. */
const char *fs_extractor_name(int index);

#endif
