/* The database: experiments, runs, checkpoints, curves, scores and where each came from. SQLite, WAL while a run
 * writes, foreign keys, STRICT tables, prepared statements only. schema.c says what each column means. */
#ifndef FEWSTEP_STORE_H
#define FEWSTEP_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "harness/store/columns.h"
#include "kernels/base/error.h"

struct fs_store;

enum fs_store_mode {
    FS_STORE_READ,  /* leaves no -wal or -shm behind; FS_USAGE when the file is not there. A file of an older schema is
                       read as a copy in memory that is up to date, and stays as it is */
    FS_STORE_WRITE, /* made or migrated when needed */
};

/* FS_USAGE: not a database, of a newer schema, cannot be written. */
fs_status fs_store_open(const char *path, enum fs_store_mode mode, struct fs_store **store, struct fs_error *error);
void fs_store_close(struct fs_store *store);
/* Copies a database, which is only read and may be of an older schema, to the new file `to` and brings the copy up to
 * this build's schema. */
fs_status fs_store_copy(const char *from, const char *to, struct fs_error *error);
/* Whether two names are of one file that is there, so that writing the one would replace the other. */
bool fs_store_same_file(const char *a, const char *b);
/* The SQLite handle, for report/'s queries (read only). */
struct sqlite3 *fs_store_handle(struct fs_store *store);

/* What a number was made with and on. Texts may be NULL where unknown. */
struct fs_environment {
    const char *commit; /* of the tree that was built; "" outside git */
    bool dirty;
    const char *source_hash;
    const char *compiler, *flags, *libraries; /* "oneDNN 2.6.3, OpenBLAS 0.3.21, SQLite 3.40.1" */
    const char *cpu, *isa, *device, *host;
    int threads;
    int ranks; /* processes that share the work; 0: one */
};

/* All writes are one transaction each and durable when they return; safe between processes (busy ones wait). */
fs_status fs_store_environment(struct fs_store *store, const struct fs_environment *environment, int64_t *id,
                               struct fs_error *error);
fs_status fs_store_experiment(struct fs_store *store, const char *name, const char *path, const char *text,
                              const char *ablated, int64_t *id, struct fs_error *error);
/* The experiment with the lowest number above `after` that the run (its id) is part of; 0: none. */
fs_status fs_store_next_experiment(struct fs_store *store, const char *run, int64_t after, int64_t *id,
                                   struct fs_error *error);
/* Inserts the run unless it is there, and makes it a member of the experiment (0: of none). */
fs_status fs_store_run(struct fs_store *store, const struct fs_run_row *run, int64_t experiment, int64_t environment,
                       struct fs_error *error);
/* What the user calls the run in the tables of the experiment that it is in; NULL or "" takes the name away. In no
 * hash. */
fs_status fs_store_label(struct fs_store *store, const char *run, int64_t experiment, const char *label,
                         struct fs_error *error);
/* "new" (as inserted), "training", "trained" or "failed", with a message or NULL; adds wall seconds and remembers the
 * peak resident set. */
fs_status fs_store_run_state(struct fs_store *store, const char *run, const char *state, const char *message,
                             double seconds, double peak_bytes, struct fs_error *error);
/* How often training has diverged and begun again at a lower rate (train.on_divergence). */
fs_status fs_store_run_restarts(struct fs_store *store, const char *run, int64_t restarts, struct fs_error *error);
fs_status fs_store_checkpoint(struct fs_store *store, const char *run, int64_t update, const char *path,
                              const char *sha256, int64_t bytes, struct fs_error *error);
/* A point of a curve ("loss", "loss/level/3", "gradient_norm", "weight_norm", "updates_per_second", "peak_share"). */
struct fs_curve_point {
    const char *name;
    int64_t update;
    double value;
};
/* Replaces points of the same name and update (a resume writes the same ones again). */
fs_status fs_store_curve(struct fs_store *store, const char *run, const struct fs_curve_point *points, int count,
                         struct fs_error *error);
/* A score that is already there is replaced, its spectrum with it. scores.outside is worked out from the run. */
fs_status fs_store_score(struct fs_store *store, const struct fs_score_row *score, int64_t experiment,
                         int64_t environment, struct fs_error *error);
/* *found, and then *value, of a score already there. With an experiment (not 0) it also becomes one of its scores. */
fs_status fs_store_find_score(struct fs_store *store, const char *score_hash, int64_t experiment, bool *found,
                              double *value, struct fs_error *error);
/* The curve behind the score scores.number; *points (owned, free()) by frequency. *count is 0 for another metric. */
fs_status fs_store_spectrum(struct fs_store *store, int64_t number, struct fs_spectrum_point **points, int *count,
                            struct fs_error *error);
/* A unique prefix (6 digits or more) of a run's id to the whole id and its configuration (owned, free()); FS_USAGE
 * when there is none or several (named). */
fs_status fs_store_find_run(struct fs_store *store, const char *prefix, char id[65], char **config_json,
                            struct fs_error *error);

/* The newest run of the same training (train_hash, seed, data) by another source that was begun and is not trained:
 * *found, and then its id. */
fs_status fs_store_find_half_trained(struct fs_store *store, const char *train_hash, int64_t seed,
                                     const char *data_sha256, const char *source_hash, char id[65], bool *found,
                                     struct fs_error *error);

#endif
