"""Golden targets and samples of every method of the shortcut-model paper, by the authors' own code in float32.

Needs a checkout of github.com/kvfrans/shortcut-models (of it: model.py, targets_shortcut.py, baselines/,
helper_inference.py) and jax, flax, einops. Their functions run as they are; only what they draw from jax.random is
replaced, by fewstep's own random streams, so that both sides have the same x0, x1, t and dropped labels. Weights are
drawn too and not stored. Writes what their code returned; test_targets_golden.c makes the same with fewstep.

    python3 tests/golden/make_targets_golden.py CHECKOUT tests/golden/targets/targets.safetensors
"""
import contextlib
import json
import struct
import sys
import types

import numpy as np

f32, u32, u64 = np.float32, np.uint32, np.uint64

# --- fewstep's random numbers (kernels/base/random.h), in numpy ---

NOISE, TIME, DROPOUT, BOOTSTRAP_NOISE, BOOTSTRAP_TIME, SAMPLES, TEST, SAMPLING = 3, 4, 5, 6, 7, 11, 15, 17


def words(seed, stream, update, step, row, block):
    """Philox4x32-10 at (block, row, step, update) under (seed, stream); row and block may be arrays."""
    row, block = np.broadcast_arrays(np.asarray(row), np.asarray(block))
    c = [np.array(v, dtype=u64) * np.ones(row.shape, u64) for v in (block, row, step, update)]
    k0, k1, mask = seed, stream, u64(0xFFFFFFFF)
    for _ in range(10):
        first, second = u64(0xD2511F53) * c[0], u64(0xCD9E8D57) * c[2]
        c = [(second >> u64(32)) ^ c[1] ^ u64(k0), second & mask, (first >> u64(32)) ^ c[3] ^ u64(k1), first & mask]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return [v.astype(u32) for v in c]


def box_muller(word0, word1):
    """In double: the program's polynomials are within rounding of it."""
    u = ((word0 >> u32(1)).astype(np.float64) + 0.5) / 2**31
    radius, angle = np.sqrt(-2 * np.log(u)), 2 * np.pi * word1.astype(np.float64) / 2**32
    return radius * np.cos(angle), radius * np.sin(angle)


