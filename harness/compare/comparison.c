/* Two sides brought together. */
#include "harness/compare/comparison.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/run/session.h"
#include "kernels/base/memory.h"
#include "metrics/frechet.h"

/* --- what is needed of whom --- */

/* Whether a metric takes mean and covariance of a side in place of its pictures. */
static bool takes_published(const struct fs_comparison *c, int side, int m)
{
    const struct fs_metric *metric = c->request->metrics[m];
    const bool suffice = side == FS_OF_SAMPLES ? metric->moments_suffice : metric->needs[side] == FS_NEED_MOMENTS;
    return suffice && c->contents[side].moments[m];
}

static bool takes_pictures(const struct fs_comparison *c, int side, int m)
{
    return c->request->metrics[m]->needs[side] != 0 && !takes_published(c, side, m);
}

/* Whether any metric takes pictures of a side, and in *extractor whether features of them. */
static fs_status look_at_side(struct fs_comparison *c, int side, bool *pictures, bool *extractor,
                              struct fs_error *error)
{
    const struct fs_comparison_request *request = c->request;
    FS_TRY(fs_side_look(request->sources[side], request->metrics, request->count, &c->contents[side], error));
    for (int m = 0; m < request->count; m++) {
        const struct fs_metric *metric = request->metrics[m];
        if (!takes_pictures(c, side, m)) {
            continue;
        }
        if (!c->contents[side].pictures) {
            return fs_fail(error, FS_USAGE, "%s: statistics give a Fréchet distance only: %s needs pictures",
                           request->sources[side], metric->name);
        }
        *pictures = true;
        *extractor = *extractor || !fs_metric_is_of_pictures(metric);
    }
    return FS_OK;
}

/* --- what the features are of --- */

/* Statistics may say which extractor the pictures must go through. */
static fs_status open_extractor(struct fs_comparison *c, struct fs_error *error)
{
    const struct fs_side *opened[FS_SIDES];
    struct fs_extraction_request extraction = c->request->extraction;
    int count = 0;
    for (int side = 0; side < FS_SIDES; side++) {
        if (c->sides[side].source.count > 0) {
            opened[count++] = &c->sides[side];
        }
    }
    if (!extraction.extractor && *c->origin.extractor) {
        extraction.extractor = c->origin.extractor;
    }
    if (!extraction.resize && *c->origin.resize) {
        extraction.resize = c->origin.resize;
    }
    FS_TRY(fs_extraction_open(&c->extraction, &extraction, opened, count, error));
    for (int m = 0; m < c->request->count; m++) {
        if (!fs_metric_is_of_pictures(c->request->metrics[m])) {
            FS_TRY(fs_metric_tap(c->request->metrics[m], &c->extraction.extractor, &c->taps[m], error));
        }
    }
    return FS_OK;
}

/* Where no pictures are brought through an extractor, what was asked for is what the statistics are of: so they say, or
 * the user does. */
static fs_status take_request(struct fs_comparison *c, struct fs_error *error)
{
    const char *extractor = c->request->extraction.extractor, *resize = c->request->extraction.resize;
    struct fs_gaussian_origin *origin = &c->origin;
    if (*origin->extractor &&
        ((extractor && strcmp(extractor, origin->extractor) != 0) || (resize && strcmp(resize, origin->resize) != 0))) {
        return fs_fail(error, FS_USAGE,
                       "%s: the statistics are of %s, resize %s: leave --extractor and --resize out, or make others "
                       "with `fewstep stats`",
                       c->request->sources[*c->sides[0].origin.extractor ? 0 : 1], origin->extractor, origin->resize);
    }
    if (!*origin->extractor && resize) {
        snprintf(origin->resize, sizeof origin->resize, "%s", resize);
    }
    return FS_OK;
}

/* Published statistics of both sides, and the features that pictures are about to have, must be of the same. */
static fs_status check_sides(struct fs_comparison *c, const bool pictures[FS_SIDES], struct fs_error *error)
{
    const struct fs_side *a = &c->sides[0], *b = &c->sides[1];
    FS_TRY(fs_gaussian_origins_agree(a->name, &a->origin, b->name, &b->origin, error));
    if (!c->extraction.extractor.state) {
        return FS_OK;
    }
    fs_gaussian_origin_of(&c->extraction.extractor, 0, 0, &c->origin);
    const char *name = pictures[0] ? a->name : b->name;
    FS_TRY(fs_gaussian_origins_agree(name, &c->origin, a->name, &a->origin, error));
    return fs_gaussian_origins_agree(name, &c->origin, b->name, &b->origin, error);
}

/* Dimensions of the features of a side that a metric compares; 0: it compares none. */
static int64_t dim_of(const struct fs_comparison *c, int side, int m)
{
    const struct fs_metric *metric = c->request->metrics[m];
    if (takes_published(c, side, m)) {
        return fs_side_published(&c->sides[side], metric)->dim;
    }
    const bool features = metric->needs[side] & (FS_NEED_FEATURES | FS_NEED_MOMENTS);
    return features ? c->extraction.extractor.taps[c->taps[m]].dim : 0;
}

