/* One run in the pipeline: what pipeline.c shares with training and scoring. */
#ifndef FEWSTEP_JOB_H
#define FEWSTEP_JOB_H

#include "harness/run/order.h"
#include "harness/run/pipeline.h"
#include "harness/sample/generator.h"

struct fs_job {
    struct fs_pipeline *pipeline; /* data, extractor and reference, which all runs share */
    struct fs_session *session;   /* backend, database, progress */
    const struct fs_config *config;
    char id[FS_HASH_TEXT];     /* of the run; empty for data, or a checkpoint whose run is not known */
    char folder[FS_PATH_ROOM]; /* OUT/runs/ID */
    char name[96];             /* for progress: "Shortcut model, seed 0" */
    int lock;
};

/* The run's identity, folder and name. */
fs_status fs_job_begin(struct fs_job *job, struct fs_pipeline *pipeline, const struct fs_config *config,
                       struct fs_error *error);

/* One process works on one run: *taken is false when another holds its folder; `wait` until it lets go or fs_stop. */
fs_status fs_job_lock(struct fs_job *job, bool wait, bool *taken, struct fs_error *error);
void fs_job_unlock(struct fs_job *job);

/* The other ranks begin to do what this one is about to do for the job: fs_order_give with what they have to compare.
 */
fs_status fs_job_order(const struct fs_job *job, struct fs_order *order, struct fs_error *error);

/* Whether the last checkpoint of the whole training is on the disk; its path. */
bool fs_job_trained(const struct fs_job *job, char checkpoint[FS_PATH_ROOM]);
/* Trains what is missing: the teacher, its pairs, the run itself. The path of the last checkpoint. */
fs_status fs_job_train(struct fs_job *job, char checkpoint[FS_PATH_ROOM], enum fs_pipeline_end *end,
                       struct fs_error *error);

/* Whether every score that config->evaluate asks of the finished run is in the store. */
fs_status fs_job_scored(const struct fs_job *job, bool *scored, struct fs_error *error);
/* Makes the scores and pictures of a checkpoint that are missing. */
fs_status fs_job_score(struct fs_job *job, const char *checkpoint, enum fs_pipeline_end *end, struct fs_error *error);
/* OUT/samples/EXPERIMENT/METHOD-RUN-seedS.png (harness/data/sample_grid.h), unless it is there. */
fs_status fs_job_draw_samples(const struct fs_job *job, struct fs_generator *generator, struct fs_error *error);
/* Makes the scores of the updates before the last whose weights are kept. Where they were not, FS_USAGE says so, after
 * the others. */
fs_status fs_job_score_kept(struct fs_job *job, enum fs_pipeline_end *end, struct fs_error *error);
/* The score of the test split in place of samples. */
fs_status fs_job_score_data(struct fs_job *job, enum fs_pipeline_end *end, struct fs_error *error);
/* Scores samples by the exact velocity of the training split, at the steps of the configuration. */
fs_status fs_job_score_exact(struct fs_job *job, enum fs_pipeline_end *end, struct fs_error *error);

#endif
