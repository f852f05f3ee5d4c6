"""Makes a checkpoint that fewstep scores and samples from one of the shortcut-model authors' (their pickled Flax state).

    python3 harness/checkpoint/convert/authors_to_safetensors.py CHECKPOINT OUT.safetensors [--unconditional]
        [--set KEY=VALUE]…

CHECKPOINT is what their utils/checkpoint.py writes (github.com/kvfrans/shortcut-models). OUT gets the parameters as they
were trained and their average (`ema.`), and a configuration: the network's sizes are those of the parameters, the method
is the shortcut model, and KEY=VALUE sets any other key of an experiment file (VALUE as JSON, or a word):

    --set dataset='{"kind": "latents", "path": "celebahq-latents", "vae": "sd-vae-ft-mse"}' --set evaluate.samples=50000

--unconditional keeps of the label table only its last row, the null label, as their runs without labels use it
(--model.cfg_scale 0). Then `fewstep eval OUT.safetensors --steps 1,4,128`. Needs NumPy alone, and unpickles nothing but
arrays and the containers around them: any other object in the file stays unread. Used once.
"""
import argparse
import hashlib
import json
import pickle
import struct
import sys

import numpy as np

# --- reading: a pickle is a program, of which only what builds arrays is carried out ---


class Unread:
    """Stands for every object that is not needed (the optimiser's state): it takes what comes, and does nothing."""

    def __init__(self, *_, **__):
        pass

    def __setstate__(self, state):
        pass

    def append(self, _):
        pass

    def extend(self, _):
        pass

    def __setitem__(self, key, value):
        pass


def jax_array(build, arguments, state, *_):
    """jax.Array is pickled as the NumPy array that it equals, with what JAX knows of it beside."""
    array = build(*arguments)
    if isinstance(array, np.ndarray):
        array.__setstate__(state)
    return array


def reconstruct(subtype, shape, dtype):
    if subtype is not np.ndarray:
        raise pickle.UnpicklingError(f"an array of class {subtype!r}")
    return np.ndarray.__new__(np.ndarray, shape, dtype)


def numpy_scalar(dtype, data):
    return np.frombuffer(data, dtype)[0] if isinstance(dtype, np.dtype) and not dtype.hasobject else Unread()


def plain_dtype(text, *_):
    dtype = np.dtype(text) if isinstance(text, str) else np.dtype("V2")
    if dtype.hasobject:
        raise pickle.UnpicklingError("an array of Python objects")
    return dtype


ALLOWED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): plain_dtype,
    ("jax._src.array", "_reconstruct_array"): jax_array,
    ("flax.core.frozen_dict", "FrozenDict"): dict,
    ("collections", "OrderedDict"): dict,
}
for core in "numpy.core", "numpy._core":
    ALLOWED[core + ".multiarray", "_reconstruct"] = reconstruct
    ALLOWED[core + ".multiarray", "scalar"] = numpy_scalar
    ALLOWED[core + ".numeric", "_frombuffer"] = lambda data, dtype, shape, order: np.frombuffer(data, dtype).reshape(
        shape, order=order)


class Arrays(pickle.Unpickler):
    def find_class(self, module, name):
        return ALLOWED.get((module, name), Unread)


# --- their names to ours ---


def floats(node, *path):
    for key in path:
        if not isinstance(node, dict) or key not in node:
            sys.exit(f"no parameter {'/'.join(path)}: not a network of the authors' model.py")
        node = node[key]
    if not isinstance(node, np.ndarray) or node.dtype not in (np.float32, np.float64, np.float16):
        sys.exit(f"{'/'.join(path)}: expected an array of floats")
    return np.asarray(node, dtype="<f4")


def dense(tree, *path):
    """Flax has [in, out], PyTorch [out, in]."""
    return floats(tree, *path, "kernel").T, floats(tree, *path, "bias")


def embedder(tree, theirs, ours):
    for theirs_layer, layer in ("Dense_0", "mlp.0"), ("Dense_1", "mlp.2"):
        weight, bias = dense(tree, theirs, theirs_layer)
        yield f"{ours}.{layer}.weight", weight
        yield f"{ours}.{layer}.bias", bias


def block(tree, i):
    """Their three projections are made in the order k, q, v; ours lie as q, k, v."""
    theirs, ours = f"DiTBlock_{i}", f"blocks.{i}"
    q, k, v = (dense(tree, theirs, f"Dense_{j}") for j in (2, 1, 3))
    layers = {"adaLN_modulation.1": dense(tree, theirs, "Dense_0"),
              "attn.qkv": tuple(np.concatenate(parts) for parts in zip(q, k, v)),
              "attn.proj": dense(tree, theirs, "Dense_4"),
              "mlp.fc1": dense(tree, theirs, "MlpBlock_0", "Dense_0"),
              "mlp.fc2": dense(tree, theirs, "MlpBlock_0", "Dense_1")}
    for name, (weight, bias) in layers.items():
        yield f"{ours}.{name}.weight", weight
        yield f"{ours}.{name}.bias", bias


