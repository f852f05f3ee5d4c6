/* Shell commands in a test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "tests/support/shell.h"

int test_shell(char *text, size_t size, const char *format, ...)
{
    char command[8192];
    va_list values;

    strcpy(command, "exec 2>&1; ");
    va_start(values, format);
    vsnprintf(command + strlen(command), sizeof(command) - strlen(command), format, values);
    va_end(values);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    text[fread(text, 1, size - 1, pipe)] = 0;
    const int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}
