"""Golden values of the resize modes, by the libraries that the references call.

clean: Pillow, as clean-fid calls it (float, bicubic, clipped). torch: torch.nn.functional.interpolate, as pytorch-fid
calls it. tf1: torch-fidelity's TensorFlow 1 resize. authors: jax.image.resize without antialiasing, of floats, clipped.
Pictures are random, so that every weight counts. One file a case and mode: what the network is fed, float32
[1, height, width, channels]; and the picture, uint8. `authors` reads 1.2·(v/127.5 − 1), some of which is outside −1 … 1.

    python3 tests/golden/make_resize_golden.py tests/golden/resize clean torch tf1 authors

The modes may be made one after the other, where their libraries do not live in one environment.
"""
import sys

import numpy as np

# name: height, width, channels → height, width: enlarging, shrinking, both, grey, one pixel, the same size
CASES = {
    "enlarge": ((9, 12, 3), (299, 5)),
    "grey": ((28, 28, 1), (299, 7)),
    "large": ((512, 9, 1), (299, 11)),
    "shrink": ((61, 57, 3), (13, 9)),
    "pixel": ((1, 3, 3), (4, 2)),
    "same": ((6, 7, 3), (6, 7)),
}


def clean(picture, size):
    from PIL import Image

    def channel(values):
        image = Image.fromarray(values.astype(np.float32), mode="F")
        return np.asarray(image.resize((size[1], size[0]), resample=Image.BICUBIC)).clip(0, 255)

    out = np.stack([channel(picture[:, :, c]) for c in range(picture.shape[2])], axis=2)
    return (out - 128) / 128


def planes(picture):
    import torch

    return torch.tensor(picture.astype(np.float32)).permute(2, 0, 1)[None]


def torch(picture, size):
    import torch.nn.functional as functional

    out = functional.interpolate(planes(picture) / 255, size=size, mode="bilinear", align_corners=False)
    return (2 * out - 1)[0].permute(1, 2, 0).numpy()


def tf1(picture, size):
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

    out = interpolate_bilinear_2d_like_tensorflow1x(planes(picture), size=size, align_corners=False)
    return ((out - 128) / 128)[0].permute(1, 2, 0).numpy()


def authors(picture, size):
    import jax

    values = 1.2 * (picture.astype(np.float64) / 127.5 - 1)
    out = jax.image.resize(values.astype(np.float32), size + picture.shape[2:], method="bilinear", antialias=False)
    return np.clip(np.asarray(out), -1, 1)


def main():
    folder, modes = sys.argv[1], sys.argv[2:]
    for index, (name, (shape, size)) in enumerate(CASES.items()):
        picture = np.random.RandomState(index).randint(0, 256, shape, dtype=np.uint8)
        np.save(f"{folder}/{name}.npy", picture[None])
        for mode in modes:
            out = np.ascontiguousarray(globals()[mode](picture, size), dtype=np.float32)
            np.save(f"{folder}/{name}_{mode}.npy", out[None])


main()
