/* How ranks work together on a command: rank 0 runs it, with the database, the files and the progress, and gives the
 * others orders where there is something to share; they do the same calls as it from there (worker.h). */
#ifndef FEWSTEP_ORDER_H
#define FEWSTEP_ORDER_H

#include "harness/comm/comm.h"
#include "harness/config/config.h"
#include "harness/run/session.h"
#include "harness/sample/score.h"

enum fs_order_kind {
    FS_ORDER_END,   /* the command ends */
    FS_ORDER_TRAIN, /* fs_train */
    FS_ORDER_PAIRS, /* fs_generator_share of the teacher, fs_pairs_make */
    FS_ORDER_SCORE, /* fs_generator_share, fs_score */
};

/* An order, as bytes that every rank reads: all are the same program. */
struct fs_order {
    enum fs_order_kind kind;
    size_t config_size;             /* of the JSON that follows, with its end */
    char train_hash[FS_HASH_TEXT];  /* of the configuration */
    char data_sha256[FS_HASH_TEXT]; /* of the training data */
    char extractor_sha256[FS_HASH_TEXT];
    char backend[128]; /* its name and variant: another instruction set rounds otherwise */
    char run[FS_HASH_TEXT];
    bool has_teacher, has_pairs;        /* of a training */
    struct fs_evaluate_config evaluate; /* as it stands now */
    /* Of scores; its pointers are the receiver's own. */
    struct fs_score_request request;
    char metrics[FS_METRICS_MAX][32];
};

/* Rank 0: the order to the others, and what came of their preparing for it: FS_OK when all are ready, else what the
 * first that is not says, and nobody has begun. Nothing where there is one process. */
fs_status fs_order_give(const struct fs_session *session, struct fs_order *order, const struct fs_config *config,
                        struct fs_error *error);
/* Rank 0, at the end of the command. */
void fs_order_end(struct fs_comm *comm);
/* The others: waits for the next order; *config_json, to be freed, is NULL for FS_ORDER_END. */
void fs_order_receive(struct fs_comm *comm, struct fs_order *order, char **config_json);

/* All ranks, once an order of pairs or scores is given: those behind rank 0 have opened a generator without weights,
 * with what came of it in `status`, and get its weights. */
fs_status fs_order_share_generator(struct fs_comm *comm, fs_status status, struct fs_generator *generator,
                                   struct fs_error *error);

/* "cpu, avx512" */
void fs_order_backend(const struct fs_backend *backend, char text[128]);

#endif
