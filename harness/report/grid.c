/* A table of texts, printed in columns. */
#include "harness/report/grid.h"

#include <stdlib.h>
#include <string.h>

#include "harness/text/escape.h"
#include "kernels/base/memory.h"

fs_status fs_grid_make(struct fs_grid *grid, int rows, int columns, const char *empty, struct fs_error *error)
{
    *grid = (struct fs_grid){.rows = rows, .columns = columns};
    grid->cells = fs_allocate((size_t)rows * (size_t)columns, FS_GRID_TEXT, "a table", error);
    if (!grid->cells) {
        return FS_FAILED;
    }
    for (int i = 0; i < rows * columns; i++) {
        snprintf(grid->cells[i], FS_GRID_TEXT, "%s", empty);
    }
    return FS_OK;
}

void fs_grid_free(struct fs_grid *grid)
{
    free(grid->cells);
    free(grid->notes);
    *grid = (struct fs_grid){0};
}

char *fs_grid_at(struct fs_grid *grid, int row, int column)
{
    return grid->cells[row * grid->columns + column];
}

fs_status fs_grid_note(struct fs_grid *grid, const char *note, struct fs_error *error)
{
    const size_t size = 3 * strlen(note) + 1; /* a byte becomes three at most */
    char *plain = fs_allocate(size, 1, "a note", error);
    char *longer =
        plain ? fs_format(error, "%s%s\n", grid->notes ? grid->notes : "", fs_plain_text(note, plain, size)) : NULL;

    free(plain);
    if (!longer) {
        return FS_FAILED;
    }
    free(grid->notes);
    grid->notes = longer;
    return FS_OK;
}

fs_status fs_grid_made_note(struct fs_grid *grid, char *note, struct fs_error *error)
{
    const fs_status status = note ? fs_grid_note(grid, note, error) : FS_FAILED;

    free(note);
    return status;
}

static void print_aligned(struct fs_grid *grid, FILE *stream)
{
    for (int row = 0; row < grid->rows; row++) {
        for (int column = 0; column < grid->columns; column++) {
            const char *text = fs_grid_at(grid, row, column);
            int width = 0;
            for (int other = 0; other < grid->rows; other++) {
                const int its = fs_utf8_characters(fs_grid_at(grid, other, column));
                width = its > width ? its : width;
            }
            const int space = width - fs_utf8_characters(text);
            const bool left = column < grid->left;
            fprintf(stream, "%s%*s", column ? "  " : "", left ? 0 : space, "");
            fs_put_plain(text, stream);
            fprintf(stream, "%*s", left ? space : 0, "");
        }
        fputc('\n', stream);
    }
}

static void print_markdown(struct fs_grid *grid, FILE *stream)
{
    for (int row = 0; row < grid->rows; row++) {
        for (int column = 0; column < grid->columns; column++) {
            fputs("| ", stream);
            /* On the left are names, which may be anyone's; the others have marks of ours. */
            (column < grid->left ? fs_put_markdown : fs_put_plain)(fs_grid_at(grid, row, column), stream);
            fputc(' ', stream);
        }
        fputs("|\n", stream);
        for (int column = 0; row == 0 && column < grid->columns; column++) {
            fputs(column < grid->left ? "|---" : "|--:", stream);
        }
        fputs(row == 0 ? "|\n" : "", stream);
    }
}

/* A line of text a note; in Markdown a list. */
static void print_notes(const struct fs_grid *grid, bool markdown, FILE *stream)
{
    fputc('\n', stream);
    for (const char *line = grid->notes; *line; line += strcspn(line, "\n") + 1) {
        char text[2048];
        snprintf(text, sizeof(text), "%.*s", (int)strcspn(line, "\n"), line);
        fputs(markdown ? "- " : "", stream);
        (markdown ? fs_put_markdown : fs_put_plain)(text, stream);
        fputc('\n', stream);
    }
}

void fs_grid_print(struct fs_grid *grid, bool markdown, FILE *stream)
{
    if (markdown) {
        print_markdown(grid, stream);
    } else {
        print_aligned(grid, stream);
    }
    if (grid->notes) {
        print_notes(grid, markdown, stream);
    }
}
