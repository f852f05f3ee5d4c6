/* The road of one run: teacher, pairs, training, scores, pictures. Every part that is already there is skipped, so the
 * same call goes on wherever the last one ended. */
#ifndef FEWSTEP_PIPELINE_H
#define FEWSTEP_PIPELINE_H

#include "harness/run/session.h"
#include "harness/data/dataset.h"
#include "harness/sample/score.h"

/* What all runs of a command share. Data and references are opened once, when first needed. */
struct fs_road {
    struct fs_session *session;
    int64_t experiment; /* its row; 0: none */
    const char *experiment_name;
    bool adopt; /* continue half-trained runs of other sources */
    struct fs_dataset train, test;
    struct fs_extractor extractor;
    struct fs_reference reference;
};

enum fs_road_end {
    FS_ROAD_DONE,
    FS_ROAD_STOPPED, /* a signal: the same command goes on */
    FS_ROAD_TAKEN,   /* another process works on this run */
};

/* `config` needs the data set, the first extractor, the metrics and the number of samples that the road was opened
 * with. */
fs_status fs_road_open(struct fs_road *road, struct fs_session *session, const struct fs_config *config,
                       struct fs_error *error);
void fs_road_close(struct fs_road *road);

/* Trains and scores one run. */
fs_status fs_road_run(struct fs_road *road, const struct fs_config *config, enum fs_road_end *end,
                      struct fs_error *error);
/* Scores the test split in place of samples. */
fs_status fs_road_floor(struct fs_road *road, const struct fs_config *config, enum fs_road_end *end,
                        struct fs_error *error);
/* Scores a checkpoint at the steps of config->evaluate, whether or not its run is known. */
fs_status fs_road_score(struct fs_road *road, const struct fs_config *config, const char *run, const char *checkpoint,
                        enum fs_road_end *end, struct fs_error *error);

/* The last checkpoint of a run, OUT/runs/ID/…; FS_USAGE when there is none. */
fs_status fs_run_checkpoint(const char *out, const char *run, char path[1024], struct fs_error *error);

#endif
