/* TensorBoard's event files: TFRecord frames around protobuf messages, both written by hand. */
#ifndef FEWSTEP_TFRECORD_H
#define FEWSTEP_TFRECORD_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* CRC-32C (Castagnoli), as in RFC 3720, appendix B.4. */
uint32_t fs_crc32c(const void *data, size_t size);
/* The checksum as TFRecord stores it: rotated right by 15 bits, plus a constant (tensorflow/core/lib/hash/crc32c.h). */
uint32_t fs_crc32c_masked(const void *data, size_t size);

/* One record: length (8 bytes, little endian), its masked checksum, the data, its masked checksum. A failed write is
 * found by ferror(). */
void fs_tfrecord_write(FILE *stream, const void *data, size_t size);

#define FS_EVENT_TAG_MAX 200

/* The first record of an event file: Event {wall_time, file_version: "brain.Event:2"}. */
void fs_event_begin(FILE *stream, double wall_time);
/* Event {wall_time, step, summary {value {tag, simple_value}}}; a tag is cut off after FS_EVENT_TAG_MAX bytes. */
void fs_event_scalar(FILE *stream, double wall_time, int64_t step, const char *tag, float value);

#endif
