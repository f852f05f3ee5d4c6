/* References: statistics and features of pictures, and sums over them, each in a file of its own. */
#include "harness/sample/reference.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/sample/reference_pass.h"
#include "kernels/base/memory.h"
#include "metrics/frechet.h"
#include "metrics/gaussian.h"

/* --- files --- */

/* Where the parts of a reference are kept. */
struct place {
    const char *cache;
    const struct fs_extractor *extractor;
    const struct fs_dataset *pictures;
};

/* Features are not the same bits on another device; the CPU's files have had their names from the beginning. Owned by
 * the caller, like those of the next three. */
static char *path_of(const struct place *place, const char *dash, const char *tap, const char *ending,
                     struct fs_error *error)
{
    const struct fs_extractor *extractor = place->extractor;
    const bool cpu = strcmp(extractor->device, "cpu") == 0;
    return fs_format(error, "%s/%.16s-%.16s-%s%s%s%s%s%s.safetensors", place->cache, place->pictures->sha256,
                     extractor->sha256, fs_resize_name((int)extractor->resize), cpu ? "" : "-",
                     cpu ? "" : extractor->device, dash, tap, ending);
}

static char *moments_path(const struct place *place, int tap, struct fs_error *error)
{
    return path_of(place, tap > 0 ? "-" : "", tap > 0 ? place->extractor->taps[tap].name : "", "", error);
}

static char *features_path(const struct place *place, int tap, struct fs_error *error)
{
    return path_of(place, tap > 0 ? "-" : "", tap > 0 ? place->extractor->taps[tap].name : "", "-features", error);
}

static char *summary_path(const struct place *place, const struct fs_picture_sums *kind, struct fs_error *error)
{
    return fs_format(error, "%s/%.16s-%s.safetensors", place->cache, place->pictures->sha256, kind->name);
}

static fs_status refuse(const char *path, struct fs_error *error)
{
    return fs_fail(error, FS_USAGE, "%s: not the statistics that this extractor needs: remove the file", path);
}

static fs_status write_moments(const struct fs_moments *moments, const char *path, struct fs_error *error)
{
    const int64_t dim = moments->dim;
    const struct fs_tensor tensors[] = {
        {.name = "mean", .type = FS_F64, .rank = 1, .shape = {dim}, .data = moments->mean},
        {.name = "root", .type = FS_F64, .rank = 2, .shape = {dim, dim}, .data = moments->root},
        {.name = "trace", .type = FS_F64, .rank = 1, .shape = {1}, .data = &moments->trace},
    };
    return fs_tensor_file_write_summed(path, tensors, 3, NULL, 0, error);
}

static fs_status read_moments(struct fs_moments *moments, const char *path, struct fs_error *error)
{
    struct fs_tensor_file file;
    FS_TRY(fs_tensor_file_read(path, &file, error));
    const struct fs_tensor *mean = fs_tensor_find(&file, "mean"), *root = fs_tensor_find(&file, "root"),
                           *trace = fs_tensor_find(&file, "trace");
    const int64_t dim = moments->dim;
    fs_status status = FS_OK;
    if (!mean || !root || !trace || mean->type != FS_F64 || root->type != FS_F64 || trace->type != FS_F64 ||
        mean->rank != 1 || mean->shape[0] != dim || root->rank != 2 || root->shape[0] != dim || root->shape[1] != dim ||
        trace->rank != 1 || trace->shape[0] != 1) {
        status = refuse(path, error);
    } else {
        memcpy(moments->mean, mean->data, (size_t)dim * sizeof(double));
        memcpy(moments->root, root->data, (size_t)(dim * dim) * sizeof(double));
        memcpy(&moments->trace, trace->data, sizeof(double));
    }
    fs_tensor_file_free(&file);
    return status;
}

static fs_status write_features(const struct fs_reference_pass *pass, int tap, const char *path, struct fs_error *error)
{
    const struct fs_tensor features = {.name = "features",
                                       .type = FS_F32,
                                       .rank = 2,
                                       .shape = {pass->chosen, pass->extractor->taps[tap].dim},
                                       .data = pass->features[tap]};
    return fs_tensor_file_write_summed(path, &features, 1, NULL, 0, error);
}

static fs_status read_features(struct fs_reference_tap *tap, const char *path, struct fs_error *error)
{
    FS_TRY(fs_tensor_file_read(path, &tap->file, error));
    const struct fs_tensor *features = fs_tensor_find(&tap->file, "features");
    if (!features || features->type != FS_F32 || features->rank != 2 || features->shape[1] != tap->dim ||
        features->shape[0] < 1) {
        return refuse(path, error);
    }
    tap->features = features->data;
    tap->count = features->shape[0];
    return FS_OK;
}

