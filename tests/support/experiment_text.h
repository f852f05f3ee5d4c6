/* Experiments from a text, for tests: written to a temporary file, read by fs_experiment_read, removed. */
#ifndef FEWSTEP_TEST_EXPERIMENT_TEXT_H
#define FEWSTEP_TEST_EXPERIMENT_TEXT_H

#include "harness/config/config.h"

/* The file that was read is named in `path`, for comparing messages. Sets and only end with NULL, or are NULL. */
fs_status read_experiment_text(const char *text, size_t size, const char *const *sets, const char *const *only,
                               char path[256], struct fs_experiment *experiment, struct fs_error *error);

#endif
