/* oneDNN 2.x and 3.x: matrix products and convolutions, with a primitive per shape that is made at its first use. */
#include "kernels/cpu/onednn.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/memory.h"
#include "kernels/cpu/onednn_api.h"
#include "kernels/operands.h"

#define KEY_NUMBERS 24
#define ARGUMENTS_MAX 4

/* What a primitive was made for: everything but the pointers. */
struct key {
    int64_t numbers[KEY_NUMBERS];
};

/* One operand: the caller's memory, and where the primitive wants another layout, memory of our own and the reorder
 * between them (before it runs for inputs, after it for results). */
struct argument {
    int id;
    bool result;
    dnnl_memory_t user, inner;
    dnnl_primitive_t reorder;
};

struct entry {
    struct entry *next;
    struct key key;
    dnnl_primitive_t primitive;
    struct argument arguments[ARGUMENTS_MAX];
    int argument_count;
    dnnl_memory_t scratchpad; /* of a product: it lies in the state's own scratch */
};

struct fs_onednn {
    int threads;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    struct entry *entries;
    void *scratch;
    size_t scratch_bytes;
};

static dnnl_status_t product_descriptor(dnnl_primitive_desc_t *made, dnnl_engine_t engine, borrowed a, borrowed b,
                                        borrowed bias, borrowed c, dnnl_primitive_attr_t attributes)
{
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_matmul_primitive_desc_create(made, engine, a, b, bias, c, attributes);
#else
    dnnl_matmul_desc_t matmul;
    const dnnl_status_t status = dnnl_matmul_desc_init(&matmul, a, b, bias, c);
    return status != dnnl_success ? status : dnnl_primitive_desc_create(made, &matmul, attributes, engine, NULL);
#endif
}

static dnnl_status_t backward_descriptor(dnnl_primitive_desc_t *made, dnnl_engine_t engine,
                                         const struct convolution_layouts *l, bool weights, dnnl_primitive_desc_t hint)
{
    const borrowed bias = l->with_bias ? borrow(&l->bias) : NULL;
#if DNNL_VERSION_MAJOR >= 3
    if (weights) {
        return dnnl_convolution_backward_weights_primitive_desc_create(
            made, engine, dnnl_convolution_direct, borrow(&l->x), borrow(&l->w), bias, borrow(&l->y), l->strides,
            l->dilates, l->padding, l->padding_after, hint, NULL);
    }
    return dnnl_convolution_backward_data_primitive_desc_create(made, engine, dnnl_convolution_direct, borrow(&l->x),
                                                                borrow(&l->w), borrow(&l->y), l->strides, l->dilates,
                                                                l->padding, l->padding_after, hint, NULL);
#else
    dnnl_convolution_desc_t description;
    const dnnl_status_t status =
        weights ? dnnl_dilated_convolution_backward_weights_desc_init(&description, dnnl_convolution_direct, &l->x,
                                                                      &l->w, bias, &l->y, l->strides, l->dilates,
                                                                      l->padding, l->padding_after)
                : dnnl_dilated_convolution_backward_data_desc_init(&description, dnnl_convolution_direct, &l->x, &l->w,
                                                                   &l->y, l->strides, l->dilates, l->padding,
                                                                   l->padding_after);
    return status != dnnl_success ? status : dnnl_primitive_desc_create(made, &description, NULL, engine, hint);
#endif
}

/* --- primitives and their cache --- */

static void entry_free(struct entry *entry)
{
    for (int i = 0; i < entry->argument_count; i++) {
        struct argument *argument = &entry->arguments[i];
        if (argument->inner != argument->user) {
            dnnl_memory_destroy(argument->inner);
        }
        dnnl_memory_destroy(argument->user);
        dnnl_primitive_destroy(argument->reorder);
    }
    dnnl_memory_destroy(entry->scratchpad);
    dnnl_primitive_destroy(entry->primitive);
    free(entry);
}

