/* Scores: samples through an extractor against the training data. */
#ifndef FEWSTEP_SCORE_H
#define FEWSTEP_SCORE_H

#include <signal.h>

#include "harness/sample/decoder.h"
#include "harness/sample/generator.h"
#include "harness/sample/reference.h"
#include "metrics/metric.h"

struct fs_score_progress {
    int steps;
    const char *metric; /* that is worked out; NULL: samples are drawn */
    int64_t done, of;   /* samples, or parts of the metric's work */
    double seconds;     /* of drawing, or of the metric */
};

/* What is drawn, and the metrics that it is measured by. */
struct fs_score_request {
    struct fs_generator *generator; /* NULL: no samples but pictures of `data` (the baseline) */
    const struct fs_dataset *data;  /* its first `samples` (≤ data->count); latents are decoded */
    int steps;                      /* 0 of data */
    double guidance_scale;
    uint32_t noise_seed;
    int64_t samples;
    bool quantize; /* rounded to 8 bits before the features */
    const struct fs_metric *metrics[FS_METRICS_MAX];
    int metric_count;
};

/* What came out for one of its metrics. */
struct fs_score_result {
    int metric; /* its index in the request */
    struct fs_estimate estimate;
    const struct fs_metric_curve *curve; /* behind the number; its count is 0 where there is none */
    double seconds;                      /* of drawing, which all share, and of the metric's own work */
};

/* What scores are made with, and whom they are told. With several ranks, samples are dealt to all, and rank 0 alone
 * works out the metrics and tells: its alone are `reference`, `progress` and `result`. */
struct fs_scoring {
    struct fs_comm *comm; /* who takes part; NULL: this process alone */
    struct fs_extractor *extractor;
    const struct fs_reference *reference;
    const struct fs_data_shape *shape; /* of the pictures */
    const struct fs_decoder *decoder;  /* of what is drawn, to pictures; NULL: they are pictures */
    volatile sig_atomic_t *stop;
    void *owner;
    void (*progress)(void *owner, const struct fs_score_progress *progress); /* may be NULL */
    /* Called with each result as soon as it is there; a failure ends the work. */
    fs_status (*result)(void *owner, const struct fs_score_result *result, struct fs_error *error);
};

/* Samples are drawn and brought through the extractor once, then each metric is worked out. *done is false when *stop
 * was set before the last result. */
fs_status fs_score(const struct fs_scoring *scoring, const struct fs_score_request *request, bool *done,
                   struct fs_error *error);

#endif
