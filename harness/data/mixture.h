/* The Gaussian mixture behind the data set gaussian-mixture, and its exact velocity. */
#ifndef FEWSTEP_MIXTURE_H
#define FEWSTEP_MIXTURE_H

#include <stdint.h>

/* `modes` in `dim` dimensions, well inside ±4. */
struct fs_mixture {
    int dim, modes;
    double mean[8][16];
    double deviation[8];
    double weight[8];
};
const struct fs_mixture *fs_mixture_standard(void);

/* The exact flow-matching velocity E[x1 − (1 − σ)·x0 | x_t = x], x and velocity [dim]; given the mode `label`, or of
 * all modes for any other label (the null label is `modes`). */
void fs_mixture_velocity(const struct fs_mixture *mixture, const double *x, double t, int32_t label, double *velocity);

#endif