def parameters_of(tree, unconditional):
    patches = floats(tree, "PatchEmbed_0", "Conv_0", "kernel")  # [row, column, channel, width]
    labels = floats(tree, "LabelEmbedder_0", "Embed_0", "embedding")
    yield "x_embedder.proj.weight", patches.transpose(3, 2, 0, 1)
    yield "x_embedder.proj.bias", floats(tree, "PatchEmbed_0", "Conv_0", "bias")
    yield from embedder(tree, "TimestepEmbedder_0", "t_embedder")
    yield from embedder(tree, "TimestepEmbedder_1", "d_embedder")
    yield "y_embedder.embedding_table.weight", labels[-1:] if unconditional else labels
    for i in range(depth_of(tree)):
        yield from block(tree, i)
    for theirs, ours in ("Dense_0", "adaLN_modulation.1"), ("Dense_1", "linear"):
        weight, bias = dense(tree, "FinalLayer_0", theirs)
        yield f"final_layer.{ours}.weight", weight
        yield f"final_layer.{ours}.bias", bias


def depth_of(tree):
    depth = 0
    while f"DiTBlock_{depth}" in tree:
        depth += 1
    return depth


# --- the configuration ---


# Heads do not show in the parameters: those of the presets, or 64 wide.
KNOWN = {(128, 4): ("dit-xs", 4), (192, 6): ("dit-ti", 3), (384, 12): ("dit-s", 6), (768, 12): ("dit-b", 12),
         (1024, 24): ("dit-l", 16), (1152, 28): ("dit-xl", 16)}


def sizes_of(parameters, tree, unconditional):
    width, _, patch, _ = parameters["x_embedder.proj.weight"].shape
    depth = depth_of(tree)
    name, heads = KNOWN.get((width, depth), ("dit", max(1, width // 64)))
    classes = 0 if unconditional else len(parameters["y_embedder.embedding_table.weight"]) - 1
    return {"preset": f"{name}/{patch}", "hidden": width, "depth": depth, "heads": heads, "patch": patch, "classes": classes,
            "finest_steps": 128, "attention_scale": "inv_d"}


def set_key(config, text):
    key, separator, value = text.partition("=")
    if not separator:
        sys.exit(f"--set {text}: expected KEY=VALUE")
    try:
        value = json.loads(value)
    except json.JSONDecodeError:
        pass  # a word
    *parents, last = key.split(".")
    for parent in parents:
        config = config.setdefault(parent, {})
    config[last] = value


def write(path, tensors, metadata):
    header, position = {"__metadata__": metadata}, 0
    for name in sorted(tensors, key=str.encode):
        size = tensors[name].size * 4
        header[name] = {"dtype": "F32", "shape": list(tensors[name].shape), "data_offsets": [position, position + size]}
        position += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in sorted(tensors, key=str.encode):
            file.write(np.ascontiguousarray(tensors[name], dtype="<f4").tobytes())


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("out")
    parser.add_argument("--unconditional", action="store_true")
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    with open(options.checkpoint, "rb") as file:
        content = file.read()
    digest = hashlib.sha256(content).hexdigest()
    with open(options.checkpoint, "rb") as file:
        state = Arrays(file).load()
    state = state.get("train_state", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or "params" not in state:
        sys.exit(f"{options.checkpoint}: no parameters in it: not a checkpoint of the authors' utils/checkpoint.py")
    tensors, tree = {}, state["params"]
    for prefix, copy in ("", tree), ("ema.", state.get("params_ema") or tree):
        for name, values in parameters_of(copy, options.unconditional):
            tensors[prefix + name] = values
    step = state.get("step", 0)
    step = 0 if isinstance(step, Unread) else int(np.asarray(step))
    config = {"config_version": 1, "experiment": "authors", "method": "shortcut", "dataset": {"name": "fashion-mnist"},
              "model": sizes_of(tensors, tree, options.unconditional),
              "train": {"updates": max(step, 1), "batch": 64, "learning_rate": 1e-4, "weight_decay": 0.1, "ema": 0.999,
                        "ema_warmup": False},
              "evaluate": {"steps": [1, 4, 128], "quantize": False, "resize": "authors"}}
    for text in options.set:
        set_key(config, text)
    write(options.out, tensors, {
        "attention_scale": config["model"]["attention_scale"], "config": json.dumps(config, separators=(",", ":")),
        "format": "fewstep-checkpoint-1", "run": digest, "source_hash": "",
        "time": "raw: t in [0, 1] is not multiplied by 1000, 0 is noise",
        "update": str(step)})
    print(f"{options.out}: {sum(t.size for n, t in tensors.items() if n[:4] != 'ema.')} parameters, from {digest[:8]}")


if __name__ == "__main__":
    main()
