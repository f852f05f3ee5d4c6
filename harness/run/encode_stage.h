/* The command `encode`: pictures, autoencoder and extractor opened, the pictures encoded, their statistics kept. */
#ifndef FEWSTEP_ENCODE_STAGE_H
#define FEWSTEP_ENCODE_STAGE_H

#include "harness/comm/comm.h"
#include "harness/config/config.h"
#include "harness/sample/encode.h"

/* What the user asks for; texts may be NULL where they have a default. */
struct fs_encode_job {
    const char *source; /* a folder, or dataset:NAME */
    const char *folder; /* of the latents */
    const char *vae, *kind, *split, *crop, *background;
    const char *extractor, *resize; /* of the statistics; "none" */
    int64_t size;                   /* 0: as the pictures are */
    int64_t shard_rows;             /* 0: as many as fit (fs_encode) */
    int part, parts;
    enum fs_type stored, precision;
    enum fs_device_kind device;
    bool test, quiet;
};

/* As fs_encode; all ranks, each of which makes every size-th file of the part, and rank 0 what comes after these. One
 * that is stopped or fails leaves the others at work until theirs are made. Statistics of the pictures by the extractor
 * are added once the latents are complete, where they are not there yet: FOLDER/references. */
fs_status fs_encode_run(const struct fs_encode_job *job, struct fs_comm *comm, struct fs_encode_outcome *outcome,
                        struct fs_error *error);

#endif
