/* Who takes part in a training: one process now, MPI and NCCL later. dealt_rows.h deals the rows of the global batch to
 * ranks. */
#ifndef FEWSTEP_COMM_H
#define FEWSTEP_COMM_H

#include <stdint.h>

#include "kernels/backend.h"

struct fs_comm {
    int rank, size;
    void (*all_reduce_sum)(struct fs_comm *comm, struct fs_view view);
};

/* The only process there is. */
struct fs_comm fs_comm_single(void);
/* Of so many rows this rank takes first … first + count − 1. */
void fs_comm_rows(const struct fs_comm *comm, int rows, int *first, int *count);

#endif
