/* A training that nobody listens to. */
#ifndef FEWSTEP_TEST_TRAINING_H
#define FEWSTEP_TEST_TRAINING_H

#include "harness/train/trainer.h"

/* All that fs_train asks for: never stopped, whatever it tells is not kept. What is set afterwards in the struct
 * counts. The folder has to be there. */
struct fs_training test_training(struct fs_backend *backend, const struct fs_config *config,
                                 const struct fs_dataset *data, const char *run, const char *folder);

#endif
