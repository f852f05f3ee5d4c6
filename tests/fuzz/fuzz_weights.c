/* Weights of autoencoders and extractors. The input is the file's header; its tensors are zeros, as many bytes as the
 * first four of the input say, so that a whole network's fits. */
#include "harness/model/autoencoder_file.h"
#include "metrics/classifier.h"
#include "tests/fuzz/targets.h"
#include "tests/support/folder.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ZEROS_MAX (4 << 20)

void fuzz_weights(const uint8_t *data, size_t size)
{
    struct fs_autoencoder_file file;
    struct fs_classifier_shape shape;
    struct fs_error error;
    uint32_t zeros;
    if (size < sizeof zeros) {
        return;
    }
    memcpy(&zeros, data, sizeof zeros);
    const uint64_t length = size - sizeof zeros;
    const char *path = test_path("weights.safetensors");
    uint8_t *bytes = malloc(sizeof length + (size_t)length);
    if (!bytes) {
        return;
    }
    memcpy(bytes, &length, sizeof length);
    memcpy(bytes + sizeof length, data + sizeof zeros, (size_t)length);
    test_write(path, bytes, sizeof length + (size_t)length);
    free(bytes);
    if (truncate(path, (off_t)(sizeof length + length + zeros % ZEROS_MAX)) != 0) {
        abort();
    }
    if (fs_autoencoder_file_open(path, &file, &error) == FS_OK) {
        fuzz_touch(&file.channels, sizeof file.channels);
        fs_autoencoder_file_close(&file);
    }
    if (fs_classifier_read_shape(path, &shape, &error) == FS_OK) {
        fuzz_touch(&shape, sizeof shape);
    }
}
