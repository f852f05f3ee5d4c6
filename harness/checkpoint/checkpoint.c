/* Checkpoints: the whole state of a training in one safetensors file. */
#include "harness/checkpoint/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/base/memory.h"
#include "kernels/base/safetensors.h"

static const char *const prefixes[FS_COPIES] = {"", "ema.", "target.", "teacher.", "opt.m.", "opt.v."};

#define NAME_MAX_LENGTH 64
#define SHAPE_TEXT (FS_TENSOR_RANK_MAX * 24)

fs_status fs_checkpoint_path(const char *folder, int64_t update, char path[FS_PATH_ROOM], struct fs_error *error)
{
    return fs_path(path, error, "%s/checkpoint-%" PRId64 ".safetensors", folder, update);
}

/* --- writing --- */

/* A checkpoint's tensors as the file has them, each made when it is written. */
struct exported {
    const struct fs_dit *dit;
    const struct fs_checkpoint *checkpoint;
    const struct fs_parameter *table;
    int parameters, tensor_count;
    struct fs_tensor *tensors;
    char (*names)[NAME_MAX_LENGTH];
    float *room; /* the largest of them */
};

/* The copy that a tensor is of. */
static enum fs_copy copy_of(const struct exported *exported, int tensor)
{
    int before = tensor / exported->parameters, copy = 0;
    while (!exported->checkpoint->copies[copy] || before-- > 0) {
        copy++;
    }
    return (enum fs_copy)copy;
}

static const void *export_tensor(void *owner, int i)
{
    const struct exported *exported = owner;
    const struct fs_parameter *parameter = &exported->table[i % exported->parameters];
    fs_dit_export_parameter(exported->dit, parameter, exported->checkpoint->copies[copy_of(exported, i)],
                            exported->room);
    return exported->room;
}

static fs_status create_export(struct exported *exported, struct fs_error *error)
{
    int64_t largest = 0;
    int copies = 0;
    exported->table = fs_dit_parameters(exported->dit, &exported->parameters);
    for (int c = 0; c < FS_COPIES; c++) {
        copies += exported->checkpoint->copies[c] != NULL;
    }
    for (int i = 0; i < exported->parameters; i++) {
        const int64_t numbers = exported->table[i].rows * exported->table[i].cols;
        largest = numbers > largest ? numbers : largest;
    }
    exported->tensor_count = copies * exported->parameters;
    const size_t count = (size_t)exported->tensor_count;
    exported->tensors = fs_allocate(count, sizeof *exported->tensors, "a checkpoint", error);
    exported->names = fs_allocate(count, sizeof *exported->names, "a checkpoint", error);
    exported->room = fs_allocate((size_t)largest, sizeof *exported->room, "a checkpoint", error);
    if (!exported->tensors || !exported->names || !exported->room) {
        return error->status;
    }
    for (int i = 0; i < exported->tensor_count; i++) {
        const struct fs_parameter *parameter = &exported->table[i % exported->parameters];
        snprintf(exported->names[i], NAME_MAX_LENGTH, "%s%s", prefixes[copy_of(exported, i)], parameter->name);
        exported->tensors[i] = (struct fs_tensor){.name = exported->names[i], .type = FS_F32};
        exported->tensors[i].rank = fs_dit_export_shape(exported->dit, parameter, exported->tensors[i].shape);
    }
    return FS_OK;
}

static void destroy_export(struct exported *exported)
{
    free(exported->tensors);
    free(exported->names);
    free(exported->room);
}

fs_status fs_checkpoint_write(const char *folder, const struct fs_dit *dit, const struct fs_config *config,
                              const struct fs_checkpoint *checkpoint, struct fs_checkpoint_file *file,
                              struct fs_error *error)
{
    char update[24], restarts[24];
    snprintf(update, sizeof update, "%" PRId64, checkpoint->update);
    snprintf(restarts, sizeof restarts, "%d", checkpoint->restarts);
    FS_TRY(fs_checkpoint_path(folder, checkpoint->update, file->path, error));
    const bool inv_d = config->model.attention_scale == FS_SCALE_INV_D;
    const struct fs_tensor_metadata metadata[] = {
        {"attention_scale", inv_d ? "inv_d" : "inv_sqrt_d"},
        {"config", config->json},
        {"format", "fewstep-checkpoint-1"},
        {"run", checkpoint->run},
        {"source_hash", checkpoint->source_hash},
        {"time", "raw: t in [0, 1] is not multiplied by 1000, 0 is noise"},
        {"update", update},
        {"restarts", restarts}, /* only where there was one */
    };
    const int metadata_count = (int)(sizeof metadata / sizeof *metadata) - (checkpoint->restarts == 0);
    struct exported exported = {.dit = dit, .checkpoint = checkpoint};
    fs_status status = create_export(&exported, error);
    if (status == FS_OK) {
        status = fs_tensor_file_write_made(file->path, exported.tensors, exported.tensor_count, metadata,
                                           metadata_count, export_tensor, &exported, file->sha256, &file->bytes, error);
    }
    destroy_export(&exported);
    return status;
}

