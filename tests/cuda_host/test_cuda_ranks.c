/* Ranks on CUDA devices, without a GPU: two and three processes whose devices exchange gradients through a stand-in for
 * NCCL. What they train has the bits of the way through the host's memory; a rank that dies, a device that breaks and a
 * call that fails end all, with a line that says why. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/checkpoint/checkpoint.h"
#include "harness/train/trainer.h"
#include "kernels/base/file.h"
#include "kernels/base/hash.h"
#include "kernels/base/random.h"
#include "tests/cuda_host/cuda_host.h"
#include "tests/support/folder.h"
#include "tests/support/program.h"
#include "tests/support/ranks.h"
#include "tests/support/training.h"

#define UPDATES 5 /* two graphs by turns: rehearsed, captured, run again */

struct fs_backend *fs_cuda_backend(struct fs_error *error);

static struct fs_experiment experiment;
static struct fs_dataset dataset;
static int exits[TEST_RANKS_MAX];
static char said[8192];

static void must(fs_status status, const struct fs_error *error)
{
    if (status != FS_OK) {
        fail_msg("%s", error->text);
    }
}

/* In a rank: ends it where something is wrong. */
#define EXPECT(good, ...)                                                                                              \
    do {                                                                                                               \
        if (!(good)) {                                                                                                 \
            fprintf(stderr, "rank %d, line %d: ", comm->rank, __LINE__);                                               \
            fprintf(stderr, __VA_ARGS__);                                                                              \
            fprintf(stderr, "\n");                                                                                     \
            comm->abort(comm, 97);                                                                                     \
        }                                                                                                              \
    } while (0)

static void all_end_with(int ranks, int status)
{
    for (int rank = 0; rank < ranks; rank++) {
        if (exits[rank] != status) {
            fail_msg("rank %d ended with %d, not %d: %s", rank, exits[rank], status, said);
        }
    }
}

/* --- the operations --- */

#define LENGTH 5003

static float number_of(int rank, int i)
{
    const struct fs_random_key key = {.seed = 11, .stream = FS_STREAM_TEST};
    return (float)(rank + 1) * (fs_uniform(key, (uint32_t)rank, (uint32_t)i) - 0.5f);
}

static struct fs_backend *open_joined(struct fs_comm *comm)
{
    struct fs_error error = {.text = ""};
    char id[FS_EXCHANGE_ID] = "";
    cuda_host_reset();
    cuda_host.devices = comm->size;
    struct fs_backend *backend = fs_cuda_backend(&error);
    EXPECT(backend, "%s", error.text);
    EXPECT(backend->exchange_prepare(backend, comm->rank == 0 ? id : NULL, &error) == FS_OK, "%s", error.text);
    comm->broadcast(comm, 0, id, sizeof id);
    EXPECT(backend->exchange_open(backend, id, comm->rank, comm->size, &error) == FS_OK, "%s", error.text);
    return backend;
}

/* Sums of numbers first … first + n − 1, with other work beside them. */
static void sum_some(struct fs_comm *comm, struct fs_backend *backend, int first, int n)
{
    struct fs_error error = {.text = ""};
    static float mine[LENGTH], got[LENGTH];
    struct fs_view values = fs_no_view(), room = fs_no_view(), beside = fs_no_view();
    EXPECT(fs_view_create(backend, 1, LENGTH, &values, &error) == FS_OK &&
               fs_view_create(backend, 1, n + FS_EXCHANGE_PIECE * comm->size, &room, &error) == FS_OK &&
               fs_view_create(backend, 1, 7, &beside, &error) == FS_OK,
           "%s", error.text);
    for (int i = 0; i < LENGTH; i++) {
        mine[i] = number_of(comm->rank, i);
    }
    backend->upload(backend, values.data, mine, sizeof mine);
    const struct fs_view some = fs_view((float *)values.data + first, FS_F32, 1, n);
    backend->exchange_sum(backend, some, room);
    backend->fill(backend, beside, 3);
    backend->exchange_join(backend);
    backend->fill(backend, room, 9); /* nothing of the sums is left in it */
    backend->download(backend, got, values.data, sizeof got);
    EXPECT(backend->synchronise(backend, &error) == FS_OK, "%s", error.text);
    for (int i = 0; i < LENGTH; i++) {
        float want = number_of(0, i);
        for (int k = 1; k < comm->size; k++) {
            want += number_of(k, i);
        }
        want = i >= first && i < first + n ? want : mine[i];
        EXPECT(got[i] == want, "%d numbers from %d: number %d is %g, not %g", n, first, i, got[i], want);
    }
    backend->release(backend, values.data);
    backend->release(backend, room.data);
    backend->release(backend, beside.data);
}

