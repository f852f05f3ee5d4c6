/* Ways of doing the same on this device: how long each takes, and the fastest of them, found once and kept where
 * FEWSTEP_CUDA_PRODUCTS names a folder. Another way may add in another order: without the folder a choice that depends
 * on a clock would give a run that goes on other bits, so nothing is timed, and the first way is taken. */
#ifndef FEWSTEP_CUDA_TIMING_H
#define FEWSTEP_CUDA_TIMING_H

#include "kernels/cuda/cuda.h"

#define FS_TIMED_CALLS 5 /* of each way, behind one that is not counted */

/* Seconds of FS_TIMED_CALLS calls of `once`; negative when it returns false (it is refused), or on a fault. */
template <class Once> static inline double fs_cuda_time(struct fs_cuda *cuda, const Once &once)
{
    double begin = 0;
    for (int i = 0; i <= FS_TIMED_CALLS; i++) {
        if (!once()) {
            return -1;
        }
        if ((i == 0 || i == FS_TIMED_CALLS) && !FS_CUDA_CHECK(cuda, cudaStreamSynchronize(cuda->stream))) {
            return -1;
        }
        begin = i == 0 ? fs_cuda_seconds() : begin;
    }
    return fs_cuda_seconds() - begin;
}

/* The fastest of the ways 0 … count − 1, each done by once(way), which must change nothing that lasts; 0 when all are
 * refused. */
template <class Once> static inline int fs_cuda_fastest(struct fs_cuda *cuda, int count, const Once &once)
{
    int best = 0;
    double least = -1;
    for (int way = 0; way < count && cuda->fault.status == FS_OK; way++) {
        const double seconds = fs_cuda_time(cuda, [&] { return once(way); });
        if (seconds >= 0 && (least < 0 || seconds < least)) {
            least = seconds;
            best = way;
        }
    }
    return best;
}

/* Whether the way to take for a key is known without timing: it is what was kept for it, or the first one where nothing
 * can be timed now. A key is `numbers` numbers (12 at most), compared among those of one kind. */
bool fs_cuda_knows_way(struct fs_cuda *cuda, const char *kind, const int64_t *key, int numbers, int count, int *way);
/* Keeps what was timed: `way` becomes what another process kept, where that one was first. */
void fs_cuda_keep_way(struct fs_cuda *cuda, const char *kind, const int64_t *key, int numbers, int count, int *way);
/* All of them, at the end. */
void fs_cuda_forget_ways(struct fs_cuda *cuda);

#endif
