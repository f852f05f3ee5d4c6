/* Whether OpenBLAS has the memory that it cannot do without: a buffer of 128 MiB a thread on today's x86. Its threads
 * are begun when the library is loaded. One that has its buffer falls asleep within a tenth of a second; one that got
 * none asks again and again, without a pause. */
#include "kernels/cpu/blas_memory.h"

#include <cblas.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define BUFFER_BYTES ((size_t)160 << 20) /* with room for its alignment */
#define REST_BYTES ((size_t)64 << 20)    /* what oneDNN makes its code in: without it, some versions crash */
#define PAUSE_NS 10000000
#define PAUSES_MAX 500 /* on a busy machine a thread may wait for its turn */
#define PRODUCT 128    /* rows: no small matrix, which needs no buffer */

/* Whether a thread of this process runs or would. */
static bool is_running(const char *thread)
{
    char path[64], line[512] = "";
    snprintf(path, sizeof path, "/proc/self/task/%.20s/stat", thread);
    FILE *stream = fopen(path, "re");
    const bool there = stream && fgets(line, sizeof line, stream);
    if (stream) {
        fclose(stream);
    }
    const char *name_end = there ? strrchr(line, ')') : NULL; /* "TID (name) R …" */
    return name_end && strncmp(name_end, ") R", 3) == 0;
}

static bool others_run(void)
{
    char own[24];
    bool any = false;
    snprintf(own, sizeof own, "%ld", (long)getpid());
    DIR *threads = opendir("/proc/self/task");
    for (const struct dirent *entry; threads && !any && (entry = readdir(threads)) != NULL;) {
        any = entry->d_name[0] != '.' && strcmp(entry->d_name, own) != 0 && is_running(entry->d_name);
    }
    if (threads) {
        closedir(threads);
    }
    return any;
}

/* The calling thread's buffer, which it takes at its first product and keeps. */
static bool take_own_buffer(void)
{
    void *room = mmap(NULL, BUFFER_BYTES + REST_BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED) {
        return false;
    }
    munmap(room, BUFFER_BYTES + REST_BYTES);
    double *matrix = calloc((size_t)PRODUCT * PRODUCT, 2 * sizeof *matrix);
    if (matrix) {
        cblas_dsyrk(CblasRowMajor, CblasUpper, CblasNoTrans, PRODUCT, PRODUCT, 1, matrix, PRODUCT, 0,
                    matrix + (size_t)PRODUCT * PRODUCT, PRODUCT);
    }
    free(matrix);
    return matrix != NULL;
}

fs_status fs_blas_memory_check(struct fs_error *error)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
        return FS_OK;
    }
    bool waits = others_run();
    for (int i = 0; waits && i < PAUSES_MAX; i++) {
        const struct timespec pause = {.tv_nsec = PAUSE_NS};
        nanosleep(&pause, NULL);
        waits = others_run();
    }
    if (!waits && take_own_buffer()) {
        return FS_OK;
    }
    return fs_fail(error, FS_FAILED,
                   "no memory: this process may have %llu MiB (ulimit -v), and linear algebra needs about 128 MiB for "
                   "each of %d threads: allow more, or set OPENBLAS_NUM_THREADS=1",
                   (unsigned long long)(limit.rlim_cur >> 20), openblas_get_num_threads());
}
