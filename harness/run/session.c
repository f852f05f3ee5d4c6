/* What a command that computes works with: a backend, the database, the folder that everything goes to. */
#include "harness/run/session.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/run/network_disk.h"
#include "harness/store/environment.h"
#include "kernels/base/file.h"

#define BELOW_OUT 255 /* bytes: runs/ID/checkpoint-…, samples/EXPERIMENT/METHOD-… are shorter */

volatile sig_atomic_t fs_stop;

static void on_signal(int number)
{
    fs_stop = 1;
    signal(number, SIG_DFL);
}

/* A stack of the handler's own. oneDNN's products (2.6.3) keep numbers below the stack pointer, further than a signal's
 * frame leaves free: on the stack of a thread that multiplies, the frame destroys them, and then the heap. The
 * kernel gives a process's signal to its main thread, where that does not block it, so one stack is enough; what is
 * there already is a sanitiser's. */
static void take_signal_stack(void)
{
    static char memory[1 << 16];
    stack_t there;
    if (sigaltstack(NULL, &there) == 0 && (there.ss_flags & SS_DISABLE) != 0) {
        sigaltstack(&(stack_t){.ss_sp = memory, .ss_size = sizeof memory}, NULL);
    }
}

void fs_catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    take_signal_stack();
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    action.sa_handler = SIG_IGN; /* a full file is an error that write() reports */
    sigaction(SIGXFSZ, &action, NULL);
}

fs_status fs_open_backend(enum fs_device_kind device, struct fs_backend **backend, struct fs_error *error)
{
    struct fs_error no_cuda;
    *backend = device == FS_DEVICE_CPU ? NULL : fs_load_cuda_backend(device == FS_DEVICE_CUDA ? error : &no_cuda);
    if (!*backend && device != FS_DEVICE_CUDA) {
        *backend = fs_cpu_backend(0, error);
    }
    return *backend ? FS_OK : error->status;
}

fs_status fs_open_rank_backend(enum fs_device_kind device, const struct fs_comm *comm, struct fs_backend **backend,
                               struct fs_error *error)
{
    const int mine = omp_get_num_procs();
    if (comm->local_size > 1 && !getenv("OMP_NUM_THREADS") && mine == (int)sysconf(_SC_NPROCESSORS_ONLN)) {
        omp_set_num_threads(mine > comm->local_size ? mine / comm->local_size : 1);
    }
    return fs_open_backend(device, backend, error);
}

fs_status fs_database_path(const char *out, const char *db, char path[FS_PATH_ROOM], struct fs_error *error)
{
    return fs_path(path, error, "%s%s", db ? db : out ? out : "out", db ? "" : "/fewstep.db");
}

fs_status fs_check_output(const char *database, const char *output, struct fs_error *error)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    char beside[FS_PATH_ROOM];

    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        FS_TRY(fs_path(beside, error, "%s%s", database, ends[i]));
        if (strcmp(beside, output) == 0 || fs_store_same_file(beside, output)) {
            return fs_fail(error, FS_USAGE, "-o %s: %s; name another file", output,
                           i == 0 ? "that is the database that is read" : "that belongs to the database that is read");
        }
    }
    return FS_OK;
}

static fs_status open_parts(struct fs_session *session, const char *out, const char *db, enum fs_device_kind device,
                            struct fs_error *error)
{
    char deepest[FS_PATH_ROOM]; /* refused before anything is made, and not after hours of work */
    if (fs_path(deepest, error, "%s/%*s", out, BELOW_OUT, "") != FS_OK) {
        return fs_fail_in(error, "--out, with the names of what lies in it");
    }
    FS_TRY(fs_path(session->out, error, "%s", out));
    FS_TRY(fs_database_path(out, db, session->db, error));
    FS_TRY(fs_make_folder(out, error));
    FS_TRY(fs_open_rank_backend(device, session->comm, &session->backend, error));
    FS_TRY(fs_store_open(session->db, FS_STORE_WRITE, &session->store, error));
    if (strcmp(session->backend->name, "cpu") == 0) {
        session->peak_flops = fs_cpu_peak_flops(session->backend);
    }
    return fs_store_this_environment(session->store, session->backend, session->comm->size, &session->environment,
                                     error);
}

fs_status fs_session_open(struct fs_session *session, struct fs_comm *comm, const char *out, const char *db,
                          enum fs_device_kind device, bool quiet, struct fs_error *error)
{
    *session = (struct fs_session){.comm = comm};
    fs_progress_begin(&session->progress, quiet);
    const fs_status status = open_parts(session, out ? out : "out", db, device, error);
    char warning[3 * FS_PATH_ROOM];
    if (status != FS_OK) {
        fs_session_close(session);
    } else if (fs_warn_network_disk(session->db, session->out, fs_disk_kind, warning, sizeof warning)) {
        fs_progress_note(&session->progress, "%s", warning);
    }
    return status;
}

void fs_session_close(struct fs_session *session)
{
    fs_store_close(session->store);
    if (session->backend) {
        session->backend->destroy(session->backend);
    }
    *session = (struct fs_session){0};
}
