/* An experiment of the database, by its name. */
#ifndef FEWSTEP_RESULTS_EXPERIMENT_H
#define FEWSTEP_RESULTS_EXPERIMENT_H

#include "harness/store/store.h"

struct fs_experiment_name {
    int64_t id;
    char name[64], ablated[64]; /* ablated: the key that its matrix varies besides method and seed; "" */
};
/* One experiment by name (NULL: the one used last): its newest row. FS_USAGE names those that there are. */
fs_status fs_experiment_find(struct fs_store *store, const char *name, struct fs_experiment_name *experiment,
                             struct fs_error *error);
/* The file of the experiment with this id, as it was read; "" where there is none. The caller's to free. */
fs_status fs_experiment_text(struct fs_store *store, int64_t id, char **text, struct fs_error *error);

#endif
