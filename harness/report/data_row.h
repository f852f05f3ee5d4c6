/* Pictures of the data to stand below samples. */
#ifndef FEWSTEP_DATA_ROW_H
#define FEWSTEP_DATA_ROW_H

#include <stdbool.h>
#include <stdint.h>

/* `count` pictures of the training split that a stored configuration is about, to tiles [count, side, side, channels],
 * with the labels of samples of which `across` stand side by side. False where the data set cannot be opened here, or
 * its pictures are of another size or colour. */
bool fs_data_row_read(const char *config_json, int side, int channels, int across, int count, uint8_t *tiles);

#endif
