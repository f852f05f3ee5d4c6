/* latents.json, and what the shards beside it look like. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "harness/data/latents.h"
#include "kernels/base/hash.h"
#include "kernels/base/memory.h"

#define FORMAT "fewstep-latents-1"
#define MANIFEST_BYTES_MAX (64u << 20)
#define SIDE_MAX 65536
#define CHANNELS_MAX 256
#define COUNT_MAX 2000000000
#define CLASSES_MAX 1000000
#define SHARDS_MAX 100000

/* --- reading --- */

/* The manifest while it is read; the first thing that is wrong is kept. */
struct reading {
    const json_t *root;
    char wrong[160]; /* "" */
};

static void blame(struct reading *reading, const char *key, const char *expected)
{
    if (!reading->wrong[0]) {
        snprintf(reading->wrong, sizeof reading->wrong, "%s: expected %s", key, expected);
    }
}

static int64_t whole(struct reading *reading, const json_t *object, const char *key, int64_t minimum, int64_t maximum)
{
    const json_t *value = json_object_get(object, key);
    const int64_t number = json_is_integer(value) ? json_integer_value(value) : minimum - 1;
    if (number < minimum || number > maximum) {
        char expected[80];
        snprintf(expected, sizeof expected, "a whole number from %" PRId64 " to %" PRId64, minimum, maximum);
        blame(reading, key, expected);
        return minimum;
    }
    return number;
}

static double real(struct reading *reading, const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    const double number = json_is_number(value) ? json_number_value(value) : NAN;
    if (!isfinite(number)) {
        blame(reading, key, "a number");
    }
    return number;
}

static void text(struct reading *reading, const json_t *object, const char *key, char *out, size_t size)
{
    const char *value = json_string_value(json_object_get(object, key));
    if (!value || strlen(value) >= size) {
        blame(reading, key, "a text");
        value = "";
    }
    snprintf(out, size, "%s", value);
}

/* SHA-256 in hexadecimal; with `may_miss` also "". */
static void hash_text(struct reading *reading, const json_t *object, const char *key, bool may_miss, char out[65])
{
    text(reading, object, key, out, 65);
    const size_t length = strspn(out, "0123456789abcdef");
    if (out[length] || (length != 64 && !(may_miss && length == 0))) {
        blame(reading, key, "64 hexadecimal digits");
    }
}

static void read_shape(struct reading *reading, const char *key, struct fs_data_shape *shape)
{
    const json_t *object = json_object_get(reading->root, key);
    if (!json_is_object(object)) {
        blame(reading, key, "height, width and channels");
    }
    shape->height = (int)whole(reading, object, "height", 1, SIDE_MAX);
    shape->width = (int)whole(reading, object, "width", 1, SIDE_MAX);
    shape->channels = (int)whole(reading, object, "channels", 1, CHANNELS_MAX);
    shape->count = whole(reading, reading->root, "count", 1, COUNT_MAX);
    shape->classes = (int)whole(reading, reading->root, "classes", 0, CLASSES_MAX);
}

static fs_status read_shards(struct reading *reading, struct fs_latents_manifest *manifest, struct fs_error *error)
{
    const json_t *list = json_object_get(reading->root, "shards");
    const size_t count = json_array_size(list);
    if (count < 1 || count > SHARDS_MAX) {
        blame(reading, "shards", "a list");
        return FS_OK;
    }
    manifest->shards = fs_allocate(count, sizeof *manifest->shards, "a list of shards", error);
    if (!manifest->shards) {
        return FS_FAILED;
    }
    manifest->shard_count = (int)count;
    const bool under_way = json_is_true(json_object_get(reading->root, "unfinished"));
    int64_t rows = 0;
    for (size_t i = 0; i < count; i++) {
        struct fs_latents_shard *shard = &manifest->shards[i];
        const json_t *object = json_array_get(list, i);
        shard->rows = whole(reading, object, "rows", 1, COUNT_MAX);
        hash_text(reading, object, "sha256", under_way, shard->sha256);
        rows += shard->rows;
    }
    if (rows != manifest->shape.count) {
        blame(reading, "shards", "rows that add up to count");
    }
    return FS_OK;
}

