/* Checkpoints: the whole state of a training in one safetensors file, under the DiT repository's parameter names with
 * the prefixes `ema.`, `target.`, `teacher.`, `opt.m.` and `opt.v.` for those copies. The metadata holds no time, host
 * or number of resumes: the same training gives the same bytes. */
#ifndef FEWSTEP_CHECKPOINT_H
#define FEWSTEP_CHECKPOINT_H

#include "harness/model/dit.h"
#include "kernels/base/file.h"

/* The flat buffers of a training, on the host. A NULL one is not part of the checkpoint. */
enum fs_copy {
    FS_COPY_MODEL,
    FS_COPY_EMA,
    FS_COPY_TARGET,
    FS_COPY_TEACHER,
    FS_COPY_MOMENT1,
    FS_COPY_MOMENT2,
    FS_COPIES
};

struct fs_checkpoint {
    float *copies[FS_COPIES]; /* [parameter count] each */
    int64_t update;           /* of the stage */
    int restarts;             /* how often training diverged and began again before it */
    const char *run;          /* id */
    const char *source_hash;
};

/* A checkpoint on the disk. */
struct fs_checkpoint_file {
    char path[FS_PATH_ROOM], sha256[FS_HASH_TEXT];
    int64_t bytes;
};

/* Writes OUT/runs/ID/checkpoint-UPDATE.safetensors atomically, and hashes it as it goes. Reads `dit` and `config` only,
 * so a thread of its own may do it. */
fs_status fs_checkpoint_write(const char *folder, const struct fs_dit *dit, const struct fs_config *config,
                              const struct fs_checkpoint *checkpoint, struct fs_checkpoint_file *file,
                              struct fs_error *error);

/* Reads the copies that are not NULL in `checkpoint` (each must be there; wrong shapes, missing parameters, another
 * model or a NaN are FS_USAGE) and the update. `run` and `source_hash` are left alone. */
fs_status fs_checkpoint_read(const char *path, const struct fs_dit *dit, struct fs_checkpoint *checkpoint,
                             struct fs_error *error);

/* Judges a file by itself: FS_USAGE unless it is a whole checkpoint of this run and update, each of its numbers finite.
 */
fs_status fs_checkpoint_check(const char *path, const char *run, int64_t update, struct fs_error *error);

/* FOLDER/checkpoint-UPDATE.safetensors */
fs_status fs_checkpoint_path(const char *folder, int64_t update, char path[FS_PATH_ROOM], struct fs_error *error);

/* The newest checkpoint of a folder: its path, or *update = −1 when there is none. */
fs_status fs_checkpoint_newest(const char *folder, char path[FS_PATH_ROOM], int64_t *update, struct fs_error *error);

/* Removes all checkpoints of a folder but those at `keep`. */
void fs_checkpoint_prune(const char *folder, const int64_t *keep, int keep_count);

/* The resolved configuration and identity in a checkpoint's metadata (owned, free()). */
fs_status fs_checkpoint_metadata(const char *path, char **config_json, char run[FS_HASH_TEXT],
                                 char source_hash[FS_HASH_TEXT], int64_t *update, struct fs_error *error);

#endif