static void gather_some(struct fs_comm *comm, struct fs_backend *backend, const int64_t *borders)
{
    struct fs_error error = {.text = ""};
    static float mine[LENGTH], got[LENGTH];
    struct fs_view values = fs_no_view();
    EXPECT(fs_view_create(backend, 1, LENGTH, &values, &error) == FS_OK, "%s", error.text);
    for (int i = 0; i < LENGTH; i++) {
        const bool own = i >= borders[comm->rank] && i < borders[comm->rank + 1];
        mine[i] = own ? number_of(comm->rank, i) : -1;
    }
    backend->upload(backend, values.data, mine, sizeof mine);
    backend->exchange_gather(backend, values, borders);
    backend->download(backend, got, values.data, sizeof got);
    EXPECT(backend->synchronise(backend, &error) == FS_OK, "%s", error.text);
    for (int rank = 0; rank < comm->size; rank++) {
        for (int64_t i = borders[rank]; i < borders[rank + 1]; i++) {
            EXPECT(got[i] == number_of(rank, (int)i), "number %d of rank %d", (int)i, rank);
        }
    }
    backend->release(backend, values.data);
}

static int operations(struct fs_comm *comm, void *argument)
{
    (void)argument;
    static const int64_t borders[][4] = {{0, 2000, LENGTH, LENGTH}, {0, 0, 4000, LENGTH}};
    struct fs_error error;
    struct fs_backend *backend = open_joined(comm);
    static const int spans[][2] = {{0, LENGTH}, {16, 1}, {0, 5}, {32, 17}, {160, 4097}};
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) {
        sum_some(comm, backend, spans[i][0], spans[i][1]);
    }
    for (size_t i = 0; i < 2; i++) {
        int64_t mine[TEST_RANKS_MAX + 1];
        memcpy(mine, borders[i], sizeof borders[i]);
        mine[comm->size] = LENGTH;
        gather_some(comm, backend, mine);
    }
    EXPECT(backend->exchange_check(backend, &error) == FS_OK, "%s", error.text);
    backend->destroy(backend);
    EXPECT(strcmp(cuda_host_report(), "") == 0, "%s", cuda_host_report());
    EXPECT(cuda_host_memory_used() == 0, "%zu bytes are left", cuda_host_memory_used());
    return 0;
}

static void test_operations(void **state)
{
    (void)state;
    for (int ranks = 2; ranks <= 3; ranks++) {
        test_ranks_run(ranks, operations, NULL, exits, said, sizeof said);
        all_end_with(ranks, 0);
    }
}

/* What does not fit is a fault, and nothing is sent. */
static int misfits(struct fs_comm *comm, void *argument)
{
    (void)argument;
    static const int64_t borders[] = {0, 8, 15};
    struct fs_error error = {.text = ""};
    struct fs_backend *backend = open_joined(comm);
    struct fs_view values = fs_no_view(), room = fs_no_view();
    EXPECT(fs_view_create(backend, 1, 16, &values, &error) == FS_OK &&
               fs_view_create(backend, 1, 16 + FS_EXCHANGE_PIECE * comm->size - 1, &room, &error) == FS_OK,
           "%s", error.text);
    backend->exchange_sum(backend, values, room);
    EXPECT(backend->synchronise(backend, &error) == FS_FAILED && strstr(error.text, "exchange_sum"), "%s", error.text);
    backend->exchange_gather(backend, values, borders);
    EXPECT(backend->synchronise(backend, &error) == FS_FAILED && strstr(error.text, "exchange_gather"), "%s",
           error.text);
    EXPECT(cuda_host_nccl_groups() == 0, "%d groups", cuda_host_nccl_groups());
    backend->release(backend, values.data);
    backend->release(backend, room.data);
    backend->destroy(backend);
    return 0;
}

static void test_misfits(void **state)
{
    (void)state;
    test_ranks_run(2, misfits, NULL, exits, said, sizeof said);
    all_end_with(2, 0);
}

/* --- trainings --- */

