/* Encoding: from pictures to a folder of latents. A shard is written in place under a temporary name, its header last;
 * beside it stands how many of its rows are on the disk. */
#include "harness/sample/encode.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/base/clock.h"
#include "kernels/base/file.h"
#include "kernels/base/float16.h"
#include "kernels/base/hash.h"
#include "kernels/base/memory.h"

#define AT_ONCE 16 /* pictures */
#define SAVE_SECONDS 60.0
#define FLOAT16_MAX 65504.0f

/* An encoding under way. */
struct encoding {
    const struct fs_encode_request *request;
    struct fs_latents_manifest *manifest;
    int64_t dim, picture_values; /* of a latent; of a picture as the autoencoder takes it, three channels */
    uint8_t *bytes;              /* [AT_ONCE, a picture as it lies there] */
    float *pictures;             /* [2·AT_ONCE, picture_values], each picture and its mirror image */
    float *mean, *log_variance;  /* [2·AT_ONCE, dim] */
    unsigned char *row;          /* a row as it is stored: the two latents */
    int64_t done, of;            /* pictures of this part */
    int64_t begun;               /* of them there when this call began */
    double begin;
};

/* A shard under way. */
struct shard {
    int index, fd; /* locked */
    int64_t first, rows, done;
    struct fs_tensor tensors[FS_LATENTS_TENSORS];
    int tensor_count;
    char path[FS_PATH_ROOM], part[FS_PATH_ROOM], progress[FS_PATH_ROOM];
};

/* --- pieces of files --- */

static fs_status write_at(const struct shard *shard, const void *bytes, size_t size, int64_t begin,
                          struct fs_error *error)
{
    for (size_t done = 0; done < size;) {
        const ssize_t put = pwrite(shard->fd, (const char *)bytes + done, size - done, (off_t)begin + (off_t)done);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            return fs_fail(error, FS_FAILED,
                           "%s: writing failed: %s: what was encoded is kept, the same command goes on", shard->part,
                           put ? strerror(errno) : "nothing more was taken");
        }
        done += (size_t)put;
    }
    return FS_OK;
}

static fs_status shard_paths(const struct encoding *e, struct shard *shard, struct fs_error *error)
{
    char name[FS_LATENTS_NAME];
    fs_latents_shard_name(shard->index, name);
    FS_TRY(fs_path(shard->path, error, "%s/%s", e->request->folder, name));
    FS_TRY(fs_path(shard->part, error, "%s.part", shard->path));
    return fs_path(shard->progress, error, "%s.rows", shard->path);
}

/* Opens the unfinished shard and holds its lock; *taken is false where another process has it, or has just finished
 * it. */
