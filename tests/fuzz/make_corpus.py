"""The seeds that the fuzz targets start from: small, sound files, and some that lie.

    python3 tests/fuzz/make_corpus.py tests/fuzz/corpus        (NumPy, Pillow)
"""
import gzip
import io
import json
import pathlib
import struct
import sys

import numpy as np
from PIL import Image

ROOT = pathlib.Path(sys.argv[1])


def write(target, name, data):
    folder = ROOT / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def npy(array, version=None):
    out = io.BytesIO()
    np.lib.format.write_array(out, np.asanyarray(array), version)
    return out.getvalue()


def safetensors(header, data):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def safetensors_seeds():
    two = {
        "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "b": {"dtype": "BF16", "shape": [4], "data_offsets": [24, 32]},
        "__metadata__": {"format": "pt"},
    }
    write("safetensors", "two", safetensors(two, bytes(32)))
    write("safetensors", "scalar", safetensors({"s": {"dtype": "F64", "shape": [], "data_offsets": [0, 8]}}, bytes(8)))
    write("safetensors", "none", safetensors({}, b""))
    two["a"]["data_offsets"] = [8, 32]
    write("safetensors", "overlap", safetensors(two, bytes(32)))
    write("safetensors", "long-header", struct.pack("<Q", 2**63) + b"{}")


