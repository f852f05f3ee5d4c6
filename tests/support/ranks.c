/* Several ranks in a test without MPI: processes that this one forks, joined by memory that they share. */
#include "tests/support/ranks.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/support/folder.h"

#define ROOM ((size_t)4 << 20) /* bytes that a rank gives at once */

struct shared {
    pthread_barrier_t barrier;
    char room[TEST_RANKS_MAX][ROOM];
};

struct rank {
    struct fs_comm comm;
    struct shared *shared;
};

static struct shared *shared_of(struct fs_comm *comm)
{
    struct rank *rank = comm->state;
    return rank->shared;
}

static void meet(struct fs_comm *comm)
{
    pthread_barrier_wait(&shared_of(comm)->barrier);
}

/* Who gives or takes nothing may name NULL, which memcpy may not get. */
static void copy(void *to, const void *from, size_t size)
{
    if (size > 0) {
        memcpy(to, from, size);
    }
}

static void put(struct fs_comm *comm, const void *bytes, size_t size)
{
    if (size > ROOM) {
        fprintf(stderr, "tests: %zu bytes are more than ranks of a test share\n", size);
        comm->abort(comm, 99);
    }
    copy(shared_of(comm)->room[comm->rank], bytes, size);
}

static void reduce_scatter(struct fs_comm *comm, float *values, const int64_t *borders)
{
    put(comm, values, (size_t)borders[comm->size] * sizeof *values);
    meet(comm);
    for (int64_t i = borders[comm->rank]; i < borders[comm->rank + 1]; i++) {
        for (int k = 0; k < comm->size; k++) {
            float part;
            memcpy(&part, shared_of(comm)->room[k] + (size_t)i * sizeof part, sizeof part);
            values[i] = k == 0 ? part : values[i] + part;
        }
    }
    meet(comm);
}

static void all_gather(struct fs_comm *comm, float *values, const int64_t *borders)
{
    put(comm, values, (size_t)borders[comm->size] * sizeof *values);
    meet(comm);
    for (int k = 0; k < comm->size; k++) {
        memcpy(values + borders[k], shared_of(comm)->room[k] + (size_t)borders[k] * sizeof *values,
               (size_t)(borders[k + 1] - borders[k]) * sizeof *values);
    }
    meet(comm);
}

static void broadcast(struct fs_comm *comm, int root, void *bytes, size_t size)
{
    if (comm->rank == root) {
        put(comm, bytes, size);
    }
    meet(comm);
    copy(bytes, shared_of(comm)->room[root], size);
    meet(comm);
}

static void gather(struct fs_comm *comm, const void *mine, void *all, const size_t *sizes)
{
    put(comm, mine, sizes[comm->rank]);
    meet(comm);
    char *at = all;
    for (int k = 0; comm->rank == 0 && k < comm->size; k++) {
        copy(at, shared_of(comm)->room[k], sizes[k]);
        at += sizes[k];
    }
    meet(comm);
}

static void abort_rank(struct fs_comm *comm, int status)
{
    (void)comm;
    _exit(status);
}

static void close_rank(struct fs_comm *comm)
{
    (void)comm;
}

static void run_rank(struct shared *shared, int rank, int ranks, int (*body)(struct fs_comm *comm, void *argument),
                     void *argument, const char *log)
{
    char number[16];
    snprintf(number, sizeof number, "%d", rank);
    setenv("OMPI_COMM_WORLD_LOCAL_RANK", number, 1);
    alarm(150); /* the others of a rank that ended wait at the barrier for ever */
    struct rank state = {{.abi = FS_COMM_ABI,
                          .name = "a test's",
                          .rank = rank,
                          .size = ranks,
                          .local_rank = rank,
                          .local_size = ranks,
                          .reduce_scatter = reduce_scatter,
                          .all_gather = all_gather,
                          .broadcast = broadcast,
                          .gather = gather,
                          .abort = abort_rank,
                          .close = close_rank},
                         shared};
    state.comm.state = &state;
    if (freopen(log, "a", stderr) == NULL) {
        _exit(98);
    }
    setvbuf(stderr, NULL, _IONBF, 0); /* a rank may end at any moment */
    const int status = body(&state.comm, argument);
    fflush(NULL);
    _exit(status);
}

void test_ranks_run(int ranks, int (*body)(struct fs_comm *comm, void *argument), void *argument,
                    int exits[TEST_RANKS_MAX], char *text, size_t size)
{
    char log[600];
    pid_t processes[TEST_RANKS_MAX];
    pthread_barrierattr_t attributes;
    snprintf(log, sizeof log, "%s", test_path("ranks.log"));
    remove(log);
    assert_in_range(ranks, 1, TEST_RANKS_MAX);
    struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    pthread_barrierattr_init(&attributes);
    pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&shared->barrier, &attributes, (unsigned)ranks);
    fflush(NULL);
    for (int rank = 0; rank < ranks; rank++) {
        processes[rank] = fork();
        assert_true(processes[rank] >= 0);
        if (processes[rank] == 0) {
            run_rank(shared, rank, ranks, body, argument, log);
        }
    }
    for (int left = ranks; left > 0; left--) { /* in the order in which they end: the others look whether it has */
        int status;
        const pid_t ended = wait(&status);
        assert_true(ended > 0);
        for (int rank = 0; rank < ranks; rank++) {
            if (processes[rank] == ended) {
                exits[rank] = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            }
        }
    }
    munmap(shared, sizeof *shared);
    FILE *stream = fopen(log, "r");
    const size_t length = stream ? fread(text, 1, size - 1, stream) : 0;
    text[length] = '\0';
    if (stream) {
        fclose(stream);
    }
}
