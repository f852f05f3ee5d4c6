/* What a command that computes works with: a backend, the database, the folder that everything goes to. */
#ifndef FEWSTEP_SESSION_H
#define FEWSTEP_SESSION_H

#include <signal.h>

#include "harness/comm/comm.h"
#include "harness/run/progress.h"
#include "harness/config/config.h"
#include "harness/store/store.h"
#include "metrics/extractor.h"

struct fs_session {
    struct fs_comm *comm;       /* who shares the work; only rank 0 has a store and a folder */
    struct fs_backend *backend; /* of networks and feature extractors */
    struct fs_store *store;
    int64_t environment; /* its row in the database */
    char out[FS_PATH_ROOM], db[FS_PATH_ROOM];
    double peak_flops; /* of this CPU, measured when the session opens; 0 on a GPU */
    bool verify_data;  /* data that were decoded earlier are compared by their contents; set it before the first run */
    struct fs_progress progress;
};

/* Rank 0's. `out` and `db` may be NULL: out/ and OUT/fewstep.db. The folder is made. */
fs_status fs_session_open(struct fs_session *session, struct fs_comm *comm, const char *out, const char *db,
                          enum fs_device_kind device, bool quiet, struct fs_error *error);
void fs_session_close(struct fs_session *session);

/* The backend that `device` asks for; FS_DEVICE_AUTO takes the CPU where CUDA is not to be had. */
fs_status fs_open_backend(enum fs_device_kind device, struct fs_backend **backend, struct fs_error *error);
/* The same for one of several ranks. Where a launcher has not given each its own CPUs, nor OMP_NUM_THREADS its threads,
 * those of a machine share its CPUs. */
fs_status fs_open_rank_backend(enum fs_device_kind device, const struct fs_comm *comm, struct fs_backend **backend,
                               struct fs_error *error);

/* Set by the first SIGINT, SIGTERM or, which Slurm and mpirun pass on, SIGUSR1 after fs_catch_signals; a second one
 * ends the program. */
extern volatile sig_atomic_t fs_stop;
void fs_catch_signals(void);

/* OUT/fewstep.db, or `db`. */
fs_status fs_database_path(const char *out, const char *db, char path[FS_PATH_ROOM], struct fs_error *error);
/* FS_USAGE where `output` is the database that is read, or SQLite's own file beside it: it would be overwritten. */
fs_status fs_check_output(const char *database, const char *output, struct fs_error *error);

#endif
