/* TensorBoard's event files: TFRecord frames around protobuf messages, both written by hand. */
#include "harness/report/tfrecord.h"

#include <string.h>

#define POLYNOMIAL 0x82f63b78u /* of CRC-32C, bits reversed */
#define MASK_DELTA 0xa282ead8u

uint32_t fs_crc32c(const void *data, size_t size)
{
    const unsigned char *at = data;
    uint32_t remainder = 0xffffffffu;

    for (size_t i = 0; i < size; i++) { /* bit by bit: event files are small */
        remainder ^= at[i];
        for (int bit = 0; bit < 8; bit++) {
            remainder = remainder >> 1 ^ (remainder & 1 ? POLYNOMIAL : 0);
        }
    }
    return ~remainder;
}

uint32_t fs_crc32c_masked(const void *data, size_t size)
{
    const uint32_t sum = fs_crc32c(data, size);

    return (sum >> 15 | sum << 17) + MASK_DELTA;
}

static void put_little_endian(unsigned char *out, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) {
        out[i] = (unsigned char)(value >> 8 * i);
    }
}

void fs_tfrecord_write(FILE *stream, const void *data, size_t size)
{
    unsigned char head[12], foot[4];

    put_little_endian(head, size, 8);
    put_little_endian(head + 8, fs_crc32c_masked(head, 8), 4);
    put_little_endian(foot, fs_crc32c_masked(data, size), 4);
    fwrite(head, 1, sizeof(head), stream);
    fwrite(data, 1, size, stream);
    fwrite(foot, 1, sizeof(foot), stream);
}

/* --- protobuf: a field is its number and wire type, then its value --- */

enum wire { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

struct message {
    unsigned char bytes[FS_EVENT_TAG_MAX + 64];
    size_t size;
};

static void put_varint(struct message *message, uint64_t value)
{
    for (; value >= 0x80; value >>= 7) {
        message->bytes[message->size++] = (unsigned char)(value | 0x80);
    }
    message->bytes[message->size++] = (unsigned char)value;
}

static void put_field(struct message *message, unsigned number, enum wire wire)
{
    put_varint(message, number << 3 | (unsigned)wire);
}

static void put_bytes(struct message *message, unsigned number, const void *bytes, size_t size)
{
    put_field(message, number, WIRE_BYTES);
    put_varint(message, size);
    memcpy(message->bytes + message->size, bytes, size);
    message->size += size;
}

static void put_wall_time(struct message *event, double wall_time)
{
    uint64_t bits;

    memcpy(&bits, &wall_time, sizeof(bits));
    put_field(event, 1, WIRE_64);
    put_little_endian(event->bytes + event->size, bits, 8);
    event->size += 8;
}

void fs_event_begin(FILE *stream, double wall_time)
{
    static const char version[] = "brain.Event:2";
    struct message event = {.size = 0};

    put_wall_time(&event, wall_time);
    put_bytes(&event, 3, version, strlen(version));
    fs_tfrecord_write(stream, event.bytes, event.size);
}

void fs_event_scalar(FILE *stream, double wall_time, int64_t step, const char *tag, float value)
{
    struct message scalar = {.size = 0}, summary = {.size = 0}, event = {.size = 0};
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    put_bytes(&scalar, 1, tag, strnlen(tag, FS_EVENT_TAG_MAX));
    put_field(&scalar, 2, WIRE_32);
    put_little_endian(scalar.bytes + scalar.size, bits, 4);
    scalar.size += 4;
    put_bytes(&summary, 1, scalar.bytes, scalar.size);
    put_wall_time(&event, wall_time);
    put_field(&event, 2, WIRE_VARINT);
    put_varint(&event, (uint64_t)step);
    put_bytes(&event, 5, summary.bytes, summary.size);
    fs_tfrecord_write(stream, event.bytes, event.size);
}