static dnnl_status_t make_reorder(struct fs_onednn *onednn, dnnl_primitive_t *reorder, borrowed from, borrowed to,
                                  bool accumulate)
{
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_post_ops_t post_ops = NULL;
    dnnl_primitive_desc_t descriptor = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(&attributes);
    if (status == dnnl_success && accumulate) {
        status = dnnl_post_ops_create(&post_ops);
        status = status == dnnl_success ? append_sum(post_ops) : status;
        status = status == dnnl_success ? dnnl_primitive_attr_set_post_ops(attributes, post_ops) : status;
    }
    if (status == dnnl_success) {
        status = dnnl_reorder_primitive_desc_create(&descriptor, from, onednn->engine, to, onednn->engine, attributes);
    }
    if (status == dnnl_success) {
        status = dnnl_primitive_create(reorder, descriptor);
    }
    dnnl_primitive_desc_destroy(descriptor);
    dnnl_post_ops_destroy(post_ops);
    dnnl_primitive_attr_destroy(attributes);
    return status;
}

/* Adds an operand that the caller has in layout `user` and the primitive wants in `wanted`. A result that is
 * accumulated always goes through memory of our own. */
static dnnl_status_t add_argument(struct fs_onednn *onednn, struct entry *entry, int id, borrowed user, borrowed wanted,
                                  bool result, bool accumulate)
{
    struct argument *argument = &entry->arguments[entry->argument_count++];
    *argument = (struct argument){.id = id, .result = result};
    CHECK(dnnl_memory_create(&argument->user, user, onednn->engine, DNNL_MEMORY_NONE));
    if (dnnl_memory_desc_equal(user, wanted) && !accumulate) {
        argument->inner = argument->user;
        return dnnl_success;
    }
    CHECK(dnnl_memory_create(&argument->inner, wanted, onednn->engine, DNNL_MEMORY_ALLOCATE));
    return make_reorder(onednn, &argument->reorder, result ? wanted : user, result ? user : wanted, accumulate);
}

static dnnl_status_t run_reorder(struct fs_onednn *onednn, const struct argument *argument)
{
    const dnnl_exec_arg_t arguments[2] = {
        {DNNL_ARG_FROM, argument->result ? argument->inner : argument->user},
        {DNNL_ARG_TO, argument->result ? argument->user : argument->inner},
    };
    return dnnl_primitive_execute(argument->reorder, onednn->stream, 2, arguments);
}

/* Runs a primitive on the caller's pointers, given in the order in which the operands were added. */
static dnnl_status_t run_entry(struct fs_onednn *onednn, struct entry *entry, void *const pointers[])
{
    dnnl_exec_arg_t arguments[ARGUMENTS_MAX + 1];
    int count = entry->argument_count;
    for (int i = 0; i < entry->argument_count; i++) {
        struct argument *argument = &entry->arguments[i];
        CHECK(dnnl_memory_set_data_handle(argument->user, pointers[i]));
        if (argument->reorder != NULL && !argument->result) {
            CHECK(run_reorder(onednn, argument));
        }
        arguments[i] = (dnnl_exec_arg_t){argument->id, argument->inner};
    }
    if (entry->scratchpad != NULL) {
        CHECK(dnnl_memory_set_data_handle(entry->scratchpad, onednn->scratch));
        arguments[count++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, entry->scratchpad};
    }
    CHECK(dnnl_primitive_execute(entry->primitive, onednn->stream, count, arguments));
    for (int i = 0; i < entry->argument_count; i++) {
        if (entry->arguments[i].reorder != NULL && entry->arguments[i].result) {
            CHECK(run_reorder(onednn, &entry->arguments[i]));
        }
    }
    return dnnl_stream_wait(onednn->stream);
}

static struct entry *find_entry(struct fs_onednn *onednn, const struct key *key)
{
    for (struct entry *entry = onednn->entries; entry != NULL; entry = entry->next) {
        if (memcmp(&entry->key, key, sizeof *key) == 0) {
            return entry;
        }
    }
    return NULL;
}

