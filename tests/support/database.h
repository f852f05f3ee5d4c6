/* A folder of its own for a test, and rows for the database. */
#ifndef FEWSTEP_TEST_DATABASE_H
#define FEWSTEP_TEST_DATABASE_H

#include "harness/store/store.h"

/* A fresh folder below $TMPDIR or /tmp, and its removal with all that it holds. */
void test_folder_make(char path[256]);
void test_folder_remove(const char *path);
/* How many files (not folders) stand directly in it. */
int test_folder_files(const char *path);

/* Rows with every field set; the caller changes what its test is about. */
struct fs_environment test_environment(void);
struct fs_run_row test_run(const char *id);
struct fs_score_row test_score(const char *score_hash, const char *run);
/* An id: `digits` repeated to 64. */
void test_id(const char *digits, char id[65]);

#endif
