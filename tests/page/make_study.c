/* Writes the made-up database of tests/support/study.h and its samples into a folder: make_study FOLDER. */
#include <stdio.h>

#include "kernels/base/file.h"
#include "tests/support/study.h"

int main(int argc, char **argv)
{
    struct fs_error error;
    char database[1024], samples[1024];

    if (argc != 2) {
        fprintf(stderr, "usage: make_study FOLDER\n");
        return FS_USAGE;
    }
    snprintf(database, sizeof(database), "%s/fewstep.db", argv[1]);
    snprintf(samples, sizeof(samples), "%s/samples", argv[1]);
    remove(database);
    if (fs_make_folder(argv[1], &error) != FS_OK || test_study_make(database, samples, &error) != FS_OK) {
        fprintf(stderr, "make_study: %s\n", error.text);
        return FS_FAILED;
    }
    return FS_OK;
}
