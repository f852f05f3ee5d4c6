/* Latents of pictures: mean and log-variance of each and of its mirror image, in files that are read a row at a time. A
 * training sees another draw from the posterior at each visit. */
#include "harness/data/latents.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/data/source.h"
#include "kernels/base/float16.h"
#include "kernels/base/hash.h"
#include "kernels/base/memory.h"
#include "kernels/base/random.h"

#define SEEN_WHOLE_BYTES FS_LATENTS_SHARD_BYTES /* a folder up to which is looked through whenever it is opened */
#define SEEN_AT_ONCE 65536                      /* numbers */
#define PLANNED_FACTOR 8
#define PLANNED_CHANNELS 4

struct shard {
    int fd;
    int64_t first;                      /* picture */
    int64_t mean, log_variance, labels; /* where their bytes begin */
};

struct latents {
    char folder[FS_PATH_ROOM];
    struct fs_latents_manifest manifest;
    struct shard *shards;
    bool mirror, mean_only;
};

extern const struct fs_data_source fs_latents;

bool fs_latents_named(const struct fs_dataset_config *config)
{
    return strcmp(config->kind[0] ? config->kind : config->name, fs_latents.kind) == 0;
}

const struct fs_latents_manifest *fs_latents_of(const struct fs_dataset *dataset)
{
    return dataset->source == &fs_latents ? &((const struct latents *)dataset->state)->manifest : NULL;
}

const char *fs_latents_folder(const struct fs_dataset *dataset)
{
    return ((const struct latents *)dataset->state)->folder;
}

/* --- opening --- */

/* FS_USAGE where there is no latents.json, with the reason. */
static fs_status require_manifest(const char *folder, struct fs_error *error)
{
    char path[FS_PATH_ROOM];
    struct stat about;
    FS_TRY(fs_path(path, error, "%s/%s", folder, FS_LATENTS_MANIFEST));
    if (stat(path, &about) == 0) {
        return FS_OK;
    }
    FS_TRY(fs_path(path, error, "%s/%s", folder, FS_LATENTS_UNFINISHED));
    if (stat(path, &about) == 0) {
        return fs_fail(error, FS_USAGE,
                       "%s: its encoding is not finished: the same `fewstep encode` command goes on from there",
                       folder);
    }
    return fs_fail(error, FS_USAGE, "%s: no folder of latents: there is no %s in it; `fewstep encode` makes one",
                   folder, FS_LATENTS_MANIFEST);
}

static fs_status latents_shape(const struct fs_dataset_config *config, enum fs_split split, struct fs_data_shape *shape,
                               struct fs_error *error)
{
    struct fs_latents_manifest manifest;
    FS_TRY(require_manifest(config->path, error));
    FS_TRY(fs_latents_manifest_read(config->path, FS_LATENTS_MANIFEST, &manifest, error));
    *shape = manifest.shape;
    const struct fs_data_shape picture = manifest.picture;
    fs_latents_manifest_free(&manifest);
    if (config->size != 0 && (picture.height != config->size || picture.width != config->size)) {
        return fs_fail(error, FS_USAGE, "%s: latents of pictures of %d × %d, not of dataset.size, %d", config->path,
                       picture.height, picture.width, config->size);
    }
    if (split == FS_SPLIT_TEST) {
        shape->count = 0; /* all of a folder is trained on */
    }
    return FS_OK;
}

static fs_status shard_path(const struct latents *latents, int index, char path[FS_PATH_ROOM], struct fs_error *error)
{
    char name[FS_LATENTS_NAME];
    fs_latents_shard_name(index, name);
    return fs_path(path, error, "%s/%s", latents->folder, name);
}

/* Of the autoencoder of Stable Diffusion: an eighth of each side, four channels. */
static fs_status latents_planned(const struct fs_dataset_config *config, struct fs_data_shape *shape,
                                 struct fs_error *error)
{
    if (config->size == 0 || config->size % PLANNED_FACTOR != 0) {
        return fs_fail(error, FS_USAGE,
                       "%s: not there; what latents that are still to be made will cost can be told where dataset.size "
                       "says the pictures' height and width, a multiple of %d",
                       config->path, PLANNED_FACTOR);
    }
    shape->height = shape->width = config->size / PLANNED_FACTOR;
    shape->channels = PLANNED_CHANNELS;
    return FS_OK;
}

static bool same_tensor(const struct fs_tensor *a, const struct fs_tensor *b)
{
    return a && a->type == b->type && a->rank == b->rank &&
           memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) == 0;
}

