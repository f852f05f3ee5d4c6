/* NumPy's .npy arrays: read f4, f8, u1, i4, i8 in either byte order and C or Fortran order; write f4, i4, u1. */
#ifndef FEWSTEP_NPY_H
#define FEWSTEP_NPY_H

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

#endif
