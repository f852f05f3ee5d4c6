/* Who started this process, and with how many others. */
#define _GNU_SOURCE
#include "harness/comm/open.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/base/file.h"

static int number(const char *text)
{
    return text ? (int)strtol(text, NULL, 10) : 0;
}

struct fs_launcher fs_launcher_find(char *(*variable)(const char *name))
{
    /* Open MPI's mpirun; Hydra, which is MPICH's and Intel's, and Slurm with PMI-2; others by PMIx, which has no
     * variable for the size; Slurm's own, which a step has and a batch script has not. */
    static const struct {
        const char *launcher, *rank, *size, *sign;
    } kinds[] = {
        {"mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"},
        {"mpirun", "PMI_RANK", "PMI_SIZE", "PMI_RANK"},
        {"srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_NUM_TASKS"},
        {"its launcher", "PMIX_RANK", "PMIX_SIZE", "PMIX_RANK"},
    };
    const char *wanted = variable("FEWSTEP_RANKS");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const char *rank = variable(kinds[i].rank);
        if (rank && variable(kinds[i].sign) && !(wanted && strcmp(wanted, "single") == 0)) {
            return (struct fs_launcher){kinds[i].launcher, number(rank), number(variable(kinds[i].size))};
        }
    }
    return (struct fs_launcher){.name = NULL, .size = 1};
}

/* RTLD_GLOBAL: MPI opens parts of itself, and these look for MPI's symbols among the global ones. */
static fs_status load_module(struct fs_comm *(**create)(void), struct fs_error *error)
{
    char path[FS_PATH_ROOM];
    if (!fs_program_file("libfewstep_mpi.so", path)) {
        return fs_fail(error, FS_USAGE,
                       "this build has no MPI (%s is not there; with libopenmpi-dev or another MPI's mpicc, `make` "
                       "builds it)",
                       path);
    }
    void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (library == NULL) {
        return fs_fail(error, FS_USAGE, "MPI: %s", dlerror());
    }
    *(void **)create = dlsym(library, "fs_comm_mpi"); /* as POSIX says to convert it */
    const uint32_t *abi = dlsym(library, "fs_comm_mpi_abi");
    if (*create == NULL || abi == NULL || *abi != FS_COMM_ABI) {
        return fs_fail(error, FS_USAGE, "MPI: %s is not of this program's build: build both again", path);
    }
    return FS_OK; /* and the library stays loaded */
}

static fs_status open_ranks(const struct fs_launcher *launcher, struct fs_comm **comm, struct fs_error *error)
{
    struct fs_comm *(*create)(void);
    if (launcher->size > FS_RANKS_MAX) {
        return fs_fail(error, FS_USAGE, "%d ranks are more than the %d that there may be", launcher->size,
                       FS_RANKS_MAX);
    }
    FS_TRY(load_module(&create, error));
    *comm = create();
    if (*comm == NULL) {
        return fs_fail(error, FS_FAILED, "MPI: no memory to begin with");
    }
    const int size = (*comm)->size;
    if (size > FS_RANKS_MAX || (launcher->size > 0 && size != launcher->size)) {
        (*comm)->close(*comm);
        return fs_fail(
            error, FS_USAGE,
            "%s started %d processes and MPI sees %d: another MPI's launcher? Under Slurm, `srun --mpi=list` "
            "says what there is (pmix, pmi2)",
            launcher->name, launcher->size, size);
    }
    return FS_OK;
}

fs_status fs_comm_open(struct fs_comm **comm, struct fs_error *error)
{
    const struct fs_launcher launcher = fs_launcher_find(getenv);
    const char *wanted = getenv("FEWSTEP_RANKS");
    *comm = fs_comm_single();
    if (launcher.size == 1) {
        return FS_OK;
    }
    const fs_status status = wanted && *wanted
                                 ? fs_fail(error, FS_USAGE, "FEWSTEP_RANKS=%s: expected single, or nothing", wanted)
                                 : open_ranks(&launcher, comm, error);
    if (status == FS_OK) {
        return FS_OK;
    }
    *comm = fs_comm_single();
    if (launcher.rank > 0) {
        error->text[0] = '\0';
        sleep(1); /* a launcher ends all as soon as one has failed: rank 0 says its line before */
        return status;
    }
    return fs_fail_in(error, "%s started this as rank 0 of several; FEWSTEP_RANKS=single makes each a run by itself",
                      launcher.name);
}