/* How ranks train, and what happens to the last of them. */
struct way {
    const char *folder;
    bool through_host, no_graph, sharded, no_nccl, one_device, sees_ends;
    bool leader_pauses, wide;
    bool shortcut; /* else flow matching, which asks no other network */
    int micro_batch;
    int fail_launch, fail_allocation, fail_nccl, end_at_nccl;
    const char *notice; /* in the backend's notice; NULL: it has none */
};

/* In memory that all share: how often the last rank took memory, and how much rank 0 had in an update. */
static int *allocations, *memory;

static void look(void *owner, const struct fs_train_progress *progress)
{
    (void)owner, (void)progress;
    *memory = (int)cuda_host_memory_used();
}

/* What rank 0 does alone, however long it takes: no other rank is in an exchange meanwhile, whose clock would run. */
static void pause_alone(void)
{
    test_sleep(0.02);
    if (cuda_host_nccl_groups_of(0) != cuda_host_nccl_groups_of(1)) {
        fprintf(stderr, "rank 1 has begun %d groups, rank 0, alone at work, %d\n", cuda_host_nccl_groups_of(1),
                cuda_host_nccl_groups_of(0));
        _exit(97);
    }
}

static void slow_progress(void *owner, const struct fs_train_progress *progress)
{
    (void)owner, (void)progress;
    pause_alone();
}

static fs_status slow_curves(void *owner, int64_t update, const struct fs_train_value *values, int count,
                             struct fs_error *error)
{
    (void)owner, (void)update, (void)values, (void)count, (void)error;
    pause_alone();
    return FS_OK;
}

static fs_status slow_row(void *owner, int64_t update, const struct fs_checkpoint_file *file, struct fs_error *error)
{
    (void)owner, (void)update, (void)file, (void)error;
    pause_alone();
    return FS_OK;
}

static void prepare(const struct fs_comm *comm, const struct way *way)
{
    const bool last = comm->rank == comm->size - 1;
    cuda_host_reset();
    cuda_host.devices = way->one_device ? 1 : comm->size;
    cuda_host.no_nccl = way->no_nccl;
    cuda_host.nccl_sees_ends = way->sees_ends;
    cuda_host.fail_launch = last ? way->fail_launch : 0;
    cuda_host.fail_allocation = last ? way->fail_allocation : 0;
    cuda_host.fail_nccl = last ? way->fail_nccl : 0;
    cuda_host.end_at_nccl = last ? way->end_at_nccl : 0;
    setenv("FEWSTEP_CUDA_RANKS", way->through_host ? "host" : "auto", 1);
    setenv("FEWSTEP_CUDA_GRAPH", way->no_graph ? "off" : "auto", 1);
    const bool ends = way->end_at_nccl > 0 || way->fail_launch > 0 || way->fail_nccl > 0;
    setenv("FEWSTEP_NCCL_TIMEOUT", ends && !way->sees_ends ? "1" : "1000", 1);
}

/* What shows that it went the way that it should. */
static void check_way(struct fs_comm *comm, const struct way *way, const struct fs_backend *backend)
{
    const bool device = !way->through_host && !way->no_nccl && !way->one_device;
    EXPECT(device ? cuda_host_nccl_groups() > 8 : cuda_host_nccl_groups() == 0, "%d groups", cuda_host_nccl_groups());
    EXPECT(way->no_graph ? cuda_host_graph_launches() == 0 : cuda_host_graph_launches() >= 1, "%d graphs",
           cuda_host_graph_launches());
    EXPECT(way->notice ? backend->notice && strstr(backend->notice, way->notice) : !backend->notice, "%s",
           backend->notice ? backend->notice : "no notice");
    EXPECT(strcmp(cuda_host_report(), "") == 0, "%s", cuda_host_report());
}

