/* A folder of latents, as `fewstep encode` leaves it: shards in the safetensors format, and behind them latents.json,
 * which says what they are. A folder without it is not finished. */
#ifndef FEWSTEP_LATENTS_H
#define FEWSTEP_LATENTS_H

#include "harness/data/dataset.h"
#include "kernels/base/safetensors.h"

#define FS_LATENTS_MANIFEST "latents.json"
#define FS_LATENTS_UNFINISHED "unfinished.json" /* the same of an encoding under way */
#define FS_LATENTS_SHARD_BYTES 256000000        /* at most, unless one picture needs more */
#define FS_LATENTS_NAME 40                      /* of a shard: latents-00007.safetensors */

struct fs_latents_shard {
    int64_t rows;    /* pictures */
    char sha256[65]; /* of its tensors, as in its own header (FS_TENSOR_SUM_KEY) */
};

struct fs_latents_manifest {
    struct fs_data_shape shape;   /* of the latents; count: pictures */
    struct fs_data_shape picture; /* height, width and channels of what was encoded */
    char pictures_sha256[65];     /* of the pictures: fs_latents_pictures_hash */
    char autoencoder_sha256[65];
    char precision[8], device[32]; /* that it computed with */
    double scale, shift;           /* a network learns (z − shift)·scale */
    enum fs_type stored;           /* FS_F16 or FS_F32 */
    char plan[65];                 /* what an encoding that goes on must agree with; not hashed */
    char source[FS_PATH_ROOM];     /* what the pictures were called; not hashed */
    struct fs_latents_shard *shards;
    int shard_count;
};

/* FOLDER/NAME. FS_USAGE for one that is not there or not sound. Free also after a failure. */
fs_status fs_latents_manifest_read(const char *folder, const char *name, struct fs_latents_manifest *manifest,
                                   struct fs_error *error);
/* Atomically. Shards without sha256 are of an encoding under way. */
fs_status fs_latents_manifest_write(const char *folder, const char *name, const struct fs_latents_manifest *manifest,
                                    struct fs_error *error);
void fs_latents_manifest_free(struct fs_latents_manifest *manifest);

/* The hash of the data: over shape, autoencoder, scale and the shards' hashes, in which the labels are. No name, no
 * place. */
void fs_latents_hash(const struct fs_latents_manifest *manifest, char sha256[65]);

/* Whether these are data of the kind latents. */
bool fs_latents_named(const struct fs_dataset_config *config);
/* What is behind a data set of the kind latents; NULL: it is of another kind. Of the data set. */
const struct fs_latents_manifest *fs_latents_of(const struct fs_dataset *dataset);
/* The folder that it lies in. */
const char *fs_latents_folder(const struct fs_dataset *dataset);

/* --- a shard --- */

/* Its tensors, the first two of `stored`: [rows, 2, height, width, channels], first of the picture and then of its
 * mirror image, as the autoencoder gives them, neither shifted nor scaled; whether there are labels depends on classes.
 */
enum fs_latents_tensor {
    FS_LATENTS_MEAN,
    FS_LATENTS_LOG_VARIANCE,
    FS_LATENTS_PICTURES,
    FS_LATENTS_LABELS,
    FS_LATENTS_TENSORS
};

/* The name of shard `index`, and how many pictures one holds. */
void fs_latents_shard_name(int index, char name[FS_LATENTS_NAME]);
int64_t fs_latents_shard_rows(const struct fs_latents_manifest *manifest);
/* The tensors of a shard of `rows` pictures, without data; how many. */
int fs_latents_shard_tensors(const struct fs_latents_manifest *manifest, int64_t rows,
                             struct fs_tensor tensors[FS_LATENTS_TENSORS]);
/* What stands in its metadata besides the sum; `texts` holds the numbers. */
#define FS_LATENTS_METADATA 5
struct fs_latents_texts {
    char scale[32], shift[32];
};
void fs_latents_shard_metadata(const struct fs_latents_manifest *manifest, struct fs_latents_texts *texts,
                               struct fs_tensor_metadata metadata[FS_LATENTS_METADATA]);

#endif
