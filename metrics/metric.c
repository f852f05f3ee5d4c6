/* The list of metrics. */
#include "metrics/metric.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "kernels/base/random.h"

/* The metrics there are, as messages list them. A new one is a line here. */
/* clang-format off */
#define METRICS(X) \
    X(fs_metric_fd) \
    X(fs_metric_kid) \
    X(fs_metric_is) \
    X(fs_metric_fd_infinity) \
    X(fs_metric_sfd) \
    X(fs_metric_precision) \
    X(fs_metric_recall) \
    X(fs_metric_density) \
    X(fs_metric_coverage) \
    X(fs_metric_spectrum)
/* clang-format on */

#define DECLARATION(metric) extern const struct fs_metric metric;
#define ADDRESS(metric) &(metric),
METRICS(DECLARATION)
static const struct fs_metric *const metrics[] = {METRICS(ADDRESS)};

const struct fs_metric *fs_metric_at(int index)
{
    const int count = sizeof metrics / sizeof *metrics;
    return index >= 0 && index < count ? metrics[index] : NULL;
}

const char *fs_metric_name(int index)
{
    const struct fs_metric *metric = fs_metric_at(index);
    return metric ? metric->name : NULL;
}

const struct fs_metric *fs_metric_find(const char *name)
{
    const struct fs_metric *metric;
    for (int i = 0; (metric = fs_metric_at(i)) != NULL; i++) {
        if (strcmp(metric->name, name) == 0 || (metric->fid_name && strcmp(metric->fid_name, name) == 0)) {
            return metric;
        }
    }
    return NULL;
}

void fs_metric_names(char *text, size_t size)
{
    size_t length = 0;
    text[0] = 0;
    for (int i = 0; fs_metric_at(i) && length < size; i++) {
        length += (size_t)snprintf(text + length, size - length, "%s%s", i ? ", " : "", fs_metric_name(i));
    }
}

bool fs_metric_is_of_pictures(const struct fs_metric *metric)
{
    return metric->needs[FS_OF_SAMPLES] == FS_NEED_PICTURES;
}

fs_status fs_metric_tap(const struct fs_metric *metric, const struct fs_extractor *extractor, int *tap,
                        struct fs_error *error)
{
    char names[256] = "";
    *tap = 0;
    if (!metric->tap) {
        return FS_OK;
    }
    for (int i = 0; i < extractor->tap_count; i++) {
        if (strncmp(extractor->taps[i].name, metric->tap, strlen(metric->tap)) == 0) {
            *tap = i;
            return FS_OK;
        }
        const size_t length = strlen(names);
        snprintf(names + length, sizeof names - length, "%s%s", i ? ", " : "", extractor->taps[i].name);
    }
    return fs_fail(error, FS_USAGE,
                   "evaluate.metrics: %s is made of an extractor's tap '%s', and %s has none (it has: %s): leave the "
                   "metric out, or choose another of evaluate.extractors",
                   metric->name, metric->tap, extractor->name, names);
}

bool fs_metric_warning(const struct fs_metric *metric, int64_t n, int64_t dim, char *text, size_t size)
{
    const int64_t enough = metric->enough(dim);
    if (n >= enough) {
        return false;
    }
    snprintf(text, size, "%s of %" PRId64 " samples (enough: %" PRId64 "): %s",
             metric->family ? metric->family : metric->name, n, enough, metric->bias);
    return true;
}

fs_status fs_evaluate(const struct fs_evaluation *evaluation, struct fs_estimate *estimate,
                      struct fs_metric_curve *curve, struct fs_error *error)
{
    const struct fs_metric *metric = evaluation->metric;
    struct fs_family_estimates *known = evaluation->known;
    struct fs_estimate estimates[FS_METRIC_PARTS_MAX] = {{0}};
    if (curve) {
        *curve = (struct fs_metric_curve){0};
    }
    if (metric->family && known && known->family && strcmp(known->family, metric->family) == 0) {
        *estimate = known->estimates[metric->part];
        return FS_OK;
    }
    FS_TRY(metric->evaluate(evaluation, estimates, curve, error));
    *estimate = estimates[metric->part];
    if (metric->family && known) {
        known->family = metric->family;
        memcpy(known->estimates, estimates, sizeof estimates);
    }
    return FS_OK;
}

bool fs_row_is_chosen(uint32_t seed, int64_t row, int64_t rows, int64_t chosen, int64_t wanted)
{
    const struct fs_random_key key = {.seed = seed, .stream = FS_STREAM_SUBSETS, .step = 2};
    return fs_random_below(key, 0, (uint32_t)row, (uint32_t)(rows - row)) < wanted - chosen;
}
