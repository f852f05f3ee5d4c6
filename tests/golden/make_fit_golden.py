"""Golden squares: the small pictures of tests/golden/pictures and two more, on a background, cropped and resized by
Pillow in 8 bits. Each file FILE-SIZE-CHANNELS-CROP-BACKGROUND.npy, uint8 [size, size, channels], says what was done.

    python3 tests/golden/make_fit_golden.py tests/golden/pictures tests/golden/fit        (NumPy, Pillow)
"""
import sys

import numpy as np
from PIL import Image

FILES = ["grey1.png", "grey8.png", "grey_alpha.png", "key.png", "palette4.png", "palette_transparent.png", "rgb.png",
         "rgb_alpha.png", "interlaced.png", "420.jpg", "grey.jpg", "wide.png", "thin.png"]
SETTINGS = [(8, 3, "center", 255), (13, 3, "none", 0), (32, 1, "center", 128), (7, 1, "none", 255), (18, 3, "none", 128)]


def more_pictures(folder):
    rng = np.random.RandomState(1)
    Image.fromarray(rng.randint(0, 256, (61, 97, 4)).astype("u1"), "RGBA").save(f"{folder}/wide.png")
    Image.fromarray(rng.randint(0, 256, (1, 120, 3)).astype("u1")).save(f"{folder}/thin.png")


def on_background(path, level):
    picture = Image.open(path).convert("RGBA")
    out = Image.new("RGB", picture.size, (level,) * 3)
    out.paste(picture, mask=picture.getchannel("A"))
    return out


def fit(picture, size, crop, level):
    width, height = picture.size
    if crop == "center":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        return picture.crop((left, top, left + side, top + side)).resize((size, size), Image.BICUBIC)
    longer = max(width, height)
    width, height = (max(1, (2 * side * size + longer) // (2 * longer)) for side in (width, height))
    out = Image.new(picture.mode, (size, size), level if picture.mode == "L" else (level,) * 3)
    out.paste(picture.resize((width, height), Image.BICUBIC), ((size - width) // 2, (size - height) // 2))
    return out


def main():
    pictures, folder = sys.argv[1:]
    more_pictures(folder)
    for name in FILES:
        for size, channels, crop, level in SETTINGS:
            path = f"{folder if name in ('wide.png', 'thin.png') else pictures}/{name}"
            picture = on_background(path, level)
            picture = fit(picture if channels == 3 else picture.convert("L"), size, crop, level)
            out = np.asarray(picture).reshape(size, size, channels)
            np.save(f"{folder}/{name}-{size}-{channels}-{crop}-{level}.npy", out)


main()