static fs_status write_summary(const struct fs_picture_sums *kind, const double *summary, int64_t count,
                               const char *path, struct fs_error *error)
{
    const struct fs_tensor tensor = {
        .name = kind->summary, .type = FS_F64, .rank = 1, .shape = {count}, .data = summary};
    return fs_tensor_file_write_summed(path, &tensor, 1, NULL, 0, error);
}

static fs_status read_summary(const struct fs_picture_sums *kind, double *summary, int64_t count, const char *path,
                              struct fs_error *error)
{
    struct fs_tensor_file file;
    FS_TRY(fs_tensor_file_read(path, &file, error));
    const struct fs_tensor *tensor = fs_tensor_find(&file, kind->summary);
    fs_status status = FS_OK;
    if (!tensor || tensor->type != FS_F64 || tensor->rank != 1 || tensor->shape[0] != count) {
        status = refuse(path, error);
    } else {
        memcpy(summary, tensor->data, (size_t)count * sizeof(double));
    }
    fs_tensor_file_free(&file);
    return status;
}

/* --- what is needed, and what of it is missing --- */

/* The parts of a reference, each with the file that it is kept in; NULL: not needed. */
struct parts {
    char *moments[FS_TAPS_MAX], *features[FS_TAPS_MAX], *summaries[FS_PICTURE_SUMS_MAX], *unfinished;
    const char *suffixes[FS_TAPS_MAX]; /* behind the names of a tap's published statistics; NULL: none */
    const char *folder, *statistics;   /* the .npz that moments are taken from; NULL: there are pictures */
};

static void free_parts(struct parts *parts)
{
    for (int t = 0; t < FS_TAPS_MAX; t++) {
        free(parts->moments[t]);
        free(parts->features[t]);
    }
    for (int i = 0; i < FS_PICTURE_SUMS_MAX; i++) {
        free(parts->summaries[i]);
    }
    free(parts->unfinished);
}

static fs_status need(const struct place *place, const struct fs_metric *metric, struct fs_reference *reference,
                      struct parts *parts, struct fs_error *error)
{
    const unsigned needs = metric->needs[FS_OF_REFERENCE];
    int tap;
    if (needs & FS_NEED_PICTURES) {
        fs_picture_sums_want(&reference->sums, metric->sums);
    }
    if (fs_metric_is_of_pictures(metric)) {
        return FS_OK;
    }
    FS_TRY(fs_metric_tap(metric, place->extractor, &tap, error));
    parts->suffixes[tap] = metric->published_suffix ? metric->published_suffix : parts->suffixes[tap];
    if (needs & FS_NEED_MOMENTS && !parts->moments[tap]) {
        parts->moments[tap] = moments_path(place, tap, error);
        FS_TRY(parts->moments[tap] ? FS_OK : FS_FAILED);
    }
    if (needs & FS_NEED_FEATURES && !parts->features[tap]) {
        parts->features[tap] = features_path(place, tap, error);
        FS_TRY(parts->features[tap] ? FS_OK : FS_FAILED);
    }
    return FS_OK;
}

static fs_status list_parts(const struct place *place, const struct fs_evaluate_config *evaluate,
                            struct fs_reference *reference, struct parts *parts, struct fs_error *error)
{
    parts->unfinished = path_of(place, "", "", "-unfinished", error);
    parts->moments[0] = moments_path(place, 0, error);
    FS_TRY(parts->unfinished && parts->moments[0] ? FS_OK : FS_FAILED);
    for (int i = 0; i < evaluate->metric_count; i++) {
        FS_TRY(need(place, fs_metric_find(evaluate->metrics[i]), reference, parts, error));
    }
    for (int i = 0; i < reference->sums.count; i++) {
        parts->summaries[i] = summary_path(place, reference->sums.kinds[i], error);
        FS_TRY(parts->summaries[i] ? FS_OK : FS_FAILED);
    }
    return FS_OK;
}

static bool is_missing(const char *path)
{
    return path && access(path, R_OK) != 0;
}

/* Whether there is anything to compute. */
static bool list_missing(const struct parts *parts, const struct fs_reference *reference,
                         struct fs_reference_pass *pass)
{
    bool any = false;
    for (int t = 0; t < FS_TAPS_MAX; t++) {
        pass->moments_missing[t] = is_missing(parts->moments[t]);
        pass->features_missing[t] = is_missing(parts->features[t]);
        any |= pass->moments_missing[t] || pass->features_missing[t];
    }
    for (int i = 0; i < reference->sums.count; i++) {
        if (is_missing(parts->summaries[i])) {
            fs_picture_sums_want(&pass->sums, reference->sums.kinds[i]);
        }
    }
    return any || pass->sums.count > 0;
}

