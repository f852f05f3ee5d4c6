/* How ranks work together on a command: what rank 0 tells the others. */
#include "harness/run/order.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/memory.h"

void fs_order_backend(const struct fs_backend *backend, char text[128])
{
    snprintf(text, 128, "%s, %s", backend->name, backend->variant);
}

fs_status fs_order_give(const struct fs_session *session, struct fs_order *order, const struct fs_config *config,
                        struct fs_error *error)
{
    struct fs_comm *comm = session->comm;
    if (comm->size == 1) {
        return FS_OK;
    }
    order->config_size = strlen(config->json) + 1;
    memcpy(order->train_hash, config->train_hash, sizeof order->train_hash);
    order->evaluate = config->evaluate;
    fs_order_backend(session->backend, order->backend);
    comm->broadcast(comm, 0, order, sizeof *order);
    comm->broadcast(comm, 0, config->json, order->config_size);
    return fs_comm_agree(comm, FS_OK, error);
}

fs_status fs_order_share_generator(struct fs_comm *comm, fs_status status, struct fs_generator *generator,
                                   struct fs_error *error)
{
    if (comm->size == 1) {
        return status;
    }
    FS_TRY(fs_comm_agree(comm, status, error));
    return fs_comm_agree(comm, fs_generator_share(generator, comm, error), error);
}

void fs_order_end(struct fs_comm *comm)
{
    struct fs_order order = {.kind = FS_ORDER_END};
    comm->broadcast(comm, 0, &order, sizeof order);
}

void fs_order_receive(struct fs_comm *comm, struct fs_order *order, char **config_json)
{
    struct fs_error error;
    *config_json = NULL;
    comm->broadcast(comm, 0, order, sizeof *order);
    if (order->kind == FS_ORDER_END) {
        return;
    }
    *config_json = fs_allocate(order->config_size, 1, "a configuration", &error);
    if (*config_json == NULL) { /* the others cannot be told: they are sending it */
        fs_comm_give_up(comm, &error);
    }
    comm->broadcast(comm, 0, *config_json, order->config_size);
}
