"""Golden samples of a network of the shortcut-model authors, and its checkpoint as fewstep reads it.

Needs a checkout of github.com/kvfrans/shortcut-models (of it: model.py, math_utils.py, utils/checkpoint.py,
utils/train_state.py) and jax, flax, optax, einops. Their own code makes the network, writes its checkpoint and is called
for each step; the weights are random. The steps are those of their helper_inference.py for `shortcut`. The checkpoint is
converted by harness/checkpoint/convert/authors_to_safetensors.py. Writes authors.safetensors, noise.npy, labels.npy and
samples_STEPS.npy, which test_authors_golden.c reads.

    python3 tests/golden/make_authors_golden.py CHECKOUT tests/golden/authors
"""
import subprocess
import sys
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

SIDE, CHANNELS, CLASSES, COUNT = 8, 4, 5, 6
GUIDANCE = 1.5


def network(checkout):
    sys.path.insert(0, str(checkout))
    if not hasattr(jax._src.core, "as_named_shape"):  # newer than what they wrote for
        jax._src.core.as_named_shape = lambda shape: shape
    from model import DiT
    return DiT(patch_size=2, hidden_size=32, depth=2, num_heads=2, mlp_ratio=4, out_channels=CHANNELS,
               class_dropout_prob=0.1, num_classes=CLASSES, dtype=jnp.float32)


def randomised(tree, seed):
    """Every parameter random, also those that begin as 0, so that none is without effect."""
    generator = np.random.default_rng(seed)
    return jax.tree_util.tree_map(
        lambda p: jnp.asarray(generator.normal(0, 0.15, p.shape).astype(np.float32)), tree)


def sample(state, model, noise, labels, steps, guidance):
    x, null = jnp.asarray(noise), jnp.full(len(noise), CLASSES)
    for i in range(steps):
        t, level = jnp.full(len(noise), i / steps), jnp.full(len(noise), int(np.log2(steps)))
        v = state.call_model_ema(x, t, level, labels, train=False)
        if guidance != 1:
            v_null = state.call_model_ema(x, t, level, null, train=False)
            v = v_null + guidance * (v - v_null)
        x = x + v * (1 / steps)
    return np.asarray(x)


def main(checkout, folder):
    folder.mkdir(parents=True, exist_ok=True)
    model = network(checkout)
    from utils.checkpoint import Checkpoint
    from utils.train_state import TrainStateEma
    zeros = jnp.zeros(1)
    params = model.init(jax.random.PRNGKey(0), jnp.zeros((1, SIDE, SIDE, CHANNELS)), zeros, zeros, jnp.zeros(1, int))["params"]
    tx = optax.adamw(1e-4)
    state = TrainStateEma.create(model, randomised(params, 1), rng=jax.random.PRNGKey(0), tx=tx, opt_state=tx.init(params))
    state = state.replace(params_ema=randomised(params, 2), step=1234)
    with tempfile.TemporaryDirectory() as scratch:
        path = scratch + "/state"
        checkpoint = Checkpoint(path, parallel=False)
        checkpoint.train_state = state
        try:
            checkpoint.save()
        except Exception:  # it makes a folder of the file's own name and then moves the file into it
            pass
        written = next(p for p in Path(scratch).rglob("*") if p.is_file())
        convert = Path(__file__).resolve().parents[2] / "harness/checkpoint/convert/authors_to_safetensors.py"
        subprocess.run([sys.executable, convert, written, folder / "authors.safetensors", "--set", "model.heads=2"], check=True)
    generator = np.random.default_rng(3)
    noise = generator.normal(size=(COUNT, SIDE, SIDE, CHANNELS)).astype(np.float32)
    labels = np.arange(COUNT, dtype=np.int32)  # the last is the null label
    np.save(folder / "noise.npy", noise)
    np.save(folder / "labels.npy", labels)
    for steps in 1, 4, 128:
        samples = sample(state, model, noise, labels, steps, 1)
        np.save(folder / f"samples_{steps}.npy", samples)
        print(steps, samples.std())
    np.save(folder / "samples_guided.npy", sample(state, model, noise, labels, 128, GUIDANCE))


main(Path(sys.argv[1]), Path(sys.argv[2]))
