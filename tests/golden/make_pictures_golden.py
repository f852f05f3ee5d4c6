"""Golden pictures: small PNG and JPEG files of each kind, and what PIL's convert("RGB") makes of them, as .npy uint8 HWC.

    python3 tests/golden/make_pictures_golden.py tests/golden/pictures        (NumPy, Pillow)
"""
import struct
import sys
import zlib

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 13, 18
rng = np.random.RandomState(0)


def smooth(channels):
    y, x, c = np.meshgrid(np.arange(HEIGHT), np.arange(WIDTH), np.arange(channels), indexing="ij")
    return (127 + 90 * np.sin(y / 3 + c) * np.cos(x / 4 - c) + rng.randint(-20, 20, y.shape)).clip(0, 255).astype("u1")


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(depth, colour, rows, extra=b"", interlaced=False):
    """A PNG of bit depth and colour type from packed rows (or passes of rows), which PIL itself cannot write."""
    header = struct.pack(">2I5B", WIDTH, HEIGHT, depth, colour, 0, 0, int(interlaced))
    data = b"".join(b"\0" + row for row in rows)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(data, 9))
            + chunk(b"IEND", b""))


def packed(values, depth):
    """Samples of 1, 2 or 4 bits, the first in the high bits."""
    bits = ((values[..., None] >> np.arange(depth - 1, -1, -1)) & 1).reshape(HEIGHT, -1).astype("u1")
    return [row.tobytes() for row in np.packbits(bits, axis=1)]


def adam7(pixels):
    rows = []
    for y, x, dy, dx in ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)):
        rows += [row.tobytes() for row in pixels[y::dy, x::dx]]
    return rows


def files(folder):
    grey, colour, alpha = smooth(1)[..., 0], smooth(3), smooth(4)
    for depth in (1, 2, 4):
        yield f"grey{depth}.png", png(depth, 0, packed(grey >> (8 - depth), depth))
    palette = chunk(b"PLTE", rng.bytes(3 * 16))
    yield "palette4.png", png(4, 3, packed(grey >> 4, 4), palette)
    yield "palette_transparent.png", png(4, 3, packed(grey >> 4, 4), palette + chunk(b"tRNS", bytes([0, 99, 255])))
    yield "gamma.png", png(8, 2, [row.tobytes() for row in colour], chunk(b"gAMA", struct.pack(">I", 20000)))
    yield "interlaced.png", png(8, 2, adam7(colour), interlaced=True)
    yield "key.png", png(8, 2, [row.tobytes() for row in colour], chunk(b"tRNS", struct.pack(">3H", *colour[3, 4])))
    for name, image, options in (
        ("grey8.png", Image.fromarray(grey), {}),
        ("rgb.png", Image.fromarray(colour), {}),
        ("grey_alpha.png", Image.fromarray(alpha[..., :2].copy(), "LA"), {}),
        ("rgb_alpha.png", Image.fromarray(alpha, "RGBA"), {}),
        ("grey.jpg", Image.fromarray(grey), {}),
        ("444.jpg", Image.fromarray(colour), {"subsampling": "4:4:4"}),
        ("422.jpg", Image.fromarray(colour), {"subsampling": "4:2:2"}),
        ("420.jpg", Image.fromarray(colour), {"subsampling": "4:2:0"}),
        ("progressive.jpg", Image.fromarray(colour), {"progressive": True}),
        ("low_quality.jpg", Image.fromarray(colour), {"quality": 10, "optimize": True}),
    ):
        image.save(f"{folder}/{name}", **options)
        yield name, None
    # The ones that are refused.
    yield "grey16.png", png(16, 0, [row.astype(">u2").tobytes() for row in grey.astype("u2") * 257])
    yield "rgb16.png", png(16, 2, [row.astype(">u2").tobytes() for row in colour.astype("u2") * 257])
    Image.fromarray(colour).convert("CMYK").save(f"{folder}/cmyk.jpg")


def main():
    folder = sys.argv[1]
    for name, data in files(folder):
        if data is not None:
            with open(f"{folder}/{name}", "wb") as out:
                out.write(data)
        if "16" not in name:
            np.save(f"{folder}/{name}.npy", np.asarray(Image.open(f"{folder}/{name}").convert("RGB")))


main()
