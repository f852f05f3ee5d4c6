/* One pass over the training pictures: features, statistics and spectrum, and what is kept of a pass that ends early.
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

/* The statistics' tensors [mean, comoment] × [first, spatial], then the features, as far as they are missing: their
 * number. */
static int describe(const struct fs_reference_pass *pass, struct fs_tensor tensors[5])
{
    static const char *const names[] = {"first.mean", "first.comoment", "spatial.mean", "spatial.comoment"};
    int count = 0;
    for (int part = FS_PART_FIRST; part <= FS_PART_SPATIAL; part++) {
        const int64_t dim = pass->dims[part];
        if (pass->missing[part]) {
            tensors[count++] = (struct fs_tensor){.name = names[2 * part],
                                                  .type = FS_F64,
                                                  .rank = 1,
                                                  .shape = {dim},
                                                  .data = pass->statistics[part].mean};
            tensors[count++] = (struct fs_tensor){.name = names[2 * part + 1],
                                                  .type = FS_F64,
                                                  .rank = 2,
                                                  .shape = {dim, dim},
                                                  .data = pass->statistics[part].comoment};
        }
    }
    if (pass->missing[FS_PART_FEATURES]) {
        tensors[count++] = (struct fs_tensor){.name = "features",
                                              .type = FS_F32,
                                              .rank = 2,
                                              .shape = {pass->chosen, pass->dims[0]},
                                              .data = pass->features};
    }
    return count;
}

static fs_status save(const struct fs_reference_pass *pass, int64_t done, const char *path, struct fs_error *error)
{
    struct fs_tensor tensors[5];
    char text[32];
    snprintf(text, sizeof text, "%" PRId64, done);
    const struct fs_tensor_metadata metadata = {"done", text};
    const int count = describe(pass, tensors);
    return fs_tensor_file_write_summed(path, tensors, count, &metadata, 1, error);
}

/* Whether the file holds the very parts that are missing, at a place where a pass can be interrupted. */
static bool fits(const struct fs_reference_pass *pass, const struct fs_tensor_file *file, int64_t *done)
{
    const char *text = fs_tensor_metadata_find(file, "done");
    struct fs_tensor expected[5];
    const int count = describe(pass, expected);
    *done = text ? strtoll(text, NULL, 10) : -1;
    bool good = *done > 0 && *done <= pass->train->count && (*done % AT_ONCE == 0 || *done == pass->train->count) &&
                file->tensor_count == count;
    for (int i = 0; good && i < count; i++) {
        const struct fs_tensor *tensor = fs_tensor_find(file, expected[i].name);
        good = tensor && tensor->type == expected[i].type && tensor->rank == expected[i].rank;
        if (good && expected[i].type == FS_F32) {
            good = tensor->shape[0] <= pass->wanted && tensor->shape[1] == pass->dims[0];
        } else if (good) {
            good = memcmp(tensor->shape, expected[i].shape, (size_t)tensor->rank * sizeof *tensor->shape) == 0;
        }
    }
    return good;
}

