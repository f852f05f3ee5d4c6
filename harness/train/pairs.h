/* Pairs of noise and the teacher's picture of it (Reflow: Liu, Gong & Liu 2023), as a method's phase asks for them:
 * made once, stored, reused. */
#ifndef FEWSTEP_PAIRS_H
#define FEWSTEP_PAIRS_H

#include <signal.h>

#include "harness/comm/comm.h"
#include "harness/model/dit.h"
#include "harness/sample/sampler.h"

/* All pairs in memory. */
struct fs_pairs {
    int64_t count, dim;
    float *noise, *data; /* [count, dim] */
    int32_t *labels;     /* [count] */
};

/* What the pairs depend on besides their number: the teacher and how it is sampled. A hash, the name of their
 * folder. */
fs_status fs_pairs_name(const char *teacher_run, const struct fs_config *config, char name[FS_HASH_TEXT],
                        struct fs_error *error);

/* Makes the shards of `folder` that are not there yet, each atomically; stops early, with *finished false, when *stop
 * is set. `config` is the student's (fs_config_pairs); `sampler` evaluates the teacher's EMA; labels are uniform.
 * `progress` may be NULL. With several ranks each draws a shard at a time, and rank 0 writes them; `folder` and
 * `progress` are its alone. */
fs_status fs_pairs_make(const char *folder, struct fs_comm *comm, struct fs_sampler *sampler,
                        const struct fs_config *config, volatile sig_atomic_t *stop,
                        void (*progress)(void *owner, int64_t done, int64_t count), void *owner, bool *finished,
                        struct fs_error *error);

fs_status fs_pairs_read(const char *folder, int64_t count, int64_t dim, struct fs_pairs *pairs, struct fs_error *error);
/* Room for so many, zero; and rank 0's pairs to all. */
fs_status fs_pairs_create(int64_t count, int64_t dim, struct fs_pairs *pairs, struct fs_error *error);
void fs_pairs_share(struct fs_pairs *pairs, struct fs_comm *comm);
void fs_pairs_free(struct fs_pairs *pairs);

#endif
