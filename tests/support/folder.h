/* Scratch folders, for a whole test program or for one test. */
#ifndef FEWSTEP_TEST_FOLDER_H
#define FEWSTEP_TEST_FOLDER_H

#include <stddef.h>

/* A fresh folder under $TMPDIR or /tmp, removed with its contents when the program ends. The text is the program's
 * only one and stays valid. */
const char *test_folder(void);

/* FOLDER/name, in a text that stays valid until the eighth call after this one. */
const char *test_path(const char *name);

/* Writes `size` bytes as they are, not atomically; the test fails when that cannot be done. */
void test_write(const char *path, const void *bytes, size_t size);

/* Number of entries in the scratch folder. */
int test_folder_entries(void);

/* A fresh folder for one test, and its removal with all that it holds. */
void test_folder_make(char path[256]);
void test_folder_remove(const char *path);
/* How many files (not folders) stand directly in it. */
int test_folder_files(const char *path);

#endif
