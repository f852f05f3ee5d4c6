/* A checkpoint written by a thread of its own, while the training goes on: it hashes as it writes, and touches nothing
 * but its copy of the state and its file. */
#ifndef FEWSTEP_CHECKPOINT_WRITER_H
#define FEWSTEP_CHECKPOINT_WRITER_H

#include <pthread.h>

#include "harness/checkpoint/checkpoint.h"

/* Zero where nothing is being written. */
struct fs_checkpoint_writer {
    const char *folder;
    const struct fs_dit *dit;
    const struct fs_config *config;
    struct fs_checkpoint checkpoint; /* its copies are the writer's own */
    bool busy, in_thread;
    pthread_t thread;
    pthread_mutex_t mutex; /* guards `done` */
    bool done;             /* what follows is the caller's from then on */
    fs_status status;
    struct fs_error error;
    struct fs_checkpoint_file file;
    double processor_seconds; /* that the thread took */
};

/* Begins to write a checkpoint into `folder`, and takes its copies over; the other arguments have to outlive the write,
 * the network's parameter table included. At most one at a time. Where there is no thread to be had it is written
 * before this returns. */
void fs_checkpoint_writer_begin(struct fs_checkpoint_writer *writer, const char *folder, const struct fs_dit *dit,
                                const struct fs_config *config, const struct fs_checkpoint *checkpoint);
/* Whether fs_checkpoint_writer_end would not wait. */
bool fs_checkpoint_writer_done(struct fs_checkpoint_writer *writer);
/* Waits for the write's end, with the file renamed and on the disk: `file` is it. Its error is returned. */
fs_status fs_checkpoint_writer_end(struct fs_checkpoint_writer *writer, struct fs_checkpoint_file *file,
                                   struct fs_error *error);

void fs_checkpoint_free_copies(struct fs_checkpoint *checkpoint);

#endif
