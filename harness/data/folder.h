/* The pictures in a folder. */
#ifndef FEWSTEP_FOLDER_H
#define FEWSTEP_FOLDER_H

#include <stdint.h>

#include "kernels/base/error.h"

/* Paths of all files below `folder` whose names end in .png, .jpg or .jpeg (in any case), sorted by their bytes; hidden
 * files and folders are left out, links followed. Free with fs_folder_free. FS_USAGE when the folder cannot be read, is
 * nested more than 16 deep (a link to itself), holds no picture, or one that would be left out for its format or its
 * name, or something that is no ordinary file and named like a picture. */
fs_status fs_folder_pictures(const char *folder, char ***paths, int64_t *count, struct fs_error *error);
void fs_folder_free(char **paths, int64_t count);

#endif
