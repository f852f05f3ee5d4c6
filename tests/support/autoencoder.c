/* Narrow autoencoders with random weights. The numbers come from a hash of a tensor's name and of their place in it, so
 * that a Python script makes the same ones (make_autoencoder_golden.py). */
#include "tests/support/autoencoder.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/base/memory.h"

#define TENSORS_MAX 400

const struct test_autoencoder test_narrow_autoencoder = {4, {32, 64, 64, 64}, 4, 0};

static struct fs_error error;

struct writer {
    const struct test_autoencoder *of;
    struct fs_tensor tensors[TENSORS_MAX];
    int count;
    test_autoencoder_edit edit;
    void *context;
};

double test_named_uniform(const char *name, uint32_t i)
{
    uint32_t x = 2166136261u; /* FNV-1a, then a bijection that mixes all bits */
    for (; *name != '\0'; name++) {
        x = (x ^ (unsigned char)*name) * 16777619u;
    }
    x += i * 0x9E3779B9u;
    x = (x ^ (x >> 16)) * 0x7FEB352Du;
    x = (x ^ (x >> 15)) * 0x846CA68Bu;
    return (double)(x ^ (x >> 16)) / 4294967296.0;
}

/* Filters keep the size of what goes through them; norms and biases are near 1 and 0. */
static float number_of(const char *name, int rank, int64_t inputs, uint32_t i)
{
    const double u = test_named_uniform(name, i);
    const int is_norm = rank == 1 && strcmp(name + strlen(name) - 6, "weight") == 0;
    return (float)(rank > 1 ? (2 * u - 1) * sqrt(3.0 / (double)inputs) : 0.4 * (u - 0.5) + is_norm);
}

static void add_tensor(struct writer *w, const char *name, const char *written, int rank, const int64_t *shape)
{
    int64_t count = 1;
    struct fs_tensor tensor = {.type = FS_F32, .rank = rank};
    for (int i = 0; i < rank; i++) {
        tensor.shape[i] = shape[i];
        count *= shape[i];
    }
    float *numbers = fs_allocate((size_t)count, sizeof *numbers, name, &error);
    char *text = fs_copy_text(written, &error);
    assert_true(numbers && text && w->count < TENSORS_MAX);
    for (int64_t i = 0; i < count; i++) {
        numbers[i] = number_of(name, rank, count / shape[0], (uint32_t)i);
    }
    tensor.name = text;
    tensor.data = numbers;
    if (w->edit == NULL || w->edit(w->context, &tensor, numbers)) {
        w->tensors[w->count++] = tensor;
    } else {
        free(text);
        free(numbers);
    }
}

static void add_pair(struct writer *w, const char *module, const char *written, int rank, const int64_t *shape)
{
    char name[160], text[160];
    snprintf(name, sizeof name, "%s.weight", module);
    snprintf(text, sizeof text, "%s.weight", written);
    add_tensor(w, name, text, rank, shape);
    snprintf(name, sizeof name, "%s.bias", module);
    snprintf(text, sizeof text, "%s.bias", written);
    add_tensor(w, name, text, 1, shape);
}

static void add_convolution(struct writer *w, const char *module, int64_t out, int64_t in, int64_t size)
{
    const int64_t shape[4] = {out, in, size, size};
    add_pair(w, module, module, 4, shape);
}

static void add_norm(struct writer *w, const char *module, int64_t channels)
{
    add_pair(w, module, module, 1, &channels);
}

static void add_resnet(struct writer *w, const char *module, int64_t in, int64_t out)
{
    char name[128];
    snprintf(name, sizeof name, "%s.norm1", module);
    add_norm(w, name, in);
    snprintf(name, sizeof name, "%s.conv1", module);
    add_convolution(w, name, out, in, 3);
    snprintf(name, sizeof name, "%s.norm2", module);
    add_norm(w, name, out);
    snprintf(name, sizeof name, "%s.conv2", module);
    add_convolution(w, name, out, out, 3);
    if (in != out) {
        snprintf(name, sizeof name, "%s.conv_shortcut", module);
        add_convolution(w, name, out, in, 1);
    }
}

