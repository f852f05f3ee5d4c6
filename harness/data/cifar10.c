/* CIFAR-10 (Krizhevsky 2009) as its binary version is published, cifar-10-binary.tar.gz: data_batch_1.bin … and
 * test_batch.bin, records of a label and 32 × 32 pixels, all red ones, then green, then blue. Other pictures in the
 * same format, and fewer of them, are read too. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/data/source.h"
#include "kernels/base/memory.h"

#define SIDE 32
#define PIXELS (SIDE * SIDE)
#define RECORD (1 + 3 * PIXELS)
#define CLASSES 10
#define BATCHES_MAX 16

/* The files of a split. */
struct batches {
    char path[BATCHES_MAX][FS_PATH_ROOM];
    int64_t records[BATCHES_MAX];
    int file[BATCHES_MAX]; /* −1: not open */
    int count;
};

/* The folder that was unpacked, or the one beside which it was. */
static fs_status find_batch(const char *folder, const char *name, char path[FS_PATH_ROOM], struct stat *about,
                            bool *found, struct fs_error *error)
{
    FS_TRY(fs_path(path, error, "%s/cifar-10-batches-bin/%s", folder, name));
    *found = stat(path, about) == 0;
    if (!*found) {
        FS_TRY(fs_path(path, error, "%s/%s", folder, name));
        *found = stat(path, about) == 0;
    }
    return FS_OK;
}

/* Adds the file; `found` is false where there is none of that name. */
static fs_status add_batch(const char *folder, const char *name, struct batches *batches, bool *found,
                           struct fs_error *error)
{
    struct stat about;
    char *path = batches->path[batches->count];
    FS_TRY(find_batch(folder, name, path, &about, found, error));
    if (!*found) {
        return FS_OK;
    }
    if (!S_ISREG(about.st_mode) || about.st_size == 0 || about.st_size % RECORD != 0) {
        return fs_fail(error, FS_USAGE,
                       "%s: %lld bytes are no whole number of records of %d (a label and 32 × 32 × 3 pixels): unpack "
                       "cifar-10-binary.tar.gz again",
                       path, (long long)about.st_size, RECORD);
    }
    batches->records[batches->count] = about.st_size / RECORD;
    batches->file[batches->count++] = -1;
    return FS_OK;
}

static fs_status list_batches(const char *folder, enum fs_split split, struct batches *batches, struct fs_error *error)
{
    bool found = true;
    char name[32] = "test_batch.bin";
    batches->count = 0;
    for (int i = 1; found && i <= (split == FS_SPLIT_TRAIN ? BATCHES_MAX : 1); i++) {
        if (split == FS_SPLIT_TRAIN) {
            snprintf(name, sizeof name, "data_batch_%d.bin", i);
        }
        FS_TRY(add_batch(folder, name, batches, &found, error));
    }
    return batches->count > 0 ? FS_OK
                              : fs_fail(error, FS_USAGE,
                                        "%s: no %s in it, nor in cifar-10-batches-bin below it: dataset.path is where "
                                        "cifar-10-binary.tar.gz was unpacked",
                                        folder, name);
}

static fs_status cifar10_shape(const struct fs_dataset_config *config, enum fs_split split, struct fs_data_shape *shape,
                               struct fs_error *error)
{
    struct batches *batches = fs_allocate(1, sizeof *batches, "the list of batches", error);
    fs_status status = batches ? list_batches(config->path, split, batches, error) : FS_FAILED;
    *shape = (struct fs_data_shape){.height = SIDE, .width = SIDE, .channels = 3, .classes = CLASSES};
    for (int i = 0; status == FS_OK && i < batches->count; i++) {
        shape->count += batches->records[i];
    }
    free(batches);
    return status;
}

/* --- reading --- */

static fs_status read_record(const struct batches *batches, int64_t index, uint8_t record[RECORD],
                             struct fs_error *error)
{
    int batch = 0;
    while (index >= batches->records[batch]) {
        index -= batches->records[batch++];
    }
    for (ssize_t got = 0; got < RECORD;) {
        const ssize_t more =
            pread(batches->file[batch], record + got, (size_t)(RECORD - got), (off_t)(index * RECORD + got));
        if (more < 0 && errno == EINTR) {
            continue;
        }
        if (more <= 0) {
            return fs_fail(error, FS_FAILED, "%s: cannot be read: %s", batches->path[batch],
                           more < 0 ? strerror(errno) : "it was cut short");
        }
        got += more;
    }
    return FS_OK;
}

static fs_status cifar10_read(const struct fs_dataset *dataset, int64_t index, const struct fs_visit *visit, float *out,
                              struct fs_error *error)
{
    (void)visit;
    uint8_t record[RECORD];
    FS_TRY(read_record(dataset->state, index, record, error));
    for (int i = 0; i < PIXELS; i++) {
        for (int c = 0; c < 3; c++) {
            out[3 * i + c] = (float)(2 * record[1 + c * PIXELS + i] - 255) / 255.0f;
        }
    }
    return FS_OK;
}

static fs_status read_labels(const struct batches *batches, struct fs_dataset *dataset, struct fs_error *error)
{
    for (int64_t i = 0; i < dataset->shape.count; i++) {
        uint8_t record[RECORD];
        FS_TRY(read_record(batches, i, record, error));
        if (record[0] >= CLASSES) {
            return fs_fail(error, FS_USAGE,
                           "%s: record %lld has the label %d: expected 0 to %d; is it the binary version of CIFAR-10?",
                           dataset->name, (long long)i, record[0], CLASSES - 1);
        }
        dataset->labels[i] = record[0];
    }
    return FS_OK;
}

static fs_status cifar10_open(const struct fs_dataset_config *config, const struct fs_data_access *access,
                              struct fs_dataset *dataset, struct fs_error *error)
{
    (void)access;
    struct batches *batches = fs_allocate(1, sizeof *batches, "the list of batches", error);
    if (!batches) {
        return FS_FAILED;
    }
    dataset->state = batches;
    FS_TRY(list_batches(config->path, dataset->split, batches, error));
    dataset->shape.count = 0;
    for (int i = 0; i < batches->count; i++) {
        dataset->shape.count += batches->records[i];
        batches->file[i] = open(batches->path[i], O_RDONLY | O_CLOEXEC);
        if (batches->file[i] < 0) {
            return fs_fail(error, FS_USAGE, "%s: cannot be read: %s", batches->path[i], strerror(errno));
        }
    }
    dataset->labels = fs_allocate((size_t)dataset->shape.count, sizeof *dataset->labels, "labels", error);
    return dataset->labels ? read_labels(batches, dataset, error) : FS_FAILED;
}

static void cifar10_close(struct fs_dataset *dataset)
{
    struct batches *batches = dataset->state;
    for (int i = 0; batches && i < batches->count; i++) {
        if (batches->file[i] >= 0) {
            close(batches->file[i]);
        }
    }
    free(batches);
}

const struct fs_data_source fs_cifar10 = {
    .kind = "cifar10",
    .pictures = true,
    .needs_path = true,
    .mirrors = true,
    .shape = cifar10_shape,
    .open = cifar10_open,
    .read = cifar10_read,
    .close = cifar10_close,
};