static int train(struct fs_comm *comm, void *argument)
{
    const struct way *way = argument;
    struct fs_error error = {.text = ""};
    enum fs_train_end end;
    prepare(comm, way);
    struct fs_backend *backend = fs_cuda_backend(&error);
    EXPECT(backend, "%s", error.text);
    struct fs_config *config = &experiment.runs[0];
    config->train.shard_optimizer = way->sharded;
    config->train.micro_batch = way->micro_batch;
    config->model.hidden = way->wide ? 64 : 16;
    config->method = fs_method_find(way->shortcut ? "shortcut" : "flow-matching");
    struct fs_training training = test_training(backend, config, &dataset, "mixture", test_path(way->folder));
    training.comm = comm;
    training.owner = argument;
    training.progress = look;
    if (way->leader_pauses) {
        config->train.checkpoint_every = 1e-6;
        training.progress = slow_progress;
        training.measured = slow_curves;
        training.checkpointed = slow_row;
    }
    if (comm->rank == 0) {
        EXPECT(fs_make_folder(training.folder, &error) == FS_OK, "%s", error.text);
    }
    const fs_status status = fs_train(&training, &end, &error);
    if (status != FS_OK) {
        fprintf(stderr, "failed: %s\n", error.text);
    } else {
        check_way(comm, way, backend);
    }
    if (comm->rank == comm->size - 1) {
        *allocations = cuda_host_allocations();
    }
    backend->destroy(backend);
    EXPECT(cuda_host_memory_used() == 0, "%zu bytes are left", cuda_host_memory_used());
    return (int)status;
}

/* The last checkpoint of a training on so many ranks. */
static void train_whole(int ranks, struct way *way, char sha256[65])
{
    struct fs_error error = {.text = ""};
    char checkpoint[1024];
    int64_t update;
    test_ranks_run(ranks, train, way, exits, said, sizeof said);
    all_end_with(ranks, 0);
    must(fs_checkpoint_newest(test_path(way->folder), checkpoint, &update, &error), &error);
    assert_int_equal(update, UPDATES);
    must(fs_sha256_file(checkpoint, sha256, &error), &error);
}

/* What two ranks come to whose gradients go through the host. */
static const char *through_host(void)
{
    static char sha256[65];
    static struct way host = {.folder = "host", .through_host = true, .notice = "FEWSTEP_CUDA_RANKS=host"};
    if (sha256[0] == '\0') {
        train_whole(2, &host, sha256);
    }
    return sha256;
}

static void test_same_bits(void **state)
{
    (void)state;
    static struct way ways[] = {
        {.folder = "device"},
        {.folder = "as-it-comes", .no_graph = true},
        {.folder = "sharded", .sharded = true},
    };
    char got[65];
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        train_whole(2, &ways[i], got);
        if (strcmp(got, through_host()) != 0) {
            fail_msg("%s has other bits", ways[i].folder);
        }
    }
}

/* Progress, curves, checkpoints and their rows: the clock of an exchange does not run while rank 0 is at them. */
static void test_leader_works_alone(void **state)
{
    (void)state;
    struct way slow = {.folder = "slow", .no_graph = true, .leader_pauses = true};
    char got[65];
    train_whole(2, &slow, got);
    assert_string_equal(through_host(), got);
}

/* The room that a bucket takes is part of what was reserved, and so of what a dry run says. */
static void test_memory(void **state)
{
    (void)state;
    struct way host = {.folder = "memory-host", .through_host = true, .notice = "=host", .wide = true},
               device = {.folder = "memory", .wide = true};
    char sha256[65];
    train_whole(2, &host, sha256);
    const int without = *memory;
    train_whole(2, &device, sha256);
    assert_true(without > 0);
    assert_int_equal(*memory, without);
}

/* Of three ranks, the shares are of different sizes; buckets go out with the last of several micro-batches; an average
 * that targets ask is whole on every rank. */
static void test_three_ranks(void **state)
{
    (void)state;
    struct way host = {.folder = "host-3", .shortcut = true, .micro_batch = 2, .through_host = true, .notice = "=host"},
               device = {.folder = "device-3", .shortcut = true, .sharded = true, .micro_batch = 2};
    char want[65], got[65];
    train_whole(3, &host, want);
    train_whole(3, &device, got);
    assert_string_equal(want, got);
}

/* Where devices cannot be joined, gradients go through the host, and it is said why. */
static void test_not_joined(void **state)
{
    (void)state;
    struct way none = {.folder = "none", .no_nccl = true, .notice = "NCCL is not here"},
               one = {.folder = "one", .one_device = true, .notice = "Duplicate GPU"};
    char got[65];
    train_whole(2, &none, got);
    assert_string_equal(through_host(), got);
    train_whole(2, &one, got);
    assert_string_equal(through_host(), got);
}

/* --- what ends before the end --- */

