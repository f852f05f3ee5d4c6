/* One side of a comparison: pictures brought through an extractor, or statistics that were published. */
#ifndef FEWSTEP_SIDE_H
#define FEWSTEP_SIDE_H

#include <signal.h>
#include <stdbool.h>

#include "metrics/extractor.h"
#include "metrics/gaussian.h"

#define FS_TAPS_MAX 16

struct fs_side {
    char name[1024];
    bool published;                            /* statistics alone: gaussians[0] is all there is */
    int64_t count;                             /* pictures; 0: statistics that do not say */
    struct fs_gaussian gaussians[FS_TAPS_MAX]; /* of each tap that was wished for; else dim 0 */
    float *features[FS_TAPS_MAX];              /* [count, dim], likewise */
};

/* How pictures become a side, and whom it tells. */
struct fs_side_making {
    struct fs_extractor *extractor;                      /* with its resize chosen */
    bool statistics[FS_TAPS_MAX], features[FS_TAPS_MAX]; /* which taps are wanted, and how */
    int64_t limit;                                       /* only the first so many pictures; 0: all */
    volatile sig_atomic_t *stop;                         /* NULL: nobody stops it */
    void *owner;
    void (*progress)(void *owner, const char *name, int64_t done, int64_t of); /* may be NULL */
};

/* Whether `text` names statistics: an .npz with mu and sigma. One that holds pictures too (guided-diffusion's reference
 * batches) counts as pictures when `pictures_wanted`. FS_USAGE for an .npz that cannot be read. */
fs_status fs_side_is_published(const char *text, bool pictures_wanted, bool *published, struct fs_error *error);

/* Statistics from an .npz (fs_gaussian_read). */
fs_status fs_side_read(const char *path, struct fs_side *side, struct fs_error *error);
/* Pictures of a folder, an .npz or a data set (fs_image_source_open). FS_USAGE for pictures that the extractor cannot
 * take, naming the first of them: of another size where it does not resize, in colour where it takes grey, fewer than
 * two. FS_FAILED when *stop was set. Free also after a failure. */
fs_status fs_side_make(const char *text, const struct fs_side_making *making, struct fs_side *side,
                       struct fs_error *error);
void fs_side_free(struct fs_side *side);

#endif