/* --- reading --- */

/* "[64, 1, 2, 2]" */
static void describe_shape(const int64_t *shape, int rank, char text[SHAPE_TEXT])
{
    size_t length = (size_t)snprintf(text, SHAPE_TEXT, "[");
    for (int i = 0; i < rank; i++) {
        length += (size_t)snprintf(text + length, SHAPE_TEXT - length, "%s%" PRId64, i ? ", " : "", shape[i]);
    }
    snprintf(text + length, SHAPE_TEXT - length, "]");
}

static fs_status check_finite(const char *path, const struct fs_tensor *tensor, int64_t count, struct fs_error *error)
{
    const float *values = tensor->data;
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(values[i])) {
            return fs_fail(error, FS_USAGE, "%s: %s: number %lld is not finite: take an earlier checkpoint", path,
                           tensor->name, (long long)i);
        }
    }
    return FS_OK;
}

static fs_status check_tensor(const char *path, const struct fs_dit *dit, const struct fs_tensor *tensor,
                              const char *name, const struct fs_parameter *parameter, struct fs_error *error)
{
    if (!tensor) {
        return fs_fail(error, FS_USAGE, "%s: there is no %s: a checkpoint of another model or program", path, name);
    }
    int64_t shape[4], count = parameter->rows * parameter->cols;
    const int rank = fs_dit_export_shape(dit, parameter, shape);
    if (tensor->type != FS_F32 || tensor->rank != rank ||
        memcmp(tensor->shape, shape, (size_t)rank * sizeof *shape) != 0) {
        char has[SHAPE_TEXT], needs[SHAPE_TEXT];
        describe_shape(tensor->shape, tensor->rank, has);
        describe_shape(shape, rank, needs);
        return fs_fail(error, FS_USAGE, "%s: %s is %s%s, this model needs float32 %s: a checkpoint of another model",
                       path, name, tensor->type == FS_F32 ? "" : "not float32, ", has, needs);
    }
    return check_finite(path, tensor, count, error);
}

static fs_status read_update(const char *path, const struct fs_tensor_file *file, int64_t *update,
                             struct fs_error *error)
{
    const char *text = fs_tensor_metadata_find(file, "update");
    char *end = NULL;
    errno = 0;
    *update = text ? strtoll(text, &end, 10) : -1;
    if (!text || end == text || *end || errno || *update < 0) {
        return fs_fail(error, FS_USAGE, "%s: its metadata has no 'update': not a checkpoint of fewstep", path);
    }
    return FS_OK;
}

static fs_status read_tensors(const char *path, const struct fs_tensor_file *file, const struct fs_dit *dit,
                              struct fs_checkpoint *checkpoint, struct fs_error *error)
{
    int parameters;
    const struct fs_parameter *table = fs_dit_parameters(dit, &parameters);
    for (int c = 0; c < FS_COPIES; c++) {
        for (int i = 0; checkpoint->copies[c] && i < parameters; i++) {
            char name[NAME_MAX_LENGTH];
            snprintf(name, sizeof name, "%s%s", prefixes[c], table[i].name);
            const struct fs_tensor *tensor = fs_tensor_find(file, name);
            FS_TRY(check_tensor(path, dit, tensor, name, &table[i], error));
            fs_dit_import_parameter(dit, &table[i], tensor->data, checkpoint->copies[c]);
        }
    }
    const char *restarts = fs_tensor_metadata_find(file, "restarts");
    checkpoint->restarts = restarts ? atoi(restarts) : 0;
    return read_update(path, file, &checkpoint->update, error);
}

