/* The entries of a method's table that most methods fill alike. */
#ifndef FEWSTEP_METHOD_DEFAULTS_H
#define FEWSTEP_METHOD_DEFAULTS_H

#include <stddef.h>

#include "methods/method.h"

double fs_no_teacher(const union fs_method_settings *settings);    /* teacher_share: 0 */
double fs_train_average(const union fs_method_settings *settings); /* target_ema: train.ema */
bool fs_never_guided(const union fs_method_settings *settings);    /* trains_guided: false */
bool fs_always_guided(const union fs_method_settings *settings);   /* trains_guided: true */
double fs_no_extra_forwards(const struct fs_method_setup *setup, const struct fs_phase *phase);
float fs_unconditioned(const struct fs_method_setup *setup, int steps);  /* s = 0 at every number of steps */
bool fs_inside_training(const struct fs_method_setup *setup, int steps); /* outside_training: nowhere */

/* The key `teacher_share` of a method that needs a flow-matching teacher; `settings` is its member's type. */
#define FS_TEACHER_SHARE_OPTION(settings)                                                                              \
    {                                                                                                                  \
        .key = "teacher_share", .kind = FS_OPTION_REAL, .offset = offsetof(settings, teacher_share),                   \
        .size = sizeof(double), .fallback = 0.5, .minimum = 0.01, .maximum = 0.99                                      \
    }

/* The one phase of a method that trains in one piece; returns 1. */
int fs_single_phase(const struct fs_method_setup *setup, enum fs_start start, bool on_pairs, struct fs_phase *phase);

#endif
