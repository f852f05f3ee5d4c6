/* A fuzzer's input as a file that has a path but no place on the disk. */
#define _GNU_SOURCE /* memfd_create */
#include "tests/fuzz/targets.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static void require(int good, const char *what)
{
    if (!good) {
        perror(what);
        abort();
    }
}

const char *fuzz_file(const uint8_t *data, size_t size)
{
    static int file = -1;
    static char path[64];
    if (file < 0) {
        file = memfd_create("fuzz", MFD_CLOEXEC);
        require(file >= 0, "memfd_create");
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    }
    require(ftruncate(file, 0) == 0, "ftruncate");
    require(pwrite(file, data, size, 0) == (ssize_t)size, "pwrite");
    return path;
}

void fuzz_touch(const void *data, size_t size)
{
    static volatile unsigned char sum;
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++) {
        sum = (unsigned char)(sum + bytes[i]);
    }
}
