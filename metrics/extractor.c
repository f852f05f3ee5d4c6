/* The feature extractors there are. */
#include "metrics/extractor.h"

#include <string.h>

#include "metrics/fashion_cnn.h"
#include "metrics/inception.h"
#include "metrics/metric.h"

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

fs_status fs_extractor_open(const char *name, struct fs_backend *backend, struct fs_extractor *extractor,
                            struct fs_error *error)
{
    *extractor = (struct fs_extractor){0};
    for (int i = 0; i < EXTRACTOR_COUNT; i++) {
        if (strcmp(extractors[i].name, name) == 0) {
            return extractors[i].open(backend, extractor, error);
        }
    }
    char names[256] = "";
    for (int i = 0; i < EXTRACTOR_COUNT; i++) {
        strncat(names, i > 0 ? ", " : "", sizeof names - strlen(names) - 1);
        strncat(names, extractors[i].name, sizeof names - strlen(names) - 1);
    }
    return fs_fail(error, FS_USAGE, "unknown feature extractor '%s': there is %s", name, names);
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