static struct entry *new_entry(const struct key *key, struct fs_error *error)
{
    struct entry *entry = fs_allocate(1, sizeof *entry, "a oneDNN primitive", error);
    if (entry != NULL) {
        entry->key = *key;
    }
    return entry;
}

/* Keeps a new entry, or gives it back when making it failed. */
static fs_status keep_entry(struct fs_onednn *onednn, struct entry *entry, dnnl_status_t status, const char *what,
                            struct fs_error *error)
{
    if (status != dnnl_success) {
        entry_free(entry);
        return fs_fail(error, FS_FAILED, "oneDNN cannot make a %s (status %d)", what, (int)status);
    }
    entry->next = onednn->entries;
    onednn->entries = entry;
    return FS_OK;
}

struct fs_onednn *fs_onednn_create(int threads, struct fs_error *error)
{
    struct fs_onednn *onednn = fs_allocate(1, sizeof *onednn, "the state of oneDNN", error);
    if (onednn == NULL) {
        return NULL;
    }
    onednn->threads = threads;
    dnnl_status_t status = dnnl_engine_create(&onednn->engine, dnnl_cpu, 0);
    if (status == dnnl_success) {
        status = dnnl_stream_create(&onednn->stream, onednn->engine, dnnl_stream_default_flags);
    }
    if (status != dnnl_success) {
        fs_fail(error, FS_FAILED, "oneDNN does not start (status %d)", (int)status);
        fs_onednn_destroy(onednn);
        return NULL;
    }
    return onednn;
}

void fs_onednn_destroy(struct fs_onednn *onednn)
{
    if (onednn == NULL) {
        return;
    }
    for (struct entry *entry = onednn->entries, *next; entry != NULL; entry = next) {
        next = entry->next;
        entry_free(entry);
    }
    dnnl_stream_destroy(onednn->stream);
    dnnl_engine_destroy(onednn->engine);
    free(onednn->scratch);
    free(onednn);
}

/* --- matrix products --- */

static dnnl_status_t operand_layout(dnnl_memory_desc_t *layout, const struct fs_operand *operand, int64_t rows,
                                    int64_t cols)
{
    const dnnl_dims_t dims = {rows, cols}, strides = {operand->row, operand->col};
    return layout_strided(layout, 2, dims, data_type_of(operand->type), strides);
}

static dnnl_status_t product_attributes(dnnl_primitive_attr_t attributes, const struct fs_product *product)
{
    dnnl_post_ops_t post_ops;
    CHECK(dnnl_post_ops_create(&post_ops));
    dnnl_status_t status = dnnl_success;
    if (product->accumulate) {
        status = append_sum(post_ops);
    }
    if (status == dnnl_success && product->gelu) {
        status = append_eltwise(post_ops, dnnl_eltwise_gelu_tanh);
    }
    if (status == dnnl_success) {
        status = dnnl_primitive_attr_set_post_ops(attributes, post_ops);
    }
    dnnl_post_ops_destroy(post_ops);
    return status;
}

/* The library's own scratch memory is of the thread that makes a primitive; one of ours may be run by another, where
 * OpenMP has other threads than before. */
static dnnl_status_t add_scratchpad(struct fs_onednn *onednn, struct entry *entry, dnnl_primitive_desc_t descriptor)
{
    struct fs_error error;
    const borrowed layout = dnnl_primitive_desc_query_md(descriptor, dnnl_query_scratchpad_md, 0);
    const size_t bytes = layout != NULL ? dnnl_memory_desc_get_size(layout) : 0;
    if (bytes == 0) {
        return dnnl_success;
    }
    if (bytes > onednn->scratch_bytes) {
        free(onednn->scratch);
        onednn->scratch_bytes = 0;
        onednn->scratch = fs_allocate(bytes, 1, "scratch memory of a product", &error);
        if (onednn->scratch == NULL) {
            return dnnl_out_of_memory;
        }
        onednn->scratch_bytes = bytes;
    }
    return dnnl_memory_create(&entry->scratchpad, layout, onednn->engine, DNNL_MEMORY_NONE);
}

