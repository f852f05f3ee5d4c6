/* The radially averaged power spectrum of pictures: what share of their variance lies at which size of detail. Samples
 * in few steps lose the high frequencies first. */
#ifndef FEWSTEP_SPECTRUM_H
#define FEWSTEP_SPECTRUM_H

#include "kernels/base/error.h"
#include "metrics/estimate.h"

/* Pictures are cut into this many groups by their place, for the interval. */
#define FS_SPECTRUM_GROUPS 20

struct fs_spectrum {
    int64_t height, width, channels;
    int bins; /* min(height, width)/2: bin b holds the frequencies around (b + 1)/min(height, width) cycles a
                 pixel, up to ½; the mean of the picture and the corners beyond ½ are in none */
    int64_t total, count; /* pictures to come, and seen */
    double *sums;         /* [FS_SPECTRUM_GROUPS, bins], of the pictures' power */
    int64_t counts[FS_SPECTRUM_GROUPS];
    double *squares; /* [bins], of the pictures' power */
    void *transform;
};

/* For `total` pictures. FS_USAGE for pictures below 2 × 2. Not from two threads at once (FFTW's planner). Give back
 * with destroy. */
fs_status fs_spectrum_create(int64_t height, int64_t width, int64_t channels, int64_t total,
                             struct fs_spectrum *spectrum, struct fs_error *error);
void fs_spectrum_destroy(struct fs_spectrum *spectrum);

/* pictures [n, height, width, channels]. Power is |F|²/(height·width), the mean over a bin's frequencies and over
 * channels: white noise has its variance in every bin. FS_FAILED for values that are not finite. */
fs_status fs_spectrum_add(struct fs_spectrum *spectrum, const float *pictures, int64_t n, struct fs_error *error);

/* Frequency of a bin in cycles a pixel; mean power over pictures and its standard error (0 for one picture). */
double fs_spectrum_frequency(const struct fs_spectrum *spectrum, int bin);
double fs_spectrum_power(const struct fs_spectrum *spectrum, int bin, double *standard_error);

/* The root mean square over bins of ln (power/reference[bin]): 0 for the same spectrum, 0.1 for about a tenth too much
 * or too little everywhere. The interval is over pictures, for a fixed reference [bins], by a delete-a-group jackknife
 * over FS_SPECTRUM_GROUPS groups. Noise only adds: of few pictures the distance is too large. FS_USAGE for fewer
 * pictures than groups, FS_FAILED for a bin without any power. */
fs_status fs_spectrum_distance(const struct fs_spectrum *spectrum, const double *reference,
                               struct fs_estimate *distance, struct fs_error *error);

#endif