static fs_status read_keys(struct reading *reading, struct fs_latents_manifest *manifest, struct fs_error *error)
{
    char stored[8], format[32];
    const bool under_way = json_is_true(json_object_get(reading->root, "unfinished"));
    text(reading, reading->root, "format", format, sizeof format);
    if (strcmp(format, FORMAT) != 0) {
        blame(reading, "format", FORMAT);
    }
    read_shape(reading, "latents", &manifest->shape);
    read_shape(reading, "pictures", &manifest->picture);
    hash_text(reading, reading->root, "pictures_sha256", under_way, manifest->pictures_sha256);
    hash_text(reading, reading->root, "autoencoder_sha256", false, manifest->autoencoder_sha256);
    hash_text(reading, reading->root, "plan", false, manifest->plan);
    text(reading, reading->root, "precision", manifest->precision, sizeof manifest->precision);
    text(reading, reading->root, "device", manifest->device, sizeof manifest->device);
    text(reading, reading->root, "source", manifest->source, sizeof manifest->source);
    text(reading, reading->root, "stored", stored, sizeof stored);
    manifest->stored = strcmp(stored, "F32") == 0 ? FS_F32 : FS_F16;
    if (strcmp(stored, "F32") != 0 && strcmp(stored, "F16") != 0) {
        blame(reading, "stored", "F16 or F32");
    }
    manifest->scale = real(reading, reading->root, "scale");
    manifest->shift = real(reading, reading->root, "shift");
    if (!(manifest->scale > 0)) {
        blame(reading, "scale", "a number above 0");
    }
    return read_shards(reading, manifest, error);
}

fs_status fs_latents_manifest_read(const char *folder, const char *name, struct fs_latents_manifest *manifest,
                                   struct fs_error *error)
{
    char path[FS_PATH_ROOM], *bytes;
    size_t size;
    *manifest = (struct fs_latents_manifest){.shards = NULL};
    FS_TRY(fs_path(path, error, "%s/%s", folder, name));
    FS_TRY(fs_file_require_ordinary(path, error));
    FS_TRY(fs_file_read(path, MANIFEST_BYTES_MAX, &bytes, &size, error));
    json_error_t reason;
    json_t *root = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, &reason);
    free(bytes);
    struct reading reading = {.root = root};
    fs_status status = FS_OK;
    if (!json_is_object(root)) {
        snprintf(reading.wrong, sizeof reading.wrong, "no JSON object%s%.100s", root ? "" : ": ",
                 root ? "" : reason.text);
    } else {
        status = read_keys(&reading, manifest, error);
    }
    json_decref(root);
    if (status == FS_OK && reading.wrong[0]) {
        status = fs_fail(error, FS_USAGE, "%s: not what `fewstep encode` writes: %s", path, reading.wrong);
    }
    if (status != FS_OK) {
        fs_latents_manifest_free(manifest);
    }
    return status;
}

void fs_latents_manifest_free(struct fs_latents_manifest *manifest)
{
    free(manifest->shards);
    manifest->shards = NULL;
    manifest->shard_count = 0;
}

/* --- writing --- */

static json_t *shape_json(const struct fs_data_shape *shape)
{
    return json_pack("{s:i, s:i, s:i}", "height", shape->height, "width", shape->width, "channels", shape->channels);
}

static json_t *manifest_json(const struct fs_latents_manifest *manifest)
{
    json_t *shards = json_array();
    bool under_way = false;
    for (int i = 0; i < manifest->shard_count; i++) {
        const struct fs_latents_shard *shard = &manifest->shards[i];
        char name[FS_LATENTS_NAME];
        fs_latents_shard_name(i, name);
        json_array_append_new(shards, json_pack("{s:s, s:I, s:s}", "file", name, "rows", (json_int_t)shard->rows,
                                                "sha256", shard->sha256));
        under_way = under_way || !shard->sha256[0];
    }
    return json_pack("{s:s, s:o, s:o, s:I, s:i, s:s, s:s, s:s, s:s, s:f, s:f, s:s, s:s, s:s, s:b, s:o}", "format",
                     FORMAT, "latents", shape_json(&manifest->shape), "pictures", shape_json(&manifest->picture),
                     "count", (json_int_t)manifest->shape.count, "classes", manifest->shape.classes, "pictures_sha256",
                     manifest->pictures_sha256, "autoencoder_sha256", manifest->autoencoder_sha256, "precision",
                     manifest->precision, "device", manifest->device, "scale", manifest->scale, "shift",
                     manifest->shift, "stored", manifest->stored == FS_F32 ? "F32" : "F16", "plan", manifest->plan,
                     "source", manifest->source, "unfinished", under_way, "shards", shards);
}