/* That a file is the one that the manifest lists: its tensors, and the sum of them that it names. */
static fs_status check_shard(const char *path, const struct fs_latents_manifest *manifest, int index,
                             const struct fs_tensor_file *file, const struct fs_tensor *tensors, int count,
                             struct fs_error *error)
{
    const char *sum = fs_tensor_metadata_find(file, FS_TENSOR_SUM_KEY);
    const char *of = fs_tensor_metadata_find(file, "autoencoder_sha256");
    if (of && strcmp(of, manifest->autoencoder_sha256) != 0) {
        return fs_fail(error, FS_USAGE,
                       "%s: a shard of another autoencoder (%.12s, not %.12s): folders of latents were mixed; encode "
                       "again into an empty folder",
                       path, of, manifest->autoencoder_sha256);
    }
    bool same = sum && strcmp(sum, manifest->shards[index].sha256) == 0;
    for (int i = 0; i < count; i++) {
        same = same && same_tensor(fs_tensor_find(file, tensors[i].name), &tensors[i]);
    }
    return same ? FS_OK
                : fs_fail(error, FS_USAGE,
                          "%s: not the shard that %s lists (SHA-256 %.12s, not %.12s): folders of latents were mixed; "
                          "encode again into an empty folder",
                          path, FS_LATENTS_MANIFEST, sum ? sum : "unknown", manifest->shards[index].sha256);
}

/* All of `size` bytes at `begin`. */
static fs_status read_at(const char *path, int fd, void *bytes, size_t size, int64_t begin, struct fs_error *error)
{
    for (size_t done = 0; done < size;) {
        const ssize_t got = pread(fd, (char *)bytes + done, size - done, (off_t)begin + (off_t)done);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return fs_fail(error, got ? FS_FAILED : FS_USAGE, "%s: cannot be read: %s", path,
                           got ? strerror(errno) : "it was cut since it was opened");
        }
        done += (size_t)got;
    }
    return FS_OK;
}

static fs_status open_shard(struct latents *latents, int index, struct fs_error *error)
{
    const struct fs_latents_manifest *manifest = &latents->manifest;
    struct shard *shard = &latents->shards[index];
    const int64_t rows = manifest->shards[index].rows;
    struct fs_tensor tensors[FS_LATENTS_TENSORS];
    const int count = fs_latents_shard_tensors(manifest, rows, tensors);
    char path[FS_PATH_ROOM];
    struct fs_tensor_file file;
    FS_TRY(shard_path(latents, index, path, error));
    FS_TRY(fs_file_require_ordinary(path, error));
    shard->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (shard->fd < 0) {
        const bool limit = errno == EMFILE || errno == ENFILE;
        return fs_fail(error, limit ? FS_FAILED : FS_USAGE, "%s: cannot be read: %s%s", path, strerror(errno),
                       limit             ? ": raise the limit (ulimit -n)"
                       : errno == ENOENT ? ": a shard is missing; the same `fewstep encode` command makes it again"
                                         : "");
    }
    FS_TRY(fs_tensor_file_describe(path, shard->fd, &file, error));
    fs_status status = check_shard(path, manifest, index, &file, tensors, count, error);
    if (status == FS_OK) {
        shard->mean = fs_tensor_find(&file, tensors[FS_LATENTS_MEAN].name)->begin;
        shard->log_variance = fs_tensor_find(&file, tensors[FS_LATENTS_LOG_VARIANCE].name)->begin;
    }
    if (status == FS_OK && count > FS_LATENTS_LABELS) {
        shard->labels = fs_tensor_find(&file, tensors[FS_LATENTS_LABELS].name)->begin;
    }
    fs_tensor_file_free(&file);
    return status;
}

static fs_status open_shards(struct latents *latents, struct fs_error *error)
{
    const int count = latents->manifest.shard_count;
    latents->shards = fs_allocate((size_t)count, sizeof *latents->shards, "shards of latents", error);
    if (!latents->shards) {
        return FS_FAILED;
    }
    int64_t first = 0;
    for (int i = 0; i < count; i++) {
        latents->shards[i] = (struct shard){.fd = -1, .first = first};
        first += latents->manifest.shards[i].rows;
    }
    for (int i = 0; i < count; i++) {
        FS_TRY(open_shard(latents, i, error));
    }
    return FS_OK;
}

