/* Which noise goes with which data: by chance, or so that the paths between them are short. */
#ifndef FEWSTEP_PAIRING_H
#define FEWSTEP_PAIRING_H

#include "harness/config/config.h"
#include "harness/data/dataset.h"

/* Optimal transport within fixed groups of rows (Tong et al. 2024, "Improving and Generalizing Flow-Based Generative
 * Models with Minibatch Optimal Transport", algorithm 3; Pooladian et al. 2023): of the global batch's rows
 * k·G … k·G + G − 1 the data are permuted so that Σ |x0 − x1|² is smallest. Where labels are learned only rows of the
 * same label change places, so that noise given the label stays normal.
 *
 * Noise and data of a row depend on seed, update and row alone, and so does the permutation: whoever asks for a row
 * pairs the whole group that it lies in, and neither ranks nor micro-batches nor a resume move a bit. */
struct fs_pairing;

/* NULL, with the error, without memory. `dataset` and `config` have to stay. */
struct fs_pairing *fs_pairing_create(const struct fs_config *config, const struct fs_dataset *dataset,
                                     struct fs_error *error);
void fs_pairing_destroy(struct fs_pairing *pairing); /* NULL is nothing */

/* The row of the global batch whose data go with the noise of row `row` at `update`. Updates may come in any order; a
 * group that was paired for the last one asked about is not paired again. Fails as reading the data does. */
fs_status fs_pairing_source(struct fs_pairing *pairing, int64_t update, int row, int *source, struct fs_error *error);

/* The key of that noise. */
struct fs_random_key fs_pairing_noise(uint32_t seed, int64_t update);

#endif