static void expect_said(const char *piece)
{
    if (strstr(said, piece) == NULL) {
        fail_msg("nobody said '%s': %s", piece, said);
    }
}

/* A rank that is gone in the midst of an update: the other waits as long as it was told to, or hears it from NCCL, and
 * says so. */
static void test_rank_dies(void **state)
{
    (void)state;
    struct way silent = {.folder = "dies", .end_at_nccl = 12},
               heard = {.folder = "heard", .end_at_nccl = 7, .sees_ends = true};
    test_ranks_run(2, train, &silent, exits, said, sizeof said);
    assert_int_equal(exits[1], CUDA_HOST_ENDED);
    assert_int_equal(exits[0], FS_FAILED);
    expect_said("fewstep: rank 0: cuda: the exchange between the ranks (NCCL): another rank has not done its part for "
                "1 s (FEWSTEP_NCCL_TIMEOUT)");
    test_ranks_run(2, train, &heard, exits, said, sizeof said);
    assert_int_equal(exits[1], CUDA_HOST_ENDED);
    assert_int_equal(exits[0], FS_FAILED);
    expect_said("fewstep: rank 0: cuda: the exchange between the ranks (NCCL): remote process exited");
}

/* A device that breaks and a call that fails on one rank end all. */
static void test_broken_device(void **state)
{
    (void)state;
    struct way broken = {.folder = "broken", .fail_launch = 150}, refused = {.folder = "refused", .fail_nccl = 9};
    test_ranks_run(2, train, &broken, exits, said, sizeof said);
    all_end_with(2, FS_FAILED);
    expect_said("fewstep: rank 1: cuda: the exchange between the ranks (NCCL): unspecified launch failure");
    test_ranks_run(2, train, &refused, exits, said, sizeof said);
    all_end_with(2, FS_FAILED);
    expect_said("fewstep: rank 1: cuda: the exchange between the ranks (NCCL): unhandled system error: the test asked");
}

/* One rank's operation finds no memory: the other gets its part all the same, both learn of it, and nobody waits. */
static void test_fault_of_one_rank(void **state)
{
    (void)state;
    struct way good = {.folder = "enough", .no_graph = true};
    char sha256[65];
    train_whole(2, &good, sha256);
    struct way scarce = {.folder = "scarce", .no_graph = true, .fail_allocation = *allocations, .sees_ends = true};
    test_ranks_run(2, train, &scarce, exits, said, sizeof said);
    all_end_with(2, FS_FAILED);
    expect_said("failed: rank 1: cuda: no device memory for ");
}

/* --- */

static int open_experiment(void **state)
{
    (void)state;
    struct fs_error error = {.text = ""};
    char text[1024];
    const int length =
        snprintf(text, sizeof text,
                 "experiment: mixture\ndataset: {name: gaussian-mixture}\n"
                 "model: {preset: tiny, patch: 1, hidden: 16, depth: 1, heads: 2, classes: 4, finest_steps: 4}\n"
                 "train: {updates: %d, batch: 7, learning_rate: 4.0e-3, warmup: 2, ema: 0.99}\n"
                 "evaluate: {steps: [1, 4]}\nmethod: shortcut\nmethods: {shortcut: {bootstrap_fraction: 0.5}}\n",
                 UPDATES);
    const char *path = test_path("mixture.yaml");
    test_write(path, text, (size_t)length);
    must(fs_experiment_read(path, NULL, 0, NULL, 0, &experiment, &error), &error);
    must(fs_dataset_open(&experiment.runs[0].dataset, FS_SPLIT_TRAIN, &dataset, &error), &error);
    cuda_host_share();
    allocations = cuda_host_shared_numbers();
    memory = allocations + 1;
    return 0;
}

static int close_experiment(void **state)
{
    (void)state;
    fs_dataset_close(&dataset);
    fs_experiment_free(&experiment);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operations),         cmocka_unit_test(test_misfits),
        cmocka_unit_test(test_same_bits),          cmocka_unit_test(test_three_ranks),
        cmocka_unit_test(test_leader_works_alone), cmocka_unit_test(test_memory),
        cmocka_unit_test(test_not_joined),         cmocka_unit_test(test_rank_dies),
        cmocka_unit_test(test_broken_device),      cmocka_unit_test(test_fault_of_one_rank),
    };
    return cmocka_run_group_tests(tests, open_experiment, close_experiment);
}
