/* The program on several ranks, as its users start it. */
#include "tests/support/mpirun.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/base/safetensors.h"
#include "tests/support/folder.h"
#include "tests/support/program.h"
#include "tests/support/shell.h"

void test_mpirun_prepare(void)
{
    char weights[600];
    assert_non_null(getcwd(weights, sizeof weights - sizeof "/metrics"));
    strcat(weights, "/metrics");
    setenv("FEWSTEP_DATA", weights, 1);
    setenv("ASAN_OPTIONS", "detect_leaks=0", 1); /* Open MPI keeps memory to the end: all that was found was its own */
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    setenv("OMP_NUM_THREADS", "1", 1);
}

bool test_mpirun_there(void)
{
    char module[600], text[256];
    snprintf(module, sizeof module, "%.*s/libfewstep_mpi.so", (int)(strrchr(test_program(), '/') - test_program()),
             test_program());
    return access(module, R_OK) == 0 && test_shell(text, sizeof text, "command -v mpirun") == 0;
}

int test_mpirun(int ranks, char *text, size_t size, const char *format, ...)
{
    char launcher[64] = "", arguments[4096];
    va_list list;
    va_start(list, format);
    vsnprintf(arguments, sizeof arguments, format, list);
    va_end(list);
    if (ranks > 0) {
        snprintf(launcher, sizeof launcher, "mpirun --oversubscribe -n %d", ranks);
    }
    return test_shell(text, size, "timeout 400 %s %s %s", launcher, test_program(), arguments);
}

static int compare_tensors(const struct fs_tensor_file *a, const struct fs_tensor_file *b, double *worst)
{
    assert_int_equal(a->tensor_count, b->tensor_count);
    for (int i = 0; i < a->tensor_count; i++) {
        const struct fs_tensor *other = fs_tensor_find(b, a->tensors[i].name);
        const float *x = a->tensors[i].data, *y = other ? other->data : NULL;
        int64_t count = 1;
        double apart = 0, length = 0;
        assert_non_null(other);
        for (int k = 0; k < other->rank; k++) {
            count *= other->shape[k];
        }
        for (int64_t k = 0; k < count; k++) {
            apart += ((double)x[k] - (double)y[k]) * ((double)x[k] - (double)y[k]);
            length += (double)x[k] * (double)x[k];
        }
        *worst = fmax(*worst, length > 0 ? sqrt(apart / length) : apart);
    }
    return a->tensor_count;
}

double test_checkpoint_distance(const char *out, const char *other)
{
    static char names[65536];
    char folders[2][600];
    double worst = 0;
    int tensors = 0;
    snprintf(folders[0], sizeof folders[0], "%s", test_path(out));
    snprintf(folders[1], sizeof folders[1], "%s", test_path(other));
    assert_int_equal(test_shell(names, sizeof names, "cd %s && ls runs/*/checkpoint-*.safetensors", folders[0]), 0);
    for (char *name = strtok(names, "\n"); name; name = strtok(NULL, "\n")) {
        char path[2000];
        struct fs_tensor_file file[2];
        struct fs_error error;
        for (int i = 0; i < 2; i++) {
            snprintf(path, sizeof path, "%s/%s", folders[i], name);
            if (fs_tensor_file_read(path, &file[i], &error) != FS_OK) {
                fail_msg("%s", error.text);
            }
        }
        tensors += compare_tensors(&file[0], &file[1], &worst);
        fs_tensor_file_free(&file[0]);
        fs_tensor_file_free(&file[1]);
    }
    assert_true(tensors > 30);
    return worst;
}
