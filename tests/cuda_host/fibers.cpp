/* Runs a grid: one block at a time, each thread of it until it must wait for others. A thread that waits keeps its
 * fiber; threads that never wait all run on one. So what a thread may see of the others depends on the order in which
 * they run, and tests change that order. */
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <vector>

#include "tests/cuda_host/device.hpp"

#if defined __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#else
#define __sanitizer_start_switch_fiber(save, bottom, size) ((void)(save), (void)(bottom), (void)(size))
#define __sanitizer_finish_switch_fiber(save, bottom, size) ((void)(save), (void)(bottom), (void)(size))
#endif

#define WARP 32u
#define STACK_BYTES ((size_t)256 << 10)

struct cuda_host_index threadIdx, blockIdx, blockDim, gridDim;

/* All shared memory of all kernels; the linker names its ends. */
extern char __start_cuda_shared[] __attribute__((weak)), __stop_cuda_shared[] __attribute__((weak));

enum thread_state { FRESH, READY, AT_BARRIER, AT_SHUFFLE, DONE };

struct fiber {
    ucontext_t context;
    void *stack;
    void *sanitizer; /* what the address sanitiser keeps for it while it sleeps */
};

struct thread {
    thread_state state;
    struct fiber *fiber;
    const char *file; /* where it waits */
    int line;
    unsigned mask, source; /* of a shuffle */
    uint64_t given, received;
};

static struct {
    ucontext_t scheduler;
    void *scheduler_sanitizer;
    const void *scheduler_stack;
    size_t scheduler_size;
    std::vector<struct thread> threads;
    std::vector<unsigned> order;
    size_t next_fresh; /* place in `order` */
    unsigned current;
    struct fiber *running;
    std::vector<struct fiber *> idle;
    const std::function<void()> *body;
    bool failed;
} grid;

/* --- fibers --- */

static void to_scheduler()
{
    struct fiber *self = grid.running;
    __sanitizer_start_switch_fiber(&self->sanitizer, grid.scheduler_stack, grid.scheduler_size);
    swapcontext(&self->context, &grid.scheduler);
    __sanitizer_finish_switch_fiber(self->sanitizer, &grid.scheduler_stack, &grid.scheduler_size);
}

static void to_fiber(struct fiber *fiber)
{
    grid.running = fiber;
    __sanitizer_start_switch_fiber(&grid.scheduler_sanitizer, fiber->stack, STACK_BYTES);
    swapcontext(&grid.scheduler, &fiber->context);
    __sanitizer_finish_switch_fiber(grid.scheduler_sanitizer, NULL, NULL);
}

static void select(unsigned thread)
{
    grid.current = thread;
    threadIdx.x = thread;
}

/* A fiber's life: takes threads that have not run yet; when there is none it sleeps until the next block. */
static void work()
{
    __sanitizer_finish_switch_fiber(NULL, &grid.scheduler_stack, &grid.scheduler_size);
    for (;;) {
        while (grid.next_fresh < grid.order.size() && !grid.failed) {
            const unsigned thread = grid.order[grid.next_fresh++];
            select(thread);
            (*grid.body)();
            grid.threads[grid.current].state = DONE;
        }
        grid.idle.push_back(grid.running);
        to_scheduler();
    }
}

static struct fiber *new_fiber()
{
    struct fiber *fiber = new struct fiber();
    fiber->stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = fiber->stack;
    fiber->context.uc_stack.ss_size = STACK_BYTES;
    makecontext(&fiber->context, work, 0);
    return fiber;
}

static struct fiber *idle_fiber()
{
    if (grid.idle.empty()) {
        return new_fiber();
    }
    struct fiber *fiber = grid.idle.back();
    grid.idle.pop_back();
    return fiber;
}

/* --- meetings --- */

static void fault(unsigned thread, const char *what)
{
    const struct thread *t = &grid.threads[thread];
    grid.failed = true;
    device_fault(cudaErrorLaunchFailure, "%s:%d: block %u, thread %u: %s", t->file ? t->file : "?", t->line, blockIdx.x,
                 thread, what);
}

static void wait_here(thread_state state, const char *file, int line)
{
    struct thread *self = &grid.threads[grid.current];
    self->state = state;
    self->fiber = grid.running;
    self->file = file;
    self->line = line;
    to_scheduler();
}

void cuda_host_barrier(const char *file, int line)
{
    wait_here(AT_BARRIER, file, line);
}

uint64_t cuda_host_exchange(unsigned mask, uint64_t bits, unsigned source_lane, const char *file, int line)
{
    const unsigned thread = grid.current;
    struct thread *self = &grid.threads[thread];
    self->mask = mask;
    self->source = source_lane;
    self->given = bits;
    wait_here(AT_SHUFFLE, file, line);
    return grid.threads[thread].received;
}

static bool same_place(const struct thread &a, const struct thread &b)
{
    return a.line == b.line && a.file == b.file;
}