fs_status fs_latents_manifest_write(const char *folder, const char *name, const struct fs_latents_manifest *manifest,
                                    struct fs_error *error)
{
    char path[FS_PATH_ROOM];
    struct fs_new_file file;
    FS_TRY(fs_path(path, error, "%s/%s", folder, name));
    json_t *root = manifest_json(manifest);
    char *lines = root ? json_dumps(root, JSON_INDENT(1)) : NULL;
    json_decref(root);
    if (!lines) {
        return fs_fail(error, FS_FAILED, "%s: no memory for it, or the name of its source is no UTF-8", path);
    }
    fs_status status = fs_new_file_open(&file, path, error);
    if (status == FS_OK) {
        fprintf(file.stream, "%s\n", lines);
        status = fs_new_file_commit(&file, error);
    }
    free(lines);
    return status;
}

/* --- hashes --- */

void fs_latents_hash(const struct fs_latents_manifest *manifest, char sha256[65])
{
    const struct fs_data_shape *shape = &manifest->shape;
    char line[256];
    struct fs_sha256 hash;
    fs_sha256_begin(&hash);
    int length =
        snprintf(line, sizeof line, "latents %" PRId64 " %d %d %d %d %s %.17g %.17g %s\n", shape->count, shape->height,
                 shape->width, shape->channels, shape->classes, manifest->stored == FS_F32 ? "F32" : "F16",
                 manifest->scale, manifest->shift, manifest->autoencoder_sha256);
    fs_sha256_add(&hash, line, (size_t)length);
    for (int i = 0; i < manifest->shard_count; i++) {
        length = snprintf(line, sizeof line, "%" PRId64 " %s\n", manifest->shards[i].rows, manifest->shards[i].sha256);
        fs_sha256_add(&hash, line, (size_t)length);
    }
    fs_sha256_end(&hash, sha256);
}

/* --- shards --- */

void fs_latents_shard_name(int index, char name[FS_LATENTS_NAME])
{
    snprintf(name, FS_LATENTS_NAME, "latents-%05d.safetensors", index);
}

int64_t fs_latents_shard_rows(const struct fs_latents_manifest *manifest)
{
    const int64_t dim = fs_shape_dim(&manifest->shape);
    const int64_t bytes = 4 * dim * (int64_t)fs_type_size(manifest->stored) + 32 + 4;
    const int64_t rows = (FS_LATENTS_SHARD_BYTES - 4096) / bytes; /* the header has room in 4096 */
    return rows < 1 ? 1 : rows;
}

int fs_latents_shard_tensors(const struct fs_latents_manifest *manifest, int64_t rows,
                             struct fs_tensor tensors[FS_LATENTS_TENSORS])
{
    const struct fs_data_shape *s = &manifest->shape;
    tensors[FS_LATENTS_MEAN] = (struct fs_tensor){
        .name = "mean", .type = manifest->stored, .rank = 5, .shape = {rows, 2, s->height, s->width, s->channels}};
    tensors[FS_LATENTS_LOG_VARIANCE] = tensors[FS_LATENTS_MEAN];
    tensors[FS_LATENTS_LOG_VARIANCE].name = "log_variance";
    tensors[FS_LATENTS_PICTURES] =
        (struct fs_tensor){.name = "picture_sha256", .type = FS_U8, .rank = 2, .shape = {rows, 32}};
    tensors[FS_LATENTS_LABELS] = (struct fs_tensor){.name = "labels", .type = FS_I32, .rank = 1, .shape = {rows}};
    return s->classes > 0 ? FS_LATENTS_TENSORS : FS_LATENTS_LABELS;
}

void fs_latents_shard_metadata(const struct fs_latents_manifest *manifest, struct fs_latents_texts *texts,
                               struct fs_tensor_metadata metadata[FS_LATENTS_METADATA])
{
    snprintf(texts->scale, sizeof texts->scale, "%.17g", manifest->scale);
    snprintf(texts->shift, sizeof texts->shift, "%.17g", manifest->shift);
    metadata[0] = (struct fs_tensor_metadata){"format", FORMAT};
    metadata[1] = (struct fs_tensor_metadata){"autoencoder_sha256", manifest->autoencoder_sha256};
    metadata[2] = (struct fs_tensor_metadata){"scale", texts->scale};
    metadata[3] = (struct fs_tensor_metadata){"shift", texts->shift};
    metadata[4] = (struct fs_tensor_metadata){"axes", "row, picture or mirror image, height, width, channel; neither "
                                                      "shifted nor scaled"};
}
