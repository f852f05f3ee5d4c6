/* The scores that a table is made of: chosen and sorted, so that its sections, rows and cells are stretches of one
 * list. */
#ifndef FEWSTEP_TABLE_SCORES_H
#define FEWSTEP_TABLE_SCORES_H

#include "harness/results/results.h"

enum fs_table_text {
    FS_TEXT_DATASET, /* the first seven, with samples, guidance and quantize, make a section */
    FS_TEXT_MODEL,
    FS_TEXT_EXTRACTOR,
    FS_TEXT_TAP,
    FS_TEXT_METRIC,
    FS_TEXT_REFERENCE,
    FS_TEXT_WEIGHTS,
    FS_TEXT_TRAIN_HASH, /* makes a row of the section */
    FS_TEXT_METHOD,
    FS_TEXT_CONFIG,
    FS_TEXT_RUN,
    FS_TEXT_SOURCE,  /* source hash of the program that began the run */
    FS_TEXT_ORIGINS, /* "commit:source" of each build that trained or scored it, with spaces between */
    FS_TEXT_COUNT,
};

struct fs_table_score {
    char *text[FS_TEXT_COUNT];
    int64_t number; /* its row in the database */
    int64_t seed, steps, samples, updates;
    int64_t at_update; /* of the scored checkpoint, its teacher's updates counted before it */
    int64_t teacher_updates;
    bool quantize;
    double guidance_scale, flops, value, low, high;
    double teacher_flops;            /* part of flops */
    double seconds, teacher_seconds; /* wall time of the run's own training, and of its teacher's */
    double peak_bytes;               /* largest resident set of the two */
};

struct fs_table_scores {
    struct fs_table_score *runs;   /* one a (section, row, steps, seed), in this order */
    struct fs_table_score *floors; /* scores of data, newest first */
    int run_count, floor_count;
    int older; /* runs that are left out because a newer source has made them again */
};

/* Which scores of runs to read; NULL and 0 let all through. What they are compared with, data's own scores, stays. */
struct fs_table_filter {
    const char *source;   /* hash of the source that began the run */
    const char *revision; /* what the user called it, for messages */
    const char *dataset, *method, *metric;
    int64_t since; /* made at or after this second since 1970 (UTC) */
};

/* The scores of an experiment, of each (train_hash, seed) the newest run's among those that `filter` (NULL: all) lets
 * through; FS_USAGE when it leaves none of them. Free with fs_table_scores_free, also after a failure. */
fs_status fs_table_scores_read(struct fs_store *store, int64_t experiment, const struct fs_table_filter *filter,
                               struct fs_table_scores *scores, struct fs_error *error);
/* The same with more than the last word: each scored update of these runs (sorted by update before the seed), or the
 * last score of each source (oldest source first, before the seed). */

fs_status fs_table_scores_history(struct fs_store *store, int64_t experiment, enum fs_result_history history,
                                  struct fs_table_scores *scores, struct fs_error *error);
void fs_table_scores_free(struct fs_table_scores *scores);

bool fs_same_section(const struct fs_table_score *a, const struct fs_table_score *b);
bool fs_same_row(const struct fs_table_score *a, const struct fs_table_score *b);

#endif
