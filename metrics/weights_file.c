/* Where the weights of extractors lie. */
#include "metrics/weights_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "kernels/base/file.h"

fs_status fs_weights_file_find(const char *extractor, const char *name, const char *remedy, char path[FS_PATH_ROOM],
                               struct fs_error *error)
{
    char folder[FS_PATH_ROOM];
    const char *data = getenv("FEWSTEP_DATA");
    if (data && fs_path(path, error, "%s/%s", data, name) == FS_OK && access(path, R_OK) == 0) {
        return FS_OK;
    }
    if (fs_path(path, error, "metrics/%s", name) == FS_OK && access(path, R_OK) == 0) {
        return FS_OK;
    }
    fs_program_folder(folder);
    if (fs_path(path, error, "%s/../metrics/%s", folder, name) == FS_OK && access(path, R_OK) == 0) {
        return FS_OK;
    }
    return fs_fail(error, FS_USAGE, "%s: %s is neither in $FEWSTEP_DATA nor in metrics/ here nor in %s/../metrics: %s",
                   extractor, name, folder, remedy);
}
