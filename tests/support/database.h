/* Rows for the database of a test. */
#ifndef FEWSTEP_TEST_DATABASE_H
#define FEWSTEP_TEST_DATABASE_H

#include "harness/store/store.h"

/* Rows with every field set; the caller changes what its test is about. */
struct fs_environment test_environment(void);
struct fs_run_row test_run(const char *id);
struct fs_score_row test_score(const char *score_hash, const char *run);
/* An id: `digits` repeated to 64. */
void test_id(const char *digits, char id[65]);

#endif