static void add_middle(struct writer *w, const char *part, int64_t channels)
{
    static const char *const now[] = {"to_q", "to_k", "to_v", "to_out.0"};
    static const char *const once[] = {"query", "key", "value", "proj_attn"};
    const int64_t shape[4] = {channels, channels, 1, 1};
    char name[128], written[128];
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "%s.mid_block.resnets.%d", part, i);
        add_resnet(w, name, channels, channels);
    }
    snprintf(name, sizeof name, "%s.mid_block.attentions.0.group_norm", part);
    add_norm(w, name, channels);
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s.mid_block.attentions.0.%s", part, now[i]);
        snprintf(written, sizeof written, "%s.mid_block.attentions.0.%s", part, w->of->old_names ? once[i] : now[i]);
        add_pair(w, name, written, w->of->old_names ? 4 : 2, shape);
    }
}

static void add_encoder(struct writer *w)
{
    const struct test_autoencoder *of = w->of;
    const int64_t last = of->widths[of->stages - 1];
    char name[128];
    int64_t width = of->widths[0];
    add_convolution(w, "encoder.conv_in", width, 3, 3);
    for (int i = 0; i < of->stages; i++) {
        for (int j = 0; j < 2; j++, width = of->widths[i]) {
            snprintf(name, sizeof name, "encoder.down_blocks.%d.resnets.%d", i, j);
            add_resnet(w, name, width, of->widths[i]);
        }
        snprintf(name, sizeof name, "encoder.down_blocks.%d.downsamplers.0.conv", i);
        if (i + 1 < of->stages) {
            add_convolution(w, name, width, width, 3);
        }
    }
    add_middle(w, "encoder", last);
    add_norm(w, "encoder.conv_norm_out", last);
    add_convolution(w, "encoder.conv_out", 2 * of->latents, last, 3);
    add_convolution(w, "quant_conv", 2 * of->latents, 2 * of->latents, 1);
}

static void add_decoder(struct writer *w)
{
    const struct test_autoencoder *of = w->of;
    int64_t width = of->widths[of->stages - 1];
    char name[128];
    add_convolution(w, "post_quant_conv", of->latents, of->latents, 1);
    add_convolution(w, "decoder.conv_in", width, of->latents, 3);
    add_middle(w, "decoder", width);
    for (int i = 0; i < of->stages; i++) {
        const int64_t next = of->widths[of->stages - 1 - i];
        for (int j = 0; j < 3; j++, width = next) {
            snprintf(name, sizeof name, "decoder.up_blocks.%d.resnets.%d", i, j);
            add_resnet(w, name, width, next);
        }
        snprintf(name, sizeof name, "decoder.up_blocks.%d.upsamplers.0.conv", i);
        if (i + 1 < of->stages) {
            add_convolution(w, name, width, width, 3);
        }
    }
    add_norm(w, "decoder.conv_norm_out", width);
    add_convolution(w, "decoder.conv_out", 3, width, 3);
}

void test_write_autoencoder(const char *path, const struct test_autoencoder *autoencoder, test_autoencoder_edit edit,
                            void *context)
{
    struct writer *w = fs_allocate(1, sizeof *w, "an autoencoder", &error);
    assert_non_null(w);
    *w = (struct writer){.of = autoencoder, .edit = edit, .context = context};
    add_encoder(w);
    add_decoder(w);
    assert_int_equal(fs_tensor_file_write(path, w->tensors, w->count, NULL, 0, &error), FS_OK);
    for (int i = 0; i < w->count; i++) {
        free((void *)(uintptr_t)w->tensors[i].name);
        free((void *)(uintptr_t)w->tensors[i].data);
    }
    free(w);
}
