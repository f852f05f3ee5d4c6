"""Golden taps of inception-v3: pytorch-fid's port of the network with random parameters, on 8 random pictures.

Parameters and pictures come from the counter-based generator of kernels/base/random.h, written out here in NumPy, so
that only the taps are stored: float32 [8, dim] each, in float64 from end to end but for the resized pictures. Needs
torch, torchvision and pytorch-fid, of which no weights are downloaded.

    python3 tests/golden/make_inception_golden.py tests/golden/inception
    python3 tests/golden/make_inception_golden.py --bench THREADS BATCH      # pictures a second of the port, float32
"""
import sys
import time

import numpy as np
import torch
import torch.nn.functional as functional
from pytorch_fid import inception as port

SEED, PICTURE_SEED, STREAM = 3, 4, 15  # FS_STREAM_TEST
# height, width, channels of each picture: odd and even, smaller, larger and as large as the network's 299
SIZES = [(299, 299, 3)] * 2 + [(37, 53, 3)] * 3 + [(28, 28, 1)] * 2 + [(400, 301, 3)]


def words(seed, row, count):
    """Words 0 … count − 1 of a row: Philox4x32-10 with the counter (element / 4, row, 0, 0)."""
    blocks = (count + 3) // 4
    mask = np.uint64(0xFFFFFFFF)
    c = [np.arange(blocks, dtype=np.uint64)] + [np.full(blocks, v, dtype=np.uint64) for v in (row, 0, 0)]
    k0, k1 = seed, STREAM
    for _ in range(10):
        a, b = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(b >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), b & mask, (a >> np.uint64(32)) ^ c[3] ^ np.uint64(k1), a & mask]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack(c, axis=1).reshape(-1)[:count]


def parameters(model):
    """Tensor t, in the order of their names, from row t; the scales of fs_inception_random_create."""
    state = {name: value for name, value in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    for row, name in enumerate(sorted(state, key=str.encode)):
        shape = tuple(state[name].shape)
        uniform = (words(SEED, row, int(np.prod(shape))) >> np.uint64(8)).astype(np.float32) * np.float32(2.0**-24)
        if len(shape) > 1:
            high = np.float32(np.sqrt(6 / np.prod(shape[1:])))
            low = -high
        elif name.endswith(("bn.weight", "running_var")):
            low, high = np.float32(0.5), np.float32(1.5)
        else:
            low, high = np.float32(-0.1), np.float32(0.1)
        state[name] = torch.from_numpy((low + (high - low) * uniform).reshape(shape))
    return state


def build():
    empty = port._inception_v3(num_classes=1008, aux_logits=False, weights=None)
    state = parameters(empty)
    port.load_state_dict_from_url = lambda *_, **__: state  # in place of the download
    return port.fid_inception_v3().eval(), state


def pictures():
    for row, (height, width, channels) in enumerate(SIZES):
        values = words(PICTURE_SEED, row, height * width * channels) >> np.uint64(24)
        yield torch.from_numpy(values.astype(np.float32).reshape(1, height, width, channels)).permute(0, 3, 1, 2)


def network_input(picture):
    """As pytorch-fid: bytes / 255, bilinear to 299 × 299, 2x − 1; grey ones repeated."""
    x = functional.interpolate(picture / 255, size=(299, 299), mode="bilinear", align_corners=False)
    return (2 * x - 1).expand(-1, 3, -1, -1)


def taps(model, x):
    found = {}

    def average(name):
        return lambda module, _, out: found.__setitem__(name, out.mean(dim=(2, 3)))

    hooks = [
        model.maxpool1.register_forward_hook(average("64")),
        model.maxpool2.register_forward_hook(average("192")),
        model.Mixed_6e.register_forward_hook(average("768")),
        model.Mixed_7c.register_forward_hook(average("pool")),
        model.Mixed_6d.register_forward_hook(
            lambda module, _, out: found.__setitem__("spatial", out[:, :7].permute(0, 2, 3, 1).flatten(1))
        ),
    ]
    logits = model(x)
    for hook in hooks:
        hook.remove()
    found["logits_unbiased"] = logits - model.fc.bias
    return found


def bench(threads, batch):
    torch.set_num_threads(threads)
    build()
    model = port.InceptionV3([3], resize_input=False).eval()
    x = torch.rand(batch, 3, 299, 299)
    with torch.no_grad():
        model(x)
        for _ in range(3):
            begin = time.perf_counter()
            model(x)
            print(f"{batch / (time.perf_counter() - begin):.2f} pictures/s", flush=True)


def main():
    if sys.argv[1] == "--bench":
        return bench(int(sys.argv[2]), int(sys.argv[3]))
    model, _ = build()
    model = model.double()
    found = []
    with torch.no_grad():
        for picture in pictures():
            found.append(taps(model, network_input(picture).double()))
    for name in found[0]:
        values = torch.cat([one[name] for one in found]).float().numpy()
        print(f"{name}: {values.shape}, spread over pictures {values.std(axis=0).mean():.3g} of {values.std():.3g}")
        np.save(f"{sys.argv[1]}/{name}.npy", values)


main()