/* Once all shards are known to be as long as they say. */
static fs_status read_labels(const struct latents *latents, struct fs_dataset *dataset, struct fs_error *error)
{
    dataset->labels = fs_allocate((size_t)dataset->shape.count, sizeof *dataset->labels, "labels", error);
    if (!dataset->labels) {
        return FS_FAILED;
    }
    for (int s = 0; s < latents->manifest.shard_count; s++) {
        const struct shard *shard = &latents->shards[s];
        const int64_t rows = latents->manifest.shards[s].rows;
        int32_t *labels = dataset->labels + shard->first;
        char path[FS_PATH_ROOM];
        FS_TRY(shard_path(latents, s, path, error));
        FS_TRY(read_at(path, shard->fd, labels, (size_t)rows * sizeof *labels, shard->labels, error));
        for (int64_t i = 0; i < rows; i++) {
            if (labels[i] < 0 || labels[i] >= dataset->shape.classes) {
                return fs_fail(error, FS_USAGE, "%s: row %" PRId64 ": label %" PRId32 " is none of the %d classes",
                               path, i, labels[i], dataset->shape.classes);
            }
        }
    }
    return FS_OK;
}

/* `dim` numbers as they are stored at `begin`, through the same memory: wider ones from the back. */
static fs_status read_numbers(const struct latents *latents, const struct shard *shard, int64_t begin, int64_t dim,
                              float *out, struct fs_error *error)
{
    char path[FS_PATH_ROOM];
    const bool half = latents->manifest.stored == FS_F16;
    unsigned char *bytes = (unsigned char *)out;
    FS_TRY(shard_path(latents, (int)(shard - latents->shards), path, error));
    FS_TRY(read_at(path, shard->fd, bytes, (size_t)dim * fs_type_size(latents->manifest.stored), begin, error));
    for (int64_t i = dim - 1; half && i >= 0; i--) {
        uint16_t stored;
        memcpy(&stored, bytes + 2 * i, sizeof stored);
        out[i] = fs_float16_value(stored);
    }
    for (int64_t i = 0; i < dim; i++) {
        if (!isfinite(out[i])) {
            return fs_fail(error, FS_USAGE, "%s: the number at byte %" PRId64 " is not finite: encode again", path,
                           begin + i * (int64_t)fs_type_size(latents->manifest.stored));
        }
    }
    return FS_OK;
}

/* Whether all means and log-variances of a shard are finite. `numbers` [SEEN_AT_ONCE] is scratch. */
static fs_status look_through(const struct latents *latents, int index, float *numbers, struct fs_error *error)
{
    const struct shard *shard = &latents->shards[index];
    const int64_t begins[] = {shard->mean, shard->log_variance}, size = (int64_t)fs_type_size(latents->manifest.stored),
                  count = 2 * latents->manifest.shards[index].rows * fs_shape_dim(&latents->manifest.shape);
    for (int64_t done = 0; done < count; done += SEEN_AT_ONCE) {
        const int64_t n = count - done < SEEN_AT_ONCE ? count - done : SEEN_AT_ONCE;
        for (int t = 0; t < 2; t++) {
            FS_TRY(read_numbers(latents, shard, begins[t] + done * size, n, numbers, error));
        }
    }
    return FS_OK;
}

/* That the contents are those that the shard's sum is of. */
static fs_status check_contents(const struct latents *latents, int index, struct fs_error *error)
{
    struct fs_tensor_file file;
    char path[FS_PATH_ROOM], sum[FS_HASH_TEXT];
    FS_TRY(shard_path(latents, index, path, error));
    const int fd = latents->shards[index].fd;
    FS_TRY(fs_tensor_file_describe(path, fd, &file, error));
    const fs_status status = fs_tensor_file_sum(path, fd, file.tensors, file.tensor_count, sum, error);
    fs_tensor_file_free(&file);
    FS_TRY(status);
    return strcmp(sum, latents->manifest.shards[index].sha256) == 0
               ? FS_OK
               : fs_fail(error, FS_USAGE,
                         "%s: its contents are not those that were written (SHA-256 %.12s, not %.12s): the file was "
                         "damaged or changed; remove it, and the same `fewstep encode` command makes it again",
                         path, sum, latents->manifest.shards[index].sha256);
}

/* Numbers that are not finite are said before any work where that takes a moment, and for all sizes with `verify`; else
 * when they are read. */
static fs_status check_shards(const struct latents *latents, bool verify, struct fs_error *error)
{
    const struct fs_latents_manifest *manifest = &latents->manifest;
    const double bytes = 4.0 * (double)manifest->shape.count * (double)fs_shape_dim(&manifest->shape) *
                         (double)fs_type_size(manifest->stored);
    if (!verify && bytes > SEEN_WHOLE_BYTES) {
        return FS_OK;
    }
    float *numbers = fs_allocate(SEEN_AT_ONCE, sizeof *numbers, "latents", error);
    fs_status status = numbers ? FS_OK : FS_FAILED;
    for (int i = 0; status == FS_OK && i < manifest->shard_count; i++) {
        status = look_through(latents, i, numbers, error);
        if (status == FS_OK && verify) {
            status = check_contents(latents, i, error);
        }
    }
    free(numbers);
    return status;
}

