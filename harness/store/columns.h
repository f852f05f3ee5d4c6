/* The columns of a score and of a run, each list the only place that spells out its identity: hash, INSERT, look-up,
 * dry run, merge, regress and reproduce are made from it. schema.c has them as SQL and says what each means. */
#ifndef FEWSTEP_COLUMNS_H
#define FEWSTEP_COLUMNS_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/error.h"

enum fs_sql_type {
    FS_SQL_TEXT,  /* const char *; NULL is `left_out` where there is that, else NULL, and "" in the hash */
    FS_SQL_WHOLE, /* int64_t */
    FS_SQL_REAL,  /* double; NAN is NULL */
    FS_SQL_BOOL,  /* bool; 0 or 1, and true or false in the hash */
    FS_SQL_RUN,   /* const char *, a run's id or NULL; its number in the database, the id in the hash */
};

/* Why a column is there, and so what two rows that are compared may differ in. One bit each, for sets of them. */
enum fs_role {
    FS_ROLE_WHAT = 1,     /* what is trained; or what is drawn, and how it is measured */
    FS_ROLE_RUN = 2,      /* of which run: rows of several sources are matched by its training instead */
    FS_ROLE_SEED = 4,     /* of training, or of the noise */
    FS_ROLE_MACHINE = 8,  /* on what it was made */
    FS_ROLE_BUILD = 16,   /* by which source */
    FS_ROLE_RESULT = 32,  /* what came out: replaced when the row is made again */
    FS_ROLE_COMMENT = 64, /* what is said of it: two rows of one identity may differ */
};

struct fs_column {
    const char *name;
    enum fs_sql_type type;
    size_t offset; /* in the row's struct */
    enum fs_role role;
    const char *key;      /* its name in the hash; NULL: it is not hashed */
    const char *left_out; /* the value, as text, at which it does not enter the hash, so that a column that is added
                             later leaves the hashes of the rows before it alone; NULL: always hashed */
};

struct fs_columns {
    const char *table, *hash; /* the column that holds the hash */
    const struct fs_column *list;
    int count;
};

/* A row of `runs`; state, times and the like are fs_store_run_state's. */
struct fs_run_row {
    const char *id; /* the hash */
    const char *method, *dataset, *model;
    const char *config_json, *train_hash, *data_sha256, *source_hash;
    const char *teacher; /* id of the teacher's run, which is in the store already; or NULL */
    bool is_teacher;     /* made only because others need it */
    int64_t seed, updates;
    double flops; /* of the whole training, teacher and pairs included */
};
extern const struct fs_columns fs_run_columns;

/* A point of the curve behind a score of the metric spectrum. */
struct fs_spectrum_point {
    double frequency; /* cycles a pixel */
    double power, standard_error, reference_power;
};

/* What scores had before there was a choice. */
#define FS_SCORE_SAMPLER "method"
#define FS_SCORE_TIME_GRID "uniform"
/* What the source of a score by the exact velocity of a training set begins with: "exact:NAME:SHA256:LABELS", the
 * beginning of its hash and how many labels tell its pictures apart. */
#define FS_EXACT_SOURCE "exact:"
#define FS_SOURCE_DATA_DIGITS 12 /* of the hash of data whose name stands for nothing, in a source in its place */

/* A row of `scores`. */
struct fs_score_row {
    const char *score_hash;
    const char *run;     /* NULL for a row that scores data (the baseline) */
    const char *source;  /* "run", "dataset:fashion-mnist:test" or, of data of one's own, "dataset:0123456789ab:test" */
    int64_t update;      /* of the checkpoint */
    const char *weights; /* "ema" | "raw" */
    int64_t steps;
    double guidance_scale;
    const char *labels; /* "index mod classes" */
    int64_t noise_seed, samples;
    bool quantize;
    const char *resize; /* "none" */
    const char *extractor, *extractor_sha256, *tap, *reference, *reference_sha256, *metric, *precision, *device;
    const char *source_hash;
    const char *sampler;                            /* of a step; NULL: FS_SCORE_SAMPLER, the method's own */
    const char *time_grid;                          /* NULL: FS_SCORE_TIME_GRID, all steps alike */
    const char *decoder_sha256, *decoder_precision; /* of latents' decoder; NULL: none */
    double value, low, high;                        /* low, high: interval over samples; NAN when there is none */
    double seconds;
    const struct fs_spectrum_point *spectrum; /* of the metric spectrum, by frequency; else NULL */
    int spectrum_count;
};
extern const struct fs_columns fs_score_columns;

/* SHA-256 over canonical JSON (sorted keys, no spaces) of the columns of the row that are hashed. */
fs_status fs_columns_hash(const struct fs_columns *columns, const void *row, char hash[65], struct fs_error *error);

/* `item` for each column whose role is in `roles`, with the column's name in place of each $, joined by `separator`:
 * "s.$", ", " gives "s.source, s.at_update, …". Owned by the caller; NULL without memory. */
char *fs_columns_join(const struct fs_columns *columns, unsigned roles, const char *item, const char *separator,
                      struct fs_error *error);

/* INSERT of the row: its hash, its columns, and the columns `more` ("created, changed") with the SQL `values`; then the
 * SQL `conflict` ("ON CONFLICT …"). The run that a column names must be there. */
fs_status fs_columns_insert(sqlite3 *database, const struct fs_columns *columns, const void *row, const char *hash,
                            const char *more, const char *values, const char *conflict, struct fs_error *error);

#endif
