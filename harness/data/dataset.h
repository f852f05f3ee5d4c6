/* Data sets: opened from where they lie, read by index. Where the pictures are meanwhile is the business of the source
 * (source.h): in memory, in files, or nowhere because they are computed. */
#ifndef FEWSTEP_DATASET_H
#define FEWSTEP_DATASET_H

#include <signal.h>

#include "harness/config/config.h"

enum fs_split { FS_SPLIT_TRAIN, FS_SPLIT_TEST };

struct fs_dataset {
    char name[64]; /* as its user calls it */
    enum fs_split split;
    struct fs_data_shape shape;
    int32_t *labels;           /* [count], from 0 to classes − 1; NULL: without labels */
    char sha256[FS_HASH_TEXT]; /* over the decoded contents and shape */
    bool pictures;             /* 8 bits a number, or any real numbers */
    bool mirror;               /* pictures that a training visits are mirrored at random */
    const struct fs_data_source *source;
    void *state; /* the source's own */
};

struct fs_sha256;
/* Begins the hash of a data set's contents: with its shape and labels (NULL: none), for the same pictures in another
 * shape are other data. All pictures follow, as bytes or as floats. */
void fs_dataset_hash_begin(struct fs_sha256 *hash, bool pictures, const struct fs_data_shape *shape,
                           const int32_t *labels);

/* Which row of a training a picture is read for. */
struct fs_visit {
    uint32_t seed;
    int64_t update;
    int64_t row; /* of the global batch */
};

/* Where a data set that has to be decoded keeps what it has decoded, and whom it tells. All zero: it keeps nothing
 * longer than it is open, and tells nobody. */
struct fs_data_access {
    const char *cache; /* the folder, OUT/data, or NULL */
    bool verify;   /* compare the contents of files with what was decoded, not only size and time; streamed: decode all
                      once,   to name those that cannot be */
    bool streamed; /* decode each picture when it is read and keep nothing; sha256 is of files, not of their contents */
    bool only_kept;                    /* decode nothing: what is not in the cache has no sha256 and cannot be read */
    const volatile sig_atomic_t *stop; /* set: FS_STOPPED. NULL: nobody stops it */
    void *owner;
    void (*progress)(void *owner, int64_t done, int64_t of); /* files decoded; NULL: nobody wants to know */
};

/* The data set that `config` names, of the kind dataset.kind (empty: the kind of its name). FS_USAGE for an unknown
 * kind and for files that are missing or corrupt (wrong magic, short, wrong hash: what, where, what to do). */
fs_status fs_dataset_open(const struct fs_dataset_config *config, enum fs_split split, struct fs_dataset *dataset,
                          struct fs_error *error);
fs_status fs_dataset_open_with(const struct fs_dataset_config *config, const struct fs_data_access *access,
                               enum fs_split split, struct fs_dataset *dataset, struct fs_error *error);
void fs_dataset_close(struct fs_dataset *dataset);
/* Whether the name stands for known contents, as fashion-mnist does: other data are not to be had by it. */
bool fs_dataset_name_is_known(const char *name);
/* Kinds there are, NULL past the last; whether there is nothing to open without a path. */
const char *fs_dataset_kind(int index, bool *needs_path);

/* The shape of the training split, without reading pictures. */
fs_status fs_dataset_shape(const struct fs_dataset_config *config, struct fs_data_shape *shape, struct fs_error *error);
/* The same, after which `config` has been checked against it: FS_USAGE with file, line and key where there is no such
 * data set or the model does not fit its pictures. */
fs_status fs_dataset_check(const struct fs_config *config, struct fs_data_shape *shape, struct fs_error *error);
/* The same where data that are not there yet will do, if their shape can be told from the keys: *there is false. */
fs_status fs_dataset_plan(const struct fs_config *config, struct fs_data_shape *shape, bool *there,
                          struct fs_error *error);

/* Picture `index` in data scale (8 bits: [−1, 1]) to out [H·W·C], as it lies there. From any thread. */
fs_status fs_dataset_read(const struct fs_dataset *dataset, int64_t index, float *out, struct fs_error *error);
/* The same as row `visit` of a training sees it: mirrored, or with whatever else its source draws at each visit. */
fs_status fs_dataset_visit(const struct fs_dataset *dataset, int64_t index, const struct fs_visit *visit, float *out,
                           struct fs_error *error);
/* Pictures first … first + n − 1 to rows [n, H·W·C]. */
fs_status fs_dataset_rows(const struct fs_dataset *dataset, int64_t first, int64_t n, float *rows,
                          struct fs_error *error);
/* The same as bytes; only of data sets with `pictures`. */
fs_status fs_dataset_bytes(const struct fs_dataset *dataset, int64_t first, int64_t n, uint8_t *bytes,
                           struct fs_error *error);

/* The indices of rows first_row … first_row + rows − 1 of the global batch at `update`, from one permutation of the
 * data set after the other, each a keyed bijection of FS_STREAM_DATA_ORDER, so that any place can be computed without
 * what came before (a resume needs no state). */
void fs_data_order(int64_t count, uint32_t seed, int64_t update, int batch, int first_row, int rows, int64_t *indices);

#endif
