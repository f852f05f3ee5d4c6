/* Experiment files: YAML, the schema, the matrix, and a stored configuration read back. */
#include "harness/config/config.h"
#include "tests/fuzz/targets.h"

#include <stdlib.h>

void fuzz_yaml(const uint8_t *data, size_t size)
{
    struct fs_experiment experiment;
    struct fs_config again;
    struct fs_error error;
    if (fs_experiment_read(fuzz_file(data, size), NULL, 0, NULL, 0, &experiment, &error) != FS_OK) {
        return;
    }
    if (fs_config_from_json(experiment.runs[0].json, &again, &error) != FS_OK) {
        abort(); /* what was resolved once must be readable */
    }
    fs_config_free(&again);
    fs_experiment_free(&experiment);
}
