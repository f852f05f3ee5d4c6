/* The entries of a method's table that most methods fill alike. */
#include "methods/defaults.h"

fs_status fs_no_check(const struct fs_method_setup *setup, struct fs_error *error)
{
    (void)setup;
    (void)error;
    return FS_OK;
}

double fs_no_teacher(const void *settings)
{
    (void)settings;
    return 0;
}

double fs_train_average(const void *settings)
{
    (void)settings;
    return -1;
}

bool fs_never_guided(const void *settings)
{
    (void)settings;
    return false;
}

bool fs_always_guided(const void *settings)
{
    (void)settings;
    return true;
}

int fs_one_row_group(const struct fs_method_setup *setup, int counts[FS_ROW_GROUPS_MAX])
{
    counts[0] = setup->batch;
    return 1;
}

struct fs_loss fs_mean_square(const struct fs_method_setup *setup, const struct fs_phase *phase)
{
    (void)setup;
    (void)phase;
    return (struct fs_loss){.kind = FS_LOSS_MEAN_SQUARE};
}

double fs_no_extra_forwards(const struct fs_method_setup *setup, const struct fs_phase *phase)
{
    (void)setup;
    (void)phase;
    return 0;
}

float fs_unconditioned(const struct fs_method_setup *setup, int steps)
{
    (void)setup;
    (void)steps;
    return 0;
}

bool fs_inside_training(const struct fs_method_setup *setup, int steps)
{
    (void)setup;
    (void)steps;
    return false;
}

int fs_single_phase(const struct fs_method_setup *setup, enum fs_start start, struct fs_phase *phase)
{
    *phase = (struct fs_phase){.updates = setup->updates, .start = start, .level = setup->levels};
    return 1;
}
