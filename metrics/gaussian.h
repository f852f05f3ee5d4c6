/* Statistics of features as they are published: an .npz with the keys mu and sigma (pytorch-fid, clean-fid,
 * guided-diffusion, the shortcut-model authors), read, checked and written. */
#ifndef FEWSTEP_GAUSSIAN_H
#define FEWSTEP_GAUSSIAN_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/base/error.h"
#include "metrics/extractor.h"

#define FS_GAUSSIAN_DIM_MAX 8192

/* What features these are. Our own files say it in the archive's comment, which NumPy ignores; of others everything is
 * empty and 0. */
struct fs_gaussian_origin {
    char extractor[32], label[64], sha256[65], tap[32], resize[16];
    bool fid;      /* this and the label as the extractor's (extractor.h) */
    int64_t count; /* pictures */
};

/* What features of an extractor's tap are of. `count`: of so many pictures. */
void fs_gaussian_origin_of(const struct fs_extractor *extractor, int tap, int64_t count,
                           struct fs_gaussian_origin *origin);
/* FS_USAGE where both are known and not the same features; `a_name` and `b_name` say whose they are. */
fs_status fs_gaussian_origins_agree(const char *a_name, const struct fs_gaussian_origin *a, const char *b_name,
                                    const struct fs_gaussian_origin *b, struct fs_error *error);

struct fs_gaussian {
    int64_t dim;
    double *mean, *covariance; /* [dim], [dim, dim] */
    struct fs_gaussian_origin origin;
};

/* `mu` [dim] and `sigma` [dim, dim], behind whose names `suffix` is put ("", or "_s": guided-diffusion's statistics of
 * the tap "spatial"), float32 or float64, in any byte and index order. FS_USAGE, naming file and array, for
 * anything that is no mean and covariance: other shapes, numbers that are not finite, a negative variance, and
 * asymmetry or a negative eigenvalue beyond what float32 arithmetic leaves. Within that, sigma is mended: the two
 * halves averaged, negative eigenvalues set to zero (SciPy's square root of them is imaginary, and its real part is
 * what scores are made with). Free also after a failure. */
fs_status fs_gaussian_read(const char *path, const char *suffix, struct fs_gaussian *gaussian, struct fs_error *error);
void fs_gaussian_free(struct fs_gaussian *gaussian);

/* float64, atomically; the same numbers and origin give the same bytes. */
fs_status fs_gaussian_write(const char *path, const struct fs_gaussian *gaussian, struct fs_error *error);

#endif
