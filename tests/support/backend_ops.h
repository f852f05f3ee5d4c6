/* Every small case of harness/bench/cases.h on a backend, against the naive float64 reference: with and without gaps
 * between rows, float32 and bf16 operands, fresh random numbers. Each is a test with a name of its own. */
#ifndef FEWSTEP_TEST_BACKEND_OPS_H
#define FEWSTEP_TEST_BACKEND_OPS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/backend.h"

/* How the tests come by a backend. */
struct test_backend {
    const char *name;                                           /* the first word of the tests' names: "avx2" */
    struct fs_backend *(*open)(const struct test_backend *how); /* may skip the test */
    void (*close)(const struct test_backend *how, struct fs_backend *backend);
    const char *without; /* an operation that it does not have; NULL: none */
    int setting;         /* for open */
    bool slow;           /* each case runs with gaps between rows or without, by turns of setting and type, not both */
};

/* Tests to come, in static memory. */
struct test_list {
    struct CMUnitTest tests[4096];
    int count;
};

void test_list_add(struct test_list *list, const struct CMUnitTest *tests, size_t count);
/* A test for each small case and type, "avx2 bf16 norm_forward(samples=3,tokens=49,width=32)", and those that hold for
 * the whole backend. `how` outlives them. */
void test_list_add_ops(struct test_list *list, const struct test_backend *how);
/* "gradient linear_backward(…)": the reference's backward operations against finite differences of its forward ones. */
void test_list_add_derivatives(struct test_list *list);
/* Runs those whose name holds one of the words behind argv[0] (without a word: all), and returns main's status. */
int test_list_run(struct test_list *list, int argc, char **argv);
/* Which operations have passed all their tests, into $FEWSTEP_EVIDENCE/`kind`.tsv for `fewstep doctor --cuda`; nothing
 * without that variable, which make sets. where: a device, or "". */
/* Also recorded: what is no operation of the list, once its test has passed. The text is not copied. */
void test_ops_passed(const char *what);
void test_ops_record(const char *kind, const char *where);

#endif
