/* What a number in memory may be. */
#ifndef FEWSTEP_TYPE_H
#define FEWSTEP_TYPE_H

#include <stddef.h>

/* The last three are how numbers are stored in files: no operation takes them. */
enum fs_type { FS_F32, FS_BF16, FS_F64, FS_F16, FS_I32, FS_U8 };

/* In bytes. */
static inline size_t fs_type_size(enum fs_type type)
{
    return type == FS_F64 ? 8 : type == FS_F32 || type == FS_I32 ? 4 : type == FS_U8 ? 1 : 2;
}

#endif
