/* Progress on a terminal: one line, within the terminal's width, whatever the names in it hold. */
#define _GNU_SOURCE /* memmem */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "harness/run/progress.h"
#include "harness/text/escape.h"

static const char name[] = "Modèle “é” \x1b[31m, seed 0";

static void show(void)
{
    struct fs_progress progress;
    fs_progress_begin(&progress, false);
    for (int i = 1; i <= 3; i++) {
        fs_progress_line(&progress, false,
                         "%s: update %d/60 (5 %%), loss 0.1234, 12.34 updates/s, 50 %% of peak, 3 h left", name, i);
    }
    fs_progress_note(&progress, "%s: a note that is longer than the terminal is wide, and stays as it is", name);
    fs_progress_line(&progress, true, "%s: the last line stays", name);
}

/* What `show` writes to a terminal of so many columns. */
static void on_terminal(unsigned short columns, char *text, size_t size)
{
    const int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    if (terminal < 0 || grantpt(terminal) != 0 || unlockpt(terminal) != 0) { /* a chroot without devpts */
        print_message("skipped: there are no pseudo-terminals here\n");
        skip();
    }
    const int other = open(ptsname(terminal), O_RDWR | O_NOCTTY);
    const struct winsize window = {.ws_row = 24, .ws_col = columns};
    assert_true(other >= 0);
    assert_int_equal(ioctl(terminal, TIOCSWINSZ, &window), 0);
    const pid_t child = fork();
    if (child == 0) {
        dup2(other, STDERR_FILENO);
        show();
        _exit(0);
    }
    assert_int_equal(waitpid(child, NULL, 0), child); /* all of it fits into the terminal's buffer */
    const ssize_t got = read(terminal, text, size - 1);
    assert_true(got > 0);
    text[got] = 0;
    close(other);
    close(terminal);
}

static size_t characters(const char *text, size_t length)
{
    size_t count = 0;
    for (size_t i = 0; i < length; i++) {
        count += (text[i] & 0xc0) != 0x80;
    }
    return count;
}

static void test_a_line_is_written_over(void **state)
{
    static const unsigned short widths[] = {20, 40, 80, 200};
    (void)state;
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        char text[4096];
        on_terminal(widths[w], text, sizeof text);
        char *at = text;
        for (int i = 0; i < 3; i++) {
            assert_memory_equal(at, "\r\033[K", 4);
            at += 4;
            char *end = strchr(at, '\r');
            assert_non_null(end);
            assert_true(characters(at, (size_t)(end - at)) < widths[w]);
            assert_null(memchr(at, '\n', (size_t)(end - at)));
            assert_null(memchr(at, '\033', (size_t)(end - at)));
            assert_int_equal(memmem(at, (size_t)(end - at), "…", 3) != NULL, widths[w] < 120);
            at = end;
        }
        assert_memory_equal(at, "\r\033[KMod", 7);
        assert_non_null(strstr(at, "stays as it is\r\n"));
        assert_non_null(strstr(at, FS_REPLACEMENT "[31m, seed 0: the last line stays\r\n"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_line_is_written_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
