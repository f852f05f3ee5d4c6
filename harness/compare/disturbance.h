/* What a feature distance is worth: how it answers to pictures that are made worse and worse. */
#ifndef FEWSTEP_DISTURBANCE_H
#define FEWSTEP_DISTURBANCE_H

#include <stdio.h>

#include "metrics/extractor.h"

/* Squares of 8 bits, [count, side, side, channels]. Owns nothing. */
struct fs_squares {
    const uint8_t *pixels;
    int64_t count;
    int side, channels;
};

#define FS_DISTURBANCES 3
#define FS_STRENGTHS 4
/* Distances by kind and growing strength: a Gaussian blur (its deviation in pixels), Gaussian noise (its deviation as a
 * share of the whole range), contrast towards mid grey (what is left of it). */
struct fs_disturbance_table {
    double unchanged;
    double distance[FS_DISTURBANCES][FS_STRENGTHS];
};

/* The Fréchet distances of the extractor's first tap from `reference` to `test`, as they are and disturbed, in 8 bits
 * again. Noise is drawn from a stream of its own: the same pictures give the same table. */
fs_status fs_disturbances_measure(struct fs_extractor *extractor, const struct fs_squares *reference,
                                  const struct fs_squares *test, struct fs_disturbance_table *table,
                                  struct fs_error *error);
void fs_disturbances_print(const struct fs_disturbance_table *table, FILE *out);

#endif
