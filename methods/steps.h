/* What the sampling steps of methods share, and steps that may stand in a method's place. */
#ifndef FEWSTEP_STEPS_H
#define FEWSTEP_STEPS_H

#include "methods/method.h"

/* x ← x + (next − t)·v(x, t, s). Uses scratch[0]. */
void fs_euler_step(struct fs_step *step);
/* Standard normals into out [n, dim], of a stream for this alone: other ones in each row and step. */
void fs_step_noise(struct fs_step *step, struct fs_view out);

/* What takes a step: the method's own, or one of second order where a method leaves it free (FS_ANY_SOLVER). */
enum fs_solver { FS_SOLVER_METHOD, FS_SOLVER_HEUN, FS_SOLVER_MIDPOINT };
#define FS_SOLVER_NAMES "method|heun|midpoint"
const char *fs_solver_name(enum fs_solver solver);
/* Heun's step evaluates the velocity at both ends, but for the last one, which is Euler's: no network was trained at
 * t = 1 (Karras, Aittala, Aila, Laine 2022, algorithm 1). The midpoint's evaluates it at t and halfway. Both use both
 * scratch views. */
void fs_solver_step(enum fs_solver solver, const struct fs_method *method, struct fs_step *step);
/* Evaluations of the network in N steps, guidance not counted: N, 2N − 1 of Heun's, 2N of the midpoint's. */
int64_t fs_solver_evaluations(enum fs_solver solver, int steps);

/* The time of a uniform grid's t on the grid that is shifted by `shift`: t/(t + shift·(1 − t)); 1 moves none, above 1
 * more steps stand near the noise. Esser et al., Scaling Rectified Flow Transformers, 2024, equation 23, whose time
 * is 1 − t and whose √(m/n) is `shift`. */
double fs_shifted_time(double t, double shift);

#endif
