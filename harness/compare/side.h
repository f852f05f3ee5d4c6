/* One side of a comparison: pictures brought through an extractor, statistics that were published, or both. */
#ifndef FEWSTEP_SIDE_H
#define FEWSTEP_SIDE_H

#include <signal.h>
#include <stdbool.h>

#include "metrics/extractor.h"
#include "metrics/gaussian.h"
#include "metrics/spectrum.h"

#define FS_SIDE_TAPS_MAX 16

/* What an .npz holds, or a folder or data set. */
struct fs_side_content {
    bool statistics; /* mu, sigma: of an extractor's first tap */
    bool spatial;    /* mu_s, sigma_s: of its tap "spatial" */
    bool pictures;
};
/* FS_USAGE for an .npz that cannot be read. */
fs_status fs_side_look(const char *text, struct fs_side_content *content, struct fs_error *error);

struct fs_side {
    char name[1024];
    bool published; /* statistics were read */
    bool floats;    /* its pictures were floats, not rounded to 8 bits */
    int64_t count;  /* pictures brought through the extractor, or that the statistics are of; 0: they do not say */
    struct fs_gaussian gaussians[FS_SIDE_TAPS_MAX]; /* of each tap that was asked for; else dim 0 */
    float *features[FS_SIDE_TAPS_MAX];              /* [count, dim], likewise */
    struct fs_spectrum spectrum;                    /* likewise; else bins 0 */
};

/* How pictures become a side, and whom it tells. */
struct fs_side_request {
    struct fs_extractor *extractor;                                /* with its resize chosen; NULL: no tap is wanted */
    bool statistics[FS_SIDE_TAPS_MAX], features[FS_SIDE_TAPS_MAX]; /* which taps are wanted, and how */
    bool spectrum;
    int64_t limit;               /* only the first so many pictures; 0: all */
    volatile sig_atomic_t *stop; /* NULL: nobody stops it */
    void *owner;
    void (*progress)(void *owner, const char *name, int64_t done, int64_t of); /* may be NULL */
};

/* Statistics from an .npz (fs_gaussian_read), into gaussians[tap]. */
fs_status fs_side_read(const char *path, const char *suffix, int tap, struct fs_side *side, struct fs_error *error);
/* Pictures of a folder, an .npz or a data set (fs_image_source_open), beside what `side`, begun as {0}, already holds.
 * FS_USAGE for pictures that the extractor cannot take, naming the first of them: of another size where it does not
 * resize or a spectrum is wanted, in colour where it takes grey, fewer than two. FS_FAILED when *stop was set. Free
 * also after a failure. */
fs_status fs_side_make(const char *text, const struct fs_side_request *request, struct fs_side *side,
                       struct fs_error *error);
void fs_side_free(struct fs_side *side);

#endif
