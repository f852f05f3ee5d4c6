/* What the ranks behind rank 0 do during a command. */
#ifndef FEWSTEP_WORKER_H
#define FEWSTEP_WORKER_H

#include "harness/comm/comm.h"

/* A command of one of several ranks. */
typedef fs_status fs_ranks_command(struct fs_comm *comm, int argc, char **argv, struct fs_error *error);

/* Opens the ranks, if there are several, refuses those that are not the same program started in the same way, and runs
 * the command on rank 0, while the others do what it orders. What the command returns; on the others FS_OK, or a
 * failure without a text where rank 0 says it. */
fs_status fs_run_ranks(fs_ranks_command *command, int argc, char **argv, struct fs_error *error);
/* The same, where every rank runs the command and all come to the same end; what those behind rank 0 print is dropped.
 */
fs_status fs_run_each_rank(fs_ranks_command *command, int argc, char **argv, struct fs_error *error);

#endif
