/* What the sampling steps of methods share. */
#ifndef FEWSTEP_STEPS_H
#define FEWSTEP_STEPS_H

#include "methods/method.h"

/* x ← x + (next − t)·v(x, t, s). Uses scratch[0]. */
void fs_euler_step(struct fs_step *step);
/* Standard normals into out [n, dim], of a stream for this alone: other ones in each row and step. */
void fs_step_noise(struct fs_step *step, struct fs_view out);

#endif