/* --- a pass --- */

static int64_t summary_count(const struct fs_dataset *pictures, const struct fs_picture_sums *kind)
{
    const struct fs_picture_shape shape = {pictures->shape.height, pictures->shape.width, pictures->shape.channels};
    return kind->summary_count(&shape);
}

/* Keeps what was computed. */
static fs_status finish(struct fs_reference_pass *pass, struct fs_reference *reference, const struct parts *parts,
                        struct fs_error *error)
{
    const double offset = pass->extractor->resize == FS_RESIZE_AUTHORS ? FS_AUTHORS_OFFSET : 0;
    for (int t = 0; t < FS_TAPS_MAX; t++) {
        if (pass->moments_missing[t]) {
            FS_TRY(fs_moments_fill(&reference->taps[t].moments, &pass->statistics[t], offset, error));
            FS_TRY(write_moments(&reference->taps[t].moments, parts->moments[t], error));
        }
    }
    for (int t = 0; t < FS_TAPS_MAX; t++) {
        if (pass->features_missing[t]) {
            FS_TRY(write_features(pass, t, parts->features[t], error));
        }
    }
    for (int i = 0; i < reference->sums.count; i++) {
        const struct fs_picture_sums *kind = reference->sums.kinds[i];
        const void *sums = fs_picture_sums_of(&pass->sums, kind);
        if (sums) {
            kind->summarise(sums, reference->summaries[i]);
            FS_TRY(write_summary(kind, reference->summaries[i], summary_count(pass->pictures, kind),
                                 parts->summaries[i], error));
        }
    }
    return FS_OK;
}

static fs_status compute(struct fs_reference_pass *pass, struct fs_reference *reference, const struct parts *parts,
                         const struct fs_reference_watch *watch, struct fs_error *error)
{
    if (!pass->pictures->source) {
        return fs_fail(
            error, FS_USAGE,
            "%s: the statistics of the pictures that %s needs are not all there, and the pictures are not at "
            "hand: the same `fewstep encode` command with --extractor %s --resize %s adds them",
            parts->folder, pass->extractor->label, pass->extractor->name, fs_resize_name((int)pass->extractor->resize));
    }
    fs_status status = fs_reference_pass_open(pass, parts->unfinished, error);
    if (status == FS_OK) {
        status = fs_reference_pass_run(pass, parts->unfinished, watch, error);
    }
    if (status == FS_OK) {
        status = finish(pass, reference, parts, error);
    }
    if (status == FS_OK) {
        unlink(parts->unfinished);
    }
    return status;
}

/* --- published statistics --- */

/* They must be of the extractor's features: so they say, or as many there are. */
static fs_status take_published(const struct place *place, const struct parts *parts, int tap,
                                struct fs_moments *moments, struct fs_error *error)
{
    const struct fs_extractor *extractor = place->extractor;
    const double offset = extractor->resize == FS_RESIZE_AUTHORS ? FS_AUTHORS_OFFSET : 0;
    struct fs_gaussian_origin wanted;
    struct fs_gaussian published;
    fs_gaussian_origin_of(extractor, tap, 0, &wanted);
    fs_status status =
        fs_gaussian_read(parts->statistics, parts->suffixes[tap] ? parts->suffixes[tap] : "", &published, error);
    if (status == FS_OK) {
        status = fs_gaussian_origins_agree(parts->statistics, &published.origin, "evaluate.extractors", &wanted, error);
    }
    if (status == FS_OK && published.dim != moments->dim) {
        status = fs_fail(error, FS_USAGE,
                         "%s: statistics of %lld features, and tap %s of %s has %lld: another extractor's, which "
                         "cannot be compared",
                         parts->statistics, (long long)published.dim, extractor->taps[tap].name, extractor->name,
                         (long long)moments->dim);
    }
    if (status == FS_OK) {
        memcpy(moments->mean, published.mean, (size_t)moments->dim * sizeof(double));
        status = fs_moments_root(moments, published.covariance, offset, error);
    }
    fs_gaussian_free(&published);
    return status == FS_OK ? write_moments(moments, parts->moments[tap], error) : status;
}

