/* A scratch folder for a test program. */
#define _XOPEN_SOURCE 700 /* nftw */
#include "tests/support/folder.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[512];
static pid_t owner;

static void require(int condition, const char *what)
{
    if (!condition) {
        perror(what);
        abort();
    }
}

static int remove_entry(const char *path, const struct stat *about, int kind, struct FTW *place)
{
    (void)about;
    (void)kind;
    (void)place;
    return remove(path);
}

static void remove_folder(void)
{
    if (getpid() == owner) { /* not in a child that a test forked */
        nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    }
}

const char *test_folder(void)
{
    if (!*folder) {
        const char *parent = getenv("TMPDIR");
        snprintf(folder, sizeof folder, "%s/fewstep-test-XXXXXX", parent && *parent ? parent : "/tmp");
        require(mkdtemp(folder) != NULL, folder);
        owner = getpid();
        atexit(remove_folder);
    }
    return folder;
}

const char *test_path(const char *name)
{
    static char paths[8][1024];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", test_folder(), name);
    return path;
}

void test_write(const char *path, const void *bytes, size_t size)
{
    FILE *stream = fopen(path, "wb");
    require(stream != NULL, path);
    require(size == 0 || fwrite(bytes, 1, size, stream) == size, path);
    require(fclose(stream) == 0, path);
}

int test_folder_entries(void)
{
    DIR *entries = opendir(test_folder());
    require(entries != NULL, folder);
    int count = 0;
    for (const struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    }
    closedir(entries);
    return count;
}
