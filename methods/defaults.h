/* The entries of a method's table that most methods fill alike. */
#ifndef FEWSTEP_METHOD_DEFAULTS_H
#define FEWSTEP_METHOD_DEFAULTS_H

#include "methods/method.h"

fs_status fs_no_check(const struct fs_method_setup *setup, struct fs_error *error);       /* check: all goes */
double fs_no_teacher(const void *settings);                                               /* teacher_share: 0 */
double fs_train_average(const void *settings);                                            /* target_ema: train.ema */
bool fs_never_guided(const void *settings);                                               /* trains_guided: false */
bool fs_always_guided(const void *settings);                                              /* trains_guided: true */
int fs_one_row_group(const struct fs_method_setup *setup, int counts[FS_ROW_GROUPS_MAX]); /* all rows alike */
struct fs_loss fs_mean_square(const struct fs_method_setup *setup, const struct fs_phase *phase);
double fs_no_extra_forwards(const struct fs_method_setup *setup, const struct fs_phase *phase);
float fs_unconditioned(const struct fs_method_setup *setup, int steps);  /* s = 0 at every number of steps */
bool fs_inside_training(const struct fs_method_setup *setup, int steps); /* outside_training: nowhere */

/* The one phase of a method that trains in one piece, on the data set; returns 1. */
int fs_single_phase(const struct fs_method_setup *setup, enum fs_start start, struct fs_phase *phase);

#endif
