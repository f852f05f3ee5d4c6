/* Scores: samples through an extractor against the statistics of the training data. */
#ifndef FEWSTEP_SCORE_H
#define FEWSTEP_SCORE_H

#include <signal.h>

#include "harness/sample/generator.h"
#include "harness/store/store.h"
#include "metrics/extractor.h"

/* Statistics of a data set's training split under one extractor's first tap, ready for distances to it. */
struct fs_reference {
    char sha256[FS_HASH_TEXT]; /* of the data */
    int64_t dim;
    double *mean, *root; /* [dim], [dim, dim]: Σ^½ */
    double trace;        /* tr Σ */
};

/* Reads the statistics from `cache` (a folder; made when it is not there), or computes and keeps them. */
fs_status fs_reference_open(struct fs_reference *reference, struct fs_extractor *extractor,
                            const struct fs_dataset *train, const char *cache, struct fs_error *error);
void fs_reference_close(struct fs_reference *reference);

struct fs_score_progress {
    int steps;
    int64_t samples, of;
    double seconds;
};

/* What a score is made with, and whom it tells. */
struct fs_scoring {
    struct fs_extractor *extractor;
    const struct fs_reference *reference;
    const struct fs_dataset *shape;
    volatile sig_atomic_t *stop;
    void *owner;
    void (*progress)(void *owner, const struct fs_score_progress *progress);
};

/* Fills value, low, high and seconds of `row`, whose identity (steps, guidance_scale, noise_seed, samples, quantize)
 * says what to draw. *done is false when *stop was set before the end: nothing is lost but this score. */
fs_status fs_score_generator(const struct fs_scoring *scoring, struct fs_generator *generator, struct fs_score_row *row,
                             bool *done, struct fs_error *error);
/* The floor: the first row->samples (≤ data->count) pictures of `data` in place of samples. */
fs_status fs_score_data(const struct fs_scoring *scoring, const struct fs_dataset *data, struct fs_score_row *row,
                        bool *done, struct fs_error *error);

/* SHA-256 over the identity of a score: every field but value, low, high, seconds and score_hash. */
fs_status fs_score_hash(const struct fs_score_row *row, char hash[FS_HASH_TEXT], struct fs_error *error);

#endif
