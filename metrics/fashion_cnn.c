/* fashion-cnn: the committed classifier as a feature extractor. */
#include "metrics/fashion_cnn.h"

#include <stdio.h>
#include <string.h>

#include "kernels/base/hash.h"
#include "metrics/weights_file.h"

fs_status fs_fashion_cnn_find(char path[FS_PATH_ROOM], struct fs_error *error)
{
    return fs_weights_file_find("fashion-cnn", "fashion-cnn.safetensors",
                                "set FEWSTEP_DATA to the source tree's metrics folder", path, error);
}

fs_status fs_fashion_cnn_open(struct fs_backend *backend, struct fs_extractor *extractor, struct fs_error *error)
{
    char path[FS_PATH_ROOM], sha256[65];
    *extractor = (struct fs_extractor){0};
    FS_TRY(fs_fashion_cnn_find(path, error));
    FS_TRY(fs_sha256_file(path, sha256, error));
    if (strcmp(sha256, FS_FASHION_CNN_SHA256) != 0) {
        return fs_fail(error, FS_USAGE,
                       "%s: its SHA-256 is %s, not the %s that scores are made with: restore it from the repository",
                       path, sha256, FS_FASHION_CNN_SHA256);
    }
    FS_TRY(fs_classifier_open(backend, path, extractor, error));
    snprintf(extractor->label, sizeof extractor->label, "fashion-cnn"); /* there is only one */
    return FS_OK;
}
