/* Where the weights of extractors lie. */
#include "metrics/weights_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "kernels/base/file.h"

fs_status fs_weights_file_find(const char *extractor, const char *name, const char *remedy, char path[1024],
                               struct fs_error *error)
{
    char folder[FS_PATH_ROOM];
    const char *data = getenv("FEWSTEP_DATA");
    if (data && snprintf(path, 1024, "%s/%s", data, name) < 1024 && access(path, R_OK) == 0) {
        return FS_OK;
    }
    if (snprintf(path, 1024, "metrics/%s", name) < 1024 && access(path, R_OK) == 0) {
        return FS_OK;
    }
    fs_program_folder(folder);
    if (snprintf(path, 1024, "%s/../metrics/%s", folder, name) < 1024 && access(path, R_OK) == 0) {
        return FS_OK;
    }
    return fs_fail(error, FS_USAGE, "%s: %s is neither in $FEWSTEP_DATA nor in metrics/ here nor in %s/../metrics: %s",
                   extractor, name, folder, remedy);
}
