/* Who started this process, and with how many others. */
#ifndef FEWSTEP_COMM_OPEN_H
#define FEWSTEP_COMM_OPEN_H

#include "harness/comm/comm.h"

/* What a launcher of MPI programs says in the environment of a process. */
struct fs_launcher {
    const char *name; /* "mpirun", "srun"; NULL: none */
    int rank, size;   /* size 0: it does not say */
};
/* `variable` is getenv, or a test's. Only what is set anew for each process of a step counts: in a batch script of
 * Slurm, too, SLURM_NTASKS is set, and a program that it starts by itself is one process. FEWSTEP_RANKS=single in the
 * environment makes each process one by itself, whoever started it. */
struct fs_launcher fs_launcher_find(char *(*variable)(const char *name));

/* The ranks that were started with this one, or the single process. Under a launcher of several, libfewstep_mpi.so in
 * the program's folder is loaded: FS_USAGE where it is not there or sees other ranks than the launcher says; that has a
 * text on rank 0 only, so that the line stands there once. To be given back with comm->close. */
fs_status fs_comm_open(struct fs_comm **comm, struct fs_error *error);

#endif
