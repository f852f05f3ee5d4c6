/* safetensors files: every tensor of a file that was accepted lies within it. */
#include "kernels/base/safetensors.h"
#include "tests/fuzz/targets.h"

#include <string.h>

void fuzz_safetensors(const uint8_t *data, size_t size)
{
    struct fs_tensor_file file;
    struct fs_error error;
    if (fs_tensor_file_read(fuzz_file(data, size), &file, &error) != FS_OK) {
        return;
    }
    for (int i = 0; i < file.tensor_count; i++) {
        const struct fs_tensor *tensor = &file.tensors[i];
        size_t bytes = fs_type_size(tensor->type);
        for (int d = 0; d < tensor->rank; d++) {
            bytes *= (size_t)tensor->shape[d];
        }
        fuzz_touch(tensor->data, bytes);
        fuzz_touch(tensor->name, strlen(tensor->name));
    }
    for (int i = 0; i < file.metadata_count; i++) {
        const char *value = fs_tensor_metadata_find(&file, file.metadata[i].key);
        fuzz_touch(value, strlen(value));
    }
    fs_tensor_file_free(&file);
}