def normals(seed, stream, update, rows, dim, step=0, first=0):
    w = words(seed, stream, update, step, np.arange(first, first + rows)[:, None], np.arange((dim + 3) // 4)[None])
    four = np.stack([*box_muller(w[0], w[1]), *box_muller(w[2], w[3])], axis=-1)
    return four.reshape(rows, -1)[:, :dim].astype(f32)


def first_word(seed, stream, update, rows):
    return words(seed, stream, update, 0, rows, np.zeros(len(rows), int))[0]


def below(seed, stream, update, rows, n):
    return (first_word(seed, stream, update, rows).astype(u64) * np.asarray(n, u64) >> u64(32)).astype(np.int64)


# --- what both sides start from ---

C = dict(height=4, channels=2, patch=2, hidden=16, depth=2, heads=2, classes=3, finest_steps=16, rows=44, seed=7, update=3)
SIDE, DIM, ROWS = C["height"], C["height"] ** 2 * C["channels"], C["rows"]
GUIDANCE, DROPOUT_RATE = 1.5, 0.25
CURRENT, AVERAGE, TEACHER = 0, 1, 2


def drawn_weight(network, name, shape):
    """N(0, 0.2²), of the last layer N(0, 1), so that states and targets reach the bounds of ±4."""
    place = sum((i + 1) * byte for i, byte in enumerate(name.encode()))
    scale = 1.0 if name.startswith("final_layer.linear") else 0.2
    count = int(np.prod(shape))
    return (f32(scale) * normals(100 + network, TEST, place, 1, count)).reshape(shape)


def flax_weights(network):
    """The authors' parameter tree, from arrays that are drawn under fewstep's names and shapes."""
    d, p = C["hidden"], C["patch"]

    def dense(name, out, into):
        return {"kernel": drawn_weight(network, name + ".weight", (out, into)).T, "bias": drawn_weight(network, name + ".bias", (out,))}

    def embedder(name):
        return {"Dense_0": dense(name + ".mlp.0", d, 256), "Dense_1": dense(name + ".mlp.2", d, d)}

    patches = drawn_weight(network, "x_embedder.proj.weight", (d, C["channels"], p, p))
    tree = {
        "PatchEmbed_0": {"Conv_0": {"kernel": patches.transpose(2, 3, 1, 0), "bias": drawn_weight(network, "x_embedder.proj.bias", (d,))}},
        "TimestepEmbedder_0": embedder("t_embedder"),
        "TimestepEmbedder_1": embedder("d_embedder"),
        "LabelEmbedder_0": {"Embed_0": {"embedding": drawn_weight(network, "y_embedder.embedding_table.weight", (C["classes"] + 1, d))}},
        "FinalLayer_0": {"Dense_0": dense("final_layer.adaLN_modulation.1", 2 * d, d),
                         "Dense_1": dense("final_layer.linear", p * p * C["channels"], d)},
        "Embed_0": {"embedding": np.zeros((256, 1), f32)},
    }
    for i in range(C["depth"]):
        qkv = dense(f"blocks.{i}.attn.qkv", 3 * d, d)
        q, k, v = ({"kernel": qkv["kernel"][:, j * d:(j + 1) * d], "bias": qkv["bias"][j * d:(j + 1) * d]} for j in range(3))
        tree[f"DiTBlock_{i}"] = {
            "Dense_0": dense(f"blocks.{i}.adaLN_modulation.1", 6 * d, d), "Dense_1": k, "Dense_2": q, "Dense_3": v,
            "Dense_4": dense(f"blocks.{i}.attn.proj", d, d),
            "MlpBlock_0": {"Dense_0": dense(f"blocks.{i}.mlp.fc1", 4 * d, d), "Dense_1": dense(f"blocks.{i}.mlp.fc2", d, 4 * d)}}
    return tree


# --- the authors' functions, with their draws replaced ---


class Draws:
    """Stands for jax.random: each function gives what is next in its own list."""

    def __init__(self, **lists):
        self.lists = {name: list(values) for name, values in lists.items()}

    def next(self, name, shape):
        value = np.asarray(self.lists[name].pop(0))
        assert value.shape == tuple(shape), (name, value.shape, shape)
        return value

    @contextlib.contextmanager
    def in_place_of(self, random):
        kept = {name: getattr(random, name) for name in ("normal", "randint", "bernoulli", "split", "fold_in")}
        random.normal = lambda key, shape: self.next("normal", shape)
        random.randint = lambda key, shape, minval, maxval: self.next("randint", shape)
        random.bernoulli = lambda key, p, shape: self.next("bernoulli", shape)
        random.split = lambda key, n=2: [key] * n
        random.fold_in = lambda key, data: key
        try:
            yield
        finally:
            for name, function in kept.items():
                setattr(random, name, function)
        assert not any(self.lists.values()), self.lists


class Networks:
    """Their train state: the parts that targets ask."""

    def __init__(self, model, current, average, step=0):
        self.model, self.current, self.average, self.step = model, flax_weights(current), flax_weights(average), step

    def call_model(self, x, t, dt, y, train=False):
        return self.model.apply({"params": self.current}, x, t, dt, y)

    def call_model_ema(self, x, t, dt, y, train=False):
        return self.model.apply({"params": self.average}, x, t, dt, y)


def pictures(rows):
    return rows.reshape(len(rows), SIDE, SIDE, C["channels"])


class Case:
    """One call of a get_targets; `first` is the row of our batch that their batch begins with."""

    def __init__(self, jax, model_class, **model):
        self.jax, self.model_class = jax, model_class
        self.flags = types.SimpleNamespace(
            batch_size=ROWS, max_steps=1000,
            model={"denoise_timesteps": C["finest_steps"], "num_classes": C["classes"], "class_dropout_prob": DROPOUT_RATE,
                   "bootstrap_every": 8, "bootstrap_ema": 1, "bootstrap_cfg": 0, "bootstrap_dt_bias": 0, "cfg_scale": 1.0, **model})
        self.flags.dataset_name = "pictures"
        seed, update = C["seed"], C["update"]
        rows = np.arange(2 * ROWS)
        self.data = np.clip(normals(seed, TEST, update, 2 * ROWS, DIM), -1, 1)
        self.labels = (rows * 7 + 1) % C["classes"]
        self.noise = pictures(normals(seed, NOISE, update, 2 * ROWS, DIM))
        self.grid_times = below(seed, TIME, update, rows, C["finest_steps"])
        self.dropped = (first_word(seed, DROPOUT, update, rows) >> u32(8)).astype(f32) * f32(2.0**-24) < DROPOUT_RATE
        self.bootstrap_noise = pictures(normals(seed, BOOTSTRAP_NOISE, update, ROWS, DIM))

    def network(self, conditioned):
        return self.model_class(
            patch_size=C["patch"], hidden_size=C["hidden"], depth=C["depth"], num_heads=C["heads"], mlp_ratio=4,
            out_channels=C["channels"], class_dropout_prob=DROPOUT_RATE, num_classes=C["classes"],
            ignore_dt=not conditioned, dtype=self.jax.numpy.float32)

    def batch(self, first):
        return pictures(self.data[first:first + ROWS]), self.labels[first:first + ROWS].astype(np.int32)

    def run(self, get_targets, states, first, draws):
        images, labels = self.batch(first)
        with draws.in_place_of(self.jax.random):
            return [np.asarray(v) for v in get_targets(self.flags, None, *states, images, labels)[:5]]


def bootstrap_times(levels):
    rows = np.arange(len(levels))
    return below(C["seed"], BOOTSTRAP_TIME, C["update"], rows, 2**np.asarray(levels))


def joined(first_part, second_part, rows):
    """Their batch has the flow rows of pictures 0 …; ours has those of the rows themselves, which their second call,
    whose batch begins `rows` later, gives."""
    return [np.concatenate([a[:rows], b[rows:]]) for a, b in zip(first_part, second_part)]


def shortcut(jax, model_class, get_targets, guided, every=8, bias=0):
    case = Case(jax, model_class, bootstrap_cfg=guided, cfg_scale=GUIDANCE, bootstrap_every=every, bootstrap_dt_bias=bias)
    rows, count = ROWS // every, int(np.log2(C["finest_steps"]))
    levels = np.repeat(count - 1 - np.arange(count - 2 if bias else count), rows // 2 // count if bias else rows // count)
    levels = np.concatenate([levels, np.ones(rows // 4 if bias else 0, int)])
    levels = np.concatenate([levels, np.zeros(rows - len(levels), int)])
    states = [Networks(case.network(True), CURRENT, AVERAGE)]

    def call(first):
        kept = slice(first, first + ROWS)
        return case.run(get_targets, states, first, Draws(
            normal=[case.bootstrap_noise[:rows], case.noise[kept]], randint=[bootstrap_times(levels), case.grid_times[kept]],
            bernoulli=[case.dropped[kept]]))

    return joined(call(0), call(rows), rows)


def flow_matching(jax, model_class, get_targets, latent):
    """`latent`: Reflow's second stage in their code, pairs of noise and data side by side in the channels."""
    case = Case(jax, model_class)
    draws = Draws(normal=[] if latent else [case.noise[:ROWS]], randint=[case.grid_times[:ROWS]], bernoulli=[case.dropped[:ROWS]])
    if latent:
        case.flags.dataset_name = "latent"
        pair_noise = pictures(normals(C["seed"], TEST, C["update"] + 1, ROWS, DIM))
        case.batch = lambda first: (np.concatenate([pair_noise, pictures(case.data[:ROWS])], axis=-1), case.labels[:ROWS].astype(np.int32))
    return case.run(get_targets, [Networks(case.network(False), CURRENT, AVERAGE)], 0, draws)


def progressive(jax, model_class, get_targets, phase, guided):
    case = Case(jax, model_class, bootstrap_cfg=guided, cfg_scale=GUIDANCE)
    phases = int(np.log2(C["finest_steps"]))
    model = case.network(False)
    states = [Networks(model, CURRENT, AVERAGE, step=phase * case.flags.max_steps // phases), Networks(model, CURRENT, TEACHER)]
    levels = np.full(ROWS, phases - 1 - phase)
    return case.run(get_targets, states, 0, Draws(normal=[case.bootstrap_noise], randint=[bootstrap_times(levels)]))


def consistency_distillation(jax, model_class, get_targets):
    case = Case(jax, model_class)
    model = case.network(False)
    return case.run(get_targets, [Networks(model, CURRENT, AVERAGE), Networks(model, CURRENT, TEACHER)], 0,
                    Draws(normal=[case.noise[:ROWS]], randint=[case.grid_times[:ROWS]]))


def consistency_training(jax, model_class, get_targets, phase):
    case = Case(jax, model_class)
    phases = int(np.log2(C["finest_steps"]))
    states = [Networks(case.network(False), CURRENT, AVERAGE, step=phase * case.flags.max_steps // phases)]
    times = below(C["seed"], TIME, C["update"], np.arange(ROWS), 2**phase)
    out = case.run(get_targets, states, 0, Draws(normal=[case.noise[:ROWS]], randint=[times]))
    out[3] = np.full(ROWS, out[3])
    return out


def live_reflow(jax, model_class, get_targets, guidance):
    case = Case(jax, model_class, cfg_scale=guidance)
    rows = ROWS // 8
    times = below(C["seed"], BOOTSTRAP_TIME, C["update"], np.arange(rows), C["finest_steps"])
    states = [Networks(case.network(True), CURRENT, AVERAGE)]

    def call(first):
        kept = slice(first, first + ROWS)
        return case.run(get_targets, states, first, Draws(
            normal=[case.noise[kept], case.bootstrap_noise], randint=[case.grid_times[kept], times], bernoulli=[case.dropped[kept]]))

    return joined(call(0), call(rows), rows)


# --- their sampler ---


class Enough(Exception):
    """Raised where their loop has its samples and would go on to a FID."""


def samples(jax, model_class, do_inference, train_type, steps, guidance):
    case = Case(jax, model_class)
    case.flags.mode, case.flags.save_dir = "inference", None
    case.flags.inference_timesteps, case.flags.inference_generations, case.flags.inference_cfg_scale = steps, ROWS, guidance
    model = {**case.flags.model, "use_stable_vae": 0, "use_ema": 1, "train_type": train_type}

    class Model(dict):
        __getattr__ = dict.__getitem__

    case.flags.model = Model(model)
    state = Networks(case.network(train_type in ("shortcut", "livereflow")), CURRENT, AVERAGE)
    case.first = []
    images, labels = case.batch(0)
    noise = pictures(normals(C["seed"], SAMPLES, 0, ROWS, DIM))
    fresh = [pictures(normals(C["seed"], SAMPLING, 0, ROWS, DIM, step=i)) for i in range(steps)] if train_type == "consistency" else []

    def give(x, *_, **__):
        case.first.append(np.asarray(x))
        raise Enough

    kept = jax.image.resize, jax.jit, getattr(jax, "spmd_mode", None)
    jax.image.resize, jax.jit = give, lambda f, **_: f
    jax.spmd_mode = lambda mode: contextlib.nullcontext()
    draws = Draws(normal=[noise, noise, *fresh], randint=[labels])
    try:
        with draws.in_place_of(jax.random):
            do_inference(case.flags, state, None, iter([(images, labels)]), iter([(images, labels)]),
                         lambda *a: a if len(a) > 1 else a[0], None, None, None, None, None, None, None, None)
    except Enough:
        pass
    finally:
        jax.image.resize, jax.jit, jax.spmd_mode = kept
    return case.first[0]


# --- writing ---


def write_safetensors(path, tensors, metadata):
    header, data = {"__metadata__": metadata}, b""
    for name, array in tensors.items():
        array = np.ascontiguousarray(array, dtype="<f4")
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [len(data), len(data) + array.nbytes]}
        data += array.tobytes()
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def stub(name, **members):
    module = types.ModuleType(name)
    module.__dict__.update(members)
    sys.modules[name] = module
    return module


def import_authors(checkout):
    """Their modules, with stand-ins for what logs, draws and parses, which targets and sampler do not use."""
    import jax

    jax._src.core.as_named_shape = lambda shape: shape  # gone from jax; their initialiser asks for it
    sys.path.insert(0, checkout)
    flags = types.SimpleNamespace(DEFINE_integer=lambda *a: None, DEFINE_float=lambda *a: None)
    stub("wandb")
    stub("absl", app=None, flags=flags)
    stub("matplotlib").pyplot = stub("matplotlib.pyplot")
    jax.experimental.multihost_utils = types.SimpleNamespace(process_allgather=lambda x: x)
    import helper_inference
    import model
    import targets_shortcut
    from baselines import (targets_consistency_distillation, targets_consistency_training, targets_livereflow,
                           targets_naive, targets_progressive)

    return types.SimpleNamespace(
        jax=jax, model=model.DiT, inference=helper_inference.do_inference, shortcut=targets_shortcut.get_targets,
        naive=targets_naive.get_targets, progressive=targets_progressive.get_targets,
        distillation=targets_consistency_distillation.get_targets, training=targets_consistency_training.get_targets,
        livereflow=targets_livereflow.get_targets)


def main(checkout, path):
    import flax.linen  # before the stand-ins
    import jax.experimental.multihost_utils
    import jax.image

    a = import_authors(checkout)
    j, m = a.jax, a.model
    cases = {
        "flow-matching": flow_matching(j, m, a.naive, False),
        "reflow": flow_matching(j, m, a.naive, True),
        "shortcut": shortcut(j, m, a.shortcut, 0),
        "shortcut-guided": shortcut(j, m, a.shortcut, 1),
        "shortcut-bias": shortcut(j, m, a.shortcut, 1, every=2, bias=1),
        "shortcut-missing": shortcut(j, m, a.shortcut, 1, every=22),
        "progressive-distillation-0": progressive(j, m, a.progressive, 0, 0),
        "progressive-distillation-0-guided": progressive(j, m, a.progressive, 0, 1),
        "progressive-distillation-2": progressive(j, m, a.progressive, 2, 0),
        "progressive-distillation-2-guided": progressive(j, m, a.progressive, 2, 1),
        "consistency-distillation": consistency_distillation(j, m, a.distillation),
        "consistency-training-0": consistency_training(j, m, a.training, 0),
        "consistency-training-3": consistency_training(j, m, a.training, 3),
        "live-reflow": live_reflow(j, m, a.livereflow, 1.0),
        "live-reflow-guided": live_reflow(j, m, a.livereflow, GUIDANCE),
    }
    out = {}
    for name, (x, target, t, dt, labels) in cases.items():
        for part, value in (("x", x), ("target", target), ("t", t), ("s", dt), ("labels", labels)):
            out[f"{name}.{part}"] = value.reshape(ROWS, -1) if part in ("x", "target") else value
        print(f"{name}: largest target {np.abs(target).max():.3g}, share at ±4 {np.mean(np.abs(target) == 4):.3f}")
    for train_type, steps, guidance in (("naive", 4, 1.0), ("naive", 4, GUIDANCE), ("shortcut", 1, 1.0), ("shortcut", 4, 1.0),
                                        ("consistency", 1, 1.0), ("consistency", 4, 1.0)):
        name = f"samples.{train_type}-{steps}" + ("-guided" if guidance != 1 else "")
        out[name] = samples(j, m, a.inference, train_type, steps, guidance).reshape(ROWS, -1)
        print(f"{name}: largest {np.abs(out[name]).max():.3g}")
    metadata = {**C, "guidance_scale": GUIDANCE, "label_dropout": DROPOUT_RATE}
    write_safetensors(path, out, {key: repr(value) for key, value in metadata.items()})


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
