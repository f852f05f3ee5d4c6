/* The processes that share the work of one command, called ranks: one, or those that MPI started. Trainer, sampler,
 * pairs and scores go through this table and know nothing of MPI, which lives in a shared object that is loaded where a
 * launcher asks for it (open.h). Buffers are in the host's memory. */
#ifndef FEWSTEP_COMM_H
#define FEWSTEP_COMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/error.h"

#define FS_COMM_ABI 1u
#define FS_RANKS_MAX 512

/* Every rank makes the same calls in the same order, with the same sizes. They return nothing: a rank or a link that
 * fails ends all ranks, by the launcher, and the next start goes on from the last checkpoint. */
struct fs_comm {
    uint32_t abi; /* FS_COMM_ABI of the headers it was built with: first, and checked when it is loaded */
    const char *name;
    int rank, size;             /* FS_RANKS_MAX at most */
    int local_rank, local_size; /* among the ranks of this machine */
    void *state;

    /* values [borders[size]]; this rank's part, from borders[rank] up to borders[rank + 1], becomes the sum over all
     * ranks, rounded after each addition in the order ((rank 0 + rank 1) + rank 2) + …, which no library chooses: two
     * runs on as many ranks have the same bits. The other parts stay as they were. */
    void (*reduce_scatter)(struct fs_comm *comm, float *values, const int64_t *borders);
    /* Each rank's part of `values` comes to all others. */
    void (*all_gather)(struct fs_comm *comm, float *values, const int64_t *borders);
    /* `size` bytes of the rank `root` come to all. */
    void (*broadcast)(struct fs_comm *comm, int root, void *bytes, size_t size);
    /* sizes[rank] bytes of each rank, one after the other in the order of ranks, into `all` of rank 0; the others'
     * `all` is not read. */
    void (*gather)(struct fs_comm *comm, const void *mine, void *all, const size_t *sizes);
    /* Ends all ranks at once with this exit status; does not return. For what the ranks cannot agree on. */
    void (*abort)(struct fs_comm *comm, int status);
    /* Once all ranks have come here; frees the table. */
    void (*close)(struct fs_comm *comm);
};

/* The only process there is; owned by nobody. */
struct fs_comm *fs_comm_single(void);

/* Of so many rows this rank takes first … first + count − 1: all ranks the same number, and what is left over goes a
 * row each to the ranks from `turn` (below size) on, one after the other. */
void fs_comm_rows(const struct fs_comm *comm, int rows, int turn, int *first, int *count);
/* Parts of a flat buffer of `count` numbers, one a rank: borders [size + 1], each but the last a multiple of `chunk`.
 */
void fs_comm_borders(const struct fs_comm *comm, int64_t count, int64_t chunk, int64_t *borders);

/* gather, of `size` bytes a rank. */
void fs_comm_gather_same(struct fs_comm *comm, const void *mine, size_t size, void *all);
/* Whether `mine` holds on any rank. A signal may reach only one. */
bool fs_comm_any(struct fs_comm *comm, bool mine);
/* Says what this rank has to say and ends all ranks: for what they cannot agree on. Does not return. */
void fs_comm_give_up(struct fs_comm *comm, const struct fs_error *error);
/* The first rank's status that is not FS_OK becomes that of all, with its error, which says whose it is. Where a step
 * can fail on one rank, all meet here behind it. */
fs_status fs_comm_agree(struct fs_comm *comm, fs_status status, struct fs_error *error);

#endif
