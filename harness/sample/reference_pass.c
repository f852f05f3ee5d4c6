/* One pass over the pictures of a reference: features, statistics and sums, and what is kept of a pass that ends early.
 */
#include "harness/sample/reference_pass.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/base/clock.h"
#include "kernels/base/memory.h"

#define AT_ONCE 256 /* pictures; whole blocks of fs_statistics, so that no row waits between two of them */
#define CHOICE_SEED 0
#define SAVE_SECONDS 60
#define SAVE_FACTOR 20 /* seconds of work a second of saving */

/* --- what an earlier pass left --- */

/* Everything that a pass has of features: of each tap mean and comoment, then the rows that are kept. */
struct state {
    struct fs_tensor tensors[3 * FS_TAPS_MAX];
    char names[3 * FS_TAPS_MAX][64];
    int count;
};

static void describe_one(struct state *state, const char *tap, const char *what, const struct fs_tensor *tensor)
{
    char *name = state->names[state->count];
    snprintf(name, sizeof state->names[0], "%s.%s", tap, what);
    state->tensors[state->count] = *tensor;
    state->tensors[state->count++].name = name;
}

static void describe(const struct fs_reference_pass *pass, struct state *state)
{
    state->count = 0;
    for (int t = 0; t < pass->extractor->tap_count; t++) {
        const struct fs_tap *tap = &pass->extractor->taps[t];
        const struct fs_statistics *statistics = &pass->statistics[t];
        if (pass->moments_missing[t]) {
            const struct fs_tensor mean = {.type = FS_F64, .rank = 1, .shape = {tap->dim}, .data = statistics->mean};
            const struct fs_tensor comoment = {
                .type = FS_F64, .rank = 2, .shape = {tap->dim, tap->dim}, .data = statistics->comoment};
            describe_one(state, tap->name, "mean", &mean);
            describe_one(state, tap->name, "comoment", &comoment);
        }
        if (pass->features_missing[t]) {
            const struct fs_tensor features = {
                .type = FS_F32, .rank = 2, .shape = {pass->chosen, tap->dim}, .data = pass->features[t]};
            describe_one(state, tap->name, "features", &features);
        }
    }
}

static fs_status save(const struct fs_reference_pass *pass, int64_t done, const char *path, struct fs_error *error)
{
    struct state state;
    char text[32];
    snprintf(text, sizeof text, "%" PRId64, done);
    const struct fs_tensor_metadata metadata = {"done", text};
    describe(pass, &state);
    return fs_tensor_file_write_summed(path, state.tensors, state.count, &metadata, 1, error);
}

/* Whether the file holds the very parts that are missing, at a place where a pass can be interrupted. */
static bool fits(const struct fs_reference_pass *pass, const struct fs_tensor_file *file, int64_t *done)
{
    const char *text = fs_tensor_metadata_find(file, "done");
    struct state state;
    describe(pass, &state);
    *done = text ? strtoll(text, NULL, 10) : -1;
    bool good = *done > 0 && *done <= pass->pictures->shape.count &&
                (*done % AT_ONCE == 0 || *done == pass->pictures->shape.count) && file->tensor_count == state.count;
    for (int i = 0; good && i < state.count; i++) {
        const struct fs_tensor *expected = &state.tensors[i], *tensor = fs_tensor_find(file, expected->name);
        good = tensor && tensor->type == expected->type && tensor->rank == expected->rank;
        if (good && expected->type == FS_F32) {
            good = tensor->shape[0] <= pass->wanted && tensor->shape[1] == expected->shape[1];
        } else if (good) {
            good = memcmp(tensor->shape, expected->shape, (size_t)tensor->rank * sizeof *tensor->shape) == 0;
        }
    }
    return good;
}

static void restore(struct fs_reference_pass *pass, const struct fs_tensor_file *file, int64_t done)
{
    struct state state;
    describe(pass, &state);
    for (int i = 0; i < state.count; i++) {
        const struct fs_tensor *into = &state.tensors[i], *tensor = fs_tensor_find(file, into->name);
        size_t bytes = into->type == FS_F32 ? sizeof(float) : sizeof(double);
        for (int k = 0; k < tensor->rank; k++) {
            bytes *= (size_t)tensor->shape[k];
        }
        memcpy((void *)(uintptr_t)into->data, tensor->data, bytes);
        pass->chosen = into->type == FS_F32 ? tensor->shape[0] : pass->chosen;
    }
    for (int t = 0; t < FS_TAPS_MAX; t++) {
        pass->statistics[t].count = pass->moments_missing[t] ? done : 0;
    }
    pass->resumed = done;
}

/* A file that does not fit or cannot be read is no loss but of time. */
static void resume(struct fs_reference_pass *pass, const char *path)
{
    struct fs_tensor_file file;
    struct fs_error ignored;
    int64_t done;
    if (access(path, R_OK) != 0 || fs_tensor_file_read(path, &file, &ignored) != FS_OK) {
        return;
    }
    if (fits(pass, &file, &done)) {
        restore(pass, &file, done);
    }
    fs_tensor_file_free(&file);
}

/* --- memory --- */