static fs_status latents_open(const struct fs_dataset_config *config, const struct fs_data_access *access,
                              struct fs_dataset *dataset, struct fs_error *error)
{
    const struct fs_data_shape *shape = &dataset->shape;
    struct latents *latents = fs_allocate(1, sizeof *latents, "latents", error);
    dataset->state = latents;
    if (!latents) {
        return FS_FAILED;
    }
    latents->mirror = config->mirror;
    latents->mean_only = config->posterior == FS_POSTERIOR_MEAN;
    FS_TRY(fs_path(latents->folder, error, "%s", config->path));
    FS_TRY(fs_latents_manifest_read(config->path, FS_LATENTS_MANIFEST, &latents->manifest, error));
    fs_latents_hash(&latents->manifest, dataset->sha256);
    if (shape->count == 0) { /* the test split */
        return FS_OK;
    }
    if (memcmp(shape, &latents->manifest.shape, sizeof *shape) != 0) {
        return fs_fail(error, FS_USAGE, "%s: was changed while it was opened", config->path);
    }
    FS_TRY(open_shards(latents, error));
    FS_TRY(check_shards(latents, access->verify, error));
    return shape->classes > 0 ? read_labels(latents, dataset, error) : FS_OK;
}

static void latents_close(struct fs_dataset *dataset)
{
    struct latents *latents = dataset->state;
    if (!latents) {
        return;
    }
    for (int i = 0; latents->shards && i < latents->manifest.shard_count; i++) {
        if (latents->shards[i].fd >= 0) {
            close(latents->shards[i].fd);
        }
    }
    free(latents->shards);
    fs_latents_manifest_free(&latents->manifest);
    free(latents);
}

/* --- reading --- */

static const struct shard *shard_of(const struct latents *latents, int64_t index)
{
    int low = 0, high = latents->manifest.shard_count;
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        *(latents->shards[middle].first <= index ? &low : &high) = middle;
    }
    return &latents->shards[low];
}

/* z = mean + exp(log variance/2)·ε (Kingma & Welling 2014, section 2.4), ε from the stream of posteriors at the row of
 * the training; then (z − shift)·scale, which is what the network learns. */
static void draw(const struct fs_visit *visit, int64_t dim, const float *log_variance, float *out)
{
    const struct fs_random_key key = {visit->seed, FS_STREAM_POSTERIOR, (uint32_t)visit->update, 0};
    float normals[4];
    for (int64_t i = 0; i < dim; i++) {
        if (i % 4 == 0) {
            fs_normals4(key, (uint32_t)visit->row, (uint32_t)(i / 4), normals);
        }
        out[i] += (float)exp(0.5 * (double)log_variance[i]) * normals[i % 4];
    }
}

static fs_status latents_read(const struct fs_dataset *dataset, int64_t index, const struct fs_visit *visit, float *out,
                              struct fs_error *error)
{
    const struct latents *latents = dataset->state;
    const struct fs_latents_manifest *manifest = &latents->manifest;
    const struct shard *shard = shard_of(latents, index);
    const int64_t dim = fs_shape_dim(&dataset->shape);
    const bool mirrored = visit && latents->mirror && fs_visit_mirrored(visit);
    const int64_t place = ((index - shard->first) * 2 + mirrored) * dim * (int64_t)fs_type_size(manifest->stored);
    FS_TRY(read_numbers(latents, shard, shard->mean + place, dim, out, error));
    if (visit && !latents->mean_only) {
        float *log_variance = fs_allocate((size_t)dim, sizeof *log_variance, "a latent", error);
        if (!log_variance) {
            return FS_FAILED;
        }
        const fs_status status = read_numbers(latents, shard, shard->log_variance + place, dim, log_variance, error);
        if (status == FS_OK) {
            draw(visit, dim, log_variance, out);
        }
        free(log_variance);
        FS_TRY(status);
    }
    for (int64_t i = 0; i < dim; i++) {
        out[i] = (float)(((double)out[i] - manifest->shift) * manifest->scale);
    }
    return FS_OK;
}

const struct fs_data_source fs_latents = {
    .kind = "latents",
    .needs_path = true,
    .mirrors = true,
    .encoded = true,
    .shape = latents_shape,
    .planned = latents_planned,
    .open = latents_open,
    .read = latents_read,
    .close = latents_close,
};
