/* Checked allocation, and how much memory the process has had. */
#include "kernels/base/memory.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 64u

void *fs_allocate(size_t count, size_t size, const char *what, struct fs_error *error)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX - ALIGNMENT) {
        fs_fail(error, FS_FAILED, "%s: %zu × %zu bytes are more than can be addressed", what, count, size);
        return NULL;
    }
    bytes = bytes == 0 ? ALIGNMENT : (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    void *memory = aligned_alloc(ALIGNMENT, bytes);
    if (!memory) {
        fs_fail(error, FS_FAILED, "%s: no memory for %zu bytes", what, bytes);
        return NULL;
    }
    return memset(memory, 0, bytes);
}

char *fs_copy_text(const char *text, struct fs_error *error)
{
    return fs_format(error, "%s", text);
}

char *fs_format(struct fs_error *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0) {
        fs_fail(error, FS_FAILED, "a text could not be formatted");
        return NULL;
    }
    char *text = fs_allocate((size_t)length + 1, 1, "text", error);
    if (text) {
        va_start(arguments, format);
        vsnprintf(text, (size_t)length + 1, format, arguments);
        va_end(arguments);
    }
    return text;
}

size_t fs_memory_peak(void)
{
    size_t kibibytes = 0;
    char line[256];
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL && sscanf(line, "VmHWM: %zu", &kibibytes) != 1) {
    }
    if (file != NULL) {
        fclose(file);
    }
    return 1024 * kibibytes;
}

void fs_memory_peak_reset(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "w");
    if (file != NULL) {
        fputs("5", file);
        fclose(file);
    }
}