/* Enough pictures, and features that can be compared: before the work. */
static fs_status check_metric(struct fs_comparison *c, int m, struct fs_error *error)
{
    const struct fs_metric *metric = c->request->metrics[m];
    const int64_t dims[FS_SIDES] = {dim_of(c, 0, m), dim_of(c, 1, m)};
    for (int side = 0; side < FS_SIDES; side++) {
        const struct fs_side *s = &c->sides[side];
        if (takes_pictures(c, side, m) && s->count < metric->minimum) {
            return fs_fail(error, FS_USAGE, "%s: %" PRId64 " pictures: %s needs %" PRId64 " or more", s->name, s->count,
                           metric->name, metric->minimum);
        }
        if (takes_pictures(c, side, m)) {
            fs_extraction_warn(&c->extraction, metric, s->name, s->count, dims[0]);
        }
    }
    if (dims[0] != dims[1] && dims[1] > 0) {
        return fs_fail(error, FS_USAGE, "%s has %" PRId64 " features, %s has %" PRId64 ": they cannot be compared",
                       c->sides[0].name, dims[0], c->sides[1].name, dims[1]);
    }
    return FS_OK;
}

/* --- the two sides --- */

static fs_status read_published(struct fs_comparison *c, int side, struct fs_error *error)
{
    for (int m = 0; m < c->request->count; m++) {
        if (takes_published(c, side, m)) {
            FS_TRY(fs_side_read(c->request->sources[side], c->request->metrics[m], &c->sides[side], error));
        }
    }
    if (*c->sides[side].origin.extractor) {
        c->origin = c->sides[side].origin;
    }
    return FS_OK;
}

static fs_status make_pictures(struct fs_comparison *c, int side, struct fs_error *error)
{
    struct fs_side_request request = {.reading = c->request->extraction.reading};
    for (int m = 0; m < c->request->count; m++) {
        const struct fs_metric *metric = c->request->metrics[m];
        if (!takes_pictures(c, side, m)) {
            continue;
        }
        const unsigned needs = metric->needs[side];
        if (needs & FS_NEED_PICTURES) {
            fs_picture_sums_want(&request.sums, metric->sums);
        }
        request.statistics[c->taps[m]] = request.statistics[c->taps[m]] || needs & FS_NEED_MOMENTS;
        request.features[c->taps[m]] = request.features[c->taps[m]] || needs & FS_NEED_FEATURES;
    }
    return fs_extraction_side(&c->extraction, &request, &c->sides[side], error);
}

static fs_status make_sides(struct fs_comparison *c, struct fs_error *error)
{
    const struct fs_extraction_request *request = &c->request->extraction;
    bool pictures[FS_SIDES] = {false, false}, extractor = false;
    fs_progress_begin(&c->extraction.progress, request->quiet);
    FS_TRY(fs_extraction_check(request, error));
    for (int side = 0; side < FS_SIDES; side++) {
        FS_TRY(fs_path(c->sides[side].name, error, "%s", c->request->sources[side]));
        FS_TRY(look_at_side(c, side, &pictures[side], &extractor, error));
        FS_TRY(read_published(c, side, error));
        if (pictures[side]) {
            FS_TRY(fs_extraction_read(&c->extraction, c->request->sources[side], &request->reading, &c->sides[side],
                                      error));
        }
    }
    FS_TRY(extractor ? open_extractor(c, error) : take_request(c, error));
    FS_TRY(check_sides(c, pictures, error));
    for (int m = 0; m < c->request->count; m++) {
        FS_TRY(check_metric(c, m, error));
    }
    for (int side = 0; side < FS_SIDES; side++) {
        if (pictures[side]) {
            FS_TRY(make_pictures(c, side, error));
        }
    }
    return FS_OK;
}

/* --- the metrics --- */

static void show(void *owner, const char *metric, int64_t done, int64_t of)
{
    struct fs_progress *progress = owner;
    if (fs_progress_due(progress, done == of)) {
        fs_progress_line(progress, done == of, "%s: %" PRId64 "/%" PRId64, metric, done, of);
    }
}

/* What metrics are evaluated with beside the sides: what is made once for several of them. */
struct prepared {
    const struct fs_gaussian *rooted[FS_METRICS_MAX]; /* whose root is made */
    struct fs_moments moments[FS_METRICS_MAX];        /* mean and covariance are the gaussian's */
    int count;
    double *summaries[FS_METRICS_MAX];
    struct fs_family_estimates known;
    double offset;
};

/* Mean and covariance of a side for a metric, of published statistics or of its pictures; NULL: none are needed. */
static const struct fs_gaussian *gaussian_of(const struct fs_comparison *c, int side, int m)
{
    if (takes_published(c, side, m)) {
        return fs_side_published(&c->sides[side], c->request->metrics[m]);
    }
    return c->request->metrics[m]->needs[side] & FS_NEED_MOMENTS ? &c->sides[side].gaussians[c->taps[m]] : NULL;
}