def latents_seeds():
    """Rows of 2 x 3 x 2 latents of 4 classes, and a few that are not what they say."""
    sha = "0011223344556677" * 4
    rows, latent = 2, [2, 3, 2]

    def shard(dtype, labels):
        size = 2 if dtype == "F16" else 4
        values = np.zeros([rows, 2] + latent, f"<f{size}")
        parts = [values.tobytes(), values.tobytes(), np.array(labels, "<i4").tobytes(), bytes(32 * rows)]
        order = sorted(
            zip(["log_variance", "mean", "labels", "picture_sha256"], [dtype, dtype, "I32", "U8"],
                [[rows, 2] + latent] * 2 + [[rows], [rows, 32]], parts),
            key=lambda p: {"F32": 0, "I32": 1, "F16": 2, "U8": 3}[p[1]])
        header, at = {"__metadata__": {"data_sha256": sha, "autoencoder_sha256": sha}}, 0
        for name, kind, shape, data in order:
            header[name] = {"dtype": kind, "shape": shape, "data_offsets": [at, at + len(data)]}
            at += len(data)
        return safetensors(header, b"".join(p[3] for p in order))

    def seed(name, dtype="F16", labels=(0, 3), **changes):
        manifest = {
            "format": "fewstep-latents-1", "latents": {"height": 2, "width": 3, "channels": 2},
            "pictures": {"height": 16, "width": 24, "channels": 3}, "count": rows, "classes": 4,
            "pictures_sha256": sha, "autoencoder_sha256": sha, "precision": "fp32", "device": "cpu", "scale": 0.18215,
            "shift": 0, "stored": dtype, "plan": sha, "source": "x", "shards": [{"rows": rows, "sha256": sha}]}
        manifest.update(changes)
        text = json.dumps(manifest).encode()
        text += b" " * (-len(text) % 16)
        write("latents", name, bytes([len(text) // 16]) + text + shard(dtype, labels))

    seed("fp16")
    seed("fp32", "F32")
    seed("label", labels=(0, 4))
    seed("count", count=2 * 10**9, shards=[{"rows": 2 * 10**9, "sha256": sha}])
    seed("shape", latents={"height": 65536, "width": 65536, "channels": 256})


def npy_seeds():
    grid = np.arange(12).reshape(3, 4)
    write("npy", "f4", npy(grid.astype("<f4")))
    write("npy", "f8-big-endian", npy(grid.astype(">f8")))
    write("npy", "u1-fortran", npy(np.asfortranarray(grid.astype("u1"))))
    write("npy", "i8-version-2", npy(grid.astype("<i8"), (2, 0)))
    write("npy", "i4-scalar", npy(np.int32(7)))
    write("npy", "lies", npy(grid.astype("<f4")).replace(b"(3, 4)", b"(9, 9)"))


def npz_seeds():
    mu, sigma = np.arange(3.0), np.eye(3)
    pictures = np.arange(48).reshape(2, 4, 2, 3).astype("u1")
    for name, save, arrays in (
        ("stored", np.savez, {"mu": mu, "sigma": sigma}),
        ("compressed", np.savez_compressed, {"mu": mu.astype("f4"), "sigma": sigma.astype(">f4")}),
        ("pictures", np.savez_compressed, {"arr_0": pictures}),
        ("pictures-stored", np.savez, {"arr_0": pictures}),
        ("bomb", np.savez_compressed, {"sigma": np.zeros((256, 512))}),
    ):
        out = io.BytesIO()
        save(out, **arrays)
        write("npz", name, out.getvalue())


def idx_seeds():
    pictures = struct.pack(">4I", 0x803, 1, 28, 28) + bytes(i * 31 % 256 for i in range(784))
    labels = struct.pack(">2I", 0x801, 1) + b"\x07"
    for name, one, other in (
        ("plain", labels, pictures),
        ("gzip", gzip.compress(labels, mtime=0), gzip.compress(pictures, mtime=0)),
        ("many", labels, struct.pack(">4I", 0x803, 2**32 - 1, 28, 28)),
        ("cut", labels, gzip.compress(pictures, mtime=0)[:40]),
    ):
        write("idx", name, bytes([len(one)]) + one + other)


def cifar10_seeds():
    record = b"\x07" + bytes(i * 31 % 256 for i in range(3072))
    for name, data in (("two", record * 2), ("cut", record[:99]), ("label", b"\x0a" + record[1:]), ("none", b"")):
        write("cifar10", name, data)


def manifest_seeds():
    """Of the picture that fuzz_manifest.c writes; without a cache before it, pixels-0 is what it decodes."""
    settings = b"fewstep pictures 1: size 2, channels 3, crop 0, background 255, test share 0\n"
    summary, file = b"pixels-0 1 " + b" ".join([b"0" * 64] * 3) + b"\n", b"a" * 64 + b" 85 0 train 0 1.png\n"
    write("manifest", "right", settings + summary + file)
    write("manifest", "other-file", settings + summary.replace(b"-0", b"-1") + file)
    write("manifest", "other-size", settings.replace(b"size 2", b"size 3") + summary + file)
    write("manifest", "many", settings + summary.replace(b" 1 ", b" 99999999999999999999 ") + file)
    write("manifest", "cut", settings + summary + file[:70])


def autoencoder_shapes(width, latent, attention):
    """One stage, as diffusers names its tensors."""
    def layer(name, *shape):
        return [(f"{name}.weight", list(shape)), (f"{name}.bias", [shape[0]])]

    def resnet(name):
        return [t for i in (1, 2) for t in layer(f"{name}.norm{i}", width) + layer(f"{name}.conv{i}", width, width, 3, 3)]

    shapes = layer("quant_conv", 2 * latent, 2 * latent, 1, 1) + layer("post_quant_conv", latent, latent, 1, 1)
    for part, ends, stage, resnets in (("encoder", (3, 2 * latent), "down", 2), ("decoder", (latent, 3), "up", 3)):
        shapes += layer(f"{part}.conv_in", width, ends[0], 3, 3) + layer(f"{part}.conv_norm_out", width)
        shapes += layer(f"{part}.conv_out", ends[1], width, 3, 3)
        shapes += layer(f"{part}.mid_block.attentions.0.group_norm", width)
        for name in attention:
            shapes += layer(f"{part}.mid_block.attentions.0.{name}", width, width)
        for i in range(2):
            shapes += resnet(f"{part}.mid_block.resnets.{i}")
        for i in range(resnets):
            shapes += resnet(f"{part}.{stage}_blocks.0.resnets.{i}")
    return shapes


def weights_seeds():
    def seed(name, shapes, kind="F16", metadata=None):
        header, at = {"__metadata__": metadata} if metadata else {}, 0
        for tensor, shape in sorted(shapes):
            size = int(np.prod(shape)) * {"F16": 2, "F32": 4}[kind]
            header[tensor] = {"dtype": kind, "shape": shape, "data_offsets": [at, at + size]}
            at += size
        write("weights", name, struct.pack("<I", at) + json.dumps(header, separators=(",", ":")).encode())

    shapes = autoencoder_shapes(32, 4, ("to_q", "to_k", "to_v", "to_out.0"))
    seed("autoencoder", shapes)
    seed("autoencoder-older-names", autoencoder_shapes(32, 4, ("query", "key", "value", "proj_attn")), "F32")
    seed("autoencoder-missing", shapes[:-2])
    seed("autoencoder-other-width", [(name, [64, *shape[1:]] if "norm2" in name else shape) for name, shape in shapes])
    seed("classifier", [("logits.bias", [10])], "F32", {"network": "fashion-cnn", "input": "28x28x1 in [-1, 1]"})
    seed("classifier-side", [("logits.bias", [10])], "F32", {"network": "fashion-cnn", "input": "999x999x9 in [-1, 1]"})


def yaml_seeds():
    experiments = pathlib.Path(__file__).parents[2] / "experiments"
    for name in ("demo", "ablation-max-step"):
        lines = (experiments / f"{name}.yaml").read_text().splitlines()
        write("yaml", name, "\n".join(line.split(" #")[0] for line in lines if line[:1] != "#").encode() + b"\n")
    write("yaml", "small", b"experiment: a\nmethod: reflow\nseed: 1\nmatrix: {seed: [1, 2], train.batch: [64, 128]}\n")
    write("yaml", "large-number", b"experiment: a\ntrain: {learning_rate: 4.0e73, updates: 10}\n")  # was a finding
    write("yaml", "nested", b"[" * 20)
    write("yaml", "alias", b"a: &x [1, 2]\nb: *x\n")


def picture_seeds():
    grid = np.arange(7 * 9 * 4).reshape(7, 9, 4) * 5 % 256
    for mode, image in (
        ("1", Image.fromarray(grid[..., 0] > 99)),
        ("LA", Image.fromarray(grid[..., :2].astype("u1"), "LA")),
        ("P", Image.fromarray(grid[..., 0].astype("u1")).convert("P")),
        ("RGBA", Image.fromarray(grid.astype("u1"), "RGBA")),
    ):
        write("png", mode, encoded(image, "PNG"))
    rgb = Image.fromarray(grid[..., :3].astype("u1"))
    write("png", "transparent", encoded(rgb, "PNG", transparency=(0, 5, 10)))
    write("jpeg", "420", encoded(rgb, "JPEG", quality=50))
    write("jpeg", "grey", encoded(rgb.convert("L"), "JPEG", quality=50))
    write("jpeg", "progressive", encoded(rgb, "JPEG", quality=50, progressive=True, subsampling="4:4:4"))
    write("jpeg", "cmyk", encoded(rgb.convert("CMYK"), "JPEG", quality=50))


def encoded(image, form, **options):
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


for make in (safetensors_seeds, latents_seeds, npy_seeds, npz_seeds, idx_seeds, cifar10_seeds, manifest_seeds, weights_seeds, yaml_seeds, picture_seeds):
    make()
