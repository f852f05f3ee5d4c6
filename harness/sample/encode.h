/* Encoding: from pictures to a folder of latents (harness/data/latents.h). */
#ifndef FEWSTEP_ENCODE_H
#define FEWSTEP_ENCODE_H

#include <signal.h>

#include "harness/data/latents.h"
#include "harness/model/autoencoder.h"

struct fs_encode_request {
    const struct fs_dataset *pictures; /* 8 bits; read picture by picture, one after the other */
    const char *source;                /* what the user called them */
    const char *identity;              /* what tells these pictures from others, for an encoding that goes on */
    struct fs_autoencoder *autoencoder;
    const char *device; /* that it computes on: its bits are not another's */
    enum fs_type stored;
    const char *folder;     /* made when it is not there */
    int part, parts;        /* the shards whose number modulo `parts` is `part` */
    int64_t shard_rows;     /* pictures in a shard; 0: as many as FS_LATENTS_SHARD_BYTES has room for */
    int64_t pictures_limit; /* only the first so many; 0: all */
    const volatile sig_atomic_t *stop;
    void *owner;
    void (*progress)(void *owner, int64_t done, int64_t of, double rate); /* pictures, of this part, a second */
};

struct fs_encode_outcome {
    int shards, finished; /* of the whole; how many of them are there */
    bool complete;        /* all, and latents.json is written */
    struct fs_latents_manifest manifest;
};

/* Makes the shards of this part that are not there, and latents.json once all are, whoever made them: processes may
 * share a folder, and one that was killed goes on with the same bytes; a kill costs a minute. FS_STOPPED when *stop was
 * set; FS_USAGE for pictures that the autoencoder cannot take, a folder that holds something else (another autoencoder,
 * other pictures), latents that are not finite or have no room in fp16; FS_FAILED for a full disk: nothing that was
 * made is lost. Free the outcome's manifest, after a failure too. */
fs_status fs_encode(const struct fs_encode_request *request, struct fs_encode_outcome *outcome, struct fs_error *error);

#endif
