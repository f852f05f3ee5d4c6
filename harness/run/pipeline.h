/* The pipeline of one run: teacher, pairs, training, scores, pictures. Every part that is already there is skipped, so
 * the same call goes on wherever the last one ended. */
#ifndef FEWSTEP_PIPELINE_H
#define FEWSTEP_PIPELINE_H

#include "harness/run/session.h"
#include "harness/data/dataset.h"
#include "harness/sample/score.h"

/* Runs that could not be made, in the order in which they failed. */
struct fs_failed_run {
    char id[FS_HASH_TEXT];
    char name[96];     /* "Shortcut model, seed 0" */
    char reason[1024]; /* what the error said */
};
struct fs_failures {
    struct fs_failed_run *runs;
    int count;
};
/* Adds one, unless the run is among them. */
fs_status fs_failures_add(struct fs_failures *failures, const char *id, const char *name, const char *reason,
                          struct fs_error *error);
/* NULL: it is not among them. */
const struct fs_failed_run *fs_failures_find(const struct fs_failures *failures, const char *id);
void fs_failures_free(struct fs_failures *failures);

/* Hashes of scores, each once, in the order in which they were asked for. */
struct fs_score_list {
    char (*hashes)[FS_HASH_TEXT];
    int count;
};
void fs_score_list_free(struct fs_score_list *list);

/* What all runs of a command share. Data and references are opened once, when first needed. */
struct fs_pipeline {
    struct fs_session *session;
    int64_t experiment; /* its row; 0: none */
    const char *experiment_name;
    bool adopt;                    /* continue half-trained runs of other sources */
    const char *label;             /* the user's own name for the runs in the experiment's tables; NULL: as it is */
    struct fs_score_list *scores;  /* receives what was asked for, made now or earlier; NULL: nobody wants to know */
    bool retry_failed;             /* train again what diverged in an earlier call */
    struct fs_failures *failures;  /* of this call; for fs_pipeline_run */
    struct fs_dataset train, test; /* of latents, the test split is empty */
    struct fs_decoder decoder;     /* of latents; its autoencoder is NULL where the data are pictures */
    struct fs_data_shape picture;  /* what is scored and shown: the data, or what they are decoded to */
    struct fs_extractor extractor;
    struct fs_reference_source compared_with; /* rank 0's, like the next: it alone works out metrics */
    struct fs_reference reference;
};

enum fs_pipeline_end {
    FS_PIPELINE_DONE,
    FS_PIPELINE_STOPPED, /* a signal: the same command goes on */
    FS_PIPELINE_TAKEN,   /* another process works on this run */
    FS_PIPELINE_FAILED,  /* it is in pipeline->failures, with the reason */
};

/* `config` needs the data set, the reference, the first extractor, the metrics and the number of samples that the
 * pipeline was opened with. */
fs_status fs_pipeline_open(struct fs_pipeline *pipeline, struct fs_session *session, const struct fs_config *config,
                           struct fs_error *error);
void fs_pipeline_close(struct fs_pipeline *pipeline);

/* Trains and scores one run. What goes wrong with the run itself is FS_OK and FS_PIPELINE_FAILED, so that the others
 * can be made. */
fs_status fs_pipeline_run(struct fs_pipeline *pipeline, const struct fs_config *config, enum fs_pipeline_end *end,
                          struct fs_error *error);
/* Scores the test split in place of samples. */
fs_status fs_pipeline_baseline(struct fs_pipeline *pipeline, const struct fs_config *config, enum fs_pipeline_end *end,
                               struct fs_error *error);
/* Where evaluate.exact_velocity asks for it: scores of samples by the exact velocity of the training split, with the
 * labels, seed, steps and sampler of `config`; made once. */
fs_status fs_pipeline_exact(struct fs_pipeline *pipeline, const struct fs_config *config, enum fs_pipeline_end *end,
                            struct fs_error *error);
/* Scores a checkpoint at the steps of config->evaluate, whether or not its run is known. */
fs_status fs_pipeline_score(struct fs_pipeline *pipeline, const struct fs_config *config, const char *run,
                            const char *checkpoint, enum fs_pipeline_end *end, struct fs_error *error);

/* The last checkpoint of a run, OUT/runs/ID/…, and its update; FS_USAGE when there is none. */
fs_status fs_run_checkpoint(const char *out, const char *run, char path[FS_PATH_ROOM], int64_t *update,
                            struct fs_error *error);

#endif