/* One warp's shuffle: every lane of the mask must be in it, at the same place, with the same mask. */
static bool release_shuffle(unsigned first, unsigned waiting)
{
    const struct thread leader = grid.threads[waiting];
    for (unsigned lane = 0; lane < WARP; lane++) {
        if ((leader.mask >> lane & 1) == 0) {
            continue;
        }
        const unsigned other = first + lane;
        if (other >= grid.threads.size() || grid.threads[other].state != AT_SHUFFLE ||
            grid.threads[other].mask != leader.mask || !same_place(grid.threads[other], leader)) {
            fault(waiting, "a shuffle's mask names a lane that takes no part in it");
            return false;
        }
    }
    for (unsigned lane = 0; lane < WARP; lane++) {
        struct thread *self = &grid.threads[std::min<size_t>(first + lane, grid.threads.size() - 1)];
        if ((leader.mask >> lane & 1) == 0) {
            continue;
        }
        if (self->source >= WARP || (leader.mask >> self->source & 1) == 0) {
            fault(first + lane, "a shuffle reads a lane that is not in its mask");
            return false;
        }
        self->received = grid.threads[first + self->source].given;
    }
    for (unsigned lane = 0; lane < WARP; lane++) {
        if (leader.mask >> lane & 1) {
            grid.threads[first + lane].state = READY;
        }
    }
    return true;
}

/* Nobody can go on by itself: lets those go on who have all met. False on a fault. */
static bool release()
{
    bool released = false;
    for (unsigned thread = 0; thread < grid.threads.size(); thread++) {
        if (grid.threads[thread].state != AT_SHUFFLE) {
            continue;
        }
        const unsigned first = thread / WARP * WARP;
        if ((grid.threads[thread].mask >> (thread - first) & 1) == 0) {
            fault(thread, "a shuffle's mask leaves out a thread that calls it");
            return false;
        }
        if (!release_shuffle(first, thread)) {
            return false;
        }
        released = true;
    }
    if (released) {
        return true;
    }
    unsigned waiting = 0;
    while (grid.threads[waiting].state == DONE) {
        waiting++;
    }
    for (const struct thread &other : grid.threads) {
        if (other.state == DONE || !same_place(other, grid.threads[waiting])) {
            fault(waiting, other.state == DONE ? "a barrier that other threads of the block never reach"
                                               : "threads of a block wait at different barriers");
            return false;
        }
    }
    for (struct thread &other : grid.threads) {
        other.state = READY;
    }
    return true;
}

/* --- blocks --- */

static uint32_t random_below(uint32_t *state, uint32_t n)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return (uint32_t)((uint64_t)*state * n >> 32);
}

static void put_in_order(std::vector<unsigned> &order, size_t count, uint32_t *state)
{
    order.resize(count);
    std::iota(order.begin(), order.end(), 0u);
    if (cuda_host.order == CUDA_HOST_REVERSE) {
        std::reverse(order.begin(), order.end());
    }
    for (size_t i = count; cuda_host.order == CUDA_HOST_RANDOM && i > 1; i--) {
        std::swap(order[i - 1], order[random_below(state, (uint32_t)i)]);
    }
}

/* NaN, byte by byte: the sanitiser's borders around the arrays are written too, which only it may mind. */
__attribute__((no_sanitize("address"))) static void poison_shared()
{
    for (volatile char *at = __start_cuda_shared; at < __stop_cuda_shared; at++) {
        *at = (char)0xff;
    }
}

static bool all_done()
{
    return std::all_of(grid.threads.begin(), grid.threads.end(),
                       [](const struct thread &thread) { return thread.state == DONE; });
}

static void run_block(unsigned threads, uint32_t *random)
{
    poison_shared();
    grid.threads.assign(threads, {});
    put_in_order(grid.order, threads, random);
    grid.next_fresh = 0;
    while (grid.next_fresh < threads) {
        to_fiber(idle_fiber());
    }
    while (!all_done()) {
        if (!release()) {
            return; /* the fibers that wait are left behind */
        }
        for (const unsigned thread : grid.order) {
            if (grid.threads[thread].state == READY) {
                select(thread);
                to_fiber(grid.threads[thread].fiber);
            }
        }
    }
}

void cuda_host_run(unsigned blocks, unsigned threads, cudaStream_t stream, const std::function<void()> &body)
{
    if (device_error() != cudaSuccess) {
        return;
    }
    if (device_fails_now(&cuda_host.fail_launch)) {
        device_fault(cudaErrorLaunchFailure, "a launch fails because the test asked for it");
        return;
    }
    if (blocks == 0 || blocks > 0x7fffffffu || threads == 0 || threads > 1024 || !device_has_stream(stream)) {
        device_fault(cudaErrorInvalidConfiguration, "a launch of %u blocks of %u threads", blocks, threads);
        return;
    }
    if (device_records(stream, [=] {
            cuda_host_run(blocks, threads, stream, body);
            return device_error();
        })) {
        return;
    }
    uint32_t random = cuda_host.seed * 2654435761u + 1;
    std::vector<unsigned> order;
    put_in_order(order, blocks, &random);
    grid.body = &body;
    grid.failed = false;
    blockDim.x = threads;
    gridDim.x = blocks;
    device_open();
    for (size_t i = 0; i < order.size() && !grid.failed; i++) {
        blockIdx.x = order[i];
        run_block(threads, &random);
    }
    device_close();
}
