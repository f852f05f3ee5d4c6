/* The decoders behind picture.h. */
#ifndef FEWSTEP_DECODERS_H
#define FEWSTEP_DECODERS_H

#include "harness/data/picture.h"

fs_status fs_png_decode(const struct fs_picture_rules *rules, const char *path, const void *bytes, size_t size,
                        struct fs_picture *picture, struct fs_error *error);
fs_status fs_jpeg_decode(const struct fs_picture_rules *rules, const char *path, const void *bytes, size_t size,
                         struct fs_picture *picture, struct fs_error *error);

/* Memory for a picture whose size is set; FS_USAGE when it is too large to be one. */
fs_status fs_picture_allocate(const struct fs_picture_rules *rules, const char *path, struct fs_picture *picture,
                              struct fs_error *error);
/* "PATH: cannot be decoded: WHY: …" */
fs_status fs_picture_refuse(const char *path, const char *why, struct fs_error *error);

#endif
