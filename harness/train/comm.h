/* Who takes part in a training: one process now, MPI and NCCL later. Rows are defined over the global batch and dealt
 * to ranks, so that their number changes no row. */
#ifndef FEWSTEP_COMM_H
#define FEWSTEP_COMM_H

#include <stdint.h>

#include "kernels/backend.h"

struct fs_comm {
    int rank, size;
    void (*all_reduce_sum)(struct fs_comm *comm, struct fs_view view);
    void (*broadcast)(struct fs_comm *comm, struct fs_view view, int root);
    void (*barrier)(struct fs_comm *comm);
};

/* The only process there is. */
struct fs_comm fs_comm_single(void);
/* The rows of the global batch that this rank takes: first … first + count − 1. */
void fs_comm_rows(const struct fs_comm *comm, int global_rows, int *first, int *count);

#endif
