/* The rows that a configuration asks for: its run, and the scores of it. A run makes those that are missing, a dry run
 * counts them. */
#ifndef FEWSTEP_ROWS_H
#define FEWSTEP_ROWS_H

#include "harness/config/config.h"
#include "harness/data/dataset.h"
#include "harness/sample/reference_source.h"
#include "harness/store/store.h"
#include "metrics/extractor.h"

/* The run of `config` by this program, without id, teacher, is_teacher and flops. Texts are the arguments'. */
struct fs_run_row fs_run_row_of(const struct fs_config *config, const char *data_sha256);
/* Its id: the beginning of SHA-256(train_hash, seed, data hash, source_hash) names it everywhere. */
fs_status fs_run_id(const struct fs_config *config, const char *data_sha256, char id[FS_HASH_TEXT],
                    struct fs_error *error);

/* What scores are made with, whatever they are of. */
struct fs_score_setup {
    const struct fs_extractor *extractor;
    const char *device;
    const char *reference, *reference_sha256;       /* name and contents of what is compared with */
    const char *data_sha256;                        /* of the training split */
    int64_t data_count;                             /* of what the data's row is of, */
    const char *data;                               /* "test" (the split), or "reconstructions" by an autoencoder */
    const char *decoder_sha256, *decoder_precision; /* of latents; NULL: the data are pictures */
};

/* Fills in what follows from the reference and the training data: what the data's row is of, decoder. `test_count`:
 * pictures of its test split. Texts are theirs. */
void fs_score_setup_data(struct fs_score_setup *setup, const struct fs_config *config, const struct fs_dataset *train,
                         const struct fs_reference_source *reference, int64_t test_count);

/* Rows of scores that are not in the store, one a metric and alike in all else. Texts are the configuration's and the
 * setup's, or its own: not to be copied. */
struct fs_missing_scores {
    struct fs_score_row rows[FS_METRICS_MAX];
    char hashes[FS_METRICS_MAX][FS_HASH_TEXT], source[96], time_grid[32];
    int count;
    char found[FS_METRICS_MAX][FS_HASH_TEXT]; /* of those that are there */
    int found_count;
};

/* What `config` asks of the weights of `update` at `steps`: `run` is the run's id, or "" for a checkpoint whose run is
 * not known. Those that are there become scores of the experiment, unless that is 0. FS_USAGE where the extractor has
 * not what a metric needs. */
fs_status fs_missing_of_run(struct fs_store *store, int64_t experiment, const struct fs_config *config,
                            const struct fs_score_setup *setup, const char *run, int64_t update, int steps,
                            struct fs_missing_scores *missing, struct fs_error *error);
/* The same of samples by the exact velocity of the training set, in place of a run's network. */
fs_status fs_missing_of_exact(struct fs_store *store, int64_t experiment, const struct fs_config *config,
                              const struct fs_score_setup *setup, int steps, struct fs_missing_scores *missing,
                              struct fs_error *error);
/* The same of the data in place of samples. */
fs_status fs_missing_of_data(struct fs_store *store, int64_t experiment, const struct fs_config *config,
                             const struct fs_score_setup *setup, struct fs_missing_scores *missing,
                             struct fs_error *error);

/* How many scores of weights at these steps are asked for, and how many of them there are; as fs_missing_of_run. */
struct fs_score_tally {
    int asked, made;
};
fs_status fs_tally_scores(struct fs_store *store, int64_t experiment, const struct fs_config *config,
                          const struct fs_score_setup *setup, const char *run, const struct fs_kept_update *weights,
                          struct fs_score_tally *tally, struct fs_error *error);

#endif
