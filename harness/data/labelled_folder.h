/* The pictures in a folder, with their classes and splits. */
#ifndef FEWSTEP_LABELLED_FOLDER_H
#define FEWSTEP_LABELLED_FOLDER_H

#include <stdbool.h>

#include "harness/data/dataset.h"

struct fs_labelled_file {
    const char *path; /* begins with the folder's */
    const char *name; /* behind the folder's: "cats/1.png" */
    int32_t label;    /* 0 where there are no classes */
    enum fs_split split;
};

struct fs_labelled_folder {
    struct fs_labelled_file *files; /* in the order of their paths' bytes */
    int64_t count, split_count[2];  /* by enum fs_split */
    int classes;                    /* 0: some pictures lie in no sub-folder */
    char **paths;                   /* owns them */
};

/* Lists the folder (harness/data/folder.h says which files, and what is refused). A sub-folder is a class, in the order
 * of their names' bytes; what lies deeper belongs to it. Where train and test are the only sub-folders, and hold all
 * pictures, they are the splits, with the classes (of train) below them. Elsewhere a picture is for testing where the
 * beginning of its name's SHA-256, as a number in [0, 1), is below `test_share`: an added picture moves no other one.
 * FS_USAGE too for a class without pictures, or one of test that train does not have. Give back with
 * fs_labelled_folder_free, also after a failure. */
fs_status fs_labelled_folder_list(const char *path, double test_share, struct fs_labelled_folder *folder,
                                  struct fs_error *error);
/* Labels of the split's pictures, in the folder's order; owned by the caller. NULL: no memory. */
int32_t *fs_labelled_folder_labels(const struct fs_labelled_folder *folder, enum fs_split split,
                                   struct fs_error *error);
void fs_labelled_folder_free(struct fs_labelled_folder *folder);

#endif
