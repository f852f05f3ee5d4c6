/* Ranks: rows and parts that are dealt, launchers that are recognised, the slow one, and, started by mpirun with as
 * many processes as the name says, what they send each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/comm/open.h"
#include "harness/train/slow_rank.h"
#include "kernels/base/random.h"
#include "tests/support/shell.h"

static char program[512], module[600];

static void each_row_is_dealt_once(void **state)
{
    (void)state;
    for (int size = 1; size <= 9; size++) {
        for (int rows = size, turn = 0; rows < 70; rows += 7, turn = (turn + 1) % size) {
            int next = 0;
            for (int rank = 0; rank < size; rank++) {
                struct fs_comm comm = *fs_comm_single();
                int first = -1, count = -1;
                comm.rank = rank;
                comm.size = size;
                fs_comm_rows(&comm, rows, turn, &first, &count);
                assert_int_equal(first, next);
                assert_in_range(count, rows / size, (rows + size - 1) / size);
                next += count;
            }
            assert_int_equal(next, rows);
        }
    }
}

static void parts_begin_at_whole_chunks(void **state)
{
    (void)state;
    static const int64_t counts[] = {16, 4096, 4097, 1 << 20, (1 << 20) + 16};
    for (int size = 1; size <= 9; size++) {
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
            struct fs_comm comm = *fs_comm_single();
            int64_t borders[10];
            comm.size = size;
            fs_comm_borders(&comm, counts[i], 4096, borders);
            assert_int_equal(borders[0], 0);
            assert_int_equal(borders[size], counts[i]);
            for (int r = 0; r < size; r++) {
                assert_int_equal(borders[r] % 4096, 0);
                assert_true(borders[r + 1] >= borders[r]);
                assert_true(borders[r + 1] - borders[r] <= (counts[i] / 4096 / size + 2) * 4096);
            }
        }
    }
}

/* --- launchers --- */

static const char *const *variables; /* "NAME=VALUE", NULL behind the last */

static char *variable(const char *name)
{
    const size_t length = strlen(name);
    for (int i = 0; variables[i]; i++) {
        if (strncmp(variables[i], name, length) == 0 && variables[i][length] == '=') {
            return (char *)variables[i] + length + 1;
        }
    }
    return NULL;
}

static void launchers_are_recognised_by_what_each_process_has(void **state)
{
    (void)state;
    static const struct {
        const char *variables[6];
        const char *name;
        int rank, size;
    } cases[] = {
        {{NULL}, NULL, 0, 1},
        {{"OMPI_COMM_WORLD_RANK=3", "OMPI_COMM_WORLD_SIZE=4", "PMIX_RANK=3"}, "mpirun", 3, 4},
        {{"PMI_RANK=1", "PMI_SIZE=2"}, "mpirun", 1, 2},
        {{"SLURM_PROCID=5", "SLURM_STEP_NUM_TASKS=8", "SLURM_NTASKS=16"}, "srun", 5, 8},
        {{"SLURM_PROCID=0", "SLURM_NTASKS=16", "SLURM_JOB_ID=7"}, NULL, 0, 1}, /* a batch script */
        {{"SLURM_PROCID=0", "SLURM_STEP_NUM_TASKS=1", "OMPI_COMM_WORLD_RANK=1", "OMPI_COMM_WORLD_SIZE=2"},
         "mpirun",
         1,
         2},
        {{"PMIX_RANK=2"}, "its launcher", 2, 0},
        {{"OMPI_COMM_WORLD_RANK=3", "OMPI_COMM_WORLD_SIZE=4", "FEWSTEP_RANKS=single"}, NULL, 0, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        variables = cases[i].variables;
        const struct fs_launcher launcher = fs_launcher_find(variable);
        assert_int_equal(launcher.rank, cases[i].rank);
        assert_int_equal(launcher.size, cases[i].size);
        assert_true((launcher.name == NULL) == (cases[i].name == NULL));
        assert_true(launcher.name == NULL || strcmp(launcher.name, cases[i].name) == 0);
    }
}

static void the_slow_rank_is_named(void **state)
{
    (void)state;
    double seconds[5] = {0}, factor;
    const double update[5] = {1, 1.1, 2, 1, 0.9};
    fs_rank_times_add(seconds, update, 5);
    assert_int_equal(fs_slow_rank(seconds, 5, &factor), 2);
    assert_true(factor > 1.99 && factor < 2.01);
    assert_int_equal(fs_slow_rank(seconds, 2, &factor), -1);
    assert_int_equal(fs_slow_rank(seconds + 1, 2, &factor), 1); /* of two, the slower one */
    assert_int_equal(fs_slow_rank(seconds, 1, &factor), -1);
    const double usual[5] = {1, 1, 1, 1, 1};
    for (int i = 0; i < 40; i++) {
        fs_rank_times_add(seconds, usual, 5);
    }
    assert_int_equal(fs_slow_rank(seconds, 5, &factor), -1); /* what was is forgotten */
}

/* --- by mpirun --- */

/* A number of a rank: of any size, so that another order of additions has other bits. */
static float value_of(int rank, int64_t i)
{
    float four[4];
    fs_normals4((struct fs_random_key){.seed = 5, .stream = FS_STREAM_TEST}, (uint32_t)rank, (uint32_t)(i / 4), four);
    return four[i % 4] * (float)(1 << (i * 7 + rank * 5) % 20);
}

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("rank %d: %s\n", comm->rank, #condition);                                                           \
            return 1;                                                                                                  \
        }                                                                                                              \
    } while (0)

