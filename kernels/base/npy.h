/* NumPy's .npy arrays: read f4, f8, u1, i4, i8 in either byte order and C or Fortran order; write f4, i4, u1. */
#ifndef FEWSTEP_NPY_H
#define FEWSTEP_NPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/error.h"

enum fs_array_type { FS_ARRAY_F32, FS_ARRAY_F64, FS_ARRAY_U8, FS_ARRAY_I32, FS_ARRAY_I64 };

struct fs_array {
    enum fs_array_type type;
    int rank;
    int64_t shape[8];
    void *data; /* native byte order, C order; owned, free() */
};

/* From a file, or from memory that holds one (a member of an .npz). FS_USAGE with `path` for anything that is wrong. */
fs_status fs_npy_read(const char *path, struct fs_array *array, struct fs_error *error);
fs_status fs_npy_parse(const char *path, const void *bytes, size_t size, struct fs_array *array,
                       struct fs_error *error);
fs_status fs_npy_write(const char *path, const struct fs_array *array, struct fs_error *error); /* atomically */

/* --- in parts, for arrays that are read or written in pieces --- */

struct fs_npy_header {
    enum fs_array_type type;
    bool swapped, fortran; /* big-endian; the first index runs fastest */
    int rank;
    int64_t shape[8];
    int64_t count, data_bytes; /* of the elements */
    size_t data_begin;         /* bytes before the first element */
};

/* From the first `size` bytes of a file, or fewer than all where the header fits. FS_USAGE as above. */
fs_status fs_npy_parse_header(const char *path, const void *bytes, size_t size, struct fs_npy_header *header,
                              struct fs_error *error);
/* FS_USAGE unless a file of `size` bytes is just as long as its header says. */
fs_status fs_npy_check_size(const char *path, const struct fs_npy_header *header, uint64_t size,
                            struct fs_error *error);
/* The elements as they lie in the file to native byte order and C order. */
void fs_npy_elements(const struct fs_npy_header *header, const void *bytes, void *elements);
/* Type and shape; no data. */
void fs_npy_describe(const struct fs_npy_header *header, struct fs_array *array);

/* What NumPy would write before the elements; its length. */
#define FS_NPY_WRITTEN_MAX 384
size_t fs_npy_make_header(const struct fs_array *array, char header[FS_NPY_WRITTEN_MAX]);
size_t fs_npy_data_bytes(const struct fs_array *array);

#endif
