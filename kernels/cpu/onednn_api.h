/* oneDNN's C API as versions 2.x and 3.x have it in common: memory descriptors are values there and handles here, and
 * primitives are described in two calls or in one. Only onednn.c and onednn_net.c include this. */
#ifndef FEWSTEP_ONEDNN_API_H
#define FEWSTEP_ONEDNN_API_H

#include <dnnl.h>
#include <stdbool.h>

#include "kernels/base/type.h"

/* Stops at the first call that fails. */
#define CHECK(call)                                                                                                    \
    do {                                                                                                               \
        const dnnl_status_t check_status = (call);                                                                     \
        if (check_status != dnnl_success) {                                                                            \
            return check_status;                                                                                       \
        }                                                                                                              \
    } while (0)

#if DNNL_VERSION_MAJOR >= 3
typedef const_dnnl_memory_desc_t borrowed;
static inline borrowed borrow(const dnnl_memory_desc_t *layout)
{
    return *layout;
}
static inline void layout_free(dnnl_memory_desc_t *layout)
{
    dnnl_memory_desc_destroy(*layout);
}
static inline dnnl_status_t layout_strided(dnnl_memory_desc_t *layout, int rank, const dnnl_dims_t dims,
                                           dnnl_data_type_t type, const dnnl_dims_t strides)
{
    return dnnl_memory_desc_create_with_strides(layout, rank, dims, type, strides);
}
static inline dnnl_status_t layout_tagged(dnnl_memory_desc_t *layout, int rank, const dnnl_dims_t dims,
                                          dnnl_data_type_t type, dnnl_format_tag_t tag)
{
    return dnnl_memory_desc_create_with_tag(layout, rank, dims, type, tag);
}
static inline dnnl_status_t append_sum(dnnl_post_ops_t post_ops)
{
    return dnnl_post_ops_append_sum(post_ops, 1, 0, dnnl_data_type_undef);
}
static inline dnnl_status_t append_eltwise(dnnl_post_ops_t post_ops, dnnl_alg_kind_t kind)
{
    return dnnl_post_ops_append_eltwise(post_ops, kind, 0, 0);
}
#else
typedef const dnnl_memory_desc_t *borrowed;
static inline borrowed borrow(const dnnl_memory_desc_t *layout)
{
    return layout;
}
static inline void layout_free(dnnl_memory_desc_t *layout)
{
    (void)layout;
}
static inline dnnl_status_t layout_strided(dnnl_memory_desc_t *layout, int rank, const dnnl_dims_t dims,
                                           dnnl_data_type_t type, const dnnl_dims_t strides)
{
    return dnnl_memory_desc_init_by_strides(layout, rank, dims, type, strides);
}
static inline dnnl_status_t layout_tagged(dnnl_memory_desc_t *layout, int rank, const dnnl_dims_t dims,
                                          dnnl_data_type_t type, dnnl_format_tag_t tag)
{
    return dnnl_memory_desc_init_by_tag(layout, rank, dims, type, tag);
}
static inline dnnl_status_t append_sum(dnnl_post_ops_t post_ops)
{
    return dnnl_post_ops_append_sum(post_ops, 1);
}
static inline dnnl_status_t append_eltwise(dnnl_post_ops_t post_ops, dnnl_alg_kind_t kind)
{
    return dnnl_post_ops_append_eltwise(post_ops, 1, kind, 0, 0);
}
#endif

static inline dnnl_status_t layout_any(dnnl_memory_desc_t *layout, int rank, const dnnl_dims_t dims,
                                       dnnl_data_type_t type)
{
    return layout_tagged(layout, rank, dims, type, dnnl_format_tag_any);
}

static inline dnnl_data_type_t data_type_of(enum fs_type type)
{
    return type == FS_BF16 ? dnnl_bf16 : dnnl_f32;
}

struct convolution_layouts {
    dnnl_memory_desc_t x, w, bias, y;
    bool with_bias;
    dnnl_dims_t strides, dilates, padding, padding_after;
};

static inline void convolution_layouts_free(struct convolution_layouts *l)
{
    layout_free(&l->x);
    layout_free(&l->w);
    layout_free(&l->bias);
    layout_free(&l->y);
}

/* kind: dnnl_forward_training, which also serves as a backward primitive's hint, or dnnl_forward_inference. */
static inline dnnl_status_t forward_descriptor(dnnl_primitive_desc_t *made, dnnl_engine_t engine, dnnl_prop_kind_t kind,
                                               dnnl_alg_kind_t algorithm, const struct convolution_layouts *l,
                                               dnnl_primitive_attr_t attributes)
{
    const borrowed bias = l->with_bias ? borrow(&l->bias) : NULL;
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_convolution_forward_primitive_desc_create(made, engine, kind, algorithm, borrow(&l->x), borrow(&l->w),
                                                          bias, borrow(&l->y), l->strides, l->dilates, l->padding,
                                                          l->padding_after, attributes);
#else
    dnnl_convolution_desc_t description;
    const dnnl_status_t status = dnnl_dilated_convolution_forward_desc_init(
        &description, kind, algorithm, &l->x, &l->w, bias, &l->y, l->strides, l->dilates, l->padding, l->padding_after);
    return status != dnnl_success ? status : dnnl_primitive_desc_create(made, &description, attributes, engine, NULL);
#endif
}

#endif
