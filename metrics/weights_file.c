/* Where the weights of extractors lie. */
#include "metrics/weights_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The folder of the running program, or "." where the system does not say. */
static void program_folder(char folder[1024])
{
    const ssize_t length = readlink("/proc/self/exe", folder, 1023);
    folder[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash) {
        *slash = '\0';
    } else {
        strcpy(folder, ".");
    }
}

fs_status fs_weights_file_find(const char *extractor, const char *name, const char *remedy, char path[1024],
                               struct fs_error *error)
{
    char folder[1024];
    const char *data = getenv("FEWSTEP_DATA");
    if (data && snprintf(path, 1024, "%s/%s", data, name) < 1024 && access(path, R_OK) == 0) {
        return FS_OK;
    }
    if (snprintf(path, 1024, "metrics/%s", name) < 1024 && access(path, R_OK) == 0) {
        return FS_OK;
    }
    program_folder(folder);
    if (snprintf(path, 1024, "%s/../metrics/%s", folder, name) < 1024 && access(path, R_OK) == 0) {
        return FS_OK;
    }
    return fs_fail(error, FS_USAGE, "%s: %s is neither in $FEWSTEP_DATA nor in metrics/ here nor in %s/../metrics: %s",
                   extractor, name, folder, remedy);
}
