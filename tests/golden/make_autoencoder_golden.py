"""Golden values of the autoencoder, by diffusers' AutoencoderKL in float64: moments of pictures, pictures of latents.

A narrow one (widths 32, 64, 64, 64), its weights by the formula of tests/support/autoencoder.c. Writes
tests/golden/autoencoder/*.npy, which test_autoencoder_golden.c reads.

    python3 tests/golden/make_autoencoder_golden.py tests/golden/autoencoder
"""
import sys
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL

SIZES = (64, 64), (72, 40)


def uniform(name, count):
    """FNV-1a of the name, then a hash of the place: numbers in [0, 1)."""
    seed = 2166136261
    for byte in name.encode():
        seed = (seed ^ byte) * 16777619 % 2**32
    x = np.uint64(seed) + np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B9)
    mask = np.uint64(0xFFFFFFFF)
    x &= mask
    x = (x ^ x >> np.uint64(16)) * np.uint64(0x7FEB352D) & mask
    x = (x ^ x >> np.uint64(15)) * np.uint64(0x846CA68B) & mask
    return (x ^ x >> np.uint64(16)).astype(np.float64) / 2**32


def parameter(name, shape):
    count = int(np.prod(shape))
    u = uniform(name, count)
    if len(shape) > 1:
        values = (2 * u - 1) * np.sqrt(3 / (count // shape[0]))
    else:
        values = 0.4 * (u - 0.5) + name.endswith("weight")
    return torch.from_numpy(values.astype(np.float32).reshape(shape))


def make():
    model = AutoencoderKL(down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
                          block_out_channels=(32, 64, 64, 64), layers_per_block=2, latent_channels=4)
    model.load_state_dict({name: parameter(name, tuple(old.shape)) for name, old in model.state_dict().items()})
    return model.double().eval()


def numbers(name, height, width, channels):
    return (2 * uniform(name, height * width * channels) - 1).astype(np.float32).reshape(1, height, width, channels)


def save(folder, name, tensor):
    np.save(folder / f"{name}.npy", tensor.permute(0, 2, 3, 1).contiguous().numpy().astype(np.float32))


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    model = make()
    with torch.no_grad():
        for height, width in SIZES:
            size = f"{height}x{width}"
            picture = torch.from_numpy(numbers("picture " + size, height, width, 3)).double().permute(0, 3, 1, 2)
            latents = torch.from_numpy(numbers("latents " + size, height // 8, width // 8, 4)).double()
            moments = model.encode(picture).latent_dist
            save(folder, "mean_" + size, moments.mean)
            save(folder, "log_variance_" + size, moments.logvar)
            save(folder, "picture_" + size, model.decode(3 * latents.permute(0, 3, 1, 2)).sample)
            print(size, [float(t.std()) for t in (moments.mean, moments.logvar)])


main(Path(sys.argv[1]))