static fs_status open_tap(struct fs_reference_pass *pass, int t, struct fs_error *error)
{
    const size_t row = (size_t)pass->extractor->taps[t].dim * sizeof(float);
    if (!pass->moments_missing[t] && !pass->features_missing[t]) {
        return FS_OK;
    }
    pass->taps[t] = fs_allocate(AT_ONCE, row, "features", error);
    if (!pass->taps[t]) {
        return FS_FAILED;
    }
    if (pass->features_missing[t]) {
        pass->features[t] = fs_allocate((size_t)pass->wanted, row, "features", error);
        if (!pass->features[t]) {
            return FS_FAILED;
        }
    }
    return pass->moments_missing[t] ? fs_statistics_create(pass->extractor->taps[t].dim, &pass->statistics[t], error)
                                    : FS_OK;
}

fs_status fs_reference_pass_open(struct fs_reference_pass *pass, const char *unfinished, struct fs_error *error)
{
    const struct fs_dataset *pictures = pass->pictures;
    const struct fs_picture_shape shape = {pictures->shape.height, pictures->shape.width, pictures->shape.channels};
    pass->wanted = pictures->shape.count < FS_REFERENCE_ROWS ? pictures->shape.count : FS_REFERENCE_ROWS;
    pass->rows = fs_allocate(AT_ONCE, (size_t)fs_shape_dim(&pictures->shape) * sizeof(float), "pictures", error);
    if (!pass->rows) {
        return FS_FAILED;
    }
    for (int t = 0; t < pass->extractor->tap_count; t++) {
        FS_TRY(open_tap(pass, t, error));
    }
    FS_TRY(fs_picture_sums_open(&pass->sums, &shape, pictures->shape.count, error));
    resume(pass, unfinished);
    return FS_OK;
}

void fs_reference_pass_close(struct fs_reference_pass *pass)
{
    for (int t = 0; t < FS_TAPS_MAX; t++) {
        free(pass->taps[t]);
        free(pass->features[t]);
        fs_statistics_destroy(&pass->statistics[t]);
    }
    free(pass->rows);
    fs_picture_sums_close(&pass->sums);
}

/* --- the pass --- */

/* Which pictures are kept is drawn over all of them, and so the same in each pass. */
static void keep_features(struct fs_reference_pass *pass, int64_t first, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (!fs_row_is_chosen(CHOICE_SEED, first + i, pass->pictures->shape.count, pass->chosen, pass->wanted)) {
            continue;
        }
        for (int t = 0; t < pass->extractor->tap_count; t++) {
            const int64_t dim = pass->extractor->taps[t].dim;
            if (pass->features_missing[t]) {
                memcpy(pass->features[t] + pass->chosen * dim, pass->taps[t] + i * dim, (size_t)dim * sizeof(float));
            }
        }
        pass->chosen++;
    }
}

static fs_status add_features(struct fs_reference_pass *pass, int64_t first, int64_t n, struct fs_error *error)
{
    FS_TRY(fs_extract_samples(pass->extractor, &pass->pictures->shape, pass->rows, n, NULL, pass->taps, error));
    for (int t = 0; t < pass->extractor->tap_count; t++) {
        if (pass->moments_missing[t]) {
            fs_statistics_add(&pass->statistics[t], pass->taps[t], n);
        }
    }
    keep_features(pass, first, n);
    return FS_OK;
}

/* Of pictures whose features are there already the sums alone are taken again: they cost next to nothing. */
static fs_status add_pictures(struct fs_reference_pass *pass, int64_t first, int64_t n, struct fs_error *error)
{
    bool of_features = false;
    for (int t = 0; t < FS_TAPS_MAX; t++) {
        of_features |= pass->taps[t] != NULL;
    }
    FS_TRY(fs_dataset_rows(pass->pictures, first, n, pass->rows, error));
    if (of_features && first >= pass->resumed) {
        FS_TRY(add_features(pass, first, n, error));
    }
    return fs_picture_sums_add(&pass->sums, pass->rows, n, error);
}

static fs_status stop(const struct fs_reference_pass *pass, int64_t done, const char *unfinished,
                      struct fs_error *error)
{
    if (done > pass->resumed) {
        FS_TRY(save(pass, done, unfinished, error));
    }
    return fs_fail(error, FS_STOPPED,
                   "stopped after %" PRId64 " of the reference's %" PRId64
                   " pictures: the same command goes on from here",
                   done > pass->resumed ? done : pass->resumed, pass->pictures->shape.count);
}

fs_status fs_reference_pass_run(struct fs_reference_pass *pass, const char *unfinished,
                                const struct fs_reference_watch *watch, struct fs_error *error)
{
    const int64_t count = pass->pictures->shape.count;
    double begin = fs_seconds(), saved = begin, interval = SAVE_SECONDS;
    for (int64_t first = pass->sums.count > 0 ? 0 : pass->resumed; first < count; first += AT_ONCE) {
        const int64_t n = count - first < AT_ONCE ? count - first : AT_ONCE, done = first + n;
        FS_TRY(add_pictures(pass, first, n, error));
        const double now = fs_seconds();
        if (done <= pass->resumed) {
            begin = saved = now;
        } else if (watch && watch->progress) {
            watch->progress(watch->owner, done, count, (double)(done - pass->resumed) / (now - begin));
        }
        if (watch && watch->stop && *watch->stop && done < count) {
            return stop(pass, done, unfinished, error);
        }
        if (now - saved > interval && done < count) {
            FS_TRY(save(pass, done, unfinished, error));
            saved = fs_seconds();
            interval = SAVE_FACTOR * (saved - now) > SAVE_SECONDS ? SAVE_FACTOR * (saved - now) : SAVE_SECONDS;
        }
    }
    return FS_OK;
}