static dnnl_status_t make_product_of(struct fs_onednn *onednn, struct entry *entry, const struct fs_product *product,
                                     const dnnl_memory_desc_t layouts[4], dnnl_primitive_attr_t attributes)
{
    const bool with_bias = product->bias != NULL;
    dnnl_primitive_desc_t descriptor;
    CHECK(product_attributes(attributes, product));
    CHECK(dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user));
    CHECK(product_descriptor(&descriptor, onednn->engine, borrow(&layouts[0]), borrow(&layouts[1]),
                             with_bias ? borrow(&layouts[3]) : NULL, borrow(&layouts[2]), attributes));
    dnnl_status_t status = dnnl_primitive_create(&entry->primitive, descriptor);
    if (status == dnnl_success) {
        status = add_scratchpad(onednn, entry, descriptor);
    }
    dnnl_primitive_desc_destroy(descriptor);
    CHECK(status);
    static const int ids[4] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_BIAS};
    for (int i = 0; i < (with_bias ? 4 : 3); i++) {
        CHECK(add_argument(onednn, entry, ids[i], borrow(&layouts[i]), borrow(&layouts[i]), false, false));
    }
    return dnnl_success;
}

static dnnl_status_t make_product(struct fs_onednn *onednn, struct entry *entry, const struct fs_product *product)
{
    const struct fs_operand bias = {NULL, FS_F32, product->n, 1};
    const struct fs_operand *const operands[4] = {&product->a, &product->b, &product->c, &bias};
    const int64_t rows[4] = {product->m, product->k, product->m, 1};
    const int64_t cols[4] = {product->k, product->n, product->n, product->n};
    dnnl_memory_desc_t layouts[4];
    for (int i = 0; i < 4; i++) {
        CHECK(operand_layout(&layouts[i], operands[i], rows[i], cols[i]));
    }
    dnnl_primitive_attr_t attributes;
    CHECK(dnnl_primitive_attr_create(&attributes));
    const dnnl_status_t status = make_product_of(onednn, entry, product, layouts, attributes);
    dnnl_primitive_attr_destroy(attributes);
    for (int i = 0; i < 4; i++) {
        layout_free(&layouts[i]);
    }
    return status;
}

fs_status fs_onednn_product(struct fs_onednn *onednn, const struct fs_product *p, struct fs_error *error)
{
    const struct key key = {{0, p->m, p->n, p->k, p->a.type, p->a.row, p->a.col, p->b.type, p->b.row, p->b.col,
                             p->c.type, p->c.row, p->c.col, p->bias != NULL, p->accumulate, p->gelu}};
    omp_set_num_threads(onednn->threads); /* oneDNN asks for it where it makes and where it runs a primitive */
    struct entry *entry = find_entry(onednn, &key);
    if (entry == NULL) {
        entry = new_entry(&key, error);
        if (entry == NULL) {
            return FS_FAILED;
        }
        FS_TRY(keep_entry(onednn, entry, make_product(onednn, entry, p), "matrix product", error));
    }
    void *const pointers[4] = {p->a.data, p->b.data, p->c.data, (void *)(uintptr_t)p->bias};
    const dnnl_status_t status = run_entry(onednn, entry, pointers);
    return status == dnnl_success
               ? FS_OK
               : fs_fail(error, FS_FAILED, "oneDNN's matrix product failed (status %d)", (int)status);
}

/* --- convolutions --- */