fs_status fs_checkpoint_read(const char *path, const struct fs_dit *dit, struct fs_checkpoint *checkpoint,
                             struct fs_error *error)
{
    struct fs_tensor_file file;
    FS_TRY(fs_tensor_file_read(path, &file, error));
    const fs_status status = read_tensors(path, &file, dit, checkpoint, error);
    fs_tensor_file_free(&file);
    return status;
}

static fs_status check_file(const char *path, const struct fs_tensor_file *file, const char *run, int64_t update,
                            struct fs_error *error)
{
    const char *of = fs_tensor_metadata_find(file, "run");
    int64_t at;
    FS_TRY(read_update(path, file, &at, error));
    if (!of || strcmp(of, run) != 0 || at != update) {
        return fs_fail(error, FS_USAGE, "%s: is that of run %.8s at update %" PRId64 ", not of run %.8s at %" PRId64,
                       path, of ? of : "?", at, run, update);
    }
    for (int i = 0; i < file->tensor_count; i++) {
        const struct fs_tensor *tensor = &file->tensors[i];
        int64_t count = 1;
        for (int k = 0; k < tensor->rank; k++) {
            count *= tensor->shape[k];
        }
        if (tensor->type != FS_F32) {
            return fs_fail(error, FS_USAGE, "%s: %s is not float32: not a checkpoint of fewstep", path, tensor->name);
        }
        FS_TRY(check_finite(path, tensor, count, error));
    }
    return FS_OK;
}

fs_status fs_checkpoint_check(const char *path, const char *run, int64_t update, struct fs_error *error)
{
    struct fs_tensor_file file;
    FS_TRY(fs_tensor_file_read(path, &file, error));
    const fs_status status = check_file(path, &file, run, update, error);
    fs_tensor_file_free(&file);
    return status;
}

static void copy_metadata(const struct fs_tensor_file *file, const char *key, char text[FS_HASH_TEXT])
{
    const char *value = fs_tensor_metadata_find(file, key);
    snprintf(text, FS_HASH_TEXT, "%s", value ? value : "");
}

fs_status fs_checkpoint_metadata(const char *path, char **config_json, char run[FS_HASH_TEXT],
                                 char source_hash[FS_HASH_TEXT], int64_t *update, struct fs_error *error)
{
    struct fs_tensor_file file;
    FS_TRY(fs_tensor_file_read(path, &file, error));
    fs_status status = read_update(path, &file, update, error);
    const char *config = fs_tensor_metadata_find(&file, "config");
    if (status == FS_OK && !config) {
        status = fs_fail(error, FS_USAGE, "%s: its metadata has no 'config': not a checkpoint of fewstep", path);
    }
    if (status == FS_OK) {
        copy_metadata(&file, "run", run);
        copy_metadata(&file, "source_hash", source_hash);
        *config_json = fs_copy_text(config, error);
        status = *config_json ? FS_OK : error->status;
    }
    fs_tensor_file_free(&file);
    return status;
}

/* --- the folder --- */

/* The update in a checkpoint's file name, or −1. */
static int64_t update_of(const char *name)
{
    long long update = -1;
    int length = 0;
    if (sscanf(name, "checkpoint-%lld.safetensors%n", &update, &length) != 1 || name[length] || length == 0) {
        return -1;
    }
    return update;
}

fs_status fs_checkpoint_newest(const char *folder, char path[FS_PATH_ROOM], int64_t *update, struct fs_error *error)
{
    *update = -1;
    DIR *directory = opendir(folder);
    if (!directory) {
        return errno == ENOENT ? FS_OK : fs_fail(error, FS_USAGE, "%s: %s", folder, strerror(errno));
    }
    for (const struct dirent *entry; (entry = readdir(directory));) {
        const int64_t found = update_of(entry->d_name);
        *update = found > *update ? found : *update;
    }
    closedir(directory);
    return *update >= 0 ? fs_checkpoint_path(folder, *update, path, error) : FS_OK;
}

void fs_checkpoint_prune(const char *folder, const int64_t *keep, int keep_count)
{
    DIR *directory = opendir(folder);
    if (!directory) {
        return;
    }
    for (const struct dirent *entry; (entry = readdir(directory));) {
        const int64_t update = update_of(entry->d_name);
        bool kept = update < 0;
        for (int i = 0; i < keep_count; i++) {
            kept = kept || update == keep[i];
        }
        char path[FS_PATH_ROOM];
        struct fs_error ignored;
        if (!kept && fs_checkpoint_path(folder, update, path, &ignored) == FS_OK) {
            unlink(path);
        }
    }
    closedir(directory);
}