static void restore(struct fs_reference_pass *pass, const struct fs_tensor_file *file, int64_t done)
{
    struct fs_tensor tensors[5];
    const int count = describe(pass, tensors);
    for (int i = 0; i < count; i++) {
        const struct fs_tensor *tensor = fs_tensor_find(file, tensors[i].name);
        size_t bytes = tensors[i].type == FS_F32 ? sizeof(float) : sizeof(double);
        for (int k = 0; k < tensor->rank; k++) {
            bytes *= (size_t)tensor->shape[k];
        }
        memcpy((void *)(uintptr_t)tensors[i].data, tensor->data, bytes);
        pass->chosen = tensors[i].type == FS_F32 ? tensor->shape[0] : pass->chosen;
    }
    for (int part = FS_PART_FIRST; part <= FS_PART_SPATIAL; part++) {
        pass->statistics[part].count = pass->missing[part] ? done : 0;
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

/* A tap's features and, where they are missing, its statistics. */
static fs_status open_tap(struct fs_reference_pass *pass, int part, int tap, struct fs_error *error)
{
    pass->taps[tap] = fs_allocate(AT_ONCE, (size_t)pass->dims[part] * sizeof(float), "features", error);
    if (!pass->taps[tap]) {
        return FS_FAILED;
    }
    return pass->missing[part] ? fs_statistics_create(pass->dims[part], &pass->statistics[part], error) : FS_OK;
}

static fs_status allocate(struct fs_reference_pass *pass, struct fs_error *error)
{
    const struct fs_dataset *train = pass->train;
    pass->wanted = train->count < FS_REFERENCE_ROWS ? train->count : FS_REFERENCE_ROWS;
    pass->rows = fs_allocate(AT_ONCE, (size_t)fs_dataset_dim(train) * sizeof(float), "pictures", error);
    if (!pass->rows) {
        return FS_FAILED;
    }
    if (pass->missing[FS_PART_FIRST] || pass->missing[FS_PART_FEATURES]) {
        FS_TRY(open_tap(pass, FS_PART_FIRST, 0, error));
    }
    if (pass->missing[FS_PART_SPATIAL]) {
        FS_TRY(open_tap(pass, FS_PART_SPATIAL, pass->spatial, error));
    }
    if (pass->missing[FS_PART_FEATURES]) {
        pass->features = fs_allocate((size_t)pass->wanted, (size_t)pass->dims[0] * sizeof(float), "features", error);
        if (!pass->features) {
            return FS_FAILED;
        }
    }
    return pass->missing[FS_PART_POWER]
               ? fs_spectrum_create(train->height, train->width, train->channels, train->count, &pass->spectrum, error)
               : FS_OK;
}

fs_status fs_reference_pass_open(struct fs_reference_pass *pass, int64_t first_dim, int64_t spatial_dim,
                                 const char *unfinished, struct fs_error *error)
{
    pass->dims[FS_PART_FIRST] = first_dim;
    pass->dims[FS_PART_SPATIAL] = spatial_dim;
    FS_TRY(allocate(pass, error));
    resume(pass, unfinished);
    return FS_OK;
}

void fs_reference_pass_close(struct fs_reference_pass *pass)
{
    for (int i = 0; i < FS_TAPS_MAX; i++) {
        free(pass->taps[i]);
    }
    free(pass->rows);
    free(pass->features);
    fs_statistics_destroy(&pass->statistics[FS_PART_FIRST]);
    fs_statistics_destroy(&pass->statistics[FS_PART_SPATIAL]);
    fs_spectrum_destroy(&pass->spectrum);
}

/* --- the pass --- */

static void keep_features(struct fs_reference_pass *pass, int64_t first, int64_t n)
{
    const int64_t dim = pass->dims[0];
    for (int64_t i = 0; i < n; i++) {
        if (fs_row_is_chosen(CHOICE_SEED, first + i, pass->train->count, pass->chosen, pass->wanted)) {
            memcpy(pass->features + pass->chosen++ * dim, pass->taps[0] + i * dim, (size_t)dim * sizeof(float));
        }
    }
}

static fs_status add_features(struct fs_reference_pass *pass, int64_t first, int64_t n, struct fs_error *error)
{
    FS_TRY(fs_extract_samples(pass->extractor, pass->train, pass->rows, n, NULL, pass->taps, error));
    if (pass->missing[FS_PART_FIRST]) {
        fs_statistics_add(&pass->statistics[FS_PART_FIRST], pass->taps[0], n);
    }
    if (pass->missing[FS_PART_SPATIAL]) {
        fs_statistics_add(&pass->statistics[FS_PART_SPATIAL], pass->taps[pass->spatial], n);
    }
    if (pass->missing[FS_PART_FEATURES]) {
        keep_features(pass, first, n);
    }
    return FS_OK;
}

/* Of pictures whose features are there already the spectrum alone is taken again: it costs next to nothing. */
static fs_status add_pictures(struct fs_reference_pass *pass, int64_t first, int64_t n, struct fs_error *error)
{
    const bool of_features = pass->taps[0] || pass->missing[FS_PART_SPATIAL];
    fs_dataset_rows(pass->train, first, n, pass->rows);
    if (of_features && first >= pass->resumed) {
        FS_TRY(add_features(pass, first, n, error));
    }
    return pass->missing[FS_PART_POWER] ? fs_spectrum_add(&pass->spectrum, pass->rows, n, error) : FS_OK;
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
                   done > pass->resumed ? done : pass->resumed, pass->train->count);
}

fs_status fs_reference_pass_run(struct fs_reference_pass *pass, const char *unfinished,
                                const struct fs_reference_watch *watch, struct fs_error *error)
{
    const int64_t count = pass->train->count;
    double begin = fs_seconds(), saved = begin, interval = SAVE_SECONDS;
    for (int64_t first = pass->missing[FS_PART_POWER] ? 0 : pass->resumed; first < count; first += AT_ONCE) {
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
