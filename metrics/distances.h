/* Which rows of two sets lie near each other: matrix products in float32 rule out the pairs that are too far apart, and
 * what is left is measured in double, so that whoever asks gets the answers of double at the price of float32.
 *
 * For centred rows x and y, |x − y|² = |x|² + |y|² − 2·x·y. In float32, whose unit roundoff is u = 2^−24, a sum of
 * `dim` products errs by at most dim·u·Σ|x_k·y_k|, whatever the order of its additions (Higham, Accuracy and Stability
 * of Numerical Algorithms, 2002, 3.1), and Σ|x_k·y_k| ≤ |x|·|y| ≤ (|x|² + |y|²)/2. With the rounding of the rows to
 * float32 and of the additions around the product, fewer than 32 u of |x|² + |y|² between them, the whole errs by less
 * than e·(|x|² + |y|²), e = (dim + 32)·u. So
 *
 *     (1 − e)·|x|² + (1 − e)·|y|² − 2·x·y   ≤   |x − y|²   ≤   the same + 2·e·(|x|² + |y|²),
 *
 * in which the left side is what a block holds: where it is not below a limit, no exact distance is. */
#ifndef FEWSTEP_DISTANCES_H
#define FEWSTEP_DISTANCES_H

#include "kernels/backend.h"

#define FS_DISTANCE_BLOCK 2048 /* rows of a block, and its columns */

/* A set of rows [n, dim], and (1 − e)·|x|² of each around the centre that it was measured from. */
struct fs_distance_rows {
    const float *features;
    int64_t n;
    float *bounds; /* [n] */
};

struct fs_distances {
    int64_t dim;
    double e;
    struct fs_backend *backend;
    double *centre;    /* [dim] */
    float *x, *y;      /* [FS_DISTANCE_BLOCK, dim]: centred; y times −2 */
    const float *in_x; /* the rows that x holds, count_x of them; NULL: none */
    int64_t count_x;
    float *products; /* [FS_DISTANCE_BLOCK, FS_DISTANCE_BLOCK]: (1 − e)·|y|² − 2·x·y */
};

/* Begun as {0}; closed whether opened or not. */
fs_status fs_distances_open(struct fs_distances *distances, int64_t dim, struct fs_error *error);
void fs_distances_close(struct fs_distances *distances);

/* Distances are measured around the mean of `rows` from here on: the closer rows are to it, the fewer pairs are left to
 * measure in double. The bounds of rows that were taken around another centre no longer hold. */
void fs_distances_centre(struct fs_distances *distances, const struct fs_distance_rows *rows);
/* Fills rows->bounds. FS_FAILED for a row of `what` ("samples") that is not finite, or too large for float32. */
fs_status fs_distances_bounds(const struct fs_distances *distances, struct fs_distance_rows *rows, const char *what,
                              struct fs_error *error);

/* Rows first_x … of one set and first_y … of another. */
struct fs_distance_block {
    int64_t first_x, count_x, first_y, count_y;
};

/* Fills `products` [count_x, count_y]. */
fs_status fs_distances_fill(struct fs_distances *distances, const struct fs_distance_rows *x,
                            const struct fs_distance_rows *y, struct fs_distance_block block, struct fs_error *error);

/* The least float that is not below `value`. */
float fs_float_above(double value);
/* |x − y|² in double. */
double fs_squared_distance(int64_t dim, const float *x, const float *y);

#endif
