/* Inference networks: what holds for each kind of them. */
#include "kernels/net_kind.h"

struct fs_net *fs_net_create(struct fs_backend *backend, enum fs_net_threads threads, int64_t batch_max, int64_t height,
                             int64_t width, int64_t channels, struct fs_error *error)
{
    struct fs_net *net = fs_cpu_threads(backend) > 0 ? fs_onednn_net_create(backend, threads, error)
                                                     : fs_backend_net_create(backend, batch_max, error);
    if (net != NULL) {
        net->images[FS_NET_INPUT] =
            (struct fs_net_image){.height = height, .width = width, .channels = channels, .first = -1};
        net->image_count = 1;
        net->threads = threads;
    }
    return net;
}

void fs_net_destroy(struct fs_net *net)
{
    if (net != NULL) {
        net->kind->destroy(net);
    }
}

double fs_net_flops(const struct fs_net *net)
{
    return net->flops;
}

int64_t fs_net_activation_bytes(const struct fs_net *net)
{
    return net->arena_floats * (int64_t)sizeof(float);
}

/* --- description --- */

fs_status fs_net_add_image(struct fs_net *net, struct fs_net_image image, int *index, struct fs_error *error)
{
    if (net->image_count == FS_NET_IMAGES_MAX) {
        return fs_fail(error, FS_FAILED, "a network of more than %d images", FS_NET_IMAGES_MAX);
    }
    *index = net->image_count++;
    net->images[*index] = image;
    net->images[*index].first = -1;
    return FS_OK;
}

int64_t fs_net_image_floats(const struct fs_net_image *image)
{
    const int64_t blocks = (image->channels + FS_NET_BLOCK - 1) / FS_NET_BLOCK;
    return image->height * image->width * blocks * FS_NET_BLOCK * (int64_t)fs_type_size(image->type) /
           (int64_t)sizeof(float);
}

fs_status fs_net_image(struct fs_net *net, enum fs_type type, int64_t height, int64_t width, int64_t channels,
                       struct fs_net_slice *slice, struct fs_error *error)
{
    if (height < 1 || width < 1 || channels < 1 || type == FS_F64) {
        return fs_fail(error, FS_FAILED, "a network's image of %lld × %lld × %lld", (long long)height, (long long)width,
                       (long long)channels);
    }
    struct fs_net_image image = {height, width, channels, .type = type};
    image.floats = fs_net_image_floats(&image);
    *slice = (struct fs_net_slice){.channels = channels};
    return fs_net_add_image(net, image, &slice->image, error);
}

fs_status fs_net_add_layer(struct fs_net *net, int in, int out, struct fs_error *error)
{
    if (net->layer_count == FS_NET_LAYERS_MAX) {
        return fs_fail(error, FS_FAILED, "a network of more than %d layers", FS_NET_LAYERS_MAX);
    }
    const int index = net->layer_count++;
    struct fs_net_image *from = &net->images[in], *to = &net->images[out];
    from->last = index;
    to->first = to->first < 0 ? index : to->first;
    to->written = to->last = index;
    return FS_OK;
}

fs_status fs_net_add_workspace(struct fs_net *net, int64_t floats, int *image, struct fs_error *error)
{
    FS_TRY(fs_net_add_image(net, (struct fs_net_image){.floats = floats}, image, error));
    struct fs_net_image *added = &net->images[*image];
    added->first = added->written = added->last = net->layer_count - 1;
    return FS_OK;
}

static bool in_blocks(const struct fs_net *net, struct fs_net_slice slice)
{
    if (slice.image <= FS_NET_INPUT || slice.image >= net->image_count || slice.first < 0 || slice.channels < 1) {
        return false;
    }
    const int64_t end = slice.first + slice.channels, channels = net->images[slice.image].channels;
    return slice.first % FS_NET_BLOCK == 0 && (end == channels || (end < channels && end % FS_NET_BLOCK == 0));
}

static bool is_whole(const struct fs_net *net, struct fs_net_slice slice)
{
    return in_blocks(net, slice) && slice.first == 0 && slice.channels == net->images[slice.image].channels;
}

static bool is_input(const struct fs_net *net, struct fs_net_slice slice)
{
    return slice.image == FS_NET_INPUT && slice.first == 0 && slice.channels == net->images[FS_NET_INPUT].channels &&
           net->layer_count == 0;
}

static fs_status misfit(const struct fs_net *net, struct fs_error *error)
{
    return fs_fail(error, FS_FAILED, "layer %d of a network: its images do not fit each other", net->layer_count);
}

static fs_status check_shapes(const struct fs_net *net, struct fs_net_slice out, struct fs_net_slice in,
                              const struct fs_net_kernel *k, struct fs_error *error)
{
    if (in_blocks(net, out) && (in_blocks(net, in) || is_input(net, in)) && in.image != out.image && k->stride > 0) {
        const struct fs_net_image *from = &net->images[in.image], *to = &net->images[out.image];
        if (to->height == (from->height + 2 * k->pad_height + k->pad_below - k->height) / k->stride + 1 &&
            to->width == (from->width + 2 * k->pad_width + k->pad_right - k->width) / k->stride + 1) {
            return FS_OK;
        }
    }
    return misfit(net, error);
}

fs_status fs_net_convolution(struct fs_net *net, struct fs_net_slice out, struct fs_net_slice in,
                             const struct fs_net_kernel *kernel, enum fs_net_output kind, const float *weights,
                             const float *bias, struct fs_error *error)
{
    FS_TRY(check_shapes(net, out, in, kernel, error));
    const struct fs_net_image *target = &net->images[out.image];
    if (kind == FS_NET_SUM && target->first < 0) {
        return fs_fail(error, FS_FAILED, "layer %d of a network: it adds to what no layer has written",
                       net->layer_count);
    }
    net->flops += 2.0 * (double)(out.channels * in.channels * kernel->height * kernel->width) *
                  (double)(target->height * target->width);
    return net->kind->convolution(net, out, in, kernel, kind, weights, bias, error);
}

