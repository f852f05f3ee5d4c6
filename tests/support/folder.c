/* Scratch folders, for a whole test program or for one test. */
#define _XOPEN_SOURCE 700 /* nftw */
#include "tests/support/folder.h"

#include <dirent.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[256];
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

void test_folder_make(char path[256])
{
    const char *parent = getenv("TMPDIR");
    snprintf(path, 256, "%s/fewstep-test-XXXXXX", parent && *parent ? parent : "/tmp");
    require(mkdtemp(path) != NULL, path);
}

void test_folder_remove(const char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void remove_own(void)
{
    if (getpid() == owner) { /* not in a child that a test forked */
        test_folder_remove(folder);
    }
}

const char *test_folder(void)
{
    if (!*folder) {
        test_folder_make(folder);
        owner = getpid();
        atexit(remove_own);
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

static int count_entries(const char *path, bool folders)
{
    DIR *entries = opendir(path);
    require(entries != NULL, path);
    int count = 0;
    for (const struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        const bool itself = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
        count += !itself && (folders || entry->d_type != DT_DIR);
    }
    closedir(entries);
    return count;
}

int test_folder_entries(void)
{
    return count_entries(test_folder(), true);
}

int test_folder_files(const char *path)
{
    return count_entries(path, false);
}
