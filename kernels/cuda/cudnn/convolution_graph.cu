#include "kernels/cuda/cudnn/convolution_graph.h"

#include "kernels/operands.h"

/* cuDNN names sizes as (image, channel, row, column), however they lie in memory: here channels are last. */
static fs_cudnn_part channels_last(struct fs_cudnn_graph *graph, int64_t id, int64_t type, int64_t images,
                                   int64_t channels, int64_t height, int64_t width)
{
    const int64_t sizes[] = {images, channels, height, width};
    const int64_t strides[] = {height * width * channels, 1, width * channels, channels};
    return fs_cudnn_tensor(graph, id, type == FS_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT, sizes, strides);
}

bool fs_convolution_graph(struct fs_cudnn_graph *graph, const struct fs_convolution_shape *s)
{
    const struct fs_window *w = &s->window;
    const int64_t height = fs_window_out_height(w), width = fs_window_out_width(w), out = w->out_channels;
    const fs_cudnn_part x = channels_last(graph, FS_CONVOLUTION_X, s->type, s->images, w->in_channels, w->in_height,
                                          w->in_width),
                        filters = channels_last(graph, FS_CONVOLUTION_W, s->type, out, w->in_channels, w->kernel_height,
                                                w->kernel_width);
    /* Each step but the last stays inside the graph, in float32. */
    const int64_t last = FS_CONVOLUTION_Y, inside = FS_F32;
    const bool first = !s->bias && !s->relu;
    fs_cudnn_part y = channels_last(graph, first ? last : 0, first ? s->y_type : inside, s->images, out, height, width);
    fs_cudnn_convolve(graph, y, x, filters, w);
    if (s->bias) {
        const fs_cudnn_part sum =
            channels_last(graph, s->relu ? 0 : last, s->relu ? inside : s->y_type, s->images, out, height, width);
        fs_cudnn_pointwise(graph, CUDNN_POINTWISE_ADD, sum, y,
                           channels_last(graph, FS_CONVOLUTION_BIAS, FS_F32, 1, out, 1, 1));
        y = sum;
    }
    if (s->relu) {
        fs_cudnn_pointwise(graph, CUDNN_POINTWISE_RELU_FWD,
                           channels_last(graph, last, s->y_type, s->images, out, height, width), y, NULL);
    }
    return fs_cudnn_finish(graph);
}
