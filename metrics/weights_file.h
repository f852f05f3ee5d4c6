/* Where the weights of extractors lie. */
#ifndef FEWSTEP_WEIGHTS_FILE_H
#define FEWSTEP_WEIGHTS_FILE_H

#include "kernels/base/file.h"

/* The path of the file `name` in the first of: the folder in the environment variable FEWSTEP_DATA, metrics/ below the
 * working directory, metrics/ where the program's files are (fs_program_file). FS_USAGE, "extractor: name is neither …
 * nor …: remedy", when it is in none of them. */
fs_status fs_weights_file_find(const char *extractor, const char *name, const char *remedy, char path[FS_PATH_ROOM],
                               struct fs_error *error);

#endif
