/* Numbers that papers published, from experiments/published.yaml: where each comes from, and whether it was confirmed.
 * A setting of the file is a section of results, whose cells are of the origin "published". */
#ifndef FEWSTEP_PUBLISHED_H
#define FEWSTEP_PUBLISHED_H

#include "harness/results/results.h"
#include "kernels/base/file.h"

#define FS_PUBLISHED_FILE "experiments/published.yaml"

/* Its path: below the working directory, or among the files that come with the program. False where it is in neither.
 */
bool fs_published_file(char path[FS_PATH_ROOM]);

/* Reads the file; every mistake is FS_USAGE with file, line and key. Free with fs_results_free, also after a failure.
 */
fs_status fs_published_read(const char *path, struct fs_results *published, struct fs_error *error);

/* A setting by its name; FS_USAGE names those that there are. */
fs_status fs_published_find(const struct fs_results *published, const char *name,
                            const struct fs_result_section **setting, struct fs_error *error);
/* The setting of the same data set, network and metric; NULL when there is none. */
const struct fs_result_section *fs_published_for(const struct fs_results *published, const struct fs_measure *measure);

#endif
