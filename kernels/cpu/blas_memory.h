/* Whether OpenBLAS has the memory that it cannot do without. */
#ifndef FEWSTEP_BLAS_MEMORY_H
#define FEWSTEP_BLAS_MEMORY_H

#include "kernels/base/error.h"

/* FS_FAILED where the process's memory is limited (ulimit -v) below what OpenBLAS takes a thread: its threads then ask
 * for it for ever, from before main on, and nothing that waits for them ends, exit() among it: leave with _exit().
 * Where there is no such limit nothing is done. Before any other thread is begun. */
fs_status fs_blas_memory_check(struct fs_error *error);

#endif
