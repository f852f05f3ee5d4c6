/* The velocity that a perfect network would have learned from a training set: flow matching's, in closed form. Sampling
 * with it in a network's place says how far N steps can come at all; it draws pictures of the training set. */
#ifndef FEWSTEP_EXACT_VELOCITY_H
#define FEWSTEP_EXACT_VELOCITY_H

#include "harness/data/dataset.h"
#include "harness/sample/generator.h"

struct fs_exact_velocity;

/* Reads all pictures of `data` into the backend's memory, twice. `config` says what labels tell (classes, groups), and
 * how samples are drawn; its method does not matter. `rows` [capacity] at once. Both must outlive it. */
fs_status fs_exact_velocity_open(struct fs_exact_velocity **exact, struct fs_backend *backend,
                                 const struct fs_config *config, const struct fs_dataset *data, int rows,
                                 struct fs_error *error);
void fs_exact_velocity_close(struct fs_exact_velocity *exact);

/* velocity [n, dim] at x [n, dim], times t [n] below 1, labels [n] as networks are told them (the null label: of all
 * pictures), n ≤ rows: v = E[x1 − (1 − σ)·x0 | x_t = x]. With x0 = (x − t·x1)/a, a = 1 − (1 − σ)·t, and the pictures x1
 * equally likely, the posterior is softmax over pictures of (t·x·x1 − t²·|x1|²/2)/a², and
 * v = m − (1 − σ)·(x − t·m)/a with its mean m. */
fs_status fs_exact_velocity(struct fs_exact_velocity *exact, struct fs_view velocity, struct fs_view x, const float *t,
                            const int32_t *labels, struct fs_error *error);

/* Why it could not be evaluated within the sampler since it was opened; FS_OK: it could. */
fs_status fs_exact_velocity_failed(const struct fs_exact_velocity *exact, struct fs_error *error);

/* A generator that draws with it: Euler's steps of flow matching, or those that evaluate.sampler and time_shift say.
 * Closed with fs_generator_close; as fs_generator_open in all else. */
fs_status fs_generator_open_exact(struct fs_generator *generator, struct fs_backend *backend,
                                  const struct fs_config *config, const struct fs_dataset *data,
                                  struct fs_error *error);

#endif
