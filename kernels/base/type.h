/* What a number in memory may be. */
#ifndef FEWSTEP_TYPE_H
#define FEWSTEP_TYPE_H

#include <stddef.h>

enum fs_type { FS_F32, FS_BF16, FS_F64 };

/* In bytes. */
static inline size_t fs_type_size(enum fs_type type)
{
    return type == FS_F64 ? 8 : type == FS_F32 ? 4 : 2;
}

#endif
