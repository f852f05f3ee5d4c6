/* The parts of the list of operations as one, and a case's name and memory. */
#include "harness/bench/cases.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int fs_put_operands(struct fs_case_operand *list, const struct fs_case_operand *operands, size_t count)
{
    memcpy(list, operands, count * sizeof *operands);
    return (int)count;
}

const struct fs_operation *fs_operation_at(int index)
{
    const struct {
        const struct fs_operation *operations;
        int count;
    } parts[] = {{fs_network_operations, fs_network_operation_count},
                 {fs_picture_operations, fs_picture_operation_count},
                 {fs_training_operations, fs_training_operation_count},
                 {fs_tangent_operations, fs_tangent_operation_count}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (index < parts[i].count) {
            return &parts[i].operations[index];
        }
        index -= parts[i].count;
    }
    return NULL;
}

bool fs_small_case(int index, struct fs_case *c)
{
    const struct fs_operation *operation;
    for (int i = 0; (operation = fs_operation_at(i)) != NULL; i++) {
        if (index < operation->case_count) {
            *c = operation->cases[index];
            c->operation = operation;
            return true;
        }
        index -= operation->case_count;
    }
    return false;
}

bool fs_backend_has(const struct fs_backend *backend, const struct fs_operation *operation)
{
    void (*function)(void);
    memcpy(&function, (const char *)backend + operation->entry, sizeof function);
    return function != NULL;
}

/* --- a case's name --- */

struct name {
    char *text;
    size_t size, length;
    char before; /* the next part */
};

static void put(struct name *name, const char *format, ...)
{
    va_list arguments;
    const size_t room = name->size - name->length;
    char part[96];
    va_start(arguments, format);
    vsnprintf(part, sizeof part, format, arguments);
    va_end(arguments);
    const int length = snprintf(name->text + name->length, room, "%c%s", name->before, part);
    name->length += (size_t)length < room ? (size_t)length : room - 1;
    name->before = ',';
}

void fs_case_name(const struct fs_case *c, char *text, size_t size)
{
    const struct fs_window *w = &c->window;
    const struct {
        const char *name;
        double value;
    } numbers[] = {
        {"samples", (double)c->samples},
        {"tokens", (double)c->tokens},
        {"width", (double)c->width},
        {"outputs", (double)c->outputs},
        {"heads", (double)c->heads},
        {"classes", (double)c->classes},
        {"groups", (double)c->groups},
        {"averages", (double)c->averages},
        {"scale", c->scale},
        {"clip", c->clip},
        {"centre", c->centre},
        {"adaptive", (double)c->loss.power},
        {"pooling", c->pooling},
    };
    const struct {
        const char *name;
        bool given;
    } flags[] = {{"gelu", c->gelu},
                 {"kept", c->kept},
                 {"bare", c->bare},
                 {"in_place", c->in_place},
                 {"accumulate", c->accumulate},
                 {"relu", c->relu},
                 {"silu", c->silu},
                 {"channels_last", w->channels_last != 0},
                 {"narrow", c->narrow}};
    struct name name = {text, size, 0, '('};
    name.length = (size_t)snprintf(text, size, "%s", c->operation->name);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (numbers[i].value > 0) {
            put(&name, "%s=%.6g", numbers[i].name, numbers[i].value);
        }
    }
    if (w->in_height > 0) {
        put(&name, "in=%dx%dx%d", (int)w->in_height, (int)w->in_width, (int)w->in_channels);
    }
    if (w->kernel_height > 0) {
        put(&name, "kernel=%dx%d/%d+%d+%d", (int)w->kernel_height, (int)w->kernel_width, (int)w->stride,
            (int)w->pad_height, (int)w->pad_width);
    }
    if (w->pad_below + w->pad_right > 0) {
        put(&name, "after=+%d+%d", (int)w->pad_below, (int)w->pad_right);
    }
    if (w->out_channels > 0) {
        put(&name, "channels=%d", (int)w->out_channels);
    }
    if (c->out_height > 0) {
        put(&name, "out=%dx%d", (int)c->out_height, (int)c->out_width);
    }
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (flags[i].given) {
            put(&name, "%s", flags[i].name);
        }
    }
    name.before = ')';
    put(&name, "");
}

/* --- a case's memory --- */

static enum fs_type type_of(const struct fs_backend *backend, enum fs_content content, enum fs_type any)
{
    return content == FS_ANY ? any : content == FS_REAL ? backend->real : FS_F32;
}

fs_status fs_case_allocate(struct fs_backend *backend, const struct fs_case *c, enum fs_type any, int64_t gap,
                           struct fs_view views[FS_CASE_OPERANDS], struct fs_error *error)
{
    struct fs_case_operand operands[FS_CASE_OPERANDS];
    const int count = c->operation->operands(c, operands);
    memset(views, 0, FS_CASE_OPERANDS * sizeof *views);
    for (int i = count - 1; i >= 0; i--) { /* what another shares comes behind it */
        const struct fs_case_operand *o = &operands[i];
        if (o->same_as > 0 && o->rows > 0) {
            views[i] = views[o->same_as - 1];
            continue;
        }
        if (o->rows <= 0) {
            continue;
        }
        const enum fs_type type = type_of(backend, o->content, any);
        const int64_t stride = o->cols + (o->dense ? 0 : gap);
        void *data = backend->allocate(backend, (size_t)(o->rows * stride) * fs_type_size(type), error);
        if (data == NULL) {
            return error->status;
        }
        views[i] = (struct fs_view){data, type, o->rows, o->cols, stride};
    }
    return FS_OK;
}

void fs_case_release(struct fs_backend *backend, const struct fs_case *c, struct fs_view views[FS_CASE_OPERANDS])
{
    struct fs_case_operand operands[FS_CASE_OPERANDS];
    const int count = c->operation->operands(c, operands);
    for (int i = 0; i < count; i++) {
        if (views[i].data != NULL && operands[i].same_as == 0) {
            backend->release(backend, views[i].data);
        }
        views[i] = fs_no_view();
    }
}

double fs_case_bytes(const struct fs_case *c, const struct fs_view views[FS_CASE_OPERANDS])
{
    struct fs_case_operand operands[FS_CASE_OPERANDS];
    const int count = c->operation->operands(c, operands);
    double bytes = 0;
    for (int i = 0; i < count; i++) {
        const double times = operands[i].use == FS_USE_SPARE ? 0 : operands[i].use == FS_USE_SUM ? 2 : 1;
        bytes += times * (double)(views[i].rows * views[i].cols) * (double)fs_type_size(views[i].type);
    }
    return bytes;
}
