/* Choices that were measured once and are kept in a file, so that every later process on the same device makes the same
 * ones, and with them the same bits. A line is "key value\n" in hexadecimal digits; the first line with a key counts.
 * Lines are only ever appended, each by one call: of several processes that measure the same, all take what came first.
 */
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/timing.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

extern "C" {
#include "kernels/base/memory.h"
}

#define LINE_ROOM 1024
#define KEY_ROOM 12

/* "FOLDER/products-NVIDIA-H100-130001.txt": what is measured depends on the device and the library. */
static bool path_of(struct fs_cuda *cuda, const char *kind, char path[PATH_MAX])
{
    char name[sizeof cuda->variant];
    size_t length = 0;
    for (const char *c = cuda->variant; *c != '\0'; c++) {
        name[length++] = isalnum((unsigned char)*c) ? *c : '-';
    }
    name[length] = '\0';
    const int needed = snprintf(path, PATH_MAX, "%s/%s-%s-%zu.txt", cuda->kept_choices, kind, name, fs_gemm_version());
    return needed > 0 && needed < PATH_MAX;
}

static void write_hex(const void *bytes, size_t count, char *text)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++) {
        const unsigned char byte = ((const unsigned char *)bytes)[i];
        text[2 * i] = digits[byte >> 4];
        text[2 * i + 1] = digits[byte & 15];
    }
    text[2 * count] = '\0';
}

/* Of digits that write_hex wrote; false where there are others. */
static bool read_hex(const char *text, void *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        unsigned byte;
        if (!isxdigit((unsigned char)text[2 * i]) || sscanf(text + 2 * i, "%2x", &byte) != 1) {
            return false;
        }
        ((unsigned char *)bytes)[i] = (unsigned char)byte;
    }
    return true;
}

bool fs_cuda_find_choice(struct fs_cuda *cuda, const char *kind, const void *key, size_t key_bytes, void *value,
                         size_t value_bytes)
{
    char path[PATH_MAX], line[LINE_ROOM], wanted[LINE_ROOM];
    const size_t length = 2 * key_bytes + 1 + 2 * value_bytes;
    FILE *file = length + 2 < LINE_ROOM && path_of(cuda, kind, path) ? fopen(path, "r") : NULL;
    bool found = false;
    write_hex(key, key_bytes, wanted);
    while (file != NULL && !found && fgets(line, sizeof line, file) != NULL) {
        found = strlen(line) == length + 1 && line[length] == '\n' && line[2 * key_bytes] == ' ' &&
                memcmp(line, wanted, 2 * key_bytes) == 0 && read_hex(line + 2 * key_bytes + 1, value, value_bytes);
    }
    if (file != NULL) {
        fclose(file);
    }
    return found;
}

bool fs_cuda_keep_choice(struct fs_cuda *cuda, const char *kind, const void *key, size_t key_bytes, void *value,
                         size_t value_bytes)
{
    char path[PATH_MAX] = "", line[LINE_ROOM];
    const size_t length = 2 * key_bytes + 1 + 2 * value_bytes;
    (void)mkdir(cuda->kept_choices, 0777);
    int file = -1;
    if (length + 2 < LINE_ROOM && path_of(cuda, kind, path)) {
        write_hex(key, key_bytes, line);
        line[2 * key_bytes] = ' ';
        write_hex(value, value_bytes, line + 2 * key_bytes + 1);
        line[length] = '\n';
        file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    }
    const bool written = file >= 0 && write(file, line, length + 1) == (ssize_t)(length + 1);
    const int reason = errno;
    const bool closed = file < 0 || close(file) == 0;
    if (!written || !closed) {
        fs_fail(&cuda->fault, FS_FAILED, "cuda: %s: FEWSTEP_CUDA_PRODUCTS: a choice cannot be written to %s: %s",
                cuda->operation, path, strerror(reason));
        return false;
    }
    return fs_cuda_find_choice(cuda, kind, key, key_bytes, value, value_bytes);
}

/* --- ways, which are asked for at each call of an operation, and so also kept in memory --- */

struct fs_cuda_known_way {
    const char *kind;
    int64_t key[KEY_ROOM];
    int way;
    struct fs_cuda_known_way *next;
};

static void know(struct fs_cuda *cuda, const char *kind, const int64_t *key, int numbers, int way)
{
    assert(numbers <= KEY_ROOM);
    struct fs_cuda_known_way *known =
        (struct fs_cuda_known_way *)fs_allocate(1, sizeof *known, "what was timed", &cuda->fault);
    if (known != NULL) {
        known->kind = kind;
        memcpy(known->key, key, (size_t)numbers * sizeof *key);
        known->way = way;
        known->next = cuda->ways;
        cuda->ways = known;
    }
}

static bool find_way(struct fs_cuda *cuda, const char *kind, const int64_t *key, int numbers, int count, int32_t *way)
{
    return fs_cuda_find_choice(cuda, kind, key, (size_t)numbers * sizeof *key, way, sizeof *way) && *way >= 0 &&
           *way < count;
}

bool fs_cuda_knows_way(struct fs_cuda *cuda, const char *kind, const int64_t *key, int numbers, int count, int *way)
{
    *way = 0;
    if (cuda->kept_choices[0] == '\0' || cuda->fault.status != FS_OK) {
        return true;
    }
    for (const struct fs_cuda_known_way *known = cuda->ways; known != NULL; known = known->next) {
        if (strcmp(known->kind, kind) == 0 && memcmp(known->key, key, (size_t)numbers * sizeof *key) == 0) {
            *way = known->way;
            return true;
        }
    }
    int32_t kept = 0;
    if (find_way(cuda, kind, key, numbers, count, &kept)) {
        *way = kept;
        know(cuda, kind, key, numbers, kept);
        return true;
    }
    return cuda->update.mode == FS_UPDATE_CAPTURE; /* there is no time in a capture */
}

void fs_cuda_keep_way(struct fs_cuda *cuda, const char *kind, const int64_t *key, int numbers, int count, int *way)
{
    int32_t kept = *way;
    if (cuda->fault.status == FS_OK &&
        fs_cuda_keep_choice(cuda, kind, key, (size_t)numbers * sizeof *key, &kept, sizeof kept)) {
        *way = kept >= 0 && kept < count ? kept : 0;
        know(cuda, kind, key, numbers, *way);
    }
}

void fs_cuda_forget_ways(struct fs_cuda *cuda)
{
    while (cuda->ways != NULL) {
        struct fs_cuda_known_way *known = cuda->ways;
        cuda->ways = known->next;
        free(known);
    }
}