static int check_sums(struct fs_comm *comm, int64_t count, int64_t chunk)
{
    int64_t borders[FS_RANKS_MAX + 1];
    float *values = malloc((size_t)count * sizeof *values);
    CHECK(values != NULL);
    fs_comm_borders(comm, count, chunk, borders);
    for (int64_t i = 0; i < count; i++) {
        values[i] = value_of(comm->rank, i);
    }
    comm->reduce_scatter(comm, values, borders);
    comm->all_gather(comm, values, borders);
    for (int64_t i = 0; i < count; i++) {
        float sum = value_of(0, i);
        for (int r = 1; r < comm->size; r++) {
            sum += value_of(r, i);
        }
        CHECK(memcmp(&sum, &values[i], sizeof sum) == 0);
    }
    free(values);
    return 0;
}

static int check_bytes(struct fs_comm *comm)
{
    char text[64] = "", all[256];
    size_t sizes[FS_RANKS_MAX], at = 0;
    for (int root = 0; root < comm->size; root++) {
        snprintf(text, sizeof text, "said by %d", comm->rank);
        comm->broadcast(comm, root, text, sizeof text);
        CHECK(atoi(text + 8) == root);
    }
    for (int r = 0; r < comm->size; r++) {
        sizes[r] = (size_t)(r * 3 % 4); /* none of rank 0 */
    }
    memset(text, 'a' + comm->rank, sizeof text);
    comm->gather(comm, text, all, sizes);
    for (int r = 0; comm->rank == 0 && r < comm->size; r++) {
        for (size_t i = 0; i < sizes[r]; i++) {
            CHECK(all[at++] == 'a' + r);
        }
    }
    return 0;
}

static int check_agreement(struct fs_comm *comm)
{
    struct fs_error error = {.status = FS_OK, .text = "nothing"};
    CHECK(fs_comm_agree(comm, FS_OK, &error) == FS_OK);
    CHECK(strcmp(error.text, "nothing") == 0);
    CHECK(!fs_comm_any(comm, false));
    for (int r = 0; r < comm->size; r++) {
        char expected[64];
        CHECK(fs_comm_any(comm, comm->rank == r));
        snprintf(expected, sizeof expected, r > 0 ? "rank %d: no memory of %d" : "no memory of 0", r, r);
        fs_status status = FS_OK;
        if (comm->rank >= r) { /* the first counts */
            status = fs_fail(&error, comm->rank == r ? FS_USAGE : FS_FAILED, "no memory of %d", comm->rank);
        }
        CHECK(fs_comm_agree(comm, status, &error) == FS_USAGE);
        CHECK(strcmp(error.text, expected) == 0);
    }
    return 0;
}

/* What each rank does; 0: all was as it should be. */
static int be_a_rank(int size)
{
    struct fs_comm *(*create)(void);
    void *library = dlopen(module, RTLD_NOW | RTLD_GLOBAL);
    *(void **)&create = library ? dlsym(library, "fs_comm_mpi") : NULL;
    if (create == NULL) {
        printf("%s\n", dlerror());
        return 1;
    }
    struct fs_comm *comm = create();
    if (comm == NULL) {
        printf("a rank has no communication\n");
        return 1;
    }
    CHECK(comm->abi == FS_COMM_ABI && comm->size == size && comm->local_size == size);
    CHECK(comm->local_rank == comm->rank && strlen(comm->name) > 3);
    /* Fewer chunks than ranks, several pieces of a message, odd ends. */
    static const int64_t counts[] = {1, 100, 4096, 12345, 1200007};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        if (check_sums(comm, counts[i], 64) != 0) {
            return 1;
        }
    }
    const int failed = check_bytes(comm) + check_agreement(comm);
    comm->close(comm);
    return failed;
}

static void ranks_add_and_tell(void **state)
{
    (void)state;
    static char text[8192];
    if (test_shell(text, sizeof text, "command -v mpirun && test -e %s", module) != 0) {
        print_message("skipped: there is no mpirun, or no %s (libopenmpi-dev, openmpi-bin)\n", module);
        skip();
    }
    for (int size = 2; size <= 5; size += 3) {
        const int status = test_shell(text, sizeof text,
                                      /* Open MPI keeps memory to the end, which is not ours to find. */
                                      "ASAN_OPTIONS=detect_leaks=0 OMPI_ALLOW_RUN_AS_ROOT=1 "
                                      "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 timeout 60 mpirun "
                                      "--oversubscribe -n %d %s --rank %d",
                                      size, program, size);
        if (status != 0) {
            fail_msg("%d ranks: status %d: %s", size, status, text);
        }
    }
}

int main(int argc, char **argv)
{
    const char *slash = strstr(argv[0], "/tests/unit/");
    snprintf(program, sizeof program, "%s", argv[0]);
    snprintf(module, sizeof module, "%.*s/libfewstep_mpi.so", slash ? (int)(slash - argv[0]) : 5,
             slash ? argv[0] : "build");
    if (argc == 3 && strcmp(argv[1], "--rank") == 0) {
        return be_a_rank(atoi(argv[2]));
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_is_dealt_once),
        cmocka_unit_test(parts_begin_at_whole_chunks),
        cmocka_unit_test(launchers_are_recognised_by_what_each_process_has),
        cmocka_unit_test(the_slow_rank_is_named),
        cmocka_unit_test(ranks_add_and_tell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