/* The caller's layouts: NHWC images, filters with their channels first or last. */
static dnnl_status_t user_layouts(const struct fs_convolution *c, struct convolution_layouts *l)
{
    const struct fs_window *w = c->window;
    const int64_t height = fs_window_out_height(w), width = fs_window_out_width(w);
    const int64_t area = w->kernel_height * w->kernel_width;
    const dnnl_dims_t x = {c->samples, w->in_channels, w->in_height, w->in_width};
    const dnnl_dims_t x_strides = {c->x_stride, 1, w->in_width * w->in_channels, w->in_channels};
    const dnnl_dims_t filters = {w->out_channels, w->in_channels, w->kernel_height, w->kernel_width};
    const int64_t channels = w->in_channels;
    const dnnl_dims_t filter_strides = {c->w_stride, w->channels_last ? 1 : area,
                                        w->kernel_width * (w->channels_last ? channels : 1),
                                        w->channels_last ? channels : 1};
    const dnnl_dims_t bias = {w->out_channels}, bias_strides = {1};
    const dnnl_dims_t y = {c->samples, w->out_channels, height, width};
    const dnnl_dims_t y_strides = {c->y_stride, 1, width * w->out_channels, w->out_channels};
    CHECK(layout_strided(&l->x, 4, x, data_type_of(c->type), x_strides));
    CHECK(layout_strided(&l->w, 4, filters, data_type_of(c->type), filter_strides));
    CHECK(layout_strided(&l->bias, 1, bias, dnnl_f32, bias_strides));
    return layout_strided(&l->y, 4, y, data_type_of(c->y_type), y_strides);
}

/* The same with every layout but the bias's left to oneDNN. */
static dnnl_status_t free_layouts(const struct fs_convolution *c, struct convolution_layouts *l)
{
    const struct fs_window *w = c->window;
    const int64_t height = fs_window_out_height(w), width = fs_window_out_width(w);
    const dnnl_dims_t x = {c->samples, w->in_channels, w->in_height, w->in_width};
    const dnnl_dims_t filters = {w->out_channels, w->in_channels, w->kernel_height, w->kernel_width};
    const dnnl_dims_t bias = {w->out_channels}, bias_strides = {1};
    const dnnl_dims_t y = {c->samples, w->out_channels, height, width};
    l->with_bias = c->bias != NULL;
    for (int i = 0; i < 2; i++) {
        l->strides[i] = w->stride;
        l->padding[i] = i == 0 ? w->pad_height : w->pad_width;
        l->padding_after[i] = l->padding[i] + (i == 0 ? w->pad_below : w->pad_right);
    }
    CHECK(layout_any(&l->x, 4, x, data_type_of(c->type)));
    CHECK(layout_any(&l->w, 4, filters, data_type_of(c->type)));
    CHECK(layout_strided(&l->bias, 1, bias, dnnl_f32, bias_strides));
    return layout_any(&l->y, 4, y, data_type_of(c->y_type));
}

static dnnl_status_t convolution_descriptor(struct fs_onednn *onednn, const struct fs_convolution *c,
                                            const struct convolution_layouts *layouts, dnnl_primitive_desc_t *made)
{
    const bool forward = c->direction == FS_CONVOLUTION_FORWARD;
    dnnl_primitive_attr_t attributes;
    dnnl_post_ops_t post_ops;
    CHECK(dnnl_primitive_attr_create(&attributes));
    dnnl_status_t status = dnnl_post_ops_create(&post_ops);
    if (status == dnnl_success && c->relu && forward) {
        status = append_eltwise(post_ops, dnnl_eltwise_relu);
    }
    if (status == dnnl_success) {
        status = dnnl_primitive_attr_set_post_ops(attributes, post_ops);
    }
    dnnl_primitive_desc_t hint = NULL;
    if (status == dnnl_success) {
        status = forward_descriptor(forward ? made : &hint, onednn->engine, dnnl_forward_training,
                                    dnnl_convolution_direct, layouts, attributes);
    }
    if (status == dnnl_success && !forward) {
        status = backward_descriptor(made, onednn->engine, layouts, c->direction == FS_CONVOLUTION_WEIGHTS, hint);
    }
    dnnl_primitive_desc_destroy(hint);
    dnnl_post_ops_destroy(post_ops);
    dnnl_primitive_attr_destroy(attributes);
    return status;
}

