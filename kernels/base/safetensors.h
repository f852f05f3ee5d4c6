/* The safetensors format: 8 bytes of header length, a JSON header, tensors. */
#ifndef FEWSTEP_SAFETENSORS_H
#define FEWSTEP_SAFETENSORS_H

#include <stdint.h>

#include "kernels/base/file.h"
#include "kernels/base/type.h"

#define FS_TENSOR_RANK_MAX 8

struct fs_tensor {
    const char *name;
    enum fs_type type; /* other types in a file are refused by name */
    int rank;
    int64_t shape[FS_TENSOR_RANK_MAX];
    const void *data; /* dense, row-major */
    int64_t begin;    /* of its bytes in the file that it was read from, or is laid out for */
};

struct fs_tensor_metadata {
    const char *key, *value;
};

/* A file in memory. Names, metadata and data belong to it. */
struct fs_tensor_file {
    struct fs_tensor *tensors;
    int tensor_count;
    struct fs_tensor_metadata *metadata;
    int metadata_count;
    void *owner;
};

/* Reads and checks everything: header length, JSON, types, shapes, offsets inside the file, without holes or overlaps.
 * FS_USAGE, naming path and tensor, for a file that is truncated or lies. */
fs_status fs_tensor_file_read(const char *path, struct fs_tensor_file *file, struct fs_error *error);
/* The same of an open file, whatever its name is now, without the tensors' contents: their `data` are NULL, and the
 * caller reads what it wants at `begin`. A sum is not compared. */
fs_status fs_tensor_file_describe(const char *path, int fd, struct fs_tensor_file *file, struct fs_error *error);
void fs_tensor_file_free(struct fs_tensor_file *file);
const struct fs_tensor *fs_tensor_find(const struct fs_tensor_file *file, const char *name); /* NULL: not there */
const char *fs_tensor_metadata_find(const struct fs_tensor_file *file, const char *key);     /* NULL: not there */

/* Writes atomically (fs_new_file). The same tensors and metadata give the same bytes. */
fs_status fs_tensor_file_write(const char *path, const struct fs_tensor *tensors, int tensor_count,
                               const struct fs_tensor_metadata *metadata, int metadata_count, struct fs_error *error);
/* The same with contents that are made as they are written: `contents(owner, i)` gives those of tensors[i], whose data
 * may be NULL, and may overwrite them when it is called again. `sha256` receives the hash of the whole file, *size its
 * bytes. */
fs_status fs_tensor_file_write_made(const char *path, const struct fs_tensor *tensors, int tensor_count,
                                    const struct fs_tensor_metadata *metadata, int metadata_count,
                                    const void *(*contents)(void *owner, int i), void *owner, char sha256[65],
                                    int64_t *size, struct fs_error *error);
/* fs_tensor_file_write with a SHA-256 over names and contents in the metadata ("data_sha256"), for files that are kept
 * to save work: where it stands, fs_tensor_file_read compares it, and refuses a file that changed on the disk. */
fs_status fs_tensor_file_write_summed(const char *path, const struct fs_tensor *tensors, int tensor_count,
                                      const struct fs_tensor_metadata *metadata, int metadata_count,
                                      struct fs_error *error);

/* --- files that are written in pieces --- */

/* Fills `begin` of each tensor, whose data may be NULL, and makes all that stands before the first: the length and the
 * header, *size bytes, owned by the caller. The header names the sum that fs_tensor_file_write_summed would have
 * written; NULL: room for it, so that it can be filled in when the contents are there. */
fs_status fs_tensor_file_layout(const char *path, struct fs_tensor *tensors, int tensor_count,
                                const struct fs_tensor_metadata *metadata, int metadata_count, const char *sum,
                                char **header, size_t *size, struct fs_error *error);
/* The sum of tensors whose contents lie in `fd` at `begin`. */
fs_status fs_tensor_file_sum(const char *path, int fd, const struct fs_tensor *tensors, int tensor_count, char sum[65],
                             struct fs_error *error);
#define FS_TENSOR_SUM_KEY "data_sha256" /* in the metadata */

#endif
