/* Text in HTML and SVG, escaped. */
#include "harness/report/html.h"

#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* Bytes of the UTF-8 character at `text` (Unicode 15, table 3-7); 0 when there is none. */
static size_t character_length(const char *text, size_t length)
{
    const unsigned char *at = (const unsigned char *)text;
    const size_t size = at[0] < 0x80   ? 1
                        : at[0] < 0xc2 ? 0
                        : at[0] < 0xe0 ? 2
                        : at[0] < 0xf0 ? 3
                        : at[0] < 0xf5 ? 4
                                       : 0;
    const unsigned char low = at[0] == 0xe0 ? 0xa0 : at[0] == 0xf0 ? 0x90 : 0x80;
    const unsigned char high = at[0] == 0xed ? 0x9f : at[0] == 0xf4 ? 0x8f : 0xbf;

    if (size == 0 || size > length) {
        return 0;
    }
    for (size_t i = 1; i < size; i++) {
        if (at[i] < (i == 1 ? low : 0x80) || at[i] > (i == 1 ? high : 0xbf)) {
            return 0;
        }
    }
    return size;
}

static const char *escape_of(char character)
{
    switch (character) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

void fs_html_text(FILE *stream, const char *text, size_t length)
{
    while (length > 0) {
        const size_t size = character_length(text, length);
        const char *escape = escape_of(*text);
        const bool control = ((unsigned char)*text < 0x20 && *text != '\n' && *text != '\t') || *text == 0x7f;

        if (escape || control || size == 0) {
            fputs(escape ? escape : REPLACEMENT, stream);
        } else {
            fwrite(text, 1, size, stream);
        }
        text += size ? size : 1;
        length -= size ? size : 1;
    }
}

/* One conversion, its specification without length modifiers in `spec`; the value is taken from `values`. */
static void print_value(FILE *stream, const char *spec, char letter, bool wide, va_list *values)
{
    char text[64] = "";

    if (letter == 's') {
        const char *point = strchr(spec, '.');
        const int most = !point ? INT_MAX : point[1] == '*' ? va_arg(*values, int) : atoi(point + 1);
        const char *value = va_arg(*values, const char *);
        fs_html_text(stream, value, strnlen(value, (size_t)most));
        return;
    }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* checked where fs_html is called */
    if (letter == 'd' && wide) {
        snprintf(text, sizeof(text), "%" PRId64, va_arg(*values, int64_t));
    } else if (letter == 'd' || letter == 'x') {
        snprintf(text, sizeof(text), spec, va_arg(*values, int));
    } else {
        snprintf(text, sizeof(text), spec, va_arg(*values, double));
    }
#pragma GCC diagnostic pop
    fputs(text, stream);
}

void fs_html(FILE *stream, const char *format, ...)
{
    va_list values;

    va_start(values, format);
    for (const char *percent; (percent = strchr(format, '%'));) {
        char spec[16] = "%";
        size_t length = 1;
        bool wide = false;

        fwrite(format, 1, (size_t)(percent - format), stream);
        for (format = percent + 1; strchr("0123456789.+-*l", *format) && *format && length < sizeof(spec) - 2;
             format++) {
            wide |= *format == 'l';
            if (*format != 'l') {
                spec[length++] = *format;
            }
        }
        spec[length] = *format;
        if (*format == '%') {
            fputc('%', stream);
        } else {
            print_value(stream, spec, *format, wide, &values);
        }
        format += *format != 0;
    }
    fputs(format, stream);
    va_end(values);
}
