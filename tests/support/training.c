/* A training that nobody listens to. */
#include "tests/support/training.h"

static volatile sig_atomic_t never;

static void no_progress(void *owner, const struct fs_train_progress *progress)
{
    (void)owner, (void)progress;
}

static fs_status no_curve(void *owner, int64_t update, const struct fs_train_value *values, int count,
                          struct fs_error *error)
{
    (void)owner, (void)update, (void)values, (void)count, (void)error;
    return FS_OK;
}

static fs_status no_note(void *owner, int64_t update, const struct fs_checkpoint_file *file, struct fs_error *error)
{
    (void)owner, (void)update, (void)file, (void)error;
    return FS_OK;
}

struct fs_training test_training(struct fs_backend *backend, const struct fs_config *config,
                                 const struct fs_dataset *data, const char *run, const char *folder)
{
    return (struct fs_training){.backend = backend,
                                .config = config,
                                .data = data,
                                .run = run,
                                .source_hash = "test",
                                .folder = folder,
                                .stop = &never,
                                .progress = no_progress,
                                .measured = no_curve,
                                .checkpointed = no_note};
}
