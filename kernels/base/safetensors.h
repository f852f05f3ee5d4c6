/* The safetensors format: 8 bytes of header length, a JSON header, tensors. */
#ifndef FEWSTEP_SAFETENSORS_H
#define FEWSTEP_SAFETENSORS_H

#include <stdint.h>

#include "kernels/base/file.h"
#include "kernels/base/type.h"

#define FS_TENSOR_RANK_MAX 8

struct fs_tensor {
    const char *name;
    enum fs_type type; /* F32, BF16 or F64; other types in a file are refused by name */
    int rank;
    int64_t shape[FS_TENSOR_RANK_MAX];
    const void *data; /* dense, row-major */
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
void fs_tensor_file_free(struct fs_tensor_file *file);
const struct fs_tensor *fs_tensor_find(const struct fs_tensor_file *file, const char *name); /* NULL: not there */
const char *fs_tensor_metadata_find(const struct fs_tensor_file *file, const char *key);     /* NULL: not there */

/* Writes atomically (fs_new_file). The same tensors and metadata give the same bytes. */
fs_status fs_tensor_file_write(const char *path, const struct fs_tensor *tensors, int tensor_count,
                               const struct fs_tensor_metadata *metadata, int metadata_count, struct fs_error *error);
/* The same with a SHA-256 over names and contents in the metadata ("data_sha256"), for files that are kept to save
 * work: where it stands, fs_tensor_file_read compares it, and refuses a file that changed on the disk. */
fs_status fs_tensor_file_write_summed(const char *path, const struct fs_tensor *tensors, int tensor_count,
                                      const struct fs_tensor_metadata *metadata, int metadata_count,
                                      struct fs_error *error);

#endif
