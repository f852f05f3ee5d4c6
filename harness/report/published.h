/* Numbers that papers published, from experiments/published.yaml: where each comes from, and whether it was confirmed.
 */
#ifndef FEWSTEP_PUBLISHED_H
#define FEWSTEP_PUBLISHED_H

#include <stdbool.h>
#include <stdio.h>

#include "harness/report/table.h"

#define FS_PUBLISHED_FILE "experiments/published.yaml"
#define FS_PUBLISHED_STEPS 16

struct fs_published_row {
    char method[64], label[64];
    double values[FS_PUBLISHED_STEPS]; /* at the setting's step counts */
    bool outside[FS_PUBLISHED_STEPS];  /* in parentheses in the source */
    bool confirmed[FS_PUBLISHED_STEPS];
    char confirmed_in[128]; /* "" where nothing is confirmed */
};

struct fs_published_setting {
    char name[64], title[128], dataset[64], model[32], metric[32], source[256];
    int64_t samples;
    int steps[FS_PUBLISHED_STEPS], step_count;
    struct fs_published_row *rows;
    int row_count;
};

struct fs_published {
    struct fs_published_setting *settings;
    int count;
};

/* Reads the file; every mistake is FS_USAGE with file, line and key. Free with fs_published_free, also after a failure.
 */
fs_status fs_published_read(const char *path, struct fs_published *published, struct fs_error *error);
void fs_published_free(struct fs_published *published);

/* A setting by its name; FS_USAGE names those that there are. */
fs_status fs_published_find(const struct fs_published *published, const char *name,
                            const struct fs_published_setting **setting, struct fs_error *error);
/* The setting of a data set, a network and a metric; NULL when there is none. */
const struct fs_published_setting *fs_published_for(const struct fs_published *published, const char *dataset,
                                                    const char *model, const char *metric);

/* The setting as a table. CSV: without a heading, with the columns of fs_csv_heading for no ablation. */
fs_status fs_published_print(const struct fs_published_setting *setting, enum fs_table_format format, FILE *stream,
                             struct fs_error *error);
/* The tabular alone, for LaTeX; the caller's notes explain its marks. */
void fs_published_latex(const struct fs_published_setting *setting, FILE *stream);

#endif