/* The operands of each direction, in the order of `pointers` of fs_onednn_convolution. */
struct role {
    int id;
    dnnl_query_t query;
    bool result, accumulate;
};
static const struct role roles[3][4] = {
    [FS_CONVOLUTION_FORWARD] = {{DNNL_ARG_SRC, dnnl_query_src_md, false, false},
                                {DNNL_ARG_WEIGHTS, dnnl_query_weights_md, false, false},
                                {DNNL_ARG_DST, dnnl_query_dst_md, true, false},
                                {DNNL_ARG_BIAS, dnnl_query_weights_md, false, false}},
    [FS_CONVOLUTION_DATA] = {{DNNL_ARG_DIFF_SRC, dnnl_query_diff_src_md, true, false},
                             {DNNL_ARG_WEIGHTS, dnnl_query_weights_md, false, false},
                             {DNNL_ARG_DIFF_DST, dnnl_query_diff_dst_md, false, false}},
    [FS_CONVOLUTION_WEIGHTS] = {{DNNL_ARG_SRC, dnnl_query_src_md, false, false},
                                {DNNL_ARG_DIFF_WEIGHTS, dnnl_query_diff_weights_md, true, true},
                                {DNNL_ARG_DIFF_DST, dnnl_query_diff_dst_md, false, false},
                                {DNNL_ARG_DIFF_BIAS, dnnl_query_diff_weights_md, true, true}},
};

static dnnl_status_t make_convolution(struct fs_onednn *onednn, struct entry *entry, const struct fs_convolution *c)
{
    struct convolution_layouts user = {0}, wanted = {0};
    dnnl_primitive_desc_t descriptor = NULL;
    CHECK(user_layouts(c, &user));
    CHECK(free_layouts(c, &wanted));
    dnnl_status_t status = convolution_descriptor(onednn, c, &wanted, &descriptor);
    if (status == dnnl_success) {
        status = dnnl_primitive_create(&entry->primitive, descriptor);
    }
    const dnnl_memory_desc_t *const layouts[4] = {&user.x, &user.w, &user.y, &user.bias};
    for (int i = 0; i < (wanted.with_bias ? 4 : 3) && status == dnnl_success; i++) {
        const struct role *role = &roles[c->direction][i];
        status = add_argument(onednn, entry, role->id, borrow(layouts[i]),
                              dnnl_primitive_desc_query_md(descriptor, role->query, i == 3 ? 1 : 0), role->result,
                              role->accumulate);
    }
    dnnl_primitive_desc_destroy(descriptor);
    convolution_layouts_free(&user);
    convolution_layouts_free(&wanted);
    return status;
}

fs_status fs_onednn_convolution(struct fs_onednn *onednn, const struct fs_convolution *c, struct fs_error *error)
{
    const struct fs_window *w = c->window;
    const struct key key = {
        {1,         c->direction,  c->samples,   c->x_stride,    c->y_stride,     c->w_stride,      c->bias != NULL,
         c->relu,   w->in_height,  w->in_width,  w->in_channels, w->out_channels, w->kernel_height, w->kernel_width,
         w->stride, w->pad_height, w->pad_width, w->pad_below,   w->pad_right,    w->channels_last, c->type,
         c->y_type}};
    omp_set_num_threads(onednn->threads);
    struct entry *entry = find_entry(onednn, &key);
    if (entry == NULL) {
        entry = new_entry(&key, error);
        if (entry == NULL) {
            return FS_FAILED;
        }
        FS_TRY(keep_entry(onednn, entry, make_convolution(onednn, entry, c), "convolution", error));
    }
    void *const pointers[4] = {c->x, c->w, c->y, c->bias};
    const dnnl_status_t status = run_entry(onednn, entry, pointers);
    return status == dnnl_success ? FS_OK
                                  : fs_fail(error, FS_FAILED, "oneDNN's convolution failed (status %d)", (int)status);
}

void fs_onednn_version(char text[32])
{
    const dnnl_version_t *version = dnnl_version();

    snprintf(text, 32, "%d.%d.%d", version->major, version->minor, version->patch);
}
