/* The feature extractors there are. */
#include "metrics/extractor.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kernels/base/hash.h"
#include "metrics/classifier.h"
#include "metrics/fashion_cnn.h"
#include "metrics/inception.h"
#include "metrics/metric.h"
#include "metrics/weights_file.h"

static const struct {
    const char *name;
    fs_status (*open)(struct fs_backend *backend, struct fs_extractor *extractor, struct fs_error *error);
} extractors[] = {
    {"fashion-cnn", fs_fashion_cnn_open},
    {"inception-v3", fs_inception_open},
};

#define EXTRACTOR_COUNT ((int)(sizeof extractors / sizeof *extractors))

const char *fs_extractor_name(int index)
{
    return index >= 0 && index < EXTRACTOR_COUNT ? extractors[index].name : NULL;
}

/* Another device, or the same that multiplies in another way, makes other features. */
static void name_device(const struct fs_backend *backend, char device[32])
{
    char text[1024], sha256[65];
    if (fs_cpu_threads(backend) > 0) {
        snprintf(device, 32, "%s", backend->name);
        return;
    }
    snprintf(text, sizeof text, "%s; %s", backend->variant, backend->choices ? backend->choices : "");
    fs_sha256(text, strlen(text), sha256);
    snprintf(device, 32, "%.16s-%.8s", backend->name, sha256);
}

/* Its place in the list; −1, with the error filled, for another name. */
static int index_of(const char *name, struct fs_error *error)
{
    char names[256] = "";
    for (int i = 0; i < EXTRACTOR_COUNT; i++) {
        if (strcmp(extractors[i].name, name) == 0) {
            return i;
        }
        strncat(names, i > 0 ? ", " : "", sizeof names - strlen(names) - 1);
        strncat(names, extractors[i].name, sizeof names - strlen(names) - 1);
    }
    fs_fail(error, FS_USAGE, "unknown feature extractor '%s': there is %s, and NAME" FS_EXTRACTOR_ENDING, name, names);
    return -1;
}

fs_status fs_extractor_check_name(const char *name, struct fs_error *error)
{
    if (fs_ends_with(name, FS_EXTRACTOR_ENDING)) {
        return FS_OK;
    }
    return index_of(name, error) < 0 ? FS_USAGE : FS_OK;
}

/* The file as it is named, or where the weights of the others are looked for. */
static fs_status open_file(const char *name, struct fs_backend *backend, struct fs_extractor *extractor,
                           struct fs_error *error)
{
    char path[FS_PATH_ROOM];
    FS_TRY(fs_path(path, error, "%s", name));
    if (access(path, R_OK) != 0) {
        FS_TRY(fs_weights_file_find("extractor", name, "`fewstep extractor` makes one", path, error));
    }
    return fs_classifier_open(backend, path, extractor, error);
}

fs_status fs_extractor_open(const char *name, struct fs_backend *backend, struct fs_extractor *extractor,
                            struct fs_error *error)
{
    *extractor = (struct fs_extractor){0};
    if (fs_ends_with(name, FS_EXTRACTOR_ENDING)) {
        FS_TRY(open_file(name, backend, extractor, error));
    } else {
        const int index = index_of(name, error);
        FS_TRY(index < 0 ? FS_USAGE : extractors[index].open(backend, extractor, error));
    }
    name_device(backend, extractor->device);
    return FS_OK;
}

void fs_extractor_set_resize(struct fs_extractor *extractor, enum fs_resize mode)
{
    extractor->resize = extractor->side > 0 ? FS_RESIZE_NONE : mode;
}

const char *fs_extractor_metric(const struct fs_extractor *extractor, const char *metric)
{
    const struct fs_metric *known = fs_metric_find(metric);
    return extractor->fid && known && known->fid_name ? known->fid_name : metric;
}

void fs_extractor_close(struct fs_extractor *extractor)
{
    if (extractor->destroy) {
        extractor->destroy(extractor);
    }
}