/* The reference's moments, with the root where it is needed. */
static fs_status prepare_moments(struct prepared *p, const struct fs_gaussian *gaussian, bool root,
                                 const struct fs_moments **moments, struct fs_error *error)
{
    const size_t dim = (size_t)gaussian->dim;
    int i = 0;
    while (i < p->count && p->rooted[i] != gaussian) {
        i++;
    }
    struct fs_moments *of = &p->moments[i];
    if (i == p->count) {
        p->rooted[p->count++] = gaussian;
        *of = (struct fs_moments){.dim = gaussian->dim, .mean = gaussian->mean, .covariance = gaussian->covariance};
    }
    *moments = of;
    if (!root || of->root) {
        return FS_OK;
    }
    of->root = fs_allocate(dim, dim * sizeof(double), "the root of a covariance", error);
    return of->root ? fs_moments_root(of, gaussian->covariance, p->offset, error) : FS_FAILED;
}

static fs_status prepare_summary(struct prepared *p, const struct fs_side *reference, const struct fs_metric *metric,
                                 int m, struct fs_error *error)
{
    const int64_t count = metric->sums->summary_count(&reference->shape);
    p->summaries[m] = fs_allocate((size_t)count, sizeof(double), metric->sums->name, error);
    if (!p->summaries[m]) {
        return FS_FAILED;
    }
    metric->sums->summarise(fs_picture_sums_of(&reference->sums, metric->sums), p->summaries[m]);
    return FS_OK;
}

static fs_status check_shapes(const struct fs_comparison *c, const struct fs_metric *metric, struct fs_error *error)
{
    const struct fs_side *a = &c->sides[0], *b = &c->sides[1];
    if (metric->sums && metric->sums->summary_count(&a->shape) != metric->sums->summary_count(&b->shape)) {
        return fs_fail(error, FS_USAGE, "%s: its pictures are of another size than those of %s: %s cannot be compared",
                       a->name, b->name, metric->label);
    }
    return FS_OK;
}

/* One side as metric m sees it. */
static struct fs_metric_side side_of(const struct fs_comparison *c, int side, int m)
{
    const struct fs_side *s = &c->sides[side];
    const bool pictures = takes_pictures(c, side, m);
    return (struct fs_metric_side){
        .n = s->count,
        .dim = dim_of(c, side, m),
        .features = pictures ? s->features[c->taps[m]] : NULL,
        .sums = pictures ? fs_picture_sums_of(&s->sums, c->request->metrics[m]->sums) : NULL,
    };
}

static fs_status evaluate(struct fs_comparison *c, int m, struct prepared *p, struct fs_error *error)
{
    const struct fs_metric *metric = c->request->metrics[m];
    const struct fs_metric_watch watch = {show, &c->extraction.progress, &fs_stop};
    const struct fs_gaussian *a = gaussian_of(c, FS_OF_SAMPLES, m), *b = gaussian_of(c, FS_OF_REFERENCE, m);
    struct fs_moments of_samples = {0};
    struct fs_evaluation e = {.metric = metric,
                              .samples = side_of(c, FS_OF_SAMPLES, m),
                              .reference = side_of(c, FS_OF_REFERENCE, m),
                              .seed = c->request->seed,
                              .offset = p->offset,
                              .watch = &watch,
                              .known = &p->known};
    FS_TRY(check_shapes(c, metric, error));
    if (a) {
        of_samples = (struct fs_moments){.dim = a->dim, .mean = a->mean, .covariance = a->covariance};
        e.samples.moments = &of_samples;
    }
    if (b) {
        FS_TRY(prepare_moments(p, b, e.samples.features != NULL, &e.reference.moments, error));
    }
    if (metric->needs[FS_OF_REFERENCE] & FS_NEED_PICTURES) {
        FS_TRY(prepare_summary(p, &c->sides[FS_OF_REFERENCE], metric, m, error));
        e.reference.summary = p->summaries[m];
    }
    return fs_evaluate(&e, &c->estimates[m], NULL, error);
}

fs_status fs_compare(const struct fs_comparison_request *request, struct fs_comparison *c, struct fs_error *error)
{
    struct prepared p = {0};
    c->request = request;
    fs_status status = make_sides(c, error);
    p.offset = strcmp(c->origin.resize, fs_resize_name(FS_RESIZE_AUTHORS)) == 0 ? FS_AUTHORS_OFFSET : 0;
    for (int m = 0; status == FS_OK && m < request->count; m++) {
        status = evaluate(c, m, &p, error);
    }
    for (int i = 0; i < FS_METRICS_MAX; i++) {
        free(p.moments[i].root);
        free(p.summaries[i]);
    }
    return status;
}

void fs_comparison_close(struct fs_comparison *c)
{
    fs_extraction_close(&c->extraction);
    fs_side_free(&c->sides[0]);
    fs_side_free(&c->sides[1]);
}

void fs_comparison_label(const struct fs_comparison *c, int m, char text[128])
{
    const struct fs_metric *metric = c->request->metrics[m];
    const char *label = c->origin.fid && metric->fid_label ? metric->fid_label : metric->label;
    if (c->origin.fid || fs_metric_is_of_pictures(metric)) {
        snprintf(text, 128, "%s", label);
    } else {
        snprintf(text, 128, "%s (%s)", label, *c->origin.label ? c->origin.label : "unknown features");
    }
}
