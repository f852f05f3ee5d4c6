/* Scores: samples through an extractor against the training data. */
#ifndef FEWSTEP_SCORE_H
#define FEWSTEP_SCORE_H

#include <signal.h>

#include "harness/sample/generator.h"
#include "harness/sample/reference.h"
#include "harness/store/columns.h"

struct fs_score_progress {
    int steps;
    const char *metric; /* that is worked out; NULL: samples are drawn */
    int64_t done, of;   /* samples, or parts of the metric's work */
    double seconds;     /* of drawing, or of the metric */
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

/* Fills value, low, high, seconds and spectrum (free() it) of `count` rows, one a metric, that are alike in all else
 * (steps, guidance_scale, noise_seed, samples, quantize say what to draw): samples are drawn and brought through the
 * extractor once. seconds: of drawing, shared, and of the metric's own work. *done is false when *stop was set before
 * the end: nothing is lost but these scores. */
fs_status fs_score_generator(const struct fs_scoring *scoring, struct fs_generator *generator,
                             struct fs_score_row *rows, int count, bool *done, struct fs_error *error);
/* The floor: the first `samples` (≤ data->count) pictures of `data` in place of samples. */
fs_status fs_score_data(const struct fs_scoring *scoring, const struct fs_dataset *data, struct fs_score_row *rows,
                        int count, bool *done, struct fs_error *error);

#endif