fs_status fs_net_pool(struct fs_net *net, struct fs_net_slice out, struct fs_net_slice in,
                      const struct fs_net_kernel *kernel, enum fs_pooling pooling, struct fs_error *error)
{
    FS_TRY(check_shapes(net, out, in, kernel, error));
    if (in.image == FS_NET_INPUT || in.channels != out.channels) {
        return fs_fail(error, FS_FAILED,
                       "layer %d of a network: a pooling keeps the number of channels, and does not "
                       "come first",
                       net->layer_count);
    }
    return net->kind->pool(net, out, in, kernel, pooling, error);
}

/* Of a layer between whole images of one type. */
static fs_status check_whole(const struct fs_net *net, struct fs_net_slice out, struct fs_net_slice in,
                             struct fs_error *error)
{
    if (net->threads != FS_NET_THREADS_TOGETHER) {
        return fs_fail(error, FS_FAILED, "layer %d of a network: threads that take an image each have no such layer",
                       net->layer_count);
    }
    return is_whole(net, out) && is_whole(net, in) && net->images[in.image].type == net->images[out.image].type
               ? FS_OK
               : misfit(net, error);
}

fs_status fs_net_group_norm(struct fs_net *net, struct fs_net_slice out, struct fs_net_slice in, int64_t groups,
                            double epsilon, const float *gamma, const float *beta, bool silu, struct fs_error *error)
{
    FS_TRY(check_whole(net, out, in, error));
    const struct fs_net_image *from = &net->images[in.image], *to = &net->images[out.image];
    if (from->height != to->height || from->width != to->width || in.channels != out.channels || groups < 1 ||
        in.channels % groups != 0) {
        return misfit(net, error);
    }
    const struct fs_net_norm norm = {groups, epsilon, silu};
    return net->kind->group_norm(net, out.image, in.image, &norm, gamma, beta, error);
}

fs_status fs_net_upsample(struct fs_net *net, struct fs_net_slice out, struct fs_net_slice in, struct fs_error *error)
{
    FS_TRY(check_whole(net, out, in, error));
    const struct fs_net_image *from = &net->images[in.image], *to = &net->images[out.image];
    if (2 * from->height != to->height || 2 * from->width != to->width || in.channels != out.channels) {
        return misfit(net, error);
    }
    return net->kind->upsample(net, out.image, in.image, error);
}

fs_status fs_net_attention(struct fs_net *net, struct fs_net_slice out, struct fs_net_slice qkv, struct fs_error *error)
{
    FS_TRY(check_whole(net, out, qkv, error));
    const struct fs_net_image *from = &net->images[qkv.image], *to = &net->images[out.image];
    if (from->height != to->height || from->width != to->width || qkv.channels != 3 * out.channels) {
        return misfit(net, error);
    }
    const double pixels = (double)(from->height * from->width);
    net->flops += 4 * pixels * pixels * (double)out.channels;
    return net->kind->attention(net, out.image, qkv.image, error);
}

/* --- memory --- */

/* Where the first image after `place` ends that lies over `image` at `place` while both are needed; −1: none does. */
static int64_t conflict(const struct fs_net *net, int placed, const struct fs_net_image *image, int64_t place)
{
    for (int i = 0; i < placed; i++) {
        const struct fs_net_image *other = &net->images[i];
        if (other->floats > 0 && other->first <= image->last && image->first <= other->last &&
            other->offset < place + image->floats && place < other->offset + other->floats) {
            return other->offset + other->floats;
        }
    }
    return -1;
}

/* Each image at the lowest place that is free for as long as it is needed; in the order of their making. */
static void plan_arena(struct fs_net *net)
{
    for (int i = 0; i < net->image_count; i++) {
        struct fs_net_image *image = &net->images[i];
        int64_t place = 0;
        image->floats = fs_net_rounded(image->floats);
        for (int64_t end; image->floats > 0 && (end = conflict(net, i, image, place)) >= 0;) {
            place = end;
        }
        image->offset = place;
        net->arena_floats = place + image->floats > net->arena_floats ? place + image->floats : net->arena_floats;
    }
}

fs_status fs_net_finish(struct fs_net *net, struct fs_error *error)
{
    plan_arena(net);
    FS_TRY(net->kind->finish(net, error));
    net->finished = true;
    return FS_OK;
}

/* --- running --- */

static fs_status check_results(const struct fs_net *net, struct fs_net_run *run, struct fs_error *error)
{
    run->last = -1;
    for (int i = 0; i < run->result_count; i++) {
        const struct fs_net_slice *slice = &run->results[i].slice;
        if (slice->image <= FS_NET_INPUT || slice->image >= net->image_count || slice->first < 0 ||
            slice->first + slice->channels > net->images[slice->image].channels) {
            return fs_fail(error, FS_FAILED, "a network: a result of an image that it does not have");
        }
        const int written = net->images[slice->image].written;
        run->last = written > run->last ? written : run->last;
    }
    return net->finished ? FS_OK : fs_fail(error, FS_FAILED, "a network that was not finished cannot run");
}

fs_status fs_net_run(struct fs_net *net, int64_t count, const float *images, const struct fs_net_result *results,
                     int result_count, struct fs_error *error)
{
    struct fs_net_run run = {count, images, results, result_count, 0};
    FS_TRY(check_results(net, &run, error));
    return net->kind->run(net, &run, error);
}
