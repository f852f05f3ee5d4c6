/* A checkpoint written by a thread of its own. */
#include "harness/train/checkpoint_writer.h"

#include <stdlib.h>
#include <time.h>

#include "kernels/base/thread.h"

void fs_checkpoint_free_copies(struct fs_checkpoint *checkpoint)
{
    for (int i = 0; i < FS_COPIES; i++) {
        free(checkpoint->copies[i]);
        checkpoint->copies[i] = NULL;
    }
}

static double thread_seconds(void)
{
    struct timespec time = {0};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void *write_checkpoint(void *owner)
{
    struct fs_checkpoint_writer *writer = owner;
    const double begin = thread_seconds();
    writer->status = fs_checkpoint_write(writer->folder, writer->dit, writer->config, &writer->checkpoint,
                                         &writer->file, &writer->error);
    fs_checkpoint_free_copies(&writer->checkpoint);
    writer->processor_seconds = thread_seconds() - begin;
    pthread_mutex_lock(&writer->mutex);
    writer->done = true;
    pthread_mutex_unlock(&writer->mutex);
    return NULL;
}

void fs_checkpoint_writer_begin(struct fs_checkpoint_writer *writer, const char *folder, const struct fs_dit *dit,
                                const struct fs_config *config, const struct fs_checkpoint *checkpoint)
{
    *writer = (struct fs_checkpoint_writer){
        .folder = folder, .dit = dit, .config = config, .checkpoint = *checkpoint, .busy = true};
    pthread_mutex_init(&writer->mutex, NULL);
    writer->in_thread = fs_thread_start(&writer->thread, write_checkpoint, writer);
    if (!writer->in_thread) {
        write_checkpoint(writer);
    }
}

bool fs_checkpoint_writer_done(struct fs_checkpoint_writer *writer)
{
    pthread_mutex_lock(&writer->mutex);
    const bool done = writer->done;
    pthread_mutex_unlock(&writer->mutex);
    return done;
}

fs_status fs_checkpoint_writer_end(struct fs_checkpoint_writer *writer, struct fs_checkpoint_file *file,
                                   struct fs_error *error)
{
    if (writer->in_thread) {
        pthread_join(writer->thread, NULL);
    }
    pthread_mutex_destroy(&writer->mutex);
    writer->busy = false;
    *file = writer->file;
    if (writer->status != FS_OK) {
        *error = writer->error;
    }
    return writer->status;
}