static fs_status take(struct shard *shard, bool *taken, struct fs_error *error)
{
    struct stat held, there;
    *taken = false;
    shard->fd = open(shard->part, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (shard->fd < 0) {
        return fs_fail(error, errno == ENOSPC ? FS_FAILED : FS_USAGE, "%s: cannot be written: %s", shard->part,
                       strerror(errno));
    }
    *taken = flock(shard->fd, LOCK_EX | LOCK_NB) == 0 && fstat(shard->fd, &held) == 0 &&
             stat(shard->part, &there) == 0 && held.st_ino == there.st_ino;
    if (*taken && access(shard->path, F_OK) == 0) { /* its name was free again as the other had finished */
        unlink(shard->part);
        *taken = false;
    }
    if (!*taken) {
        close(shard->fd);
        shard->fd = -1;
    }
    return FS_OK;
}

/* Rows that are known to be on the disk. */
static int64_t rows_done(const struct shard *shard)
{
    long long rows = 0;
    FILE *stream = fopen(shard->progress, "re");
    if (stream) {
        const bool sound = fscanf(stream, "%lld", &rows) == 1 && rows >= 0 && rows <= shard->rows;
        rows = sound ? rows : 0;
        fclose(stream);
    }
    return rows;
}

static fs_status save_rows(const struct shard *shard, struct fs_error *error)
{
    struct fs_new_file file;
    if (fdatasync(shard->fd) != 0) {
        return fs_fail(error, FS_FAILED, "%s: writing failed: %s", shard->part, strerror(errno));
    }
    FS_TRY(fs_new_file_open(&file, shard->progress, error));
    fprintf(file.stream, "%" PRId64 "\n", shard->done);
    return fs_new_file_commit(&file, error);
}

/* --- one batch --- */

/* Grey ones three times; the mirror image behind the picture. */
static void widen(const struct encoding *e, const uint8_t *bytes, float *picture)
{
    const struct fs_data_shape *shape = &e->manifest->picture;
    float *mirrored = picture + e->picture_values;
    for (int y = 0; y < shape->height; y++) {
        for (int x = 0; x < shape->width; x++) {
            const uint8_t *pixel = bytes + ((int64_t)y * shape->width + x) * shape->channels;
            for (int c = 0; c < 3; c++) {
                const float value = (float)(2 * pixel[shape->channels == 3 ? c : 0] - 255) / 255.0f;
                picture[((int64_t)y * shape->width + x) * 3 + c] = value;
                mirrored[((int64_t)y * shape->width + shape->width - 1 - x) * 3 + c] = value;
            }
        }
    }
}

/* Pictures first … first + n − 1 to e->bytes and e->pictures, decoded by as many threads as there are. */
static fs_status read_pictures(struct encoding *e, int64_t first, int64_t n, struct fs_error *error)
{
    const int64_t size = fs_shape_dim(&e->manifest->picture);
    struct fs_error errors[AT_ONCE] = {{.status = FS_OK}};
#pragma omp parallel for schedule(dynamic, 1)
    for (int64_t i = 0; i < n; i++) {
        if (fs_dataset_bytes(e->request->pictures, first + i, 1, e->bytes + i * size, &errors[i]) == FS_OK) {
            widen(e, e->bytes + i * size, e->pictures + 2 * i * e->picture_values);
            errors[i].status = FS_OK;
        }
    }
    for (int64_t i = 0; i < n; i++) {
        if (errors[i].status != FS_OK) {
            *error = errors[i];
            return error->status;
        }
    }
    return FS_OK;
}

/* The two latents of a picture as they are stored, to e->row. */
static fs_status store_numbers(const struct encoding *e, const float *values, int64_t picture, struct fs_error *error)
{
    const bool half = e->manifest->stored == FS_F16;
    for (int64_t i = 0; i < 2 * e->dim; i++) {
        if (!isfinite(values[i])) {
            return fs_fail(error, FS_USAGE,
                           "picture %" PRId64
                           " is encoded to a number that is not finite: broken weights, or ones that "
                           "need --precision fp32",
                           picture);
        }
        if (half && fabsf(values[i]) > FLOAT16_MAX) {
            return fs_fail(error, FS_USAGE,
                           "picture %" PRId64 " is encoded to %g, for which fp16 has no room: --stored "
                           "fp32 has",
                           picture, (double)values[i]);
        }
        if (half) {
            const uint16_t stored = fs_float16_of(values[i]);
            memcpy(e->row + 2 * i, &stored, sizeof stored);
        } else {
            memcpy(e->row + 4 * i, &values[i], sizeof values[i]);
        }
    }
    return FS_OK;
}

static void hash_picture(const struct encoding *e, const uint8_t *bytes, unsigned char digest[32])
{
    char text[65];
    fs_sha256(bytes, (size_t)fs_shape_dim(&e->manifest->picture), text);
    for (int i = 0; i < 32; i++) {
        unsigned byte;
        (void)sscanf(text + 2 * i, "%2x", &byte);
        digest[i] = (unsigned char)byte;
    }
}

static fs_status write_row(const struct encoding *e, const struct shard *shard, int64_t row, int64_t in_batch,
                           struct fs_error *error)
{
    const size_t size = 2 * (size_t)e->dim * fs_type_size(e->manifest->stored);
    const int64_t picture = shard->first + row;
    const struct fs_tensor *tensors = shard->tensors;
    unsigned char digest[32];
    FS_TRY(store_numbers(e, e->mean + 2 * in_batch * e->dim, picture, error));
    FS_TRY(write_at(shard, e->row, size, tensors[FS_LATENTS_MEAN].begin + row * (int64_t)size, error));
    FS_TRY(store_numbers(e, e->log_variance + 2 * in_batch * e->dim, picture, error));
    FS_TRY(write_at(shard, e->row, size, tensors[FS_LATENTS_LOG_VARIANCE].begin + row * (int64_t)size, error));
    hash_picture(e, e->bytes + in_batch * fs_shape_dim(&e->manifest->picture), digest);
    FS_TRY(write_at(shard, digest, sizeof digest, tensors[FS_LATENTS_PICTURES].begin + 32 * row, error));
    if (shard->tensor_count > FS_LATENTS_LABELS) {
        const int32_t label = e->request->pictures->labels[picture];
        FS_TRY(write_at(shard, &label, sizeof label, tensors[FS_LATENTS_LABELS].begin + 4 * row, error));
    }
    return FS_OK;
}

static fs_status encode_batch(struct encoding *e, struct shard *shard, struct fs_error *error)
{
    const struct fs_data_shape *picture = &e->manifest->picture;
    const int64_t left = shard->rows - shard->done, n = left < AT_ONCE ? left : AT_ONCE;
    FS_TRY(read_pictures(e, shard->first + shard->done, n, error));
    FS_TRY(fs_autoencoder_encode(e->request->autoencoder, 2 * n, picture->height, picture->width, e->pictures, e->mean,
                                 e->log_variance, error));
    for (int64_t i = 0; i < n; i++) {
        FS_TRY(write_row(e, shard, shard->done + i, i, error));
    }
    shard->done += n;
    e->done += n;
    if (e->request->progress) {
        const double seconds = fs_seconds() - e->begin;
        e->request->progress(e->request->owner, e->done, e->of,
                             seconds > 0 ? (double)(e->done - e->begun) / seconds : 0);
    }
    return FS_OK;
}

/* --- one shard --- */

static fs_status layout(const struct encoding *e, struct shard *shard, const char *sum, char **header, size_t *size,
                        struct fs_error *error)
{
    struct fs_latents_texts texts = {.scale = ""};
    struct fs_tensor_metadata metadata[FS_LATENTS_METADATA];
    fs_latents_shard_metadata(e->manifest, &texts, metadata);
    return fs_tensor_file_layout(shard->part, shard->tensors, shard->tensor_count, metadata, FS_LATENTS_METADATA, sum,
                                 header, size, error);
}

/* Room for all of it, so that a disk that is too small is known at its beginning. */
static fs_status make_room(const struct encoding *e, struct shard *shard, struct fs_error *error)
{
    char *header;
    size_t size;
    FS_TRY(layout(e, shard, NULL, &header, &size, error));
    free(header);
    int64_t end = (int64_t)size;
    for (int i = 0; i < shard->tensor_count; i++) {
        int64_t bytes = (int64_t)fs_type_size(shard->tensors[i].type);
        for (int k = 0; k < shard->tensors[i].rank; k++) {
            bytes *= shard->tensors[i].shape[k];
        }
        end = shard->tensors[i].begin + bytes > end ? shard->tensors[i].begin + bytes : end;
    }
    const int number = posix_fallocate(shard->fd, 0, (off_t)end);
    if (number != 0) {
        return fs_fail(error, FS_FAILED,
                       "%s: no room for a shard of %" PRId64 " bytes: %s: what was encoded is kept, the same command "
                       "goes on",
                       shard->part, end, strerror(number));
    }
    return FS_OK;
}

/* The header, now that the sum is known; then the name that others look for. */
static fs_status finish(const struct encoding *e, struct shard *shard, struct fs_error *error)
{
    char sum[65], *header;
    size_t size;
    FS_TRY(fs_tensor_file_sum(shard->part, shard->fd, shard->tensors, shard->tensor_count, sum, error));
    FS_TRY(layout(e, shard, sum, &header, &size, error));
    const fs_status status = write_at(shard, header, size, 0, error);
    free(header);
    FS_TRY(status);
    if (fsync(shard->fd) != 0 || rename(shard->part, shard->path) != 0) {
        return fs_fail(error, FS_FAILED, "%s: writing failed: %s", shard->path, strerror(errno));
    }
    unlink(shard->progress);
    return FS_OK;
}

static fs_status encode_rows(struct encoding *e, struct shard *shard, struct fs_error *error)
{
    double saved = fs_seconds();
    while (shard->done < shard->rows) {
        fs_status status = encode_batch(e, shard, error);
        const bool stopped = e->request->stop && *e->request->stop;
        if (status != FS_OK || stopped || (fs_seconds() - saved > SAVE_SECONDS && shard->done < shard->rows)) {
            struct fs_error second;
            const fs_status kept = save_rows(shard, status == FS_OK ? error : &second);
            status = status == FS_OK ? kept : status;
            saved = fs_seconds();
        }
        FS_TRY(status);
        if (stopped && shard->done < shard->rows) {
            return fs_fail(error, FS_STOPPED,
                           "stopped after %" PRId64 " of %" PRId64 " pictures: the same command goes on from here",
                           e->done, e->of);
        }
    }
    return finish(e, shard, error);
}

/* Makes the shard unless it is there or another process is at it. */
static fs_status encode_shard(struct encoding *e, struct shard *shard, struct fs_error *error)
{
    bool taken;
    FS_TRY(shard_paths(e, shard, error));
    if (access(shard->path, F_OK) == 0) {
        e->done += shard->rows;
        e->begun += shard->rows;
        return FS_OK;
    }
    FS_TRY(take(shard, &taken, error));
    if (!taken) {
        return FS_OK;
    }
    shard->tensor_count = fs_latents_shard_tensors(e->manifest, shard->rows, shard->tensors);
    shard->done = rows_done(shard);
    e->done += shard->done;
    e->begun += shard->done;
    fs_status status = make_room(e, shard, error);
    if (status == FS_OK) {
        status = encode_rows(e, shard, error);
    }
    close(shard->fd);
    return status;
}

static fs_status encode_part(struct encoding *e, struct fs_error *error)
{
    const struct fs_latents_manifest *manifest = e->manifest;
    const struct fs_encode_request *request = e->request;
    int64_t first = 0;
    for (int i = request->part; i < manifest->shard_count; i += request->parts) {
        e->of += manifest->shards[i].rows;
    }
    for (int i = 0; i < manifest->shard_count; i++) {
        struct shard shard = {.index = i, .fd = -1, .first = first, .rows = manifest->shards[i].rows};
        first += shard.rows;
        if (i % request->parts == request->part) {
            FS_TRY(encode_shard(e, &shard, error));
            if (request->stop && *request->stop && i + request->parts < manifest->shard_count) {
                return fs_fail(error, FS_STOPPED,
                               "stopped after %" PRId64 " of %" PRId64 " pictures: the same command goes on from here",
                               e->done, e->of);
            }
        }
    }
    return FS_OK;
}

/* --- the whole --- */

/* The SHA-256 that a finished shard names, and those of its pictures into the hash of all. *there is false where it is
 * not finished. */
static fs_status read_finished(const struct encoding *e, int index, struct fs_sha256 *pictures, bool *there,
                               struct fs_error *error)
{
    struct fs_latents_shard *listed = &e->manifest->shards[index];
    struct shard shard = {.index = index};
    struct fs_tensor expected[FS_LATENTS_TENSORS];
    struct fs_tensor_file file;
    FS_TRY(shard_paths(e, &shard, error));
    const int fd = open(shard.path, O_RDONLY | O_CLOEXEC);
    *there = fd >= 0;
    if (fd < 0) {
        return errno == ENOENT ? FS_OK
                               : fs_fail(error, FS_USAGE, "%s: cannot be read: %s", shard.path, strerror(errno));
    }
    fs_status status = fs_tensor_file_describe(shard.path, fd, &file, error);
    if (status != FS_OK) {
        close(fd);
        return status;
    }
    (void)fs_latents_shard_tensors(e->manifest, listed->rows, expected);
    const struct fs_tensor *hashes = fs_tensor_find(&file, expected[FS_LATENTS_PICTURES].name);
    const struct fs_tensor *mean = fs_tensor_find(&file, expected[FS_LATENTS_MEAN].name);
    const char *sum = fs_tensor_metadata_find(&file, FS_TENSOR_SUM_KEY);
    const char *of = fs_tensor_metadata_find(&file, "autoencoder_sha256");
    if (!hashes || !mean || !sum || !of || strcmp(of, e->manifest->autoencoder_sha256) != 0 || hashes->type != FS_U8 ||
        memcmp(hashes->shape, expected[FS_LATENTS_PICTURES].shape, 2 * sizeof(int64_t)) != 0 ||
        mean->type != expected[FS_LATENTS_MEAN].type || mean->rank != 5 ||
        memcmp(mean->shape, expected[FS_LATENTS_MEAN].shape, 5 * sizeof(int64_t)) != 0) {
        status =
            fs_fail(error, FS_USAGE, "%s: not a shard of this encoding: remove it, and it is made again", shard.path);
    }
    for (int64_t row = 0; status == FS_OK && row < listed->rows; row++) {
        unsigned char digest[32];
        if (pread(fd, digest, sizeof digest, (off_t)(hashes->begin + 32 * row)) != (ssize_t)sizeof digest) {
            status = fs_fail(error, FS_USAGE, "%s: cannot be read: %s", shard.path, strerror(errno));
        }
        fs_sha256_add(pictures, digest, sizeof digest);
    }
    if (status == FS_OK) {
        snprintf(listed->sha256, sizeof listed->sha256, "%.64s", sum);
    }
    fs_tensor_file_free(&file);
    close(fd);
    return status;
}

/* What the pictures are, whatever they were encoded with: over shape, labels and each one's own hash. */
static void begin_pictures_hash(const struct encoding *e, struct fs_sha256 *hash)
{
    const struct fs_data_shape *picture = &e->manifest->picture;
    char line[160];
    const int length = snprintf(line, sizeof line, "pictures %" PRId64 " %d %d %d %d\n", e->manifest->shape.count,
                                picture->height, picture->width, picture->channels, e->manifest->shape.classes);
    fs_sha256_begin(hash);
    fs_sha256_add(hash, line, (size_t)length);
    if (e->manifest->shape.classes > 0) {
        fs_sha256_add(hash, e->request->pictures->labels,
                      (size_t)e->manifest->shape.count * sizeof *e->request->pictures->labels);
    }
}

/* Writes latents.json where no shard is missing. */
static fs_status conclude(struct encoding *e, struct fs_encode_outcome *outcome, struct fs_error *error)
{
    struct fs_sha256 pictures;
    char unfinished[FS_PATH_ROOM];
    begin_pictures_hash(e, &pictures);
    for (int i = 0; i < e->manifest->shard_count; i++) {
        bool there;
        FS_TRY(read_finished(e, i, &pictures, &there, error));
        outcome->finished += there;
    }
    outcome->shards = e->manifest->shard_count;
    outcome->complete = outcome->finished == outcome->shards;
    if (!outcome->complete) {
        return FS_OK;
    }
    fs_sha256_end(&pictures, e->manifest->pictures_sha256);
    FS_TRY(fs_latents_manifest_write(e->request->folder, FS_LATENTS_MANIFEST, e->manifest, error));
    FS_TRY(fs_path(unfinished, error, "%s/%s", e->request->folder, FS_LATENTS_UNFINISHED));
    unlink(unfinished);
    return FS_OK;
}

/* What decides each byte of the shards. */
static void plan_hash(const struct fs_encode_request *request, struct fs_latents_manifest *manifest)
{
    char line[512];
    const int length =
        snprintf(line, sizeof line, "%s %s %s %.17g %.17g %d %d %d %d %" PRId64 " %" PRId64 " %d %s", request->identity,
                 manifest->autoencoder_sha256, manifest->precision, manifest->scale, manifest->shift,
                 (int)manifest->stored, manifest->picture.height, manifest->picture.width, manifest->picture.channels,
                 manifest->shape.count, manifest->shards[0].rows, manifest->shape.classes, manifest->device);
    fs_sha256(line, (size_t)length, manifest->plan);
}

static fs_status make_plan(const struct fs_encode_request *request, struct fs_latents_manifest *manifest,
                           struct fs_error *error)
{
    const struct fs_data_shape *picture = &request->pictures->shape;
    const struct fs_autoencoder_info *info = fs_autoencoder_info(request->autoencoder);
    struct fs_latent_shape latent;
    if (!request->pictures->pictures || (picture->channels != 1 && picture->channels != 3)) {
        return fs_fail(error, FS_USAGE, "%s: no grey or coloured pictures of 8 bits: the autoencoder takes no others",
                       request->source);
    }
    FS_TRY(fs_autoencoder_latents(request->autoencoder, picture->height, picture->width, &latent, error));
    const int64_t limit = request->pictures_limit;
    *manifest = (struct fs_latents_manifest){
        .shape = {.height = (int)latent.height,
                  .width = (int)latent.width,
                  .channels = (int)latent.channels,
                  .classes = picture->classes,
                  .count = limit > 0 && limit < picture->count ? limit : picture->count},
        .picture = *picture,
        .scale = info->scale,
        .shift = info->shift,
        .stored = request->stored,
    };
    manifest->picture.count = manifest->shape.count;
    snprintf(manifest->autoencoder_sha256, sizeof manifest->autoencoder_sha256, "%s", info->sha256);
    snprintf(manifest->precision, sizeof manifest->precision, "%s", info->precision == FS_BF16 ? "bf16" : "fp32");
    snprintf(manifest->device, sizeof manifest->device, "%s", request->device);
    snprintf(manifest->source, sizeof manifest->source, "%s", request->source);
    const int64_t rows = request->shard_rows > 0 ? request->shard_rows : fs_latents_shard_rows(manifest);
    const int64_t count = manifest->shape.count, shards = (count + rows - 1) / rows;
    manifest->shards = fs_allocate((size_t)shards, sizeof *manifest->shards, "a list of shards", error);
    if (!manifest->shards) {
        return FS_FAILED;
    }
    manifest->shard_count = (int)shards;
    for (int64_t i = 0; i < shards; i++) {
        manifest->shards[i].rows = i + 1 < shards ? rows : count - i * rows;
    }
    plan_hash(request, manifest);
    return FS_OK;
}

/* What of two plans differs, for a message. */
static const char *difference(const struct fs_latents_manifest *there, const struct fs_latents_manifest *planned)
{
    if (strcmp(there->autoencoder_sha256, planned->autoencoder_sha256) != 0) {
        return "made with another autoencoder";
    }
    if (there->stored != planned->stored || strcmp(there->precision, planned->precision) != 0) {
        return "made with another precision";
    }
    if (strcmp(there->device, planned->device) != 0) {
        return "made on another device";
    }
    return "of other pictures, or of these before they were changed";
}

/* The folder is empty, or holds this encoding. */
static fs_status claim(struct encoding *e, struct fs_error *error)
{
    static const char *const names[] = {FS_LATENTS_MANIFEST, FS_LATENTS_UNFINISHED};
    const char *folder = e->request->folder;
    FS_TRY(fs_make_folder(folder, error));
    for (int i = 0; i < 2; i++) {
        struct fs_latents_manifest there;
        char path[FS_PATH_ROOM];
        FS_TRY(fs_path(path, error, "%s/%s", folder, names[i]));
        if (access(path, F_OK) != 0) {
            continue;
        }
        FS_TRY(fs_latents_manifest_read(folder, names[i], &there, error));
        const bool same = strcmp(there.plan, e->manifest->plan) == 0;
        const char *what = same ? "" : difference(&there, e->manifest);
        fs_latents_manifest_free(&there);
        return same ? FS_OK
                    : fs_fail(error, FS_USAGE, "%s: holds latents %s: name another folder with -o, or remove it",
                              folder, what);
    }
    return fs_latents_manifest_write(folder, FS_LATENTS_UNFINISHED, e->manifest, error);
}

static fs_status allocate(struct encoding *e, struct fs_error *error)
{
    const struct fs_data_shape *picture = &e->manifest->picture;
    e->dim = fs_shape_dim(&e->manifest->shape);
    e->picture_values = 3 * (int64_t)picture->height * picture->width;
    const size_t latents = (size_t)(2 * AT_ONCE * e->dim);
    e->bytes = fs_allocate((size_t)(AT_ONCE * fs_shape_dim(picture)), 1, "pictures", error);
    e->pictures = fs_allocate((size_t)(2 * AT_ONCE * e->picture_values), sizeof(float), "pictures", error);
    e->mean = fs_allocate(latents, sizeof(float), "latents", error);
    e->log_variance = fs_allocate(latents, sizeof(float), "latents", error);
    e->row = fs_allocate((size_t)(2 * e->dim), sizeof(float), "latents", error);
    return e->bytes && e->pictures && e->mean && e->log_variance && e->row ? FS_OK : FS_FAILED;
}

fs_status fs_encode(const struct fs_encode_request *request, struct fs_encode_outcome *outcome, struct fs_error *error)
{
    *outcome = (struct fs_encode_outcome){.shards = 0};
    struct encoding e = {.request = request, .manifest = &outcome->manifest, .begin = fs_seconds()};
    fs_status status = make_plan(request, &outcome->manifest, error);
    if (status == FS_OK) {
        status = claim(&e, error);
    }
    if (status == FS_OK) {
        status = allocate(&e, error);
    }
    if (status == FS_OK) {
        status = encode_part(&e, error);
    }
    if (status == FS_OK) {
        status = conclude(&e, outcome, error);
    }
    free(e.bytes);
    free(e.pictures);
    free(e.mean);
    free(e.log_variance);
    free(e.row);
    return status;
}
