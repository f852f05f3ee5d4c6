/* Where the weights of extractors lie. */
#include "metrics/weights_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "kernels/base/file.h"

fs_status fs_weights_file_find(const char *extractor, const char *name, const char *remedy, char path[FS_PATH_ROOM],
                               struct fs_error *error)
{
    char file[FS_PATH_ROOM];
    const char *data = getenv("FEWSTEP_DATA");
    if (data && fs_path(path, error, "%s/%s", data, name) == FS_OK && access(path, R_OK) == 0) {
        return FS_OK;
    }
    if (fs_path(path, error, "metrics/%s", name) == FS_OK && access(path, R_OK) == 0) {
        return FS_OK;
    }
    FS_TRY(fs_path(file, error, "metrics/%s", name));
    if (fs_program_file(file, path)) {
        return FS_OK;
    }
    fs_program_folder(file);
    return fs_fail(
        error, FS_USAGE,
        "%s: %s is neither in $FEWSTEP_DATA nor in metrics/ here nor in %s/../metrics or ../share/fewstep/metrics: "
        "%s",
        extractor, name, file, remedy);
}