static fs_status take_all_published(const struct place *place, const struct parts *parts,
                                    const struct fs_reference_pass *pass, struct fs_reference *reference,
                                    struct fs_error *error)
{
    for (int t = 0; t < FS_TAPS_MAX; t++) {
        if (pass->moments_missing[t]) {
            FS_TRY(take_published(place, parts, t, &reference->taps[t].moments, error));
        }
    }
    return FS_OK;
}

/* --- the whole --- */

static fs_status allocate(const struct place *place, const struct parts *parts, struct fs_reference *reference,
                          struct fs_error *error)
{
    for (int t = 0; t < place->extractor->tap_count; t++) {
        reference->taps[t].dim = place->extractor->taps[t].dim;
        if (parts->moments[t]) {
            FS_TRY(fs_moments_create(place->extractor->taps[t].dim, &reference->taps[t].moments, error));
        }
    }
    for (int i = 0; i < reference->sums.count; i++) {
        const int64_t count = summary_count(place->pictures, reference->sums.kinds[i]);
        reference->summaries[i] = fs_allocate((size_t)count, sizeof(double), reference->sums.kinds[i]->name, error);
        FS_TRY(reference->summaries[i] ? FS_OK : FS_FAILED);
    }
    return FS_OK;
}

static fs_status read_parts(const struct place *place, const struct parts *parts, const struct fs_reference_pass *pass,
                            struct fs_reference *reference, struct fs_error *error)
{
    for (int t = 0; t < FS_TAPS_MAX; t++) {
        struct fs_reference_tap *tap = &reference->taps[t];
        if (parts->moments[t] && !pass->moments_missing[t]) {
            FS_TRY(read_moments(&tap->moments, parts->moments[t], error));
        }
        if (parts->features[t]) { /* also after a pass: those of a first and a later call are the same memory's */
            FS_TRY(read_features(tap, parts->features[t], error));
        }
    }
    for (int i = 0; i < reference->sums.count; i++) {
        const struct fs_picture_sums *kind = reference->sums.kinds[i];
        if (!fs_picture_sums_of(&pass->sums, kind)) {
            FS_TRY(read_summary(kind, reference->summaries[i], summary_count(place->pictures, kind),
                                parts->summaries[i], error));
        }
    }
    return FS_OK;
}

static fs_status open_parts(const struct place *place, const struct parts *parts, struct fs_reference_pass *pass,
                            struct fs_reference *reference, const struct fs_reference_watch *watch,
                            struct fs_error *error)
{
    FS_TRY(allocate(place, parts, reference, error));
    if (list_missing(parts, reference, pass)) {
        FS_TRY(parts->statistics ? take_all_published(place, parts, pass, reference, error)
                                 : compute(pass, reference, parts, watch, error));
    }
    return read_parts(place, parts, pass, reference, error);
}

fs_status fs_reference_open(struct fs_reference *reference, const struct fs_evaluate_config *evaluate,
                            struct fs_extractor *extractor, const struct fs_reference_source *source, const char *cache,
                            const struct fs_reference_watch *watch, struct fs_error *error)
{
    const struct place place = {cache, extractor, &source->pictures};
    struct fs_reference_pass pass = {.pictures = &source->pictures, .extractor = extractor};
    struct parts parts = {.folder = cache, .statistics = source->statistics};
    *reference = (struct fs_reference){0};
    fs_status status = fs_make_folder(cache, error);
    if (status == FS_OK) {
        status = list_parts(&place, evaluate, reference, &parts, error);
    }
    if (status == FS_OK) {
        status = open_parts(&place, &parts, &pass, reference, watch, error);
    }
    fs_reference_pass_close(&pass);
    free_parts(&parts);
    if (status != FS_OK) {
        fs_reference_close(reference);
    }
    return status;
}

void fs_reference_close(struct fs_reference *reference)
{
    for (int t = 0; t < FS_TAPS_MAX; t++) {
        fs_moments_free(&reference->taps[t].moments);
        if (reference->taps[t].file.owner) {
            fs_tensor_file_free(&reference->taps[t].file);
        }
    }
    for (int i = 0; i < FS_PICTURE_SUMS_MAX; i++) {
        free(reference->summaries[i]);
    }
    *reference = (struct fs_reference){0};
}

struct fs_metric_side fs_reference_side(const struct fs_reference *reference, const struct fs_metric *metric, int tap)
{
    const struct fs_reference_tap *of = &reference->taps[tap];
    struct fs_metric_side side = {.n = of->count, .dim = of->dim, .features = of->features, .moments = &of->moments};
    for (int i = 0; i < reference->sums.count; i++) {
        if (reference->sums.kinds[i] == metric->sums) {
            side.summary = reference->summaries[i];
        }
    }
    return side;
}
